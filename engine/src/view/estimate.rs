//! Estimates the cost of reading a selection from the index and the catalogue alone.
//!
//! The catalogue has the number of series, chunks and samples of each generation, and the index the number of selected
//! series. Both are assumed to be distributed evenly. The head is counted series by series. No chunk is read.

use roaring::RoaringTreemap;

use super::{SERIES_PER_CHECK, View};
use crate::Result;
use crate::model::{Matcher, PartitionId, TimeRange};
use crate::store::catalogue::GenerationRecord;
use crate::store::generation::GenerationReader;

/// An estimate of the data that a read would touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadEstimate {
    /// The number of series.
    pub series: u64,
    /// The number of chunks, including those in memory.
    pub chunks: u64,
    /// The number of samples in the range.
    pub samples: u64,
}

impl View<'_> {
    /// An estimate for reading the series that match all matchers in `range`.
    ///
    /// # Errors
    /// [`View::work`] was stopped, or the store could not be read.
    pub fn estimate(&self, matchers: &[Matcher], range: TimeRange) -> Result<ReadEstimate> {
        let _call = self.enter()?;
        self.without_damage(|| self.estimate_once(matchers, range))
    }

    fn estimate_once(&self, matchers: &[Matcher], range: TimeRange) -> Result<ReadEstimate> {
        let mut series = RoaringTreemap::new();
        let (mut chunks, mut samples) = (0.0, 0.0);
        for (at, head) in self.head.select(&self.scoped(matchers), &self.work)?.iter().enumerate() {
            if at.is_multiple_of(SERIES_PER_CHECK) {
                self.work.check()?;
            }
            let (c, s) = head.estimate(range, share);
            if c > 0 {
                series.insert(head.id.0);
            }
            chunks += c as f64;
            samples += s;
        }
        let catalogue = &self.catalogue;
        let mut partition: Option<(PartitionId, RoaringTreemap)> = None;
        let mut partitions = Vec::new();
        for generation in self.indexing(catalogue, range)? {
            let at = generation.prefix.partition;
            if !at.tier.is_raw() {
                continue;
            }
            if partition.as_ref().is_none_or(|(known, _)| *known != at) {
                partitions.extend(partition.replace((at, RoaringTreemap::new())));
            }
            let found = self.stored_ids(&GenerationReader::new(self.kv, generation), matchers)?;
            if let Some((_, ids)) = &mut partition {
                *ids |= found;
            }
        }
        partitions.extend(partition);
        for (partition, ids) in partitions {
            let generations = catalogue.generations.in_partition(partition);
            let indexed: u64 = generations.iter().map(|g| g.record.series).sum();
            let part = ids.len() as f64 / indexed.max(1) as f64;
            let in_range = generations.iter().filter(|g| range.overlaps(g.record.first, g.record.last));
            for generation in in_range {
                let (c, s) = of_generation(&generation.record, indexed, range);
                chunks += c * part;
                samples += s * part;
            }
            series |= ids;
        }
        Ok(ReadEstimate {
            series: series.len(),
            chunks: chunks.round() as u64,
            samples: samples.round() as u64,
        })
    }
}

/// The chunks and samples in `range` of all series of a generation.
fn of_generation(record: &GenerationRecord, series: u64, range: TimeRange) -> (f64, f64) {
    let share = share(record.first, record.last, range);
    let (chunks, series) = (record.chunks as f64, series.max(1) as f64);
    // A range that begins and ends inside chunks touches one more chunk of each series.
    let touched = (chunks * share + series.min(chunks)).min(chunks);
    (touched, record.samples as f64 * share)
}

/// The fraction of `first..=last` that is in `range`.
fn share(first: i64, last: i64, range: TimeRange) -> f64 {
    let from = first.max(range.start);
    let to = last.min(range.end);
    if to < from || range.is_empty() {
        return 0.0;
    }
    let whole = last.abs_diff(first);
    if whole == 0 { 1.0 } else { to.abs_diff(from) as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_time() {
        assert_eq!(share(0, 100, TimeRange::new(50, 200)), 0.5);
        assert_eq!(share(0, 100, TimeRange::ALL), 1.0);
        assert_eq!(share(7, 7, TimeRange::new(0, 7)), 1.0);
        assert_eq!(share(0, 100, TimeRange::new(200, 300)), 0.0);
        assert_eq!(share(i64::MIN, i64::MAX, TimeRange::new(5, 4)), 0.0);
    }
}
