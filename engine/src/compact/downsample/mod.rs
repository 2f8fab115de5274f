//! Downsampling: tiers of buckets are built from raw samples, and the wider ones from the narrower ones.
//!
//! A tier has a coverage (C4 in `store/catalogue.rs`). *Extending* it adds the buckets of the next closed raw partitions.
//! *Repairing* it computes exactly the buckets again that late samples and deletes have changed since: those of the raw
//! generations and the tombstones that the coverage does not include yet. Neither changes the other's result, and both
//! may be repeated: a crash in between loses work, not data. Readers use raw samples in place of buckets that a repair
//! would change (`view/tier/`), so no answer waits for one.
//!
//! All of it happens under the merging lock. Raw partitions that need a repair are merged and expired after it, because
//! merging mixes what a tier includes with what it does not, and expiring ends the possibility to compute.
//!
//! Next: `automatic.rs` (which tier is worth its bytes), `class.rs` (the columns of a series, and of which series a tier that
//! was chosen omits the buckets), `included.rs` (what a tier includes of the raw samples), `source.rs` (what buckets are
//! computed from), `write.rs`, `extend.rs`, `repair.rs`, `rebuild.rs` (damaged partitions), `complete.rs` (what was omitted),
//! `merge.rs` (the generations of a tier's partition) and `commit.rs`.

mod automatic;
mod class;
mod commit;
mod complete;
mod extend;
mod included;
mod merge;
mod rebuild;
mod repair;
mod source;
mod write;

pub(crate) use automatic::{Chosen, Rate, candidates, newest_merged};
use class::class_of;
use included::is_damaged;
pub(crate) use included::{awaits_repair, is_included, newest_included_delete};
#[cfg(test)]
pub(crate) use write::NATIVE_BYTES_PAUSE;

use crate::model::{Labels, MetricTypes, Resolution, TierId, TimeRange, Timestamp};
use crate::rollup::{Bucket, Extras, Gaps, Shape};
use crate::store::catalogue::Catalogue;

/// The number of generations after which an extension ends.
const GENERATIONS_PER_EXTENSION: usize = 16;

/// A tier to maintain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TierJob {
    /// The width of its buckets.
    pub resolution: Resolution,
    /// The next narrower tier, from which it is built.
    pub finer: Option<Resolution>,
    /// The columns that its buckets have beside those that every bucket has.
    pub extras: Extras,
    /// Samples at or before this time are not kept in the tier.
    pub horizon: Timestamp,
    /// Whether it may omit buckets that would save too little: it is kept no longer than raw samples.
    pub omits: bool,
}

impl TierJob {
    pub(crate) fn tier(&self) -> TierId {
        TierId::of(0, self.resolution)
    }

    /// Whether it omits the buckets of some series.
    fn omits_any(&self, catalogue: &Catalogue) -> bool {
        self.omits && catalogue.choices.omitted(self.tier()).next().is_some()
    }

    /// The form of a chunk with these buckets of a series.
    fn shape(&self, types: &dyn MetricTypes, labels: &Labels, buckets: &[Bucket]) -> Shape {
        // Those of chunks that were written without them are not known.
        let is_known = |bucket: &Bucket| bucket.count > 1 && bucket.gaps != Gaps::UNKNOWN;

        Shape {
            width: self.resolution.width_ns(),
            source: self.finer.map_or(0, Resolution::width_ns),
            class: class_of(types, labels, buckets),
            bounds: self.extras.bounds && buckets.iter().any(is_known),
        }
    }
}

/// The tier from which a span of buckets is computed: the narrower one, if it covers the span; `None`: raw samples. Damage,
/// and buckets that may be omitted, make it raw samples too, if there are enough.
fn source_of(catalogue: &Catalogue, job: &TierJob, span: TimeRange) -> Option<Resolution> {
    let finer = job.finer?;
    let tier = TierId::of(0, finer);
    let coverage = catalogue.coverage.get(&tier)?;
    let covers = coverage.from <= span.start && span.end <= coverage.through;
    let lacks = || is_damaged(catalogue, tier, span) || !coverage.sparse().intersection(span).is_empty();
    let replaces = || lacks() && has_samples(catalogue, job, span);
    (covers && !replaces()).then_some(finer)
}

/// Whether the narrower tier, from which a span is computed, does not have all buckets of it yet.
fn awaits_finer(catalogue: &Catalogue, job: &TierJob, span: TimeRange) -> bool {
    let finer = source_of(catalogue, job, span).map(|finer| TierId::of(0, finer));
    let coverage = finer.and_then(|finer| catalogue.coverage.get(&finer));
    coverage.is_some_and(|finer| !finer.sparse().intersection(span).is_empty())
}

/// Whether raw samples cover all buckets that end in a span, and none of them is damaged. Series that have lost more samples
/// than all others have none of these buckets.
fn has_samples(catalogue: &Catalogue, job: &TierJob, span: TimeRange) -> bool {
    catalogue.computable_from(job.resolution) <= span.start && !is_damaged(catalogue, TierId::RAW, span)
}

/// The end of the raw partitions that are closed at `now`: newer samples may still be on their way.
fn closed_until(catalogue: &Catalogue, now: Timestamp) -> Timestamp {
    let layout = catalogue.layout();
    let width = layout.width(TierId::RAW);
    let open = layout.raw(now.saturating_add(1).saturating_sub(width));
    layout.bounds(open).0
}
