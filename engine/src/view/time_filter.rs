//! Finds the series of a partition that may have samples in a range, before anything of them is read.

use std::sync::Arc;

use roaring::RoaringTreemap;

use crate::Result;
use crate::model::{PartitionId, SeriesId, TimeRange};
use crate::store::catalogue::{Catalogue, Generation};
use crate::store::generation::GenerationReader;
use crate::store::kv::Bulk;
use crate::store::times::{Times, stretch_of};

/// Reading the labels of fewer series than this takes less time than determining which of them have samples in the
/// range.
const FILTER_MIN: u64 = 4;

/// The times of the series in generations, partition by partition.
pub(super) struct TimeFilters<'a> {
    kv: &'a dyn Bulk,
    catalogue: &'a Catalogue,
    range: TimeRange,
    current: Option<(PartitionId, TimeFilter)>,
}

impl<'a> TimeFilters<'a> {
    /// Creates it without reading anything.
    pub(super) fn new(kv: &'a dyn Bulk, catalogue: &'a Catalogue, range: TimeRange) -> Self {
        TimeFilters { kv, catalogue, range, current: None }
    }

    /// The subset of a generation's series that may have samples in the range. Generations must be passed in the order
    /// of the catalogue.
    ///
    /// # Errors
    /// The store could not be read.
    pub(super) fn among(
        &mut self,
        generation: &Generation,
        ids: RoaringTreemap,
    ) -> Result<impl Iterator<Item = u64>> {
        let partition = generation.prefix.partition;
        let is_known = self.current.as_ref().is_some_and(|(known, _)| *known == partition);
        let is_worth_it = ids.len() >= FILTER_MIN;
        if is_worth_it && !is_known {
            let all = self.catalogue.generations.in_partition(partition);
            self.current = Some((partition, TimeFilter::new(self.kv, all, self.range)?));
        }
        let mut filter = self.current.as_mut().filter(|_| is_worth_it).map(|(_, filter)| filter);
        let may_hold = move |id: &u64| filter.as_mut().is_none_or(|filter| filter.may_hold(SeriesId(*id)));
        Ok(ids.into_iter().filter(may_hold))
    }
}

/// The times of the series in the generations of a partition.
pub(super) struct TimeFilter {
    range: TimeRange,
    /// Those of the generations with samples in the range; `None` if one has no such record.
    shown: Option<Vec<Times>>,
    /// The stretch of the last call, and the result.
    recent: Option<(u64, bool)>,
}

impl TimeFilter {
    /// Reads the times of all generations of a partition. A series may have its record in one of them and its samples
    /// in others.
    ///
    /// # Errors
    /// The store could not be read.
    pub(super) fn new(kv: &dyn Bulk, generations: &[Arc<Generation>], range: TimeRange) -> Result<Self> {
        let mut shown = Vec::new();
        let is_inside = |g: &Arc<Generation>| range.start < g.record.first && g.record.last <= range.end;
        if generations.iter().all(is_inside) {
            return Ok(TimeFilter { range, shown: None, recent: None });
        }
        let has_chunks = |g: &&Arc<Generation>| g.record.chunks > 0;
        for generation in generations.iter().filter(has_chunks) {
            if !range.overlaps(generation.record.first, generation.record.last) {
                continue;
            }
            match GenerationReader::new(kv, generation).times()? {
                Some(times) => shown.push(times),
                None => return Ok(TimeFilter { range, shown: None, recent: None }),
            }
        }
        Ok(TimeFilter { range, shown: Some(shown), recent: None })
    }

    /// Whether a series may have samples in the range. Fastest if ids ascend.
    pub(super) fn may_hold(&mut self, id: SeriesId) -> bool {
        let Some(shown) = &self.shown else { return true };
        let stretch = stretch_of(id);
        match self.recent {
            Some((known, held)) if known == stretch => held,
            _ => {
                let held = shown.iter().any(|times| times.may_hold(stretch, self.range));
                self.recent = Some((stretch, held));
                held
            }
        }
    }
}
