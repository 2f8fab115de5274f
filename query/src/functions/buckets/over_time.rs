//! Counts, sums, extremes, spread, ends.

use barograph_engine::rollup::Bucket;

use super::{Answer, Seen};
use crate::functions::window::over_time::Extreme;
use crate::functions::window::shown_seconds;

/// `count_over_time`
pub(super) fn count(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.uncut().map(|all| all.count as f64))
}

/// `present_over_time`
pub(super) fn present(seen: &Seen<'_>, _: f64) -> Answer {
    if seen.both.is_some() { Answer::Unknown } else { Answer::Exact(1.0) }
}

/// `sum_over_time`
pub(super) fn sum(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.uncut().and_then(sum_of))
}

/// `avg_over_time`
pub(super) fn mean(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.uncut().and_then(|all| Some(sum_of(all)? / all.count as f64)))
}

/// The sum; `None` if values are so large that the order of samples decides.
fn sum_of(all: &Bucket) -> Option<f64> {
    (!all.sum.is_huge()).then(|| all.sum.value())
}

/// `stdvar_over_time`
pub(super) fn variance(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.uncut().and_then(variance_of))
}

/// `stddev_over_time`
pub(super) fn deviation(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.uncut().and_then(variance_of).map(f64::sqrt))
}

fn variance_of(all: &Bucket) -> Option<f64> {
    let variance = (all.m2 + all.m2_rest) / all.count as f64;
    // Where squares or sums overflow, the order of samples decides what the kernel of samples returns.
    variance.is_finite().then_some(variance)
}

/// `min_over_time`
pub(super) fn least(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.uncut().map(|all| all.min))
}

/// `max_over_time`
pub(super) fn greatest(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.uncut().map(|all| all.max))
}

/// `first_over_time`
pub(super) fn first(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.first().map(|edge| edge.value))
}

/// `last_over_time`
pub(super) fn last(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.last().map(|edge| edge.value))
}

/// `ts_of_first_over_time`
pub(super) fn first_time(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.first().map(|edge| shown_seconds(edge.time)))
}

/// `ts_of_last_over_time`
pub(super) fn last_time(seen: &Seen<'_>, _: f64) -> Answer {
    Answer::known(seen.last().map(|edge| shown_seconds(edge.time)))
}

/// `ts_of_min_over_time`
pub(super) fn time_of_least(seen: &Seen<'_>, _: f64) -> Answer {
    time_of(seen, Extreme::Min)
}

/// `ts_of_max_over_time`
pub(super) fn time_of_greatest(seen: &Seen<'_>, _: f64) -> Answer {
    time_of(seen, Extreme::Max)
}

/// The time of the last sample with the extreme value, if it is the last one of its bucket.
fn time_of(seen: &Seen<'_>, which: Extreme) -> Answer {
    let Some(all) = seen.uncut() else { return Answer::Unknown };
    let extreme = |bucket: &Bucket| if which == Extreme::Min { bucket.min } else { bucket.max };
    let wanted = extreme(all);
    if wanted.is_nan() {
        return Answer::Exact(shown_seconds(all.last.time));
    }
    let newest = seen.parts.iter().rev().find(|part| extreme(part) == wanted);
    Answer::known(newest.filter(|part| part.last.value == wanted).map(|part| shown_seconds(part.last.time)))
}

/// `duration_over_time`: the sum of the distances up to `gap_max` seconds.
pub(super) fn duration(seen: &Seen<'_>, gap_max: f64) -> Answer {
    if seen.uncut().is_none() {
        return Answer::Unknown;
    }
    let counts = |ns: u64| seconds_of(ns) <= gap_max;
    let mut total = 0u64;
    let mut before: Option<&Bucket> = None;
    for part in seen.parts {
        if let Some(before) = before {
            let gap = part.first.time.abs_diff(before.last.time);
            total += if counts(gap) { gap } else { 0 };
        }
        let inside = part.last.time.abs_diff(part.first.time);
        let (least, greatest) = (part.gaps.min.unsigned_abs(), part.gaps.max.unsigned_abs());
        if counts(greatest) || counts(inside) {
            total += inside;
        } else if counts(least) {
            return Answer::Unknown;
        }
        before = Some(part);
    }
    Answer::Exact(seconds_of(total))
}

fn seconds_of(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// `deriv` of equal values.
pub(super) fn slope(seen: &Seen<'_>, _: f64) -> Answer {
    match seen.uncut() {
        Some(all) if all.count < 2 => Answer::Absent,
        Some(all) if is_constant(all) => Answer::Exact(0.0),
        _ => Answer::Unknown,
    }
}

/// `predict_linear` of equal values.
pub(super) fn predict(seen: &Seen<'_>, ahead: f64) -> Answer {
    match seen.uncut() {
        Some(all) if all.count < 2 => Answer::Absent,
        Some(all) if is_constant(all) => Answer::Exact(0.0 * ahead + all.first.value),
        _ => Answer::Unknown,
    }
}

/// Whether all values are equal and finite.
pub(super) fn is_constant(all: &Bucket) -> bool {
    all.nans == 0 && all.min == all.max && all.min.is_finite()
}
