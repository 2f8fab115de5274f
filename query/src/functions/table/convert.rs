//! Between scalars and vectors, and whether a value is present.

use super::{Help, SCALAR, VECTOR, call, entry};
use crate::functions::vectors::{conversion, presence, union};
use crate::functions::{Family, Function};

pub(super) static FUNCTIONS: &[Function] = &[
    entry(
        Family::Convert,
        "absent",
        &[VECTOR],
        call(presence::absent),
        Help(
            "v instant-vector",
            "Nothing if the argument has elements; otherwise one element with the value 1 and the labels that the selector compares with `=`. Useful for alerts on missing series.",
            r#"absent(up{job="mail"})"#,
        ),
    ),
    entry(
        Family::Convert,
        "scalar",
        &[VECTOR],
        call(conversion::scalar),
        Help(
            "v instant-vector",
            "The value of a vector's only float element as a scalar; NaN if there is none or more than one.",
            "scalar(sum(node_load1))",
        ),
    )
    .scalar(),
    entry(
        Family::Convert,
        "union",
        &[VECTOR],
        call(union::union),
        Help(
            "v instant-vector…",
            "The elements of all arguments; of elements with the same labels, the one of the first argument that has them.",
            "union(queue_length, build_version)",
        ),
    )
    .last_repeated(usize::MAX)
    .keeps_name()
    .metricsql(),
    entry(
        Family::Convert,
        "vector",
        &[SCALAR],
        call(conversion::vector),
        Help(
            "s scalar",
            "The scalar as a vector of one element without labels.",
            "sum(rate(errors_total[5m])) or vector(0)",
        ),
    ),
];
