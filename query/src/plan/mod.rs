//! From the syntax tree to a plan, in which times are resolved and nothing is left to look up.
//!
//! The tree keeps what was written; the plan keeps what to do. Durations and offsets are milliseconds, `@ start()` is a
//! time, parentheses and unary plus are gone, and every node knows whether it is *step-invariant*, that is, pinned by
//! `@` so that it has one value for the whole query and is evaluated once.
//!
//! # Not here
//! The parser checks types and arity. Next: `exec/mod.rs`.

use std::cell::Cell;

use barograph_engine::model::Matcher;

use crate::error::QueryError;
use crate::functions::eval::{Eval, Kernel};
use crate::functions::named::NamedValues;
use crate::functions::{Function, NameRule, ValueType};
use crate::span::Span;
use crate::steps::{QueryTimes, Shift};
use crate::syntax;
use crate::syntax::ast::{
    self, AggregateOp, AtModifier, BinaryOp, Edges, Expr, ExprKind, Grouping, TimeModifiers, UnaryOp,
    VectorMatching,
};

mod duration;
pub(crate) mod reach;
pub(crate) mod tier;

/// The step of a subquery without an explicit step.
const DEFAULT_SUBQUERY_STEP_MS: i64 = 60_000;

/// The default window of a selector in an instant query, which has no step.
const INSTANT_WINDOW_MS: i64 = 300_000;

/// A node of the plan.
#[derive(Debug)]
pub(crate) struct Node {
    /// The operation.
    pub kind: Kind,
    /// Its position in the query.
    pub span: Span,
    /// Whether it has one value for all steps.
    pub invariant: bool,
}

/// The operation of a node.
#[derive(Debug)]
pub(crate) enum Kind {
    /// The same number at every step.
    Number(f64),
    /// A string.
    Text(String),
    /// The newest sample of each series.
    Instant(Selection),
    /// All samples of a window.
    Range(Selection),
    /// All values of an inner expression in a window.
    Subquery(Subquery),
    /// A function call.
    Call(Call),
    /// An aggregation.
    Aggregate(Aggregate),
    /// A binary operation.
    Binary(Binary),
    /// The value with its sign changed.
    Negate(Box<Node>),
}

/// Which series to read, and at which times.
#[derive(Debug)]
pub(crate) struct Selection {
    /// The matchers, all of which must match.
    pub matchers: Vec<Matcher>,
    /// The time shift.
    pub shift: Shift,
    /// The length of the window; 0 for an instant selector.
    pub range_ms: i64,
    /// Whether the query omits a required window: `range_ms` is then the step, and the sample intervals may make it
    /// longer.
    pub default_window: bool,
    /// `anchored`, `smoothed`.
    pub edges: Edges,
    /// Whether the query uses only counts and sums of histograms. Samples whose writer gave no reset hint then get one
    /// by comparison with the previous sample.
    pub infer_hints: bool,
}

/// `expr[range:step]`.
#[derive(Debug)]
pub(crate) struct Subquery {
    /// The expression that is evaluated at every inner step.
    pub expr: Box<Node>,
    /// The length of the window.
    pub range_ms: i64,
    /// The distance of inner steps, at least 1.
    pub step_ms: i64,
    /// The time shift.
    pub shift: Shift,
}

/// `function(args)`.
#[derive(Debug)]
pub(crate) struct Call {
    /// The entry in the function table.
    pub function: &'static Function,
    /// How it is evaluated.
    pub kernel: Kernel,
    /// The arguments.
    pub args: Vec<Node>,
    /// Those that were given by name.
    pub named: NamedValues,
    /// What happens to metric names: the rule of the function, unless `keep_metric_names` is given.
    pub name_rule: NameRule,
}

/// `op by (labels) (param, expr)`.
#[derive(Debug)]
pub(crate) struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// Its parameter.
    pub param: Option<Box<Node>>,
    /// Parameters after the first.
    pub more: Vec<Node>,
    /// The expression that is aggregated.
    pub expr: Box<Node>,
    /// The groups.
    pub grouping: Grouping,
}

/// `lhs op rhs`.
#[derive(Debug)]
pub(crate) struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left operand.
    pub lhs: Box<Node>,
    /// Right operand.
    pub rhs: Box<Node>,
    /// Whether a comparison returns 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// Present if and only if both operands are vectors.
    pub matching: Option<VectorMatching>,
    /// `keep_metric_names`: keeps the names that the operator would drop.
    pub keep_names: bool,
}

