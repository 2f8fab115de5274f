//! The series of a selection: collected by id, then identified by labels.
//!
//! While the database stays open, a label set has one id, so most of the work is one lookup of a number per series.
//! Labels are compared only in the sort, which the result needs anyway. There, several ids of the same labels, which a
//! restart can cause, are joined.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use crate::budget::{Taken, Work, map_bytes};
use crate::model::{Labels, SeriesId, label_order, sort_by_labels};
use crate::store::catalogue::Catalogue;
use crate::view::ViewSeries;
use crate::{Error, Result};

/// The memory for sorting an entry by its labels: its key and its index, before and after.
const ORDER_BYTES: usize = 36;
/// The memory taken at once, so that taking a few bytes for each series is cheap.
const TAKEN: usize = 4096;

/// The series found so far.
pub struct Selection<'t> {
    series_max: usize,
    /// If there are more entries than this, they are joined, to check whether there are too many.
    join_above: usize,
    entries: Vec<ViewSeries>,
    by_id: HashMap<u64, u32, RandomState>,
    /// The memory of the result.
    kept: &'t Taken,
    /// Bytes taken for it but not yet used.
    ahead: usize,
    /// The memory that is released together with this.
    table: Taken,
}

impl<'t> Selection<'t> {
    /// Creates it without series, for at most `series_max`. The memory of the series is taken as `kept`.
    pub fn new(series_max: usize, kept: &'t Taken, work: &Work) -> Self {
        Selection {
            series_max,
            join_above: series_max,
            entries: Vec::new(),
            by_id: HashMap::default(),
            kept,
            ahead: 0,
            table: Taken::of(work),
        }
    }

    /// Takes memory that a series needs besides its entry.
    ///
    /// # Errors
    /// The work has no memory left for it.
    pub fn admit(&mut self, bytes: usize) -> Result<()> {
        if self.ahead < bytes {
            let more = bytes.max(TAKEN);
            self.kept.more(more)?;
            self.ahead += more;
        }
        self.ahead -= bytes;
        Ok(())
    }

    fn grow(&mut self) -> Result<()> {
        let more = self.entries.len().max(16);
        self.kept.more(more * size_of::<ViewSeries>())?;
        self.entries.reserve_exact(more);
        self.table.at_least(map_bytes(self.entries.len() + more, size_of::<(u64, u32)>()))?;
        self.by_id.reserve(more);
        Ok(())
    }

    /// The series of an id that was found before.
    pub fn known(&mut self, id: SeriesId) -> Option<&mut ViewSeries> {
        let at = *self.by_id.get(&id.0)?;
        self.entries.get_mut(at as usize)
    }

    /// The series of an id, adding it if it was not found before.
    ///
    /// # Errors
    /// [`Error::Limit`] if there are too many already.
    pub fn series(
        &mut self,
        id: SeriesId,
        labels: impl FnOnce() -> Labels,
        catalogue: &Arc<Catalogue>,
    ) -> Result<&mut ViewSeries> {
        if self.entries.len() > self.join_above {
            self.join_early()?;
        }
        if self.entries.len() == self.entries.capacity() {
            self.grow()?;
        }
        let at = *self.by_id.entry(id.0).or_insert_with(|| {
            self.entries.push(ViewSeries::new(labels(), catalogue.clone()));
            self.entries.len() as u32 - 1
        });
        Ok(&mut self.entries[at as usize])
    }

    /// It is not an error to have more entries than the limit if they are fewer label sets. In that case, half as many
    /// again may be added before the next check.
    fn join_early(&mut self) -> Result<()> {
        self.join();
        self.check()?;
        self.join_above = self.series_max.saturating_add(self.series_max / 2);
        self.by_id.clear();
        for (at, series) in self.entries.iter().enumerate() {
            self.by_id.extend(series.ids().map(|id| (id.0, at as u32)));
        }
        Ok(())
    }

    /// Sorts the entries, and joins those with the same labels.
    fn join(&mut self) {
        sort_by_labels(&mut self.entries, |series| &series.labels);
        self.entries.dedup_by(|later, earlier| {
            let is_same = later.labels == earlier.labels;
            if is_same {
                earlier.join(later);
            }
            is_same
        });
    }

    fn check(&self) -> Result<()> {
        if self.entries.len() > self.series_max {
            return Err(Error::Limit(format!("more than {} series match", self.series_max)));
        }
        Ok(())
    }

