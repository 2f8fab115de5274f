//! Chooses tiers by what their buckets would take, measured on stored samples, for each class of series.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::TierJob;
use super::class::series_class;
use crate::Result;
use crate::codec::CompressionLevel;
use crate::compact::Compactor;
use crate::compact::index::SeriesMerge;
use crate::model::{Labels, MetricTypes, PartitionId, Resolution, SeriesId, TierId, Timestamp};
use crate::rollup::{Bucket, Builder, Extras, encode};
use crate::store::catalogue::{Catalogue, Choices, SeriesClass};
use crate::store::cursors::ChunkCursors;
use crate::store::generation::fold_run;
use crate::store::generations::Partition;

/// The choices, narrowest first.
const CANDIDATES: [&str; 3] = ["1h", "6h", "1d"];
/// A bucket of the tier holds at least as many samples on average.
const SAMPLES_MIN: u64 = 30;
/// Raw samples take at least as many times the bytes of the buckets.
const TIMES_SMALLER: u64 = 4;
/// The raw samples of the series for which a tier is begun take at least one in this many bytes.
const SHARE: u64 = 20;
/// The maximum number of series that are measured, spread evenly over all.
const SERIES: u64 = 256;
/// The number of partitions that are measured.
const PARTITIONS: usize = 32;
/// Fewer buckets of a series say little about what more of them take.
const BUCKETS_MIN: usize = 24;
/// The maximum number of buckets of a series that are encoded: fewer than a chunk can hold.
const BUCKETS_OF_CHUNK: usize = 1024;

/// What was measured of a tier.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    classes: BTreeMap<SeriesClass, Sizes>,
    /// Buckets of series whose samples are all equal, which take next to nothing.
    constant: u64,
    /// One of so many series has been measured.
    series_each: f64,
    /// The time that the measured samples span.
    span: i64,
}

/// What was measured of a class of series.
#[derive(Debug, Clone, Copy, Default)]
struct Sizes {
    samples: u64,
    buckets: u64,
    raw_bytes: u64,
    bucket_bytes: u64,
    /// Bytes of the buckets, including the rest of their chunks.
    chunk_bytes: u64,
}

/// The tiers that are kept, and of which series they hold buckets.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub tiers: Vec<Resolution>,
    pub choices: Arc<Choices>,
}

/// What a tier takes of a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Buckets for each nanosecond.
    pub buckets: f64,
    /// Bytes of their chunks for each nanosecond.
    pub bytes: f64,
}

impl Sizes {
    fn is_worth_it(&self) -> bool {
        self.buckets > 0
            && self.samples >= self.buckets * SAMPLES_MIN
            && self.raw_bytes >= self.bucket_bytes * TIMES_SMALLER
    }
}

impl Measured {
    /// Whether the raw samples of these classes of series take enough for a tier to be begun.
    fn is_wanted_by(&self, classes: &[SeriesClass]) -> bool {
        let bytes = |sizes: &Sizes| sizes.raw_bytes;
        let of_classes = classes.iter().filter_map(|class| self.classes.get(class)).map(bytes).sum::<u64>();
        of_classes > 0 && of_classes * SHARE >= self.classes.values().map(bytes).sum()
    }

    /// What the tier takes of the samples of the series whose buckets it holds; `None` if there were too few to measure.
    pub(crate) fn rate(&self, job: &TierJob, choices: &Choices) -> Option<Rate> {
        let each = self.series_each / self.span.max(1) as f64;
        let is_held = |class| !job.omits || choices.holds(job.tier(), class) != Some(false);
        let held = self.classes.iter().filter(|(class, _)| is_held(**class));
        let sum = |of: fn(&Sizes) -> u64| held.clone().map(|(_, sizes)| of(sizes)).sum::<u64>();
        let buckets = (sum(|sizes| sizes.buckets) + self.constant) as f64 * each;
        (buckets > 0.0).then(|| Rate { buckets, bytes: sum(|sizes| sizes.chunk_bytes) as f64 * each })
    }
}

/// The resolutions among which is chosen, narrowest first.
pub(crate) fn candidates() -> impl Iterator<Item = Resolution> {
    CANDIDATES.into_iter().filter_map(Resolution::parse)
}

/// The newest raw partition that can be measured.
pub(crate) fn newest_merged(catalogue: &Catalogue) -> Option<PartitionId> {
    merged(catalogue).last().map(|partition| partition.id)
}

