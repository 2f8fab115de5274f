//! `increase_pure`, `rate_pure`: the growth of a counter's samples, without extrapolation.
//!
//! The growth in a window is counted from the last sample before it, so that adjacent windows count each growth once
//! and their sums add up, which extrapolation cannot guarantee. A counter without a sample before the window is assumed
//! to have begun inside it, at 0, unless its start time contradicts that.

use crate::annotations::flags::Flags;
use crate::functions::window::resets::Resets;
use crate::functions::window::{Columns, Window};

/// The growth of the floats in a window, or its rate per second. A sample counts as the one before a window if it is
/// less than `lookback_ns` older than the window.
pub(crate) fn growth(
    per_second: bool,
    lookback_ns: i64,
    columns: &Columns,
    flags: &mut Flags,
) -> impl FnMut(&Window<'_>) -> Option<f64> {
    let mut resets = Resets::of(columns);
    move |w| {
        let last = *w.values().last()?;
        let (times, values) = (&columns.times, &columns.values);
        let oldest = w.start.saturating_sub(lookback_ns);
        let before = w.lo.checked_sub(1).filter(|&i| times[i] > oldest);
        let base = before.unwrap_or(w.lo);
        let from = if before.is_none() && began_inside(w) { 0.0 } else { values[base] };
        let mut grown = last - from;
        if let Some(lost) = resets.lost(base, w.hi) {
            grown += lost;
        }
        if resets.overlaps(base, w.hi) {
            flags.raise(Flags::START_OVERLAP);
        }
        flags.raise(Flags::FLOAT_RESULT);
        Some(if per_second { grown / w.seconds() } else { grown })
    }
}

/// Whether a counter without a sample before the window began inside the window.
fn began_inside(w: &Window<'_>) -> bool {
    let start = w.starts().first().copied().unwrap_or(0);
    start == 0 || start > w.start
}
