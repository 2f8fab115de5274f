//! Duration expressions: arithmetic inside `[ ]` and after `offset`, in seconds until the end, where the result is
//! rounded to a millisecond.

use crate::error::QueryError;
use crate::steps::QueryTimes;
use crate::syntax::ast::DurationExpr;

/// The largest duration in either direction: the `i64` nanoseconds of Go's durations, 292 years.
const DURATION_MAX_MS: f64 = 9_223_372_036_854.0;

/// The value of `d` in milliseconds.
pub(super) fn resolve(d: &DurationExpr, times: QueryTimes, query: &str) -> Result<i64, QueryError> {
    let range_ms = times.end_ms.saturating_sub(times.start_ms);
    let seconds = d
        .evaluate(times.step_ms as f64 / 1000.0, range_ms as f64 / 1000.0)
        .map_err(|fault| QueryError::parse(query, fault.span, fault.message()))?;
    let ms = (seconds * 1000.0).round();
    if ms.is_nan() || ms.abs() > DURATION_MAX_MS {
        return Err(QueryError::parse(query, d.span(), format!("duration out of range: {seconds} s")));
    }
    Ok(ms as i64)
}
