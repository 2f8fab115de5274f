//! Change over a window: counters, differences.

use barograph_engine::rollup::counter::is_reset;
use barograph_engine::rollup::{Bucket, Edge};

use super::{Answer, Seen};
use crate::functions::window::counter::{ChangeKind, Observed, change_of, lost_of};
use crate::functions::window::seconds;

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
    let Some(all) = seen.uncut() else { return Answer::Unknown };
    if kind.counter && all.lost.is_huge() {
        return Answer::Unknown;
    }
    let lost = if kind.counter { lost_of(all) } else { None };
    let observed = Observed { first: all.first, last: all.last, count: all.count, lost };
    Answer::of(change_of(kind, (seen.start, seen.end), &observed))
}

/// `increase_pure`
pub(super) fn growth(seen: &Seen<'_>, _: f64) -> Answer {
    grown(seen, 1.0)
}

/// `rate_pure`
pub(super) fn growth_rate(seen: &Seen<'_>, _: f64) -> Answer {
    grown(seen, seconds(seen.end.saturating_sub(seen.start)))
}

fn grown(seen: &Seen<'_>, divisor: f64) -> Answer {
    let (Some(all), Some(before)) = (seen.uncut(), seen.previous()) else { return Answer::Unknown };
    let Some(with) = with_previous(all, before) else { return Answer::Unknown };
    let start = all.first.start;
    let began_inside = before.is_none() && (start == 0 || start > seen.start);
    let from = if began_inside { 0.0 } else { with.first.value };
    let grown = all.last.value - from;
    Answer::Exact(lost_of(&with).map_or(grown, |lost| grown + lost) / divisor)
}

/// What the buckets of a window and the sample before it add up to; `None` if the sum of what resets take is unknown.
pub(super) fn with_previous(all: &Bucket, before: Option<&Edge>) -> Option<Bucket> {
    let with = match before {
        None => all.clone(),
        Some(before) => {
            let mut one = Bucket { count: 1, first: *before, last: *before, ..Bucket::empty(before.time) };
            // The sums of squares are not asked for: merging without them is cheaper.
            one.merge(all);
            one
        }
    };
    (!with.lost.is_huge()).then_some(with)
}

/// `changes`
pub(super) fn changes(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.uncut().map(|all| all.changes as f64))
}

/// `resets`
pub(super) fn resets(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.uncut().map(|all| all.resets as f64))
}

/// The last two samples of a window.
enum Pair {
    /// There are not two.
    None,
    /// Both are known.
    Known(Edge, Edge),
    /// They have this value and follow each other without a reset.
    Equal(f64),
    Unknown,
}

fn last_pair(seen: &Seen<'_>) -> Pair {
    let (Some(all), Some(newest)) = (seen.uncut(), seen.parts.last()) else { return Pair::Unknown };
    if all.count < 2 {
        return Pair::None;
    }
    if newest.count == 1 {
        let before = seen.parts.len().checked_sub(2).map(|at| &seen.parts[at].last);
        return before.map_or(Pair::Unknown, |before| Pair::Known(*before, newest.last));
    }
    if newest.count == 2 {
        return Pair::Known(newest.first, newest.last);
    }
    // Zeros of both signs are no change, but their difference has a sign.
    let is_negative_zero = newest.last.value == 0.0 && newest.last.value.is_sign_negative();
    if newest.changes == 0 && newest.resets == 0 && !is_negative_zero {
        return Pair::Equal(newest.last.value);
    }
    Pair::Unknown
}

/// A value minus itself.
fn difference_of_equal(value: f64) -> f64 {
    if value.is_finite() { 0.0 } else { f64::NAN }
}

/// `idelta`
pub(super) fn instant_delta(seen: &Seen<'_>, _: f64) -> Answer {
    match last_pair(seen) {
        Pair::None => Answer::Absent,
        Pair::Known(before, last) => Answer::Exact(last.value - before.value),
        Pair::Equal(value) => Answer::Exact(difference_of_equal(value)),
        Pair::Unknown => Answer::Unknown,
    }
}

/// `irate`
pub(super) fn instant_rate(seen: &Seen<'_>, _: f64) -> Answer {
    match last_pair(seen) {
        Pair::None => Answer::Absent,
        Pair::Known(before, last) => {
            let raw = if is_reset(&before, &last) { last.value } else { last.value - before.value };
            Answer::Exact(raw / seconds(last.time - before.time))
        }
        // Whatever the distance is.
        Pair::Equal(value) => Answer::Exact(difference_of_equal(value)),
        Pair::Unknown => Answer::Unknown,
    }
}
