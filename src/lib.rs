//! Barograph is a metrics database that can be embedded in a program or run as a server.
//!
//! A [`Database`] is a handle of an open database. It accepts samples and line protocol, stores them durably, and
//! evaluates PromQL.
//!
//! ```
//! use barograph::{Database, LineOptions, Timestamp};
//!
//! # fn main() -> barograph::Result<()> {
//! # let dir = tempfile::tempdir().expect("a directory");
//! # let directory = dir.path();
//! let db = Database::open(directory)?;
//! let lines = "cpu,host=a usage=0.5 1700000000000000000\ncpu,host=b usage=0.7 1700000000000000000\n";
//! let report = db.write_lines(lines.as_bytes(), &LineOptions::default())?;
//! assert_eq!(report.samples, 2);
//! let answer = db.query("max(cpu_usage)", Timestamp::from_secs(1_700_000_060))?;
//! let samples = answer.value.into_vector().unwrap_or_default();
//! assert_eq!(samples[0].value.as_f64(), Some(0.7));
//! db.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Blocking, threads, async
//! Every call blocks: appends until the disk has confirmed the write (see [`Durability`]), queries until they are
//! evaluated. In async code, use the runtime's function for blocking calls (`tokio::task::spawn_blocking`). A
//! [`Database`] is `Send`, `Sync` and cheap to clone. Flushes and merges run on background threads, which all databases
//! of the process share; RocksDB has two threads per process. Queries run on the calling thread and on those of a
//! [`Crew`]. No call panics because of invalid input or a full disk.
//!
//! # Times
//! An instant is a [`Timestamp`] in nanoseconds, which converts from [`SystemTime`](std::time::SystemTime) and parses
//! RFC 3339. A span is a [`Duration`](std::time::Duration). A [`TimeRange`] converts from a range such as `begin..end`.
//! Queries are evaluated at whole milliseconds.

mod batch;
mod columns;
mod database;
mod error;
mod ladders;
mod owned;
mod range;
mod reader;
mod scan;
mod selector;
mod snapshot;
mod subscribe;
mod tenants;
mod ticket;
mod view;

/// Limits of memory and time for a piece of work: shares of memory, allowances, cancellation, deadlines.
pub mod budget {
    pub use barograph_engine::budget::{
        Account, Allowance, Cancel, Denied, Full, Hold, Part, Places, Share, Stopped, Taken, Turn, Work,
    };
}

/// Items that the server, tests and benchmarks of this repository use from the crates below. Not for embedders: they
/// may change at any time.
#[doc(hidden)]
pub mod internals {
    pub use barograph_engine::codec::varint;
    pub use barograph_engine::model::{Samples, pattern};
    pub use barograph_engine::options::PARTS;
    pub use barograph_engine::rollup::{Sketch, sketch};
    pub use barograph_engine::{line, remote};
    pub use barograph_query::request::Metered;
    pub use barograph_query::{Usage, functions, sketched, syntax};
}

pub use barograph_engine::line::{
    LineError, LineErrorKind, LineLimits, Naming, Precision, UnknownNaming, UnknownPrecision,
};
pub use barograph_engine::model::{
    CompileError, Duplicates, Exemplar, Expressions, Histogram, HistogramError, Labels, LabelsBuilder,
    LabelsError, METRIC_NAME, MatchOp, Matcher, Metadata, MetricType, PatternError, ResetHint, Resolution,
    STALE_NAN_BITS, Span, Tenant, Value, is_stale,
};
pub use barograph_engine::remote::{LabelFault, RemoteReason, WireError, WireFault};
pub use barograph_engine::{
    AppendReport, BudgetReport, Cardinality, CleanReport, Damage, DataDrop, DiskBytes, Dropped, Durability,
    Error as StorageError, ErrorKind as StorageErrorKind, Event, EventsReport, FarLine, FlushReport, Health,
    Kept, KeptTrial, Ladder, LadderReport, LineBody, LineOptions, LineReport, OpenReport, Options, PartUse,
    RemoteRefusal, RemoteReport, RemoteVersion, RepairReport, SeriesClass, SeriesHandle, SnapshotProgress,
    SnapshotReport, Stats, Subscription, TenantUse, TenantsReport, Tier, TierBuild, TierReport, Tiers,
    Timestamp, TimestampError, Update, VerifyReport,
};
pub use barograph_query::source::{Cause, SourceError};
pub use barograph_query::{
    Accuracy, Bucket, BucketKind, Cancel, Cost, Crew, Explained, Limits, MatrixSeries, QueryError,
    QueryErrorKind, QueryStats, QueryValue, Request, Response, SampleValue, TierChoice, Times, VectorSample,
    histogram_buckets,
};
pub use batch::Batch;
pub use columns::{Samples, SeriesColumns};
pub use database::Database;
pub use error::{Error, ErrorKind, Result};
pub use ladders::parse_ladders;
pub use range::TimeRange;
pub use reader::Reader;
pub use scan::Scan;
pub use selector::{parse_selector, parse_selector_within};
pub use ticket::AppendTicket;
pub use view::View;
