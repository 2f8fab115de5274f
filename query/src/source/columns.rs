//! The columns of buckets that a reader asks for.

/// The columns of buckets that a reader needs. The ends, the counts of samples, NaN and markers, and the first and the
/// last sample are always there; a column that nobody asked for has any value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Columns(u8);

impl Columns {
    /// Only what is always there.
    pub const NONE: Columns = Columns(0);
    /// `lost`, `resets`, `overlap`, and the start timestamps of the ends.
    pub const COUNTER: Columns = Columns(1);
    /// `changes`.
    pub const CHANGES: Columns = Columns(1 << 1);
    /// `sum`.
    pub const SUM: Columns = Columns(1 << 2);
    /// `m2`; needs `sum`, so it includes it.
    pub const SPREAD: Columns = Columns(1 << 3 | 1 << 2);
    /// `min`, `max`.
    pub const EXTREMES: Columns = Columns(1 << 4);
    /// `gaps`, `step`.
    pub const BOUNDS: Columns = Columns(1 << 5);
    /// `sketch`.
    pub const SKETCH: Columns = Columns(1 << 6);

    /// These columns and those of `other`.
    pub const fn and(self, other: Columns) -> Columns {
        Columns(self.0 | other.0)
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let named = [
            (Columns::NONE, "count, first, last"),
            (Columns::COUNTER, "lost, resets, starts"),
            (Columns::CHANGES, "changes"),
            (Columns::SUM, "sum"),
            (Columns::SPREAD, "m2"),
            (Columns::EXTREMES, "min, max"),
            (Columns::BOUNDS, "gaps, step"),
            (Columns::SKETCH, "sketch"),
        ];
        named.into_iter().filter(move |(column, _)| self.has(*column)).map(|(_, name)| name)
    }

    /// Whether all columns of `other` are among them.
    pub const fn has(self, other: Columns) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Their names, as the documentation of the functions lists them.
impl std::fmt::Display for Columns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(", "))
    }
}
