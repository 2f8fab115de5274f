//! The `*_over_time` family on floats, and the regressions.
//!
//! Each function here returns a kernel: a closure that is called for each window of a series. The amortized cost of
//! extremes is one step per sample, and so is that of sums, moments and regressions (`folds.rs`). Quantiles keep the
//! window sorted. Only `double_exponential_smoothing` restarts for each window.

use std::collections::VecDeque;
use std::ops::Range;

use crate::functions::window::folds::{self, Blocks};
use crate::functions::window::{Window, seconds, shown_seconds};
use crate::numbers::compensated::Sum;
use crate::numbers::quantile::{self, quantile_of_sorted};
use crate::series::ABSENT;

/// Population variance of a slice.
pub(crate) fn variance(values: &[f64]) -> f64 {
    moments(values).1
}

/// Mean and population variance of a slice, by Welford's recurrence with compensated sums.
/// The mean of equal values is that value to the last bit.
pub(crate) fn moments(values: &[f64]) -> (f64, f64) {
    let (mut mean, mut squares) = (Sum::default(), Sum::default());
    let mut count = 0.0;
    for &v in values {
        count += 1.0;
        let delta = v - (mean.sum + mean.error);
        mean = mean.add(delta / count);
        squares = squares.add(delta * (v - (mean.sum + mean.error)));
    }
    (mean.sum + mean.error, (squares.sum + squares.error) / count)
}

/// The distance of `v` from the mean in standard deviations; 0 at the mean itself, even if the deviation is 0.
pub(crate) fn standard_score(v: f64, (mean, variance): (f64, f64)) -> f64 {
    let distance = v - mean;
    if distance == 0.0 { 0.0 } else { distance / variance.sqrt() }
}

/// `zscore_over_time`: the standard score of the newest float.
pub(crate) fn newest_score(w: &Window<'_>) -> Option<f64> {
    let values = w.values();
    values.last().map(|&v| standard_score(v, moments(values)))
}

/// The extreme that a deque keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extreme {
    Min,
    Max,
}

/// Which of several equal values is the extreme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    First,
    Last,
}

/// A monotonic deque: indices of values that no later value beats. The front is the extreme of the window.
struct Candidates {
    which: Extreme,
    tie: Tie,
    indices: VecDeque<usize>,
    seen: usize,
}

impl Candidates {
    fn new(which: Extreme, tie: Tie) -> Self {
        Candidates { which, tie, indices: VecDeque::new(), seen: 0 }
    }

    /// Whether a later value makes an earlier one superfluous.
    #[inline]
    fn beats(&self, later: f64, earlier: f64) -> bool {
        match (self.which, self.tie) {
            (Extreme::Min, Tie::First) => later < earlier,
            (Extreme::Min, Tie::Last) => later <= earlier,
            (Extreme::Max, Tie::First) => later > earlier,
            (Extreme::Max, Tie::Last) => later >= earlier,
        }
    }

    /// Advances to the rows of a window. Returns the index of its extreme, or `None` if all values are NaN.
    fn advance(&mut self, values: &[f64], rows: Range<usize>) -> Option<usize> {
        for i in self.seen.max(rows.start)..rows.end {
            if values[i].is_nan() {
                continue;
            }
            while self.indices.back().is_some_and(|&b| self.beats(values[i], values[b])) {
                self.indices.pop_back();
            }
            self.indices.push_back(i);
        }
        self.seen = self.seen.max(rows.end);
        while self.indices.front().is_some_and(|&f| f < rows.start) {
            self.indices.pop_front();
        }
        self.indices.front().copied()
    }
}

/// Windows with at most this many samples are scanned.
const DIRECT_MAX: usize = 16;

/// The extremes of windows that move forward.
pub(crate) struct Extremes {
    candidates: Candidates,
    end: usize,
}

impl Extremes {
    pub fn new(which: Extreme) -> Self {
        Extremes { candidates: Candidates::new(which, Tie::First), end: 0 }
    }

    /// The first of the most extreme values of a window that are not NaN; NaN if all are.
    #[inline]
    pub fn of(&mut self, values: &[f64], rows: Range<usize>) -> f64 {
        // As in most windows over buckets of their own length.
        if let [one] = values[rows.clone()] {
            self.end = rows.end;
            return one;
        }
        self.of_several(values, rows)
    }

    fn of_several(&mut self, values: &[f64], rows: Range<usize>) -> f64 {
        // A deque is worthwhile only if a window shares many samples with the previous one.
        let is_direct = rows.start >= self.end || rows.len() <= DIRECT_MAX;
        self.end = rows.end;
        if is_direct {
            return extreme_of(self.candidates.which, &values[rows]);
        }
        self.candidates.advance(values, rows).map_or(f64::NAN, |i| values[i])
    }
}

/// The newest extremes of windows that move forward.
pub(crate) struct NewestExtreme(Candidates);

impl NewestExtreme {
    pub fn new(which: Extreme) -> Self {
        NewestExtreme(Candidates::new(which, Tie::Last))
    }

