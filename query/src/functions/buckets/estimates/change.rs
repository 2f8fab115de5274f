//! Estimates of change over a window: counters, differences, events between neighbours.

use barograph_engine::rollup::{Bucket, Edge};

use super::{Parts, Seen, unbounded};
use crate::functions::window::counter::{ChangeKind, Observed, change_of, lost_of};
use crate::functions::window::seconds;
use crate::tiers::{Bounded, margin, product};

/// `changes`
pub(crate) fn changes(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    events(&Parts::of(seen)?, |bucket| bucket.changes)
}

/// `resets`
pub(crate) fn resets(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    events(&Parts::of(seen)?, |bucket| bucket.resets)
}

/// Events between neighbours. Those across the borders of buckets are known, because the samples there are.
fn events(parts: &Parts<'_>, count: fn(&Bucket) -> u64) -> Option<Bounded> {
    let in_cuts: u64 = parts.cuts.iter().map(|cut| count(cut.bucket)).sum();
    let sure = count(&parts.outer).saturating_sub(in_cuts);
    let (mut lo, mut hi) = (sure, sure);
    for cut in &parts.cuts {
        let (least, most) = cut.events(count(cut.bucket));
        (lo, hi) = (lo + least, hi + most);
    }
    Some(Bounded::middle((lo as f64, hi as f64)).or_absent(parts.may_be_absent()))
}

/// `rate`
pub(crate) fn rate(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    change(Parts::of(seen)?, ChangeKind::RATE)
}

/// `increase`
pub(crate) fn increase(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    change(Parts::of(seen)?, ChangeKind::INCREASE)
}

/// `delta`
pub(crate) fn delta(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    change(Parts::of(seen)?, ChangeKind::DELTA)
}

/// The most ways to divide cut buckets that are looked at one by one.
const WAYS: u64 = 100;

/// The more samples are inside, the more a counter grows and the nearer they are to the ends of the window, so each number
/// has bounds of its own.
fn change(mut parts: Parts<'_>, kind: ChangeKind) -> Option<Bounded> {
    let all = by_counts(&parts, kind)?;
    let counts: Vec<(u64, u64)> = parts.cuts.iter().map(|cut| cut.inside).collect();
    let ways = counts.iter().fold(1, |ways: u64, (least, most)| ways.saturating_mul(most - least + 1));
    if ways == 1 || ways > WAYS || !all.error().is_finite() {
        return Some(all);
    }
    let whole = parts.seen.whole.map_or(0, |whole| whole.count);
    let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
    for way in 0..ways {
        let mut rest = way;
        for (cut, (least, most)) in parts.cuts.iter_mut().zip(&counts) {
            *cut = cut.with_inside(least + rest % (most - least + 1));
            rest /= most - least + 1;
        }
        let count = whole + parts.cuts.iter().map(|cut| cut.inside.0).sum::<u64>();
        parts.count = (count, count);
        let found = by_counts(&parts, kind)?;
        (lo, hi) = (lo.min(found.lo), hi.max(found.hi));
    }
    let ends = (lo.max(all.lo), hi.min(all.hi));
    Some(Bounded::central(all.value, ends).or_absent(all.may_be_absent))
}

fn by_counts(parts: &Parts<'_>, kind: ChangeKind) -> Option<Bounded> {
    let window = seconds(parts.seen.end.saturating_sub(parts.seen.start));
    let (raw, likely) = if kind.counter { grown(parts)? } else { difference(parts) };
    if let Some(found) = known(parts, kind) {
        return Some(Bounded::new(found, (found, found)));
    }
    let factor = factor(parts, window, kind.counter.then_some(raw.1)).filter(|_| parts.is_plain());
    let per_second = if kind.per_second { window } else { 1.0 };
    let may_be_absent = parts.count.0 < 2;
    let Some(factor) = factor else {
        return Some(unbounded(likely / per_second).or_absent(may_be_absent));
    };
    let ends = product(raw, factor);
    // All that is rounded after the difference is rounded relative to the result. Nothing is if that is zero.
    let slack = if raw == (0.0, 0.0) { 0.0 } else { margin(ends.1.max(-ends.0)) + f64::MIN_POSITIVE };
    let found = Bounded::central(likely * (factor.0 + factor.1) / 2.0, ends).widened(slack);
    Some(found.over(per_second).or_absent(may_be_absent))
}

