//! Members of a group that differ from the others at one time.

use crate::order::{median_distance, quantile_of_sorted, sort_finite};
use crate::robust::MAD_TO_SIGMA;
use crate::size::Size;

/// How members are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// A member is an outlier if its distance from the median exceeds `tolerance` deviations.
    #[default]
    Mad,
    /// Members are chained to neighbours at a distance of at most `tolerance` deviations; those in no chain of at least
    /// half of the members are outliers.
    Dbscan,
}

impl Method {
    /// All methods with their names.
    pub const ALL: [(&'static str, Method); 2] = [("mad", Method::Mad), ("dbscan", Method::Dbscan)];
}

/// Minimum number of members that can be compared.
pub const LEAST: usize = 3;

/// The memory that [`of_group`] takes for `len` members.
pub fn bytes(len: usize) -> usize {
    len * size_of::<f64>()
}

/// Whether each member is an outlier: `None` for members without a value, and for all if fewer than [`LEAST`] have one.
///
/// The deviation is the median distance from the median, on the scale of a standard deviation, and at least a
/// thousandth of the median: of members that are all but equal, the smallest difference is none.
pub fn of_group(values: &[f64], method: Method, tolerance: f64, sorted: &mut Vec<f64>) -> Vec<Option<bool>> {
    sort_finite(values, sorted);
    let size = Size::of(sorted);
    size.apply_all(sorted);
    if sorted.len() < LEAST {
        return vec![None; values.len()];
    }
    let centre = quantile_of_sorted(sorted, 0.5);
    let deviation = (MAD_TO_SIGMA * median_distance(sorted, centre)).max(1e-3 * centre.abs());
    let limit = tolerance * deviation;
    let (low, high) = match method {
        Method::Mad => (centre - limit, centre + limit),
        Method::Dbscan => largest_chain(sorted, limit),
    };
    let is_outside = |value: f64| size.apply(value) < low || size.apply(value) > high;
    values.iter().map(|&value| value.is_finite().then(|| is_outside(value))).collect()
}

/// The ends of the longest chain of neighbours, if it has half of the members; otherwise no member is an outlier.
fn largest_chain(sorted: &[f64], reach: f64) -> (f64, f64) {
    let (mut best, mut begin) = (0..0, 0);
    for end in 1..=sorted.len() {
        if end == sorted.len() || sorted[end] - sorted[end - 1] > reach {
            if end - begin > best.len() {
                best = begin..end;
            }
            begin = end;
        }
    }
    if 2 * best.len() < sorted.len() {
        return (f64::NEG_INFINITY, f64::INFINITY);
    }
    (sorted[best.start], sorted[best.end - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(values: &[f64], method: Method) -> Vec<Option<bool>> {
        of_group(values, method, 3.0, &mut Vec::new())
    }

    #[test]
    fn one_of_a_group_differs() {
        let values = [10.0, 10.5, f64::NAN, 9.8, 30.0, 10.1];
        let expected = [Some(false), Some(false), None, Some(false), Some(true), Some(false)];
        assert_eq!(run(&values, Method::Mad), expected);
        assert_eq!(run(&values, Method::Dbscan), expected);
    }

    #[test]
    fn a_chain_may_be_long() {
        let mut values: Vec<f64> = (0..20).map(f64::from).collect();
        values.push(100.0);
        let got = of_group(&values, Method::Dbscan, 1.0, &mut Vec::new());
        assert_eq!(got.iter().filter(|flag| **flag == Some(true)).count(), 1);
        // Two halves that are far apart: neither is an outlier.
        let got = run(&[1.0, 1.0, 1.0, 1.0, 50.0, 50.0, 50.0, 50.0, 99.0], Method::Dbscan);
        assert!(got.iter().all(|flag| *flag == Some(false)), "{got:?}");
    }

    #[test]
    fn equal_members_and_small_groups_have_no_outliers() {
        assert_eq!(run(&[0.0, 0.0, 0.0], Method::Mad), [Some(false); 3]);
        assert_eq!(run(&[0.0, 0.0, 0.0, 1.0], Method::Mad)[3], Some(true));
        assert_eq!(run(&[1.0, 9.0], Method::Mad), [None, None]);
    }
}
