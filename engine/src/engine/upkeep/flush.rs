//! Flushing: the head's samples become generations of the store.
//!
//! # Steps
//! 1. Under the commit lock the WAL is cut at sequence S and a new epoch begins. Everything before it is frozen;
//!    appends continue.
//! 2. One generation per partition is written into tables, with the late and in-order samples of each series merged;
//!    the store ingests the tables.
//! 3. The catalogue that names them, with `flushed_seq = S`, is committed together with changed metadata and exemplars.
//!    At this moment the flush has happened.
//! 4. The head drops what was frozen, except for what earlier readers still need (`head/isolation/kept.rs`); the WAL drops what
//!    is at or below S.
//!
//! A crash before step 3 leaves ranges that no catalogue names; opening removes them. A failure before step 3 leaves
//! the frozen samples in place, and the next flush retries. After a failure in step 3 and a crash, the flush may or may
//! not have happened; both states are complete (`store/versions/uncertain.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::chunk::{Run, Sealing};
use crate::codec::CompressionLevel;
use crate::engine::jobs::Task;
use crate::engine::{Begun, Engine, FlushState, Shared};
use crate::head::kept::Ended;
use crate::head::{Epoch, FrozenEvent, HeadSeries};
use crate::index::ids::IdList;
use crate::model::{PartitionId, TimeRange};
use crate::stats::Counters;
use crate::store::catalogue::{GenerationRecord, Tombstone};
use crate::store::generation::{GenerationWriter, Tables};
use crate::store::keys::Prefix;
use crate::store::versions::{CommitContext, Edit, IndexChange, IndexVersions, Now};
use crate::wal::Wal;
use crate::{Error, Result};

/// What a flush wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// Samples written.
    pub samples: u64,
    /// Chunks written.
    pub chunks: u64,
    /// Bytes of chunks, before block compression.
    pub bytes: u64,
    /// Partitions touched.
    pub partitions: u64,
}

/// Flushes in a row without a sample after which a series leaves the head.
const IDLE_FLUSHES: u32 = 2;

/// The same where series take much of their memory.
const IDLE_FLUSHES_PRESSED: u32 = 1;

/// How often a flush starts over because a merge took series out of a partition's index
/// under it, before it keeps merges out.
const TRIES: u32 = 2;

impl Engine {
    /// Writes everything in memory to the store and shortens the WAL.
    ///
    /// # Errors
    /// The store refused; nothing is lost, the samples stay in memory and in the WAL.
    pub fn flush(&self) -> Result<FlushReport> {
        self.shared.check_writable()?;
        let _call = self.shared.lifecycle.enter()?;
        // A flush that completes an earlier one begins none, so it applies nothing that waits.
        self.shared.settle_deferred();
        self.shared.flush()
    }
}

/// Frozen samples by the partition they belong to.
type Work = BTreeMap<PartitionId, PartitionWork>;

#[derive(Default)]
struct PartitionWork {
    /// Indexes into the list of frozen series, ascending by id.
    series: Vec<u32>,
    events: Vec<FrozenEvent>,
}

/// A generation that was written but is not in the catalogue yet.
struct Written {
    prefix: Prefix,
    record: GenerationRecord,
    /// Series that it has a record of.
    indexed: IdList,
}

impl Shared {
    pub(crate) fn flush(&self) -> Result<FlushReport> {
        let mut state = self.flush.lock();
        let Some(begun) = self.begin_flush(&mut state)? else {
            self.let_idle_series_go();
            return Ok(FlushReport::default());
        };
        fail_point!("flush.begun");
        let started = Instant::now();
        let done = self.flush_frozen(begun).and_then(|report| {
            fail_point!("flush.released");
            // If that fails, only cutting the log remains.
            state.begun = Some(Begun { bytes: 0, ..begun });
            self.wal.as_ref().map_or(Ok(()), |wal| wal.truncate_to(begun.epoch.cut)).map(|()| report)
        });
        self.failing.note(&done);
        // Readers may hold what it has written.
        self.jobs.note_work();
        match &done {
            Ok(_) => {
                fail_point!("flush.truncated");
                state.begun = None;
                Counters::add(&self.counters.flushes, 1);
                Counters::add(&self.counters.flush_ns, started.elapsed().as_nanos() as u64);
                self.grow_reserves();
                self.room.1.notify_all();
                self.jobs.ask(Task::Merge);
                self.evict_idle_series();
                self.settle_pile();
            }
            Err(e) => {
                Counters::add(&self.counters.flush_failures, 1);
                tracing::error!(error = %e, "flush failed; it will be tried again");
            }
        }
        done
    }

