//! Functions of all steps of the query: one column of floats in, one out.
//!
//! A statistic looks at every value a series has in the graph and stands at every step of
//! it, also where the series has none. A running one stands from the series' first value
//! on. What only marks, scales or drops values leaves the steps without a value as they are.

use crate::functions::FunctionId;
use crate::functions::numbers::compensated::{self, Mean, Sum};
use crate::functions::numbers::quantile::{self, quantile_of_sorted};
use crate::functions::window::over_time::{least_squares, moments, standard_score};
use crate::series::{ABSENT, is_absent};

/// Memory that is used again for the next series.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The values that are there, in the order of time.
    values: Vec<f64>,
    /// The steps they are at.
    places: Vec<usize>,
    /// The values in the order of quantiles.
    sorted: Vec<f64>,
    distances: Vec<f64>,
}

/// Replaces a column by what the function makes of it. `params` has one value for each
/// step, `step_seconds` is the distance of steps. A column without values stays so.
pub(crate) fn apply(
    id: FunctionId,
    floats: &mut [f64],
    params: &[f64],
    step_seconds: f64,
    scratch: &mut Scratch,
) {
    use FunctionId as F;
    scratch.take(floats);
    let values = &scratch.values[..];
    let (Some(&first), Some(&last)) = (values.first(), values.last()) else { return };
    match id {
        F::RangeAvg => floats.fill(compensated::mean(values)),
        F::RangeSum => floats.fill(compensated::sum(values)),
        F::RangeMin => floats.fill(smallest(values)),
        F::RangeMax => floats.fill(largest(values)),
        F::RangeFirst => floats.fill(first),
        F::RangeLast => floats.fill(last),
        F::RangeStdvar => floats.fill(moments(values).1),
        F::RangeStddev => floats.fill(moments(values).1.sqrt()),
        F::RangeMedian => floats.fill(scratch.median()),
        F::RangeMad => floats.fill(scratch.median_and_deviation().1),
        F::RangeQuantile => scratch.quantiles(floats, params),
        F::RangeLinearRegression => scratch.line(floats, step_seconds),
        F::RangeNormalize => normalize(floats, smallest(values), largest(values)),
        F::RangeZscore => {
            let of = moments(values);
            each(floats, |v| standard_score(v, of));
        }
        F::RangeTrimOutliers => {
            let (median, deviation) = scratch.median_and_deviation();
            drop_where(floats, |i, v| (v - median).abs() > params[i] * deviation);
        }
        F::RangeTrimZscore => {
            let of = moments(values);
            drop_where(floats, |i, v| standard_score(v, of).abs() > params[i]);
        }
        F::RangeTrimSpikes => scratch.trim_spikes(floats, params),
        F::RunningSum => running(floats, Sum::default(), |sum, v| *sum = sum.add(v), |sum| sum.total()),
        F::RunningAvg => running(floats, Mean::default(), Mean::add, Mean::mean),
        F::RunningMin => running(floats, f64::NAN, |m, v| *m = lesser(*m, v), |m| *m),
        F::RunningMax => running(floats, f64::NAN, |m, v| *m = greater(*m, v), |m| *m),
        other => unreachable!("{other:?} is no function of all steps"),
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

/// The value in the middle of the values' order, NaN first.
pub(crate) fn median(values: &[f64], sorted: &mut Vec<f64>) -> f64 {
    quantile::sort_into(sorted, values);
    quantile_of_sorted(0.5, sorted)
}

/// The lesser of two, NaN only if both are; the first of equals.
fn lesser(a: f64, b: f64) -> f64 {
    if b < a || a.is_nan() { b } else { a }
}

/// The greater of two, NaN only if both are; the first of equals.
fn greater(a: f64, b: f64) -> f64 {
    if b > a || a.is_nan() { b } else { a }
}

/// Changes the values that are there.
fn each(floats: &mut [f64], f: impl Fn(f64) -> f64) {
    floats.iter_mut().filter(|v| !is_absent(**v)).for_each(|v| *v = f(*v));
}

/// Takes out the values that meet a condition.
fn drop_where(floats: &mut [f64], condition: impl Fn(usize, f64) -> bool) {
    for (i, v) in floats.iter_mut().enumerate().filter(|(_, v)| !is_absent(**v)) {
        if condition(i, *v) {
            *v = ABSENT;
        }
    }
}

/// From `min..max` to `0..1`; a series that never changes lies at 0.
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

    /// The median, and the median distance from it.
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

    /// Takes out the share φ of the values, half of it at either end.
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

    fn apply_to(id: FunctionId, values: &[f64], param: f64) -> Vec<f64> {
        let mut floats = values.to_vec();
        let params = vec![param; values.len()];
        apply(id, &mut floats, &params, 60.0, &mut Scratch::default());
        floats
    }

    #[test]
    fn a_column_without_values_stays_so() {
        for id in [FunctionId::RangeAvg, FunctionId::RunningSum, FunctionId::RangeQuantile] {
            assert!(apply_to(id, &[ABSENT, ABSENT], 0.5).iter().all(|v| is_absent(*v)), "{id:?}");
        }
    }

    #[test]
    fn equal_values_have_no_score_and_no_spread() {
        let same = [0.1; 7];
        assert_eq!(apply_to(FunctionId::RangeZscore, &same, 0.0), [0.0; 7]);
        assert_eq!(apply_to(FunctionId::RangeNormalize, &same, 0.0), [0.0; 7]);
        assert_eq!(apply_to(FunctionId::RangeTrimZscore, &same, 0.0), same);
        assert_eq!(apply_to(FunctionId::RangeTrimOutliers, &same, 0.0), same);
        assert_eq!(apply_to(FunctionId::RangeLinearRegression, &same, 0.0), same);
    }

    #[test]
    fn what_runs_begins_at_the_first_value_and_goes_over_gaps() {
        let got = apply_to(FunctionId::RunningSum, &[ABSENT, 1.0, ABSENT, 2.0], 0.0);
        assert!(is_absent(got[0]));
        assert_eq!(got[1..], [1.0, 1.0, 3.0]);
    }

    #[test]
    fn a_result_is_never_taken_for_no_value() {
        let all = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, -0.0];
        for id in [
            FunctionId::RangeAvg,
            FunctionId::RangeStddev,
            FunctionId::RangeZscore,
            FunctionId::RangeNormalize,
            FunctionId::RangeLinearRegression,
            FunctionId::RunningAvg,
            FunctionId::RunningMin,
            FunctionId::RangeMad,
        ] {
            let got = apply_to(id, &all, 0.5);
            assert!(got.iter().all(|v| !is_absent(*v)), "{id:?}: {got:?}");
        }
    }
}
