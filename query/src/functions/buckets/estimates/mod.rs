//! Estimates: what whole buckets and cut ones say together about a window whose samples are gone.
//!
//! Each function returns an interval that contains the answer of the samples. Where values are NaN or infinite, so that
//! nothing can be said, the interval is everything.

pub(super) mod change;
pub(super) mod distribution;
pub(super) mod spread;

use barograph_engine::rollup::{Bucket, Edge};

use super::Seen;
use crate::functions::window::shown_seconds;
use crate::tiers::cut::Cut;
use crate::tiers::divided::{Divided, sum_from};
use crate::tiers::{Bounded, margin};

/// A window with its cut buckets.
pub(super) struct Parts<'a> {
    pub seen: &'a Seen<'a>,
    pub cuts: Vec<Cut<'a>>,
    /// All samples of all buckets that the window touches.
    pub outer: Bucket,
    /// Samples inside, at least and at most.
    pub count: (u64, u64),
    /// The most likely number of samples inside.
    likely: u64,
}

impl<'a> Parts<'a> {
    pub fn of(seen: &'a Seen<'a>) -> Option<Self> {
        let left = seen.left.map(|bucket| Cut::left(bucket, seen.start));
        let right = seen.right.map(|bucket| Cut::right(bucket, seen.end));
        let both = seen.both.map(|bucket| Cut::both(bucket, (seen.start, seen.end)));
        let ordered = [seen.left.or(seen.both), seen.whole, seen.right].into_iter().flatten();
        let outer = ordered.fold(None, |outer: Option<Bucket>, bucket| match outer {
            None => Some(bucket.clone()),
            Some(mut outer) => {
                outer.merge(bucket);
                Some(outer)
            }
        })?;
        let cuts: Vec<Cut<'a>> = [left, both, right].into_iter().flatten().collect();
        let whole = seen.whole.map_or(0, |whole| whole.count);
        let sum = |inside: fn(&Cut<'_>) -> u64| whole + cuts.iter().map(inside).sum::<u64>();
        let count = (sum(|cut| cut.inside.0), sum(|cut| cut.inside.1));
        let likely = sum(|cut| cut.likely());
        Some(Parts { seen, cuts, outer, count, likely })
    }

    /// Whether all values are ordinary numbers.
    pub fn is_plain(&self) -> bool {
        self.outer.nans == 0 && self.outer.min.is_finite() && self.outer.max.is_finite()
    }

    /// The value of all samples, if they are equal.
    pub fn same(&self) -> Option<f64> {
        let Bucket { min, max, .. } = self.outer;
        (self.is_plain() && min == max).then_some(min)
    }

    /// The sum of the magnitudes of all values is at most this.
    fn magnitudes(&self) -> f64 {
        self.outer.count as f64 * self.outer.min.abs().max(self.outer.max.abs())
    }

    pub fn may_be_absent(&self) -> bool {
        self.count.0 == 0
    }

    /// The values of samples that are known to be inside.
    fn known(&self) -> impl Iterator<Item = f64> + '_ {
        self.cuts.iter().filter_map(Cut::known)
    }

    /// A value that is surely inside, if there is one. Distances from it are rounded less than values are.
    pub fn origin(&self) -> f64 {
        let whole = self.seen.whole.map(|whole| whole.first.value);
        whole.or_else(|| self.known().next()).unwrap_or(self.outer.min)
    }

    /// The values of the samples next to the cuts, at least and at most. They are inside.
    fn edges(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let cuts = self.cuts.iter().filter(|cut| cut.known().is_some() && cut.is_plain());
        cuts.map(Cut::edge)
    }

    /// The greatest value that samples inside the cuts may have, or the least if `sign` is -1.
    fn farthest(&self, sign: f64) -> impl Iterator<Item = f64> + '_ {
        self.cuts.iter().map(move |cut| cut.farthest(sign))
    }

    fn left(&self) -> Option<&Cut<'a>> {
        self.cuts.first().filter(|_| self.seen.left.is_some() || self.seen.both.is_some())
    }

    fn right(&self) -> Option<&Cut<'a>> {
        self.cuts.last().filter(|_| self.seen.right.is_some() || self.seen.both.is_some())
    }

    /// The times of the first sample inside, nanoseconds.
    pub fn first_time(&self) -> (i64, i64) {
        match self.left() {
            Some(cut) => cut.first_time((self.seen.start, self.seen.end)),
            None => (self.outer.first.time, self.outer.first.time),
        }
    }

    /// The times of the last sample inside.
    pub fn last_time(&self) -> (i64, i64) {
        match self.right() {
            Some(cut) => cut.last_time((self.seen.start, self.seen.end)),
            None => (self.outer.last.time, self.outer.last.time),
        }
    }

    /// The value of the first sample inside, and the most likely one.
    pub fn first_value(&self) -> ((f64, f64), f64) {
        end_value(self.left(), self.seen.start, &self.outer.first)
    }

    /// The value of the last sample inside.
    pub fn last_value(&self) -> ((f64, f64), f64) {
        end_value(self.right(), self.seen.end, &self.outer.last)
    }
}

