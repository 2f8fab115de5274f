//! Chooses a tier by what its buckets would take, measured on stored samples.

use super::class::class_of;
use crate::Result;
use crate::codec::CompressionLevel;
use crate::compact::Compactor;
use crate::compact::index::SeriesMerge;
use crate::model::{Labels, MetricTypes, PartitionId, Resolution, SeriesId, TierId};
use crate::rollup::{Bucket, Builder, Extras, Shape, encode};
use crate::store::catalogue::Catalogue;
use crate::store::cursors::ChunkCursors;
use crate::store::generation::fold_run;
use crate::store::generations::Partition;

/// The choices, narrowest first.
const CHOICES: [&str; 3] = ["1h", "6h", "1d"];
/// A bucket of the tier holds at least as many samples on average.
const SAMPLES_MIN: u64 = 30;
/// Raw samples take at least as many times the bytes of the buckets.
const TIMES_SMALLER: u64 = 4;
/// The maximum number of series that are measured, spread evenly over all.
const SERIES: u64 = 256;
/// The number of partitions that are measured.
const PARTITIONS: usize = 32;
/// Fewer buckets of a series say little about what more of them take.
const BUCKETS_MIN: usize = 24;

/// What was measured of a tier.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    samples: u64,
    buckets: u64,
    raw_bytes: u64,
    bucket_bytes: u64,
}

impl Measured {
    fn is_worth_it(&self) -> bool {
        self.buckets > 0
            && self.samples >= self.buckets * SAMPLES_MIN
            && self.raw_bytes >= self.bucket_bytes * TIMES_SMALLER
    }
}

/// The resolutions among which is chosen, narrowest first.
pub(crate) fn choices() -> impl Iterator<Item = Resolution> {
    CHOICES.into_iter().filter_map(Resolution::parse)
}

/// The newest raw partition that can be measured.
pub(crate) fn newest_merged(catalogue: &Catalogue) -> Option<PartitionId> {
    merged(catalogue).last().map(|partition| partition.id)
}

/// Whether the series with this index is measured, of `count`.
fn is_measured(at: u64, count: u64) -> bool {
    let measured_before = |at: u64| at.saturating_mul(SERIES) / count.max(1);
    measured_before(at) != measured_before(at + 1)
}

fn merged(catalogue: &Catalogue) -> impl Iterator<Item = &Partition> {
    let raw = catalogue.generations.partitions_from(PartitionId::first_of(TierId::RAW));
    raw.take_while(|partition| partition.id.tier.is_raw()).filter(|partition| {
        matches!(&partition.generations[..], [one] if one.record.merged) && partition.aside.is_empty()
    })
}

impl Compactor<'_> {
    /// The narrowest tier that is worth its bytes, judged by the newest merged partitions.
    pub(crate) fn choose_tier(&self, catalogue: &Catalogue) -> Result<Option<Resolution>> {
        let all: Vec<&Partition> = merged(catalogue).collect();
        let newest = &all[all.len().saturating_sub(PARTITIONS)..];
        let Some(last) = newest.last().map(|partition| &partition.generations) else { return Ok(None) };
        let series = last[0].record.series;
        let mut measured = choices().map(|resolution| (resolution, Measured::default())).collect::<Vec<_>>();
        let mut cursors = ChunkCursors::scanning(self.kv);
        let (mut records, mut at) = (SeriesMerge::new(self.kv, last)?, 0u64);
        while let Some((id, labels)) = records.next()? {
            at += 1;
            if !is_measured(at - 1, series) {
                continue;
            }
            let of_series = SeriesParts::read(&mut cursors, newest, id)?;
            if !of_series.is_constant {
                let each = measured.iter_mut().zip(&of_series.buckets);
                each.for_each(|((resolution, of), buckets)| {
                    of_series.add_to(*resolution, self.types, &labels, buckets, of)
                });
            }
        }
        Ok(measured.iter().find(|(_, measured)| measured.is_worth_it()).map(|(resolution, _)| *resolution))
    }
}

/// What the samples of a series are, raw and as buckets. They are read chunk by chunk: there may be millions.
struct SeriesParts {
    samples: u64,
    bytes: u64,
    /// Constant ones take next to nothing, in any form.
    is_constant: bool,
    /// The buckets of each choice.
    buckets: Vec<Vec<Bucket>>,
}

impl SeriesParts {
    fn read(cursors: &mut ChunkCursors<'_>, partitions: &[&Partition], id: SeriesId) -> Result<Self> {
        let builder = |resolution: Resolution| Builder::new(resolution.width_ns(), Extras::default());
        let mut builders: Vec<Builder> = choices().map(builder).collect();
        let buckets = builders.iter().map(|_| Vec::new()).collect();
        let mut of = SeriesParts { samples: 0, bytes: 0, is_constant: true, buckets };
        let mut first: Option<u64> = None;
        for generation in partitions.iter().flat_map(|partition| &partition.generations) {
            cursors.each_run(generation, id, &mut |run, bytes| {
                of.bytes += bytes;
                of.samples += run.len() as u64;
                let mut bits = run.values.iter().map(|value| value.to_bits());
                of.is_constant = of.is_constant && bits.all(|bits| *first.get_or_insert(bits) == bits);
                for (builder, buckets) in builders.iter_mut().zip(&mut of.buckets) {
                    fold_run(builder, run, 0, buckets);
                }
            })?;
        }
        builders.iter_mut().zip(&mut of.buckets).for_each(|(builder, buckets)| builder.finish(buckets));
        Ok(of)
    }

    /// Adds what the series takes to a choice, of which it has these buckets.
    fn add_to(
        &self,
        resolution: Resolution,
        types: &dyn MetricTypes,
        labels: &Labels,
        buckets: &[Bucket],
        into: &mut Measured,
    ) {
        if buckets.len() < BUCKETS_MIN {
            return;
        }
        let shape = Shape {
            width: resolution.width_ns(),
            source: 0,
            class: class_of(types, labels, buckets),
            bounds: false,
        };
        let size = |buckets: &[Bucket]| {
            let mut chunk = Vec::new();
            encode::encode(&[], &shape, buckets, CompressionLevel::Best, &mut chunk);
            chunk.len() as u64
        };
        // A chunk of the tier holds a hundred buckets and more, so what it takes beside them does not count.
        let (half, all) = (buckets.len() / 2, buckets.len());
        let of_more = size(buckets).saturating_sub(size(&buckets[..half]));
        into.bucket_bytes += of_more * all as u64 / (all - half) as u64;
        into.raw_bytes += self.bytes;
        into.samples += self.samples;
        into.buckets += all as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_series_are_measured_as_there_may_be() {
        for (count, expected) in [(1, 1), (255, 255), (256, 256), (257, 256), (511, 256), (100_000, 256)] {
            let measured: Vec<u64> = (0..count).filter(|&at| is_measured(at, count)).collect();
            assert_eq!(measured.len(), expected, "of {count}");
            let distances = measured.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(distances.clone().max() <= distances.min().map(|least| least + 1), "evenly");
        }
    }
}