impl Node {
    /// The time shift of the first selector in the expression.
    pub fn first_shift(&self) -> Option<Shift> {
        match &self.kind {
            Kind::Instant(s) | Kind::Range(s) => Some(s.shift),
            Kind::Subquery(s) => s.expr.first_shift().map(|inner| inner.inside(s.shift)),
            Kind::Call(call) => call.args.iter().find_map(Node::first_shift),
            Kind::Aggregate(a) => a.expr.first_shift(),
            Kind::Binary(b) => b.lhs.first_shift().or_else(|| b.rhs.first_shift()),
            Kind::Negate(inner) => inner.first_shift(),
            Kind::Number(_) | Kind::Text(_) => None,
        }
    }

    /// The type of the node's value.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            Kind::Number(_) => ValueType::Scalar,
            Kind::Text(_) => ValueType::String,
            Kind::Instant(_) | Kind::Aggregate(_) => ValueType::InstantVector,
            Kind::Range(_) | Kind::Subquery(_) => ValueType::RangeVector,
            Kind::Call(call) => call.function.returns,
            Kind::Binary(b) => match (b.lhs.value_type(), b.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::InstantVector,
            },
            Kind::Negate(inner) => inner.value_type(),
        }
    }
}

/// Plans `expr` for `times`.
///
/// # Errors
/// [`QueryError::Parse`] for a range or step that is not positive, or a duration out of bounds;
/// [`QueryError::Execution`] for a modifier that is not allowed there.
pub(crate) fn plan(expr: &Expr, times: QueryTimes, query: &str) -> Result<Node, QueryError> {
    let step_ms = if times.step_ms > 0 { times.step_ms } else { INSTANT_WINDOW_MS };
    Planner { times, query, infer_hints: Cell::new(false), step_ms: Cell::new(step_ms) }.node(expr)
}

struct Planner<'q> {
    times: QueryTimes,
    query: &'q str,
    /// Whether the nearest histogram function around the node uses only counts and sums.
    infer_hints: Cell<bool>,
    /// The distance between evaluations of the node: the step of the query or of a subquery.
    step_ms: Cell<i64>,
}

