//! The bounds of the contract for windows that cut buckets. Written from the contract alone, for this checker.
//!
//! Of a cut bucket, the number of samples inside is known within limits, and so are the values at its ends. The others
//! are between its extremes, add up to its sum, and differ from their neighbours by its step at most.

mod change;

pub use change::change;

use barograph_engine::rollup::sketch::{Extremes, bounds, key};
use barograph_engine::rollup::{Bucket, Gaps, Sketch};

use crate::window::{Cut, Fold, SLACK, Side, WAYS, is_plain, largest, sum_from};

/// An interval and the value that is reported.
#[derive(Debug, Clone, Copy)]
pub struct Interval {
    /// The lower end.
    pub lo: f64,
    /// Between the ends.
    pub value: f64,
    /// The upper end.
    pub hi: f64,
}

impl Interval {
    /// An interval whose middle is reported.
    pub fn of(lo: f64, hi: f64) -> Self {
        Interval { lo, value: lo + (hi - lo) / 2.0, hi }
    }

    /// With another value, moved into the interval.
    pub fn at(self, value: f64) -> Self {
        Interval { value: value.max(self.lo).min(self.hi), ..self }
    }

    /// The interval of the values with the other sign.
    pub fn negated(self) -> Self {
        Interval { lo: -self.hi, value: -self.value, hi: -self.lo }
    }

    /// With ends further apart by twice `by`.
    pub fn wider(self, by: f64) -> Self {
        Interval { lo: self.lo - by, hi: self.hi + by, ..self }
    }
}

/// The smallest interval with all of these values, reporting the one in its middle.
fn around(values: impl Iterator<Item = f64>) -> Interval {
    let (lo, hi) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
    Interval::of(lo, hi)
}

/// The number of samples.
pub fn count(fold: &Fold) -> Interval {
    let (least, most) = fold.count();
    let inner = fold.whole.as_ref().map_or(0, |whole| whole.count);
    let likely = inner + fold.cuts.iter().map(|cut| cut.likely).sum::<u64>();
    Interval::of(least as f64, most as f64).at(likely as f64)
}

/// Whether all values are ones that sums and bounds describe.
pub fn plain(fold: &Fold) -> Option<&Bucket> {
    fold.outer.as_ref().filter(|outer| is_plain(outer) && !outer.sum.is_huge())
}

/// A value that is surely inside, if there is one. Distances from it are rounded less than values are.
pub fn origin(fold: &Fold) -> Option<f64> {
    let known = fold.cuts.iter().filter_map(Cut::ends).map(|(inside, _)| inside);
    let whole = fold.whole.as_ref().map(|whole| whole.first.value);
    whole.into_iter().chain(known).next().or(fold.outer.as_ref().map(|outer| outer.min))
}

/// The sum of `k` samples inside a cut bucket, less `origin` each.
pub fn part(cut: &Cut, k: u64, origin: f64) -> Interval {
    let Bucket { first, last, min, max, step, count: n, .. } = &cut.bucket;
    let total = sum_from(origin, &cut.bucket);
    let (min, max) = (min - origin, max - origin);
    let rest = total - (first.value - origin) - (last.value - origin);
    let ends = cut.ends().map(|(inside, outside)| (inside - origin, outside - origin));
    let (known, free) = ends.map_or((0.0, k as f64), |(inside, _)| (inside, k as f64 - 1.0));
    let left = (n - 2) as f64 - free;
    let (mut lo, mut hi) = cut.sum_by_spread(k, total, ends);
    lo = lo.max(known + (free * min).max(rest - left * max));
    hi = hi.min(known + (free * max).min(rest - left * min));
    if let Some((inside, outside)) = ends {
        let spread = |k: f64| step * k * (k - 1.0) / 2.0;
        let (k, others) = (k as f64, (n - k) as f64);
        lo = lo.max(k * inside - spread(k)).max(total - others * outside - spread(others));
        hi = hi.min(k * inside + spread(k)).min(total - others * outside + spread(others));
    }
    let likely = if *n > 2 { known + free * (rest / (n - 2) as f64) } else { known };
    Interval { lo, value: likely.max(lo).min(hi), hi }.wider(SLACK * min.abs().max(max.abs()) * *n as f64)
}

