//! Quantiles of plain numbers, as used by `quantile` and `quantile_over_time`.

use std::cmp::Ordering;

use crate::numbers::go::go_float;

/// The φ-quantile of values sorted ascending with NaN first, linear between neighbours. Out of range: NaN if φ is NaN
/// or there are no values, otherwise -Inf or +Inf.
pub(crate) fn quantile_of_sorted(phi: f64, sorted: &[f64]) -> f64 {
    if sorted.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    let n = sorted.len() as f64;
    let rank = phi * (n - 1.0);
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(n - 1.0);
    let weight = rank - rank.floor();
    sorted[lower as usize] * (1.0 - weight) + sorted[upper as usize] * weight
}

/// The order of values for quantiles: NaN before everything, otherwise by value. It is a total order over bits, so that
/// a value can be found again.
pub(crate) fn nan_first(a: f64, b: f64) -> Ordering {
    b.is_nan().cmp(&a.is_nan()).then_with(|| a.total_cmp(&b))
}

/// Replaces the contents of `sorted` with `values` in that order.
pub(crate) fn sort_into(sorted: &mut Vec<f64>, values: &[f64]) {
    sorted.clear();
    sorted.extend_from_slice(values);
    sorted.sort_unstable_by(|a, b| nan_first(*a, *b));
}

/// Whether φ is between 0 and 1; otherwise it causes a warning.
pub(crate) fn is_phi(phi: f64) -> bool {
    (0.0..=1.0).contains(&phi)
}

/// A φ as a label value: its value at the first step, formatted so that it is recognizable as a float.
pub(crate) fn phi_name(phis: &[f64]) -> String {
    let phi = phis.first().copied().unwrap_or(f64::NAN);
    let text = go_float(phi);
    if phi.is_finite() && !text.contains(['.', 'e']) { format!("{text}.0") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_counts_as_the_smallest() {
        let mut sorted = Vec::new();
        sort_into(&mut sorted, &[1.0, f64::NAN, 0.0]);
        assert!((quantile_of_sorted(0.8, &sorted) - 0.6).abs() < 1e-15);
        assert!(quantile_of_sorted(0.2, &sorted).is_nan());
    }

    #[test]
    fn phi_out_of_range() {
        assert_eq!(quantile_of_sorted(-0.1, &[1.0]), f64::NEG_INFINITY);
        assert_eq!(quantile_of_sorted(1.1, &[1.0]), f64::INFINITY);
        assert!(quantile_of_sorted(f64::NAN, &[1.0]).is_nan());
        assert!(quantile_of_sorted(0.5, &[]).is_nan());
    }
}
