//! Folds over moving windows at a cost per sample: sums, means, variances, regressions.
//!
//! Nothing is ever subtracted from a sum, because that would bring back the rounding errors that compensation avoids.
//! Instead, time is cut at multiples of the window's length, so that each window contains one cut: it is the end of one
//! block and the beginning of the next. The folds of all ends of a block are computed once, backward from the cut. The
//! fold of the beginning grows with the window. For each window, two folds are merged. The cuts depend only on the
//! window, not on the start or the step of the query, so a range query gives the same bits as instant queries.
//!
//! Short windows are folded directly, in order. So are windows whose fold is not finite, because the result of an
//! overflow depends on the order.

use crate::functions::window::{Window, seconds};
use crate::numbers::compensated::{self, Sum, two_sum};

/// Windows of up to this many samples are folded directly.
const DIRECT_MAX: usize = 32;
/// Beyond this magnitude, a sum may overflow on the way, which depends on the order.
const LARGE: f64 = 1e290;

/// The fold of a window.
pub(crate) trait Fold: Copy {
    /// The fold of one sample; `x` is its time in seconds after the cut.
    fn one(x: f64, y: f64) -> Self;
    /// The fold with one more sample.
    fn add(self, x: f64, y: f64) -> Self;
    /// The fold of both parts.
    fn merge(self, other: Self) -> Self;
    /// The fold of values whose order and cut do not matter; `None` if they may matter.
    fn at_once(_values: &[f64]) -> Option<Self> {
        None
    }
}

/// The folds of the windows of one series.
pub(crate) struct Blocks<F> {
    range_ns: i64,
    cut: i64,
    /// Whether a window has shared samples with the previous one.
    overlaps: bool,
    /// Whether the order of the values matters in this series.
    has_order: bool,
    /// The end of the last window.
    end: usize,
    /// Folds of `index..split` for each index from `first` on.
    ends: Vec<F>,
    first: usize,
    /// The first sample after the cut.
    split: usize,
    beginning: Option<F>,
    /// The first sample that is not in `beginning`.
    next: usize,
}

impl<F: Fold> Blocks<F> {
    /// Windows of this length.
    pub fn new(range_ns: i64) -> Self {
        let range_ns = range_ns.max(1);
        Blocks {
            range_ns,
            cut: i64::MIN,
            overlaps: false,
            has_order: false,
            end: 0,
            ends: Vec::new(),
            first: 0,
            split: 0,
            beginning: None,
            next: 0,
        }
    }

    /// The fold of a window with at least one sample, and its cut.
    pub fn fold(&mut self, w: &Window<'_>) -> (F, i64) {
        let cut = w.end.div_euclid(self.range_ns).saturating_mul(self.range_ns);
        self.overlaps |= w.lo < self.end;
        self.end = w.hi;
        if !self.overlaps {
            return (self.once(w, cut), cut);
        }
        if cut != self.cut || self.first > w.lo {
            self.cross(w, cut);
        }
        for i in self.next..w.hi {
            let (x, y) = self.sample(w, i);
            self.beginning = Some(match self.beginning {
                Some(fold) => fold.add(x, y),
                None => F::one(x, y),
            });
        }
        self.next = self.next.max(w.hi);
        let end = self.ends.get(w.lo.saturating_sub(self.first)).copied();
        (merged(end, self.beginning), cut)
    }

    /// The fold of a window that shares no samples with others, in the same order.
    fn once(&mut self, w: &Window<'_>, cut: i64) -> F {
        // The next window starts a new block.
        (self.cut, self.first, self.ends) = (cut, usize::MAX, Vec::new());
        if !self.has_order {
            if let Some(fold) = F::at_once(w.values()) {
                return fold;
            }
            self.has_order = true;
        }
        let split = w.times().partition_point(|&t| t <= cut);
        let (times_before, times_after) = w.times().split_at(split);
        let (before, after) = w.values().split_at(split);
        let end = folded(cut, times_before.iter().rev().zip(before.iter().rev()));
        merged(end, folded(cut, times_after.iter().zip(after)))
    }

    /// Moves to a different cut, and folds the ends of the block before it.
    fn cross(&mut self, w: &Window<'_>, cut: i64) {
        self.cut = cut;
        self.first = w.lo;
        self.split = w.lo + w.times().partition_point(|&t| t <= cut);
        self.next = self.split;
        self.beginning = None;
        self.ends.clear();
        let mut fold: Option<F> = None;
        for i in (w.lo..self.split).rev() {
            let (x, y) = self.sample(w, i);
            let with = fold.map_or_else(|| F::one(x, y), |fold| fold.add(x, y));
            self.ends.push(with);
            fold = Some(with);
        }
        self.ends.reverse();
    }

