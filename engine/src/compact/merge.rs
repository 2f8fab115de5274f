//! Merging partitions: all generations of a partition become one.
//!
//! Series are identified by their labels. A label set can have several ids (after a restart). Its samples are written
//! under the smallest, and every id keeps its series record, because a flush in progress may still write chunks under
//! any of them. The output is read back and compared before it replaces anything.
//!
//! Small partitions are merged together: their generations share tables, and one commit adds all of them. Otherwise a
//! database with very many small partitions would have as many tables, and an fsync of the store for each.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use roaring::RoaringTreemap;

use crate::chunk::pieces::PieceMerge;
use crate::chunk::{Run, Sealing};
use crate::codec::CompressionLevel;
use crate::compact::Compactor;
use crate::compact::downsample::newest_included_delete;
use crate::compact::events::{EventFingerprint, EventMerge};
use crate::compact::index::{SeriesMerge, merge_postings};
use crate::compact::samples::{Fingerprint, GroupSources, for_each_chunk};
use crate::compact::untouched::is_untouched;
use crate::model::{Labels, PartitionId, RuleOf, SeriesId, TimeRange};
use crate::store::catalogue::{Catalogue, Generation, GenerationRecord, Tombstone, Trim};
use crate::store::cursors::ChunkCursors;
use crate::store::duplicates::DuplicateScan;
use crate::store::generation::{GenerationReader, GenerationWriter, Tables};
use crate::store::keys::Prefix;
use crate::store::versions::{Edit, IndexChange, Now};
use crate::{Error, Result};

/// The events of one instant may take the memory for merges divided by this.
const EVENT_PARTS: u64 = 4;

/// The input of the merge of one partition.
struct Inputs {
    partition: PartitionId,
    generations: Vec<Arc<Generation>>,
    tombstones: Vec<Arc<Tombstone>>,
    /// Series that are past their retention in all of the partition.
    trims: Vec<Arc<Trim>>,
    /// The generations with events that are not past their retention.
    with_events: Vec<Arc<Generation>>,
    /// The newest delete that this merge applies.
    deletes_applied: u64,
    cut: u64,
}

impl Inputs {
    /// Deletes up to `until` are applied even if a tier does not include them. `None` if the partition must wait: a later
    /// delete hides samples of one generation and comes before the cut of another. The output has the largest cut, so
    /// that delete would no longer hide anything (C2).
    fn of(catalogue: &Catalogue, partition: PartitionId, until: u64) -> Option<Self> {
        let generations = catalogue.generations.in_partition(partition).to_vec();
        let deletes_applied = newest_included_delete(catalogue, partition).max(until);
        let concerns = |t: &&Arc<Tombstone>| generations.iter().any(|g| t.concerns(&g.record));
        let applied = catalogue.tombstones.iter().take_while(|t| t.seq <= deletes_applied);
        let tombstones = applied.filter(concerns).cloned().collect();
        let cut = generations.iter().map(|g| g.record.cut).max().unwrap_or(0);
        let mut later = catalogue.tombstones.iter_from(deletes_applied.saturating_add(1));
        let is_overtaken = later.any(|t| t.seq <= cut && concerns(&t));
        let trims = catalogue.trims_over(partition);
        let with_events = generations.iter().filter(|g| catalogue.has_events(g)).cloned().collect();
        (!is_overtaken).then_some(Inputs {
            partition,
            generations,
            tombstones,
            trims,
            with_events,
            deletes_applied,
            cut,
        })
    }

    /// The generations whose samples of a series are not past the retention.
    fn kept_of(&self, labels: &Labels) -> Cow<'_, [Arc<Generation>]> {
        let mut of_series = self.trims.iter().filter(|trim| trim.series.contains(labels)).peekable();
        if of_series.peek().is_none() {
            return Cow::Borrowed(&self.generations);
        }
        let trims: Vec<_> = of_series.collect();
        let is_kept =
            |generation: &&Arc<Generation>| trims.iter().all(|trim| !trim.concerns(&generation.record));
        Cow::Owned(self.generations.iter().filter(is_kept).cloned().collect())
    }
}

/// The output, with a checksum over all samples for the read-back.
struct Output {
    prefix: Prefix,
    record: GenerationRecord,
    fingerprint: u64,
    events: EventFingerprint,
    /// Ids whose samples were all deleted, or are past their retention.
    emptied: RoaringTreemap,
}

