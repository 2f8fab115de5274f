//! The estimated cost of a plan: its nodes with the number of evaluations, and for each selector the counts from the
//! index and the catalogue.
//!
//! The number of series of an inner node is derived from its children: a function keeps it, an aggregation without
//! labels has one series and otherwise at most as many as its input, and matching keeps the number of the "many" side.
//! Steps without a value are not known in advance, so bytes are an upper bound.

use std::time::Duration;

use barograph_engine::model::TimeRange;

use super::window::{over_rollups, subquery};
use super::{Context, aggregate, trace};
use crate::budget::parallel;
use crate::error::QueryError;
use crate::explain::{Cost, Explained};
use crate::functions::window::slide::Windows;
use crate::functions::{Function, ValueType};
use crate::plan::{Kind, Node, Selection};
use crate::request::Request;
use crate::source::Estimate;
use crate::steps::{Steps, ms_to_ns};
use crate::syntax::ast::{AggregateOp, BinaryOp, Cardinality, Edges, Grouping};

/// Bytes of a series besides its values: labels, counts, and the overhead of its column.
const SERIES_BYTES: u64 = 200;
/// Nanoseconds for finding a chunk and verifying its checksum.
const CHUNK_NS: u64 = 2_000;
/// Nanoseconds for decoding a sample and passing a window over it.
const SAMPLE_NS: u64 = 8;
/// Nanoseconds for one value of an inner node.
const VALUE_NS: u64 = 4;

/// Explains `plan` as `request` will run it.
pub(crate) fn estimate(ctx: &Context<'_>, request: &Request, plan: &Node) -> Result<Explained, QueryError> {
    Estimator { ctx, query: &request.query }.node(plan, None, Steps::of(request.query_times()))
}

struct Estimator<'a> {
    ctx: &'a Context<'a>,
    query: &'a str,
}

impl Estimator<'_> {
    /// `caller` is the function whose argument the node is.
    fn node(
        &self,
        node: &Node,
        caller: Option<&'static Function>,
        steps: Steps,
    ) -> Result<Explained, QueryError> {
        self.ctx.budget.check()?;
        let asked = steps;
        let steps = if node.invariant && steps.count > 1 { Steps::single(steps.start_ms) } else { steps };
        let inner = match &node.kind {
            Kind::Subquery(s) => {
                let windows = Windows { steps, shift: s.shift, range_ms: s.range_ms };
                if steps.count == 0 { steps } else { subquery::inner_steps(s, &windows) }
            }
            _ => steps,
        };
        let function = if let Kind::Call(call) = &node.kind { Some(call.function) } else { None };
        let children = trace::children(node).into_iter();
        let children =
            children.map(|child| self.node(child, function, inner)).collect::<Result<Vec<_>, _>>()?;
        let tier = over_rollups::width_of(self.ctx, &node.kind, caller, steps);
        let mut estimated = Cost::default();
        for child in &children {
            estimated.chunks += child.estimated.chunks;
            estimated.samples += child.estimated.samples;
            estimated.time += child.estimated.time;
        }
        let is_selector = matches!(node.kind, Kind::Instant(_) | Kind::Range(_));
        if let Kind::Instant(selection) | Kind::Range(selection) = &node.kind {
            let found = self.selection(selection, steps)?;
            estimated =
                Cost { series: found.series, chunks: found.chunks, samples: found.samples, ..estimated };
            estimated.time = Duration::from_nanos(found.chunks * CHUNK_NS + found.samples * SAMPLE_NS);
        } else {
            estimated.series = series(node, &children);
        }
        if node.value_type() != ValueType::RangeVector {
            let columns = if node.value_type() == ValueType::Scalar { 1 } else { estimated.series };
            let values = columns.saturating_mul(asked.count as u64);
            estimated.bytes = values.saturating_mul(8).saturating_add(estimated.series * SERIES_BYTES);
            estimated.time =
                estimated.time.saturating_add(Duration::from_nanos(values.saturating_mul(VALUE_NS)));
        }
        let parallel = match &node.kind {
            _ if is_selector => parallel::splits(self.ctx.budget.crew(), estimated.series),
            Kind::Call(_) => children.iter().any(|c| c.operation == "range selector" && c.parallel),
            Kind::Aggregate(_) => {
                let most = children.iter().map(|c| c.estimated.series).max().unwrap_or(0);
                aggregate::splits(self.ctx.budget.crew(), most.saturating_mul(steps.count as u64))
            }
            _ => false,
        };
        Ok(Explained {
            operation: operation(node),
            text: self.query.get(node.span.start as usize..node.span.end as usize).unwrap_or("").to_owned(),
            start: node.span.start,
            end: node.span.end,
            steps: asked.count as u64,
            step_invariant: node.invariant,
            parallel,
            tier: tier.map(|width| Duration::from_nanos(width.unsigned_abs())),
            estimated,
            actual: None,
            children,
        })
    }

    fn selection(&self, selection: &Selection, steps: Steps) -> Result<Estimate, QueryError> {
        if steps.count == 0 {
            return Ok(Estimate::default());
        }
        let lookback = ms_to_ns(self.ctx.lookback_ms);
        let windows = Windows { steps, shift: selection.shift, range_ms: selection.range_ms };
        let (mut from, mut to) = windows.covering_range();
        if selection.range_ms == 0 || selection.edges != Edges::Plain {
            from = from.saturating_sub(lookback);
        }
        if selection.edges == Edges::Smoothed {
            to = to.saturating_add(lookback);
        }
        let found = self.ctx.source.estimate(&selection.matchers, TimeRange::new(from, to))?;
        Ok(found.unwrap_or_default())
    }
}

