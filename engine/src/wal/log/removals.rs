//! The removals of records so far: what each of them left, and why.
//!
//! A removal begins a new *term*. A ticket contains the term in which its record was appended. The record is lost if
//! the removal that ended this term left only earlier ones. The history is bounded, no matter how often a disk fails.

use std::collections::VecDeque;

use crate::error::Error;
use crate::wal::ticket::{Refusal, Ticket};

/// Maximum number of terms with different floors. Removals without a new durable record between them share one.
const FLOORS_MAX: usize = 1 << 16;
/// Maximum number of different reasons.
const REASONS_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Removals {
    /// The number of terms that have ended.
    terms: usize,
    /// Pairs of a last remaining sequence number and the first of the terms that ended with it. Neither ever decreases.
    floors: VecDeque<(usize, u64)>,
    /// Pairs of a reason and the first of the terms that ended for it.
    reasons: VecDeque<(usize, Refusal)>,
}

impl Removals {
    /// The number of terms that have ended, which is also the number of the current term.
    pub fn terms(&self) -> usize {
        self.terms
    }

    /// Ends the current term: the records after `last` are removed because of `error`.
    pub fn push(&mut self, last: u64, error: &Error) {
        push_change(&mut self.floors, FLOORS_MAX, self.terms, last);
        push_change(&mut self.reasons, REASONS_MAX, self.terms, Refusal::of(error));
        self.terms += 1;
    }

    /// The last sequence number that remained at the end of a term; `None` for the current one. For a term so old that
    /// its number is not kept, the result is 0: if a record is wrongly reported as lost, it is written again; the
    /// opposite would lose the record.
    pub fn floor(&self, term: usize) -> Option<u64> {
        (term < self.terms).then(|| of_term(&self.floors, term).copied().unwrap_or(0))
    }

    /// Why the records of a ticket were removed. For a ticket older than all reasons that are kept, the oldest of them.
    pub fn reason(&self, ticket: Ticket) -> Error {
        let reason = of_term(&self.reasons, ticket.term).or(self.reasons.front().map(|(_, reason)| reason));
        reason.map_or(Error::Closed, Refusal::error)
    }
}

/// Adds the value of a term, unless it equals that of the preceding one. Drops the oldest value if there are too many.
fn push_change<T: PartialEq>(changes: &mut VecDeque<(usize, T)>, most: usize, term: usize, value: T) {
    if changes.back().is_some_and(|(_, before)| *before == value) {
        return;
    }
    if changes.len() == most {
        changes.pop_front();
    }
    changes.push_back((term, value));
}

/// The value of a term, unless it is too old.
fn of_term<T>(changes: &VecDeque<(usize, T)>, term: usize) -> Option<&T> {
    let after = changes.partition_point(|(first, _)| *first <= term);
    changes.get(after.checked_sub(1)?).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(code: i32) -> Error {
        Error::io("write", "a file", std::io::Error::from_raw_os_error(code))
    }

    fn code(removals: &Removals, term: usize) -> Option<i32> {
        match removals.reason(Ticket { seq: 1, term }) {
            Error::Io { cause, .. } => cause.raw_os_error(),
            _ => None,
        }
    }

    #[test]
    fn each_term_has_its_floor_and_reason_and_repeated_ones_take_no_memory() {
        let mut removals = Removals::default();
        assert_eq!((removals.terms(), removals.floor(0), code(&removals, 0)), (0, None, None));
        for (floor, reason) in [(0, 5), (0, 5), (3, 5), (3, 13), (3, 13), (7, 5)] {
            removals.push(floor, &io(reason));
        }
        let floors: Vec<_> = (0..7).map(|term| removals.floor(term)).collect();
        assert_eq!(floors, [Some(0), Some(0), Some(3), Some(3), Some(3), Some(7), None]);
        assert_eq!([0, 2, 3, 4, 5].map(|term| code(&removals, term)), [5, 5, 13, 13, 5].map(Some));
        (0..1_000_000).for_each(|_| removals.push(7, &io(5)));
        assert_eq!((removals.floors.len(), removals.reasons.len()), (3, 3));
        assert_eq!(
            (removals.terms(), removals.floor(4), removals.floor(1_000_005)),
            (1_000_006, Some(3), Some(7))
        );
    }

    #[test]
    fn the_oldest_are_forgotten_on_the_safe_side() {
        let mut removals = Removals::default();
        (0..FLOORS_MAX as u64 + 10).for_each(|at| removals.push(at + 1, &io(1 + at as i32 % 2)));
        assert_eq!((removals.floors.len(), removals.reasons.len()), (FLOORS_MAX, REASONS_MAX));
        let floors = [0, 9, 10, 11].map(|term| removals.floor(term));
        assert_eq!(floors, [Some(0), Some(0), Some(11), Some(12)]);
        let first = removals.terms() - REASONS_MAX;
        assert_eq!([0, first, first + 1].map(|term| code(&removals, term)), [Some(1), Some(1), Some(2)]);
    }
}
