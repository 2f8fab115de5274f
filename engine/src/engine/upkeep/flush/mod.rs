//! Flushing: the head's samples become generations of the store.
//!
//! # Steps
//! 1. Under the commit lock the WAL is cut at sequence S and a new epoch begins. Everything before it is frozen;
//!    appends continue.
//! 2. One generation per partition is written into tables, with the late and in-order samples of each series merged;
//!    the store ingests the tables.
//! 3. The catalogue that names them, with `flushed_seq = S`, is committed together with changed metadata and exemplars.
//!    At this moment the flush has happened.
//! 4. The head drops what was frozen, except for what earlier readers still need (`head/isolation/kept.rs`); the WAL
//!    drops what is at or below S.
//!
//! A crash before step 3 leaves ranges that no catalogue names; opening removes them. A failure before step 3 leaves
//! the frozen samples in place, and the next flush retries. After a failure in step 3 and a crash, the flush may or may
//! not have happened; both states are complete (`store/versions/uncertain.rs`).
//!
//! Next: `due.rs` (when), `write.rs` (steps 2 and 3).

mod due;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use due::PAUSE_AFTER_FAILURE;

use crate::Result;
use crate::engine::Engine;
use crate::engine::admit::Admission;
use crate::engine::base::Base;
use crate::engine::directory::disk::Disk;
use crate::engine::health::Failing;
use crate::engine::jobs::{Jobs, Task};
use crate::engine::retention::Retention;
use crate::engine::upkeep::merge::Merger;
use crate::engine::write::{Begun, Writer};
use crate::head::Head;
use crate::head::kept::Ended;
use crate::options::Options;
use crate::stats::{Counter, Stats};
use crate::store::catalogue::Tombstone;
use crate::store::versions::Versions;
use crate::sync::Mutex;

/// The output of a flush.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlushReport {
    /// Number of samples written.
    pub samples: u64,
    /// Number of chunks written.
    pub chunks: u64,
    /// Size of the chunks before block compression, bytes.
    pub bytes: u64,
    /// Number of partitions written.
    pub partitions: u64,
}

impl Engine {
    /// Writes everything in memory to the store and truncates the WAL.
    ///
    /// # Errors
    /// The store refused. Nothing is lost: the samples stay in memory and in the WAL.
    pub fn flush(&self) -> Result<FlushReport> {
        self.shared.check_writable()?;
        let _call = self.shared.lifecycle.enter()?;
        // A flush that completes an earlier one begins none, so it does not apply waiting batches.
        self.shared.writer.settle_deferred();
        self.shared.flusher.flush()
    }
}

/// Owner of the flush lock: writes the contents of the head to the store.
pub(in crate::engine) struct Flusher {
    writer: Arc<Writer>,
    merger: Arc<Merger>,
    admission: Arc<Admission>,
    disk: Arc<Disk>,
    head: Arc<Head>,
    versions: Arc<Versions>,
    retention: Arc<Retention>,
    jobs: Arc<Jobs>,
    options: Arc<Options>,
    /// A flush that has begun; after a failure, until a later attempt completes it.
    begun: Mutex<Option<Begun>>,
    failing: Failing,
    counts: Counts,
}

/// Counts since the database was opened.
#[derive(Default)]
struct Counts {
    flushes: Counter,
    failures: Counter,
    ns: Counter,
    samples_peak: Counter,
}

impl Flusher {
    pub fn new(
        base: &Base,
        writer: &Arc<Writer>,
        merger: &Arc<Merger>,
        admission: &Arc<Admission>,
        disk: &Arc<Disk>,
    ) -> Self {
        Flusher {
            writer: writer.clone(),
            merger: merger.clone(),
            admission: admission.clone(),
            disk: disk.clone(),
            head: base.head.clone(),
            versions: base.versions.clone(),
            retention: base.retention.clone(),
            jobs: base.jobs.clone(),
            options: base.options.clone(),
            begun: Mutex::default(),
            failing: Failing::default(),
            counts: Counts::default(),
        }
    }

