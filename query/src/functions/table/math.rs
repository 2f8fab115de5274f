//! Arithmetic on each element.

use super::{Help, SCALAR, VECTOR, entry};
use crate::functions::{Family, Function, FunctionId as Id};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Math,
        Id::Abs,
        "abs",
        &[VECTOR],
        Help("v instant-vector", "The absolute value of each element.", "abs(delta(cpu_temp_celsius[1h]))"),
    ),
    entry(
        Family::Math,
        Id::Ceil,
        "ceil",
        &[VECTOR],
        Help("v instant-vector", "Each element rounded up to the nearest integer.", "ceil(node_load1)"),
    ),
    entry(
        Family::Math,
        Id::Clamp,
        "clamp",
        &[VECTOR, SCALAR, SCALAR],
        Help(
            "v instant-vector, min scalar, max scalar",
            "Each element held between min and max. Nothing if max is less than min, NaN if a bound is NaN.",
            "clamp(node_load1, 0, 10)",
        ),
    ),
    entry(
        Family::Math,
        Id::ClampMax,
        "clamp_max",
        &[VECTOR, SCALAR],
        Help("v instant-vector, max scalar", "Each element, but at most max.", "clamp_max(node_load1, 10)"),
    ),
    entry(
        Family::Math,
        Id::ClampMin,
        "clamp_min",
        &[VECTOR, SCALAR],
        Help("v instant-vector, min scalar", "Each element, but at least min.", "clamp_min(node_load1, 1)"),
    ),
    entry(
        Family::Math,
        Id::Exp,
        "exp",
        &[VECTOR],
        Help("v instant-vector", "The exponential function of each element.", "exp(node_load1)"),
    ),
    entry(
        Family::Math,
        Id::Floor,
        "floor",
        &[VECTOR],
        Help("v instant-vector", "Each element rounded down to the nearest integer.", "floor(node_load1)"),
    ),
    entry(
        Family::Math,
        Id::Ln,
        "ln",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The natural logarithm of each element: -Inf for 0, NaN below.",
            "ln(node_load1)",
        ),
    ),
    entry(
        Family::Math,
        Id::Log10,
        "log10",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The decimal logarithm of each element: -Inf for 0, NaN below.",
            "log10(node_load1)",
        ),
    ),
    entry(
        Family::Math,
        Id::Log2,
        "log2",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The binary logarithm of each element: -Inf for 0, NaN below.",
            "log2(node_load1)",
        ),
    ),
    entry(
        Family::Math,
        Id::MaxOf,
        "max_of",
        &[SCALAR, SCALAR],
        Help(
            "a scalar, b scalar",
            "The larger of two scalars. Inside `[ ]` and after `offset` it takes durations.",
            "rate(http_requests_total[max_of(step() * 4, 1m)])",
        ),
    )
    .scalar(),
    entry(
        Family::Math,
        Id::MinOf,
        "min_of",
        &[SCALAR, SCALAR],
        Help(
            "a scalar, b scalar",
            "The smaller of two scalars. Inside `[ ]` and after `offset` it takes durations.",
            "rate(http_requests_total[min_of(range(), 1h)])",
        ),
    )
    .scalar(),
    entry(
        Family::Math,
        Id::Pi,
        "pi",
        &[],
        Help("", "The number π as a scalar, to the precision of a float.", "2 * pi()"),
    )
    .scalar(),
    entry(
        Family::Math,
        Id::Round,
        "round",
        &[VECTOR, SCALAR],
        Help(
            "v instant-vector, to scalar?",
            "Each element rounded to the nearest multiple of `to`, which is 1 if left out; halves go up.",
            "round(node_load1, 0.5)",
        ),
    )
    .last_optional(),
    entry(
        Family::Math,
        Id::Sgn,
        "sgn",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The sign of each element: 1, -1, or the zero (or NaN) itself.",
            "sgn(delta(cpu_temp_celsius[1h]))",
        ),
    ),
    entry(
        Family::Math,
        Id::Sqrt,
        "sqrt",
        &[VECTOR],
        Help("v instant-vector", "The square root of each element.", "sqrt(node_load1)"),
    ),
];
