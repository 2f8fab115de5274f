//! Functions of one float: maths, rounding, clamping, and the order of `sort`.

use std::cmp::Ordering;

use super::FunctionId;
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
        F::Asinh => f64::asinh,
        F::Acosh => f64::acosh,
        F::Atanh => f64::atanh,
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
            F::ClampMin => nan_or(*v, param(0), f64::max),
            F::ClampMax => nan_or(*v, param(0), f64::min),
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

fn clamp(v: f64, min: f64, max: f64) -> f64 {
    if max < min {
        return ABSENT;
    }
    nan_or(nan_or(v, max, f64::min), min, f64::max)
}

/// `f` of both, but NaN if either is.
fn nan_or(a: f64, b: f64, f: fn(f64, f64) -> f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { f(a, b) }
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
mod tests {
    use super::*;

    #[test]
    fn ties_round_up_and_decimal_units_stay_exact() {
        assert_eq!(round(-0.5, 1.0), 0.0);
        assert_eq!(round(2.5, 1.0), 3.0);
        assert_eq!(round(-5.25, 0.1), -5.2);
    }

    #[test]
    fn zeros_keep_their_sign() {
        assert!(sign(-0.0).is_sign_negative() && sign(-0.0) == 0.0);
        assert!(sign(f64::NAN).is_nan());
    }

    #[test]
    fn a_bound_of_nan_gives_nan() {
        assert!(clamp(1.0, f64::NAN, 2.0).is_nan());
        assert!(is_absent(clamp(1.0, 2.0, 1.0)));
        assert_eq!(clamp(5.0, 0.0, 2.0), 2.0);
    }
}
