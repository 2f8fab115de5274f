//! The set of columns that a reader asks for.

use std::ops::BitOr;

/// A set of columns of buckets. End, count, markers and their state, and the number of NaN are always read.
///
/// ```
/// use barograph_engine::rollup::Columns;
///
/// let rate = Columns::TIMES | Columns::VALUES | Columns::STARTS | Columns::LOST;
/// assert!(rate.contains(Columns::LOST) && !rate.contains(Columns::SUM));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Columns(u16);

impl Columns {
    /// None but those that are always read.
    pub const NONE: Columns = Columns(0);
    /// The times of first and last sample.
    pub const TIMES: Columns = Columns(1);
    /// The values of first and last sample.
    pub const VALUES: Columns = Columns(1 << 1);
    /// The start timestamps of first and last sample, and whether some overlap.
    pub const STARTS: Columns = Columns(1 << 2);
    /// Resets, and the sum of what they took.
    pub const LOST: Columns = Columns(1 << 3);
    /// Changes.
    pub const CHANGES: Columns = Columns(1 << 4);
    /// The sum.
    pub const SUM: Columns = Columns(1 << 5);
    /// The sum of squared distances from the mean.
    pub const M2: Columns = Columns(1 << 6);
    /// The minimum.
    pub const MIN: Columns = Columns(1 << 7);
    /// The maximum.
    pub const MAX: Columns = Columns(1 << 8);
    /// The distances of neighbouring samples.
    pub const GAPS: Columns = Columns(1 << 9);
    /// The largest difference of neighbouring values.
    pub const STEP: Columns = Columns(1 << 10);
    /// The distribution of values.
    pub const SKETCH: Columns = Columns(1 << 11);
    /// Native histograms.
    pub const HISTOGRAMS: Columns = Columns(1 << 12);
    /// Whether the first native histogram of all continues from the sample before it. It is no stored column: a source may
    /// have to look for that sample.
    pub const HINTS: Columns = Columns(1 << 13);
    /// All of them.
    pub const ALL: Columns = Columns((1 << 13) - 1);
    /// Those that every builder fills.
    pub(in crate::rollup) const CORE: Columns = Columns(((1 << 9) - 1) | (1 << 12));
    /// The times of the first and last entries of each kind.
    pub const ALL_TIMES: Columns = Columns::TIMES.and(Columns::HISTOGRAMS);
    /// Minimum and maximum.
    pub const EXTREMES: Columns = Columns::MIN.and(Columns::MAX);
    /// The first and the last sample.
    pub const ENDS: Columns = Columns::TIMES.and(Columns::VALUES);
    /// What a counter needs besides: resets and start timestamps.
    pub const COUNTER: Columns = Columns::LOST.and(Columns::STARTS);
    /// Sums and the sums of squares.
    pub const SPREAD: Columns = Columns::SUM.and(Columns::M2);
    /// What only bounds of estimates need: distances and steps.
    pub const BOUNDS: Columns = Columns::GAPS.and(Columns::STEP);

    /// These columns and those of `other`.
    #[must_use]
    pub const fn and(self, other: Columns) -> Columns {
        Columns(self.0 | other.0)
    }

    /// Whether all of `other` are in this set.
    pub const fn contains(self, other: Columns) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set of these bits.
    #[cfg(test)]
    pub(crate) fn from_bits(bits: u16) -> Columns {
        Columns(bits)
    }

    /// With the columns from which these are predicted in every chunk. Extremes are so only in some.
    pub(in crate::rollup) fn with_sources(self) -> Columns {
        // From the end of the dependencies to their beginning.
        const SOURCES: [(Columns, Columns); 6] = [
            (Columns::M2, Columns::SUM),
            (Columns::SUM, Columns::EXTREMES),
            (Columns::SUM, Columns::VALUES),
            (Columns::SKETCH, Columns::EXTREMES),
            (Columns::STARTS, Columns::TIMES),
            (Columns::GAPS, Columns::TIMES),
        ];
        SOURCES.into_iter().fold(
            self,
            |all, (column, source)| {
                if all.contains(column) { all | source } else { all }
            },
        )
    }
}

impl BitOr for Columns {
    type Output = Columns;

    fn bitor(self, other: Columns) -> Columns {
        Columns(self.0 | other.0)
    }
}
