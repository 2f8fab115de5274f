//! Evaluates a plan: every node once, for all steps at the same time.
//!
//! The value of a node has a column for each series (`series/`). Selectors (`select/`) read each series once. Range
//! vectors (`window/`) run the kernel of a function over its windows. Aggregations and binary operators (`aggregate/`,
//! `binary/`) look up labels once for each series and then process columns. `call.rs` runs the kernels of functions.
//! Step-invariant nodes are evaluated for one step and repeated. Floating-point sums are folded in the order of series
//! and steps, even if several cores share the work.
//!
//! [`Evaluator`] is here because evaluation is recursive: the modules call it for their operands, and it calls the
//! modules. A module may use another one only if its level in the tidy test allows that.
//!
//! # Invariants
//! E1. The vector of a node has as many slots as the steps it was evaluated for.
//! E2. After a node is done, the budget holds what its value holds, plus what was held before.
//!
//! # Not here
//! Parsing and checking (`syntax`), resolving times (`plan`), what functions compute
//! (`functions`, `histogram`).

use std::time::Duration;

use barograph_engine::model::timestamp::Timestamp;
use barograph_engine::model::{Labels, Matcher};

use crate::accuracy::{Accuracy, Noted};
use crate::annotations::Annotations;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::explain::Explained;
use crate::functions::ValueType;
use crate::plan::reach::Reach;
use crate::plan::tier::{Looks, Tiers};
use crate::plan::{Kind, Node};
use crate::request::{Request, TierChoice};
use crate::series::{Points, Series, Value, Vector};
use crate::source::{SeriesSource, TierInfo};
use crate::steps::{QueryTimes, Steps};
use crate::usage::Footprint;
use crate::value::{QueryStats, QueryValue};

mod accuracy;
mod aggregate;
mod binary;
mod call;
mod explain;
mod finish;
mod select;
mod trace;
mod window;

use trace::{Mark, Trace};

/// State shared by all workers of a query.
struct Context<'q> {
    source: &'q dyn SeriesSource,
    budget: Budget,
    lookback_ms: i64,
    tiers: Tiers,
    /// How far the values that come from buckets may be from those of the samples.
    accuracy: Noted,
}

impl<'q> Context<'q> {
    fn new(source: &'q dyn SeriesSource, request: &Request, plan: &Node) -> Result<Self, QueryError> {
        let Reach { selectors, from } =
            Reach::of(plan, request.query_times().start_ms, request.lookback_ms());
        let (all, samples_from) = (source.tiers(&selectors, from)?, source.samples_from(&selectors, from)?);
        let mut tiers = Tiers { all, forced: false, samples_from };
        match request.tier {
            TierChoice::Exact => {}
            TierChoice::Raw => tiers.all.clear(),
            TierChoice::Width(width) => {
                tiers.forced = true;
                let has_width = |tier: &TierInfo| u128::try_from(tier.width) == Ok(width.as_nanos());
                if !tiers.all.iter().any(has_width) {
                    return Err(no_tier(width, &tiers.all));
                }
                tiers.all.retain(has_width);
            }
        }
        let (budget, lookback_ms) = (Budget::new(request), request.lookback_ms());
        Ok(Context { source, budget, lookback_ms, tiers, accuracy: Noted::default() })
    }

    /// The width of the buckets that answer a selection; `None` if samples do.
    fn width(&self, looks: &Looks, matchers: &[Matcher]) -> Option<i64> {
        let width = self.tiers.choose(looks)?;
        // What could not be read is reported when it is read for the answer.
        let omits = || self.source.omits_buckets(matchers, width).unwrap_or(false);
        (self.tiers.must_estimate(looks.start()) || !omits()).then_some(width)
    }
}

