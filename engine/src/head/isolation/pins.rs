//! Pins: the states of the head that readers still use.
//!
//! A reader sees the database as it was after one record of the log: whole batches, whole deletes, nothing later. The
//! head is not copied for this and continues to accept writes: at the first write to a series after a reader began, the
//! series records how many samples it had ([`Marks`](super::seen::Marks)), and the reader ignores the samples after its
//! mark. A delete is a pin too: it hides the samples before its mark.
//!
//! # How appends learn about readers
//! A [`Turn`] is what an append needs to know: it changes when an epoch begins or a newer state is pinned. A series
//! remembers the turn of its last write, so an append compares one number, and the remaining work happens once per
//! series and turn.
//!
//! # Invariants
//! P1. Changes are applied one at a time, in the order of the log, by the holder of the commit lock.
//! P2. A pin is at or after the change that is being applied: a reader that begins during a change waits for its end.
//!     So each change after a pin knows of the pin from its beginning.
//! P3. The catalogue of a reader is taken together with its pin, and catalogues are replaced under the same lock: it
//!     contains no sample after the pin, and all deletes up to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::process::Forks;
use crate::sync::{Condvar, Mutex};
use crate::{Error, Result};

/// The pinned states, and the change that is being applied.
#[derive(Debug, Default)]
pub struct Pins {
    forks: Forks,
    inner: Mutex<Inner>,
    /// Signalled when a change has been applied and when a reader leaves.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    /// The last change that the head has completely.
    applied: u64,
    /// The change that is being applied, or the last one.
    started: u64,
    span: EpochStarts,
    /// The sequence before the first sample of the current epoch.
    samples_after: u64,
    /// Ascending by their sequences, as they came.
    readers: Vec<Reader>,
    /// Deletes whose epochs are not in the store, ascending.
    deletes: Vec<u64>,
    /// Counts the changes of `readers` and `deletes`.
    version: u64,
}

/// The beginnings of the epochs in memory.
#[derive(Debug, Clone, Copy)]
struct EpochStarts {
    /// The sequence at which the previous epoch began, which a flush may be writing.
    base_before: u64,
    /// The beginning of the current epoch.
    start: EpochStart,
}

impl Default for EpochStarts {
    fn default() -> Self {
        EpochStarts { base_before: 0, start: Turn::default().start() }
    }
}

/// The lower bounds of an epoch. They differ only in the first epoch after a start, because replay has applied its
/// deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Deletes up to this sequence hide none of its samples.
    pub deletes: u64,
    /// All its samples are after this sequence.
    pub samples: u64,
}

/// The boundary between an epoch and the previous one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    /// The first turn of the epoch.
    pub turn: u32,
    /// The last sequence before the epoch.
    pub cut: u64,
}

impl EpochStart {
    /// Whether a turn precedes it. Turns wrap.
    pub fn is_after(&self, turn: u32) -> bool {
        (turn.wrapping_sub(self.turn) as i32) < 0
    }
}

#[derive(Debug)]
struct Reader {
    seq: u64,
    flushed: u64,
    is_expired: Arc<AtomicBool>,
}

impl Reader {
    /// Whether the reader reads samples of an epoch from memory.
    fn needs(&self, base: u64, cut: u64) -> bool {
        self.flushed < cut && self.seq > base
    }
}

/// What appends need to know of epochs and pins. The commit lock guards it.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Changes when an epoch begins or the newest pin changes.
    pub number: u32,
    /// The turn in which the epoch began.
    pub began: u32,
    /// The sequence at which the epoch began and the previous one ended.
    pub cut: u64,
    /// The pinned sequences, ascending.
    pub pinned: Vec<u64>,
    version: u64,
}

impl Default for Turn {
    /// The first turn, without pins.
    fn default() -> Self {
        Turn { number: 1, began: 1, cut: 0, pinned: Vec::new(), version: 0 }
    }
}