fn end_value(cut: Option<&Cut<'_>>, at: i64, end: &Edge) -> ((f64, f64), f64) {
    match cut {
        Some(cut) => (cut.edge(), cut.on_line(at)),
        None => ((end.value, end.value), end.value),
    }
}

/// Nothing is known but a likely value.
pub(super) fn unbounded(value: f64) -> Bounded {
    Bounded { value, lo: f64::NEG_INFINITY, hi: f64::INFINITY, may_be_absent: false }
}

/// `count_over_time`
pub(super) fn count(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let parts = Parts::of(seen)?;
    let (lo, hi) = (parts.count.0.max(1) as f64, parts.count.1.max(1) as f64);
    Some(Bounded::new(parts.likely as f64, (lo, hi)).or_absent(parts.may_be_absent()))
}

/// `present_over_time`
pub(super) fn present(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let parts = Parts::of(seen)?;
    Some(Bounded::new(1.0, (1.0, 1.0)).or_absent(parts.may_be_absent()))
}

/// The sum of the whole buckets, and of each cut one by the number of its samples inside. Values are less an origin.
struct Sums {
    whole: f64,
    count: f64,
    /// For each cut: how many are inside, and the ends of their sum.
    cuts: Vec<Vec<(f64, f64, f64)>>,
    likely: f64,
}

impl Sums {
    fn of(parts: &Parts<'_>, origin: f64) -> Self {
        let whole = parts.seen.whole.map_or(0.0, |whole| sum_from(origin, whole));
        let count = parts.seen.whole.map_or(0.0, |whole| whole.count as f64);
        let mut likely = whole;
        let mut by_count = |cut: &Cut<'_>| {
            let divided = Divided::of(cut, origin);
            likely += divided.sum(cut.likely()).1;
            let sums = (cut.inside.0..=cut.inside.1).map(|k| (k as f64, divided.sum(k).0));
            sums.map(|(k, (lo, hi))| (k, lo, hi)).collect()
        };
        let cuts = parts.cuts.iter().map(&mut by_count).collect();
        Sums { whole, count, cuts, likely }
    }

    /// The sum of the values themselves. The origin counts as often as there are samples.
    fn sum(&self, origin: f64) -> (f64, f64) {
        let whole = self.whole + self.count * origin;
        self.cuts.iter().fold((whole, whole), |(lo, hi), sums| {
            let least = sums.iter().map(|s| s.1 + s.0 * origin).fold(f64::INFINITY, f64::min);
            let most = sums.iter().map(|s| s.2 + s.0 * origin).fold(f64::NEG_INFINITY, f64::max);
            (lo + least, hi + most)
        })
    }

    /// The greatest lower bound of all means, found by halving: `mean` is a lower bound if no choice of counts makes the
    /// sum smaller than `mean` times the count. `sign` is -1 for the upper bound of the values, as that of their
    /// negatives.
    fn mean_end(&self, (mut below, mut above): (f64, f64), sign: f64) -> f64 {
        for _ in 0..60 {
            let mean = below / 2.0 + above / 2.0;
            let least = self.cuts.iter().map(|sums| {
                let excess = |s: &(f64, f64, f64)| if sign > 0.0 { s.1 } else { -s.2 } - mean * s.0;
                sums.iter().map(excess).fold(f64::INFINITY, f64::min)
            });
            let excess = sign * self.whole - mean * self.count + least.sum::<f64>();
            if excess >= 0.0 { below = mean } else { above = mean }
        }
        below
    }
}

/// `sum_over_time`
pub(super) fn sum(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let parts = Parts::of(seen)?;
    if !parts.is_plain() || parts.outer.sum.is_huge() {
        return Some(unbounded(f64::NAN).or_absent(parts.may_be_absent()));
    }
    if let Some(value) = parts.same() {
        return Some(sum_of_same(value, &parts).or_absent(parts.may_be_absent()));
    }
    let origin = parts.origin();
    let sums = Sums::of(&parts, origin);
    let found = Bounded::central(sums.likely + parts.likely as f64 * origin, sums.sum(origin));
    // Beside what sums from the origin have allowed for, a few terms and the sum of the samples are rounded.
    let slack = 4.0 * f64::EPSILON * parts.magnitudes();
    Some(found.widened(slack).or_absent(parts.may_be_absent()))
}

