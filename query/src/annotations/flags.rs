//! Conditions that a kernel notices, as bits. The texts are built only once per series.

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        impl Flags { $($(#[$doc])* pub const $name: Flags = Flags(1 << $bit);)* }
    };
}

/// Conditions that a kernel noticed about one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Flags(u32);

flags! {
    /// Floats and histograms in one window; the function returned nothing.
    MIXED = 0;
    /// Floats and histograms in one window; the histograms were ignored.
    HISTOGRAMS_IGNORED = 1;
    /// A gauge histogram where a counter is needed.
    NOT_COUNTER = 2;
    /// A counter histogram where a gauge is needed.
    NOT_GAUGE = 3;
    /// Exponential and custom buckets in one window.
    MIXED_BUCKETS = 4;
    /// A start time before the previous sample.
    START_OVERLAP = 5;
    /// The function returned a result for floats.
    FLOAT_RESULT = 6;
    /// Custom buckets with different bounds were reconciled while adding.
    RECONCILED_ADD = 7;
    /// Custom buckets with different bounds were reconciled while subtracting.
    RECONCILED_SUB = 8;
    /// Contradicting reset hints while adding.
    RESET_CONFLICT_ADD = 9;
    /// Contradicting reset hints while subtracting.
    RESET_CONFLICT_SUB = 10;
    /// Contradicting reset hints while aggregating.
    RESET_CONFLICT_AGG = 11;
    /// Custom buckets with different bounds were reconciled while aggregating.
    RECONCILED_AGG = 12;
    /// The rates of a counter were used instead of its values.
    RATES = 13;
}

impl Flags {
    /// Raises the flags of `other`.
    pub fn raise(&mut self, other: Flags) {
        self.0 |= other.0;
    }

    /// Whether any flag of `other` is raised.
    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// The flags that are not in `other`.
    pub fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// Whether no flag is raised.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