/// The effect of a merge on a partition.
enum Outcome {
    /// This generation replaces the others.
    Written(Output),
    /// The deletes and trims match nothing in the partition: only its record changes.
    Untouched(Arc<Generation>, GenerationRecord),
}

impl<'c> Compactor<'c> {
    /// Merges partitions, all or none, except those that must wait for a repair of the tiers; the caller holds the merging
    /// lock. Returns those that gave way to a flush and must be merged again.
    pub(crate) fn merge(&self, partitions: &[PartitionId]) -> Result<Vec<PartitionId>> {
        let started = Instant::now();
        let prepared = self.versions.resolve_uncertain(self.context).and_then(|()| self.prepare(partitions));
        let merged = prepared.and_then(|done| {
            let prepared = done.len();
            self.swap_in(done).map(|again| (prepared - again.len(), again))
        });
        self.versions.end_merge();
        match merged {
            Ok((merged, again)) => {
                self.counts.merges.add(merged as u64);
                self.counts.ns.add(started.elapsed().as_nanos() as u64);
                Ok(again)
            }
            Err(e) => {
                self.counts.failures.add(1);
                Err(e)
            }
        }
    }

    /// Writes the replacements of the partitions' generations.
    fn prepare(&self, partitions: &[PartitionId]) -> Result<Vec<(Inputs, Outcome)>> {
        // Announced before the inputs are chosen, so that the samples that flushes add from here on are recorded.
        fail_point!("merge.begun");
        let catalogue = self.versions.begin_merge(partitions);
        let kv = self.kv;
        let mut tables = Tables::new(kv);
        let mut done = Vec::with_capacity(partitions.len());
        for &partition in partitions {
            refuse_damaged(&catalogue, partition)?;
            // It is merged by a later pass, after the tiers have been repaired.
            let Some(inputs) = Inputs::of(&catalogue, partition, self.deletes_until) else { continue };
            let outcome = match is_untouched(kv, &inputs.generations, &inputs.tombstones, &inputs.trims)? {
                Some(generation) => {
                    let record =
                        GenerationRecord { deletes_applied: inputs.deletes_applied, ..generation.record };
                    Outcome::Untouched(generation.clone(), record)
                }
                None => Outcome::Written(self.write_merged(&mut tables, &inputs)?),
            };
            done.push((inputs, outcome));
        }
        drop(catalogue);
        fail_point!("merge.written");
        let written = || done.iter().filter_map(|(_, outcome)| outcome.written());
        let is_good = tables.ingest().and_then(|()| {
            fail_point!("merge.ingested");
            written().try_for_each(|output| self.check_merged(output))
        });
        self.versions.reading_back(None);
        if let Err(e) = is_good {
            self.versions.discard(written().map(|output| output.prefix).collect());
            return Err(e);
        }
        Ok(done)
    }

    fn write_merged(&self, tables: &mut Tables<'c>, inputs: &Inputs) -> Result<Output> {
        let (kv, bytes) = (self.kv, self.work_bytes_max);
        let scan = DuplicateScan::take_within(bytes, kv, &inputs.generations, &[], &|| Ok(()))?;
        let duplicates = scan.duplicates();
        let prefix = self.versions.fresh_prefix(inputs.partition);
        let sealing = Sealing { samples_max: self.chunk_samples, level: CompressionLevel::Best };
        let mut writer = GenerationWriter::new(tables, prefix, inputs.cut, sealing);
        let mut output = Output {
            prefix,
            record: GenerationRecord::default(),
            fingerprint: 0,
            events: EventFingerprint::default(),
            emptied: RoaringTreemap::new(),
        };
        let mut cursors = ChunkCursors::scanning(kv);
        let mut records = SeriesMerge::new(kv, &inputs.generations)?;
        let mut group = GroupMerge::default();
        while let Some((id, labels)) = records.next()? {
            if !duplicates.contains(id.0) {
                let alone = [id.0];
                let ids = scan.groups.get(&id.0).map_or(&alone[..], Vec::as_slice);
                let hiding = inputs.tombstones.iter().filter(|t| t.matches(&labels)).map(|t| &**t);
                let kept = inputs.kept_of(&labels);
                let sources = GroupSources::new(&kept, hiding.collect(), ids, &mut cursors);
                let rule = RuleOf::new(&self.duplicates, &labels);
                match group.write(sources, rule, id, &mut writer)? {
                    Some(fingerprint) => output.fingerprint = output.fingerprint.wrapping_add(fingerprint),
                    None => output.emptied.extend(ids),
                }
            }
            if !output.emptied.contains(id.0) {
                writer.add_record(id, &labels)?;
            }
        }
        merge_postings(kv, &inputs.generations, &output.emptied, &mut writer)?;
        let mut events = EventMerge::new(kv, &inputs.with_events, &inputs.tombstones, bytes / EVENT_PARTS);
        output.events = events.write(&mut writer)?;
        self.counts.event_bytes_peak.raise_to(events.peak() as u64);
        self.counts.samples_peak.raise_to(group.merge.peak() as u64);
        let (_, record) = writer.finish()?;
        output.record = GenerationRecord { deletes_applied: inputs.deletes_applied, merged: true, ..record };
        Ok(output)
    }

