//! Trims: the data of some series is dropped while others keep theirs (C5 in `store/catalogue.rs`).
//!
//! First a trim advances: one small record says up to when the data of which series is past its retention. Then the
//! partitions up to there are rewritten without these series, one after the other; those without any of them stay as they
//! are. The next merge of any other kind leaves out what is past its retention too, such as late samples.

use std::sync::Arc;

use crate::budget::Work;
use crate::compact::Compactor;
use crate::compact::downsample::{TierJob, awaits_repair, is_included};
use crate::index::select;
use crate::model::{PartitionId, SeriesSet, TierId, TimeRange, Timestamp};
use crate::store::catalogue::{Catalogue, Generation, Trim};
use crate::store::generation::GenerationReader;
use crate::store::kv::Bulk;
use crate::store::versions::Edit;
use crate::{Error, Result};

/// What is past the retention of some series.
#[derive(Debug, Clone)]
pub(crate) struct TrimGoal {
    pub tier: TierId,
    pub series: SeriesSet,
    /// Data at or before this time is past its retention.
    pub horizon: Timestamp,
}

/// Whether a trim advances, or one is forgotten. `rules` are the series of all rules.
pub(crate) fn is_trim_due(
    catalogue: &Catalogue,
    goals: &[TrimGoal],
    rules: &[SeriesSet],
    tiers: &[TierJob],
) -> bool {
    !advanced(catalogue, goals, tiers).is_empty() || !catalogue.spent_trims(rules).is_empty()
}

/// The trims whose partitions have not all been rewritten.
pub(crate) fn unapplied_trims(catalogue: &Catalogue) -> Vec<u32> {
    let unapplied = catalogue.trims.iter().filter(|(_, trim)| trim.applied < trim.until);
    unapplied.map(|(number, _)| *number).collect()
}

/// The trims that reach these goals as far as they can. A partition, and all after it, are not trimmed until the tiers
/// include it.
fn advanced(catalogue: &Catalogue, goals: &[TrimGoal], tiers: &[TierJob]) -> Vec<(u32, Arc<Trim>)> {
    let mut free = (0..).filter(|number| !catalogue.trims.contains_key(number));
    let mut all = Vec::new();
    for goal in goals {
        let same = |trim: &Trim| trim.tier == goal.tier && trim.series == goal.series;
        let known = catalogue.trims.iter().find(|(_, trim)| same(trim));
        let from = known.map_or(Timestamp::MIN, |(_, trim)| trim.until);
        let Some(until) = trimmable(catalogue, goal, from, tiers) else { continue };
        if !goal.series.is_all() && until <= catalogue.dropped_of_all(goal.tier) {
            continue;
        }
        let number = known.map(|(number, _)| *number).or_else(|| free.next());
        let applied = known.map_or(Timestamp::MIN, |(_, trim)| still_applied(catalogue, trim));
        let cut = catalogue.root.flushed_seq;
        let trim = Trim { tier: goal.tier, series: goal.series.clone(), until, cut, applied };
        all.extend(number.map(|number| (number, Arc::new(trim))));
    }
    all
}

/// How far a trim is still applied when its cut rises: samples that were written since are past the retention now.
fn still_applied(catalogue: &Catalogue, trim: &Trim) -> Timestamp {
    let before = TimeRange::new(Timestamp::MIN, trim.applied);
    let mut partitions = catalogue.generations.partitions_in(trim.tier, before, catalogue.layout());
    let is_new = |generation: &Arc<Generation>| !trim.concerns(&generation.record);
    let first = partitions.find(|partition| partition.generations.iter().any(is_new));
    let start = first.map(|partition| catalogue.layout().bounds(partition.id).0.saturating_sub(1));
    start.map_or(trim.applied, |start| start.min(trim.applied))
}

/// The last instant up to which buckets of a tier may be dropped: not those of samples that are kept, because they say
/// more of these than wider buckets can.
fn reach(catalogue: &Catalogue, goal: &TrimGoal) -> Timestamp {
    if goal.tier.is_raw() {
        return goal.horizon;
    }
    let raw = catalogue.trims.values().filter(|trim| trim.tier.is_raw() && trim.series == goal.series);
    let raw = raw.map(|trim| trim.until).max().unwrap_or(Timestamp::MIN).max(catalogue.raw_from());
    // A bucket includes its last instant, and a partition of samples does not.
    goal.horizon.min(raw.saturating_add(1))
}

