//! Why a series or a sample of a request is refused.

use crate::model::HistogramError;

/// The fault of a label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelFault {
    /// There is no `__name__`.
    #[error("it has no label __name__")]
    NoMetricName,
    /// A name is empty.
    #[error("the name of label {at} is empty")]
    EmptyName {
        /// Which label, from 1.
        at: usize,
    },
    /// A name occurs twice.
    #[error("label name {name:?} occurs twice")]
    Duplicate {
        /// The name, truncated if it is long.
        name: String,
    },
    /// A name or value is not UTF-8.
    #[error("label {at} is not valid UTF-8")]
    NotUtf8 {
        /// Which label, from 1.
        at: usize,
    },
    /// More labels than a series may have.
    #[error(
        "it has {found} labels, the limit is {limit} (max_labels, Options::labels_per_series); raise it or send fewer"
    )]
    TooMany {
        /// Labels found.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// More labels were sent than are read.
    #[error("{found} labels were sent, empty ones included; the fixed limit is {limit}; send fewer")]
    TooManySent {
        /// Labels found.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The names and values of an exemplar are too long to be read.
    #[error("its labels have {bytes} bytes, the limit is {limit} characters (that of OpenMetrics)")]
    ExemplarTooLong {
        /// Bytes found.
        bytes: usize,
        /// The limit, characters.
        limit: usize,
    },
    /// Names and values are too long together.
    #[error(
        "its labels have {bytes} bytes, the limit is {limit} (max_label_bytes, Options::label_bytes_per_series); raise \
         it or shorten them"
    )]
    TooLong {
        /// Bytes found.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A reference to a symbol that is not in the request.
    #[error("symbol {index} does not exist, the request has {symbols}")]
    Symbol {
        /// The reference.
        index: u64,
        /// The number of symbols.
        symbols: usize,
    },
    /// The number of references is odd.
    #[error("its label references do not come in pairs")]
    Unpaired,
}

impl LabelFault {
    /// Whether the message itself is malformed, because a reference has no symbol.
    pub(crate) fn is_reference(&self) -> bool {
        matches!(self, LabelFault::Symbol { .. } | LabelFault::Unpaired)
    }
}

/// Why a sample, a series or a description was not stored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteReason {
    /// The label set is invalid.
    #[error(transparent)]
    Labels(#[from] LabelFault),
    /// The histogram is invalid.
    #[error("histogram at {timestamp_ms} ms: {fault}")]
    Histogram {
        /// Its time.
        timestamp_ms: i64,
        /// What is wrong.
        fault: HistogramError,
    },
    /// The exemplar's labels are invalid.
    #[error("exemplar: {0}")]
    Exemplar(LabelFault),
    /// The sample is too far in the future.
    #[error("timestamp {timestamp_ms} ms is more than 10 minutes in the future; check the sender's clock")]
    Future {
        /// Its time.
        timestamp_ms: i64,
    },
    /// The sample is older than the retention.
    #[error(
        "timestamp {timestamp_ms} ms is older than the retention, which reaches back to {limit_ms} ms (retention)"
    )]
    TooOld {
        /// Its time.
        timestamp_ms: i64,
        /// The oldest time that is kept.
        limit_ms: i64,
    },
    /// The timestamp does not fit into 64 bits of nanoseconds.
    #[error("timestamp {timestamp_ms} ms is out of range")]
    Time {
        /// Its time.
        timestamp_ms: i64,
    },
    /// Version 2: both samples and histograms.
    #[error("it has samples and histograms; only one of them is allowed")]
    Mixed,
    /// Version 2: neither samples nor histograms.
    #[error("it has neither samples nor histograms")]
    Empty,
    /// The database refuses it, and will refuse it again unless something changes.
    #[error("{why}")]
    Refused {
        /// The reason.
        why: String,
    },
    /// A limit that clears with time: the same request may be accepted later.
    #[error("{why}")]
    Limited {
        /// The reason.
        why: String,
    },
}
