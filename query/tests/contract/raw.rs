//! The functions over samples, as the documentation of PromQL defines them. Written for this checker alone.

use crate::exact::Sum;
use crate::series::Sample;

/// The start timestamp of a sample without one.
pub const UNKNOWN: i64 = 0;

/// Whether a counter was reset between two samples: the value dropped, or a new start is not before the earlier one.
pub fn is_reset(before: &Sample, after: &Sample) -> bool {
    let known = after.start != UNKNOWN && after.start < after.time;
    let new = after.start != before.start;
    let by_start = known && (after.start > before.time || after.start == before.time && new);
    after.value < before.value || by_start
}

/// The resets of a window, and the sum of the values before them.
pub fn resets(samples: &[Sample]) -> (u64, Sum) {
    let pairs = || samples.windows(2).filter(|pair| is_reset(&pair[0], &pair[1]));
    (pairs().count() as u64, Sum::of(pairs().map(|pair| pair[0].value)))
}

/// How often the value changes.
pub fn changes(samples: &[Sample]) -> u64 {
    let differ = |pair: &&[Sample]| {
        let (a, b) = (pair[0].value, pair[1].value);
        a != b && !(a.is_nan() && b.is_nan())
    };
    samples.windows(2).filter(differ).count() as u64
}

/// The quantile of values in any order, NaN smallest.
pub fn quantile(values: &[f64], phi: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let rank = phi * (sorted.len() as f64 - 1.0);
    let weight = rank - rank.floor();
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(sorted.len() - 1);
    sorted[lower] * (1.0 - weight) + sorted[upper] * weight
}

/// What extrapolation reads of a window.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// Samples.
    pub count: u64,
    /// Time and value of the first one.
    pub first: (i64, f64),
    /// Time and value of the last one.
    pub last: (i64, f64),
    /// What resets took.
    pub lost: f64,
}

/// How a change is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Per second.
    Rate,
    /// Of a counter.
    Increase,
    /// Of a gauge.
    Delta,
}

/// Nanoseconds as seconds.
pub fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

/// The change over the window `(start, end]`, extrapolated to its ends; none for fewer than two samples.
pub fn extrapolated(kind: Kind, (start, end): (i64, i64), ends: &Ends) -> Option<f64> {
    if ends.count < 2 {
        return None;
    }
    let change = ends.last.1 - ends.first.1 + if kind == Kind::Delta { 0.0 } else { ends.lost };
    let sampled = seconds(ends.last.0 - ends.first.0);
    let mean = sampled / (ends.count - 1) as f64;
    let usual = |distance: f64| if distance >= 1.1 * mean { mean / 2.0 } else { distance };
    let mut left = usual(seconds(ends.first.0 - start));
    if kind != Kind::Delta && change > 0.0 && ends.first.1 >= 0.0 {
        left = left.min(sampled * (ends.first.1 / change));
    }
    let right = usual(seconds(end - ends.last.0));
    let whole = change * ((sampled + left + right) / sampled);
    Some(if kind == Kind::Rate { whole / seconds(end - start) } else { whole })
}
