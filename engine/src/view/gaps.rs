//! Damaged generations and reads: a read that overlaps one reports it or is refused.
//!
//! Other generations of the partition may rely on its series records, so any sample of the partition may be missing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::model::{Layout, TierId, TimeRange};
use crate::store::catalogue::{Catalogue, Generation};
use crate::store::generations::Aside;
use crate::store::keys::Prefix;
use crate::view::View;
use crate::{Error, Result};

/// A generation that is set aside, and the time range in which samples may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// First instant of its partition.
    pub first: crate::Timestamp,
    /// Last instant of its partition.
    pub last: crate::Timestamp,
    /// The generation's number.
    pub generation: u64,
    /// The damage.
    pub why: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last, generation) = (self.first.as_secs(), self.last.as_secs(), self.generation);
        write!(
            f,
            "samples from {first} to {last} (Unix seconds) may be missing: generation {generation} is damaged and set \
             aside: {}",
            self.why
        )
    }
}

impl Damage {
    fn of(aside: &Aside, layout: Layout) -> Self {
        let prefix = aside.generation.prefix;
        let (first, last) = layout.bounds(prefix.partition);
        let (first, last) = (crate::Timestamp::from_nanos(first), crate::Timestamp::from_nanos(last));
        Damage { first, last, generation: prefix.generation, why: aside.why.clone() }
    }
}

impl Catalogue {
    /// The generations of all tiers set aside in the partitions of `range`.
    pub(crate) fn damage_in(&self, range: TimeRange) -> impl Iterator<Item = (Prefix, Damage)> {
        let layout = self.layout();
        let aside = self.generations.aside_in(range, layout);
        aside.map(move |aside| (aside.generation.prefix, Damage::of(aside, layout)))
    }

    /// Those of one tier.
    pub(crate) fn damage_of(&self, tier: TierId, range: TimeRange) -> impl Iterator<Item = (Prefix, Damage)> {
        self.damage_in(range).filter(move |(prefix, _)| prefix.partition.tier == tier)
    }
}

/// How a view treats damage, and what it has left out so far.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// `None` if reads are refused.
    left_out: Option<Mutex<BTreeMap<Prefix, Damage>>>,
    /// Reads are refused even if the caller could leave something out.
    refuses: bool,
    /// Generations that were set aside after the view was created.
    lost: Mutex<BTreeMap<Prefix, Damage>>,
    has_lost: AtomicBool,
}

impl View<'_> {
    /// Makes the view leave out damaged generations instead of refusing the read; [`View::left_out`] returns them.
    #[must_use]
    pub fn leaving_out_damage(mut self) -> Self {
        self.gaps.left_out = (!self.gaps.refuses).then(Mutex::default);
        self
    }

    /// Makes [`View::leaving_out_damage`] do nothing.
    pub(crate) fn refusing_damage(mut self) -> Self {
        self.gaps.refuses = true;
        self
    }

    /// The damage that reads of this view have left out, ascending by time.
    pub fn left_out(&self) -> Vec<Damage> {
        let left_out = self.gaps.left_out.as_ref().map(|left_out| left_out.lock().clone());
        left_out.unwrap_or_default().into_values().collect()
    }

    /// Records the damage of a tier in a range before it is read.
    ///
    /// # Errors
    /// There is damage, and the view does not leave it out.
    pub(super) fn note_gaps(&self, catalogue: &Catalogue, tier: TierId, range: TimeRange) -> Result<()> {
        let lost = self.gaps.lost.lock().clone();
        let lost = lost.into_iter().filter(|(prefix, damage)| {
            let is_inside = range.overlaps(damage.first.as_nanos(), damage.last.as_nanos());
            is_inside && prefix.partition.tier == tier
        });
        for (prefix, damage) in catalogue.damage_of(tier, range).chain(lost) {
            match &self.gaps.left_out {
                Some(left_out) => drop(left_out.lock().insert(prefix, damage)),
                None => {
                    return Err(Error::Corrupt {
                        file: format!("partition {}", prefix.partition),
                        offset: 0,
                        what: format!("{damage}; this read cannot leave it out"),
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether a generation was set aside after the view was created.
    #[inline]
    pub(super) fn is_lost(&self, prefix: Prefix) -> bool {
        self.gaps.has_lost.load(Ordering::Relaxed) && self.gaps.lost.lock().contains_key(&prefix)
    }

    /// Whether `error` is damage for which a generation of the view has been set aside, and the view leaves that
    /// generation out from now on.
    pub(super) fn learns_from(&self, error: &Error) -> bool {
        if self.gaps.left_out.is_none() || !error.is_damage() {
            return false;
        }
        let known = |prefix: Prefix| {
            let generations = self.catalogue.generations.in_partition(prefix.partition);
            generations.iter().any(|generation| generation.prefix == prefix)
        };
        let mut lost = self.gaps.lost.lock();
        let before = lost.len();
        lost.extend(self.latest.current().damage_in(TimeRange::ALL).filter(|(prefix, _)| known(*prefix)));
        self.gaps.has_lost.store(!lost.is_empty(), Ordering::Relaxed);
        lost.len() > before
    }

    /// Runs `read`, and repeats it without the damage that it meets.
    pub(super) fn without_damage<T>(&self, mut read: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            match read() {
                Err(error) if self.learns_from(&error) => {}
                other => return other,
            }
        }
    }

    /// Whether a read continues without a generation that could not be read.
    ///
    /// # Errors
    /// `error`, if it does not.
    pub(super) fn gives_up(&self, prefix: Prefix, range: TimeRange, error: Error) -> Result<()> {
        // Another reader of the view may have noticed it already.
        let _ = self.learns_from(&error);
        if !error.is_damage() || !self.is_lost(prefix) {
            return Err(error);
        }
        self.note_gaps(&self.catalogue, prefix.partition.tier, range)
    }

    /// The generations whose index may contain a series with samples in `range`, or with buckets where samples have been
    /// dropped. A series is indexed once in a partition, by the first of its generations.
    ///
    /// # Errors
    /// Same as [`View::note_gaps`].
    pub(super) fn indexing<'c>(
        &self,
        catalogue: &'c Catalogue,
        range: TimeRange,
    ) -> Result<impl Iterator<Item = &'c Arc<Generation>>> {
        self.note_gaps(catalogue, TierId::RAW, range)?;
        // Where raw samples have been dropped, the tiers have the series.
        let dropped = self.dropped_in(range, &[]);
        let tiers: Vec<TierId> = catalogue.coverage.keys().copied().filter(|tier| !tier.is_raw()).collect();
        for tier in &tiers {
            self.note_gaps(catalogue, *tier, dropped)?;
        }
        let layout = catalogue.layout();
        let raw = catalogue.generations.partitions_in(TierId::RAW, range, layout);
        let stored = tiers
            .into_iter()
            .flat_map(move |tier| catalogue.generations.partitions_in(tier, dropped, layout));
        let generations = raw.chain(stored).flat_map(|partition| &partition.generations);
        Ok(generations.filter(|generation| !self.is_lost(generation.prefix)))
    }
}
