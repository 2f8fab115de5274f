//! Trigonometry; angles are in radians.

use super::{Help, VECTOR, entry};
use crate::functions::{Family, Function, FunctionId as Id};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Trigonometry,
        Id::Acos,
        "acos",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The inverse cosine of each element, in radians; NaN outside -1 to 1.",
            "acos(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        Id::Acosh,
        "acosh",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The inverse hyperbolic cosine of each element; NaN below 1.",
            "acosh(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        Id::Asin,
        "asin",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The inverse sine of each element, in radians; NaN outside -1 to 1.",
            "asin(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        Id::Asinh,
        "asinh",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The inverse hyperbolic sine of each element.",
            "asinh(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        Id::Atan,
        "atan",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The inverse tangent of each element, in radians.",
            "atan(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        Id::Atanh,
        "atanh",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The inverse hyperbolic tangent of each element; NaN outside -1 to 1.",
            "atanh(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        Id::Cos,
        "cos",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The cosine of each element, which is in radians.",
            "cos(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        Id::Cosh,
        "cosh",
        &[VECTOR],
        Help("v instant-vector", "The hyperbolic cosine of each element.", "cosh(rotor_angle_radians)"),
    ),
    entry(
        Family::Trigonometry,
        Id::Deg,
        "deg",
        &[VECTOR],
        Help(
            "v instant-vector",
            "Each element converted from radians to degrees.",
            "deg(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        Id::Rad,
        "rad",
        &[VECTOR],
        Help(
            "v instant-vector",
            "Each element converted from degrees to radians.",
            "rad(wind_direction_degrees)",
        ),
    ),
    entry(
        Family::Trigonometry,
        Id::Sin,
        "sin",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The sine of each element, which is in radians.",
            "sin(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        Id::Sinh,
        "sinh",
        &[VECTOR],
        Help("v instant-vector", "The hyperbolic sine of each element.", "sinh(rotor_angle_radians)"),
    ),
    entry(
        Family::Trigonometry,
        Id::Tan,
        "tan",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The tangent of each element, which is in radians.",
            "tan(rotor_angle_radians)",
        ),
    ),
    entry(
        Family::Trigonometry,
        Id::Tanh,
        "tanh",
        &[VECTOR],
        Help("v instant-vector", "The hyperbolic tangent of each element.", "tanh(rotor_angle_radians)"),
    ),
];
