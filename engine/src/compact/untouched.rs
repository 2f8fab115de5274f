//! Deletes and trims that match nothing in a partition, so that it need not be rewritten for them.

use std::sync::Arc;

use crate::Result;
use crate::budget::Work;
use crate::compact::trim::has_series;
use crate::index::select;
use crate::store::catalogue::{Generation, Tombstone, Trim};
use crate::store::generation::GenerationReader;
use crate::store::kv::Bulk;

/// The generation of a partition that is already merged and has no series that one of its deletes or trims
/// matches.
pub(super) fn is_untouched<'g>(
    kv: &dyn Bulk,
    generations: &'g [Arc<Generation>],
    tombstones: &[Arc<Tombstone>],
    trims: &[Arc<Trim>],
) -> Result<Option<&'g Arc<Generation>>> {
    let [generation] = generations else { return Ok(None) };
    // Events have no index: they would have to be read.
    if !generation.record.merged || generation.record.events > 0 {
        return Ok(None);
    }
    let reader = GenerationReader::new(kv, generation);
    for tombstone in tombstones {
        if !select(&reader, &tombstone.matchers, &Work::unbounded())?.is_empty() {
            return Ok(None);
        }
    }
    for trim in trims {
        if has_series(kv, generation, trim)? {
            return Ok(None);
        }
    }
    Ok(Some(generation))
}