/// The end of the last partition of those after `from` that a trim can reach, if there is one.
fn trimmable(
    catalogue: &Catalogue,
    goal: &TrimGoal,
    from: Timestamp,
    tiers: &[TierJob],
) -> Option<Timestamp> {
    let layout = catalogue.layout();
    let first = match from {
        Timestamp::MIN => PartitionId::first_of(goal.tier),
        from => layout.partition(goal.tier, from).next(),
    };
    let ends = catalogue.generations.partitions_from(first).map(|partition| partition.id);
    let ends = ends.take_while(|id| id.tier == goal.tier).map(|id| (id, layout.bounds(id).1));
    let reach = reach(catalogue, goal);
    let reached = ends.take_while(|(id, end)| *end <= reach && is_included(catalogue, *id, tiers));
    reached.last().map(|(_, end)| end)
}

/// Whether a generation has records of series that a trim drops from it.
pub(super) fn has_series(kv: &dyn Bulk, generation: &Generation, trim: &Trim) -> Result<bool> {
    if !trim.concerns(&generation.record) {
        return Ok(false);
    }
    Ok(count_series(kv, generation, &trim.series)? > 0)
}

/// How many series of a generation belong to a set.
pub(crate) fn count_series(kv: &dyn Bulk, generation: &Generation, series: &SeriesSet) -> Result<u64> {
    let reader = GenerationReader::new(kv, generation);
    let work = Work::unbounded();
    let mut ids = select(&reader, &series.matchers, &work)?;
    for except in &series.except {
        if ids.is_empty() {
            break;
        }
        ids -= select(&reader, except, &work)?;
    }
    Ok(ids.len())
}

/// Rewrites the partitions of a tier in `span`, one after the other, with `rewrite`, which returns false if one must wait, as
/// long as `goes_on` returns true. Returns the end of those that need not be looked at again, and the first failure.
pub(super) fn rewrite_all(
    catalogue: &Catalogue,
    tier: TierId,
    span: TimeRange,
    goes_on: &mut dyn FnMut() -> bool,
    rewrite: &mut dyn FnMut(PartitionId) -> Result<bool>,
) -> (Timestamp, Result<()>) {
    let (mut applied, mut done) = (span.end, Ok(()));
    for partition in catalogue.generations.partitions_in(tier, span, catalogue.layout()).map(|it| it.id) {
        let rewritten = if goes_on() { rewrite(partition) } else { Ok(false) };
        if !matches!(rewritten, Ok(true)) {
            // Those after it do not wait for it.
            let (first, _) = catalogue.layout().bounds(partition);
            applied = applied.min(first.saturating_sub(1)).max(span.start);
        }
        done = done.and(rewritten.map(drop));
        if matches!(done, Err(Error::DiskFull { .. })) {
            break;
        }
    }
    (applied, done)
}

