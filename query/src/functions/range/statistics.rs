//! Functions of all steps of the query: from one column of floats to another.
//!
//! A statistic covers every value that a series has in the query, and is the result at every step, even where the
//! series has no value. A running statistic begins at the first value. Functions that only mark, scale or drop values
//! leave the steps without a value unchanged.

use crate::functions::window::over_time::{least_squares, moments, standard_score};
use crate::numbers::compensated::{Mean, Sum};
use crate::numbers::quantile::{self, quantile_of_sorted};
use crate::series::{ABSENT, is_absent};

/// Buffers that are reused for the next series.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The present values, in time order.
    values: Vec<f64>,
    /// The steps of the present values.
    places: Vec<usize>,
    /// The present values, sorted for quantiles.
    sorted: Vec<f64>,
    distances: Vec<f64>,
}

/// The floats that one series has at all steps, at least one of which is present.
pub(crate) struct Column<'a> {
    floats: &'a mut [f64],
    /// The scalar argument, one value for each step.
    params: &'a [f64],
    /// The distance between steps, seconds.
    step_seconds: f64,
    scratch: &'a mut Scratch,
}

/// Runs a kernel over a column. A column without values stays as it is.
pub(crate) fn apply(
    kernel: fn(&mut Column<'_>),
    floats: &mut [f64],
    params: &[f64],
    step_seconds: f64,
    scratch: &mut Scratch,
) {
    scratch.take(floats);
    if !scratch.values.is_empty() {
        kernel(&mut Column { floats, params, step_seconds, scratch });
    }
}

impl Column<'_> {
    /// Sets every step to a statistic of the values in time order.
    pub fn fill(&mut self, statistic: impl FnOnce(&[f64]) -> f64) {
        self.floats.fill(statistic(&self.scratch.values));
    }

    /// `range_median`
    pub fn median(&mut self) {
        self.floats.fill(self.scratch.median());
    }

    /// `range_mad`
    pub fn median_deviation(&mut self) {
        self.floats.fill(self.scratch.median_and_deviation().1);
    }

    /// `range_quantile`
    pub fn quantiles(&mut self) {
        self.scratch.quantiles(self.floats, self.params);
    }

    /// `range_linear_regression`
    pub fn line(&mut self) {
        self.scratch.line(self.floats, self.step_seconds);
    }

    /// `range_normalize`
    pub fn normalize(&mut self) {
        let values = &self.scratch.values;
        normalize(self.floats, smallest(values), largest(values));
    }

    /// `range_zscore`
    pub fn scores(&mut self) {
        let of = moments(&self.scratch.values);
        each(self.floats, |v| standard_score(v, of));
    }

    /// `range_trim_outliers`
    pub fn trim_outliers(&mut self) {
        let (median, deviation) = self.scratch.median_and_deviation();
        drop_where(self.floats, |i, v| (v - median).abs() > self.params[i] * deviation);
    }

    /// `range_trim_zscore`
    pub fn trim_scores(&mut self) {
        let of = moments(&self.scratch.values);
        drop_where(self.floats, |i, v| standard_score(v, of).abs() > self.params[i]);
    }

    /// `range_trim_spikes`
    pub fn trim_spikes(&mut self) {
        self.scratch.trim_spikes(self.floats, self.params);
    }

    /// `running_sum`
    pub fn running_sum(&mut self) {
        running(self.floats, Sum::default(), |sum, v| *sum = sum.add(v), |sum| sum.total());
    }

    /// `running_avg`
    pub fn running_mean(&mut self) {
        running(self.floats, Mean::default(), Mean::add, Mean::mean);
    }

    /// `running_min`
    pub fn running_min(&mut self) {
        running(self.floats, f64::NAN, |m, v| *m = lesser(*m, v), |m| *m);
    }

    /// `running_max`
    pub fn running_max(&mut self) {
        running(self.floats, f64::NAN, |m, v| *m = greater(*m, v), |m| *m);
    }
}

/// The smallest value; NaN only if all are.
pub(crate) fn smallest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, lesser)
}

/// The largest value; NaN only if all are.
pub(crate) fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, greater)
}

/// The median, with NaN sorted first.
pub(crate) fn median(values: &[f64], sorted: &mut Vec<f64>) -> f64 {
    quantile::sort_into(sorted, values);
    quantile_of_sorted(0.5, sorted)
}

/// The smaller of two values; NaN only if both are; of equal ones, the first.
fn lesser(a: f64, b: f64) -> f64 {
    if b < a || a.is_nan() { b } else { a }
}

/// The larger of two values; NaN only if both are; of equal ones, the first.
fn greater(a: f64, b: f64) -> f64 {
    if b > a || a.is_nan() { b } else { a }
}

/// Changes the present values.
fn each(floats: &mut [f64], f: impl Fn(f64) -> f64) {
    floats.iter_mut().filter(|v| !is_absent(**v)).for_each(|v| *v = f(*v));
}

