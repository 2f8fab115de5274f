//! Functions of one float: maths, rounding, clamping, and the order of `sort`.

use std::cmp::Ordering;

use crate::series::{ABSENT, is_absent};

/// Radians to degrees.
pub(crate) fn degrees(v: f64) -> f64 {
    v * 180.0 / std::f64::consts::PI
}

/// Degrees to radians.
pub(crate) fn radians(v: f64) -> f64 {
    v * std::f64::consts::PI / 180.0
}

/// -1, 1, or the value itself for zeros and NaN.
pub(crate) fn sign(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

/// Maps the floats of a column. `f` also gets the step.
fn map(floats: &mut [f64], f: impl Fn(f64, usize) -> f64) {
    for (step, v) in floats.iter_mut().enumerate().filter(|(_, v)| !is_absent(**v)) {
        *v = f(*v, step);
    }
}

/// `round(v, to)`; `params` are scalar arguments, one value for each step.
pub(crate) fn round_all(floats: &mut [f64], params: &[Vec<f64>]) {
    map(floats, |v, step| round(v, params.first().map_or(1.0, |unit| unit[step])));
}

/// `clamp(v, min, max)`
pub(crate) fn clamp_all(floats: &mut [f64], params: &[Vec<f64>]) {
    map(floats, |v, step| clamp(v, params[0][step], params[1][step]));
}

/// `clamp_min(v, min)`
pub(crate) fn clamp_min_all(floats: &mut [f64], params: &[Vec<f64>]) {
    map(floats, |v, step| max(params[0][step], v));
}

/// `clamp_max(v, max)`
pub(crate) fn clamp_max_all(floats: &mut [f64], params: &[Vec<f64>]) {
    map(floats, |v, step| min(params[0][step], v));
}

/// Rounds to the nearest multiple of `unit`, ties up. Multiplies by the inverse, which keeps 0.1 exact where dividing
/// by it would not.
fn round(v: f64, unit: f64) -> f64 {
    let inverse = 1.0 / unit;
    (v * inverse + 0.5).floor() / inverse
}

fn clamp(v: f64, lower: f64, upper: f64) -> f64 {
    if upper < lower { ABSENT } else { max(lower, min(upper, v)) }
}

/// The larger of two, as in Prometheus: +Inf wins over NaN, NaN wins over everything else, and 0 wins over -0.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a > b || (a == b && b.is_sign_negative()) {
        a
    } else {
        b
    }
}

/// The smaller of two: -Inf wins over NaN, NaN over everything else, and -0 over 0.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

/// The order of `sort` and `sort_desc`: NaN is last in both.
pub(crate) fn nan_last(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
    }
}

#[cfg(test)]
mod tests;