impl Compactor<'_> {
    /// Advances trims to these goals as far as the tiers include what is dropped, and forgets those that say nothing any
    /// more.
    pub(crate) fn trim(&self, goals: &[TrimGoal], rules: &[SeriesSet], tiers: &[TierJob]) -> Result<()> {
        fail_point!("trim.begun");
        self.versions.commit(self.context, |now| {
            let spent = now.catalogue.spent_trims(rules).into_iter().map(|number| (number, None));
            let advanced = advanced(now.catalogue, goals, tiers).into_iter();
            let trims: Vec<_> = spent.chain(advanced.map(|(number, trim)| (number, Some(trim)))).collect();
            Ok((!trims.is_empty()).then(|| Edit { trims, ..Edit::default() }))
        })?;
        fail_point!("trim.committed");
        Ok(())
    }

    /// Rewrites the partitions that a trim reaches without its series. Before each it calls `goes_on`, and rewrites no more if
    /// that returns false. Those that are damaged, or of which a tier lacks something, wait for a later pass.
    pub(crate) fn apply_trim(
        &self,
        number: u32,
        tiers: &[TierJob],
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<()> {
        let catalogue = self.versions.current_owned();
        let Some(trim) = catalogue.trims.get(&number) else { return Ok(()) };
        let span = TimeRange::new(trim.applied, trim.until);
        let (applied, done) = rewrite_all(&catalogue, trim.tier, span, goes_on, &mut |partition| {
            self.rewrite_trimmed(partition, trim, tiers)
        });
        if applied > trim.applied {
            self.applied(number, trim, applied)?;
        }
        done
    }

    /// Rewrites one partition if it has series of a trim. Returns false if it must wait.
    fn rewrite_trimmed(&self, partition: PartitionId, trim: &Trim, tiers: &[TierJob]) -> Result<bool> {
        let catalogue = self.versions.current_owned();
        let Some(found) = catalogue.generations.partition(partition) else { return Ok(true) };
        if !found.aside.is_empty() || (partition.tier.is_raw() && awaits_repair(&catalogue, partition)) {
            return Ok(false);
        }
        if !self.has_trimmed(&catalogue, partition, trim)? {
            return Ok(true);
        }
        match tiers.iter().find(|job| job.tier() == partition.tier) {
            Some(job) => self.rewrite_buckets(job, &catalogue, found)?,
            None if partition.tier.is_raw() => drop(self.merge(&[partition])?),
            // Nobody maintains the tier.
            None => return Ok(false),
        }
        // It may have given way to a flush, or a delete has come: then it is rewritten in the next pass.
        Ok(!self.has_trimmed(&self.versions.current_owned(), partition, trim)?)
    }

    /// Whether generations of a partition have records of series that a trim drops from them.
    fn has_trimmed(&self, catalogue: &Catalogue, partition: PartitionId, trim: &Trim) -> Result<bool> {
        for generation in catalogue.generations.in_partition(partition) {
            if has_series(self.kv, generation, trim)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Records how far a trim has been applied.
    fn applied(&self, number: u32, known: &Trim, applied: Timestamp) -> Result<()> {
        self.versions.commit(self.context, |now| {
            // It may have been forgotten meanwhile, and its number used again. If its cut has risen, other samples are past the
            // retention, and have not been looked at.
            let same = |trim: &&Arc<Trim>| {
                trim.tier == known.tier && trim.series == known.series && trim.cut == known.cut
            };
            let trim = now.catalogue.trims.get(&number).filter(same).filter(|trim| trim.applied < applied);
            let trim = trim.map(|trim| Arc::new(Trim { applied, ..(**trim).clone() }));
            Ok(trim.map(|trim| Edit { trims: vec![(number, Some(trim))], ..Edit::default() }))
        })?;
        fail_point!("trim.applied");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Layout, Matcher};
    use crate::store::catalogue::GenerationRecord;
    use crate::store::keys::Prefix;

    #[test]
    fn a_trim_advances_by_whole_partitions_and_is_forgotten_when_all_series_have_reached_it() {
        let mut catalogue = Catalogue::new(1, Layout::new(1000));
        for number in [0, 1, 3] {
            let prefix = Prefix { partition: PartitionId::raw(number), generation: 1 };
            let generation = Generation::new(prefix, GenerationRecord::default(), &Default::default());
            catalogue.generations.insert(generation);
        }
        let series = SeriesSet { matchers: vec![Matcher::equal("job", "a")], except: Vec::new() };
        let goal = |horizon| [TrimGoal { tier: TierId::RAW, series: series.clone(), horizon }];
        let reached = |catalogue: &Catalogue, horizon| {
            let all = advanced(catalogue, &goal(horizon), &[]);
            all.iter().map(|(number, trim)| (*number, trim.until, trim.applied)).collect::<Vec<_>>()
        };
        assert_eq!(reached(&catalogue, 998), []);
        assert_eq!(reached(&catalogue, 3500), [(0, 1999, i64::MIN)]);
        let trim = Trim { tier: TierId::RAW, series: series.clone(), until: 1999, cut: 0, applied: 999 };
        Arc::make_mut(&mut catalogue.trims).insert(7, Arc::new(trim));
        assert_eq!((reached(&catalogue, 3500), unapplied_trims(&catalogue)), (vec![], vec![7]));
        assert_eq!(reached(&catalogue, 3999), [(7, 3999, 999)]);
        assert_eq!(catalogue.trims_over(PartitionId::raw(1)).len(), 1);
        assert!(catalogue.trims_over(PartitionId::raw(3)).is_empty());
    }
}
