//! Computes damaged partitions of a tier again, while what they are computed from is stored.

use super::included::{can_compute, damaged_in};
use super::{TierJob, source_of};
use crate::Result;
use crate::compact::Compactor;
use crate::model::{TierId, TimeRange};
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
        let mut tables = Tables::new(self.kv);
        // The coverage says that these are whole, so that samples may be dropped.
        let was_whole = coverage.sparse().intersection(span).is_empty();
        let job = &TierJob { omits: job.omits && !was_whole, ..*job };
        let written = self.write_span(&mut tables, &catalogue, job, span, coverage.cut)?;
        // The others stay: of series that have lost what buckets are computed from, they have all that is left.
        let found = catalogue.generations.partition(partition);
        let damaged = found.into_iter().flat_map(|partition| &partition.aside);
        let remove = damaged.map(|aside| aside.generation.clone()).collect();
        self.replace_buckets(tables, written.into_iter().collect(), remove, Vec::new(), Vec::new())?;
        let source = source_of(&catalogue, job, span).map_or(TierId::RAW, |finer| TierId::of(0, finer));
        if catalogue.is_trimmed_after(source, span.start) {
            tracing::warn!(%partition, "buckets of series that are kept shorter than others may be lost there");
        }
        tracing::info!(%partition, "computed the buckets of a damaged partition again");
        Ok(true)
    }
}

fn next_damaged(catalogue: &Catalogue, job: &TierJob) -> Option<TimeRange> {
    let mut damaged = damaged_in(catalogue, job.tier(), TimeRange::ALL);
    damaged.find(|span| !span.is_empty() && can_compute(catalogue, job, *span))
}
