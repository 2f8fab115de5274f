//! Adds the buckets of closed raw partitions to a tier: later ones, and those of samples that were written for a time
//! before it begins.

use std::sync::Arc;

use super::class::omit;
use super::commit::Written;
use super::included::{Included, changed, included};
use super::source::Source;
use super::{GENERATIONS_PER_EXTENSION, TierJob, awaits_finer, closed_until, source_of};
use crate::Result;
use crate::compact::Compactor;
use crate::model::{TierId, TimeRange, Timestamp};
use crate::store::catalogue::{Catalogue, Coverage, Trim};
use crate::store::generation::Tables;

impl<'c> Compactor<'c> {
    /// Adds the next buckets to a tier at the time `now`. Returns whether there may be more to add. A tier that lacks
    /// something must be repaired first: the new buckets include all that is stored now, so the others must too. It waits
    /// for the narrower tier where samples cannot stand in for buckets that this one omits.
    pub(crate) fn extend_tier(&self, job: &TierJob, now: Timestamp) -> Result<bool> {
        let tier = job.tier();
        let catalogue = self.versions.current_owned();
        let Some(next) = next_span(&catalogue, job, now) else { return Ok(false) };
        let goal = included(&catalogue, job);
        let known = catalogue.coverage.get(&tier);
        let lacks =
            |known: &Coverage| !goal.is_at_least(known) || !changed(&catalogue, job, known, goal).is_empty();
        if known.is_some_and(lacks) || awaits_finer(&catalogue, job, next) {
            return Ok(false);
        }
        let coverage = extended(known, next, goal, job.omits_any(&catalogue));
        self.warn_of(&catalogue, job, known, next);
        self.versions.resolve_uncertain(self.context)?;
        fail_point!("tier.begun");
        let mut tables = Tables::new(self.kv);
        let mut written = Vec::new();
        for span in by_partition(&catalogue, tier, next) {
            written.extend(self.write_span(&mut tables, &catalogue, job, span, coverage.cut)?);
        }
        let trims = if known.is_none() { inherited_trims(&catalogue, job, next) } else { Vec::new() };
        self.replace_buckets(tables, written, Vec::new(), vec![(tier, Some(coverage))], trims)?;
        Ok(true)
    }

    /// Logs what the new buckets of a tier lack.
    fn warn_of(&self, catalogue: &Catalogue, job: &TierJob, known: Option<&Coverage>, next: TimeRange) {
        let source = source_of(catalogue, job, next).map_or(TierId::RAW, |finer| TierId::of(0, finer));
        let from = crate::Timestamp::from_nanos(next.start);
        if catalogue.damage_of(source, next).next().is_some() {
            let through = crate::Timestamp::from_nanos(next.end);
            tracing::warn!(
                tier = %job.resolution, %from, %through,
                "some of the data from which buckets are computed is damaged, and they lack it"
            );
        }
        if let Some(known) = known.filter(|known| known.through < next.start) {
            let through = crate::Timestamp::from_nanos(known.through);
            tracing::warn!(
                tier = %job.resolution, %through, %from,
                "a tier that is kept again has no buckets between these times: it was not kept, and the samples have been \
                 dropped"
            );
        }
    }

    /// Writes the buckets that end in `span`, which is inside one partition of the tier.
    pub(super) fn write_span(
        &self,
        tables: &mut Tables<'c>,
        catalogue: &Catalogue,
        job: &TierJob,
        span: TimeRange,
        cut: u64,
    ) -> Result<Option<Written>> {
        let mut source = Source::new(self, catalogue, source_of(catalogue, job, span), job, span);
        if source.generations.is_empty() {
            return Ok(None);
        }
        let generations = source.generations.clone();
        let partition = catalogue.layout().partition(job.tier(), span.end);
        let written =
            self.write_buckets(tables, job, (partition, cut), &generations, |labels, ids, take| {
                source.read(labels, ids, span, &mut |buckets| {
                    omit(catalogue, job, self.types, labels, buckets);
                    take(buckets)
                })
            })?;
        Ok(Some(written).filter(|(_, record)| record.chunks > 0))
    }
}

