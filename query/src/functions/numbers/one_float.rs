//! Functions of one float: maths, rounding, clamping, and the order of `sort`.

use std::cmp::Ordering;

use super::hyperbolic;
use crate::functions::FunctionId;
use crate::series::{ABSENT, is_absent};

/// The function of one float that `id` names.
pub(crate) fn unary(id: FunctionId) -> fn(f64) -> f64 {
    use FunctionId as F;
    match id {
        F::Abs => f64::abs,
        F::Ceil => f64::ceil,
        F::Floor => f64::floor,
        F::Exp => f64::exp,
        F::Sqrt => f64::sqrt,
        F::Ln => f64::ln,
        F::Log2 => f64::log2,
        F::Log10 => f64::log10,
        F::Sgn => sign,
        F::Sin => f64::sin,
        F::Cos => f64::cos,
        F::Tan => f64::tan,
        F::Asin => f64::asin,
        F::Acos => f64::acos,
        F::Atan => f64::atan,
        F::Sinh => f64::sinh,
        F::Cosh => f64::cosh,
        F::Tanh => f64::tanh,
        F::Asinh => hyperbolic::asinh,
        F::Acosh => hyperbolic::acosh,
        F::Atanh => hyperbolic::atanh,
        F::Deg => |v| v * 180.0 / std::f64::consts::PI,
        F::Rad => |v| v * std::f64::consts::PI / 180.0,
        other => unreachable!("{other:?} is not a function of one float"),
    }
}

/// -1, 1, or the value itself for zeros and NaN.
fn sign(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

/// Applies a function with scalar arguments (one value for each step) to a column.
pub(crate) fn with_params(id: FunctionId, floats: &mut [f64], params: &[Vec<f64>]) {
    use FunctionId as F;
    for (i, v) in floats.iter_mut().enumerate().filter(|(_, v)| !is_absent(**v)) {
        let param = |p: usize| params.get(p).map_or(1.0, |values| values[i]);
        *v = match id {
            F::Round => round(*v, param(0)),
            F::Clamp => clamp(*v, param(0), param(1)),
            F::ClampMin => max(param(0), *v),
            F::ClampMax => min(param(0), *v),
            other => unreachable!("{other:?} takes no scalars after a vector"),
        };
    }
}

/// To the nearest multiple of `unit`, ties up; by the inverse, which keeps 0.1 exact
/// where dividing by it would not.
fn round(v: f64, unit: f64) -> f64 {
    let inverse = 1.0 / unit;
    (v * inverse + 0.5).floor() / inverse
}

fn clamp(v: f64, lower: f64, upper: f64) -> f64 {
    if upper < lower { ABSENT } else { max(lower, min(upper, v)) }
}

/// The larger of two, as Prometheus takes it: +Inf wins over NaN, NaN over everything else,
/// and 0 over -0.
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

/// The order of `sort` and `sort_desc`: NaN last either way.
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
