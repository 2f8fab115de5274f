//! What a pass would do if something else were kept.

use std::collections::BTreeMap;

use super::{Merger, Pass};
use crate::Result;
use crate::compact::downsample::{Rate, TierJob};
use crate::compact::{TrimGoal, count_series};
use crate::engine::trial::{DataDrop, KeptTrial, TierBuild};
use crate::model::{PartitionId, Resolution, TierId, TimeRange, Timestamp};
use crate::options::Kept;
use crate::store::catalogue::{Catalogue, Choices, Coverage};
use crate::store::generations::Partition;

impl Merger {
    /// What a pass, and those after it, would do with the stored data if the database kept this.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if it is refused; the store could not be read.
    pub fn try_kept(&self, kept: Kept) -> Result<KeptTrial> {
        kept.validate(&self.options)?;
        let chosen = kept.is_automatic().then(|| self.chosen());
        let (tiers, choices) = chosen.map(|chosen| (chosen.tiers, chosen.choices)).unwrap_or_default();
        let pass = Pass::new(kept, &tiers, self.retention.newest());
        let catalogue = self.versions.current_owned();
        let now = catalogue.root.newest.min(self.clock.now());
        let scale = self.disk_use(&catalogue).scale;
        let on_disk = |bytes: u64| (bytes as f64 * scale) as u64;
        let builds = self.builds(&catalogue, &pass, &choices, now)?;
        let beyond = self.beyond_budget(&catalogue, pass.disk_bytes(), &pass.tiers);
        let beyond = beyond.map(|(_, horizons)| horizons).unwrap_or_default();
        let drops = self.drops(&catalogue, &pass, &beyond)?;
        let built: Option<u64> = builds.iter().map(|build| build.bytes).sum();
        let is_named = |resolution: &Resolution| pass.tiers.iter().any(|job| job.resolution == *resolution);
        let stored = catalogue.coverage.keys().filter_map(|tier| tier.resolution());
        Ok(KeptTrial {
            events: dropped_events(&catalogue, &pass, beyond.get(&TierId::RAW).copied()),
            unnamed: stored.filter(|resolution| !is_named(resolution)).collect(),
            built_bytes: built.map(on_disk),
            freed_bytes: on_disk(drops.iter().map(|drop| drop.bytes).sum()),
            builds,
            drops,
        })
    }

    fn builds(
        &self,
        catalogue: &Catalogue,
        pass: &Pass,
        choices: &Choices,
        now: Timestamp,
    ) -> Result<Vec<TierBuild>> {
        let measured = self.compactor().measure(catalogue, &pass.tiers)?;
        let shares = self.shares(catalogue, pass)?;
        let (mut builds, mut finer) = (Vec::new(), None);
        for (job, measured) in pass.tiers.iter().zip(&measured) {
            let known = catalogue.coverage.get(&job.tier());
            let spans = missing(catalogue, job, finer.filter(|_| job.finer.is_some()), now);
            if let (Some(first), Some(last)) = (spans.first(), spans.last()) {
                let rate = measured.rate(job, choices).or_else(|| stored_rate(catalogue, job, known?));
                let kept = shares.iter().zip(pass.horizons_of(job.tier()));
                let time: f64 = kept.map(|(share, horizon)| share * time_after(&spans, horizon)).sum();
                builds.push(TierBuild {
                    resolution: job.resolution,
                    from: crate::Timestamp::from_nanos(first.start),
                    through: crate::Timestamp::from_nanos(last.end),
                    partitions: partitions_over(catalogue, job.tier(), &spans),
                    buckets: rate.map(|rate| (rate.buckets * time) as u64),
                    bytes: rate.map(|rate| (rate.bytes * time) as u64),
                });
            }
            // The next wider tier is computed from it.
            let begins =
                spans.first().map(|span| span.start).into_iter().chain(known.map(|known| known.from));
            finer = begins.min();
        }
        Ok(builds)
    }

    /// The share of the series for which each rule counts, in the newest partition of raw samples.
    fn shares(&self, catalogue: &Catalogue, pass: &Pass) -> Result<Vec<f64>> {
        let newest = raw_partitions(catalogue).filter(|it| it.all().any(|g| g.record.series > 0)).last();
        let generations = newest.map_or(&[][..], |partition| &partition.generations);
        let all: u64 = generations.iter().map(|generation| generation.record.series).sum();
        let share = |series| {
            let mut found = 0;
            for generation in generations {
                found += count_series(self.versions.kv(), generation, series)?;
            }
            Ok(found as f64 / all.max(1) as f64)
        };
        pass.rules().map(share).collect()
    }

    /// What would be dropped; `beyond`: up to when, of each tier, for the budget.
    fn drops(
        &self,
        catalogue: &Catalogue,
        pass: &Pass,
        beyond: &BTreeMap<TierId, Timestamp>,
    ) -> Result<Vec<DataDrop>> {
        let goals = pass.trims();
        let mut all: BTreeMap<i64, DataDrop> = BTreeMap::new();
        for partition in catalogue.generations.partitions() {
            let (_, end) = catalogue.layout().bounds(partition.id);
            let (mut samples, mut bytes) = (0.0, 0.0);
            let is_whole = end <= pass.of_partition(partition)
                || beyond.get(&partition.id.tier).is_some_and(|horizon| end <= *horizon);
            for generation in partition.all() {
                let record = &generation.record;
                let share = match is_whole {
                    true => 1.0,
                    false => self.trimmed_share(&goals, partition, end, generation)?,
                };
                samples += record.samples as f64 * share;
                bytes += record.bytes as f64 * share;
            }
            if is_whole || samples > 0.0 {
                let width = partition.id.tier.resolution().map_or(0, Resolution::width_ns);
                let figures = (samples as u64, bytes as u64);
                add(
                    all.entry(width).or_insert_with(|| nothing(partition)),
                    catalogue,
                    partition,
                    figures,
                    is_whole,
                );
            }
        }
        Ok(all.into_values().collect())
    }

