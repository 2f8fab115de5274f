//! Detects whether a counter of histograms was reset between two samples.

use super::arithmetic::{coarser, common_bounds, rebound, wider_zero};
use super::{Buckets, bounds, is_custom, negative, positive};
use crate::model::{Histogram, ResetHint};

/// Whether `current` is a reset after `before`: its hint says so or, without a hint, a count that can only grow has
/// decreased.
pub fn is_reset(current: &Histogram, before: &Histogram) -> bool {
    match current.reset_hint {
        ResetHint::Reset => return true,
        ResetHint::NotReset => return false,
        // A gauge is compared like an unknown counter: the caller looks for decreases.
        ResetHint::Gauge | ResetHint::Unknown => {}
    }
    if current.count < before.count || is_custom(current) != is_custom(before) {
        return true;
    }
    if is_custom(current) {
        if current.custom_values == before.custom_values {
            return any_shrank(&positive(current), &positive(before));
        }
        let common = common_bounds(&current.custom_values, &before.custom_values);
        return any_shrank(&rebound(current, &common), &rebound(before, &common));
    }
    if current.schema > before.schema || current.zero_threshold < before.zero_threshold {
        return true;
    }
    let (zero_count, zero_threshold) = wider_zero(before, current.zero_threshold);
    if zero_threshold != current.zero_threshold || current.zero_count < zero_count {
        return true;
    }
    let by = before.schema - current.schema;
    let shrank = |now: Buckets, then: Buckets| {
        let outside =
            then.into_iter().filter(|b| bounds::exponential(b.0, before.schema) > zero_threshold).collect();
        any_shrank(&now, &coarser(&outside, by))
    };
    shrank(positive(current), positive(before)) || shrank(negative(current), negative(before))
}

/// Whether a populated bucket has decreased.
fn any_shrank(now: &Buckets, then: &Buckets) -> bool {
    let count_now = |index: i32| now.binary_search_by_key(&index, |b| b.0).map_or(0.0, |place| now[place].1);
    then.iter().any(|&(index, count)| count_now(index) < count)
}