    #[inline]
    fn sample(&self, w: &Window<'_>, i: usize) -> (f64, f64) {
        (seconds(w.columns.times[i].saturating_sub(self.cut)), w.columns.values[i])
    }
}

/// The fold of samples in their order.
#[inline]
fn folded<'a, F: Fold>(cut: i64, mut samples: impl Iterator<Item = (&'a i64, &'a f64)>) -> Option<F> {
    let x = |t: &i64| seconds(t.saturating_sub(cut));
    let (t, y) = samples.next()?;
    Some(samples.fold(F::one(x(t), *y), |fold, (t, y)| fold.add(x(t), *y)))
}

/// The fold of the end of a block and the beginning of the next.
fn merged<F: Fold>(end: Option<F>, beginning: Option<F>) -> F {
    match (end, beginning) {
        (Some(end), Some(beginning)) => end.merge(beginning),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => F::one(0.0, f64::NAN),
    }
}

/// A compensated sum, and the largest magnitude in it.
#[derive(Debug, Clone, Copy)]
struct Total {
    sum: f64,
    error: f64,
    /// The magnitudes of all rounding errors.
    lost: f64,
    largest: f64,
}

impl Fold for Total {
    fn one(_: f64, y: f64) -> Self {
        Total { sum: y, error: 0.0, lost: 0.0, largest: y.abs() }
    }

    #[inline]
    fn add(self, _: f64, y: f64) -> Self {
        // The same as merging one value, without waiting for the sum with its error of zero.
        let (sum, lost) = two_sum(self.sum, y);
        Total {
            sum,
            error: self.error + lost,
            lost: self.lost + lost.abs(),
            largest: self.largest.max(y.abs()),
        }
    }

    #[inline]
    fn merge(self, other: Self) -> Self {
        let (sum, lost) = two_sum(self.sum, other.sum);
        Total {
            sum,
            error: self.error + other.error + lost,
            lost: self.lost + other.lost + lost.abs(),
            largest: self.largest.max(other.largest),
        }
    }

    fn at_once(values: &[f64]) -> Option<Self> {
        // The sign of a zero is that of the last intermediate sum.
        let sum = compensated::exact_sum(values).filter(|sum| *sum != 0.0)?;
        Some(Total { sum, error: 0.0, lost: 0.0, largest: sum.abs() })
    }
}

impl Total {
    /// Whether the order of `count` values matters only for rounding, and rounding only for the last place.
    fn is_safe(&self, count: usize) -> bool {
        self.sum.is_finite()
            && self.largest < LARGE
            && !compensated::is_rough(self.sum + self.error, self.lost, count)
    }
}

/// `sum_over_time`
pub(crate) fn sum(range_ns: i64) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut blocks = Blocks::<Total>::new(range_ns);
    move |w| {
        if w.len() > DIRECT_MAX {
            let (total, _) = blocks.fold(w);
            if total.is_safe(w.len()) {
                return Some(0.0 + total.sum + total.error);
            }
        }
        Some(compensated::sum(w.values()))
    }
}

/// `avg_over_time`
pub(crate) fn mean(range_ns: i64) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut blocks = Blocks::<Total>::new(range_ns);
    move |w| {
        if w.len() > DIRECT_MAX {
            let (total, _) = blocks.fold(w);
            if total.is_safe(w.len()) {
                let count = w.len() as f64;
                // Without an error, the sign of a zero is that of the sum.
                let mean = total.sum / count;
                return Some(if total.error == 0.0 { mean } else { mean + total.error / count });
            }
        }
        Some(compensated::mean(w.values()))
    }
}

/// The mean, and the squared distances from it, by Welford's recurrence with compensated sums, merged as by Chan, Golub
/// and LeVeque.
#[derive(Debug, Clone, Copy)]
struct Moments {
    count: f64,
    mean: Sum,
    squares: Sum,
}

fn value(sum: Sum) -> f64 {
    sum.sum + sum.error
}

impl Fold for Moments {
    fn one(_: f64, y: f64) -> Self {
        Moments { count: 1.0, mean: Sum { sum: y, error: 0.0 }, squares: Sum::default() }
    }

    #[inline]
    fn add(self, _: f64, y: f64) -> Self {
        let count = self.count + 1.0;
        let delta = y - value(self.mean);
        let mean = self.mean.add(delta / count);
        Moments { count, mean, squares: self.squares.add(delta * (y - value(mean))) }
    }

    fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        let delta = value(other.mean) - value(self.mean);
        let between = delta * delta * (self.count * other.count / count);
        Moments {
            count,
            mean: self.mean.add(delta * other.count / count),
            squares: self.squares.add(value(other.squares)).add(between),
        }
    }
}

/// The variance of each window. `direct` computes the variance of a slice otherwise.
pub(crate) fn variance(
    range_ns: i64,
    direct: impl Fn(&[f64]) -> f64,
) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut blocks = Blocks::<Moments>::new(range_ns);
    move |w| {
        if w.len() > DIRECT_MAX {
            let variance = value(blocks.fold(w).0.squares) / w.len() as f64;
            if variance.is_finite() {
                return Some(variance);
            }
        }
        (w.len() > 0).then(|| direct(w.values()))
    }
}

/// The sums of a linear regression; times are seconds after the cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    x: Sum,
    y: Sum,
    xy: Sum,
    xx: Sum,
    /// The value, as long as all values are equal.
    same: Option<f64>,
}

fn single(value: f64) -> Sum {
    Sum { sum: value, error: 0.0 }
}

fn joined(a: Sum, b: Sum) -> Sum {
    let with = a.add(b.sum);
    Sum { sum: with.sum, error: with.error + b.error }
}

impl Fold for Line {
    fn one(x: f64, y: f64) -> Self {
        Line { x: single(x), y: single(y), xy: single(x * y), xx: single(x * x), same: Some(y) }
    }

    #[inline]
    fn add(self, x: f64, y: f64) -> Self {
        Line {
            x: self.x.add(x),
            y: self.y.add(y),
            xy: self.xy.add(x * y),
            xx: self.xx.add(x * x),
            same: self.same.filter(|&same| same == y),
        }
    }

    fn merge(self, other: Self) -> Self {
        Line {
            x: joined(self.x, other.x),
            y: joined(self.y, other.y),
            xy: joined(self.xy, other.xy),
            xx: joined(self.xx, other.xx),
            same: self.same.filter(|_| self.same == other.same),
        }
    }
}