/// The answer of the kernel of samples, if all that it depends on is known.
fn known(parts: &Parts<'_>, kind: ChangeKind) -> Option<f64> {
    let (first, last) = (parts.first_time(), parts.last_time());
    let has_one_count = parts.count.0 == parts.count.1 && first.0 == first.1 && last.0 == last.1;
    let (first_value, last_value) = ends(parts, kind).filter(|_| has_one_count)?;
    let edge = |time: i64, value: f64| Edge { time, value, start: 0 };
    let (first, last) = (edge(first.0, first_value), edge(last.0, last_value));
    let observed = Observed { first, last, count: parts.count.0, lost: lost_of(&parts.outer) };
    change_of(kind, (parts.seen.start, parts.seen.end), &observed)
}

/// The first and the last value inside, if they are known, and for a counter if its resets are.
fn ends(parts: &Parts<'_>, kind: ChangeKind) -> Option<(f64, f64)> {
    let has_known_resets = !kind.counter || parts.cuts.iter().all(|cut| cut.bucket.resets == 0);
    let ((first, _), (last, _)) = (parts.first_value(), parts.last_value());
    let is_known = parts.is_plain() && has_known_resets && first.0 == first.1 && last.0 == last.1;
    is_known.then_some((first.0, last.0))
}

/// Subtraction is monotone even when it rounds, so the ends need no margin.
fn difference(parts: &Parts<'_>) -> ((f64, f64), f64) {
    let (first, likely_first) = parts.first_value();
    let (last, likely_last) = parts.last_value();
    ((last.0 - first.1, last.1 - first.0), likely_last - likely_first)
}

/// How much a counter grows from the first to the last sample inside; `None` if start times or negative values matter.
fn grown(parts: &Parts<'_>) -> Option<((f64, f64), f64)> {
    let touched = parts.cuts.iter().map(|cut| cut.bucket).chain(parts.seen.whole);
    let has_starts = touched.into_iter().any(|bucket| bucket.first.start != 0 || bucket.last.start != 0);
    if has_starts || parts.outer.min < 0.0 || parts.outer.lost.is_huge() {
        return None;
    }
    if let Some((first, last)) = ends(parts, ChangeKind::INCREASE) {
        let grown = lost_of(&parts.outer).map_or(last - first, |lost| last - first + lost);
        return Some(((grown, grown), grown));
    }
    let of = |bucket: &Bucket| bucket.last.value - bucket.first.value + lost_of(bucket).unwrap_or(0.0);
    let all = of(&parts.outer);
    let (mut lo, mut hi, mut likely) = (all, all, all);
    for cut in &parts.cuts {
        let (least, most) = cut.grown_outside(of(cut.bucket));
        (lo, hi) = (lo - most, hi - least);
        let share = cut.likely() as f64 / cut.bucket.count as f64;
        likely -= of(cut.bucket) * (1.0 - share);
    }
    let slack = margin(parts.outer.lost.value() + parts.outer.max);
    Some((((lo - slack).max(0.0), hi.max(0.0) + slack), likely))
}

/// The factor of extrapolation; `None` if there may be too few samples to tell. A counter grows by `grown` at most.
fn factor(parts: &Parts<'_>, window: f64, grown: Option<f64>) -> Option<(f64, f64)> {
    let (first, last) = (parts.first_time(), parts.last_time());
    let shortest = seconds(last.0.saturating_sub(first.1));
    let longest = seconds(last.1.saturating_sub(first.0));
    if shortest <= 0.0 || parts.count.0 < 2 {
        return None;
    }
    let gaps = |count: u64| count.saturating_sub(1).max(1) as f64;
    let (mean_lo, mean_hi) = (shortest / gaps(parts.count.1), longest / gaps(parts.count.0));
    // A distance below 1.1 mean distances is extended over entirely.
    let least = |near: i64, far: i64| match seconds(far) < 1.1 * mean_lo * (1.0 - margin(1.0)) {
        true => seconds(near.max(0)),
        false => seconds(near.max(0)).min(mean_lo / 2.0),
    };
    let most = |distance: i64| seconds(distance.max(0)).min(mean_hi * 1.1);
    let (start, end) = (parts.seen.start, parts.seen.end);
    // A counter is not extended below zero.
    let to_zero = match grown {
        None => f64::INFINITY,
        Some(grown) if grown > 0.0 => shortest * (parts.first_value().0.0.max(0.0) / grown),
        Some(_) => 0.0,
    };
    let left = least(first.0.saturating_sub(start), first.1.saturating_sub(start)).min(to_zero);
    let right = least(end.saturating_sub(last.1), end.saturating_sub(last.0));
    let lo = 1.0 + (left + right) / longest;
    let extended = most(first.1.saturating_sub(start)) + most(end.saturating_sub(last.0));
    Some((lo, (1.0 + extended / shortest).min(window / shortest).max(lo)))
}