/// The sum.
pub fn sum(fold: &Fold) -> Option<Interval> {
    let outer = plain(fold)?;
    let inner = fold.whole.as_ref().map_or(0.0, |whole| whole.sum.value());
    let origin = origin(fold)?;
    let of = |cut: &Cut, k: u64| {
        let (part, shift) = (part(cut, k, origin), origin * k as f64);
        Interval { lo: part.lo + shift, value: part.value + shift, hi: part.hi + shift }
    };
    let likely = inner + fold.cuts.iter().map(|cut| of(cut, cut.likely).value).sum::<f64>();
    if let Some(sums) = fold.known_sums() {
        // Rounded as that of the samples.
        return Some(around(sums.iter().map(|(_, sum)| sum.value())).at(likely));
    }
    let mut all = Interval { lo: inner, value: likely, hi: inner };
    for cut in &fold.cuts {
        let parts: Vec<Interval> = (cut.least..=cut.most).map(|k| of(cut, k)).collect();
        all.lo += parts.iter().map(|part| part.lo).fold(f64::INFINITY, f64::min);
        all.hi += parts.iter().map(|part| part.hi).fold(f64::NEG_INFINITY, f64::max);
    }
    Some(all.at(all.value).wider(4.0 * f64::EPSILON * largest(outer) * outer.count as f64))
}

/// The mean.
pub fn mean(fold: &Fold) -> Option<Interval> {
    let outer = plain(fold)?;
    let likely = self::sum(fold)?.value / count(fold).value;
    if let Some(sums) = fold.known_sums() {
        let sums = sums.iter().filter(|(n, _)| *n > 0);
        return Some(around(sums.map(|(n, sum)| sum.value() / *n as f64)).at(likely));
    }
    let origin = origin(fold)?;
    let (sum, n) = fold.whole.as_ref().map_or((0.0, 0), |whole| (sum_from(origin, whole), whole.count));
    let mut states = vec![(sum, sum, n)];
    for cut in &fold.cuts {
        if states.len() as u64 * (cut.most - cut.least + 1) > WAYS {
            return None;
        }
        let parts: Vec<(u64, Interval)> = (cut.least..=cut.most).map(|k| (k, part(cut, k, origin))).collect();
        let extended = |&(lo, hi, n): &(f64, f64, u64)| {
            parts.iter().map(move |(k, part)| (lo + part.lo, hi + part.hi, n + k))
        };
        states = states.iter().flat_map(extended).collect();
    }
    let means = states.iter().filter(|state| state.2 > 0);
    let lo = means.clone().map(|state| state.0 / state.2 as f64).fold(f64::INFINITY, f64::min);
    let hi = means.map(|state| state.1 / state.2 as f64).fold(f64::NEG_INFINITY, f64::max);
    let limits =
        Interval { lo: (origin + lo).max(outer.min), value: likely, hi: (origin + hi).min(outer.max) };
    Some(limits.at(likely).wider(SLACK * (outer.max - outer.min) + 4.0 * f64::EPSILON * largest(outer)))
}

/// The greatest value times `sign`, so that with -1 it is the least one negated.
pub fn greatest(fold: &Fold, sign: f64) -> Option<Interval> {
    let top = |bucket: &Bucket| if sign > 0.0 { bucket.max } else { -bucket.min };
    plain(fold)?;
    let known = fold.cuts.iter().filter_map(Cut::ends).map(|(inside, _)| sign * inside);
    let next_to_cut = fold.cuts.iter().filter(|cut| cut.ends().is_some()).map(edge);
    let known = known.chain(next_to_cut.map(|edge| if sign > 0.0 { edge.lo } else { -edge.hi }));
    let bottom = fold.cuts.iter().map(|cut| if sign > 0.0 { cut.bucket.min } else { -cut.bucket.max });
    let inner = fold.whole.as_ref().map(top);
    // From the known end on, each sample is a step further at most.
    let reached = |cut: &Cut| {
        let far = cut.bucket.step * cut.most.saturating_sub(1) as f64;
        cut.ends().map_or(f64::INFINITY, |(inside, _)| sign * inside + far).min(top(&cut.bucket))
    };
    let most = inner.into_iter().chain(fold.cuts.iter().map(reached)).reduce(f64::max)?;
    let least = match inner.into_iter().chain(known).reduce(f64::max) {
        Some(least) => least,
        None => bottom.reduce(f64::min)?,
    };
    Some(Interval::of(least, most))
}

