//! Which series of a partition may have samples in a range, before anything of them is read.

use std::sync::Arc;

use crate::Result;
use crate::model::{SeriesId, TimeRange};
use crate::store::catalogue::Generation;
use crate::store::generation::GenerationReader;
use crate::store::kv::Kv;
use crate::store::times::{Times, stretch_of};

/// What the generations of a partition say about their series.
pub(super) struct Reach {
    range: TimeRange,
    /// Of the generations with samples in the range; none where nothing can be told apart.
    told: Option<Vec<Times>>,
    /// The stretch that was asked for last, and the answer.
    recent: Option<(u64, bool)>,
}

impl Reach {
    /// Of all generations of a partition. A series may have its record in one of them and its
    /// samples in others.
    ///
    /// # Errors
    /// The store could not be read.
    pub(super) fn new(kv: &dyn Kv, generations: &[Arc<Generation>], range: TimeRange) -> Result<Self> {
        let mut told = Vec::new();
        let is_inside = |g: &Arc<Generation>| range.start < g.record.first && g.record.last <= range.end;
        if generations.iter().all(is_inside) {
            return Ok(Reach { range, told: None, recent: None });
        }
        let has_chunks = |g: &&Arc<Generation>| g.record.chunks > 0;
        for generation in generations.iter().filter(has_chunks) {
            if !range.overlaps(generation.record.first, generation.record.last) {
                continue;
            }
            match GenerationReader::new(kv, generation).times()? {
                Some(times) => told.push(times),
                None => return Ok(Reach { range, told: None, recent: None }),
            }
        }
        Ok(Reach { range, told: Some(told), recent: None })
    }

    /// Whether a series may have samples in the range. Quickest where ids ascend.
    pub(super) fn may_hold(&mut self, id: SeriesId) -> bool {
        let Some(told) = &self.told else { return true };
        let stretch = stretch_of(id);
        match self.recent {
            Some((known, held)) if known == stretch => held,
            _ => {
                let held = told.iter().any(|times| times.may_hold(stretch, self.range));
                self.recent = Some((stretch, held));
                held
            }
        }
    }
}