    /// The index of the last of the most extreme values of a window; `None` if all are NaN.
    pub fn of(&mut self, values: &[f64], rows: Range<usize>) -> Option<usize> {
        self.0.advance(values, rows)
    }
}

/// `min_over_time`, `max_over_time`: NaN only if all are.
pub(crate) fn extreme(which: Extreme) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut extremes = Extremes::new(which);
    move |w| {
        let found = extremes.of(&w.columns.values, w.lo..w.hi);
        (w.len() > 0).then_some(found)
    }
}

/// The first of the most extreme values that are not NaN; NaN if all are.
fn extreme_of(which: Extreme, values: &[f64]) -> f64 {
    match which {
        Extreme::Max => scan(values, f64::NEG_INFINITY, |later, earlier| later > earlier),
        Extreme::Min => scan(values, f64::INFINITY, |later, earlier| later < earlier),
    }
}

/// Compares several values at a time, which vectorizes. Any value beats `least`.
fn scan(values: &[f64], least: f64, beats: impl Fn(f64, f64) -> bool + Copy) -> f64 {
    let (chunks, rest) = values.as_chunks::<8>();
    // Among equal values, zeros too, the first one counts; and all values may be NaN.
    let in_order = |best: f64, &value: &f64| if best.is_nan() || beats(value, best) { value } else { best };
    if chunks.is_empty() {
        return values.iter().fold(f64::NAN, in_order);
    }
    let mut lanes = [least; 8];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if beats(value, *lane) { value } else { *lane };
        }
    }
    let best =
        lanes.iter().chain(rest).fold(least, |best, &value| if beats(value, best) { value } else { best });
    if best != 0.0 && best != least {
        return best;
    }
    values.iter().fold(f64::NAN, in_order)
}

/// `ts_of_min_over_time`, `ts_of_max_over_time`: the time of the last extreme value.
pub(crate) fn time_of_extreme(which: Extreme) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut newest = NewestExtreme::new(which);
    move |w| {
        let found = newest.of(&w.columns.values, w.lo..w.hi);
        (w.len() > 0).then(|| shown_seconds(w.columns.times[found.unwrap_or(w.hi - 1)]))
    }
}

/// `quantile_over_time`, with φ for each step.
pub(crate) fn quantile_over(phi: &[f64]) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut sorted = SortedWindow::default();
    move |w| {
        sorted.advance(w);
        (w.len() > 0).then(|| quantile_of_sorted(phi[w.step], &sorted.values))
    }
}

/// `quantiles_over_time`: calls `put` with the index of each φ and its quantile.
pub(crate) fn quantiles_over(phis: &[Vec<f64>]) -> impl FnMut(&Window<'_>, &mut dyn FnMut(usize, f64)) {
    let mut sorted = SortedWindow::default();
    move |w, put| {
        if w.len() == 0 {
            return;
        }
        sorted.advance(w);
        for (place, phi) in phis.iter().enumerate() {
            put(place, quantile_of_sorted(phi[w.step], &sorted.values));
        }
    }
}

/// The values of a moving window, sorted for quantiles.
#[derive(Default)]
struct SortedWindow {
    values: Vec<f64>,
    lo: usize,
    hi: usize,
}

impl SortedWindow {
    /// Advances to window `w`: removes and inserts what has changed or, if little is shared, sorts the window again.
    fn advance(&mut self, w: &Window<'_>) {
        let all = &w.columns.values;
        let kept = self.hi.saturating_sub(w.lo);
        if kept == 0 || kept < w.len() / 2 {
            quantile::sort_into(&mut self.values, w.values());
        } else {
            for &v in &all[self.lo..w.lo] {
                if let Ok(at) = self.place(v) {
                    self.values.remove(at);
                }
            }
            for &v in &all[self.hi..w.hi] {
                let at = self.place(v).unwrap_or_else(|at| at);
                self.values.insert(at, v);
            }
        }
        (self.lo, self.hi) = (w.lo, w.hi);
    }

    fn place(&self, v: f64) -> Result<usize, usize> {
        self.values.binary_search_by(|x| quantile::nan_first(*x, v))
    }
}

/// `mad_over_time`: the median of the distances from the median.
pub(crate) fn median_deviation() -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut sorted = SortedWindow::default();
    move |w| {
        if w.len() == 0 {
            return None;
        }
        if w.values().iter().any(|v| v.is_nan()) {
            return Some(f64::NAN);
        }
        sorted.advance(w);
        let sorted = &sorted.values;
        let median = quantile_of_sorted(0.5, sorted);
        if !median.is_finite() {
            // The distance between infinities is NaN, which cannot be ordered for a search.
            let mut distances: Vec<f64> = sorted.iter().map(|v| (v - median).abs()).collect();
            distances.sort_unstable_by(f64::total_cmp);
            return Some(quantile_of_sorted(0.5, &distances));
        }
        // The two middle values, which are the same if the number of values is odd.
        let middle = [(sorted.len() - 1) / 2, sorted.len() / 2];
        Some(quantile_of_sorted(0.5, &middle.map(|rank| nth_distance(sorted, median, rank))))
    }
}

