//! A change of the catalogue. Its cost depends on the size of the change, not on the size of the catalogue.

use std::sync::Arc;

use roaring::RoaringTreemap;

use crate::Result;
use crate::model::{PartitionId, TierId, Timestamp};
use crate::store::catalogue::{
    CATALOGUE_VERSION, CHOICES_KEY, Catalogue, Choices, Coverage, EVENT_TRIM_KEY, EventTrim, Generation,
    KEPT_KEY, KeptRecord, ROOT_KEY, Root, Tombstone, Trim, coverage_key, coverage_value, generation_key,
    tombstone_key, trim_key,
};
use crate::store::kv::Change;
use crate::store::values;

/// The effect of a flush, a merge or an expiry on the catalogue.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    /// Generations to add.
    pub add: Vec<Arc<Generation>>,
    /// Generations to remove.
    pub remove: Vec<Arc<Generation>>,
    /// Deletes that no longer hide anything.
    pub spent: Vec<Arc<Tombstone>>,
    /// The sequence up to which the store is complete, if it increases.
    pub flushed_seq: Option<u64>,
    /// The newest timestamp that counts, if it increases.
    pub newest: Option<Timestamp>,
    /// The new coverage of tiers; `None` for a tier that no longer exists.
    pub coverage: Vec<(TierId, Option<Coverage>)>,
    /// The new trims; `None` for one that is forgotten.
    pub trims: Vec<(u32, Option<Arc<Trim>>)>,
    /// The new trim of events, if it changes.
    pub event_trim: Option<EventTrim>,
    /// What is kept, if a client changes it.
    pub kept: Option<Arc<KeptRecord>>,
    /// Of which series the tiers that were chosen hold buckets, if that changes.
    pub choices: Option<Arc<Choices>>,
    /// Changes of other records of [`Family::Meta`](crate::store::kv::Family::Meta).
    pub others: Vec<Change>,
    /// The change of [`IndexedSeries`](super::IndexedSeries).
    pub index: IndexChange,
}

/// The effect of an edit on which series have records.
#[derive(Debug, Default)]
pub(crate) struct IndexChange {
    /// Series whose records the edit adds to a partition.
    pub added: Vec<(PartitionId, RoaringTreemap)>,
    /// Series that a flush wrote samples of into a partition that is being merged.
    pub relied_on: Vec<(PartitionId, RoaringTreemap)>,
    /// Series whose records the edit removes.
    pub removed: Vec<(PartitionId, RoaringTreemap)>,
    /// Partitions that the edit removes.
    pub dropped: Vec<PartitionId>,
}

impl Edit {
    /// Removes the deletes that no longer hide anything once the edit is applied to `current`.
    pub(crate) fn without_spent(mut self, current: &Catalogue) -> Self {
        self.spent = self.apply(current, self.root(current.root)).spent_tombstones();
        self
    }

    /// The root after the edit.
    pub(crate) fn root(&self, current: Root) -> Root {
        Root {
            flushed_seq: self.flushed_seq.unwrap_or(current.flushed_seq),
            newest: self.newest.map_or(current.newest, |newest| newest.max(current.newest)),
            ..current
        }
    }

    /// The changes of [`Family::Meta`](crate::store::kv::Family::Meta) that implement the edit. `new` are the deletes
    /// that are only in the log so far, not in the store.
    ///
    /// # Errors
    /// A record is too large.
    pub(crate) fn changes(&self, root: &Root, new: &[Arc<Tombstone>]) -> Result<Vec<Change>> {
        let mut changes = vec![(ROOT_KEY.to_vec(), Some(values::encode(CATALOGUE_VERSION, root)?))];
        changes.extend(self.remove.iter().map(|old| (generation_key(old.prefix), None)));
        for new in &self.add {
            changes.push((generation_key(new.prefix), Some(values::encode(CATALOGUE_VERSION, &new.record)?)));
        }
        for tombstone in new {
            changes.push((tombstone_key(tombstone.seq), Some(tombstone.encode()?)));
        }
        changes.extend(self.spent.iter().map(|spent| (tombstone_key(spent.seq), None)));
        for (tier, coverage) in &self.coverage {
            let value = coverage.as_ref().map(coverage_value).transpose()?;
            changes.push((coverage_key(*tier), value));
        }
        for (number, trim) in &self.trims {
            changes.push((trim_key(*number), trim.as_ref().map(|trim| trim.encode()).transpose()?));
        }
        if let Some(trim) = &self.event_trim {
            changes.push((EVENT_TRIM_KEY.to_vec(), Some(trim.encode()?)));
        }
        if let Some(kept) = &self.kept {
            changes.push((KEPT_KEY.to_vec(), Some(KeptRecord::encode(kept)?)));
        }
        if let Some(choices) = &self.choices {
            changes.push((CHOICES_KEY.to_vec(), choices.value()?));
        }
        Ok(changes)
    }

    /// The newest delete that the store contains after this edit, or that counts as applied.
    pub(crate) fn newest_delete(&self, new: &[Arc<Tombstone>]) -> u64 {
        let applied = self.add.iter().map(|generation| generation.record.deletes_applied);
        let of_tiers = self.coverage.iter().filter_map(|(_, coverage)| Some((*coverage)?.deletes_applied));
        let applied = applied.chain(of_tiers);
        applied.chain(new.iter().map(|tombstone| tombstone.seq)).max().unwrap_or(0)
    }

