//! The vocabulary that all layers share: label sets, samples, time ranges, matchers.
//!
//! Nothing here does I/O or knows how samples are stored. The query crate uses these
//! types too, so a label set travels from the socket to a query's answer unchanged.

pub mod exemplar;
pub mod histogram;
pub mod ids;
pub mod label_order;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod partition;
pub mod pattern;
pub mod samples;
pub mod tenant;
pub mod tier;
pub mod time;
pub mod timestamp;

pub use exemplar::Exemplar;
pub use histogram::{Histogram, HistogramError, ResetHint, Span};
pub use ids::SeriesId;
pub use label_order::{LabelOrder, label_order, sort_by_labels};
pub use labels::{Labels, LabelsBuilder, LabelsError};
pub(crate) use matcher::BySeries;
pub use matcher::{MatchOp, Matcher, SeriesSet};
pub use metadata::{Metadata, MetricType, is_named_like_counter};
pub(crate) use metadata::{MetricTypes, described_as_counter};
pub use partition::{Layout, PartitionId};
pub use pattern::{CompileError, Expressions, Pattern, PatternError, PatternWalk, Rewrite, Verdict};
pub(crate) use samples::{Comparable, DuplicateRules, RuleOf, SeriesRules};
pub use samples::{Duplicates, STALE_NAN_BITS, Samples, Value, is_stale};
pub use tenant::{ForeignTenant, Tenant};
pub use tier::{Resolution, TierId};
pub use time::{TimeRange, Timestamp};

/// The label that holds a series' metric name.
pub const METRIC_NAME: &str = "__name__";
