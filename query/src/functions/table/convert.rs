//! Between scalars and vectors, and whether something is there.

use super::{Help, SCALAR, VECTOR, entry};
use crate::functions::{Family, Function, FunctionId as Id};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Convert,
        Id::Absent,
        "absent",
        &[VECTOR],
        Help(
            "v instant-vector",
            "Nothing while the argument has elements, else one element of value 1 that carries the labels which the selector asks to be equal. Made for alerts on series that are gone.",
            r#"absent(up{job="mail"})"#,
        ),
    ),
    entry(
        Family::Convert,
        Id::Scalar,
        "scalar",
        &[VECTOR],
        Help(
            "v instant-vector",
            "The value of a vector's only float element as a scalar; NaN if there is none or more than one.",
            "scalar(sum(node_load1))",
        ),
    )
    .scalar(),
    entry(
        Family::Convert,
        Id::Union,
        "union",
        &[VECTOR],
        Help(
            "v instant-vector…",
            "The elements of all arguments; where several have the same labels, that of the first of them.",
            "union(queue_length, build_version)",
        ),
    )
    .last_repeated(usize::MAX)
    .keeps_name()
    .metricsql(),
    entry(
        Family::Convert,
        Id::Vector,
        "vector",
        &[SCALAR],
        Help(
            "s scalar",
            "The scalar as a vector of one element without labels.",
            "sum(rate(errors_total[5m])) or vector(0)",
        ),
    ),
];
