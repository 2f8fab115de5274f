//! The actual cost of each node of a plan, for `explain`. Nothing is measured without it.

use std::collections::HashMap;
use std::time::Instant;

use super::Context;
use crate::explain::{Cost, Explained};
use crate::plan::{Kind, Node};
use crate::series::Value;

/// Costs by node. A plan does not move while it is evaluated, so a node is identified by its address.
#[derive(Debug, Default)]
pub(super) struct Trace {
    costs: HashMap<usize, Cost>,
}

/// The counters at the beginning of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    started: Instant,
    chunks: u64,
    samples: u64,
    buckets: u64,
}

impl Mark {
    /// The counters now.
    pub fn now(ctx: &Context<'_>) -> Mark {
        Mark {
            started: Instant::now(),
            chunks: ctx.source.chunks_read(),
            samples: ctx.budget.usage().samples_decoded(),
            buckets: ctx.budget.usage().buckets_decoded(),
        }
    }

    /// The cost since the mark.
    pub fn until_now(self, ctx: &Context<'_>, series: u64, bytes: u64) -> Cost {
        Cost {
            series,
            chunks: ctx.source.chunks_read().saturating_sub(self.chunks),
            samples: ctx.budget.usage().samples_decoded().saturating_sub(self.samples),
            buckets: ctx.budget.usage().buckets_decoded().saturating_sub(self.buckets),
            bytes,
            time: self.started.elapsed(),
        }
    }
}

impl Trace {
    /// Adds a cost to that of `node`.
    pub fn add(&mut self, node: &Node, cost: Cost) {
        self.costs.insert(place(node), cost);
    }

    /// Adds the actual costs to the estimates. `explained` was built from `node`.
    pub fn fill_in(&self, node: &Node, explained: &mut Explained) {
        explained.actual = self.costs.get(&place(node)).copied();
        for (child, explained) in children(node).into_iter().zip(&mut explained.children) {
            self.fill_in(child, explained);
        }
    }
}

fn place(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}

/// The operands of `node`, in the order in which they are written.
pub(super) fn children(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::Number(_) | Kind::Text(_) | Kind::Instant(_) | Kind::Range(_) => Vec::new(),
        Kind::Subquery(s) => vec![&s.expr],
        Kind::Call(call) => call.args.iter().collect(),
        Kind::Aggregate(a) => a.param.as_deref().into_iter().chain(&a.more).chain([&*a.expr]).collect(),
        Kind::Binary(b) => vec![&b.lhs, &b.rhs],
        Kind::Negate(inner) => vec![inner],
    }
}

/// The number of series in a value.
pub(super) fn series_of(value: &Value) -> u64 {
    match value {
        Value::Vector(vector) => vector.len() as u64,
        Value::Scalar(_) | Value::Text(_) => 0,
    }
}
