//! Barograph's storage engine, which stores and returns samples of time series.

#[macro_use]
mod fail;

pub mod budget;
pub mod chunk;
pub mod clock;
pub mod codec;
mod compact;
pub mod engine;
pub mod error;
pub mod head;
pub mod index;
pub mod line;
pub mod model;
pub mod options;
mod process;
pub mod remote;
pub mod rollup;
pub mod stats;
pub mod store;
mod sync;
pub mod view;
pub mod wal;
mod workers;

pub use engine::{
    AppendReport, BudgetReport, CleanReport, DataDrop, Dropped, Engine, EventsReport, FarLine, FlushReport,
    Health, KeptTrial, LadderReport, LineBody, LineOptions, LineReport, OpenReport, PartUse, PendingAppend,
    RemoteError, RemoteRefusal, RemoteReport, RepairReport, SnapshotProgress, SnapshotReport, Subscription,
    TierBuild, TierReport, Update, VerifyReport, restore,
};
pub use error::{Error, ErrorKind, Result};
pub use head::{Batch, Event, SeriesHandle, TenantUse, TenantsReport};
pub use model::Duplicates;
pub use model::timestamp::{Timestamp, TimestampError};
pub use options::{Durability, Kept, Ladder, Options, Tier, Tiers};
pub use remote::RemoteVersion;
pub use stats::{DiskBytes, Stats};
pub use store::catalogue::SeriesClass;
pub use view::{
    BucketPlan, Cardinality, Damage, Pieces, ReadEstimate, SeriesReader, TierSpan, View, ViewSeries,
};
