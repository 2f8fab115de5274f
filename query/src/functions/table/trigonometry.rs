//! Trigonometry; angles are in radians.

use super::{Help, VECTOR, entry, float};
use crate::functions::{Family, Function};
use crate::numbers::{hyperbolic, one_float};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Trigonometry,
        "acos",
        &[VECTOR],
        float(f64::acos),
        Help(
            "v instant-vector",
            "The inverse cosine of each element, in radians; NaN outside -1 to 1.",
            "acos(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        "acosh",
        &[VECTOR],
        float(hyperbolic::acosh),
        Help(
            "v instant-vector",
            "The inverse hyperbolic cosine of each element; NaN below 1.",
            "acosh(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        "asin",
        &[VECTOR],
        float(f64::asin),
        Help(
            "v instant-vector",
            "The inverse sine of each element, in radians; NaN outside -1 to 1.",
            "asin(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        "asinh",
        &[VECTOR],
        float(hyperbolic::asinh),
        Help(
            "v instant-vector",
            "The inverse hyperbolic sine of each element.",
            "asinh(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        "atan",
        &[VECTOR],
        float(f64::atan),
        Help(
            "v instant-vector",
            "The inverse tangent of each element, in radians.",
            "atan(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        "atanh",
        &[VECTOR],
        float(hyperbolic::atanh),
        Help(
            "v instant-vector",
            "The inverse hyperbolic tangent of each element; NaN outside -1 to 1.",
            "atanh(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        "cos",
        &[VECTOR],
        float(f64::cos),
        Help(
            "v instant-vector",
            "The cosine of each element, which is in radians.",
            "cos(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        "cosh",
        &[VECTOR],
        float(f64::cosh),
        Help("v instant-vector", "The hyperbolic cosine of each element.", "cosh(rotor_angle_radians)"),
    ),
    entry(
        Family::Trigonometry,
        "deg",
        &[VECTOR],
        float(one_float::degrees),
        Help(
            "v instant-vector",
            "Each element converted from radians to degrees.",
            "deg(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        "rad",
        &[VECTOR],
        float(one_float::radians),
        Help(
            "v instant-vector",
            "Each element converted from degrees to radians.",
            "rad(wind_direction_degrees)",
        ),
    ),
    entry(
        Family::Trigonometry,
        "sin",
        &[VECTOR],
        float(f64::sin),
        Help(
            "v instant-vector",
            "The sine of each element, which is in radians.",
            "sin(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        "sinh",
        &[VECTOR],
        float(f64::sinh),
        Help("v instant-vector", "The hyperbolic sine of each element.", "sinh(rotor_angle_radians)"),
    ),
    entry(
        Family::Trigonometry,
        "tan",
        &[VECTOR],
        float(f64::tan),
        Help(
            "v instant-vector",
            "The tangent of each element, which is in radians.",
            "tan(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        "tanh",
        &[VECTOR],
        float(f64::tanh),
        Help("v instant-vector", "The hyperbolic tangent of each element.", "tanh(rotor_angle_radians)"),
    ),
];
