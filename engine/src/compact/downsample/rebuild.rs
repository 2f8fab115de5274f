//! Computes damaged partitions of a tier again, while what they are computed from is stored.

use super::TierJob;
use super::included::{can_compute, damaged_in};
use crate::Result;
use crate::compact::Compactor;
use crate::model::TimeRange;
use crate::store::catalogue::Catalogue;
use crate::store::generation::Tables;

impl Compactor<'_> {
    /// Replaces the first damaged partition of a tier that can be computed. Returns whether there was one.
    pub(crate) fn rebuild_tier(&self, job: &TierJob) -> Result<bool> {
        let catalogue = self.versions.current_owned();
        let Some(span) = next_damaged(&catalogue, job) else { return Ok(false) };
        let Some(coverage) = catalogue.coverage.get(&job.tier()) else { return Ok(false) };
        self.versions.resolve_uncertain(self.context)?;
        let partition = catalogue.layout().partition(job.tier(), span.end);
        let mut tables = Tables::new(self.versions.kv());
        let written = self.write_span(&mut tables, &catalogue, job, span, coverage.cut)?;
        let remove = catalogue.generations.all_in(partition);
        self.replace_buckets(tables, written.into_iter().collect(), remove, Vec::new())?;
        tracing::info!(%partition, "computed the buckets of a damaged partition again");
        Ok(true)
    }
}

fn next_damaged(catalogue: &Catalogue, job: &TierJob) -> Option<TimeRange> {
    let mut damaged = damaged_in(catalogue, job.tier(), TimeRange::ALL);
    damaged.find(|span| !span.is_empty() && can_compute(catalogue, job, *span))
}