    /// Step 1, unless an earlier flush has still to be completed.
    fn begin_flush(&self, state: &mut FlushState) -> Result<Option<Begun>> {
        if state.begun.is_some() {
            return Ok(state.begun);
        }
        let is_any = || {
            let commit = self.commit.lock();
            commit.first_append.is_some() || !commit.pending.is_empty()
        };
        if let Some(wal) = self.wal.as_ref().filter(|_| is_any()) {
            // Turning to a new segment syncs the old one, for which writers would wait; now little is left of it.
            wal.sync()?;
        }
        let mut commit = self.commit.lock();
        // The cut divides the log: everything before it is in the head, and records after it define their series
        // again.
        self.settle_all(&mut commit);
        if commit.first_append.is_none() {
            return Ok(None);
        }
        let cut = match &self.wal {
            Some(wal) => wal.rotate()?,
            None => commit.last_seq,
        };
        commit.epoch = Epoch { number: commit.epoch.number + 1, cut };
        commit.first_append = None;
        let base = self.head.pins.begin_epoch(&mut commit.turn, cut);
        self.head.events.freeze();
        // What is kept for readers was flushed before; the flush lock prevents it from growing.
        let bytes = self.head.unflushed_bytes();
        state.begun = Some(Begun { epoch: commit.epoch, start: commit.turn.start(), base, bytes });
        Ok(state.begun)
    }

