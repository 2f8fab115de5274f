//! What a kernel noticed: bits instead of texts, which are made once for each series.

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        impl Flags { $($(#[$doc])* pub const $name: Flags = Flags(1 << $bit);)* }
    };
}

/// What a kernel noticed about one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Flags(u32);

flags! {
    /// Floats and histograms in one window, and the function gave nothing.
    MIXED = 0;
    /// Floats and histograms in one window, the histograms were ignored.
    HISTOGRAMS_IGNORED = 1;
    /// A gauge histogram where a counter is needed.
    NOT_COUNTER = 2;
    /// A counter histogram where a gauge is needed.
    NOT_GAUGE = 3;
    /// Exponential and custom buckets in one window.
    MIXED_BUCKETS = 4;
    /// A start time older than the sample before.
    START_OVERLAP = 5;
    /// The function gave a result for floats.
    FLOAT_RESULT = 6;
    /// Custom buckets with different bounds were reconciled by adding.
    RECONCILED_ADD = 7;
    /// The same by subtracting.
    RECONCILED_SUB = 8;
    /// Reset hints that contradict each other while adding.
    RESET_CONFLICT_ADD = 9;
    /// The same while subtracting.
    RESET_CONFLICT_SUB = 10;
    /// The same while aggregating.
    RESET_CONFLICT_AGG = 11;
    /// Custom buckets with different bounds were reconciled by aggregating.
    RECONCILED_AGG = 12;
}

impl Flags {
    /// Adds those of `other`.
    pub fn raise(&mut self, other: Flags) {
        self.0 |= other.0;
    }

    /// Whether any of `other` is raised.
    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// Those that are not among `other`.
    pub fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// Whether none is raised.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