/// There is no tier of the requested width.
fn no_tier(width: Duration, tiers: &[TierInfo]) -> QueryError {
    let widths: Vec<String> = tiers.iter().map(|tier| (tier.width as f64 / 1e9).to_string()).collect();
    let advice = match widths.is_empty() {
        true => "there are none, so let the query read samples".to_owned(),
        false => format!("choose {}", widths.join(" or ")),
    };
    QueryError::Execution(format!("there is no tier of {} seconds: {advice}", width.as_secs_f64()))
}

/// A running query.
struct Evaluator<'q> {
    ctx: &'q Context<'q>,
    annotations: Annotations,
    /// Whether this is a range query, in which `sort` and similar functions have no effect.
    is_range: bool,
    /// The cost of each node, if it is recorded.
    trace: Option<Trace>,
}

/// The result of a plan.
pub(crate) struct Outcome {
    /// The value, sorted, with names dropped.
    pub value: QueryValue,
    /// Warnings with positions.
    pub warnings: Vec<String>,
    /// Infos with positions.
    pub infos: Vec<String>,
    /// The cost.
    pub stats: QueryStats,
    /// Samples read for each step, if the request asked for them.
    pub samples_per_step: Vec<(Timestamp, u64)>,
    /// The estimated and the actual cost of each node, if the request asked for them.
    pub explain: Option<Explained>,
    /// How far it may be from the answer of the samples, if it comes from buckets.
    pub accuracy: Option<Accuracy>,
}

/// Runs `plan` for the times of `request`.
///
/// # Errors
/// Any of [`QueryError`] except parse errors.
pub(crate) fn run(source: &dyn SeriesSource, request: &Request, plan: &Node) -> Result<Outcome, QueryError> {
    let QueryTimes { start_ms, end_ms, step_ms } = request.query_times();
    let is_range = step_ms > 0;
    let ctx = Context::new(source, request, plan)?;
    let mut explain = if request.explain { Some(explain::estimate(&ctx, request, plan)?) } else { None };
    let trace = request.explain.then(Trace::default);
    let mut ev = Evaluator { ctx: &ctx, annotations: Annotations::default(), is_range, trace };
    let value = if is_range {
        finish::range(&mut ev, plan, Steps::until(start_ms, end_ms, step_ms))?
    } else {
        finish::instant(&mut ev, plan, start_ms)?
    };
    if let (Some(explained), Some(trace)) = (&mut explain, &ev.trace) {
        trace.fill_in(plan, explained);
    }
    let accuracy = accuracy::of_answer(&mut ev, request, plan, &value)?;
    let (mut warnings, infos) = ev.annotations.texts(&request.query);
    warnings.extend(source.left_out());
    let samples_per_step = ev.ctx.budget.samples_per_step();
    ev.ctx.budget.leave_answer();
    Ok(Outcome { value, warnings, infos, stats: ev.ctx.budget.stats(), samples_per_step, explain, accuracy })
}

/// Estimates the cost of `plan`; nothing is evaluated.
///
/// # Errors
/// [`QueryError::Source`].
pub(crate) fn expect(
    source: &dyn SeriesSource,
    request: &Request,
    plan: &Node,
) -> Result<Explained, QueryError> {
    let ctx = Context::new(source, request, plan)?;
    explain::estimate(&ctx, request, plan)
}

