//! The label sets that may have samples in a range, found without reading samples.
//!
//! The result may include series created after the view.

use std::ops::ControlFlow;

use ahash::{HashSet, HashSetExt};
use roaring::RoaringTreemap;

use crate::Result;
use crate::budget::{Taken, map_bytes};
use crate::head::HeadSeries;
use crate::model::{Labels, Matcher, SeriesId, TimeRange};
use crate::store::catalogue::Catalogue;
use crate::store::generation::GenerationReader;
use crate::view::View;
use crate::view::time_filter::TimeFilters;

/// The number of series whose labels are looked up at once, and between two checks whether to stop.
const PAGE: usize = 512;

/// Called with label sets until it breaks.
pub(super) type Visit<'v> = dyn FnMut(&Labels) -> Result<ControlFlow<()>> + 'v;

impl View<'_> {
    /// The label sets of the series that match all matchers of any of `selectors` and may have samples in `range`,
    /// sorted. At most `limit`; the search then ends. The memory of the result stays taken from the work.
    ///
    /// # Errors
    /// The errors of [`View::work`], or the store could not be read.
    pub fn label_sets(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Labels>> {
        let _call = self.enter()?;
        self.without_damage(|| self.label_sets_once(selectors, range, limit))
    }

    fn label_sets_once(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Labels>> {
        let (sets, table) = (Taken::of(&self.work), Taken::of(&self.work));
        let mut found: HashSet<Labels> = HashSet::new();
        for matchers in selectors {
            let ended = self.each_present(matchers, range, &mut |labels| {
                if found.len() >= limit {
                    return Ok(ControlFlow::Break(()));
                }
                if !found.contains(labels) {
                    sets.more(labels.memory_bytes())?;
                    table.at_least(map_bytes(found.len() + 1, size_of::<Labels>()))?;
                    found.insert(labels.clone());
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if ended.is_break() {
                break;
            }
        }
        sets.more(found.len() * size_of::<Labels>())?;
        let mut found: Vec<Labels> = found.into_iter().collect();
        crate::model::sort_by_labels(&mut found, |labels| labels);
        sets.leave();
        Ok(found)
    }

    /// Calls `visit` with the labels of the series that match all matchers and may have samples in `range`, until it
    /// breaks. A label set with several ids is passed several times.
    pub(super) fn each_present(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>> {
        let mut seen = RoaringTreemap::new();
        let mut ids = self.head_ids(matchers)?.into_iter();
        let mut page = Vec::new();
        while self.head.next_page(&mut ids, &mut page) {
            for part in page.chunks(PAGE) {
                self.work.check()?;
                for series in part.iter().filter(|series| self.head_touches(series, range)) {
                    seen.insert(series.id.0);
                    if visit(&series.labels)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        self.each_stored(&self.catalogue, matchers, range, seen, visit)
    }

    fn each_stored(
        &self,
        catalogue: &Catalogue,
        matchers: &[Matcher],
        range: TimeRange,
        mut seen: RoaringTreemap,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>> {
        let mut filters = TimeFilters::new(self.kv, catalogue, range);
        for generation in self.indexing(catalogue, range)? {
            let reader = GenerationReader::new(self.kv, generation);
            let ids = self.stored_ids(&reader, matchers)? - &seen;
            let mut reachable = filters.among(generation, ids)?;
            let mut page: Vec<u64> = Vec::with_capacity(PAGE);
            loop {
                self.work.check()?;
                page.clear();
                page.extend(reachable.by_ref().take(PAGE));
                if page.is_empty() {
                    break;
                }
                if self.visit_page(&reader, &page, visit)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                seen.extend(page.iter().copied());
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// For series in the head, the labels are available.
    fn visit_page(
        &self,
        reader: &GenerationReader<'_>,
        page: &[u64],
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>> {
        let mut known: Vec<std::sync::Arc<HeadSeries>> = Vec::new();
        self.head.next_page(&mut page.iter().copied(), &mut known);
        for series in &known {
            if visit(&series.labels)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let mut known = known.iter().map(|series| series.id.0).peekable();
        let mut stored = reader.labels_by_id();
        for id in page.iter().filter(|id| known.next_if_eq(*id).is_none()) {
            if visit(&stored.next(SeriesId(*id))?)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
