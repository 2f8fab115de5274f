//! The explanation of a query as JSON: a tree of its parts, each with its estimated and actual cost. And the accuracy of
//! an answer from buckets.

use barograph::{Accuracy, Cost, Explained};
use serde_json::{Value, json};

/// The tree.
pub fn tree(node: &Explained) -> Value {
    json!({
        "operation": node.operation,
        "text": node.text,
        "span": [node.start, node.end],
        "steps": node.steps,
        "stepInvariant": node.step_invariant,
        "parallel": node.parallel,
        "tierSeconds": node.tier.map(|width| width.as_secs_f64()),
        "estimated": cost(&node.estimated),
        "actual": node.actual.as_ref().map(cost),
        "children": node.children.iter().map(tree).collect::<Vec<_>>(),
    })
}

/// How far an answer from buckets may be from that of the samples.
pub fn accuracy(accuracy: &Accuracy) -> Value {
    json!({
        "tierSeconds": accuracy.tier.as_secs_f64(),
        "exact": accuracy.exact,
        "absolute": accuracy.absolute,
        "relative": accuracy.relative,
        "mayBeAbsent": accuracy.may_be_absent,
    })
}

fn cost(cost: &Cost) -> Value {
    json!({
        "series": cost.series,
        "chunks": cost.chunks,
        "samples": cost.samples,
        "buckets": cost.buckets,
        "bytes": cost.bytes,
        "seconds": cost.time.as_secs_f64(),
    })
}