    /// Reads the new generation back and compares it with what was written.
    fn check_merged(&self, output: &Output) -> Result<()> {
        let generation = self.versions.generation(output.prefix, output.record);
        self.versions.reading_back(Some(generation.clone()));
        let kv = self.kv;
        let reader = GenerationReader::new(kv, &generation);
        let mut cursors = ChunkCursors::scanning(kv);
        let (mut found, mut samples) = (0u64, 0u64);
        let mut fingerprint = Fingerprint::default();
        reader.for_each_series(&mut |id, _| {
            for_each_chunk(&mut cursors, &generation, id, &mut |run| fingerprint.add(run, 0))?;
            if fingerprint.samples() > 0 {
                samples += fingerprint.samples();
                found = found.wrapping_add(fingerprint.take(id.0));
            }
            Ok(())
        })?;
        let mut events = EventFingerprint::default();
        reader.for_each_event(TimeRange::ALL, &mut |time, labels, text| {
            events.add(time, &labels, &text);
            Ok(())
        })?;
        if (found, samples, events) == (output.fingerprint, output.record.samples, output.events) {
            return Ok(());
        }
        Err(Error::Corrupt {
            file: format!("chunks/{}", output.prefix.encode().escape_ascii()),
            offset: 0,
            what: format!(
                "a merge reads back {samples} samples with fingerprint {found:016x} and {} events, wrote {} with \
                 {:016x} and {}; its inputs stay in use",
                events.count(),
                output.record.samples,
                output.fingerprint,
                output.events.count()
            ),
        })
    }

    /// Replaces inputs by outputs. Returns the partitions that cannot be replaced: a flush wrote samples of a series
    /// that no longer has any in the inputs, and whose record the output therefore lacks.
    fn swap_in(&self, done: Vec<(Inputs, Outcome)>) -> Result<Vec<PartitionId>> {
        let mut swap = Swap::default();
        self.versions.commit(self.context, |now| {
            let edit = swap.edit(self, now, done);
            fail_point!("merge.checked");
            Ok((!edit.remove.is_empty()).then_some(edit))
        })?;
        fail_point!("merge.swapped");
        swap.replaced.iter().for_each(|g| g.mark_obsolete());
        fail_point!("merge.retired");
        self.versions.discard(swap.in_vain);
        Ok(swap.again)
    }
}

/// The effects of a merge besides its edit.
#[derive(Default)]
struct Swap {
    /// Partitions to merge again.
    again: Vec<PartitionId>,
    /// Outputs that are not used.
    in_vain: Vec<Prefix>,
    /// Inputs whose keys can be removed.
    replaced: Vec<Arc<Generation>>,
}

impl Swap {
    fn edit(&mut self, compactor: &Compactor<'_>, now: &Now<'_>, done: Vec<(Inputs, Outcome)>) -> Edit {
        let (mut edit, mut index) = (Edit::default(), IndexChange::default());
        for (inputs, outcome) in done {
            match outcome {
                Outcome::Untouched(old, record) => {
                    // The same keys under a new record: none of them is removed.
                    edit.add.push(old.with_record(record));
                    edit.remove.push(old);
                }
                Outcome::Written(output) if now.indexed.are_relied_on(inputs.partition, &output.emptied) => {
                    self.again.push(inputs.partition);
                    self.in_vain.push(output.prefix);
                }
                Outcome::Written(output) => {
                    if output.record.samples > 0 || output.record.events > 0 {
                        edit.add.push(compactor.versions.generation(output.prefix, output.record));
                    }
                    self.replaced.extend(inputs.generations.iter().cloned());
                    edit.remove.extend(inputs.generations);
                    if !output.emptied.is_empty() {
                        // A flush in progress may rely on records that are gone now: it starts over.
                        index.removed.push((inputs.partition, output.emptied));
                    }
                }
            }
        }
        Edit { index, ..edit.without_spent(now.catalogue) }
    }
}

