//! Location, scale and slope that are robust against a few extreme values.

use crate::order::{median_distance, quantile_of_sorted, sort_finite};
use crate::size::{Size, mean};
use crate::{Check, Error, Pace, Unfit};

/// The factor that makes the median absolute deviation of a normal distribution its standard deviation.
pub const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// The statistics of a set of values that need their order.
#[derive(Debug, Clone, Default)]
pub struct Sorted(Vec<f64>);

impl Sorted {
    /// Sorts the finite values of a slice.
    pub fn of(values: &[f64]) -> Sorted {
        let mut sorted = Vec::new();
        sort_finite(values, &mut sorted);
        Sorted(sorted)
    }

    /// The memory that `of` takes for `len` values.
    pub fn bytes(len: usize) -> usize {
        len * size_of::<f64>()
    }

    /// The values in ascending order.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// The quantile `phi`, interpolated; NaN of no values.
    pub fn quantile(&self, phi: f64) -> f64 {
        quantile_of_sorted(&self.0, phi)
    }

    /// The median; NaN of no values.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The median distance from the median; NaN of no values.
    pub fn mad(&self) -> f64 {
        median_distance(&self.0, self.median())
    }

    /// The distance between the quartiles; NaN of no values.
    pub fn iqr(&self) -> f64 {
        self.quantile(0.75) - self.quantile(0.25)
    }

    /// The mean after the share `cut` of the values (at most a half) is removed at either end, like SciPy's
    /// `trim_mean`; NaN without values, or for a share outside of 0 to 0.5.
    pub fn trimmed_mean(&self, cut: f64) -> f64 {
        match self.cut(cut) {
            Ok((_, kept)) => mean(kept),
            Err(mean) => mean,
        }
    }

    /// The mean after the share `cut` at either end is replaced by the nearest value that stays; NaN as
    /// [`Self::trimmed_mean`].
    pub fn winsorized_mean(&self, cut: f64) -> f64 {
        match self.cut(cut) {
            Ok((each, kept)) => {
                let size = Size::of(kept);
                let ends = each as f64 * (size.apply(kept[0]) + size.apply(kept[kept.len() - 1]));
                let sum = kept.iter().map(|value| size.apply(*value)).sum::<f64>();
                size.undo((sum + ends) / self.0.len() as f64).clamp(f64::MIN, f64::MAX)
            }
            Err(mean) => mean,
        }
    }

    /// The number of values that the share `cut` is at either end, and the values between. If there are none, the error
    /// is the mean instead: the median, or NaN as for [`Self::trimmed_mean`].
    fn cut(&self, cut: f64) -> Result<(usize, &[f64]), f64> {
        let count = self.0.len();
        if count == 0 || !(0.0..=0.5).contains(&cut) {
            return Err(f64::NAN);
        }
        let each = (cut * count as f64) as usize;
        if 2 * each >= count { Err(self.median()) } else { Ok((each, &self.0[each..count - each])) }
    }
}

/// Maximum number of points whose pairs are all compared; a longer series is thinned out evenly. 1,000 points have half
/// a million pairs.
const THEIL_SEN_POINTS: usize = 1000;

/// A line through the finite values of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// The change for each step.
    pub slope: f64,
    /// The value at step 0.
    pub at_start: f64,
}

/// The memory that [`theil_sen`] takes for `len` values.
pub fn theil_sen_bytes(len: usize) -> usize {
    let points = len.min(THEIL_SEN_POINTS);
    (len + points * points / 2 + 2 * points) * size_of::<f64>()
}

/// Theil and Sen's line: the median slope of all pairs of points, through the median of the remainders.
///
/// Up to 29 % of the values may be wrong in any way. Of more than 1,000 values, every k-th is used.
///
/// # Errors
/// Fewer than two values, a result beyond the largest number, and a stop by the caller.
pub fn theil_sen(values: &[f64], check: Check<'_>) -> Result<Line, Error> {
    let mut pace = Pace::new(check);
    let size = Size::of(values);
    let there = values.iter().filter(|v| v.is_finite()).count();
    if there < 2 {
        return Err(Unfit::TooShort { has: there, needs: 2 }.into());
    }
    let every = there.div_ceil(THEIL_SEN_POINTS);
    let points: Vec<(f64, f64)> = values
        .iter()
        .enumerate()
        .filter(|(_, v)| v.is_finite())
        .step_by(every)
        .map(|(i, &v)| (i as f64, size.apply(v)))
        .collect();
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (i, (x, y)) in points.iter().enumerate() {
        pace.work(4 * (points.len() - i))?;
        slopes.extend(points[i + 1..].iter().map(|(x2, y2)| (y2 - y) / (x2 - x)));
    }
    pace.work(8 * slopes.len())?;
    let slope = crate::order::median_in_place(&mut slopes);
    let mut rest: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    let at_start = size.undo(crate::order::median_in_place(&mut rest));
    let line = Line { slope: size.undo(slope), at_start };
    if line.slope.is_finite() && line.at_start.is_finite() { Ok(line) } else { Err(Unfit::Overflow.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go() -> Result<(), crate::Stop> {
        Ok(())
    }

    #[test]
    fn statistics_of_known_values() {
        let sorted = Sorted::of(&[9.0, 1.0, 2.0, f64::NAN, 100.0, 3.0]);
        assert_eq!(sorted.median(), 3.0);
        assert_eq!(sorted.mad(), 2.0);
        assert_eq!(sorted.iqr(), 7.0);
        assert_eq!(sorted.trimmed_mean(0.2), 14.0 / 3.0);
        assert_eq!(sorted.winsorized_mean(0.2), (2.0 + 2.0 + 3.0 + 9.0 + 9.0) / 5.0);
        assert_eq!(sorted.trimmed_mean(0.5), 3.0);
        assert!(sorted.trimmed_mean(0.6).is_nan());
        assert_eq!(Sorted::of(&[1.0, 2.0, 4.0, 9.0]).mad(), 1.5);
        assert!(Sorted::of(&[f64::NAN]).mad().is_nan());
    }

    #[test]
    fn a_robust_line_ignores_a_quarter_of_wild_values() {
        let values: Vec<f64> =
            (0..80).map(|i| if i % 4 == 0 { 1e6 } else { 3.0 + 0.5 * f64::from(i) }).collect();
        let line = theil_sen(&values, &mut go).unwrap();
        assert!((line.slope - 0.5).abs() < 0.05, "{line:?}");
        let long: Vec<f64> = (0..5000).map(|i| 7.0 - 0.25 * f64::from(i)).collect();
        let line = theil_sen(&long, &mut go).unwrap();
        assert_eq!(line, Line { slope: -0.25, at_start: 7.0 });
    }

    #[test]
    fn a_line_needs_two_values_and_room() {
        let short = theil_sen(&[1.0, f64::NAN], &mut go);
        assert_eq!(short, Err(Unfit::TooShort { has: 1, needs: 2 }.into()));
        assert_eq!(theil_sen(&[-1e308, 1e308], &mut go), Err(Unfit::Overflow.into()));
        let mut stop = || Err(crate::Stop);
        let values = vec![1.0; 2000];
        assert_eq!(theil_sen(&values, &mut stop), Err(Error::Stopped));
    }
}