    /// The share of the series of a generation that trims drop.
    fn trimmed_share(
        &self,
        goals: &[TrimGoal],
        partition: &Partition,
        end: Timestamp,
        generation: &crate::store::catalogue::Generation,
    ) -> Result<f64> {
        let due = goals.iter().filter(|goal| goal.tier == partition.id.tier && end <= goal.horizon);
        let mut series = 0;
        for goal in due {
            if goal.series.is_all() {
                return Ok(1.0);
            }
            // They share no series.
            series += count_series(self.versions.kv(), generation, &goal.series)?;
        }
        Ok(series as f64 / generation.record.series.max(1) as f64)
    }
}

fn nothing(partition: &Partition) -> DataDrop {
    DataDrop {
        resolution: partition.id.tier.resolution(),
        from: crate::Timestamp::MAX,
        through: crate::Timestamp::MIN,
        partitions: 0,
        rewritten: 0,
        samples: 0,
        bytes: 0,
    }
}

fn add(to: &mut DataDrop, catalogue: &Catalogue, of: &Partition, figures: (u64, u64), is_whole: bool) {
    let (first, last) = catalogue.layout().bounds(of.id);
    to.from = to.from.min(crate::Timestamp::from_nanos(first));
    to.through = to.through.max(crate::Timestamp::from_nanos(last));
    *(if is_whole { &mut to.partitions } else { &mut to.rewritten }) += 1;
    to.samples += figures.0;
    to.bytes += figures.1;
}

/// The events that are past their retention, or in partitions that are dropped up to `beyond` for the budget, and not dropped
/// yet.
fn dropped_events(catalogue: &Catalogue, pass: &Pass, beyond: Option<Timestamp>) -> u64 {
    let horizon = beyond.map_or(pass.events(), |beyond| beyond.max(pass.events()));
    let layout = catalogue.layout();
    let past = raw_partitions(catalogue).take_while(|it| layout.bounds(it.id).1 <= horizon);
    let stored = past.flat_map(Partition::all).filter(|generation| catalogue.has_events(generation));
    stored.map(|generation| generation.record.events).sum()
}

fn raw_partitions(catalogue: &Catalogue) -> impl Iterator<Item = &Partition> {
    let raw = catalogue.generations.partitions_from(PartitionId::first_of(TierId::RAW));
    raw.take_while(|partition| partition.id.tier.is_raw())
}

/// The spans of buckets that a tier lacks, and that can be computed from raw samples, or from the next narrower tier, which
/// begins at `finer`.
fn missing(catalogue: &Catalogue, job: &TierJob, finer: Option<Timestamp>, now: Timestamp) -> Vec<TimeRange> {
    let (layout, resolution) = (catalogue.layout(), job.resolution);
    let mut records = raw_partitions(catalogue).flat_map(Partition::all).map(|generation| &generation.record);
    let samples = records.find(|record| record.samples > 0).map(|record| {
        resolution.floor(record.first.saturating_sub(1)).max(catalogue.computable_from(resolution))
    });
    let finer = finer.map(|from| resolution.ceil(from));
    let Some(begin) = samples.into_iter().chain(finer).min() else { return Vec::new() };
    let from = begin.max(resolution.floor(job.horizon));
    let open = layout.raw(now.saturating_add(1).saturating_sub(layout.width(TierId::RAW)));
    let until = resolution.floor(layout.bounds(open).0);
    let spans = match catalogue.coverage.get(&job.tier()) {
        Some(known) => vec![TimeRange::new(from, known.from), TimeRange::new(known.through, until)],
        None => vec![TimeRange::new(from, until)],
    };
    spans.into_iter().filter(|span| span.start < span.end).collect()
}

/// The time in spans after a horizon, nanoseconds.
fn time_after(spans: &[TimeRange], horizon: Timestamp) -> f64 {
    spans.iter().map(|span| span.end.saturating_sub(span.start.max(horizon)).max(0) as f64).sum()
}

fn partitions_over(catalogue: &Catalogue, tier: TierId, spans: &[TimeRange]) -> u64 {
    let layout = catalogue.layout();
    let number = |time: Timestamp| i64::from(layout.partition(tier, time).number);
    let of_span = |span: &TimeRange| 1 + number(span.end) - number(span.start.saturating_add(1));
    spans.iter().map(|span| of_span(span).unsigned_abs()).sum()
}

/// What the stored buckets of a tier take.
fn stored_rate(catalogue: &Catalogue, job: &TierJob, known: &Coverage) -> Option<Rate> {
    let tier = job.tier();
    let partitions = catalogue.generations.partitions_from(PartitionId::first_of(tier));
    let records = partitions.take_while(|partition| partition.id.tier == tier).flat_map(Partition::all);
    let (buckets, bytes) = records.fold((0, 0), |(buckets, bytes), generation| {
        (buckets + generation.record.samples, bytes + generation.record.bytes)
    });
    let span = known.through.saturating_sub(known.from).max(1) as f64;
    (buckets > 0).then(|| Rate { buckets: buckets as f64 / span, bytes: bytes as f64 / span })
}