/// Maximum number of series in the value of an inner node.
fn series(node: &Node, children: &[Explained]) -> u64 {
    let of = |i: usize| children.get(i).map_or(0, |c| c.estimated.series);
    let most = children.iter().map(|c| c.estimated.series).max().unwrap_or(0);
    match &node.kind {
        _ if node.value_type() == ValueType::Scalar => 0,
        Kind::Aggregate(a) => match (a.op, &a.grouping) {
            (AggregateOp::CountValues | AggregateOp::Topk | AggregateOp::Bottomk, _) => most,
            (AggregateOp::Limitk | AggregateOp::LimitRatio, _) => most,
            (AggregateOp::TopkBy(_) | AggregateOp::BottomkBy(_), _) => most,
            (AggregateOp::Quantiles, Grouping::None) => most.min(1) * a.more.len() as u64,
            (AggregateOp::Quantiles, _) => most.saturating_mul(a.more.len() as u64),
            (_, Grouping::None) => most.min(1),
            _ => most,
        },
        Kind::Binary(b) => match (b.op, b.matching.as_ref().map(|m| &m.cardinality)) {
            (BinaryOp::Or, _) => of(0) + of(1),
            (BinaryOp::Default, _) => of(0).max(of(1)),
            (BinaryOp::And | BinaryOp::Unless | BinaryOp::If | BinaryOp::IfNot, _)
            | (_, Some(Cardinality::GroupLeft(_))) => of(0),
            (_, Some(Cardinality::GroupRight(_))) => of(1),
            (_, Some(_)) => of(0).min(of(1)),
            (_, None) => most,
        },
        Kind::Call(call) if call.args.is_empty() => 1,
        _ => most,
    }
}

fn operation(node: &Node) -> String {
    match &node.kind {
        Kind::Number(_) => "number".to_owned(),
        Kind::Text(_) => "string".to_owned(),
        Kind::Instant(_) => "instant selector".to_owned(),
        Kind::Range(_) => "range selector".to_owned(),
        Kind::Subquery(_) => "subquery".to_owned(),
        Kind::Call(call) => call.function.name.to_owned(),
        Kind::Aggregate(a) => crate::functions::aggregates::of(a.op).name.to_owned(),
        Kind::Binary(b) => b.op.as_str().to_owned(),
        Kind::Negate(_) => "unary minus".to_owned(),
    }
}