/// The value of the sample inside a cut bucket that is next to the cut.
///
/// Ends need no slack: a step has few bits, so a multiple of it is exact, and no float is between a difference and the
/// nearest float.
fn edge(cut: &Cut) -> Interval {
    let bucket = &cut.bucket;
    let (mut lo, mut hi) = (bucket.min, bucket.max);
    let Some((inside, outside)) = cut.ends() else { return Interval::of(lo, hi) };
    for (end, steps) in [(inside, cut.most - 1), (outside, bucket.count - cut.least)] {
        let reach = steps as f64 * bucket.step;
        (lo, hi) = (lo.max(end - reach), hi.min(end + reach));
    }
    let share = (cut.likely as f64 - 1.0) / (bucket.count as f64 - 1.0);
    Interval { lo, value: 0.0, hi }.at(inside + (outside - inside) * share)
}

fn side(fold: &Fold, side: Side) -> Option<&Cut> {
    fold.cuts.iter().find(|cut| cut.side == side || cut.side == Side::Both)
}

/// The first value.
pub fn first(fold: &Fold) -> Option<Interval> {
    let value = fold.outer.as_ref()?.first.value;
    match side(fold, Side::Left) {
        Some(cut) => plain(fold).map(|_| edge(cut)),
        None => Some(Interval { lo: value, value, hi: value }).filter(|_| !value.is_nan()),
    }
}

/// The last value.
pub fn last(fold: &Fold) -> Option<Interval> {
    let value = fold.outer.as_ref()?.last.value;
    match side(fold, Side::Right) {
        Some(cut) => plain(fold).map(|_| edge(cut)),
        None => Some(Interval { lo: value, value, hi: value }).filter(|_| !value.is_nan()),
    }
}

/// The number of distances after which samples are more than `span` from an end of a bucket, at least and at most.
fn steps_over(span: i64, gaps: &Gaps) -> (i64, i64) {
    (span / gaps.max.max(1) + 1, span / gaps.min.max(1) + 1)
}

/// The least and the greatest time of the first sample inside the window `(start, end]`.
pub fn first_time(fold: &Fold, start: i64, end: i64) -> Option<(i64, i64)> {
    let time = fold.outer.as_ref()?.first.time;
    let Some(cut) = side(fold, Side::Left) else { return Some((time, time)) };
    let Bucket { first, last, gaps, count, .. } = &cut.bucket;
    let (mut least, mut most) = (start + 1, start.saturating_add(gaps.max).min(last.time).min(end));
    let (mut before_least, mut before_most) = steps_over(start - first.time, gaps);
    if cut.side == Side::Left {
        least = least.max(last.time - gaps.max.saturating_mul(cut.most as i64 - 1));
        most = most.min(last.time - gaps.min.saturating_mul(cut.least as i64 - 1));
        (before_least, before_most) = ((count - cut.most) as i64, (count - cut.least) as i64);
    }
    least = least.max(first.time.saturating_add(gaps.min.saturating_mul(before_least)));
    most = most.min(first.time.saturating_add(gaps.max.saturating_mul(before_most)));
    Some((least, most))
}

/// The least and the greatest time of the last sample inside the window `(start, end]`.
pub fn last_time(fold: &Fold, start: i64, end: i64) -> Option<(i64, i64)> {
    let time = fold.outer.as_ref()?.last.time;
    let Some(cut) = side(fold, Side::Right) else { return Some((time, time)) };
    let Bucket { first, last, gaps, count, .. } = &cut.bucket;
    let (mut least, mut most) = (end.saturating_sub(gaps.max) + 1, end);
    let (mut after_least, mut after_most) = steps_over(last.time - end - 1, gaps);
    least = least.max(first.time).max(start + 1);
    if cut.side == Side::Right {
        least = least.max(first.time + gaps.min.saturating_mul(cut.least as i64 - 1));
        most = most.min(first.time.saturating_add(gaps.max.saturating_mul(cut.most as i64 - 1)));
        (after_least, after_most) = ((count - cut.most) as i64, (count - cut.least) as i64);
    }
    least = least.max(last.time.saturating_sub(gaps.max.saturating_mul(after_most)));
    most = most.min(last.time.saturating_sub(gaps.min.saturating_mul(after_least)));
    Some((least, most))
}

/// A number of pairs, such as changes.
pub fn pairs(fold: &Fold, number: fn(&Bucket) -> u64) -> Option<Interval> {
    let all = fold.outer.as_ref().map(number)?;
    let mut interval = Interval { lo: all as f64, value: all as f64, hi: all as f64 };
    for cut in &fold.cuts {
        let (within, pairs) = (number(&cut.bucket), cut.bucket.count - 1);
        let inside = |k: u64| k.saturating_sub(1);
        let lo = (within + inside(cut.least)).saturating_sub(pairs);
        let hi = within.min(inside(cut.most));
        let likely = within as f64 * inside(cut.likely) as f64 / pairs as f64;
        interval.lo -= (within - lo) as f64;
        interval.hi -= (within - hi) as f64;
        interval.value -= within as f64 - likely;
    }
    Some(interval.at(interval.value.round()))
}

