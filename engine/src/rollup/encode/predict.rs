//! What the columns of a bucket say about its other columns. Writer and reader compute the same floats.

use super::Class;
use crate::rollup::{BucketColumns, Columns, ExactSum, Gaps, Sketch};

/// The rows of one chunk that have samples: those of some columns from a row on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'c> {
    pub all: &'c BucketColumns,
    start: usize,
    /// Where their first and last values begin. Where these are not held, they are there only as long as they predict others.
    values: usize,
}

impl<'c> Rows<'c> {
    /// The rows from `start` on, all of which have samples.
    pub(super) fn new(all: &'c BucketColumns, start: usize) -> Self {
        let values = if all.held().contains(Columns::VALUES) { start } else { 0 };
        Rows { all, start, values }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.all.len() - self.start
    }

    #[inline]
    pub(super) fn ends(&self) -> &'c [i64] {
        &self.all.ends[self.start..]
    }

    #[inline]
    pub(super) fn counts(&self) -> &'c [u64] {
        &self.all.counts[self.start..]
    }

    #[inline]
    pub(super) fn first_times(&self) -> &'c [i64] {
        &self.all.first_times[self.start..]
    }

    #[inline]
    pub(super) fn last_times(&self) -> &'c [i64] {
        &self.all.last_times[self.start..]
    }

    #[inline]
    pub(super) fn first_values(&self) -> &'c [f64] {
        &self.all.first_values[self.values..]
    }

    #[inline]
    pub(super) fn last_values(&self) -> &'c [f64] {
        &self.all.last_values[self.values..]
    }

    #[inline]
    pub(super) fn minima(&self) -> &'c [f64] {
        &self.all.minima[self.start..]
    }

    #[inline]
    pub(super) fn maxima(&self) -> &'c [f64] {
        &self.all.maxima[self.start..]
    }

    #[inline]
    pub(super) fn first_start(&self, i: usize) -> i64 {
        self.all.first_starts.at(self.start + i)
    }

    #[inline]
    pub(super) fn last_start(&self, i: usize) -> i64 {
        self.all.last_starts.at(self.start + i)
    }

    #[inline]
    pub(super) fn nans(&self, i: usize) -> u64 {
        self.all.nans.at(self.start + i)
    }

    pub(super) fn changes(&self, i: usize) -> u64 {
        self.all.changes.at(self.start + i)
    }

    #[inline]
    pub(super) fn resets(&self, i: usize) -> u64 {
        self.all.resets.at(self.start + i)
    }

    pub(super) fn lost(&self, i: usize) -> ExactSum {
        self.all.lost.get(self.start + i)
    }

    pub(super) fn sum(&self, i: usize) -> ExactSum {
        self.all.sums.get(self.start + i)
    }

    /// The sum of a row, correctly rounded.
    #[inline]
    pub(super) fn total(&self, i: usize) -> f64 {
        self.all.sums.value(self.start + i)
    }

    #[inline]
    pub(super) fn has_exact_sum(&self, i: usize) -> bool {
        self.all.sums.is_exact(self.start + i)
    }

    pub(super) fn m2(&self, i: usize) -> f64 {
        self.all.squares[self.start + i]
    }

    pub(super) fn gaps(&self, i: usize) -> Gaps {
        self.all.gaps.at(self.start + i)
    }

    pub(super) fn step(&self, i: usize) -> f64 {
        self.all.steps.at(self.start + i)
    }

    pub(super) fn sketch(&self, i: usize) -> Option<&'c Sketch> {
        self.all.sketches.get(self.start + i).as_ref()
    }

    /// The indexes of rows with several samples.
    pub(super) fn several(self) -> impl Iterator<Item = usize> + Clone + 'c {
        let counts = self.counts();
        (0..counts.len()).filter(move |&i| counts[i] > 1)
    }

    /// How many rows have several samples.
    #[inline]
    pub(super) fn count_several(self) -> usize {
        count_several(self.counts())
    }

    /// Whether no reset took anything in any row.
    fn has_no_resets(&self) -> bool {
        self.all.resets.stored().len() <= self.start
    }

    /// Whether all samples of a row have the same bits.
    #[inline]
    pub(super) fn is_constant(&self, i: usize) -> bool {
        self.minima()[i].to_bits() == self.maxima()[i].to_bits() && self.nans(i) == 0
    }

    /// The indexes of rows in which what resets took is stored.
    pub(super) fn losing(self, class: Class) -> impl Iterator<Item = usize> + 'c {
        (0..if self.has_no_resets() { 0 } else { self.len() }).filter(move |&i| self.keeps_lost(i, class))
    }

    fn keeps_lost(&self, i: usize, class: Class) -> bool {
        let resets = self.resets(i);
        let is_plausible = resets <= self.counts()[i] / 8;
        resets > 0 && (class == Class::Counter || (class == Class::Unclear && is_plausible))
    }
}