impl Planner<'_> {
    fn node(&self, expr: &Expr) -> Result<Node, QueryError> {
        let span = expr.span;
        let (kind, invariant) = match &expr.kind {
            ExprKind::Number(n) => (Kind::Number(n.value), true),
            ExprKind::String(text) => (Kind::Text(text.clone()), true),
            ExprKind::Paren(inner) => return self.node(inner),
            ExprKind::Unary(u) if u.op == UnaryOp::Plus => return self.node(&u.expr),
            ExprKind::Unary(u) => {
                let inner = self.node(&u.expr)?;
                let invariant = inner.invariant;
                (Kind::Negate(Box::new(inner)), invariant)
            }
            ExprKind::Selector(s) => {
                let selection = self.selection(s, 0)?;
                let invariant = selection.shift.at_ms.is_some();
                (Kind::Instant(selection), invariant)
            }
            ExprKind::Range(r) => {
                let range_ms = self.positive(&r.range, "range", span)?;
                let selection = self.selection(&r.selector, range_ms)?;
                let invariant = selection.shift.at_ms.is_some();
                (Kind::Range(selection), invariant)
            }
            ExprKind::Subquery(s) => self.subquery(s, span)?,
            ExprKind::Call(c) => self.call(c)?,
            ExprKind::Aggregate(a) => self.aggregate(a)?,
            ExprKind::Binary(b) => self.binary(b)?,
        };
        Ok(Node { kind, span, invariant })
    }

    fn selection(&self, s: &ast::Selector, range_ms: i64) -> Result<Selection, QueryError> {
        Ok(Selection {
            matchers: s.matchers.clone(),
            shift: self.shift(&s.modifiers)?,
            range_ms,
            default_window: false,
            edges: s.edges,
            infer_hints: self.infer_hints.get(),
        })
    }

    fn shift(&self, modifiers: &TimeModifiers) -> Result<Shift, QueryError> {
        let at_ms = modifiers.at.map(|at| match at {
            AtModifier::Time(ms) => ms,
            AtModifier::Start => self.times.start_ms,
            AtModifier::End => self.times.end_ms,
        });
        let offset_ms = match &modifiers.offset {
            Some(offset) => duration::resolve(offset, self.times, self.query)?,
            None => 0,
        };
        Ok(Shift { at_ms, offset_ms })
    }

    /// A duration that must be positive. A range written as a plain `0` is allowed and selects nothing.
    fn positive(&self, d: &ast::DurationExpr, what: &str, span: Span) -> Result<i64, QueryError> {
        let ms = duration::resolve(d, self.times, self.query)?;
        let plain_zero = what == "range" && matches!(d, ast::DurationExpr::Literal(n, _) if n.value == 0.0);
        if ms > 0 || plain_zero {
            return Ok(ms);
        }
        let message = format!("duration of {what} must be greater than 0, got {ms} ms");
        Err(QueryError::parse(self.query, span, message))
    }

    fn subquery(&self, s: &ast::Subquery, span: Span) -> Result<(Kind, bool), QueryError> {
        let range_ms = self.positive(&s.range, "range", span)?;
        let step_ms = match &s.step {
            Some(step) => self.positive(step, "subquery step", span)?,
            None => DEFAULT_SUBQUERY_STEP_MS,
        };
        let shift = self.shift(&s.modifiers)?;
        let outside = self.step_ms.replace(step_ms);
        let expr = self.node(&s.expr).map(Box::new);
        self.step_ms.set(outside);
        let expr = expr?;
        Ok((Kind::Subquery(Subquery { expr, range_ms, step_ms, shift }), shift.at_ms.is_some()))
    }

    fn call(&self, c: &ast::Call) -> Result<(Kind, bool), QueryError> {
        let kernel = match c.function.eval {
            Eval::Constant(value) => return Ok((Kind::Number(value(self.times)), true)),
            Eval::Kernel(kernel) => kernel,
            // Only a tree that was not parsed contains such a call.
            Eval::Replaced => {
                let name = c.function.name;
                return Err(QueryError::Execution(format!(
                    "{name} stands for another query: parse its text"
                )));
            }
        };
        let outside = self.infer_hints.get();
        self.infer_hints.set(c.function.counts_only.unwrap_or(outside));
        let args = c.args.iter().enumerate();
        let args =
            args.map(|(index, arg)| self.argument(c.function, index, arg)).collect::<Result<Vec<_>, _>>();
        self.infer_hints.set(outside);
        let args = args?;
        for arg in &args {
            if let Kind::Range(selection) = &arg.kind
                && let Some(fault) = c.function.edges_fault(selection.edges)
            {
                return Err(QueryError::Execution(fault));
            }
        }
        let reads_time = c.function.reads_time || (matches!(kernel, Kernel::Date(_)) && args.is_empty());
        // The sum of a constant over all steps is not constant, because it depends on the number of steps.
        let varies = c.function.spans_steps() || reads_time;
        let invariant = !varies && args.iter().all(|a| a.invariant);
        let name_rule = if c.keep_names { NameRule::Keep } else { c.function.name_rule };
        let named = c.named.iter().map(|arg| {
            let value = syntax::named_value(arg.named, &arg.value).map_err(QueryError::Execution)?;
            Ok((arg.named.name, value))
        });
        let named = named.collect::<Result<NamedValues, QueryError>>()?;
        Ok((Kind::Call(Call { function: c.function, kernel, args, named, name_rule }), invariant))
    }

    /// An argument. A selector without a required window gets the default window.
    fn argument(&self, function: &Function, index: usize, arg: &Expr) -> Result<Node, QueryError> {
        let ExprKind::Selector(selector) = &arg.kind else { return self.node(arg) };
        if !syntax::takes_window(function, index, arg) {
            return self.node(arg);
        }
        let selection = Selection { default_window: true, ..self.selection(selector, self.step_ms.get())? };
        let invariant = selection.shift.at_ms.is_some();
        Ok(Node { kind: Kind::Range(selection), span: arg.span, invariant })
    }

    fn aggregate(&self, a: &ast::Aggregate) -> Result<(Kind, bool), QueryError> {
        let param = a.param.as_ref().map(|p| self.node(p)).transpose()?.map(Box::new);
        let expr = Box::new(self.node(&a.expr)?);
        let more = a.more.iter().map(|p| self.node(p)).collect::<Result<Vec<_>, _>>()?;
        let params_invariant = param.iter().map(AsRef::as_ref).chain(&more).all(|p| p.invariant);
        let invariant = expr.invariant && params_invariant;
        let grouping = a.grouping.clone();
        Ok((Kind::Aggregate(Aggregate { op: a.op, param, more, expr, grouping }), invariant))
    }

    fn binary(&self, b: &ast::Binary) -> Result<(Kind, bool), QueryError> {
        let lhs = Box::new(self.node(&b.lhs)?);
        let rhs = Box::new(self.node(&b.rhs)?);
        let invariant = lhs.invariant && rhs.invariant;
        let kind = Kind::Binary(Binary {
            op: b.op,
            lhs,
            rhs,
            return_bool: b.return_bool,
            matching: b.matching.clone(),
            keep_names: b.keep_names,
        });
        Ok((kind, invariant))
    }
}
