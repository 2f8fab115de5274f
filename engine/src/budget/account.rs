//! The memory of a share that one piece of work holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::lane::{Allowance, Lane, Places};
use super::{Full, Share, bytes_text};

/// The memory that one piece of work holds. Clones share it; dropping the last one releases the rest to the share.
#[derive(Debug, Clone, Default)]
pub struct Account {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    share: Option<Arc<Share>>,
    /// Whether this work may use the reserve of the share.
    in_turn: AtomicBool,
    bytes: AtomicU64,
    peak: AtomicU64,
    lane: Lane,
}

impl Drop for Counters {
    fn drop(&mut self) {
        self.give_to_share(self.bytes.load(Relaxed));
    }
}

impl Counters {
    fn give_to_share(&self, bytes: u64) {
        match &self.share {
            Some(share) if self.in_turn.load(Relaxed) => share.sub_in_turn(bytes),
            Some(share) => share.sub(bytes),
            None => {}
        }
    }
}

/// Why memory was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The work would hold more than one piece of work may: ask for less.
    #[error("more than {} of memory are needed, the limit of one request", bytes_text(*limit))]
    Own {
        /// The limit, bytes.
        limit: u64,
    },
    /// All work together would hold more than it may: retry later.
    #[error(transparent)]
    Shared(Full),
    /// Light work would hold more than it may ([`Allowance`]).
    #[error("it is too much memory for light work")]
    Heavy,
}

impl Account {
    /// An account that counts against `share`.
    pub fn of(share: Arc<Share>) -> Self {
        let (in_turn, bytes, peak) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let lane = Lane::default();
        Account { counters: Arc::new(Counters { share: Some(share), in_turn, bytes, peak, lane }) }
    }

    /// Takes `bytes` more; the work may hold at most `limit` in total.
    ///
    /// # Errors
    /// [`Denied`]; nothing is taken in that case.
    pub fn take(&self, bytes: u64, limit: u64) -> Result<(), Denied> {
        let counters = &*self.counters;
        let taken = counters
            .bytes
            .fetch_update(Relaxed, Relaxed, |held| held.checked_add(bytes).filter(|&after| after <= limit));
        // The work's own limit is checked first, because waiting for others would not help.
        let before = taken.map_err(|_| Denied::Own { limit })?;
        let add = |share: &Arc<Share>| match counters.in_turn.load(Relaxed) {
            true => share.add_in_turn(bytes),
            false if counters.lane.is_light() => share.add_light(bytes),
            false => share.add(bytes),
        };
        if let Some(Err(full)) = counters.share.as_ref().map(add) {
            counters.bytes.fetch_sub(bytes, Relaxed);
            return Err(Denied::Shared(full));
        }
        counters.peak.fetch_max(before + bytes, Relaxed);
        Ok(())
    }

    /// Releases bytes.
    pub fn give(&self, bytes: u64) {
        let before = self.counters.bytes.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "gave back {bytes} of {before}");
        self.counters.give_to_share(bytes);
    }

    /// Sets the held bytes to exactly `bytes`. Existing memory is never refused.
    pub fn keep(&self, bytes: u64) {
        let before = self.counters.bytes.swap(bytes, Relaxed);
        self.counters.peak.fetch_max(bytes, Relaxed);
        match (bytes.checked_sub(before), self.share()) {
            (Some(more), Some(share)) => share.add_anyway(more),
            (Some(_), None) => {}
            (None, _) => self.counters.give_to_share(before - bytes),
        }
    }

    /// The share that it counts against.
    pub fn share(&self) -> Option<&Arc<Share>> {
        self.counters.share.as_ref()
    }

    /// Marks its work as light: it may use `allowance`, and becomes heavy beyond that if `places` has a place.
    pub fn begin_light(&self, allowance: Allowance, places: Arc<dyn Places>) {
        self.counters.lane.begin_light(allowance, places);
    }

    /// Marks its work as heavy: it has a place.
    pub fn begin_heavy(&self) {
        self.counters.lane.begin_heavy();
    }

    /// Whether its work is light.
    pub fn is_light(&self) -> bool {
        self.counters.lane.is_light()
    }

    /// Whether its work failed only because it was light, so that it can run again as heavy work.
    pub fn must_be_heavy(&self) -> bool {
        self.counters.lane.is_refused()
    }

    pub(super) fn lane(&self) -> &Lane {
        &self.counters.lane
    }

    pub(super) fn is_in_turn(&self) -> bool {
        self.counters.in_turn.load(Relaxed)
    }

    pub(super) fn set_in_turn(&self, in_turn: bool) {
        self.counters.in_turn.store(in_turn, Relaxed);
    }

    /// Bytes held now.
    pub fn bytes(&self) -> u64 {
        self.counters.bytes.load(Relaxed)
    }

    /// Maximum bytes held at once.
    pub fn peak(&self) -> u64 {
        self.counters.peak.load(Relaxed)
    }

    /// Resets the peak to what is held now.
    pub fn restart_peak(&self) {
        self.counters.peak.store(self.bytes(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_gets_everything_back() {
        let share = Share::new("queries", 100);
        let (a, b) = (Account::of(share.clone()), Account::of(share.clone()));
        a.take(60, 80).unwrap();
        assert!(matches!(b.take(50, 80), Err(Denied::Shared(full)) if full.used == 60));
        assert_eq!((b.bytes(), share.used()), (0, 60), "a refused take is not counted");
        b.take(40, 80).unwrap();
        assert_eq!(a.take(21, 80), Err(Denied::Own { limit: 80 }));
        drop(a.clone());
        assert_eq!(share.used(), 100);
        a.keep(5);
        assert_eq!((a.bytes(), a.peak(), share.used()), (5, 60, 45));
        b.give(10);
        drop((a, b));
        assert_eq!(share.used(), 0);
    }
}