/// `idelta`
pub(crate) fn instant_delta(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let newest = newest(seen)?;
    let Bucket { last, min, max, step, .. } = *newest;
    let likely = (last.value - newest.first.value) / (newest.count - 1) as f64;
    if newest.nans > 0 || !(min.is_finite() && max.is_finite()) {
        return Some(unbounded(likely));
    }
    let step = if newest.gaps.is_none() { max - min } else { step };
    let ends = ((last.value - max).max(-step), (last.value - min).min(step));
    Some(Bounded::central(likely, ends))
}

/// `irate`
pub(crate) fn instant_rate(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let newest = newest(seen)?;
    let Bucket { first, last, min, max, step, gaps, .. } = *newest;
    if first.start != 0 || last.start != 0 {
        return None;
    }
    let grown = last.value - first.value + lost_of(newest).unwrap_or(0.0);
    let likely = grown / seconds(last.time.saturating_sub(first.time));
    if newest.nans > 0 || min < 0.0 || !max.is_finite() || gaps.is_none() {
        return Some(unbounded(likely));
    }
    let mut most = (last.value - min).min(step);
    if newest.resets > 0 {
        most = most.max(last.value);
    }
    Some(Bounded::central(likely, (0.0, most / seconds(gaps.min))))
}

/// The newest bucket, if it is whole and has the last two samples.
fn newest<'a>(seen: &Seen<'a>) -> Option<&'a Bucket> {
    let is_cut = seen.right.is_some() || seen.both.is_some();
    seen.parts.last().filter(|newest| !is_cut && newest.count >= 2)
}

#[cfg(test)]
mod tests {
    use barograph_engine::rollup::{Builder, Extras};

    use super::*;

    #[test]
    fn each_number_of_samples_has_bounds_of_its_own() {
        let times: Vec<i64> =
            (1..=40).map(|at: i64| at * 20_000_000_000 + at * at % 7 * 1_000_000_000).collect();
        let values: Vec<f64> = (1..=40).map(|at| f64::from(1000 + at * 3 + at % 2)).collect();
        let (mut builder, mut out) = (Builder::new(1_000_000_000_000, Extras::ALL), Vec::new());
        builder.extend(&times, &values, &[], &mut out);
        builder.finish(&mut out);
        let bucket = &out[0];
        for first_inside in [10, 20, 30] {
            let start = times[first_inside] - 1;
            let seen = Seen {
                start,
                end: times[39],
                parts: &[],
                whole: None,
                left: Some(bucket),
                right: None,
                both: None,
            };
            let parts = || Parts::of(&seen).unwrap();
            assert!(parts().count.0 < parts().count.1, "the number inside is not certain");
            let (joint, apart) =
                (increase(&seen, 0.0).unwrap(), by_counts(&parts(), ChangeKind::INCREASE).unwrap());
            assert!(joint.error() < apart.error(), "{joint:?}, {apart:?}");
            let edge = |at: usize| Edge { time: times[at], value: values[at], start: 0 };
            let count = 40 - first_inside as u64;
            let observed = Observed { first: edge(first_inside), last: edge(39), count, lost: None };
            let truth = change_of(ChangeKind::INCREASE, (start, times[39]), &observed).unwrap();
            assert!(joint.lo <= truth && truth <= joint.hi, "{truth}, {joint:?}");
        }
    }
}
