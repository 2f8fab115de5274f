//! The output of a flush: one generation for each partition, and the catalogue that names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::chunk::{Run, Sealing};
use crate::codec::CompressionLevel;
use crate::engine::notes::NotesTaken;
use crate::engine::upkeep::flush::{FlushReport, Flusher};
use crate::head::{Epoch, FrozenEvent, HeadSeries};
use crate::index::ids::IdList;
use crate::model::{PartitionId, RuleOf, TimeRange};
use crate::store::catalogue::{GenerationRecord, Tombstone};
use crate::store::generation::{GenerationWriter, Tables};
use crate::store::keys::Prefix;
use crate::store::versions::{Edit, IndexChange, IndexVersions, Now};
use crate::{Error, Result};

/// How often a flush starts over because a merge has removed series from a partition's index, before it excludes
/// merges.
const TRIES: u32 = 2;

/// Frozen samples by partition.
pub(super) type Work = BTreeMap<PartitionId, PartitionWork>;

#[derive(Default)]
pub(super) struct PartitionWork {
    /// Indexes into the list of frozen series, ascending by id.
    series: Vec<u32>,
    events: Vec<FrozenEvent>,
}

/// A generation that was written but is not in the catalogue yet.
struct Written {
    prefix: Prefix,
    record: GenerationRecord,
    /// The series that it has a record of.
    indexed: IdList,
}

impl Flusher {
    pub(super) fn write_undisturbed(
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
        let _merging = self.merger.lock();
        let report = self.write_generations(epoch, frozen, work, deletes)?;
        report.ok_or_else(|| Error::Store {
            action: "flush",
            message: "the index of a partition changed while merges were kept out".to_owned(),
        })
    }

    pub(super) fn plan(&self, frozen: &[Arc<HeadSeries>], deletes: &[Arc<Tombstone>]) -> Work {
        let layout = self.versions.layout();
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
            if later.any(|t| t.range.contains(event.timestamp.as_nanos()) && t.matches(&event.labels)) {
                continue;
            }
            let partition = layout.raw(event.timestamp.as_nanos());
            work.entry(partition).or_default().events.push(frozen);
        }
        work
    }

    /// Steps 2 and 3. `None` if the index of a partition changed in the meantime.
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
        let (chunk_policy, rules) = (self.writer.chunk_policy(), self.head.rules());
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
                self.counts.samples_peak.raise_to(run.len() as u64);
                writer.add_samples(series.id, run)
            };
            let rule = RuleOf::new(&rules.duplicates, &series.labels);
            unflushed.data.read_pieces(span, &seen, rule, &mut run, &mut write)?;
            writer.end_samples(series.id, &mut run)?;
        }
        for event in work.events.iter().map(FrozenEvent::event) {
            writer.add_event(event.timestamp.as_nanos(), &event.labels, &event.text)?;
        }
        let (prefix, record) = writer.finish()?;
        Ok(Written { prefix, record, indexed })
    }

    /// Step 3. Returns false if a partition's index has changed since `since` was taken. `ids_in` returns the series
    /// that have samples in a partition.
    fn publish<I: Iterator<Item = u64>>(
        &self,
        epoch: Epoch,
        written: &[Written],
        since: &IndexVersions,
        ids_in: impl Fn(PartitionId) -> I,
    ) -> Result<bool> {
        let mut notes = NotesTaken::take(&self.head, self.retention.horizon().all);
        let was_published = self.versions.commit(&*self.writer, |now| {
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
}
