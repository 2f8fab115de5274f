//! Whether a tier omits the buckets of a selection: they then cost more than samples.

use crate::Result;
use crate::model::{Matcher, Resolution, SeriesId, TierId, TimeRange};
use crate::rollup::{BucketColumns, Columns};
use crate::store::cursors::ChunkCursors;
use crate::store::generation::GenerationReader;
use crate::view::View;

/// The number of series that are looked at, spread evenly.
const SERIES: u64 = 4;

impl View<'_> {
    /// Whether a tier omits most of the newest buckets of the series that match all matchers, judged by some of these. Reading
    /// their samples then costs less.
    ///
    /// # Errors
    /// The errors of [`View::work`]; the store could not be read.
    pub fn omits(&self, matchers: &[Matcher], resolution: Resolution) -> Result<bool> {
        let tier = TierId::of(0, resolution);
        if self.catalogue.choices.omitted(tier).next().is_none() {
            return Ok(false);
        }
        let _call = self.enter()?;
        let partitions =
            self.catalogue.generations.partitions_in(tier, TimeRange::ALL, self.catalogue.layout());
        let newest = partitions.filter(|partition| !partition.generations.is_empty()).last();
        let generations = newest.map_or(&[][..], |newest| &newest.generations);
        let mut cursors = ChunkCursors::new(self.kv);
        let mut buckets = BucketColumns::new(Columns::NONE);
        for generation in generations.iter().filter(|generation| !self.is_lost(generation.prefix)) {
            let reader = GenerationReader::new(self.kv, generation);
            let ids = self.without_damage(|| self.stored_ids(&reader, matchers))?;
            let looked = ids.len().min(SERIES);
            for id in (0..looked).filter_map(|nth| ids.select(nth * ids.len() / looked)) {
                let (id, all, ends) = (SeriesId(id), TimeRange::ALL, Columns::NONE);
                self.without_damage(|| cursors.read_buckets(generation, id, all, ends, &mut buckets))?;
            }
            if !buckets.is_empty() {
                break;
            }
        }
        let omitted = (0..buckets.len()).filter(|&row| buckets.is_omitted(row)).count();
        Ok(omitted * 2 > buckets.len())
    }
}
