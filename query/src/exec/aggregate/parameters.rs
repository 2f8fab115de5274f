//! Parameters that aggregations share.

use crate::error::QueryError;
use crate::exec::text;
use crate::numbers::go::go_float;
use crate::plan::{Aggregate, Node};

/// The first parameter.
pub(crate) fn param(aggregate: &Aggregate) -> &Node {
    aggregate.param.as_deref().expect("the checker gives these operators a parameter")
}

/// The first parameter as a label name.
///
/// # Errors
/// It is empty.
pub(crate) fn label_of(aggregate: &Aggregate) -> Result<String, QueryError> {
    let label = text(param(aggregate));
    if label.is_empty() {
        return Err(QueryError::Execution(format!("invalid label name {label:?}")));
    }
    Ok(label)
}

/// The number of elements to keep at each step.
pub(crate) fn counts(params: &[f64]) -> Result<Vec<usize>, QueryError> {
    let refuse = |text: String| Err(QueryError::Execution(text));
    if params.iter().any(|k| k.is_nan()) {
        return refuse("Parameter value is NaN".to_owned());
    }
    let largest = params.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let smallest = params.iter().copied().fold(f64::INFINITY, f64::min);
    if largest >= 1.0 && smallest <= i64::MIN as f64 {
        return refuse(format!("Scalar value {} underflows int64", go_float(smallest)));
    }
    if largest >= i64::MAX as f64 {
        return refuse(format!("Scalar value {} overflows int64", go_float(largest)));
    }
    Ok(params.iter().map(|&k| if k < 1.0 { 0 } else { k as usize }).collect())
}
