//! Merging a partition: all its generations become one.
//!
//! Series are the same iff their labels are. A label set can have several ids (after a
//! restart); its samples are written under the smallest, and every id keeps its series
//! record, because a flush that is under way may still write chunks under any of them.
//! What is written is read back and compared before it replaces anything.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use roaring::RoaringTreemap;

use crate::chunk::pieces::PieceMerge;
use crate::chunk::{Run, Sealing};
use crate::codec::Effort;
use crate::compact::count;
use crate::compact::events::{EventFingerprint, EventMerge};
use crate::compact::index::{SeriesMerge, merge_postings};
use crate::compact::samples::{Fingerprint, GroupSources, for_each_chunk};
use crate::engine::Parts;
use crate::model::{PartitionId, SeriesId, TimeRange};
use crate::store::catalogue::{Generation, GenerationRecord, Tombstone, generations_of};
use crate::store::doubles::Census;
use crate::store::generation::{GenerationReader, GenerationWriter, Tables};
use crate::store::keys::Prefix;
use crate::store::walk::Walks;
use crate::{Error, Result};

/// One of so many parts of the memory for merges is for the events of an instant.
const EVENT_PARTS: u64 = 4;

/// What goes into one merge.
struct Inputs {
    generations: Vec<Arc<Generation>>,
    tombstones: Vec<Arc<Tombstone>>,
    /// The newest delete that this merge carries out.
    deletes_applied: u64,
    cut: u64,
}

/// What came out, with a checksum over all samples for the read-back.
struct Output {
    prefix: Prefix,
    record: GenerationRecord,
    fingerprint: u64,
    events: EventFingerprint,
    /// Ids whose samples were all deleted.
    emptied: RoaringTreemap,
}

impl Parts {
    /// Merges `partition`; the caller holds the merging lock. False if it gave way to a flush and is to be done anew.
    pub(crate) fn merge(&self, partition: PartitionId) -> Result<bool> {
        let started = Instant::now();
        let merged = self.end_doubt().and_then(|()| self.merge_inputs(partition)).and_then(|inputs| {
            let output = self.write_merged(partition, &inputs)?;
            if let Err(e) = self.check_merged(&output) {
                self.discard(vec![output.prefix]);
                return Err(e);
            }
            self.swap_in(partition, inputs, output)
        });
        self.structure.lock().merging = None;
        match merged {
            Ok(is_in) => {
                count(&self.counters.merges, u64::from(is_in));
                count(&self.counters.merge_ns, started.elapsed().as_nanos() as u64);
                Ok(is_in)
            }
            Err(e) => {
                count(&self.counters.merge_failures, 1);
                Err(e)
            }
        }
    }

    fn merge_inputs(&self, partition: PartitionId) -> Result<Inputs> {
        // Announced before the inputs are chosen: what a flush adds from here on is told.
        self.structure.lock().merging = Some((partition, RoaringTreemap::new()));
        let catalogue = self.catalogue.load_full();
        let generations = generations_of(&catalogue.generations, partition).to_vec();
        let cut = generations.iter().map(|g| g.record.cut).max().unwrap_or(0);
        let deletes_applied = catalogue.tombstones.iter().map(|t| t.seq).max().unwrap_or(0);
        Ok(Inputs { generations, tombstones: catalogue.tombstones.clone(), deletes_applied, cut })
    }

    fn write_merged(&self, partition: PartitionId, inputs: &Inputs) -> Result<Output> {
        let bytes = self.options.work_bytes_max();
        let census = Census::take_within(bytes, &*self.kv, &inputs.generations, &[], &|| Ok(()))?;
        let doubles = census.doubles();
        let mut tables = Tables::new(&*self.kv);
        let prefix = self.fresh_prefix(partition);
        let sealing = Sealing { samples_max: self.options.chunk_samples, effort: Effort::Best };
        let mut writer = GenerationWriter::new(&mut tables, prefix, inputs.cut, sealing);
        let mut output = Output {
            prefix,
            record: GenerationRecord::default(),
            fingerprint: 0,
            events: EventFingerprint::default(),
            emptied: RoaringTreemap::new(),
        };
        let mut walks = Walks::scanning(&*self.kv);
        let mut records = SeriesMerge::new(&*self.kv, &inputs.generations)?;
        let mut group = GroupMerge::default();
        while let Some((id, labels)) = records.next()? {
            if !doubles.contains(id.0) {
                let alone = [id.0];
                let ids = census.groups.get(&id.0).map_or(&alone[..], Vec::as_slice);
                let hiding = inputs.tombstones.iter().filter(|t| t.matches(&labels)).map(|t| &**t);
                let sources = GroupSources::new(&inputs.generations, hiding.collect(), ids, &mut walks);
                match group.write(sources, id, &mut writer)? {
                    Some(fingerprint) => output.fingerprint = output.fingerprint.wrapping_add(fingerprint),
                    None => output.emptied.extend(ids),
                }
            }
            if !output.emptied.contains(id.0) {
                writer.add_record(id, &labels)?;
            }
        }
        merge_postings(&*self.kv, &inputs.generations, &output.emptied, &mut writer)?;
        let mut events =
            EventMerge::new(&*self.kv, &inputs.generations, &inputs.tombstones, bytes / EVENT_PARTS);
        output.events = events.write(&mut writer)?;
        self.counters.merge_event_bytes_peak.fetch_max(events.peak() as u64, Ordering::Relaxed);
        self.counters.merge_samples_peak.fetch_max(group.merge.peak() as u64, Ordering::Relaxed);
        let (_, record) = writer.finish()?;
        output.record = GenerationRecord { deletes_applied: inputs.deletes_applied, merged: true, ..record };
        if let Err(e) = tables.ingest() {
            self.discard(vec![prefix]);
            return Err(e);
        }
        Ok(output)
    }

