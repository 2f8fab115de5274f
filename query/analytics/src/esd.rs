//! Outliers of a whole series by the generalized extreme Studentized deviate (Rosner, 1983), in the seasonal hybrid
//! form (Hochenbaum, Vallis and Kejariwal, 2017): on what a decomposition leaves, with the median and the median
//! absolute deviation in place of the mean and the standard deviation.

use crate::decompose::{self, decompose};

use crate::order::{median_distance, quantile_of_sorted, sort_finite};
use crate::robust::MAD_TO_SIGMA;
use crate::size::{self, Size};
use crate::special::t_quantile;
use crate::{Check, Error, Pace, Unfit};

/// How outliers are sought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The season in steps.
    pub period: usize,
    /// The largest share of the values that may be outliers, below 0.5.
    pub max_share: f64,
    /// The probability that a series of normal values has one.
    pub alpha: f64,
}

impl Options {
    /// At most 2 % outliers, with a probability of 0.05 for one in a normal series.
    pub fn new(period: usize) -> Options {
        Options { period, max_share: 0.02, alpha: 0.05 }
    }
}

/// The memory that [`seasonal`] takes for `len` steps.
pub fn bytes(len: usize, options: &Options) -> usize {
    let seasons = [options.period];
    decompose::bytes(
        len,
        &decompose::Options { seasons: &seasons, robust: true, precision: decompose::Precision::Auto },
    ) + size::bytes(len)
        + 4 * len * size_of::<f64>()
}

/// The steps of the outliers, ascending.
///
/// The season of a robust decomposition is removed, and then the median of the rest.
///
/// # Errors
/// Same as [`decompose()`].
pub fn seasonal(values: &[f64], options: &Options, check: Check<'_>) -> Result<Vec<usize>, Error> {
    let seasons = [options.period];
    let values = &*Size::of(values).applied(values);
    let parts = decompose(
        values,
        &decompose::Options { seasons: &seasons, robust: true, precision: decompose::Precision::Auto },
        &mut *check,
    )?;
    let (_, season) = &parts.seasons[0];
    let rest: Vec<f64> = values.iter().zip(season).map(|(value, season)| value - season).collect();
    outliers(&rest, options.max_share, options.alpha, check)
}

/// The steps of the outliers among the finite values, ascending: those removed one after another, each the farthest
/// from the median of what is left, up to the last one that is farther than chance explains.
///
/// # Errors
/// Fewer than three values, and a stop by the caller.
pub fn outliers(values: &[f64], max_share: f64, alpha: f64, check: Check<'_>) -> Result<Vec<usize>, Error> {
    let mut pace = Pace::new(check);
    let values = &*Size::of(values).applied(values);
    let mut sorted = Vec::new();
    sort_finite(values, &mut sorted);
    let count = sorted.len();
    if count < 3 {
        return Err(Unfit::TooShort { has: count, needs: 3 }.into());
    }
    let most = ((max_share.clamp(0.0, 0.49) * count as f64) as usize).min(count - 2);
    // What rounding leaves of values that are equal is not unusual.
    let floor = 1e-6 * sorted[0].abs().max(sorted[count - 1].abs());
    let mut removed: Vec<f64> = Vec::new();
    let mut kept = 0;
    for i in 1..=most {
        pace.work(20_000 + sorted.len())?;
        let (farthest, deviation) = most_extreme(&sorted, floor);
        if deviation.is_nan() || deviation <= 0.0 {
            break;
        }
        removed.push(sorted.remove(farthest));
        if deviation > critical((count - i) as f64, alpha) {
            kept = i;
        }
    }
    removed.truncate(kept);
    Ok(steps_of(values, removed))
}

/// The deviation that the most extreme of normal values passes with a probability of `alpha`, if there are `others`
/// beside it.
pub(crate) fn critical(others: f64, alpha: f64) -> f64 {
    let t = t_quantile(alpha / (2.0 * (others + 1.0)), others - 1.0);
    t * others / ((others - 1.0 + t * t) * (others + 1.0)).sqrt()
}

/// The place of the value farthest from the median, and how many deviations away it is.
fn most_extreme(sorted: &[f64], floor: f64) -> (usize, f64) {
    let centre = quantile_of_sorted(sorted, 0.5);
    let scale = (MAD_TO_SIGMA * median_distance(sorted, centre)).max(floor);
    let (below, above) = (centre - sorted[0], sorted[sorted.len() - 1] - centre);
    let (place, distance) = if above > below { (sorted.len() - 1, above) } else { (0, below) };
    (place, if distance == 0.0 { 0.0 } else { distance / scale })
}

/// Where removed values are in the series; equal values are taken from the left.
fn steps_of(values: &[f64], mut removed: Vec<f64>) -> Vec<usize> {
    removed.sort_unstable_by(f64::total_cmp);
    let mut by_value: Vec<usize> = (0..values.len()).filter(|&step| values[step].is_finite()).collect();
    // A stable sort: equal values stay in the order of their steps.
    by_value.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut next = removed.iter().peekable();
    by_value.retain(|&step| next.next_if(|value| value.to_bits() == values[step].to_bits()).is_some());
    by_value.sort_unstable();
    by_value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go() -> Result<(), crate::Stop> {
        Ok(())
    }

    /// Rosner's data, as NIST's handbook has it (section 1.3.5.17.3).
    const ROSNER: [f64; 54] = [
        -0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58, 1.65,
        1.69, 1.70, 1.76, 1.77, 1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24, 2.26,
        2.35, 2.37, 2.40, 2.47, 2.54, 2.62, 2.64, 2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59, 3.68, 4.30,
        4.64, 5.34, 5.42, 6.01,
    ];

    #[test]
    fn the_outliers_of_a_known_set_are_found() {
        let got = outliers(&ROSNER, 0.2, 0.05, &mut go).unwrap();
        // Of a script with SciPy's quantiles: the fifth is 3.0999 deviations away, of 3.1282 that chance explains.
        assert_eq!(got, [50, 51, 52, 53]);
    }

    #[test]
    fn critical_values_are_those_of_the_handbook() {
        let got = [53.0, 52.0, 51.0, 50.0].map(|others| (1e3 * critical(others, 0.05)).floor() / 1e3);
        assert_eq!(got, [3.158, 3.151, 3.143, 3.136]);
    }

    #[test]
    fn an_outlier_of_its_season_is_found() {
        let mut values: Vec<f64> =
            (0..480).map(|i| 10.0 * f64::from(i % 24) + f64::from(i % 7) / 7.0).collect();
        values[24 * 9 + 3] = 200.0;
        values[24 * 12 + 20] = f64::NAN;
        assert_eq!(seasonal(&values, &Options::new(24), &mut go).unwrap(), [24 * 9 + 3]);
    }

    #[test]
    fn equal_values_have_no_outliers_and_one_other_value_is_one() {
        assert_eq!(outliers(&[1.0; 50], 0.1, 0.05, &mut go), Ok(vec![]));
        let mut values = [1.0; 50];
        values[7] = 1.5;
        assert_eq!(outliers(&values, 0.1, 0.05, &mut go), Ok(vec![7]));
        let short = outliers(&[1.0, f64::NAN], 0.1, 0.05, &mut go);
        assert_eq!(short, Err(Unfit::TooShort { has: 1, needs: 3 }.into()));
    }
}