/// `outlier_iqr_over_time`: the newest float, if it is more than one and a half interquartile ranges away from the
/// nearer quartile. NaN is no outlier and has no influence on the quartiles.
pub(crate) fn newest_outlier() -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut sorted = SortedWindow::default();
    move |w| {
        let newest = *w.values().last()?;
        sorted.advance(w);
        let known = &sorted.values[sorted.values.partition_point(|v| v.is_nan())..];
        let [lower, upper] = [0.25, 0.75].map(|phi| quantile_of_sorted(phi, known));
        let reach = 1.5 * (upper - lower);
        (newest < lower - reach || newest > upper + reach).then_some(newest)
    }
}

/// The distance from `centre` with the given `rank` in ascending order. Distances decrease toward the centre and
/// increase after it, so they form two ascending runs, and each comparison halves what is left of them.
fn nth_distance(sorted: &[f64], centre: f64, rank: usize) -> f64 {
    let split = sorted.partition_point(|&v| v < centre);
    let (below, above) = (split, sorted.len() - split);
    let near_below = |i: usize| (sorted[split - 1 - i] - centre).abs();
    let near_above = |i: usize| (sorted[split + i] - centre).abs();
    // The number of the `rank + 1` nearest values that are below the centre.
    let (mut least, mut most) = ((rank + 1).saturating_sub(above), below.min(rank + 1));
    while least < most {
        let taken = (least + most) / 2;
        let other = rank - taken;
        if near_below(taken) < near_above(other) {
            least = taken + 1;
        } else {
            most = taken;
        }
    }
    let last_below = least.checked_sub(1).map_or(f64::NEG_INFINITY, near_below);
    let last_above = rank.checked_sub(least).map_or(f64::NEG_INFINITY, near_above);
    last_below.max(last_above)
}

/// Least squares over the window, with x in seconds from `origin_ns`: slope, and value at the origin.
pub(crate) fn regression(w: &Window<'_>, origin_ns: i64) -> (f64, f64) {
    let times = w.times();
    least_squares(|i| seconds(times[i].saturating_sub(origin_ns)), w.values())
}

/// Least squares through at least one value, with `x` of the index: slope, and value at the origin.
pub(crate) fn least_squares(x: impl Fn(usize) -> f64, values: &[f64]) -> (f64, f64) {
    let (mut x_sum, mut y_sum) = (Sum::default(), Sum::default());
    let (mut xy_sum, mut xx_sum) = (Sum::default(), Sum::default());
    let first = values[0];
    if values.iter().all(|&v| v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    for (i, &y) in values.iter().enumerate() {
        let x = x(i);
        x_sum = x_sum.add(x);
        y_sum = y_sum.add(y);
        xy_sum = xy_sum.add(x * y);
        xx_sum = xx_sum.add(x * x);
    }
    let n = values.len() as f64;
    let (x, y) = (x_sum.sum + x_sum.error, y_sum.sum + y_sum.error);
    let covariance = (xy_sum.sum + xy_sum.error) - x * y / n;
    let variance = (xx_sum.sum + xx_sum.error) - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

/// `deriv`: the slope, by least squares. Needs two floats.
pub(crate) fn slope(range_ns: i64) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut blocks = Blocks::new(range_ns);
    move |w| {
        let origin = *w.times().first()?;
        let line = folds::line(&mut blocks, w, origin);
        (w.len() >= 2).then(|| line.unwrap_or_else(|| regression(w, origin)).0)
    }
}

/// `predict_linear`: the line's value `ahead` seconds after the evaluation time.
pub(crate) fn predict(range_ns: i64, ahead: &[f64]) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut blocks = Blocks::new(range_ns);
    move |w| {
        if w.len() < 2 {
            return None;
        }
        let origin = w.time_ms.saturating_mul(1_000_000);
        let line = folds::line(&mut blocks, w, origin);
        let (slope, at_origin) = line.unwrap_or_else(|| regression(w, origin));
        Some(slope * ahead[w.step] + at_origin)
    }
}

/// `double_exponential_smoothing`, with both factors for each step.
pub(crate) fn smoothing(level: &[f64], trend: &[f64]) -> impl FnMut(&Window<'_>) -> Option<f64> {
    move |w| {
        let values = w.values();
        if values.len() < 2 {
            return None;
        }
        let (sf, tf) = (level[w.step], trend[w.step]);
        let mut s = values[0];
        let mut b = values[1] - values[0];
        let mut before = s;
        for (i, &v) in values.iter().enumerate().skip(1) {
            if i > 1 {
                b = tf * (s - before) + (1.0 - tf) * b;
            }
            before = s;
            s = sf * v + (1.0 - sf) * (s + b);
        }
        Some(s)
    }
}

/// Whether a factor of [`smoothing`] is valid. NaN is valid and makes the result NaN: a computed factor, for example of
/// a query without data, is not an error in the query.
pub(crate) fn is_smoothing_factor(f: f64) -> bool {
    f.is_nan() || (f > 0.0 && f < 1.0)
}

/// The value of a kernel's result in a column.
#[inline]
pub(crate) fn slot(answer: Option<f64>) -> f64 {
    answer.unwrap_or(ABSENT)
}
