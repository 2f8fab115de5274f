//! Adds the buckets of closed raw partitions to a tier.

use super::source::Source;
use super::{GENERATIONS_PER_EXTENSION, TierJob, Written, changed, closed_until, included, source_of};
use crate::Result;
use crate::compact::Compactor;
use crate::model::{TierId, TimeRange, Timestamp};
use crate::store::catalogue::{Catalogue, Coverage};
use crate::store::generation::Tables;

impl<'c> Compactor<'c> {
    /// Adds the next buckets to a tier at the time `now`. Returns whether there may be more to add.
    pub(crate) fn extend_tier(&self, job: &TierJob, now: Timestamp) -> Result<bool> {
        let tier = job.tier();
        // The new buckets include all that is stored now, so the others must too.
        self.repair_tier(job)?;
        let catalogue = self.versions.current_owned();
        let Some(next) = next_span(&catalogue, job, now) else { return Ok(false) };
        let (cut, deletes_applied) = included(&catalogue, job);
        let known = catalogue.coverage.get(&tier);
        if known.is_some_and(|known| !changed(&catalogue, job, known).is_empty()) {
            return Ok(true);
        }
        let from = known.map_or(next.start, |known| known.from);
        let coverage = Coverage { from, through: next.end, cut, deletes_applied };
        self.versions.resolve_uncertain(self.context)?;
        fail_point!("tier.begun");
        let mut tables = Tables::new(self.versions.kv());
        let mut written = Vec::new();
        for span in by_partition(&catalogue, tier, next) {
            written.extend(self.write_span(&mut tables, &catalogue, job, span, coverage.cut)?);
        }
        self.commit_buckets(tier, tables, written, coverage)?;
        Ok(true)
    }

    /// Writes the buckets that end in `span`, which is inside one partition of the tier.
    fn write_span(
        &self,
        tables: &mut Tables<'c>,
        catalogue: &Catalogue,
        job: &TierJob,
        span: TimeRange,
        cut: u64,
    ) -> Result<Option<Written>> {
        let kv = self.versions.kv();
        let mut source =
            Source::new(kv, catalogue, source_of(catalogue, job, span), job.resolution, job.extras, span);
        if source.generations.is_empty() {
            return Ok(None);
        }
        let generations = source.generations.clone();
        let partition = catalogue.layout().partition(job.tier(), span.end);
        let written =
            self.write_buckets(tables, job, (partition, cut), &generations, |labels, ids, out| {
                source.read(labels, ids, span, out)
            })?;
        Ok(Some(written).filter(|(_, record)| record.chunks > 0))
    }
}

/// The parts of `span` that are in different partitions of a tier.
fn by_partition(catalogue: &Catalogue, tier: TierId, span: TimeRange) -> impl Iterator<Item = TimeRange> {
    let layout = catalogue.layout();
    let mut from = span.start;
    std::iter::from_fn(move || {
        let (_, end) = layout.bounds(layout.partition(tier, from.saturating_add(1)));
        let part = TimeRange::new(from, end.min(span.end));
        from = part.end;
        (!part.is_empty()).then_some(part)
    })
}

/// The next span to add: it ends where its sources end, or after some of their partitions. A small partition is not worth
/// the syncs of an extension of its own.
fn next_span(catalogue: &Catalogue, job: &TierJob, now: Timestamp) -> Option<TimeRange> {
    let coverage = catalogue.coverage.get(&job.tier());
    let until = match job.finer {
        None => closed_until(catalogue, now),
        Some(finer) => catalogue.coverage.get(&TierId::of(0, finer))?.through,
    };
    let until = job.resolution.floor(until);
    let finer = job.finer.and_then(|finer| catalogue.coverage.get(&TierId::of(0, finer)));
    let from = match coverage {
        Some(coverage) if finer.is_some_and(|finer| finer.from <= coverage.through) => coverage.through,
        // Samples that were dropped while it was not kept are not in any bucket.
        Some(coverage) => coverage.through.max(catalogue.computable_from(job.resolution)),
        None => {
            // A bucket before the first whole one of the narrower tier would lack samples.
            let of_finer = finer.map(|finer| job.resolution.ceil(finer.from));
            [first_bound(catalogue, job), of_finer].into_iter().flatten().min()?
        }
    };
    let until = match finer {
        // Up to there from raw samples.
        Some(finer) if from < finer.from => until.min(job.resolution.ceil(finer.from)),
        _ => until,
    };
    (from < until).then(|| TimeRange::new(from, end_of_some(catalogue, job, TimeRange::new(from, until))))
}

/// Where a tier that is built from raw samples begins: at a bound that is one of all wider tiers too, unless samples after
/// it have been dropped.
fn first_bound(catalogue: &Catalogue, job: &TierJob) -> Option<Timestamp> {
    let first = catalogue.generations.partitions().next().filter(|first| first.id.tier.is_raw())?;
    let first = first.generations.iter().map(|generation| generation.record.first).min()?;
    let layout = catalogue.layout();
    let (first, _) = layout.bounds(layout.partition(job.tier(), first));
    let dropped = catalogue.coverage.get(&TierId::RAW).map_or(Timestamp::MIN, |raw| raw.from);
    Some(job.resolution.ceil(dropped.max(first.saturating_sub(1))))
}

/// The end of the first part of `span` in which its sources do not have too many generations.
fn end_of_some(catalogue: &Catalogue, job: &TierJob, span: TimeRange) -> Timestamp {
    let layout = catalogue.layout();
    let source = job.finer.map_or(TierId::RAW, |finer| TierId::of(0, finer));
    let mut generations = 0;
    for partition in catalogue.generations.partitions_in(source, span, layout) {
        generations += partition.generations.len();
        let end = job.resolution.floor(layout.bounds(partition.id).1);
        if generations >= GENERATIONS_PER_EXTENSION && end > span.start {
            return end.min(span.end);
        }
    }
    span.end
}
