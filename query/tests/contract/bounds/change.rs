//! The bounds of `rate`, `increase` and `delta`.

use barograph_engine::rollup::Bucket;

use super::{Interval, around, first, first_time, last, last_time, plain};
use crate::raw::{self, Ends, Kind, seconds};
use crate::window::{Fold, SLACK, Side, has_starts, largest};

/// `rate`, `increase`, `delta`. The more samples are inside, the more a counter grows and the nearer they are to the ends of
/// the window, so each number has bounds of its own.
pub fn change(fold: &Fold, window: (i64, i64), kind: Kind) -> Option<Interval> {
    let ways: u64 = fold.cuts.iter().map(|cut| cut.most - cut.least + 1).product();
    let all = by_counts(fold, window, kind)?;
    if ways == 1 || ways > CHANGES {
        return Some(all);
    }
    let mut folds = vec![fold.clone()];
    for place in 0..fold.cuts.len() {
        let of = |fold: Fold| {
            let (least, most) = (fold.cuts[place].least, fold.cuts[place].most);
            (least..=most).map(move |k| fold.clone().with_inside(place, k))
        };
        folds = folds.into_iter().flat_map(of).collect();
    }
    let each: Option<Vec<Interval>> = folds.iter().map(|fold| by_counts(fold, window, kind)).collect();
    let Some(each) = each else { return Some(all) };
    let ends = around(each.iter().flat_map(|found| [found.lo, found.hi]));
    Some(Interval { lo: ends.lo.max(all.lo), value: all.value, hi: ends.hi.min(all.hi) }.at(all.value))
}

/// The most ways to divide cut buckets for which a change is bounded one by one.
const CHANGES: u64 = 100;

fn by_counts(fold: &Fold, window: (i64, i64), kind: Kind) -> Option<Interval> {
    let outer = plain(fold)?;
    let (least, most) = fold.count();
    if least < 2 || (kind != Kind::Delta && outer.lost.is_huge()) {
        return None;
    }
    let moved = if kind == Kind::Delta { difference(fold)? } else { growth(fold, outer)? };
    let (first, last) = (first_time(fold, window.0, window.1)?, last_time(fold, window.0, window.1)?);
    let has_one_count = least == most && first.0 == first.1 && last.0 == last.1;
    if let Some(ends) = known_ends(fold, kind).filter(|_| has_one_count) {
        let ends =
            Ends { count: least, first: (first.0, ends.first), last: (last.0, ends.last), lost: ends.lost };
        return raw::extrapolated(kind, window, &ends).map(|value| around([value].into_iter()));
    }
    let (shortest, longest) = (seconds(last.0 - first.1), seconds(last.1 - first.0));
    if shortest <= 0.0 {
        return None;
    }
    let mean = (shortest / (most - 1) as f64, longest / (least - 1) as f64);
    let (left, right) = ((first.0 - window.0, first.1 - window.0), (window.1 - last.1, window.1 - last.0));
    // A distance below 1.1 mean distances is extended over entirely.
    let near = |distance: (i64, i64)| match seconds(distance.1) < 1.1 * mean.0 * (1.0 - SLACK) {
        true => seconds(distance.0),
        false => seconds(distance.0).min(mean.0 / 2.0),
    };
    // A counter is extended to zero at most.
    let to_zero = match kind {
        Kind::Delta => f64::INFINITY,
        _ if moved.hi > 0.0 => shortest * (super::first(fold)?.lo.max(0.0) / moved.hi),
        _ => 0.0,
    };
    let far = |distance: (i64, i64)| seconds(distance.1).min(1.1 * mean.1);
    let range = seconds(window.1 - window.0);
    let low = 1.0 + (near(right) + near(left).min(to_zero)) / longest;
    let high = (1.0 + (far(left) + far(right)) / shortest).min(range / shortest);
    let divisor = if kind == Kind::Rate { range } else { 1.0 };
    let ends = [moved.lo * low, moved.lo * high, moved.hi * low, moved.hi * high].map(|end| end / divisor);
    let lo = ends.iter().copied().fold(f64::INFINITY, f64::min);
    let hi = ends.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let value = moved.value * (low + high) / 2.0 / divisor;
    // All that is rounded after the difference is rounded relative to the result.
    let slack =
        if (moved.lo, moved.hi) == (0.0, 0.0) { 0.0 } else { 4.0 * SLACK * hi.max(-lo) + f64::MIN_POSITIVE };
    Some(Interval { lo, value, hi }.at(value).wider(slack))
}

/// The first and the last value, and what resets took between them.
struct KnownEnds {
    first: f64,
    last: f64,
    lost: f64,
}

/// The ends and resets of a window, if they are certain.
fn known_ends(fold: &Fold, kind: Kind) -> Option<KnownEnds> {
    let (first, last) = (first(fold)?, last(fold)?);
    let has_known_resets = kind == Kind::Delta || fold.cuts.iter().all(|cut| cut.bucket.resets == 0);
    let is_known = has_known_resets && first.lo == first.hi && last.lo == last.hi;
    let lost = fold.outer.as_ref()?.lost.value();
    is_known.then_some(KnownEnds { first: first.lo, last: last.lo, lost })
}

/// From the first to the last value. Subtraction is monotone even when it rounds, so the ends need no slack.
fn difference(fold: &Fold) -> Option<Interval> {
    let (first, last) = (first(fold)?, last(fold)?);
    Some(Interval { lo: last.lo - first.hi, value: last.value - first.value, hi: last.hi - first.lo })
}

/// The growth of a counter.
fn growth(fold: &Fold, outer: &Bucket) -> Option<Interval> {
    let all = outer.last.value - outer.first.value + outer.lost.value();
    if outer.min < 0.0 || fold.cuts.iter().any(|cut| cut.side == Side::Both || has_starts(&cut.bucket)) {
        return None;
    }
    if let Some(KnownEnds { first, last, lost }) = known_ends(fold, Kind::Increase) {
        return Some(around([last - first + lost].into_iter()));
    }
    let mut grown = Interval { lo: all, value: all, hi: all };
    for cut in &fold.cuts {
        let bucket = &cut.bucket;
        let total = bucket.last.value - bucket.first.value + bucket.lost.value();
        let (inside, outside) = (cut.most - 1, bucket.count - cut.least);
        // The most resets among the pairs on one side. A reset adds the value after it, not a step.
        let resets = |pairs: u64| bucket.resets.min(pairs);
        let most =
            |pairs: u64| resets(pairs) as f64 * bucket.max + (pairs - resets(pairs)) as f64 * bucket.step;
        let least = |others: u64| (bucket.resets - resets(others)) as f64 * bucket.min;
        let lo = least(inside).max(total - most(inside));
        let hi = most(outside).min(total - least(outside));
        let share = (bucket.count - cut.likely) as f64 / (bucket.count - 1) as f64;
        grown = Interval { lo: grown.lo - hi, value: grown.value - total * share, hi: grown.hi - lo };
    }
    Some(
        Interval { lo: grown.lo.max(0.0), ..grown }
            .wider(SLACK * (largest(outer) + outer.lost.value().abs()) * outer.count as f64),
    )
}