    /// Steps 2 to 4, without the log.
    fn flush_frozen(&self, begun: Begun) -> Result<FlushReport> {
        self.versions.resolve_uncertain(self)?;
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

    fn write_undisturbed(
        &self,
        epoch: Epoch,
        frozen: &[Arc<HeadSeries>],
        work: &Work,
        deletes: &[Arc<Tombstone>],
    ) -> Result<FlushReport> {
        for _ in 0..TRIES {
            if let Some(report) = self.write_generations(epoch, frozen, work, deletes)? {
                return Ok(report);
            }
        }
        let _merging = self.merging.lock();
        let report = self.write_generations(epoch, frozen, work, deletes)?;
        report.ok_or_else(|| Error::Store {
            action: "flush",
            message: "the index of a partition changed while merges were kept out".to_owned(),
        })
    }

    fn plan(&self, frozen: &[Arc<HeadSeries>], deletes: &[Arc<Tombstone>]) -> Work {
        let layout = self.chunk_policy().layout;
        let mut work = Work::new();
        for (index, series) in (0u32..).zip(frozen) {
            let Some(unflushed) = series.frozen() else { continue };
            unflushed.data.for_each_partition(layout, |partition| {
                work.entry(partition).or_default().series.push(index);
            });
        }
        for frozen in self.head.events.frozen() {
            let (seq, event) = (frozen.seq(), frozen.event());
            let mut later = deletes.iter().filter(|t| t.seq > seq);
            if later.any(|t| t.range.contains(event.timestamp) && t.matches(&event.labels)) {
                continue;
            }
            let partition = layout.raw(event.timestamp);
            work.entry(partition).or_default().events.push(frozen);
        }
        work
    }

    /// Steps 2 and 3. `None` if the index of a partition changed meanwhile.
    fn write_generations(
        &self,
        epoch: Epoch,
        frozen: &[Arc<HeadSeries>],
        work: &Work,
        deletes: &[Arc<Tombstone>],
    ) -> Result<Option<FlushReport>> {
        let since = self.versions.index_versions(work.keys().copied());
        let mut tables = Tables::new(self.versions.kv());
        let mut written = Vec::with_capacity(work.len());
        for (&partition, part) in work {
            written.push(self.write_partition(&mut tables, epoch, partition, frozen, part, deletes)?);
            fail_point!("flush.partition");
        }
        // In some partitions everything was deleted.
        let is_empty = |w: &mut Written| w.record.samples == 0 && w.record.events == 0;
        let empty: Vec<Written> = written.extract_if(.., is_empty).collect();
        let ids_in = |partition| {
            let series: &[u32] = work.get(&partition).map_or(&[], |part| &part.series);
            series.iter().map(|&index| frozen[index as usize].id.0)
        };
        let published = tables.ingest().and_then(|()| {
            fail_point!("flush.ingested");
            self.publish(epoch, &written, &since, ids_in)
        });
        let prefixes = |written: &[Written]| written.iter().map(|w| w.prefix).collect();
        if !matches!(published, Ok(true)) {
            self.versions.discard(prefixes(&written));
        }
        self.versions.discard(prefixes(&empty));
        let mut report = FlushReport { partitions: written.len() as u64, ..FlushReport::default() };
        for record in written.iter().map(|w| &w.record) {
            report.samples += record.samples;
            report.chunks += record.chunks;
            report.bytes += record.bytes;
        }
        Ok(published?.then_some(report))
    }

    fn write_partition(
        &self,
        tables: &mut Tables<'_>,
        epoch: Epoch,
        partition: PartitionId,
        frozen: &[Arc<HeadSeries>],
        work: &PartitionWork,
        deletes: &[Arc<Tombstone>],
    ) -> Result<Written> {
        let known = self.versions.indexed_in(partition);
        let chunk_policy = self.chunk_policy();
        let (first, last) = chunk_policy.layout.bounds(partition);
        let span = TimeRange::inclusive(first, last);
        let prefix = self.versions.fresh_prefix(partition);
        let sealing = Sealing { samples_max: chunk_policy.chunk_samples, level: CompressionLevel::Fast };
        let mut writer = GenerationWriter::new(tables, prefix, epoch.cut, sealing);
        let (mut indexed, mut run) = (IdList::default(), Run::default());
        for &index in &work.series {
            let series = &frozen[index as usize];
            let Some(unflushed) = series.frozen() else { continue };
            let hiding = deletes.iter().filter(|t| t.matches(&series.labels));
            let seen = unflushed.data.seen_at(epoch.cut, hiding.map(|t| (t.seq, t.range)));
            let mut is_indexed = known.contains(series.id.0);
            let mut write = |run: &mut Run| {
                if !is_indexed && !run.is_empty() {
                    writer.add_labels(series.id, &series.labels)?;
                    indexed.insert(series.id.0);
                    is_indexed = true;
                }
                self.counters.flush_samples_peak.fetch_max(run.len() as u64, Ordering::Relaxed);
                writer.add_samples(series.id, run)
            };
            unflushed.data.read_pieces(span, &seen, &mut run, &mut write)?;
            writer.end_samples(series.id, &mut run)?;
        }
        for event in work.events.iter().map(FrozenEvent::event) {
            writer.add_event(event.timestamp, &event.labels, &event.text)?;
        }
        let (prefix, record) = writer.finish()?;
        Ok(Written { prefix, record, indexed })
    }

    /// Step 3; false if a partition's index changed since `since` was taken. `ids_in` returns the series that have
    /// samples in a partition.
    fn publish<I: Iterator<Item = u64>>(
        &self,
        epoch: Epoch,
        written: &[Written],
        since: &IndexVersions,
        ids_in: impl Fn(PartitionId) -> I,
    ) -> Result<bool> {
        let mut notes = self.take_notes();
        let was_published = self.versions.commit(self, |now| {
            if !now.indexed.is_unchanged(since) {
                return Ok(None);
            }
            let edit = self.flush_edit(epoch, written, now, ids_in);
            Ok(Some(Edit { others: notes.changes()?, ..edit }))
        })?;
        if was_published {
            notes.settle();
        }
        Ok(was_published)
    }

    fn flush_edit<I: Iterator<Item = u64>>(
        &self,
        epoch: Epoch,
        written: &[Written],
        now: &Now<'_>,
        ids_in: impl Fn(PartitionId) -> I,
    ) -> Edit {
        let counted = self.retention.newest();
        let index = IndexChange {
            added: written.iter().map(|w| (w.prefix.partition, w.indexed.to_bitmap())).collect(),
            relied_on: now
                .indexed
                .merging()
                .map(|partition| (partition, ids_in(partition).collect()))
                .collect(),
            ..IndexChange::default()
        };
        let edit = Edit {
            add: written.iter().map(|w| self.versions.generation(w.prefix, w.record)).collect(),
            flushed_seq: Some(epoch.cut),
            newest: written.iter().map(|w| w.record.last.min(counted)).max(),
            index,
            ..Edit::default()
        };
        edit.without_spent(now.catalogue)
    }

    /// What a flush that has nothing to write does where series want room: those without samples leave.
    fn let_idle_series_go(&self) {
        if self.is_pressed() {
            self.head.all_series().iter().for_each(|series| series.note_idle());
            self.evict_idle_series();
        }
    }

    /// Whether series take much of their memory, or new ones were refused because it is full.
    fn is_pressed(&self) -> bool {
        self.head.series_bytes() >= self.options.series_bytes_pressure()
            || self.wants_room.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn evict_idle_series(&self) {
        let is_pressed = self.is_pressed();
        self.wants_room.store(false, std::sync::atomic::Ordering::Relaxed);
        *self.idle_looked.lock() = Instant::now();
        let idle_flushes = if is_pressed { IDLE_FLUSHES_PRESSED } else { IDLE_FLUSHES };
        // Only flushes change it, and one at a time.
        let epoch = self.commit.lock().epoch;
        let evicted =
            self.head.evict(|series| series.evict_if_idle(idle_flushes, epoch), || self.commit.lock());
        self.series_bytes_seen.store(self.head.series_bytes(), Ordering::Relaxed);
        if evicted > 0 {
            self.known.purge_dead();
            tracing::debug!(evicted, "idle series left the head");
        }
    }
}

impl CommitContext for Shared {
    fn next_series(&self) -> u64 {
        self.head.next_id()
    }

    fn sync_log(&self, seq: u64) -> Result<()> {
        match &self.wal {
            Some(wal) if seq > wal.durable_seq() => Wal::sync(wal),
            _ => Ok(()),
        }
    }

    fn publish(&self, flushed_seq: u64, replace: &mut dyn FnMut()) {
        self.head.pins.publish(flushed_seq, replace);
    }
}