impl Evaluator<'_> {
    /// Evaluates `node` at all steps.
    fn eval(&mut self, node: &Node, steps: Steps) -> Result<Value, QueryError> {
        self.ctx.budget.check()?;
        self.ctx.budget.admit(steps.count)?;
        let before = self.ctx.budget.held();
        let mark = self.mark();
        let value = if node.invariant && steps.count > 1 {
            let once = self.compute(node, Steps::single(steps.start_ms))?;
            let slots = once.held().samples.saturating_mul(steps.count as u64);
            self.ctx.budget.hold(Footprint { samples: slots, bytes: slots.saturating_mul(8) })?;
            repeat(&self.ctx.budget, once, steps.count)?
        } else {
            self.compute(node, steps)?
        };
        let held = value.held();
        self.ctx.budget.settle(before, held)?;
        if let Some(mark) = mark {
            self.record(node, mark, trace::series_of(&value), held.bytes);
        }
        Ok(value)
    }

    /// The state of the counters, if the cost of nodes is recorded.
    fn mark(&self) -> Option<Mark> {
        self.trace.as_ref().map(|_| Mark::now(self.ctx))
    }

    /// Records the cost of `node` since `mark`.
    fn record(&mut self, node: &Node, mark: Mark, series: u64, bytes: u64) {
        if let Some(trace) = &mut self.trace {
            trace.add(node, mark.until_now(self.ctx, series, bytes));
        }
    }

    fn compute(&mut self, node: &Node, steps: Steps) -> Result<Value, QueryError> {
        Ok(match &node.kind {
            Kind::Number(n) => Value::Scalar(vec![*n; steps.count]),
            Kind::Text(text) => Value::Text(text.clone()),
            Kind::Instant(selection) => Value::Vector(select::evaluate(self, selection, node.span, steps)?),
            Kind::Call(call) => call::evaluate(self, call, node, steps)?,
            Kind::Aggregate(aggregate) => Value::Vector(aggregate::evaluate(self, aggregate, steps)?),
            Kind::Binary(b) => binary::evaluate(self, b, node.span, steps)?,
            Kind::Negate(inner) => {
                let value = self.eval(inner, steps)?;
                negate(&self.ctx.budget, value)?
            }
            Kind::Range(_) | Kind::Subquery(_) => unreachable!("a range vector is read by its function"),
        })
    }

    /// Evaluates a node that the checker knows to be an instant vector.
    fn vector(&mut self, node: &Node, steps: Steps) -> Result<Vector, QueryError> {
        Ok(match self.eval(node, steps)? {
            Value::Vector(v) => v,
            // The inner expression of a subquery may be a scalar.
            Value::Scalar(values) => {
                let points = Points { floats: values, histograms: None };
                vec![Series { labels: Labels::empty(), drop_name: false, points }]
            }
            Value::Text(_) => Vec::new(),
        })
    }

    /// Evaluates a node that the checker knows to be a scalar.
    fn scalar(&mut self, node: &Node, steps: Steps) -> Result<Vec<f64>, QueryError> {
        match self.eval(node, steps)? {
            Value::Scalar(values) => Ok(values),
            Value::Vector(_) | Value::Text(_) => unreachable!("checked: {:?} is a scalar", node.value_type()),
        }
    }
}

/// The value of a string argument.
fn text(node: &Node) -> String {
    debug_assert_eq!(node.value_type(), ValueType::String);
    match &node.kind {
        Kind::Text(text) => text.clone(),
        _ => String::new(),
    }
}

fn repeat(budget: &Budget, value: Value, count: usize) -> Result<Value, QueryError> {
    Ok(match value {
        Value::Scalar(values) => Value::Scalar(vec![values[0]; count]),
        Value::Vector(mut vector) => {
            let mut pace = budget.pace();
            for series in &mut vector {
                pace.work(count)?;
                let once = std::mem::replace(&mut series.points, Points::absent(0));
                series.points = once.repeat(count);
            }
            Value::Vector(vector)
        }
        text => text,
    })
}

/// Unary minus drops the name.
fn negate(budget: &Budget, value: Value) -> Result<Value, QueryError> {
    Ok(match value {
        Value::Scalar(mut values) => {
            values.iter_mut().for_each(|v| *v = -*v);
            Value::Scalar(values)
        }
        Value::Vector(mut vector) => {
            let mut pace = budget.pace();
            for series in &mut vector {
                pace.points(&series.points)?;
                series.drop_name = true;
                series.points.map_floats(|v| -v);
                series.points.map_histograms(|h| crate::histogram::arithmetic::scaled(h, -1.0));
            }
            Value::Vector(vector)
        }
        text => text,
    })
}

#[cfg(test)]
mod tests;