/// The number of values above `x` in each bucket, added up.
pub fn above_each(buckets: &[Bucket], x: f64) -> (u64, u64) {
    buckets.iter().map(|bucket| above(bucket, x)).fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
}

fn above(bucket: &Bucket, x: f64) -> (u64, u64) {
    let numbers = bucket.count - bucket.nans;
    if numbers == 0 || x.is_nan() || x >= bucket.max {
        return (0, 0);
    }
    if x < bucket.min {
        return (numbers, numbers);
    }
    let Some(sketch) = &bucket.sketch else { return (1, numbers - 1) };
    let (below, same) = sketch.rank(x);
    (numbers - below - same, numbers - below)
}

/// The number of values above `x`.
pub fn count_above(fold: &Fold, x: f64) -> Option<Interval> {
    let mut all = above_each(&fold.parts, x);
    for cut in &fold.cuts {
        let (lo, hi) = above(&cut.bucket, x);
        all.0 += (lo + cut.least).saturating_sub(cut.bucket.count);
        all.1 += hi.min(cut.most);
    }
    Some(Interval::of(all.0 as f64, all.1 as f64))
}

/// The difference of the last two values of a bucket.
pub fn last_difference(bucket: &Bucket) -> Interval {
    let last = bucket.last.value;
    let lo = (last - bucket.max).max(-bucket.step);
    let hi = (last - bucket.min).min(bucket.step);
    Interval::of(lo, hi)
}

/// A quantile of a window that cuts one bucket.
pub fn quantile(fold: &Fold, phi: f64) -> Option<Interval> {
    let outer = plain(fold)?;
    let [cut] = fold.cuts.as_slice() else { return None };
    // Of the ends, it is known on which side they are.
    let mut others = cut.bucket.sketch.as_ref()?.entries().to_vec();
    for end in [cut.bucket.first.value, cut.bucket.last.value] {
        others.iter_mut().filter(|(of, _)| *of == key(end)).for_each(|(_, count)| *count -= 1);
    }
    others.retain(|(_, count)| *count > 0);
    let known = cut.ends().map(|(inside, _)| (key(inside), 1));
    let with_known = |taken: Sketch| {
        let mut all = Sketch::from_counts(known.into_iter().collect());
        all.merge(&taken);
        all
    };
    let inner = fold.whole.as_ref().and_then(|whole| whole.sketch.clone()).unwrap_or_default();
    if (cut.most - cut.least + 1) * others.len() as u64 > WAYS {
        return None;
    }
    let inner_ends = fold.whole.as_ref().map(|whole| (whole.min, whole.max));
    let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
    for k in cut.least.max(1)..=cut.most {
        let free = k - u64::from(known.is_some());
        let smallest = with_known(taken(others.iter().copied(), free));
        let top = smallest.entries().last().map_or(outer.min, |entry| bounds(entry.0).0.max(cut.bucket.min));
        let max = inner_ends.map_or(top, |ends| ends.1.max(top));
        let largest = with_known(taken(others.iter().rev().copied(), free));
        let bottom =
            largest.entries().first().map_or(outer.max, |entry| bounds(entry.0).1.min(cut.bucket.max));
        let min = inner_ends.map_or(bottom, |ends| ends.0.min(bottom));
        let with = |part: Sketch| {
            let mut all = inner.clone();
            all.merge(&part);
            all
        };
        lo = lo.min(with(smallest).quantile(phi, Extremes { min: outer.min, max }, 0).lo);
        hi = hi.max(with(largest).quantile(phi, Extremes { min, max: outer.max }, 0).hi);
    }
    Some(Interval::of(lo, hi)).filter(|interval| interval.lo <= interval.hi)
}

/// The first `k` values of counts by key.
fn taken(keys: impl Iterator<Item = (i32, u64)>, mut k: u64) -> Sketch {
    let take = |(key, count): (i32, u64)| {
        let taken = count.min(k);
        k -= taken;
        (taken > 0).then_some((key, taken))
    };
    Sketch::from_counts(keys.map_while(take).collect())
}