/// Whether the series with this index is measured if there are `count`.
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
    /// For each class of series the narrowest tier that is worth its bytes, judged by the newest merged partitions, and those
    /// that have been begun.
    pub(crate) fn choose_tiers(&self, catalogue: &Catalogue, begun: &[Resolution]) -> Result<Chosen> {
        let job = |resolution| {
            let (extras, horizon) = (Extras::default(), Timestamp::MIN);
            TierJob { resolution, finer: None, extras, horizon, omits: true }
        };
        let jobs: Vec<TierJob> = candidates().map(job).collect();
        let measured = self.measure(catalogue, &jobs)?;
        let mut wanted_by = vec![Vec::new(); jobs.len()];
        for class in measured.first().into_iter().flat_map(|narrowest| narrowest.classes.keys()) {
            // What a tier omits stays omitted, so a wider one is to hold it.
            let may_hold = |job: &TierJob| catalogue.choices.holds(job.tier(), *class) != Some(false);
            let is_worth_it = |(job, of): (&TierJob, &Measured)| {
                may_hold(job) && of.classes.get(class).is_some_and(Sizes::is_worth_it)
            };
            if let Some(at) = jobs.iter().zip(&measured).position(is_worth_it) {
                wanted_by[at].push(*class);
            }
        }
        let mut decided = Choices::clone(&catalogue.choices);
        let is_wanted = |at: usize| measured[at].is_wanted_by(&wanted_by[at]);
        let is_chosen = |at: usize| is_wanted(at) || begun.contains(&jobs[at].resolution);
        let tiers: Vec<usize> = (0..jobs.len()).filter(|&at| is_chosen(at)).collect();
        for &at in &tiers {
            let classes = measured[at].classes.iter();
            classes.for_each(|(class, sizes)| decided.decide(jobs[at].tier(), *class, sizes.is_worth_it()));
        }
        let tiers = tiers.into_iter().map(|at| jobs[at].resolution).collect();
        Ok(Chosen { tiers, choices: Arc::new(decided) })
    }

    /// Measures what tiers would take, on some series of the newest merged partitions.
    pub(crate) fn measure(&self, catalogue: &Catalogue, jobs: &[TierJob]) -> Result<Vec<Measured>> {
        let all: Vec<&Partition> = merged(catalogue).collect();
        let newest = &all[all.len().saturating_sub(PARTITIONS)..];
        let mut measured = vec![Measured::default(); jobs.len()];
        let Some(last) = newest.last().map(|partition| &partition.generations) else { return Ok(measured) };
        let series = last[0].record.series;
        let mut cursors = ChunkCursors::scanning(self.kv);
        let (mut records, mut at, mut looked) = (SeriesMerge::new(self.kv, last)?, 0u64, 0u64);
        while let Some((id, labels)) = records.next()? {
            at += 1;
            if !is_measured(at - 1, series) {
                continue;
            }
            looked += 1;
            let of_series = SeriesParts::read(&mut cursors, newest, id, jobs)?;
            let each = measured.iter_mut().zip(jobs).zip(&of_series.buckets);
            each.for_each(|((of, job), buckets)| of_series.add_to(job, self.types, &labels, buckets, of));
        }
        let records = newest.iter().flat_map(|partition| partition.all()).map(|g| &g.record);
        let span = records.map(|record| record.last.saturating_sub(record.first)).sum();
        for of in &mut measured {
            (of.span, of.series_each) = (span, at as f64 / looked.max(1) as f64);
        }
        Ok(measured)
    }
}

/// What the samples of a series are, raw and as buckets. They are read chunk by chunk: there may be millions.
struct SeriesParts {
    samples: u64,
    bytes: u64,
    /// Constant ones take next to nothing, in any form.
    is_constant: bool,
    /// The buckets of each tier.
    buckets: Vec<Vec<Bucket>>,
}

impl SeriesParts {
    fn read(
        cursors: &mut ChunkCursors<'_>,
        partitions: &[&Partition],
        id: SeriesId,
        jobs: &[TierJob],
    ) -> Result<Self> {
        let builder = |job: &TierJob| Builder::new(job.resolution.width_ns(), job.extras);
        let mut builders: Vec<Builder> = jobs.iter().map(builder).collect();
        let buckets = builders.iter().map(|_| Vec::new()).collect();
        let mut of = SeriesParts { samples: 0, bytes: 0, is_constant: true, buckets };
        let mut first: Option<u64> = None;
        for generation in partitions.iter().flat_map(|partition| &partition.generations) {
            cursors.each_run(generation, id, &mut |run, bytes| {
                of.bytes += bytes;
                of.samples += run.len() as u64;
                let mut bits = run.values.iter().map(|value| value.to_bits());
                of.is_constant = of.is_constant
                    && run.histograms.is_empty()
                    && bits.all(|bits| *first.get_or_insert(bits) == bits);
                for (builder, buckets) in builders.iter_mut().zip(&mut of.buckets) {
                    fold_run(builder, run, 0, buckets);
                }
            })?;
        }
        builders.iter_mut().zip(&mut of.buckets).for_each(|(builder, buckets)| builder.finish(buckets));
        Ok(of)
    }

    /// Adds the size of the series' buckets to the measurement of a tier.
    fn add_to(
        &self,
        job: &TierJob,
        types: &dyn MetricTypes,
        labels: &Labels,
        buckets: &[Bucket],
        into: &mut Measured,
    ) {
        if self.is_constant {
            into.constant += buckets.len() as u64;
            return;
        }
        if buckets.len() < BUCKETS_MIN {
            return;
        }
        let shape = job.shape(types, labels, buckets);
        let Some(class) = series_class(shape.class, buckets) else { return };
        let size = |buckets: &[Bucket]| {
            let mut chunk = Vec::new();
            encode::encode(&[], &shape, buckets, CompressionLevel::Balanced, &mut chunk);
            chunk.len() as u64
        };
        // A chunk of the tier holds a hundred buckets and more, so what it takes beside them does not count.
        let some = &buckets[buckets.len().saturating_sub(BUCKETS_OF_CHUNK)..];
        let (half, all) = (some.len() / 2, buckets.len());
        let of_more = size(some).saturating_sub(size(&some[..half]));
        let into = into.classes.entry(class).or_default();
        into.bucket_bytes += of_more * all as u64 / (some.len() - half) as u64;
        let of_chunk = (job.resolution.partition_ns() / job.resolution.width_ns()) as usize;
        let chunk = &some[some.len().saturating_sub(of_chunk)..];
        into.chunk_bytes += size(chunk) * all as u64 / chunk.len() as u64;
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