    /// Reads the new generation back and compares.
    fn check_merged(&self, output: &Output) -> Result<()> {
        let generation = Generation::new(output.prefix, output.record, &self.graveyard);
        let reader = GenerationReader::new(&*self.kv, &generation);
        let mut walks = Walks::scanning(&*self.kv);
        let (mut found, mut samples) = (0u64, 0u64);
        let mut fingerprint = Fingerprint::default();
        reader.for_each_series(&mut |id, _| {
            for_each_chunk(&mut walks, &generation, id, &mut |run| fingerprint.add(run, 0))?;
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

    /// Puts the output in place of the inputs. False if it may not be: a flush wrote samples of a series that has
    /// none in the inputs any more and whose record the output therefore lacks; it is merged anew then.
    fn swap_in(&self, partition: PartitionId, inputs: Inputs, output: Output) -> Result<bool> {
        let mut structure = self.structure.lock();
        let counted_on = structure.merging.take().map(|(_, ids)| ids).unwrap_or_default();
        if !counted_on.is_disjoint(&output.emptied) {
            drop(structure);
            self.discard(vec![output.prefix]);
            return Ok(false);
        }
        let current = self.catalogue.load_full();
        let mut next = (*current).clone();
        next.generations.retain(|g| !inputs.generations.iter().any(|i| i.prefix == g.prefix));
        let is_empty = output.record.samples == 0 && output.record.events == 0;
        if !is_empty {
            next.generations.push(Generation::new(output.prefix, output.record, &self.graveyard));
        }
        next.forget_spent_tombstones(self.unflushed_cut());
        self.replace_catalogue(&mut structure.doubt, &current, next)?;
        if !output.emptied.is_empty() {
            // A flush under way may count on records that are gone now: it starts over.
            *structure.versions.entry(partition).or_default() += 1;
            if let Some(indexed) = structure.indexed.get_mut(&partition) {
                *indexed -= &output.emptied;
            }
        }
        drop(structure);
        inputs.generations.iter().for_each(|g| g.retire());
        Ok(true)
    }
}

/// Writes series after series.
#[derive(Default)]
struct GroupMerge {
    merge: PieceMerge,
    fingerprint: Fingerprint,
    pending: Run,
}

impl GroupMerge {
    /// Writes the samples of one series; their fingerprint, if there are any.
    fn write(
        &mut self,
        mut sources: GroupSources<'_, '_>,
        id: SeriesId,
        writer: &mut GenerationWriter<'_, '_>,
    ) -> Result<Option<u64>> {
        let GroupMerge { merge, fingerprint, pending } = self;
        merge.begin(&mut sources)?;
        loop {
            let before = pending.len();
            if !merge.next(&mut sources, pending)? {
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
    use crate::model::{Labels, Matcher, PartitionId, TimeRange, Value};
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

        let (parts, partition) =
            (&engine.parts, PartitionId::of(SECOND, engine.parts.cutting().partition_width_ns));
        let inputs = parts.merge_inputs(partition).expect("inputs");
        let output = parts.write_merged(partition, &inputs).expect("merged");
        // Its series record is in a generation that is being merged, where no sample of it is left.
        append(&engine, "a", 2 * SECOND);
        engine.flush().expect("flush");
        assert!(!parts.swap_in(partition, inputs, output).expect("swap"), "it lacks the record");
        assert_eq!(times(&engine, "a"), [2 * SECOND]);
        assert!(engine.verify().expect("verify").is_clean());

        engine.compact().expect("merge");
        assert_eq!((times(&engine, "a"), times(&engine, "b")), (vec![2 * SECOND], vec![SECOND]));
    }
}
