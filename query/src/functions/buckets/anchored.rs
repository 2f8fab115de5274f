//! Anchored windows: the last sample before a window, if it is less than the lookback older, is the value at its left
//! end.

use barograph_engine::rollup::Bucket;

use super::change::with_previous;
use super::{Answer, Seen};
use crate::functions::window::counter::{ChangeKind, lost_of};
use crate::functions::window::seconds;

/// The buckets of the window and the sample before it.
fn anchored(seen: &Seen<'_>) -> Option<Bucket> {
    with_previous(seen.uncut()?, seen.previous()?)
}

/// `rate`
pub(super) fn rate(seen: &Seen<'_>, _: f64) -> Answer {
    change(seen, ChangeKind::RATE)
}

/// `increase`
pub(super) fn increase(seen: &Seen<'_>, _: f64) -> Answer {
    change(seen, ChangeKind::INCREASE)
}

/// `delta`
pub(super) fn delta(seen: &Seen<'_>, _: f64) -> Answer {
    change(seen, ChangeKind::DELTA)
}

fn change(seen: &Seen<'_>, kind: ChangeKind) -> Answer {
    Answer::known(anchored(seen).map(|all| {
        let change = all.last.value - all.first.value;
        let lost = if kind.counter { lost_of(&all) } else { None };
        let per_second = if kind.per_second { seconds(seen.end - seen.start) } else { 1.0 };
        lost.map_or(change, |lost| change + lost) / per_second
    }))
}

/// `changes`
pub(super) fn changes(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(anchored(seen).map(|all| all.changes as f64))
}

/// `resets`
pub(super) fn resets(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(anchored(seen).map(|all| all.resets as f64))
}