/// `avg_over_time`
pub(super) fn mean(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let parts = Parts::of(seen)?;
    if !parts.is_plain() || parts.outer.sum.is_huge() {
        return Some(unbounded(f64::NAN).or_absent(parts.may_be_absent()));
    }
    if let Some(value) = parts.same() {
        return Some(mean_of_same(value, &parts).or_absent(parts.may_be_absent()));
    }
    let (min, max) = (parts.outer.min, parts.outer.max);
    let origin = parts.origin();
    let sums = Sums::of(&parts, origin);
    let lo = origin + sums.mean_end((min - origin, max - origin), 1.0);
    let hi = origin - sums.mean_end((origin - max, origin - min), -1.0);
    let found = Bounded::central(origin + sums.likely / parts.likely.max(1) as f64, (lo, hi));
    // Beside what sums from the origin have allowed for, a mean is rounded relative to its terms.
    let slack = margin(max - min) + 4.0 * f64::EPSILON * min.abs().max(max.abs());
    Some(found.widened(slack).or_absent(parts.may_be_absent()))
}

/// The most equal values of which a compensated sum is the exact sum, rounded once.
///
/// Every partial sum of n values v is a multiple of the unit u of v's last bit, and so is every rounding error, each of
/// which is at most n·2^53·u / 2^53 = n·u. The errors together are at most n²·u, so that adding them up is exact if n² is
/// at most 2^53. The order does not matter.
const SAME_MAX: u64 = 1 << 26;

/// The sum of values that are all equal. A product is rounded once, like the exact sum.
fn sum_of_same(value: f64, parts: &Parts<'_>) -> Bounded {
    let (least, most) = (value * parts.count.0 as f64, value * parts.count.1 as f64);
    let slack = if parts.count.1 <= SAME_MAX { 0.0 } else { margin(most.abs()) };
    Bounded::new(value * parts.likely as f64, (least.min(most), most.max(least))).widened(slack)
}

/// The mean of values that are all equal.
fn mean_of_same(value: f64, parts: &Parts<'_>) -> Bounded {
    let bits = f64::MANTISSA_DIGITS - value.to_bits().trailing_zeros().min(f64::MANTISSA_DIGITS - 1);
    let bits_of_count = u64::BITS - parts.count.1.leading_zeros();
    // If no partial sum is rounded, the mean is the value.
    let is_exact = value == 0.0 || value.is_normal() && bits + bits_of_count <= f64::MANTISSA_DIGITS;
    // Else the sum, the quotient of it and that of its error are, and what both add up to.
    let slack = if is_exact { 0.0 } else { margin(value.abs()) };
    Bounded::new(value, (value, value)).widened(slack)
}

/// `max_over_time`
pub(super) fn greatest(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let parts = Parts::of(seen)?;
    let known = parts.known().chain(parts.edges().map(|edge| edge.0));
    let inner = known.chain(seen.whole.map(|whole| whole.max)).fold(f64::NAN, f64::max);
    let least = if inner.is_nan() { parts.outer.min } else { inner };
    let outer = parts.farthest(1.0).chain(seen.whole.map(|whole| whole.max)).fold(f64::NAN, f64::max);
    Some(extreme(&parts, inner, (least, outer)))
}

/// `min_over_time`
pub(super) fn least(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let parts = Parts::of(seen)?;
    let known = parts.known().chain(parts.edges().map(|edge| edge.1));
    let inner = known.chain(seen.whole.map(|whole| whole.min)).fold(f64::NAN, f64::min);
    let greatest = if inner.is_nan() { parts.outer.max } else { inner };
    let outer = parts.farthest(-1.0).chain(seen.whole.map(|whole| whole.min)).fold(f64::NAN, f64::min);
    Some(extreme(&parts, inner, (outer, greatest)))
}

fn extreme(parts: &Parts<'_>, inner: f64, ends: (f64, f64)) -> Bounded {
    // All samples inside may be NaN.
    if inner.is_nan() && parts.outer.nans > 0 {
        return unbounded(f64::NAN).or_absent(parts.may_be_absent());
    }
    Bounded::middle(ends).or_absent(parts.may_be_absent())
}