/// Removes the values that meet a condition.
fn drop_where(floats: &mut [f64], condition: impl Fn(usize, f64) -> bool) {
    for (i, v) in floats.iter_mut().enumerate().filter(|(_, v)| !is_absent(**v)) {
        if condition(i, *v) {
            *v = ABSENT;
        }
    }
}

/// Maps `min..max` to `0..1`; a series that never changes becomes 0.
fn normalize(floats: &mut [f64], min: f64, max: f64) {
    let span = max - min;
    each(floats, |v| if v == min && span == 0.0 { 0.0 } else { (v - min) / span });
}

/// The state after each step, from the first value on.
fn running<S>(floats: &mut [f64], mut state: S, mut add: impl FnMut(&mut S, f64), total: impl Fn(&S) -> f64) {
    let begin = floats.iter().position(|v| !is_absent(*v)).unwrap_or(floats.len());
    for v in &mut floats[begin..] {
        if !is_absent(*v) {
            add(&mut state, *v);
        }
        *v = total(&state);
    }
}

impl Scratch {
    fn take(&mut self, floats: &[f64]) {
        self.values.clear();
        self.places.clear();
        for (i, &v) in floats.iter().enumerate().filter(|(_, v)| !is_absent(**v)) {
            self.values.push(v);
            self.places.push(i);
        }
    }

    fn median(&mut self) -> f64 {
        median(&self.values, &mut self.sorted)
    }

    /// The median, and the median absolute deviation from it.
    fn median_and_deviation(&mut self) -> (f64, f64) {
        let median = self.median();
        self.distances.clear();
        self.distances.extend(self.values.iter().map(|v| (v - median).abs()));
        let deviation = self::median(&self.distances, &mut self.sorted);
        (median, deviation)
    }

    fn quantiles(&mut self, floats: &mut [f64], phis: &[f64]) {
        quantile::sort_into(&mut self.sorted, &self.values);
        for (v, &phi) in floats.iter_mut().zip(phis) {
            *v = quantile_of_sorted(phi, &self.sorted);
        }
    }

    /// Removes the share φ of the values, half of it at each end.
    fn trim_spikes(&mut self, floats: &mut [f64], phis: &[f64]) {
        quantile::sort_into(&mut self.sorted, &self.values);
        drop_where(floats, |i, v| {
            let half = phis[i] / 2.0;
            let (low, high) = (half, 1.0 - half);
            v < quantile_of_sorted(low, &self.sorted) || v > quantile_of_sorted(high, &self.sorted)
        });
    }

    /// The least-squares line through the values, at every step.
    fn line(&mut self, floats: &mut [f64], step_seconds: f64) {
        let x = |step: usize| step as f64 * step_seconds;
        let (slope, at_origin) = least_squares(|i| x(self.places[i]), &self.values);
        for (i, v) in floats.iter_mut().enumerate() {
            *v = slope * x(i) + at_origin;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::eval::{Eval, Kernel};
    use crate::functions::find;

    fn apply_to(name: &str, values: &[f64], param: f64) -> Vec<f64> {
        let mut floats = values.to_vec();
        let params = vec![param; values.len()];
        let eval = find(name).expect("a function").eval;
        let Eval::Kernel(Kernel::Range(kernel)) = eval else { panic!("{name}: {eval:?}") };
        apply(kernel, &mut floats, &params, 60.0, &mut Scratch::default());
        floats
    }

    #[test]
    fn a_column_without_values_stays_so() {
        for name in ["range_avg", "running_sum", "range_quantile"] {
            assert!(apply_to(name, &[ABSENT, ABSENT], 0.5).iter().all(|v| is_absent(*v)), "{name}");
        }
    }

    #[test]
    fn equal_values_have_no_score_and_no_spread() {
        let same = [0.1; 7];
        assert_eq!(apply_to("range_zscore", &same, 0.0), [0.0; 7]);
        assert_eq!(apply_to("range_normalize", &same, 0.0), [0.0; 7]);
        assert_eq!(apply_to("range_trim_zscore", &same, 0.0), same);
        assert_eq!(apply_to("range_trim_outliers", &same, 0.0), same);
        assert_eq!(apply_to("range_linear_regression", &same, 0.0), same);
    }

    #[test]
    fn what_runs_begins_at_the_first_value_and_goes_over_gaps() {
        let got = apply_to("running_sum", &[ABSENT, 1.0, ABSENT, 2.0], 0.0);
        assert!(is_absent(got[0]));
        assert_eq!(got[1..], [1.0, 1.0, 3.0]);
    }

    #[test]
    fn a_result_is_never_taken_for_no_value() {
        let all = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, -0.0];
        for name in [
            "range_avg",
            "range_stddev",
            "range_zscore",
            "range_normalize",
            "range_linear_regression",
            "running_avg",
            "running_min",
            "range_mad",
        ] {
            let got = apply_to(name, &all, 0.5);
            assert!(got.iter().all(|v| !is_absent(*v)), "{name}: {got:?}");
        }
    }
}