    /// All series in the order of the store, each with its rank in the order of labels.
    ///
    /// # Errors
    /// [`Error::Limit`] if there are too many, or the work has no memory left.
    pub fn finish(mut self) -> Result<Vec<ViewSeries>> {
        self.by_id = HashMap::default();
        self.table.at_least(self.entries.len() * ORDER_BYTES)?;
        if !self.entries.is_sorted_by_key(ViewSeries::place) {
            self.entries.sort_unstable_by_key(ViewSeries::place);
        }
        let mut found = label_order(&self.entries, |series| &series.labels);
        if !found.is_strict {
            self.join();
            found.order = (0..self.entries.len() as u32).collect();
        }
        self.check()?;
        for (rank, at) in (0..).zip(found.order) {
            self.entries[at as usize].rank = rank;
        }
        let room = self.entries.capacity();
        self.entries.shrink_to_fit();
        self.kept.less((room - self.entries.capacity()) * size_of::<ViewSeries>() + self.ahead);
        self.kept.more(self.entries.iter().map(ViewSeries::spilled_bytes).sum())?;
        Ok(self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Layout, PartitionId};

    fn gathered(series_max: usize, found: &[(u64, &str)]) -> Result<Vec<(String, Vec<u64>)>> {
        let catalogue = Arc::new(Catalogue::new(1, Layout::new(1000)));
        let work = Work::unbounded();
        let kept = Taken::of(&work);
        let mut selection = Selection::new(series_max, &kept, &work);
        for (partition, &(id, name)) in found.iter().enumerate() {
            let labels = || Labels::from_pairs([("__name__", name)]).unwrap();
            let series = selection.series(SeriesId(id), labels, &catalogue)?;
            series.add_id(PartitionId::raw(partition as i32), SeriesId(id));
        }
        let shown = |s: ViewSeries| (s.labels.to_string(), s.ids().map(|id| id.0).collect());
        let mut found = selection.finish()?;
        found.sort_by_key(|series| series.rank);
        assert!(found.is_sorted_by(|a, b| a.labels < b.labels));
        Ok(found.into_iter().map(shown).collect())
    }

    #[test]
    fn ids_of_one_label_set_are_one_series() {
        let found = [(7, "b"), (1, "a"), (7, "b"), (9, "a"), (2, "c")];
        let expected = [("a", vec![1, 9]), ("b", vec![7, 7]), ("c", vec![2])];
        let expected: Vec<_> = expected.into_iter().map(|(name, ids)| (name.to_owned(), ids)).collect();
        assert_eq!(gathered(3, &found).unwrap(), expected);
        assert_eq!(gathered(100, &found).unwrap(), expected);
    }

    #[test]
    fn the_limit_counts_label_sets() {
        let ids_of_one: Vec<(u64, &str)> = (0..50).map(|id| (id, "up")).collect();
        assert_eq!(gathered(1, &ids_of_one).unwrap()[0].1.len(), 50);
        assert!(gathered(2, &[(1, "a"), (2, "b"), (3, "a"), (4, "b")]).is_ok());
        assert!(gathered(2, &[(1, "a"), (2, "b"), (3, "c")]).is_err());
        assert!(gathered(0, &[(1, "a")]).is_err() && gathered(0, &[]).unwrap().is_empty());
    }

    #[test]
    fn exactly_what_the_result_takes_stays_taken() {
        let catalogue = Arc::new(Catalogue::new(1, Layout::new(1000)));
        let work = Work::unbounded();
        let kept = Taken::of(&work);
        let mut selection = Selection::new(1000, &kept, &work);
        let sizes = [100, 1, TAKEN, TAKEN + 1, 3 * TAKEN, 7];
        for (id, bytes) in (0..).zip(sizes) {
            selection.admit(bytes).unwrap();
            let labels = || Labels::from_pairs([("id", &*id.to_string())]).unwrap();
            selection.series(SeriesId(id), labels, &catalogue).unwrap();
            assert!(kept.bytes() as usize >= sizes[..=id as usize].iter().sum());
        }
        let found = selection.finish().unwrap();
        let entries = found.capacity() * size_of::<ViewSeries>();
        assert_eq!(kept.bytes() as usize, entries + sizes.iter().sum::<usize>());
        assert_eq!(work.account().bytes(), kept.bytes(), "the table is gone");
    }
}