/// `first_over_time`
pub(super) fn first(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let parts = Parts::of(seen)?;
    let (ends, likely) = parts.first_value();
    Some(edge(&parts, parts.left(), ends, likely))
}

/// `last_over_time`
pub(super) fn last(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let parts = Parts::of(seen)?;
    let (ends, likely) = parts.last_value();
    Some(edge(&parts, parts.right(), ends, likely))
}

fn edge(parts: &Parts<'_>, cut: Option<&Cut<'_>>, ends: (f64, f64), likely: f64) -> Bounded {
    let found = match cut {
        Some(cut) if !cut.is_plain() => unbounded(likely),
        Some(_) => Bounded::central(likely, ends),
        None => Bounded { value: likely, lo: ends.0, hi: ends.1, may_be_absent: false },
    };
    found.or_absent(parts.may_be_absent())
}

/// `ts_of_first_over_time`
pub(super) fn first_time(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let parts = Parts::of(seen)?;
    let (lo, hi) = parts.first_time();
    Some(Bounded::middle((shown_seconds(lo), shown_seconds(hi.max(lo)))).or_absent(parts.may_be_absent()))
}

/// `ts_of_last_over_time`
pub(super) fn last_time(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let parts = Parts::of(seen)?;
    let (lo, hi) = parts.last_time();
    Some(Bounded::middle((shown_seconds(lo.min(hi)), shown_seconds(hi))).or_absent(parts.may_be_absent()))
}

#[cfg(test)]
mod tests {
    use barograph_engine::rollup::{Builder, Extras};

    use super::*;
    use crate::numbers::compensated;

    const WIDTH: i64 = 1_000_000_000_000;

    /// A bucket of irregular samples.
    fn bucket(values: &[f64]) -> Bucket {
        let times: Vec<i64> =
            (1..=values.len() as i64).map(|at| at * 20_000_000 + at * at % 7 * 1_000_000).collect();
        let (mut builder, mut out) = (Builder::new(WIDTH, Extras::ALL), Vec::new());
        builder.extend(&times, values, &[], &mut out);
        builder.finish(&mut out);
        out.remove(0)
    }

    fn cut_at(start: i64, left: &Bucket, estimate: impl Fn(&Seen<'_>, f64) -> Option<Bounded>) -> Bounded {
        let left = Some(left);
        let seen = Seen { start, end: WIDTH, parts: &[], whole: None, left, right: None, both: None };
        estimate(&seen, 0.5).unwrap()
    }

    #[test]
    fn what_equal_values_imply_is_exact() {
        let same = bucket(&[3.0; 50]);
        let ends = |estimate: fn(&Seen<'_>, f64) -> Option<Bounded>| {
            let found = cut_at(500_000_000, &same, estimate);
            (found.lo, found.hi)
        };
        assert!(ends(count).0 < ends(count).1, "the number inside is not certain");
        for estimate in [mean, first, last, least, greatest, distribution::quantile] {
            assert_eq!(ends(estimate), (3.0, 3.0));
        }
        for estimate in [change::delta, change::rate, change::increase, spread::variance] {
            assert_eq!(ends(estimate), (0.0, 0.0));
        }
        assert_eq!(ends(sum), (3.0 * ends(count).0, 3.0 * ends(count).1));
    }

    #[test]
    fn sums_and_means_of_equal_values_are_those_of_the_kernels() {
        let mut exact = 0;
        for value in [3.0, 0.1, 735.97, -1e9 / 3.0, 1e200, 5e-324, f64::MIN_POSITIVE * 1.7] {
            let values = [value; 2000];
            let bucket = bucket(&values);
            for start in (30_000_000..40_000_000_000).step_by(777_000_000) {
                let (count, sum, mean) = (
                    cut_at(start, &bucket, count),
                    cut_at(start, &bucket, sum),
                    cut_at(start, &bucket, mean),
                );
                exact += u32::from(mean.lo == mean.hi);
                for inside in [count.lo, count.hi] {
                    let values = &values[..inside as usize];
                    let (true_sum, true_mean) = (compensated::sum(values), compensated::mean(values));
                    assert!(
                        [sum.lo, sum.hi].contains(&true_sum),
                        "{value} {inside} times: {true_sum}, {sum:?}"
                    );
                    assert!(mean.lo <= true_mean && true_mean <= mean.hi, "{value}: {true_mean}, {mean:?}");
                }
            }
        }
        assert!(exact > 0, "the mean of some is exact");
    }
}
