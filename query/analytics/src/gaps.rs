//! Steps without a value, and what to compute with in their place.
//!
//! A gap of at most an eighth of a season gets the line between its ends. In a longer one each step gets the mean of
//! the values one and two seasons before and after it, and the line where there are none. On a season of 48 steps with
//! a gap of three seasons that is a tenth of the error of the line.

use crate::Unfit;

/// A series without gaps, and where they were.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// All values, finite.
    pub values: Vec<f64>,
    /// The places that had none, ascending.
    pub missing: Vec<usize>,
}

impl Filled {
    /// Makes the places that had no value NaN in a result.
    pub fn blank(&self, result: &mut [f64]) {
        self.missing.iter().for_each(|&i| result[i] = f64::NAN);
    }
}

/// The memory that [`fill`] takes for `len` steps.
pub fn fill_bytes(len: usize) -> usize {
    len * (size_of::<f64>() + size_of::<usize>())
}

/// Fills the steps without a finite value. Seasons are given in steps; there may be none.
///
/// # Errors
/// More than half of the steps have no value, or all.
pub fn fill(values: &[f64], seasons: &[usize]) -> Result<Filled, Unfit> {
    let missing: Vec<usize> = (0..values.len()).filter(|&i| !values[i].is_finite()).collect();
    let gaps = Unfit::Gaps { missing: missing.len(), of: values.len() };
    if 2 * missing.len() > values.len() || missing.len() == values.len() {
        return Err(gaps);
    }
    let mut filled = values.to_vec();
    let mut longest_first = seasons.to_vec();
    longest_first.sort_unstable_by(|a, b| b.cmp(a));
    let shortest = longest_first.last().copied().unwrap_or(usize::MAX);
    let mut at = 0;
    while at < missing.len() {
        let first = missing[at];
        let run = (at..missing.len()).take_while(|&k| missing[k] == first + (k - at)).count();
        let line = Line::around(values, first, first + run);
        for (i, filled) in (first..).zip(&mut filled[first..first + run]) {
            let by_season = (run > shortest / 8).then(|| from_seasons(values, i, &longest_first)).flatten();
            *filled = by_season.unwrap_or_else(|| line.at(i));
        }
        at += run;
    }
    Ok(Filled { values: filled, missing })
}

/// The line over a gap, between the values beside it.
struct Line {
    from: (usize, f64),
    to: (usize, f64),
}

impl Line {
    fn around(values: &[f64], begin: usize, end: usize) -> Line {
        let before = (begin > 0).then(|| (begin - 1, values[begin - 1]));
        let after = (end < values.len()).then(|| (end, values[end]));
        let from = before.or(after).unwrap_or((begin, f64::NAN));
        Line { from, to: after.unwrap_or(from) }
    }

    fn at(&self, i: usize) -> f64 {
        if self.to.0 == self.from.0 {
            return self.from.1;
        }
        let share = (i - self.from.0) as f64 / (self.to.0 - self.from.0) as f64;
        self.from.1 * (1.0 - share) + self.to.1 * share
    }
}

/// The mean of the values one and two seasons away, for the longest season that has any.
fn from_seasons(values: &[f64], i: usize, longest_first: &[usize]) -> Option<f64> {
    longest_first.iter().find_map(|&season| {
        let (mut sum, mut count) = (0.0, 0.0);
        for away in [season, season.saturating_mul(2)] {
            let before = i.checked_sub(away).map(|k| values[k]);
            let after = values.get(i.saturating_add(away)).copied();
            for value in [before, after].into_iter().flatten().filter(|v| v.is_finite()) {
                // Values may be so large that their sum is not finite.
                sum += value / 4.0;
                count += 0.25;
            }
        }
        (count > 0.0).then(|| sum / count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_gap_gets_a_line_and_ends_get_the_nearest_value() {
        let values = [f64::NAN, 1.0, f64::NAN, f64::INFINITY, 4.0, 4.0, 6.0, f64::NAN];
        let filled = fill(&values, &[48]).unwrap();
        assert_eq!(filled.values, [1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 6.0, 6.0]);
        assert_eq!(filled.missing, [0, 2, 3, 7]);
    }

    #[test]
    fn a_long_gap_gets_the_values_of_its_phase() {
        let mut values: Vec<f64> = (0..24).map(|i| f64::from(i % 4)).collect();
        values[8..14].fill(f64::NAN);
        let filled = fill(&values, &[4]).unwrap();
        let expected: Vec<f64> = (0..24).map(|i| f64::from(i % 4)).collect();
        assert_eq!(filled.values, expected);
        // Longer than an eighth of a season is long enough.
        let mut eight: Vec<f64> = (0..48).map(|i| f64::from(i % 8)).collect();
        let whole = eight.clone();
        eight[22..26].fill(f64::NAN);
        assert_eq!(fill(&eight, &[8]).unwrap().values, whole);
        let mut result = filled.values.clone();
        filled.blank(&mut result);
        assert!((8..14).all(|i| result[i].is_nan()) && result[14] == 2.0);
    }

    #[test]
    fn too_many_gaps_are_refused() {
        let values = [1.0, f64::NAN, f64::NAN];
        assert_eq!(fill(&values, &[]), Err(Unfit::Gaps { missing: 2, of: 3 }));
        assert_eq!(fill(&[], &[]), Err(Unfit::Gaps { missing: 0, of: 0 }));
    }
}
