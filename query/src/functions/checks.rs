//! Checks of scalar arguments, which warn about them or refuse the query.

use super::window::over_time::is_smoothing_factor;
use crate::annotations::{Annotations, bad_phi};
use crate::error::QueryError;
use crate::numbers::go::go_float;
use crate::numbers::quantile::is_phi;
use crate::span::Span;

/// Any value is allowed.
pub(crate) fn any(_: &mut Annotations, _: Span, _: usize, _: &[f64]) -> Result<(), QueryError> {
    Ok(())
}

/// Warns about each φ that is not between 0 and 1.
pub(crate) fn phi(
    annotations: &mut Annotations,
    span: Span,
    _: usize,
    phis: &[f64],
) -> Result<(), QueryError> {
    for phi in phis.iter().filter(|phi| !is_phi(**phi)) {
        annotations.warn(span, bad_phi(*phi));
    }
    Ok(())
}

/// Refuses a factor of `double_exponential_smoothing` that is not between 0 and 1.
pub(crate) fn smoothing_factor(
    _: &mut Annotations,
    _: Span,
    index: usize,
    factors: &[f64],
) -> Result<(), QueryError> {
    let Some(bad) = factors.iter().find(|f| !is_smoothing_factor(**f)) else { return Ok(()) };
    let (which, name) = if index == 0 { ("smoothing", "sf") } else { ("trend", "tf") };
    let got = if bad.is_finite() { format!("{bad:.6}") } else { go_float(*bad) };
    Err(QueryError::Execution(format!("invalid {which} factor. Expected: 0 < {name} < 1, got: {got}")))
}