/// The slope of each window and the value of the line at `origin_ns`; `None` if the window itself needs a regression.
pub(crate) fn line(blocks: &mut Blocks<Line>, w: &Window<'_>, origin_ns: i64) -> Option<(f64, f64)> {
    if w.len() <= DIRECT_MAX {
        return None;
    }
    let (sums, cut) = blocks.fold(w);
    if let Some(same) = sums.same {
        return same.is_finite().then_some((0.0, same));
    }
    let n = w.len() as f64;
    let (x, y) = (value(sums.x), value(sums.y));
    let covariance = value(sums.xy) - x * y / n;
    let variance = value(sums.xx) - x * x / n;
    let slope = covariance / variance;
    let x_at_origin = seconds(origin_ns.saturating_sub(cut));
    let at_origin = y / n + slope * (x_at_origin - x / n);
    (slope.is_finite() && at_origin.is_finite()).then_some((slope, at_origin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::window::Columns;
    use crate::functions::window::over_time;
    use crate::numbers::quantile::quantile_of_sorted;
    use proptest::prelude::*;

    const S: i64 = 1_000_000_000;

    /// All windows of `range_s` that end at multiples of `step_s`, through one kernel.
    fn windows(
        columns: &Columns,
        range_s: i64,
        step_s: i64,
        mut kernel: impl FnMut(&Window<'_>) -> Option<f64>,
    ) -> Vec<(usize, usize, f64)> {
        let last = columns.times.last().copied().unwrap_or(0);
        let mut out = Vec::new();
        for step in 0.. {
            let end = step as i64 * step_s * S;
            if end > last + range_s * S {
                return out;
            }
            let start = end - range_s * S;
            let lo = columns.times.partition_point(|&t| t <= start);
            let hi = columns.times.partition_point(|&t| t <= end);
            if lo < hi {
                let time_ms = end / 1_000_000;
                let w =
                    Window { columns, lo, hi, histogram_lo: 0, histogram_hi: 0, start, end, step, time_ms };
                out.push((lo, hi, kernel(&w).unwrap()));
            }
        }
        unreachable!()
    }

    fn columns(values: Vec<f64>) -> Columns {
        let times = (0..values.len() as i64).map(|i| i * S).collect();
        Columns { times, values, ..Columns::default() }
    }

    fn close(a: f64, b: f64, scale: f64) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * scale
    }

    proptest! {
        #[test]
        fn sliding_folds_are_those_of_each_window(
            values in proptest::collection::vec(prop_oneof![
                20 => -1e3..1e3f64,
                5 => Just(7.0),
                1 => Just(f64::INFINITY),
                1 => Just(f64::NAN),
                1 => Just(f64::MAX),
            ], 40..300),
            range in 40i64..90,
            step in 1i64..50,
        ) {
            let columns = columns(values);
            let ns = range * S;
            for (lo, hi, v) in windows(&columns, range, step, sum(ns)) {
                prop_assert!(close(v, compensated::sum(&columns.values[lo..hi]), 1e5), "{lo}..{hi}: {v}");
            }
            for (lo, hi, v) in windows(&columns, range, step, mean(ns)) {
                prop_assert!(close(v, compensated::mean(&columns.values[lo..hi]), 1e3), "{lo}..{hi}: {v}");
            }
            let ordered = |values: &[f64]| {
                let mut sorted = values.to_vec();
                sorted.sort_unstable_by(f64::total_cmp);
                sorted
            };
            for (lo, hi, v) in windows(&columns, range, step, over_time::median_deviation()) {
                let values = &columns.values[lo..hi];
                let median = quantile_of_sorted(0.5, &ordered(values));
                let distances: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
                let direct = quantile_of_sorted(0.5, &ordered(&distances));
                let same = v.to_bits() == direct.to_bits() || (v.is_nan() && direct.is_nan());
                prop_assert!(same || values.iter().any(|v| v.is_nan()), "{lo}..{hi}: {v} {direct}");
            }
            for (lo, hi, v) in windows(&columns, range, step, variance(ns, over_time::variance)) {
                prop_assert!(close(v, over_time::variance(&columns.values[lo..hi]), 1e6), "{lo}..{hi}: {v}");
            }
        }

        #[test]
        fn a_window_has_the_same_bits_wherever_the_query_began(
            values in proptest::collection::vec(-1e9..1e9f64, 120..200),
            step in prop_oneof![1i64..7, 50i64..60],
            // Whole numbers from some place on, and zeros of both signs.
            (whole_from, whole_max) in (0usize..200, prop::sample::select(vec![0.4, 3.0, 1e9])),
        ) {
            let whole = |(i, v): (usize, f64)| if i < whole_from { v } else { (v % whole_max).trunc() };
            let columns = columns(values.into_iter().enumerate().map(whole).collect());
            let (sums, means) =
                (windows(&columns, 50, 1, sum(50 * S)), windows(&columns, 50, 1, mean(50 * S)));
            let alone = |all: &[(usize, usize, f64)], lo, hi| {
                all.iter().find(|(l, h, _)| (*l, *h) == (lo, hi)).unwrap().2.to_bits()
            };
            for (lo, hi, v) in windows(&columns, 50, step, sum(50 * S)) {
                prop_assert_eq!(v.to_bits(), alone(&sums, lo, hi), "sum of {}..{}", lo, hi);
            }
            for (lo, hi, v) in windows(&columns, 50, step, mean(50 * S)) {
                prop_assert_eq!(v.to_bits(), alone(&means, lo, hi), "mean of {}..{}", lo, hi);
            }
        }

        #[test]
        fn lines_are_those_of_each_window(
            values in proptest::collection::vec(-1e3..1e3f64, 60..150),
            range in 40i64..60,
        ) {
            let columns = columns(values);
            let fresh = |w: &Window<'_>| over_time::regression(w, w.end);
            let mut blocks = Blocks::new(range * S);
            windows(&columns, range, 3, |w| {
                let (slope, at_end) = fresh(w);
                if let Some((s, e)) = line(&mut blocks, w, w.end) {
                    assert!(close(s, slope, 1e3) && close(e, at_end, 1e5), "{s} {slope} {e} {at_end}");
                }
                Some(0.0)
            });
        }
    }

    #[test]
    fn cancellation_and_constants_survive() {
        let mut values = vec![1.0; 50];
        values[10] = 1e100;
        values[30] = -1e100;
        let all = columns(values);
        let (_, _, v) = windows(&all, 60, 50, sum(60 * S))[1];
        assert_eq!(v, 48.0);
        let constant = columns(vec![1e9 + 0.1; 200]);
        assert!(windows(&constant, 60, 7, variance(60 * S, over_time::variance)).iter().all(|w| w.2 == 0.0));
        let mut blocks = Blocks::new(60 * S);
        windows(&constant, 60, 7, |w| {
            assert!(w.len() <= DIRECT_MAX || line(&mut blocks, w, w.end) == Some((0.0, 1e9 + 0.1)));
            Some(0.0)
        });
    }
}