/// How many numbers of samples are greater than one. `Iterator::count` would check each addition for overflow.
#[inline]
pub(super) fn count_several(counts: &[u64]) -> usize {
    counts.iter().fold(0usize, |several, &count| several.wrapping_add(usize::from(count > 1)))
}

/// Predicts a column: appends the prediction with a number to a vector. Returns false if there is none.
pub(super) type Predict<'p> = dyn Fn(usize, &mut Vec<f64>) -> bool + 'p;

/// Predicts the first values of rows with several samples.
pub(super) fn first_values(rows: Rows<'_>, number: usize, out: &mut Vec<f64>) -> bool {
    let last = rows.last_values();
    let are_several = rows.count_several() == rows.len();
    match number {
        0 if are_several => {
            out.extend(last.first());
            out.extend_from_slice(&last[..last.len().saturating_sub(1)]);
        }
        0 => out.extend(rows.several().map(|i| last[i.saturating_sub(1)])),
        1 if are_several => out.extend_from_slice(last),
        1 => out.extend(rows.several().map(|i| last[i])),
        _ => return false,
    }
    true
}

/// The better one of two values: of equal ones, the first. NaN only if both are.
#[inline]
fn chosen(first: f64, later: f64, is_better: impl Fn(f64, f64) -> bool) -> f64 {
    let best = if first.is_nan() { f64::NAN } else { first };
    // Without short circuits, so that it compiles to vector instructions.
    if is_better(later, best) | (best.is_nan() & !later.is_nan()) { later } else { best }
}

/// Predicts the minima.
pub(super) fn minima(rows: Rows<'_>, number: usize, out: &mut Vec<f64>) -> bool {
    let ends = rows.first_values().iter().zip(rows.last_values());
    out.extend(ends.map(|(&first, &last)| chosen(first, last, |a, b| a < b)));
    number == 0
}

/// Predicts the maxima.
pub(super) fn maxima(rows: Rows<'_>, class: Class, number: usize, out: &mut Vec<f64>) -> bool {
    let start = out.len();
    let ends = rows.first_values().iter().zip(rows.last_values());
    out.extend(ends.map(|(&first, &last)| chosen(first, last, |a, b| a > b)));
    let maxima = &mut out[start..];
    for i in rows.losing(class) {
        maxima[i] = chosen(maxima[i], rows.lost(i).value(), |a, b| a > b);
    }
    number == 0
}

/// Predicts the sums. For a constant, exactly the first component.
pub(super) fn sums(rows: Rows<'_>, number: usize, out: &mut Vec<f64>) -> bool {
    let ends = rows.first_values().iter().zip(rows.last_values());
    let ends = rows.counts().iter().zip(ends.map(|(first, last)| first / 2.0 + last / 2.0));
    match number {
        0 => out.extend(ends.map(|(&count, ends)| float(count) * ends)),
        1 => {
            let middles = rows.minima().iter().zip(rows.maxima()).map(|(min, max)| min / 2.0 + max / 2.0);
            let means = ends.zip(middles).map(|((&count, ends), middle)| (count, ends / 2.0 + middle / 2.0));
            out.extend(means.map(|(count, mean)| float(count) * mean));
        }
        2 => out.extend(rows.counts().iter().map(|&count| float(count) * 0.0)),
        _ => return false,
    }
    true
}

/// A number of samples, all of which are less than 2^53. There is an instruction for signed integers only.
#[inline]
fn float(count: u64) -> f64 {
    count as i64 as f64
}

/// Zeros, the only prediction of a column that has none.
pub(super) fn zeros(count: usize, number: usize, out: &mut Vec<f64>) -> bool {
    out.resize(out.len() + count, 0.0);
    number == 0
}

/// The squares of a row, as if values were spread evenly between the extremes.
#[inline]
pub(super) fn squares(rows: &Rows<'_>, i: usize) -> f64 {
    let range = rows.maxima()[i] - rows.minima()[i];
    rows.counts()[i] as f64 * range * range / 12.0
}
