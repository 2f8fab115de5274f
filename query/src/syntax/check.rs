//! The type rules of expressions.
//!
//! The parser calls these checks while it builds the tree. The parts passed to a check are already valid; the check
//! decides whether they may be combined.

use barograph_engine::model::{METRIC_NAME, Matcher};

use crate::functions::named::NamedValue;
use crate::functions::{Function, Named, ValueType};
use crate::span::Span;
use crate::syntax::ast::{
    BinaryOp, Cardinality, DurationExpr, Expr, ExprKind, MatchLabels, NamedLiteral, Selector, VectorMatching,
};
use crate::syntax::lexer::{Fault, Parsed};
use crate::syntax::literal::{self, DURATION_SECONDS_MAX};

/// The type of a checked expression.
pub fn value_type(expr: &Expr) -> ValueType {
    match &expr.kind {
        ExprKind::Number(_) => ValueType::Scalar,
        ExprKind::String(_) => ValueType::String,
        ExprKind::Selector(_) | ExprKind::Aggregate(_) => ValueType::InstantVector,
        ExprKind::Range(_) | ExprKind::Subquery(_) => ValueType::RangeVector,
        ExprKind::Call(call) => call.function.returns,
        ExprKind::Unary(unary) => value_type(&unary.expr),
        ExprKind::Paren(inner) => value_type(inner),
        // Two vectors have a matching; otherwise, a single vector makes the result a vector.
        ExprKind::Binary(binary) => match (&binary.matching, value_type(&binary.lhs)) {
            (None, ValueType::Scalar) => value_type(&binary.rhs),
            _ => ValueType::InstantVector,
        },
    }
}

/// Whether an operator is `and`, `or` or `unless`.
pub(super) fn is_set_operator(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
}

/// Whether an operator is `default`, `if` or `ifnot`, whose operands may be scalars too.
pub(super) fn is_gap_operator(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Default | BinaryOp::If | BinaryOp::IfNot)
}

/// Whether an operator matches many series with many, so that neither grouping nor filling applies.
pub(super) fn is_many_to_many(op: BinaryOp) -> bool {
    is_set_operator(op) || is_gap_operator(op)
}

/// Whether an operator is a comparison.
pub(super) fn is_comparison(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Gt | BinaryOp::Le | BinaryOp::Ge)
}

pub(super) fn unary(operand: ValueType, span: Span) -> Parsed<()> {
    if matches!(operand, ValueType::Scalar | ValueType::InstantVector) {
        return Ok(());
    }
    let message = format!(
        "unary expression only allowed on expressions of type scalar or instant vector, got \"{operand}\""
    );
    Err(Fault::new(span, message))
}

/// Checks the operands. `spans` are those of the operator, the left side and the right side.
pub(super) fn operands(
    op: BinaryOp,
    return_bool: bool,
    types: (ValueType, ValueType),
    spans: (Span, Span, Span),
) -> Parsed<()> {
    let (op_span, left_span, right_span) = spans;
    if return_bool && !is_comparison(op) {
        return Err(Fault::new(op_span, "bool modifier can only be used on comparison operators"));
    }
    for (value_type, span) in [(types.0, left_span), (types.1, right_span)] {
        if !matches!(value_type, ValueType::Scalar | ValueType::InstantVector) {
            let message = format!(
                "binary expression must contain only scalar and instant vector types, got \"{value_type}\""
            );
            return Err(Fault::new(span, message));
        }
    }
    if is_comparison(op) && !return_bool && types == (ValueType::Scalar, ValueType::Scalar) {
        return Err(Fault::new(op_span, "comparisons between scalars must use BOOL modifier"));
    }
    if is_set_operator(op) && types != (ValueType::InstantVector, ValueType::InstantVector) {
        let message = format!("set operator \"{}\" not allowed in binary scalar expression", op.as_str());
        return Err(Fault::new(op_span, message));
    }
    Ok(())
}

