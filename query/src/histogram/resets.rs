//! Detects whether a counter of histograms was reset between two samples.

use std::sync::Arc;

pub(crate) use barograph_engine::model::histogram::algebra::resets::is_reset;
use barograph_engine::model::{Histogram, ResetHint};

/// The histogram with a hint if its writer gave none: whether it is a reset after `before`.
pub(crate) fn with_hint(current: &Arc<Histogram>, before: &Histogram) -> Arc<Histogram> {
    if current.reset_hint != ResetHint::Unknown {
        return Arc::clone(current);
    }
    let reset_hint = if is_reset(current, before) { ResetHint::Reset } else { ResetHint::NotReset };
    Arc::new(Histogram { reset_hint, ..Histogram::clone(current) })
}