    /// Completes a flush that has begun, or performs one.
    ///
    /// # Errors
    /// The store or the log refused. Nothing is lost, and the next call tries again.
    pub fn flush(&self) -> Result<FlushReport> {
        let mut begun = self.begun.lock();
        let Some(this) = self.begin(&mut begun)? else {
            self.let_idle_series_go();
            return Ok(FlushReport::default());
        };
        fail_point!("flush.begun");
        let started = Instant::now();
        let done = self.flush_frozen(this).and_then(|report| {
            fail_point!("flush.released");
            // If that fails, only truncating the log remains.
            *begun = Some(Begun { bytes: 0, ..this });
            self.writer.truncate_to(this.epoch.cut).map(|()| report)
        });
        self.failing.note(&done);
        // Readers may hold what it has written.
        self.jobs.note_work();
        match &done {
            Ok(_) => {
                fail_point!("flush.truncated");
                *begun = None;
                self.counts.flushes.add(1);
                self.counts.ns.add(started.elapsed().as_nanos() as u64);
                self.disk.grow_reserves();
                self.admission.pressure().relieve();
                self.jobs.ask(Task::Merge);
                self.evict_idle_series();
                self.merger.settle_pile();
            }
            Err(e) => {
                self.counts.failures.add(1);
                tracing::error!(error = %e, "flush failed; it will be tried again");
            }
        }
        done
    }

    /// Whether a flush has begun and is not complete.
    pub fn has_begun(&self) -> bool {
        self.begun.lock().is_some()
    }

    /// Excludes flushes, unless one takes longer than `time`.
    pub fn lock_within(&self, time: Duration) -> Option<impl Sized + '_> {
        self.begun.try_lock_for(time)
    }

    /// How long flushes have been failing, and the error of the last one.
    pub fn failing(&self) -> Option<(Duration, String)> {
        self.failing.get()
    }

    pub fn add_to(&self, stats: &mut Stats) {
        let Counts { flushes, failures, ns, samples_peak } = &self.counts;
        stats.flushes = flushes.get();
        stats.flush_failures = failures.get();
        stats.flush_time = Duration::from_nanos(ns.get());
        stats.flush_samples_peak = samples_peak.get();
    }

    /// Step 1, unless an earlier flush must still be completed.
    fn begin(&self, begun: &mut Option<Begun>) -> Result<Option<Begun>> {
        if begun.is_none() {
            *begun = self.writer.begin_epoch()?;
        }
        Ok(*begun)
    }

    /// Steps 2 to 4, without the log.
    fn flush_frozen(&self, begun: Begun) -> Result<FlushReport> {
        self.versions.resolve_uncertain(&*self.writer)?;
        let Begun { epoch, start, base, bytes } = begun;
        let mut frozen = self.head.all_series();
        frozen.retain(|series| series.freeze(start));
        let deletes = self.deletes_between(base.deletes, epoch.cut);
        let work = self.plan(&frozen, &deletes);
        let report = self.write_undisturbed(epoch, &frozen, &work, &deletes)?;
        fail_point!("flush.published");
        let ended = Ended { base: base.samples, cut: epoch.cut, bytes };
        self.head.end_epoch(ended, &frozen, self.options.kept_bytes_max());
        Ok(report)
    }

    /// The deletes that hide samples of the epoch between two sequences.
    fn deletes_between(&self, base: u64, cut: u64) -> Vec<Arc<Tombstone>> {
        let catalogue = self.versions.current();
        catalogue.tombstones.iter_from(base.saturating_add(1)).take_while(|t| t.seq <= cut).cloned().collect()
    }

    /// Removes idle series if series need memory, for a flush that has nothing to write.
    fn let_idle_series_go(&self) {
        if self.admission.idle().is_pressed() {
            self.head.all_series().iter().for_each(|series| series.note_idle());
            self.evict_idle_series();
        }
    }

    fn evict_idle_series(&self) {
        let idle = self.admission.idle();
        self.writer.retire_idle(idle.begin());
        idle.end();
    }
}
