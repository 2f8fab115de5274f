//! Background work: flushes when one is due, then merges and expires.
//!
//! One job flushes and one merges, so that a long merge never delays a flush; a third one re-reads the store
//! (`scrub.rs`). The threads are those of all databases of the process (`workers.rs`).
//!
//! # When the flush job looks
//! Its thread sleeps until something is due. Whatever may make a flush due earlier, or leaves something else to this job,
//! calls `Jobs::note_work` (`jobs.rs`): the first call since the last look makes it look again within a second, the others
//! cost one load. The job forgets the note before it looks, so no change goes unseen. What cannot wait calls `Jobs::ask`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::compact::{Compactor, is_expiry_due, next_merges};
use crate::engine::jobs::NAP;
use crate::engine::upkeep::short_lives::OVERLAPPING;
use crate::engine::{Engine, Shared};
use crate::model::{PartitionId, TierId};
use crate::sync::MutexGuard;
use crate::wal::Wal;
use crate::workers::{Lane, Next};
use crate::{Error, Result};

/// The work of all databases. More flushes at once would not be faster; a merge and a scrub may take long.
static FLUSHES: Lane = Lane::new("flush", 8);
static MERGES: Lane = Lane::new("compact", 8);
static SCRUBS: Lane = Lane::new("scrub", 32);

/// Bytes of chunks that may wait to be removed until all merges are done: a table's worth.
const DEAD_BYTES_MAX: u64 = 64 << 20;
/// Number of deletes since the last flush that starts the next one: each read compares them with its series.
const DELETES_MAX: usize = 1024;
/// How long to wait after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Minimum time between searches for idle series that are caused by refused new ones: a series written once a minute
/// is not idle.
const ROOM_EVERY: Duration = Duration::from_secs(60);
/// How often partitions are looked at without being asked.
const COMPACT_EVERY: Duration = Duration::from_secs(60);

impl Engine {
    pub(in crate::engine) fn start_workers(&self) -> Result<()> {
        if !self.shared.options.background {
            return Ok(());
        }
        let add = |lane: &'static Lane, name: &str, look: fn(&Shared) -> Next| {
            let shared = Arc::clone(&self.shared);
            let added = lane.add(move || look(&shared));
            added.map(Some).map_err(|e| Error::io("start a background thread", name, e))
        };
        let is_scrubbed = !self.shared.options.scrub_interval.is_zero();
        self.shared.jobs.start(|jobs| {
            jobs.flush = add(&FLUSHES, "flush", Shared::look_to_flush)?;
            jobs.merge = add(&MERGES, "compact", Shared::look_to_merge)?;
            if is_scrubbed {
                jobs.scrub = add(&SCRUBS, "scrub", Shared::look_to_scrub)?;
            }
            Ok(())
        })
    }

    /// Carries out retention and every merge that is due, now.
    ///
    /// # Errors
    /// The store refused, or the database was closed meanwhile; what was merged before
    /// stays merged.
    pub fn compact(&self) -> Result<()> {
        self.shared.check_writable()?;
        let _call = self.shared.lifecycle.enter()?;
        self.shared.compact()?;
        // Closing ends it early.
        self.shared.check_writable()
    }
}

impl Shared {
    pub(in crate::engine) fn look_to_flush(&self) -> Next {
        // Before the look: what changes after it is noted again.
        self.jobs.begin_look();
        self.settle_deferred();
        self.head.release();
        if self.is_flush_due() && self.flush().is_err() {
            let at = Instant::now() + PAUSE_AFTER_FAILURE;
            return Next::After { pause: at, at };
        }
        self.next_look().map_or(Next::Woken, Next::At)
    }

    /// When a flush, or what else is left to its job, is due without any further change.
    fn next_look(&self) -> Option<Instant> {
        let first = self.commit.lock().first_append;
        let old = first.and_then(|first| first.checked_add(self.options.flush_interval));
        let room = self.wants_room.load(Ordering::SeqCst).then(|| *self.idle_looked.lock() + ROOM_EVERY);
        // Nobody says when the last reader of what is kept ends.
        let kept = self.head.keeps().then(|| Instant::now() + NAP);
        old.into_iter().chain(room).chain(kept).min()
    }

    fn look_to_merge(&self) -> Next {
        let at = Instant::now() + COMPACT_EVERY;
        if let Err(error) = self.compact() {
            tracing::error!(%error, "compaction failed; it will be tried again");
            return Next::After { pause: Instant::now() + PAUSE_AFTER_FAILURE, at };
        }
        Next::At(at)
    }

    pub(in crate::engine) fn is_flush_due(&self) -> bool {
        let is_large = self.is_head_large() || self.head.pins.deletes() >= DELETES_MAX;
        let is_long = self.wal.as_ref().map_or(0, Wal::size_bytes) >= self.options.wal_bytes;
        let first = self.commit.lock().first_append;
        let is_old = first.is_some_and(|t| t.elapsed() >= self.options.flush_interval);
        // Also without further appends; a store that refuses everything is not asked again.
        let is_unfinished = self.failing.is_any() && self.versions.kv().failure().is_none();
        is_large
            || is_long
            || is_old
            || is_unfinished
            || (first.is_some() && self.is_newly_pressed())
            || self.is_room_due()
    }

