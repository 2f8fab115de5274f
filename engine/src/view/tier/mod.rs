//! Buckets of a tier over any range: stored ones where the tier is complete, computed from raw samples elsewhere. So a
//! caller sees one sequence of buckets of one width, without a seam, and it is the one that raw samples alone would give.
//!
//! Computed from raw samples are the buckets outside the tier's coverage (C4 in `store/catalogue.rs`), those that the tier
//! omits, those that a newer raw generation, a newer delete or the head may have changed, and those of damaged partitions of the tier.
//!
//! Next: `plan.rs` (what is common to all series of a selection), `trimmed.rs` (what has been dropped of some),
//! `omitted.rs` (of which a tier omits the buckets) and `read.rs`.

mod omitted;
mod plan;
mod read;
mod trimmed;

pub use plan::BucketPlan;

use crate::Result;
use crate::model::{Matcher, Resolution, TierId, TimeRange};
use crate::view::{View, ViewSeries};

/// A tier, and the span for which it is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierSpan {
    /// The width of its buckets.
    pub resolution: Resolution,
    /// The ends of its buckets are in this range.
    pub range: TimeRange,
}

impl View<'_> {
    /// The tiers of buckets, ascending by width.
    pub fn tiers(&self) -> Vec<TierSpan> {
        let coverage = self.catalogue.coverage.iter();
        let mut tiers: Vec<TierSpan> = coverage
            .filter_map(|(tier, coverage)| {
                Some(TierSpan { resolution: tier.resolution()?, range: coverage.range() })
            })
            .collect();
        tiers.sort_unstable_by_key(|tier| tier.resolution.width_ns());
        tiers
    }

    /// The time up to which raw samples have been dropped; they are complete after it.
    pub fn raw_from(&self) -> crate::model::Timestamp {
        self.catalogue.raw_from()
    }

    /// The part of a range in which raw samples have been dropped, of the series that match all matchers.
    pub(super) fn dropped_in(&self, range: TimeRange, matchers: &[Matcher]) -> TimeRange {
        let trimmed = self.catalogue.trimmed_among(TierId::RAW, matchers);
        range.intersection(TimeRange::new(i64::MIN, self.raw_from().max(trimmed)))
    }

    /// The series that match all matchers and may have buckets with ends in `range`, in storage order, and what is needed
    /// to read them with [`SeriesReader::read_buckets`](crate::SeriesReader::read_buckets). The range is widened to
    /// bounds of buckets.
    ///
    /// # Errors
    /// Same as [`View::select_unsorted`].
    pub fn select_buckets(
        &self,
        matchers: &[Matcher],
        resolution: Resolution,
        range: TimeRange,
        series_max: usize,
    ) -> Result<(Vec<ViewSeries>, BucketPlan)> {
        let _call = self.enter()?;
        let plan = BucketPlan::new(&self.catalogue, resolution, range);
        let heads = self.copy_heads(matchers, plan.range, series_max)?;
        // Also where buckets are stored: they lack what could not be read when they were built.
        self.note_gaps(&self.catalogue, TierId::RAW, plan.range)?;
        // Elsewhere the buckets of a damaged partition are computed from raw samples.
        self.note_gaps(&self.catalogue, plan.tier, self.dropped_in(plan.range, matchers))?;
        let found = self.without_damage(|| {
            let partitions = plan.partitions(&self.catalogue).into_iter();
            self.select_in(partitions, &self.kept, &heads, matchers, plan.range, series_max)
        })?;
        Ok((found, plan))
    }
}
