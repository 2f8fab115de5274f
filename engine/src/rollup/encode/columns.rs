//! The columns of a chunk.

/// The columns of a chunk, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Column {
    Ends = 0,
    Counts = 1,
    Markers = 2,
    States = 3,
    Nans = 4,
    LastTimes = 5,
    FirstTimes = 6,
    LastStarts = 7,
    FirstStarts = 8,
    LastValues = 9,
    FirstValues = 10,
    Resets = 11,
    Changes = 12,
    Lost = 13,
    LostMore = 14,
    Minima = 15,
    Maxima = 16,
    Sums = 17,
    SumsRest = 18,
    SumsMore = 19,
    M2 = 20,
    Irregular = 21,
    LeastGaps = 22,
    GreatestGaps = 23,
    Steps = 24,
    Sketches = 25,
    Natives = 26,
}

impl Column {
    /// How many there are.
    pub(super) const COUNT: usize = Column::Natives as usize + 1;

    /// Names by number, for reports.
    pub(super) const NAMES: [&'static str; Column::COUNT] = [
        "ends",
        "counts",
        "markers",
        "states",
        "nans",
        "last times",
        "first times",
        "last starts",
        "first starts",
        "last values",
        "first values",
        "resets",
        "changes",
        "lost",
        "lost, more",
        "minima",
        "maxima",
        "sums",
        "sums, rest",
        "sums, more",
        "m2",
        "irregular",
        "least gaps",
        "greatest gaps",
        "steps",
        "sketches",
        "native histograms",
    ];
}