    /// Whether series take much of their memory, and an eighth of it has come since a flush last looked for idle
    /// ones. Where all are active a flush frees none, and without growth it is not tried again.
    pub(in crate::engine) fn is_newly_pressed(&self) -> bool {
        let (bytes, seen) = (self.head.series_bytes(), self.series_bytes_seen.load(Ordering::Relaxed));
        bytes >= self.options.series_bytes_pressure()
            && bytes.saturating_sub(seen) >= self.options.series_bytes_max() / 8
    }

    /// Whether a new series was refused because memory is full, and the last search for idle ones is long enough ago.
    fn is_room_due(&self) -> bool {
        self.wants_room.load(Ordering::SeqCst) && self.idle_looked.lock().elapsed() >= ROOM_EVERY
    }

    /// Retention, then the merges that are due, until the database closes.
    pub(crate) fn compact(&self) -> Result<()> {
        let mut merging = self.merging.lock();
        self.hold_reserve();
        // What frees space goes before what needs some.
        // Each pass moves it on by a little: a second try is none.
        let horizon = self.retention.pass(self.chunk_policy().layout.width(TierId::RAW));
        let expired = match is_expiry_due(&self.versions.current(), &|_| horizon) {
            true => self
                .with_room(|| self.compactor().expire(&|_| horizon))
                .and_then(|()| self.collect_with_room()),
            false => Ok(()),
        };
        let done = expired.and_then(|()| self.merge_all(&mut merging, |from| self.next_merges(from)));
        // Also after a failure: a full disk gets room in no other way.
        done.and(self.collect_with_room())?;
        self.versions.settle_tables(OVERLAPPING)
    }

    /// Merges each partition that `next` returns once, in order; partitions that become due again are left to the next
    /// pass. If a merge fails, the other partitions are still merged, unless the disk is full. Ends early when the
    /// database closes.
    pub(in crate::engine) fn merge_all(
        &self,
        merging: &mut MutexGuard<'_, ()>,
        next: impl FnMut(PartitionId) -> Vec<PartitionId>,
    ) -> Result<()> {
        self.merge_while(merging, || !self.jobs.are_ending(), next)
    }

    /// As [`Shared::merge_all`], for as long as `goes_on` is true.
    pub(in crate::engine) fn merge_while(
        &self,
        merging: &mut MutexGuard<'_, ()>,
        mut goes_on: impl FnMut() -> bool,
        mut next: impl FnMut(PartitionId) -> Vec<PartitionId>,
    ) -> Result<()> {
        let (mut from, mut done) = (PartitionId::MIN, Ok(()));
        let mut waiting: Vec<Vec<PartitionId>> = Vec::new();
        while goes_on() {
            let together = waiting.pop().unwrap_or_else(|| next(from));
            let Some(last) = together.last() else { break };
            from = from.max(last.next());
            match self.compactor().merge(&together) {
                // They gave way to a flush and are merged again.
                Ok(again) => waiting.extend((!again.is_empty()).then_some(again)),
                Err(error @ Error::DiskFull { .. }) => return Err(error),
                Err(error) if together.len() == 1 => {
                    tracing::error!(partition = %last, %error, "merge failed; its inputs stay in use");
                    done = done.and(Err(error));
                }
                // One of them may be damaged: each is merged alone.
                Err(_) => waiting.extend(together.iter().rev().map(|partition| vec![*partition])),
            }
            // Small generations share tables, which are rewritten once for all of them: they wait.
            if self.versions.obsolete().bytes() >= DEAD_BYTES_MAX {
                self.versions.collect()?;
            }
            // Lets waiters for a pause in merging go first: a flush, for which appends may wait, or a snapshot.
            MutexGuard::bump(merging);
        }
        done
    }

    /// Removes obsolete generations, and works on a full disk too.
    pub(in crate::engine) fn collect_with_room(&self) -> Result<()> {
        if self.versions.obsolete().is_empty() { Ok(()) } else { self.with_room(|| self.versions.collect()) }
    }

    pub(crate) fn compactor(&self) -> Compactor<'_> {
        Compactor {
            versions: &self.versions,
            context: self,
            counters: &self.counters,
            chunk_samples: self.options.chunk_samples,
            work_bytes_max: self.options.work_bytes_max(),
        }
    }

    /// The next partitions to merge together, from `from` on.
    pub(in crate::engine) fn next_merges(&self, from: PartitionId) -> Vec<PartitionId> {
        let catalogue = self.versions.current_owned();
        let now = catalogue.root.newest.min(self.clock.now());
        next_merges(&catalogue, now, from, |partitions| self.has_memory_to_merge(partitions))
    }
}
