//! Coverage: the span of time for which a tier of buckets is complete, and what was known when it was built.
//!
//! # Format
//! A record of [`Family::Meta`](crate::store::kv::Family::Meta) for each tier, in the envelope of `values`, version 2:
//!
//! ```text
//! 'c' | class u8 | resolution u8       Coverage
//! ```
//!
//! Version 1 lacks the last field, `whole_from`: its tier may leave out native histograms in all of its buckets.
//!
//! # Invariant
//! C4. The buckets of a tier that end after `from` and not after `through` summarize exactly the raw samples that
//!     generations with a cut up to `cut` hold, without those that tombstones up to `deletes_applied` hide. A raw
//!     generation with a larger cut, a later tombstone, and the head may change buckets inside the span; a reader
//!     computes these from raw samples, until a repair includes them. A tier that the compactor chose omits buckets that
//!     would save too little (`choices`): it stores their ends, and a reader computes them from raw samples.

use std::collections::BTreeMap;
use std::sync::Arc;

use bincode::{Decode, Encode};

use crate::Result;
use crate::model::{Resolution, TierId, TimeRange, Timestamp};
use crate::store::catalogue::{Catalogue, Generation, Tombstone};
use crate::store::generations::Partition;
use crate::store::values;

/// Version of the records.
const COVERAGE_VERSION: u32 = 2;

/// The first byte of the key of a coverage.
pub(super) const KIND_COVERAGE: u8 = b'c';

/// The span for which a tier is complete (C4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Coverage {
    /// Buckets that end at or before this bound are absent.
    pub from: Timestamp,
    /// The end of the last bucket that was built.
    pub through: Timestamp,
    /// Every raw generation with a cut up to this one is included.
    pub cut: u64,
    /// Deletes up to this sequence are applied.
    pub deletes_applied: u64,
    /// Of the buckets that end at or before this bound, some may be omitted, because they would save too little, and some may
    /// leave out native histograms, because an earlier version built them.
    pub whole_from: Timestamp,
}

/// A coverage of version 1.
#[derive(Debug, Decode)]
struct First {
    from: Timestamp,
    through: Timestamp,
    cut: u64,
    deletes_applied: u64,
}

impl Coverage {
    /// The span as a range of bucket ends, which is also the range of the samples in them.
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.from, self.through)
    }

    /// The buckets that may be omitted or leave out native histograms.
    pub(crate) fn sparse(&self) -> TimeRange {
        TimeRange::new(self.from, self.whole_from.min(self.through).max(self.from))
    }

    /// The generations of a raw partition that the tier does not include and that may have samples in `within`.
    pub(crate) fn lacks<'c>(
        &'c self,
        partition: &'c Partition,
        within: TimeRange,
    ) -> impl Iterator<Item = &'c Arc<Generation>> {
        partition.generations.iter().filter(move |generation| {
            let record = &generation.record;
            record.cut > self.cut && record.chunks > 0 && within.overlaps(record.first, record.last)
        })
    }
}

impl Catalogue {
    /// The last instant of the raw samples that have been dropped; [`Timestamp::MIN`] if none have. Partitions up to there
    /// may still hold events.
    pub(crate) fn raw_from(&self) -> Timestamp {
        self.trimmed_of_all().max(self.dropped_partitions())
    }

    /// The last instant of the raw partitions that have been dropped as a whole.
    pub(crate) fn dropped_partitions(&self) -> Timestamp {
        self.coverage.get(&TierId::RAW).map_or(Timestamp::MIN, |raw| raw.from)
    }

    /// The start of the first bucket that raw samples describe completely. Earlier ones cannot be computed again.
    pub(crate) fn computable_from(&self, resolution: Resolution) -> Timestamp {
        resolution.ceil(self.raw_from())
    }

    /// The raw partitions with generations that a tier with this coverage does not include, although they may have samples
    /// in its part `within`.
    pub(crate) fn newer_than<'c>(
        &'c self,
        coverage: &'c Coverage,
        within: TimeRange,
    ) -> impl Iterator<Item = &'c Partition> {
        let partitions = self.generations.partitions_in(TierId::RAW, within, self.layout());
        partitions.filter(move |partition| coverage.lacks(partition, within).next().is_some())
    }

    /// The deletes that a tier with this coverage does not include, although they concern its part `within`.
    pub(crate) fn deletes_after<'c>(
        &'c self,
        coverage: &Coverage,
        within: TimeRange,
    ) -> impl Iterator<Item = &'c Arc<Tombstone>> {
        let later = self.tombstones.iter_from(coverage.deletes_applied.saturating_add(1));
        later.filter(move |delete| delete.overlaps(within))
    }
}

/// The coverage of all tiers that have one. A clone is free.
pub type Coverages = Arc<BTreeMap<TierId, Coverage>>;

/// The key of a tier's coverage.
pub fn coverage_key(tier: TierId) -> Vec<u8> {
    vec![KIND_COVERAGE, tier.class, tier.resolution]
}

/// The tier of a key, without its first byte.
pub(super) fn tier_of(rest: &[u8]) -> Option<TierId> {
    match *rest {
        [class, resolution] => Some(TierId { class, resolution }),
        _ => None,
    }
}

/// The value of a tier's coverage.
///
/// # Errors
/// None in practice: the record is small.
pub fn coverage_value(coverage: &Coverage) -> Result<Vec<u8>> {
    values::encode(COVERAGE_VERSION, coverage)
}

/// Decodes the result of [`coverage_value`].
///
/// # Errors
/// [`Error::Corrupt`](crate::Error::Corrupt), or a newer version.
pub(super) fn decode(place: &str, bytes: &[u8]) -> Result<Coverage> {
    if values::version_of(bytes) != Some(1) {
        return values::decode(place, COVERAGE_VERSION, bytes);
    }
    let First { from, through, cut, deletes_applied } = values::decode(place, 1, bytes)?;
    Ok(Coverage { from, through, cut, deletes_applied, whole_from: through })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_version_may_leave_out_native_histograms() {
        #[derive(Encode)]
        struct V1(i64, i64, u64, u64);

        let coverage = decode("", &values::encode(1, &V1(10, 90, 7, 5)).unwrap()).unwrap();
        assert_eq!(coverage, Coverage { from: 10, through: 90, cut: 7, deletes_applied: 5, whole_from: 90 });
        assert_eq!(coverage.sparse(), TimeRange::new(10, 90));
        assert_eq!(decode("", &coverage_value(&coverage).unwrap()).unwrap(), coverage);
        let reached = Coverage { whole_from: Timestamp::MIN, ..coverage };
        assert!(reached.sparse().is_empty());
        assert!(matches!(
            decode("", &values::encode(3, &coverage).unwrap()),
            Err(crate::Error::FutureVersion { .. })
        ));
    }
}
