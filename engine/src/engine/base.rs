//! The common parts of the owners in an open database, needed when they are created.

use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::Clock;
use crate::engine::jobs::Jobs;
use crate::engine::known::KnownSeries;
use crate::engine::retention::Retention;
use crate::head::Head;
use crate::options::Options;
use crate::store::versions::Versions;
use crate::wal::Wal;

/// Passed to each of them.
pub(in crate::engine) struct Base {
    pub options: Arc<Options>,
    pub clock: Arc<dyn Clock>,
    pub jobs: Arc<Jobs>,
    pub head: Arc<Head>,
    pub versions: Arc<Versions>,
    pub retention: Arc<Retention>,
    pub known: Arc<KnownSeries>,
    /// `None` for a database in memory.
    pub dir: Option<PathBuf>,
    /// `None` for a database in memory, and for one opened for reading.
    pub log: Option<Arc<Wal>>,
}
