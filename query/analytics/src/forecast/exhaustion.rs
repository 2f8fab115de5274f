//! When a series reaches a limit: disks that fill, certificates that expire, quotas that run out.

use crate::decompose::{self, decompose};
use crate::gaps;
use crate::order::median;
use crate::robust::{self, theil_sen};
use crate::size::Size;
use crate::{Check, Error, Unfit};

/// The number of parts of the series whose slopes determine the uncertainty of the whole slope.
const PARTS: usize = 8;

/// The number of values whose median is the present level.
const NOW: usize = 5;

/// Steps from the last value until the limit is reached; infinite for never.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exhaustion {
    /// With the slope of the whole series.
    pub point: f64,
    /// With the steepest likely slope toward the limit.
    pub earliest: f64,
    /// With the flattest one.
    pub latest: f64,
}

/// The memory that [`until`] takes for `len` steps.
pub fn bytes(len: usize, period: Option<usize>) -> usize {
    let seasons: Vec<usize> = period.into_iter().collect();
    let split =
        decompose::Options { seasons: &seasons, robust: false, precision: decompose::Precision::Tenth };
    decompose::bytes(len, &split) + robust::theil_sen_bytes(len)
}

/// When a series reaches a limit, by a robust line through the series without its season, starting at the median of the
/// last values.
///
/// A series at the limit has reached it; one that moves away from the limit never reaches it. The range comes from the
/// slopes of the series without each of eight equal parts.
///
/// # Errors
/// Fewer than 10 values, more gaps than values, and a stop by the caller.
pub fn until(
    values: &[f64],
    limit: f64,
    period: Option<usize>,
    check: Check<'_>,
) -> Result<Exhaustion, Error> {
    let there = values.iter().filter(|value| value.is_finite()).count();
    if there < 10 {
        return Err(Unfit::TooShort { has: there, needs: 10 }.into());
    }
    let mut filled = gaps::fill(values, period.as_slice())?.values;
    let size = Size::of(&filled);
    size.apply_all(&mut filled);
    let limit = size.apply(limit);
    let period = period.filter(|&period| period >= 2 && period <= filled.len() / 2);
    let level = match period {
        Some(period) => {
            let split = decompose::Options {
                seasons: &[period],
                robust: false,
                precision: decompose::Precision::Tenth,
            };
            let parts = decompose(&filled, &split, &mut *check)?;
            let (_, season) = &parts.seasons[0];
            filled.iter().zip(season).map(|(value, season)| value - season).collect()
        }
        None => filled,
    };
    let now = median(&level[level.len() - NOW.min(level.len())..]);
    let slope = theil_sen(&level, &mut *check)?.slope;
    let mut slopes = Vec::with_capacity(PARTS);
    let size = level.len() / PARTS;
    // Each part is left out in turn, so that no slope rests on a short stretch alone.
    for part in (0..PARTS).filter(|_| size > 0) {
        let mut rest = level.clone();
        rest[part * size..(part + 1) * size].fill(f64::NAN);
        slopes.push(theil_sen(&rest, &mut *check)?.slope);
    }
    let spread = jackknife(&slopes, slope);
    let distance = limit - now;
    let steps = |slope: f64| {
        if distance == 0.0 {
            0.0
        } else if distance.is_finite() && slope != 0.0 && slope.signum() == distance.signum() {
            distance / slope
        } else {
            f64::INFINITY
        }
    };
    let toward = distance.signum() * 1.96 * spread;
    Ok(Exhaustion { point: steps(slope), earliest: steps(slope + toward), latest: steps(slope - toward) })
}

/// The standard error of a slope from those without each part (Tukey's jackknife).
fn jackknife(slopes: &[f64], whole: f64) -> f64 {
    let n = slopes.len() as f64;
    if slopes.is_empty() {
        return 0.0;
    }
    let mean = slopes.iter().sum::<f64>() / n;
    let squares: f64 = slopes.iter().map(|slope| (slope - mean) * (slope - mean)).sum();
    let bias = (mean - whole).abs();
    ((n - 1.0) / n * squares).sqrt().max(bias)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(values: &[f64], limit: f64, period: Option<usize>) -> Exhaustion {
        until(values, limit, period, &mut || Ok(())).unwrap()
    }

    #[test]
    fn a_line_reaches_its_limit() {
        let values: Vec<f64> = (0..100).map(|i| 10.0 + 0.5 * f64::from(i)).collect();
        let got = run(&values, 109.5, None);
        // The level is the median of the last five values, at step 97.
        assert!((got.point - 102.0).abs() < 1e-6, "{got:?}");
        assert!(got.earliest <= got.point && got.latest >= got.point);
        let down: Vec<f64> = values.iter().map(|v| -v).collect();
        assert!((run(&down, -109.5, None).point - 102.0).abs() < 1e-6);
    }

    #[test]
    fn a_season_is_not_a_trend() {
        let wave = |i: u32| (f64::from(i % 24) / 24.0 * std::f64::consts::TAU).sin();
        let values: Vec<f64> = (0..150).map(|i| 20.0 * wave(i) + 0.1 * f64::from(i)).collect();
        let got = run(&values, 100.0, Some(24));
        let truth = (100.0 - 0.1 * 147.0) / 0.1;
        assert!((got.point - truth).abs() < 0.05 * truth, "{got:?} {truth}");
        assert!(got.earliest <= truth && truth <= got.latest, "{got:?} {truth}");
    }

    #[test]
    fn what_does_not_move_never_arrives() {
        let got = run(&[5.0; 50], 9.0, None);
        assert_eq!([got.point, got.earliest, got.latest], [f64::INFINITY; 3]);
        assert_eq!(run(&[5.0; 50], 5.0, None).point, 0.0);
        // A slope that overflows, and a limit without end.
        let mut steep = vec![0.0; 60];
        steep[0] = -f64::MAX;
        assert_eq!(run(&steep, f64::INFINITY, Some(30)).point, f64::INFINITY);
        let away: Vec<f64> = (0..50).map(|i| -f64::from(i)).collect();
        assert_eq!(run(&away, 9.0, None).point, f64::INFINITY);
        let short = until(&[1.0; 4], 5.0, None, &mut || Ok(()));
        assert_eq!(short, Err(Unfit::TooShort { has: 4, needs: 10 }.into()));
    }
}
