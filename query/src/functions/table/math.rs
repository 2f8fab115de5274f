//! Arithmetic on each element.

use super::{Help, SCALAR, VECTOR, call, constant, entry, float, floats};
use crate::functions::vectors::conversion;
use crate::functions::{Family, Function};
use crate::numbers::one_float;

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Math,
        "abs",
        &[VECTOR],
        float(f64::abs),
        Help("v instant-vector", "The absolute value of each element.", "abs(delta(cpu_temp_celsius[1h]))"),
    ),
    entry(
        Family::Math,
        "ceil",
        &[VECTOR],
        float(f64::ceil),
        Help("v instant-vector", "Each element rounded up to the nearest integer.", "ceil(node_load1)"),
    ),
    entry(
        Family::Math,
        "clamp",
        &[VECTOR, SCALAR, SCALAR],
        floats(one_float::clamp_all),
        Help(
            "v instant-vector, min scalar, max scalar",
            "Each element limited to the range from min to max. Nothing if max is less than min; NaN if a bound is NaN.",
            "clamp(node_load1, 0, 10)",
        ),
    ),
    entry(
        Family::Math,
        "clamp_max",
        &[VECTOR, SCALAR],
        floats(one_float::clamp_max_all),
        Help("v instant-vector, max scalar", "Each element, but at most max.", "clamp_max(node_load1, 10)"),
    ),
    entry(
        Family::Math,
        "clamp_min",
        &[VECTOR, SCALAR],
        floats(one_float::clamp_min_all),
        Help("v instant-vector, min scalar", "Each element, but at least min.", "clamp_min(node_load1, 1)"),
    ),
    entry(
        Family::Math,
        "exp",
        &[VECTOR],
        float(f64::exp),
        Help("v instant-vector", "The exponential function of each element.", "exp(node_load1)"),
    ),
    entry(
        Family::Math,
        "floor",
        &[VECTOR],
        float(f64::floor),
        Help("v instant-vector", "Each element rounded down to the nearest integer.", "floor(node_load1)"),
    ),
    entry(
        Family::Math,
        "ln",
        &[VECTOR],
        float(f64::ln),
        Help(
            "v instant-vector",
            "The natural logarithm of each element: -Inf for 0, NaN for negative values.",
            "ln(node_load1)",
        ),
    ),
    entry(
        Family::Math,
        "log10",
        &[VECTOR],
        float(f64::log10),
        Help(
            "v instant-vector",
            "The decimal logarithm of each element: -Inf for 0, NaN for negative values.",
            "log10(node_load1)",
        ),
    ),
    entry(
        Family::Math,
        "log2",
        &[VECTOR],
        float(f64::log2),
        Help(
            "v instant-vector",
            "The binary logarithm of each element: -Inf for 0, NaN for negative values.",
            "log2(node_load1)",
        ),
    ),
    entry(
        Family::Math,
        "max_of",
        &[SCALAR, SCALAR],
        call(|args| conversion::extreme(args, one_float::max)),
        Help(
            "a scalar, b scalar",
            "The larger of two scalars. Inside `[ ]` and after `offset`, it accepts durations.",
            "rate(http_requests_total[max_of(step() * 4, 1m)])",
        ),
    )
    .scalar(),
    entry(
        Family::Math,
        "min_of",
        &[SCALAR, SCALAR],
        call(|args| conversion::extreme(args, one_float::min)),
        Help(
            "a scalar, b scalar",
            "The smaller of two scalars. Inside `[ ]` and after `offset`, it accepts durations.",
            "rate(http_requests_total[min_of(range(), 1h)])",
        ),
    )
    .scalar(),
    entry(
        Family::Math,
        "pi",
        &[],
        constant(|_| std::f64::consts::PI),
        Help("", "The number π as a scalar, to the precision of a float.", "2 * pi()"),
    )
    .scalar(),
    entry(
        Family::Math,
        "round",
        &[VECTOR, SCALAR],
        floats(one_float::round_all),
        Help(
            "v instant-vector, to scalar?",
            "Each element rounded to the nearest multiple of `to`, which is 1 by default; halves are rounded up.",
            "round(node_load1, 0.5)",
        ),
    )
    .last_optional(),
    entry(
        Family::Math,
        "sgn",
        &[VECTOR],
        float(one_float::sign),
        Help(
            "v instant-vector",
            "The sign of each element: 1, -1, or the zero (or NaN) itself.",
            "sgn(delta(cpu_temp_celsius[1h]))",
        ),
    ),
    entry(
        Family::Math,
        "sqrt",
        &[VECTOR],
        float(f64::sqrt),
        Help("v instant-vector", "The square root of each element.", "sqrt(node_load1)"),
    ),
];
