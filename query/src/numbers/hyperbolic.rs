//! The inverse hyperbolic functions, accurate to the last bit or two over the whole range of floats.
//!
//! The textbook formulas fail at both ends: `x + sqrt(x² + 1)` overflows above 1e154 and loses all digits of a small
//! `x`, and the logarithm of a number close to 1 has few correct digits. Each function here uses different formulas for
//! large, medium and small arguments.

use std::f64::consts::LN_2;

/// From here on, `x² ± 1` equals `x²` to the last bit.
const LARGE: f64 = (1u64 << 28) as f64;

/// The inverse hyperbolic sine.
pub(crate) fn asinh(v: f64) -> f64 {
    let x = v.abs();
    let result = if x > LARGE {
        x.ln() + LN_2
    } else if x > 2.0 {
        (2.0 * x + 1.0 / ((x * x + 1.0).sqrt() + x)).ln()
    } else if x < 1.0 / LARGE {
        // The next term is -x³/6.
        x
    } else {
        let square = x * x;
        (x + square / (1.0 + (1.0 + square).sqrt())).ln_1p()
    };
    // NaN gets here too, because no comparison above is true for it.
    result.copysign(v)
}

/// The inverse hyperbolic cosine; NaN below 1.
pub(crate) fn acosh(v: f64) -> f64 {
    if v < 1.0 {
        f64::NAN
    } else if v > LARGE {
        v.ln() + LN_2
    } else if v > 2.0 {
        (2.0 * v - 1.0 / (v + (v * v - 1.0).sqrt())).ln()
    } else {
        // The part above 1 is exact here, and so are its digits in the result.
        let above = v - 1.0;
        (above + (2.0 * above + above * above).sqrt()).ln_1p()
    }
}

/// The inverse hyperbolic tangent; infinite at -1 and 1, NaN beyond.
pub(crate) fn atanh(v: f64) -> f64 {
    let x = v.abs();
    let result = if x < 1.0 / LARGE {
        x
    } else if x < 0.5 {
        let twice = 2.0 * x;
        0.5 * (twice + twice * x / (1.0 - x)).ln_1p()
    } else {
        0.5 * (2.0 * x / (1.0 - x)).ln_1p()
    };
    result.copysign(v)
}
