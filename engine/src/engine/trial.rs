//! What a change of what is kept would do, before it is made.

use crate::model::Resolution;
use crate::options::Kept;
use crate::{Result, Timestamp};

use super::Engine;

/// What the compactor would do with the stored data if something else were kept. Figures are estimates.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct KeptTrial {
    /// The tiers that would be built or extended, ascending by width.
    pub builds: Vec<TierBuild>,
    /// The samples and buckets that would be dropped once the tiers include them: raw samples, then tiers ascending by width.
    pub drops: Vec<DataDrop>,
    /// The number of events that would be dropped.
    pub events: u64,
    /// The stored tiers that would be neither extended nor dropped, because nothing names them.
    pub unnamed: Vec<Resolution>,
    /// Bytes on the disk that the new buckets take; `None` if there are too few samples to measure a tier.
    pub built_bytes: Option<u64>,
    /// Bytes on the disk that become free.
    pub freed_bytes: u64,
}

/// A tier that would be built or extended.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct TierBuild {
    /// The width of its buckets.
    pub resolution: Resolution,
    /// The new buckets end after this time.
    pub from: Timestamp,
    /// They end at or before this time.
    pub through: Timestamp,
    /// The number of partitions with new buckets.
    pub partitions: u64,
    /// The number of new buckets; `None` if there are too few samples to measure it.
    pub buckets: Option<u64>,
    /// Bytes of their chunks.
    pub bytes: Option<u64>,
}

/// Samples, or buckets of a tier, that would be dropped.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DataDrop {
    /// The tier; `None`: raw samples.
    pub resolution: Option<Resolution>,
    /// The start of the first partition that loses data.
    pub from: Timestamp,
    /// The end of the last one.
    pub through: Timestamp,
    /// The number of partitions that would be dropped as a whole.
    pub partitions: u64,
    /// The number of partitions that would be rewritten, because other series or events in them are kept.
    pub rewritten: u64,
    /// The number of samples or buckets; those of rewritten partitions by the share of the series.
    pub samples: u64,
    /// Bytes of their chunks.
    pub bytes: u64,
}

impl Engine {
    /// What the compactor would do if the database kept this: what it would build, drop and free. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) where [`Engine::set_kept`] would refuse it; [`Error::Closed`](crate::Error::Closed);
    /// the store could not be read.
    pub fn try_kept(&self, kept: Kept) -> Result<KeptTrial> {
        self.shared.lifecycle.check_open()?;
        let _call = self.shared.lifecycle.enter()?;
        self.shared.merger.try_kept(kept)
    }
}
