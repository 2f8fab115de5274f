//! Reading one selected series.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Result;
use crate::chunk::Run;
use crate::head::HeadCopy;
use crate::index::{PostingsSource, select};
use crate::model::{Labels, Matcher, PartitionId, SeriesId, TimeRange, Timestamp, Value};
use crate::store::catalogue::{Catalogue, Generation, Tombstone, generations_of};
use crate::store::generation::GenerationReader;
use crate::view::{PartitionSeries, View};

/// How far back the sample before an instant is looked for, nanoseconds, nearest first: most
/// series have one within minutes, in a chunk that was read anyway.
const BEFORE_NS: [i64; 3] = [600 * 1_000_000_000, 4 * 3_600 * 1_000_000_000, i64::MAX];

/// A selected series: what the head had, and where the store keeps the rest.
pub struct ViewSeries {
    /// Its identity.
    pub labels: Labels,
    pub(super) head: Option<Arc<HeadCopy>>,
    catalogue: Arc<Catalogue>,
    /// Ascending by partition.
    ids: Vec<PartitionSeries>,
}

impl ViewSeries {
    pub(super) fn new(labels: Labels, catalogue: Arc<Catalogue>) -> Self {
        ViewSeries { labels, head: None, catalogue, ids: Vec::new() }
    }

    /// The ids it has in the store.
    pub(super) fn ids(&self) -> impl Iterator<Item = SeriesId> {
        self.ids.iter().map(|id| id.1)
    }

    /// Takes over what another entry of the same labels knows.
    pub(super) fn join(&mut self, other: &mut ViewSeries) {
        self.head = self.head.take().or_else(|| other.head.take());
        other.ids.drain(..).for_each(|(partition, id)| self.add_id(partition, id));
    }

    /// Bytes it takes, without its labels and what the head copied for it.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<ViewSeries>() + self.ids.capacity() * size_of::<PartitionSeries>()
    }

    pub(super) fn add_id(&mut self, partition: PartitionId, id: SeriesId) {
        if !self.ids.contains(&(partition, id)) {
            self.ids.push((partition, id));
        }
    }
}

impl View<'_> {
    /// The samples of `series` in `range`, ascending.
    ///
    /// # Errors
    /// A chunk is damaged, or the store could not be read.
    pub fn read(&self, series: &ViewSeries, range: TimeRange) -> Result<Run> {
        let hiding: Vec<&Tombstone> = series
            .catalogue
            .tombstones
            .iter()
            .map(|t| &**t)
            .filter(|t| {
                t.range.overlaps(range.start.saturating_add(1), range.end) && t.matches(&series.labels)
            })
            .collect();
        let mut runs = Vec::new();
        if !series.ids.is_empty() {
            self.read_stored(series, range, &hiding, &mut runs)?;
        }
        if let Some(head) = &series.head {
            self.chunks_read.fetch_add(head.chunks(range), Ordering::Relaxed);
            if let Some(frozen) = &head.frozen {
                runs.push(without(frozen.to_run(range), &hiding, frozen.cut));
            }
            runs.push(head.active.to_run(range));
        }
        let merged = Run::merge(runs);
        let inside = merged.indexes(range);
        Ok(if inside.len() == merged.len() { merged } else { merged.slice(inside) })
    }

    /// What the newest sample at or before `at` holds: as far back as memory and the
    /// partitions reach that the series was selected in, and in the one before them. Of a
    /// series that has been silent for longer, nothing.
    ///
    /// # Errors
    /// A chunk is damaged, or the store could not be read.
    pub fn newest_before(&self, series: &ViewSeries, at: Timestamp) -> Result<Option<Value>> {
        let newest = |ids: &[PartitionSeries], back_ns: i64| -> Result<Option<Value>> {
            let range = TimeRange::new(at.saturating_sub(back_ns), at);
            let around = ViewSeries {
                labels: series.labels.clone(),
                head: self.head.find(&series.labels).map(|s| Arc::new(s.copy(range))),
                catalogue: series.catalogue.clone(),
                ids: ids.to_vec(),
            };
            let run = self.read(&around, range)?;
            Ok(run.len().checked_sub(1).map(|last| run.value_at(last)))
        };
        for back_ns in BEFORE_NS {
            if let Some(found) = newest(&series.ids, back_ns)? {
                return Ok(Some(found));
            }
        }
        let here = PartitionId::of(at, series.catalogue.root.partition_width_ns);
        let is_known = |partition: PartitionId| series.ids.iter().any(|s| s.0 == partition);
        let generations = series.catalogue.generations.iter().map(|g| g.prefix.partition);
        match generations.filter(|&p| p <= here && !is_known(p)).max() {
            Some(partition) => newest(&self.ids_in(series, partition)?, i64::MAX),
            None => Ok(None),
        }
    }

    /// The ids that the series has in a partition that it was not selected in.
    fn ids_in(&self, series: &ViewSeries, partition: PartitionId) -> Result<Vec<PartitionSeries>> {
        let matchers: Vec<Matcher> = series.labels.iter().map(|(n, v)| Matcher::equal(n, v)).collect();
        let mut ids = Vec::new();
        for generation in generations_of(&series.catalogue.generations, partition) {
            let reader = GenerationReader::new(self.kv, generation);
            for id in select(&reader, &matchers)? {
                if reader.labels(id)?.is_some_and(|labels| labels == series.labels) {
                    ids.push((partition, SeriesId(id)));
                }
            }
        }
        Ok(ids)
    }

    fn read_stored(
        &self,
        series: &ViewSeries,
        range: TimeRange,
        hiding: &[&Tombstone],
        runs: &mut Vec<Run>,
    ) -> Result<()> {
        let generations = &series.catalogue.generations;
        self.with_cursor(&series.catalogue, |cursor| {
            let mut partitions: Vec<PartitionId> = series.ids.iter().map(|s| s.0).collect();
            partitions.sort_unstable();
            partitions.dedup();
            for partition in partitions {
                for generation in generations_of(generations, partition) {
                    if !range.overlaps(generation.record.first, generation.record.last) {
                        continue;
                    }
                    let reader = GenerationReader::new(self.kv, generation);
                    for &(_, id) in series.ids.iter().filter(|s| s.0 == partition) {
                        let mut run = Run::default();
                        let chunks = reader.read(cursor, id, range, &mut run)?;
                        self.chunks_read.fetch_add(chunks, Ordering::Relaxed);
                        runs.push(without(run, hiding, applied(generation)));
                    }
                }
            }
            Ok(())
        })
    }
}

/// Deletes up to this sequence are already carried out in `generation`, or were followed by
/// everything in it.
fn applied(generation: &Generation) -> u64 {
    generation.record.cut.max(generation.record.deletes_applied)
}

fn without(mut run: Run, hiding: &[&Tombstone], applied: u64) -> Run {
    for tombstone in hiding.iter().filter(|t| t.seq > applied) {
        run.retain(|t| !tombstone.range.contains(t));
    }
    run
}
