//! What has been dropped of the series of a selection (C5 in `store/catalogue.rs`).

use crate::Result;
use crate::model::{Labels, Matcher, Resolution, TierId, TimeRange, Timestamp};
use crate::store::catalogue::Trim;
use crate::store::generation::GenerationReader;
use crate::store::generations::Partition;
use crate::view::View;
use crate::view::tier::TierSpan;

impl View<'_> {
    /// Like [`View::tiers`], for the series that match all matchers of one of `selectors`: a tier begins where it does for
    /// all of them, as far as that is after `from`. What was dropped before is not looked for.
    ///
    /// # Errors
    /// The errors of [`View::work`]; the store could not be read.
    pub fn tiers_of(&self, selectors: &[&[Matcher]], from: Timestamp) -> Result<Vec<TierSpan>> {
        let mut tiers = self.tiers();
        for TierSpan { resolution, range } in &mut tiers {
            let trimmed = self.trimmed_of(TierId::of(0, *resolution), selectors, from)?;
            range.start = range.start.max(trimmed).min(range.end);
        }
        Ok(tiers)
    }

    /// The time up to which raw samples have been dropped of some of the series that match all matchers of one of
    /// `selectors`, as far as that is after `from`; they are complete after it.
    ///
    /// # Errors
    /// Same as [`View::tiers_of`].
    pub fn raw_from_of(&self, selectors: &[&[Matcher]], from: Timestamp) -> Result<Timestamp> {
        let of_all = self.raw_from();
        Ok(of_all.max(self.trimmed_of(TierId::RAW, selectors, from.max(of_all))?))
    }

    fn trimmed_of(&self, tier: TierId, selectors: &[&[Matcher]], from: Timestamp) -> Result<Timestamp> {
        let mut until = from;
        let trims = self.catalogue.trims.values().filter(|trim| trim.tier == tier);
        for trim in trims {
            for matchers in selectors {
                let scoped = self.scoped(matchers);
                if trim.until > until
                    && trim.series.may_overlap(&scoped)
                    && self.has_common(trim, matchers)?
                {
                    until = trim.until;
                }
            }
        }
        Ok(if until == from { Timestamp::MIN } else { until })
    }

    /// Whether a series that a trim selects and that matches all matchers is stored where it has been trimmed.
    fn has_common(&self, trim: &Trim, matchers: &[Matcher]) -> Result<bool> {
        let both: Vec<Matcher> = matchers.iter().chain(&trim.series.matchers).cloned().collect();
        let layout = self.catalogue.layout();
        let trimmed = TimeRange::new(Timestamp::MIN, trim.until);
        for tier in self.catalogue.generations.tiers() {
            let partitions = self.catalogue.generations.partitions_in(tier, trimmed, layout);
            for generation in partitions.flat_map(Partition::all) {
                // What is damaged may have had some.
                if self.is_lost(generation.prefix) {
                    return Ok(true);
                }
                self.work.check()?;
                let reader = GenerationReader::new(self.kv, generation);
                let mut ids = self.stored_ids(&reader, &both)?;
                for except in &trim.series.except {
                    if !ids.is_empty() {
                        ids -= self.stored_ids(&reader, except)?;
                    }
                }
                if !ids.is_empty() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether the bucket of a series that holds `t` can no longer be computed from raw samples.
    pub(crate) fn is_dropped(&self, t: Timestamp, resolution: Resolution, labels: &Labels) -> bool {
        let whole = self.catalogue.complete_from(TierId::RAW, labels, resolution);
        resolution.ceil(t).saturating_sub(resolution.width_ns()) < whole
    }

    /// Whether buckets of some series can no longer be computed from raw samples at or after `t`.
    pub(crate) fn may_be_dropped(&self, t: Timestamp, resolution: Resolution) -> bool {
        let begin = resolution.ceil(t).saturating_sub(resolution.width_ns());
        begin < self.catalogue.computable_from(resolution)
            || self.catalogue.is_trimmed_after(TierId::RAW, begin)
    }
}
