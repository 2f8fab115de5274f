//! The queue of a pool: what is taken, who waits, and in which order.

use std::collections::VecDeque;

use barograph::budget::Full;
use tokio::sync::oneshot;

use super::Room;

/// The memory taken from a pool, and the waiters for more.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Bytes taken.
    pub(super) used: u64,
    /// Bytes taken by modest takes, which `used` includes.
    pub(super) used_modest: u64,
    /// Waiters that already hold memory, modest ones first.
    pub(super) growing: VecDeque<Waiting>,
    /// Waiters that hold nothing: those of modest takes, and all others.
    pub(super) coming: [Coming; 2],
    /// The number of the last waiter.
    pub(super) tickets: u64,
}

/// Waiters that hold nothing.
#[derive(Debug, Default)]
pub(super) struct Coming {
    /// In ascending order of rounds.
    pub(super) waiting: VecDeque<Waiting>,
    /// The round of the last waiter that was granted memory.
    pub(super) round: u64,
}

/// Whether a take is modest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Size {
    Modest,
    Large,
}

/// A waiting take.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ticket: u64,
    /// The tenant and the round of a waiter that holds nothing.
    pub(super) tenant: u64,
    pub(super) round: u64,
    pub(super) size: Size,
    pub(super) more: u64,
    pub(super) held: u64,
    pub(super) ready: oneshot::Sender<Result<Room, Full>>,
}

/// Why memory is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// New work of a tenant that holds nothing yet.
    Begin(u64),
    /// Continuing work that already holds this much of the pool.
    GoOn(u64),
}

impl Coming {
    /// Adds a waiter in the round after that of its tenant's last waiter, or after the current round. No waiter joins a
    /// round that has begun, so each round ends.
    pub(super) fn come(&mut self, mut waiting: Waiting) {
        let last = self.waiting.iter().rev().find(|other| other.tenant == waiting.tenant);
        waiting.round = last.map_or(self.round, |last| last.round) + 1;
        let place = self.waiting.partition_point(|other| other.round <= waiting.round);
        self.waiting.insert(place, waiting);
    }
}

impl Line {
    /// Adds a waiter that holds memory, behind those of the same size class.
    pub(super) fn grow(&mut self, waiting: Waiting) {
        let place = self.growing.partition_point(|other| other.size <= waiting.size);
        self.growing.insert(place, waiting);
    }

    /// Whether no waiter comes before this take.
    pub(super) fn is_next(&self, size: Size, need: Need) -> bool {
        let grows = self.growing.front().is_some_and(|first| first.size <= size);
        let comes = matches!(need, Need::Begin(_)) && !self.coming[size as usize].waiting.is_empty();
        !grows && !comes
    }

    /// Counts bytes that were taken.
    pub(super) fn add(&mut self, bytes: u64, size: Size) {
        self.used += bytes;
        self.used_modest += if size == Size::Modest { bytes } else { 0 };
    }

    /// Counts bytes that were released.
    pub(super) fn sub(&mut self, bytes: u64, size: Size) {
        self.used -= bytes;
        self.used_modest -= if size == Size::Modest { bytes } else { 0 };
    }
}
