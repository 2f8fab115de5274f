//! Duration expressions: arithmetic inside `[ ]` and after `offset`, in seconds until the end, where the result is
//! rounded to a millisecond.

use crate::error::QueryError;
use crate::numbers::one_float;
use crate::span::Span;
use crate::steps::QueryTimes;
use crate::syntax::ast::{BinaryOp, DurationExpr, UnaryOp};

/// The largest duration in either direction: the `i64` nanoseconds of Go's durations, 292 years.
const DURATION_MAX_MS: f64 = 9_223_372_036_854.0;

/// The value of `d` in milliseconds.
pub(super) fn resolve(d: &DurationExpr, times: QueryTimes, query: &str) -> Result<i64, QueryError> {
    let seconds = evaluate(d, times, query)?;
    let ms = (seconds * 1000.0).round();
    if ms.is_nan() || ms.abs() > DURATION_MAX_MS {
        return Err(error(query, span_of(d), format!("duration out of range: {seconds} s")));
    }
    Ok(ms as i64)
}

/// A parse error at `span`.
pub(super) fn error(query: &str, span: Span, message: String) -> QueryError {
    let position = span.position(query);
    QueryError::Parse {
        line: position.line,
        column: position.column,
        start: span.start,
        end: span.end,
        message,
    }
}

fn evaluate(d: &DurationExpr, times: QueryTimes, query: &str) -> Result<f64, QueryError> {
    Ok(match d {
        DurationExpr::Literal(n, _) => n.value,
        DurationExpr::Step(_) => times.step_ms as f64 / 1000.0,
        DurationExpr::Range(_) => times.end_ms.saturating_sub(times.start_ms) as f64 / 1000.0,
        DurationExpr::MinOf(a, b, _) => {
            one_float::min(evaluate(a, times, query)?, evaluate(b, times, query)?)
        }
        DurationExpr::MaxOf(a, b, _) => {
            one_float::max(evaluate(a, times, query)?, evaluate(b, times, query)?)
        }
        DurationExpr::Unary(UnaryOp::Minus, inner, _) => -evaluate(inner, times, query)?,
        DurationExpr::Unary(UnaryOp::Plus, inner, _) | DurationExpr::Paren(inner, _) => {
            evaluate(inner, times, query)?
        }
        DurationExpr::Binary(op, a, b, span) => {
            let (a, b) = (evaluate(a, times, query)?, evaluate(b, times, query)?);
            match op {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                BinaryOp::Div if b == 0.0 => return Err(error(query, *span, "division by zero".to_owned())),
                BinaryOp::Div => a / b,
                BinaryOp::Mod if b == 0.0 => return Err(error(query, *span, "modulo by zero".to_owned())),
                BinaryOp::Mod => a % b,
                BinaryOp::Pow => a.powf(b),
                _ => {
                    let text = "a duration takes only + - * / % ^".to_owned();
                    return Err(error(query, *span, text));
                }
            }
        }
    })
}

fn span_of(d: &DurationExpr) -> Span {
    match d {
        DurationExpr::Literal(_, s)
        | DurationExpr::Step(s)
        | DurationExpr::Range(s)
        | DurationExpr::MinOf(_, _, s)
        | DurationExpr::MaxOf(_, _, s)
        | DurationExpr::Unary(_, _, s)
        | DurationExpr::Binary(_, _, _, s)
        | DurationExpr::Paren(_, s) => *s,
    }
}