impl Turn {
    /// The first turn of an epoch that begins at a sequence.
    pub fn first_after(cut: u64) -> Self {
        Turn { cut, ..Turn::default() }
    }

    /// The beginning of its epoch.
    pub fn start(&self) -> EpochStart {
        EpochStart { turn: self.began, cut: self.cut }
    }
}

/// A change that is being applied; dropping it marks the change as applied.
#[derive(Debug)]
#[must_use]
pub struct Applying<'p> {
    pins: &'p Pins,
    seq: u64,
}

impl Drop for Applying<'_> {
    fn drop(&mut self) {
        self.pins.inner.lock().applied = self.seq;
        self.pins.changed.notify_all();
    }
}

/// A reader's hold on one state; dropping it releases the state.
#[derive(Debug)]
pub struct Pin<'p> {
    pins: &'p Pins,
    /// Changes up to this sequence are visible.
    pub seq: u64,
    /// Changes up to this sequence are in the generations of the reader's catalogue.
    pub flushed: u64,
    span: EpochStarts,
    is_expired: Arc<AtomicBool>,
}

impl Pin<'_> {
    /// Deletes up to this sequence are older than all current samples of a series whose last append was in `turn`.
    pub fn base_of_active(&self, turn: u32) -> u64 {
        if self.span.start.is_after(turn) { self.span.base_before } else { self.span.start.cut }
    }

    /// Deletes up to this sequence are older than all samples of the epoch that ended at `cut`.
    pub fn base_of(&self, cut: u64) -> u64 {
        if cut <= self.span.start.cut { self.span.base_before } else { self.span.start.cut }
    }

    /// Whether samples of the epoch that ended at `cut` are not in the reader's catalogue.
    pub fn needs(&self, cut: u64) -> bool {
        self.flushed < cut
    }

    /// Fails if memory could not keep the samples that this reader needs. Call it after reading them.
    ///
    /// # Errors
    /// [`Error::Throttled`].
    pub fn check(&self) -> Result<()> {
        if self.is_expired.load(Ordering::Acquire) {
            return Err(Error::Throttled(
                "this read began before samples were flushed that it still needs, and memory can hold no more of them \
                 for reads; read again, or raise memory"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        if self.pins.forks.is_child() {
            return;
        }
        let mut inner = self.pins.inner.lock();
        if let Some(at) = inner.readers.iter().position(|r| Arc::ptr_eq(&r.is_expired, &self.is_expired)) {
            inner.readers.remove(at);
            inner.version += 1;
        }
        drop(inner);
        self.pins.changed.notify_all();
    }
}

impl Pins {
    /// Records that the head contains all changes up to `seq`, and that no delete remains to be applied to it: deletes
    /// up to `seq` hide nothing in memory, even while a flush writes the epoch that ends at `seq`. Samples up to
    /// `flushed` are in the store.
    pub fn resume(&self, flushed: u64, seq: u64) {
        let mut inner = self.inner.lock();
        (inner.applied, inner.started, inner.samples_after) = (seq, seq, flushed);
        (inner.span.base_before, inner.span.start.cut) = (seq, seq);
    }

    /// Keeps the lock held, as another thread may do at the moment of a fork.
    #[cfg(test)]
    pub fn hold(&self) -> impl Sized + '_ {
        self.inner.lock()
    }

    /// Pins the state after the last change. `take` returns the matching catalogue and the sequence up to which it is
    /// complete. Waits for the end of the change that is being applied.
    pub fn pin<C>(&self, take: impl FnOnce() -> (C, u64)) -> (Pin<'_>, C) {
        if self.forks.is_child() {
            // The lock may never become free here. All reads of this reader are refused.
            let pin = Pin {
                pins: self,
                seq: 0,
                flushed: 0,
                span: EpochStarts::default(),
                is_expired: Arc::default(),
            };
            return (pin, take().0);
        }
        let mut inner = self.inner.lock();
        let (seq, span, (catalogue, flushed)) = (inner.started, inner.span, take());
        let is_expired = Arc::new(AtomicBool::new(false));
        inner.readers.push(Reader { seq, flushed, is_expired: is_expired.clone() });
        inner.version += 1;
        while inner.applied < seq {
            self.changed.wait(&mut inner);
        }
        drop(inner);
        (Pin { pins: self, seq, flushed, span, is_expired }, catalogue)
    }

    /// Begins to apply the change `seq`: states pinned from now on include it. The caller holds the commit lock, which
    /// guards `turn`.
    pub fn start(&self, turn: &mut Turn, seq: u64) -> Applying<'_> {
        let mut inner = self.inner.lock();
        inner.started = seq;
        inner.refresh(turn);
        Applying { pins: self, seq }
    }

    /// Applies the delete `seq`: readers that begin later see it; `publish` adds its tombstone for them.
    pub fn delete(&self, seq: u64, publish: impl FnOnce()) {
        let mut inner = self.inner.lock();
        (inner.started, inner.applied) = (seq, seq);
        inner.deletes.push(seq);
        inner.version += 1;
        publish();
    }

    /// Number of deletes that wait for a flush.
    pub fn deletes(&self) -> usize {
        self.inner.lock().deletes.len()
    }

    /// Begins an epoch after the sequence `cut`; returns the beginning of the previous one.
    pub fn begin_epoch(&self, turn: &mut Turn, cut: u64) -> Base {
        let mut inner = self.inner.lock();
        turn.number = turn.number.wrapping_add(1);
        (turn.began, turn.cut) = (turn.number, cut);
        let before = inner.span.start.cut;
        inner.span = EpochStarts { base_before: before, start: turn.start() };
        Base { deletes: before, samples: std::mem::replace(&mut inner.samples_after, cut) }
    }

    /// Replaces the catalogue by one that is complete up to `flushed_seq`.
    pub fn publish(&self, flushed_seq: u64, replace: impl FnOnce()) {
        let mut inner = self.inner.lock();
        replace();
        let before = inner.deletes.len();
        inner.deletes.retain(|seq| *seq > flushed_seq);
        inner.version += u64::from(inner.deletes.len() < before);
    }

    /// Whether a reader needs samples of the epoch between two sequences from memory.
    pub fn needs(&self, base: u64, cut: u64) -> bool {
        self.inner.lock().readers.iter().any(|reader| reader.needs(base, cut))
    }

    /// Waits until no reader needs an epoch, at most until `end`; returns whether one still does.
    pub fn wait_for_readers(&self, base: u64, cut: u64, end: Instant) -> bool {
        let mut inner = self.inner.lock();
        loop {
            let is_needed = inner.readers.iter().any(|reader| reader.needs(base, cut));
            if !is_needed || self.changed.wait_until(&mut inner, end).timed_out() {
                return is_needed;
            }
        }
    }

    /// Expires the readers that need an epoch: their later reads from memory return an error.
    pub fn expire(&self, base: u64, cut: u64) -> usize {
        let mut inner = self.inner.lock();
        let before = inner.readers.len();
        inner.readers.retain(|reader| {
            let ends = reader.needs(base, cut);
            if ends {
                reader.is_expired.store(true, Ordering::Release);
            }
            !ends
        });
        inner.version += 1;
        before - inner.readers.len()
    }
}

impl Inner {
    fn refresh(&self, turn: &mut Turn) {
        if turn.version == self.version {
            return;
        }
        turn.version = self.version;
        let newest = turn.pinned.last().copied();
        turn.pinned.clear();
        turn.pinned.extend(self.readers.iter().map(|reader| reader.seq));
        turn.pinned.extend(&self.deletes);
        // Two ascending lists: a sort that detects them takes linear time, and appends wait for it.
        turn.pinned.sort();
        turn.pinned.dedup();
        if turn.pinned.last().copied() != newest {
            turn.number = turn.number.wrapping_add(1);
        }
    }
}