impl Outcome {
    fn written(&self) -> Option<&Output> {
        match self {
            Outcome::Written(output) => Some(output),
            Outcome::Untouched(..) => None,
        }
    }
}

/// A merge of the readable part of a partition would change its order relative to what is set aside, and drop series
/// records.
fn refuse_damaged(catalogue: &Catalogue, partition: PartitionId) -> Result<()> {
    let (first, last) = catalogue.layout().bounds(partition);
    match catalogue.damage_of(partition.tier, TimeRange::inclusive(first, last)).next() {
        Some((_, damage)) => Err(Error::Corrupt {
            file: format!("partition {}", partition),
            offset: 0,
            what: format!("{damage}; it is not merged"),
        }),
        None => Ok(()),
    }
}

/// Writes the samples of one series after another.
#[derive(Default)]
struct GroupMerge {
    merge: PieceMerge,
    fingerprint: Fingerprint,
    pending: Run,
}

impl GroupMerge {
    /// Writes the samples of one series. Returns their fingerprint, if there are any.
    fn write(
        &mut self,
        mut sources: GroupSources<'_, '_>,
        rule: RuleOf<'_>,
        id: SeriesId,
        writer: &mut GenerationWriter<'_, '_>,
    ) -> Result<Option<u64>> {
        let GroupMerge { merge, fingerprint, pending } = self;
        merge.begin(&mut sources)?;
        loop {
            let before = pending.len();
            if !merge.next(&mut sources, || rule.get(), pending)? {
                break;
            }
            fingerprint.add(pending, before);
            writer.add_samples(id, pending)?;
        }
        writer.end_samples(id, pending)?;
        Ok((fingerprint.samples() > 0).then(|| fingerprint.take(id.0)))
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Labels, Matcher, TimeRange, Value};
    use crate::{Batch, Engine, Options};

    const SECOND: i64 = 1_000_000_000;

    fn append(engine: &Engine, job: &str, at: i64) {
        let mut batch = Batch::new();
        let labels = Labels::from_pairs([("__name__", "up"), ("job", job)]).expect("names differ");
        batch.push(&labels, at, Value::Float(1.0));
        engine.append(&batch).expect("append");
    }

    fn times(engine: &Engine, job: &str) -> Vec<i64> {
        let view = engine.view();
        let found = view.select(&[Matcher::equal("job", job)], TimeRange::ALL, 10).expect("memory answers");
        found.iter().flat_map(|s| view.read(s, TimeRange::ALL).expect("memory answers").timestamps).collect()
    }

    #[test]
    fn a_flush_during_a_merge_that_empties_a_series_keeps_what_it_wrote() {
        let engine = Engine::in_memory(Options { background: false, ..Options::default() });
        let engine = engine.expect("the options are good");
        append(&engine, "a", SECOND);
        append(&engine, "b", SECOND);
        engine.flush().expect("flush");
        engine.delete(&[Matcher::equal("job", "a")], TimeRange::ALL).expect("delete");

        let partition = engine.shared.versions.layout().raw(SECOND);
        let compactor = engine.shared.compactor();
        let prepared = compactor.prepare(&[partition]).expect("merged");
        // Its series record is in a generation that is being merged, where no sample of it is left.
        append(&engine, "a", 2 * SECOND);
        engine.flush().expect("flush");
        assert_eq!(compactor.swap_in(prepared).expect("swap"), [partition], "the output lacks the record");
        assert_eq!(times(&engine, "a"), [2 * SECOND]);
        assert!(engine.verify().expect("verify").is_clean());

        engine.compact().expect("merge");
        assert_eq!((times(&engine, "a"), times(&engine, "b")), (vec![2 * SECOND], vec![SECOND]));
    }
}