    /// `current` with the edit applied; deletes that the edit does not name stay.
    pub(crate) fn apply(&self, current: &Catalogue, root: Root) -> Catalogue {
        let mut next = Catalogue { root, ..current.clone() };
        self.remove.iter().for_each(|old| next.generations.remove(old.prefix));
        self.add.iter().for_each(|new| next.generations.insert(new.clone()));
        for spent in &self.spent {
            next.tombstones.remove(spent.seq);
        }
        for (tier, coverage) in &self.coverage {
            let tiers = Arc::make_mut(&mut next.coverage);
            match coverage {
                Some(coverage) => drop(tiers.insert(*tier, *coverage)),
                None => drop(tiers.remove(tier)),
            }
        }
        for (number, trim) in &self.trims {
            let trims = Arc::make_mut(&mut next.trims);
            match trim {
                Some(trim) => drop(trims.insert(*number, trim.clone())),
                None => drop(trims.remove(number)),
            }
        }
        next.event_trim = self.event_trim.or(next.event_trim);
        next.kept = self.kept.clone().or(next.kept);
        next.choices = self.choices.clone().unwrap_or(next.choices);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Layout, MatchOp, Matcher, PartitionId, Resolution, SeriesSet, TimeRange};
    use crate::options::{Kept, Options};
    use crate::store::catalogue::{GenerationRecord, Obsolete, SeriesClass};
    use crate::store::keys::Prefix;
    use crate::store::kv::Kv;
    use crate::store::memory::MemoryKv;

    fn generation(partition: i32, number: u64) -> Arc<Generation> {
        let prefix = Prefix { partition: PartitionId::raw(partition), generation: number };
        let record = GenerationRecord { cut: 7, samples: 2, first: 10, last: 20, ..Default::default() };
        Generation::new(prefix, record, &Arc::new(Obsolete::default()))
    }

    #[test]
    fn changes_bring_the_store_from_one_state_to_the_next() {
        let (kv, obsolete) = (MemoryKv::default(), Arc::new(Obsolete::default()));
        let load = || Catalogue::load(&kv, &obsolete).unwrap().unwrap();
        let first = Catalogue::new(42, Layout::new(1000));
        let (low, high) = (generation(-3, 2), generation(3, 1));
        let delete = Arc::new(Tombstone {
            seq: 9,
            matchers: vec![Matcher::new("job", MatchOp::NotRegex, "a.*").unwrap()],
            range: TimeRange::new(5, 15),
        });
        let trim = Arc::new(Trim {
            tier: TierId::RAW,
            series: SeriesSet { matchers: delete.matchers.clone(), except: Vec::new() },
            until: 999,
            cut: 4,
            applied: 7,
        });
        let mut choices = Choices::default();
        choices.decide(
            TierId::of(0, Resolution::all().next().unwrap()),
            SeriesClass::new(true, false, 6),
            false,
        );
        let edit = Edit {
            add: vec![high.clone(), low.clone()],
            flushed_seq: Some(7),
            newest: Some(20),
            trims: vec![(3, Some(trim.clone()))],
            event_trim: Some(EventTrim { until: 999, cut: 4, applied: 3 }),
            kept: Some(Arc::new(KeptRecord::of(&Kept::of(&Options::default())))),
            choices: Some(Arc::new(choices)),
            ..Edit::default()
        };
        let root = edit.root(first.root);
        assert_eq!((root.flushed_seq, root.newest), (7, 20));
        kv.commit(edit.changes(&root, std::slice::from_ref(&delete)).unwrap()).unwrap();
        let loaded = load();
        assert_eq!(loaded.root, root);
        let prefixes =
            |catalogue: &Catalogue| catalogue.generations.iter().map(|g| g.prefix).collect::<Vec<_>>();
        assert_eq!(prefixes(&loaded), [low.prefix, high.prefix]);
        assert_eq!(loaded.generations.get(low.prefix).unwrap().record, low.record);
        assert_eq!(loaded.tombstones.get(9).unwrap().matchers, delete.matchers);
        assert_eq!(loaded.trims.get(&3), Some(&trim));
        assert_eq!((loaded.event_trim, &loaded.kept), (edit.event_trim, &edit.kept));
        assert_eq!(Some(&loaded.choices), edit.choices.as_ref());
        for (key, value) in edit.changes(&root, std::slice::from_ref(&delete)).unwrap() {
            assert_eq!(loaded.value_of(&key).unwrap(), value, "the store has what the catalogue says");
        }

        let trims = vec![(3, None)];
        let edit = Edit { remove: vec![low.clone()], spent: vec![delete], trims, ..Edit::default() };
        let next = edit.apply(&loaded, edit.root(loaded.root));
        kv.commit(edit.changes(&next.root, &[]).unwrap()).unwrap();
        for loaded in [next, load()] {
            assert_eq!((prefixes(&loaded), loaded.tombstones.len()), (vec![high.prefix], 0));
            assert_eq!(loaded.event_trim.map(|trim| trim.until), Some(999));
            assert!(loaded.kept.is_some() && *loaded.choices != Choices::default());
            assert_eq!(loaded.value_of(&generation_key(low.prefix)).unwrap(), None);
            assert!(loaded.trims.is_empty() && loaded.value_of(&trim_key(3)).unwrap().is_none());
        }
    }
}