/// What a tier that is new never has: the buckets of series that have lost what the buckets are computed from.
fn inherited_trims(catalogue: &Catalogue, job: &TierJob, first: TimeRange) -> Vec<(u32, Arc<Trim>)> {
    let source = source_of(catalogue, job, first).map_or(TierId::RAW, |finer| TierId::of(0, finer));
    let lost = catalogue.trims.values().filter(|trim| trim.tier == source && trim.until > first.start);
    let free = (0..).filter(|number| !catalogue.trims.contains_key(number));
    let inherited = |trim: &Arc<Trim>| {
        let until = job.resolution.ceil(trim.until);
        Arc::new(Trim { tier: job.tier(), series: trim.series.clone(), until, cut: 0, applied: until })
    };
    free.zip(lost.map(inherited)).collect()
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

/// The coverage after buckets have been added.
fn extended(known: Option<&Coverage>, added: TimeRange, goal: Included, omits_any: bool) -> Coverage {
    let (from, through) = match known {
        Some(known) => (known.from.min(added.start), known.through.max(added.end)),
        None => (added.start, added.end),
    };
    let whole_from = match omits_any {
        true => through,
        false => known.map_or(Timestamp::MIN, |known| known.whole_from),
    };
    Coverage { from, through, cut: goal.cut, deletes_applied: goal.deletes, whole_from }
}

/// The next span to add: it ends where its sources end, or after some of their partitions. A small partition is not worth
/// the syncs of an extension of its own.
fn next_span(catalogue: &Catalogue, job: &TierJob, now: Timestamp) -> Option<TimeRange> {
    let coverage = catalogue.coverage.get(&job.tier());
    later_span(catalogue, job, coverage, now).or_else(|| earlier_span(catalogue, job, coverage?))
}

/// The next span after the tier's coverage, or its first one.
fn later_span(
    catalogue: &Catalogue,
    job: &TierJob,
    coverage: Option<&Coverage>,
    now: Timestamp,
) -> Option<TimeRange> {
    let until = match job.finer {
        None => closed_until(catalogue, now),
        Some(finer) => catalogue.coverage.get(&TierId::of(0, finer))?.through,
    };
    let until = job.resolution.floor(until);
    let finer = coverage_of_finer(catalogue, job);
    let from = match coverage {
        Some(coverage) if finer.is_some_and(|finer| finer.from <= coverage.through) => coverage.through,
        // Samples that were dropped while it was not kept are not in any bucket.
        Some(coverage) => coverage.through.max(catalogue.computable_from(job.resolution)),
        None => lowest_bound(catalogue, job)?,
    };
    let until = match finer {
        // Up to there from raw samples.
        Some(finer) if from < finer.from => until.min(job.resolution.ceil(finer.from)),
        _ => until,
    };
    (from < until).then(|| TimeRange::new(from, end_of_some(catalogue, job, TimeRange::new(from, until))))
}

/// The next span before the tier's coverage: samples were written for a time before it begins, or the narrower tier has
/// been extended to it. It ends where the coverage begins, so that this stays one span.
fn earlier_span(catalogue: &Catalogue, job: &TierJob, coverage: &Coverage) -> Option<TimeRange> {
    let lowest = lowest_bound(catalogue, job)?;
    let until = job.resolution.floor(coverage.from);
    let finer = coverage_of_finer(catalogue, job).map(|finer| job.resolution.ceil(finer.from));
    let from = match finer {
        // What is before that comes from raw samples, after this.
        Some(finer) if lowest < finer && finer < until => finer,
        _ => lowest,
    };
    (from < until).then(|| TimeRange::new(start_of_some(catalogue, job, TimeRange::new(from, until)), until))
}

fn coverage_of_finer<'c>(catalogue: &'c Catalogue, job: &TierJob) -> Option<&'c Coverage> {
    job.finer.and_then(|finer| catalogue.coverage.get(&TierId::of(0, finer)))
}

/// Where a tier can begin.
fn lowest_bound(catalogue: &Catalogue, job: &TierJob) -> Option<Timestamp> {
    // A bucket before the first whole one of the narrower tier would lack samples.
    let of_finer = coverage_of_finer(catalogue, job).map(|finer| job.resolution.ceil(finer.from));
    let first = [first_bound(catalogue, job), of_finer].into_iter().flatten().min()?;
    Some(first.max(job.resolution.floor(job.horizon)))
}

/// Where a tier that is built from raw samples begins: at a bound that is one of all wider tiers too, unless samples after
/// it have been dropped.
fn first_bound(catalogue: &Catalogue, job: &TierJob) -> Option<Timestamp> {
    let layout = catalogue.layout();
    let kept = layout.raw(job.horizon.saturating_add(1));
    let mut partitions = catalogue.generations.partitions_from(kept).filter(|first| first.id.tier.is_raw());
    let first = partitions.next()?.all().map(|generation| generation.record.first).min()?;
    let (first, _) = layout.bounds(layout.partition(job.tier(), first));
    Some(catalogue.computable_from(job.resolution).max(job.resolution.ceil(first.saturating_sub(1))))
}

/// The end of the first part of `span` in which its sources do not have too many generations.
fn end_of_some(catalogue: &Catalogue, job: &TierJob, span: TimeRange) -> Timestamp {
    let layout = catalogue.layout();
    let source = source_of(catalogue, job, span).map_or(TierId::RAW, |finer| TierId::of(0, finer));
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

/// The start of the last part of `span` in which its sources do not have too many generations.
fn start_of_some(catalogue: &Catalogue, job: &TierJob, span: TimeRange) -> Timestamp {
    let layout = catalogue.layout();
    let source = source_of(catalogue, job, span).map_or(TierId::RAW, |finer| TierId::of(0, finer));
    let partitions: Vec<_> = catalogue.generations.partitions_in(source, span, layout).collect();
    let mut generations = 0;
    for partition in partitions.into_iter().rev() {
        generations += partition.generations.len();
        let start = job.resolution.floor(layout.bounds(partition.id).0.saturating_sub(1));
        if generations >= GENERATIONS_PER_EXTENSION && start < span.end {
            return start.max(span.start);
        }
    }
    span.start
}