pub(super) fn matching(op: BinaryOp, matching: &VectorMatching, op_span: Span) -> Parsed<()> {
    let grouped = match &matching.cardinality {
        Cardinality::GroupLeft(labels) | Cardinality::GroupRight(labels) => Some(labels),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if is_many_to_many(op) {
        if grouped.is_some() {
            let message = format!("no grouping allowed for \"{}\" operation", op.as_str());
            return Err(Fault::new(op_span, message));
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            let message = match is_set_operator(op) {
                true => "filling in missing series not allowed for set operators".to_owned(),
                false => format!("filling in missing series not allowed for \"{}\"", op.as_str()),
            };
            return Err(Fault::new(op_span, message));
        }
    }
    if let (MatchLabels::On(on), Some(grouped)) = (&matching.labels, grouped)
        && let Some(label) = grouped.iter().find(|label| on.contains(label))
    {
        let message = format!("label {label:?} must not occur in ON and GROUP clause at once");
        return Err(Fault::new(op_span, message));
    }
    Ok(())
}

/// Checks an argument of a call: its type, and that `anchored` and `smoothed` windows are passed only to functions that
/// support them.
pub(super) fn argument(function: &Function, index: usize, argument: &Expr, given: ValueType) -> Parsed<()> {
    let Some(expected) = function.arg_type(index) else {
        // There are too many arguments; `arity` reports the number once all are counted.
        return Ok(());
    };
    let fits = |wanted: ValueType| given == wanted;
    if takes_window(function, index, argument) {
        return Ok(());
    }
    if !fits(expected) && !function.tail_type(index).is_some_and(fits) {
        let name = function.name;
        let message = format!("expected type {expected} in call to function {name:?}, got {given}");
        return Err(Fault::new(argument.span, message));
    }
    window_edges(function, argument)
}

fn window_edges(function: &Function, argument: &Expr) -> Parsed<()> {
    let mut inner = argument;
    while let ExprKind::Paren(expr) = &inner.kind {
        inner = expr;
    }
    let ExprKind::Range(range) = &inner.kind else { return Ok(()) };
    match function.edges_fault(range.selector.edges) {
        Some(message) => Err(Fault::new(argument.span, message)),
        None => Ok(()),
    }
}

/// Whether an argument is a selector without a window although the function needs one, so that it gets the default
/// window.
pub fn takes_window(function: &Function, index: usize, argument: &Expr) -> bool {
    let wanted = [function.arg_type(index), function.tail_type(index)];
    matches!(argument.kind, ExprKind::Selector(_)) && wanted.contains(&Some(ValueType::RangeVector))
}

/// If the argument before the last is repeated, the last one must have its own type, and the ones before it must not.
pub(super) fn last_argument(function: &Function, args: &[(ValueType, Span)]) -> Parsed<()> {
    let Some(expected) = function.tail_type(usize::MAX) else { return Ok(()) };
    let Some((&(last, span), before)) = args.split_last() else { return Ok(()) };
    let name = function.name;
    if last == ValueType::Scalar {
        let message =
            format!("expected type {expected} as the last argument of function {name:?}, got {last}");
        return Err(Fault::new(span, message));
    }
    let repeated = before.get(function.args.len() - 2..).unwrap_or_default();
    match repeated.iter().find(|(given, _)| *given != ValueType::Scalar) {
        Some(&(given, span)) => {
            let message = format!("expected type scalar in call to function {name:?}, got {given}");
            Err(Fault::new(span, message))
        }
        None => Ok(()),
    }
}

/// A named argument is one that the table allows.
pub(super) fn named(named: &Named, value: &NamedLiteral, span: Span) -> Parsed<()> {
    match named_value(named, value) {
        Ok(_) => Ok(()),
        Err(accepted) => Err(Fault::new(span, format!("argument {:?} must be {accepted}", named.name))),
    }
}

/// The value of a named argument, or what it accepts.
pub(crate) fn named_value(named: &Named, value: &NamedLiteral) -> Result<NamedValue, String> {
    let given = match value {
        NamedLiteral::Number(literal) => NamedValue::Number(literal.value),
        NamedLiteral::Flag(flag) => NamedValue::Flag(*flag),
        NamedLiteral::Text(text) => NamedValue::Text(text.clone()),
    };
    let duration = |text: &str| literal::duration(text, Span::default()).ok();
    named.accept(given, duration)
}

/// Checks the number of arguments of a call.
pub(super) fn arity(function: &Function, given: usize, span: Span) -> Parsed<()> {
    let (least, most) = (function.required, function.args_max);
    if (least..=most).contains(&given) {
        return in_groups(function, given, span);
    }
    let (word, count) = match given < least {
        _ if least == most => ("", least),
        true => ("at least ", least),
        false => ("at most ", most),
    };
    let message = format!("expected {word}{count} argument(s) in call to {:?}, got {given}", function.name);
    Err(Fault::new(span, message))
}

/// Checks that arguments that are repeated in pairs form whole pairs.
fn in_groups(function: &Function, given: usize, span: Span) -> Parsed<()> {
    let single = function.args.len() - function.repeated.min(function.args.len());
    if given < single || (given - single).is_multiple_of(function.repeated) {
        return Ok(());
    }
    let name = function.name;
    let message =
        format!("expected pairs after argument {single} in call to {name:?}, got {given} argument(s)");
    Err(Fault::new(span, message))
}

pub(super) fn aggregate_operand(given: ValueType, span: Span) -> Parsed<()> {
    expect_type(ValueType::InstantVector, given, "aggregation expression", span)
}

pub(super) fn aggregate_param(expected: ValueType, given: ValueType, span: Span) -> Parsed<()> {
    expect_type(expected, given, "aggregation parameter", span)
}

fn expect_type(expected: ValueType, given: ValueType, place: &str, span: Span) -> Parsed<()> {
    if given == expected {
        return Ok(());
    }
    Err(Fault::new(span, format!("expected type {expected} in {place}, got {given}")))
}

/// The mark that `keep_metric_names` sets in the preceding call or binary expression; `None` if it may not follow that
/// expression.
pub(super) fn names_mark(expr: &mut Expr) -> Option<&mut bool> {
    match &mut expr.kind {
        ExprKind::Call(call) => Some(&mut call.keep_names),
        ExprKind::Paren(inner) => binary_names_mark(inner),
        _ => None,
    }
}

fn binary_names_mark(expr: &mut Expr) -> Option<&mut bool> {
    match &mut expr.kind {
        ExprKind::Binary(binary) => Some(&mut binary.keep_names),
        ExprKind::Paren(inner) => binary_names_mark(inner),
        _ => None,
    }
}

pub(super) fn subquery(given: ValueType, span: Span) -> Parsed<()> {
    if given == ValueType::InstantVector {
        return Ok(());
    }
    Err(Fault::new(span, format!("subquery is only allowed on instant vector, got {given} instead")))
}

/// The selector to which a range is applied.
pub(super) fn range_operand(expr: Expr, brackets: Span) -> Parsed<Selector> {
    let ExprKind::Selector(selector) = expr.kind else {
        return Err(Fault::new(brackets, "ranges only allowed for vector selectors"));
    };
    if selector.modifiers.offset.is_some() {
        return Err(Fault::new(brackets, "no offset modifiers allowed before range"));
    }
    if selector.modifiers.at.is_some() {
        return Err(Fault::new(brackets, "no @ modifiers allowed before range"));
    }
    Ok(selector)
}

/// Checks that a range or step with a known value is above 0.
pub(super) fn positive(duration: &DurationExpr, span: Span) -> Parsed<()> {
    if duration.depends_on_query() {
        return Ok(());
    }
    let seconds = duration.evaluate(0.0, 0.0).map_err(|fault| Fault::new(fault.span, fault.message()))?;
    if seconds > DURATION_SECONDS_MAX {
        return Err(Fault::new(span, "duration out of range"));
    }
    if seconds > 0.0 { Ok(()) } else { Err(Fault::new(span, "duration must be greater than 0")) }
}

/// Checks that a selector with a name before the braces has no matcher of the name inside.
pub(super) fn name_given_once(name: Option<&str>, matchers: &[Matcher], span: Span) -> Parsed<()> {
    let Some(name) = name else { return Ok(()) };
    match matchers[1..].iter().find(|matcher| matcher.name == METRIC_NAME) {
        Some(second) => {
            let message = format!("metric name must not be set twice: {name:?} or {:?}", second.value);
            Err(Fault::new(span, message))
        }
        None => Ok(()),
    }
}

/// Checks that a selector does not select every series, as it might because of a typing error.
pub(super) fn selects_something(selector: &Selector, span: Span) -> Parsed<()> {
    if selector.name.is_some() || selector.matchers.iter().any(|matcher| !matcher.matches_empty()) {
        return Ok(());
    }
    Err(Fault::new(span, "vector selector must contain at least one non-empty matcher"))
}
