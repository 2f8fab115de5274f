//! The trim of events: events are dropped while samples of their time are kept (C6 in `store/catalogue.rs`).
//!
//! It works like the trims of series (`trim.rs`): first it advances by a small record, and readers no longer return the
//! events. Then the partitions up to there are rewritten without them, one after the other.

use crate::Result;
use crate::compact::Compactor;
use crate::compact::downsample::awaits_repair;
use crate::compact::trim::rewrite_all;
use crate::model::{PartitionId, TierId, TimeRange, Timestamp};
use crate::store::catalogue::{Catalogue, EventTrim};
use crate::store::versions::Edit;

/// Whether the trim of events advances towards `horizon`: events at or before it are past their retention.
pub(crate) fn is_event_trim_due(catalogue: &Catalogue, horizon: Timestamp) -> bool {
    advanced(catalogue, horizon).is_some()
}

/// The end of the last partition that the trim can reach, if that is later than it is now.
fn advanced(catalogue: &Catalogue, horizon: Timestamp) -> Option<EventTrim> {
    let layout = catalogue.layout();
    let first = match catalogue.event_trim {
        None => PartitionId::first_of(TierId::RAW),
        Some(trim) => layout.partition(TierId::RAW, trim.until).next(),
    };
    let raw = catalogue.generations.partitions_from(first).take_while(|it| it.id.tier.is_raw());
    let ends = raw.map(|partition| layout.bounds(partition.id).1);
    let until = ends.take_while(|end| *end <= horizon).last()?;
    let cut = catalogue.root.flushed_seq;
    Some(EventTrim { until, cut, applied: still_applied(catalogue) })
}

/// How far the trim is still applied when its cut rises: events that were written since are past their retention now.
fn still_applied(catalogue: &Catalogue) -> Timestamp {
    let Some(trim) = catalogue.event_trim else { return Timestamp::MIN };
    let (layout, before) = (catalogue.layout(), TimeRange::new(Timestamp::MIN, trim.applied));
    let mut partitions = catalogue.generations.partitions_in(TierId::RAW, before, layout);
    let first = partitions.find(|partition| partition.all().any(|g| g.record.events > 0));
    let start = first.map(|partition| layout.bounds(partition.id).0.saturating_sub(1));
    start.map_or(trim.applied, |start| start.min(trim.applied))
}

/// Whether a partition has events that the trim drops.
fn has_trimmed(catalogue: &Catalogue, partition: PartitionId) -> bool {
    let Some(trim) = catalogue.event_trim_over(partition) else { return false };
    catalogue.generations.all_in(partition).iter().any(|generation| trim.concerns(&generation.record))
}

impl Compactor<'_> {
    /// Advances the trim of events towards `horizon`.
    pub(crate) fn trim_events(&self, horizon: Timestamp) -> Result<()> {
        fail_point!("events.begun");
        self.versions.commit(self.context, |now| {
            let event_trim = advanced(now.catalogue, horizon);
            Ok(event_trim.is_some().then(|| Edit { event_trim, ..Edit::default() }))
        })?;
        fail_point!("events.trimmed");
        Ok(())
    }

    /// Rewrites the partitions that still hold events past their retention. Before each it calls `goes_on`, and rewrites no
    /// more if that returns false. Those that are damaged, or of which a tier lacks something, wait for a later pass.
    pub(crate) fn apply_event_trim(&self, goes_on: &mut dyn FnMut() -> bool) -> Result<()> {
        let catalogue = self.versions.current_owned();
        let unapplied = catalogue.event_trim.filter(|trim| trim.applied < trim.until);
        let Some(trim) = unapplied else { return Ok(()) };
        let span = TimeRange::new(trim.applied, trim.until);
        let (applied, done) = rewrite_all(&catalogue, TierId::RAW, span, goes_on, &mut |partition| {
            self.rewrite_without_events(partition)
        });
        if applied > trim.applied {
            self.versions.commit(self.context, |now| {
                // If its cut has risen, other events are past the retention, and have not been looked at.
                let same = |now: &EventTrim| now.cut == trim.cut && now.applied < applied;
                let trim = now.catalogue.event_trim.filter(same);
                let event_trim = trim.map(|trim| EventTrim { applied: applied.min(trim.until), ..trim });
                Ok(event_trim.is_some().then(|| Edit { event_trim, ..Edit::default() }))
            })?;
            fail_point!("events.applied");
        }
        done
    }

    /// Rewrites one partition if it has events that the trim drops. Returns false if it must wait.
    fn rewrite_without_events(&self, partition: PartitionId) -> Result<bool> {
        let catalogue = self.versions.current_owned();
        if !has_trimmed(&catalogue, partition) {
            return Ok(true);
        }
        let is_damaged = catalogue.generations.partition(partition).is_some_and(|it| !it.aside.is_empty());
        if is_damaged || awaits_repair(&catalogue, partition) {
            return Ok(false);
        }
        self.merge(&[partition])?;
        // It may have given way to a flush, or a delete has come: then it is rewritten in the next pass.
        Ok(!has_trimmed(&self.versions.current_owned(), partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Layout;
    use crate::store::catalogue::{Generation, GenerationRecord};
    use crate::store::keys::Prefix;

    const MINUTE: i64 = 60_000_000_000;

    fn add(catalogue: &mut Catalogue, number: i32, cut: u64) {
        let prefix = Prefix { partition: PartitionId::raw(number), generation: cut };
        let record = GenerationRecord { cut, events: 1, ..GenerationRecord::default() };
        catalogue.generations.insert(Generation::new(prefix, record, &Default::default()));
        catalogue.root.flushed_seq = cut;
    }

    #[test]
    fn the_trim_advances_by_whole_partitions_and_looks_again_where_events_have_come() {
        let mut catalogue = Catalogue::new(1, Layout::new(MINUTE));
        [(0, 1), (1, 2), (3, 3)].into_iter().for_each(|(number, cut)| add(&mut catalogue, number, cut));
        assert_eq!((advanced(&catalogue, Timestamp::MIN), advanced(&catalogue, MINUTE - 2)), (None, None));
        let trim = EventTrim { until: 2 * MINUTE - 1, cut: 3, applied: Timestamp::MIN };
        assert_eq!(advanced(&catalogue, 3 * MINUTE + MINUTE / 2), Some(trim));
        // Rewritten, without the first.
        catalogue.generations.remove(Prefix { partition: PartitionId::raw(0), generation: 1 });
        catalogue.event_trim = Some(EventTrim { applied: MINUTE - 1, ..trim });
        assert!(!is_event_trim_due(&catalogue, 3 * MINUTE + MINUTE / 2));
        assert!(
            has_trimmed(&catalogue, PartitionId::raw(1)) && !has_trimmed(&catalogue, PartitionId::raw(3))
        );
        let further = EventTrim { until: 4 * MINUTE - 1, cut: 3, applied: MINUTE - 1 };
        assert_eq!(advanced(&catalogue, 4 * MINUTE), Some(further));
        add(&mut catalogue, 0, 4);
        assert_eq!(advanced(&catalogue, 4 * MINUTE), Some(EventTrim { cut: 4, applied: -1, ..further }));
        assert!(!has_trimmed(&catalogue, PartitionId::raw(0)), "written after the trim");
    }
}
