//! How far an answer may be from that of the samples, if parts of the query read buckets.
//!
//! Parts note the largest error of their values. Where the expression around the only such part is known to enlarge an
//! error by at most some factor, the answer has a bound too; otherwise it has none.

use super::Evaluator;
use crate::accuracy::Accuracy;
use crate::error::QueryError;
use crate::plan::{Aggregate, Binary, Call, Kind, Node};
use crate::request::Request;
use crate::syntax::ast::{AggregateOp, BinaryOp};
use crate::value::{QueryValue, SampleValue};

/// The accuracy of the answer `value`; an info reports it unless the answer is exact.
///
/// # Errors
/// [`QueryError::Execution`] if the answer may be further from that of the samples than the request accepts.
pub(super) fn of_answer(
    ev: &mut Evaluator<'_>,
    request: &Request,
    plan: &Node,
    value: &QueryValue,
) -> Result<Option<Accuracy>, QueryError> {
    let Some(noted) = ev.ctx.accuracy.accuracy() else { return Ok(None) };
    let accuracy = if noted.exact || is_part(plan) {
        noted
    } else {
        around(plan, noted, ev.ctx.accuracy.series(), value)
    };
    let Some(text) = accuracy.text() else { return Ok(Some(accuracy)) };
    if let Some(max) = request.max_error
        && (accuracy.may_be_absent || !accuracy.relative.is_some_and(|relative| relative <= max))
    {
        return Err(QueryError::Execution(format!(
            "more than max_error={max} may be wrong: {text}: raise max_error, or use steps and windows that are multiples of the buckets"
        )));
    }
    ev.annotations.info(plan.span, text);
    Ok(Some(accuracy))
}

/// Whether the values of a node are those of the part that read buckets, up to their sign.
fn is_part(node: &Node) -> bool {
    match &node.kind {
        Kind::Instant(_) => true,
        Kind::Negate(inner) => is_part(inner),
        Kind::Call(call) => reads_buckets(call),
        _ => false,
    }
}

fn reads_buckets(call: &Call) -> bool {
    let reads_range = call.args.iter().any(|arg| matches!(arg.kind, Kind::Range(_)));
    call.function.buckets.is_some() && reads_range
}

/// The accuracy of an expression around a part.
fn around(plan: &Node, noted: Accuracy, series: u64, value: &QueryValue) -> Accuracy {
    let (smallest, largest) = magnitudes(value);
    let absolute = enlarged(plan, series).zip(noted.absolute).map(|(factor, error)| {
        // The expression rounds in both cases.
        factor * error + largest * f64::EPSILON * 64.0
    });
    // A member of an aggregation that may be absent may change it by any amount.
    let absolute = absolute.filter(|_| !noted.may_be_absent || !has_aggregation(plan));
    let relative = absolute.map(|error| error / smallest).filter(|relative| relative.is_finite());
    Accuracy { absolute, relative, ..noted }
}

/// The factor by which an expression enlarges errors of its only part that reads buckets, at most; `None` if none is
/// known. `series` have errors.
fn enlarged(node: &Node, series: u64) -> Option<f64> {
    match &node.kind {
        _ if is_part(node) => Some(1.0),
        Kind::Negate(inner) => enlarged(inner, series),
        Kind::Aggregate(aggregate) => {
            Some(enlarged(&aggregate.expr, series)? * enlarged_by(aggregate, series)?)
        }
        Kind::Binary(binary) => scaled(binary, series),
        _ => None,
    }
}

fn enlarged_by(aggregate: &Aggregate, series: u64) -> Option<f64> {
    let is_constant = aggregate.param.as_ref().is_none_or(|param| matches!(param.kind, Kind::Number(_)));
    match aggregate.op {
        AggregateOp::Sum => Some(series as f64),
        // They lie between the answers for all lower ends and for all upper ends.
        AggregateOp::Min | AggregateOp::Max | AggregateOp::Avg => Some(1.0),
        AggregateOp::Quantile if is_constant => Some(1.0),
        // The distance of deviations is at most the root mean square of the errors.
        AggregateOp::Stddev => Some(1.0),
        _ => None,
    }
}

/// Arithmetic with a number.
fn scaled(binary: &Binary, series: u64) -> Option<f64> {
    let (part, number, number_is_left) = match (&binary.lhs.kind, &binary.rhs.kind) {
        (_, Kind::Number(number)) => (&binary.lhs, *number, false),
        (Kind::Number(number), _) => (&binary.rhs, *number, true),
        _ => return None,
    };
    let inner = enlarged(part, series)?;
    match binary.op {
        BinaryOp::Add | BinaryOp::Sub => Some(inner),
        BinaryOp::Mul => Some(inner * number.abs()),
        BinaryOp::Div if !number_is_left => Some(inner / number.abs()),
        _ => None,
    }
}

fn has_aggregation(node: &Node) -> bool {
    match &node.kind {
        Kind::Aggregate(_) => true,
        Kind::Negate(inner) => has_aggregation(inner),
        Kind::Binary(binary) => has_aggregation(&binary.lhs) || has_aggregation(&binary.rhs),
        _ => false,
    }
}

/// The smallest and the largest magnitude of the floats of an answer. Beside histograms, none is the smallest.
fn magnitudes(value: &QueryValue) -> (f64, f64) {
    let (mut ends, mut has_histograms) = ((f64::INFINITY, 0.0f64), false);
    let mut add = |v: f64| ends = (ends.0.min(v.abs()), ends.1.max(v.abs()));
    match value {
        QueryValue::Vector(vector) => vector.iter().for_each(|sample| match sample.value {
            SampleValue::Float(v) => add(v),
            SampleValue::Histogram(_) => has_histograms = true,
        }),
        QueryValue::Matrix(matrix) => {
            matrix.iter().flat_map(|series| &series.floats_ms).for_each(|(_, v)| add(*v));
            has_histograms = matrix.iter().any(|series| !series.histograms_ms.is_empty());
        }
        QueryValue::Scalar(_, v) => add(*v),
        QueryValue::String(..) => {}
    }
    if has_histograms { (0.0, ends.1) } else { ends }
}
