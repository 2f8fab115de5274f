//! The distance of values from their prediction, according to the earlier errors of the method.

use super::{Model, Options};
use crate::Pace;
use crate::Stop;

/// Maximum number of errors that are computed.
pub(super) const ERRORS: usize = 20_000;

/// Maximum number of distances ahead whose errors are computed; those between them are interpolated.
const DISTANCES: usize = 24;

/// Minimum number of errors for a separate estimate.
const LEAST: usize = 8;

/// The half-width of the range at each step ahead: the quantile `level` of the absolute errors of predictions as far
/// ahead, from all steps of the series from `from` on, never narrower than for a nearer step.
///
/// If the series is too short for errors at a distance, the last estimate grows with the root of the distance.
pub(super) fn reach(
    values: &[f64],
    model: &Model,
    from: usize,
    options: &Options<'_>,
    pace: &mut Pace<'_>,
) -> Result<Vec<f64>, Stop> {
    let distances = distances(options.horizon);
    let mut known: Vec<(usize, f64)> = Vec::new();
    let each = (ERRORS / distances.len().max(1)).max(LEAST);
    let mut errors = Vec::new();
    for &h in &distances {
        let end = values.len().saturating_sub(h);
        let origins = end.saturating_sub(from);
        if origins < LEAST && !known.is_empty() {
            break;
        }
        pace.work(20 * origins.min(each))?;
        errors.clear();
        let every = origins.div_ceil(each).max(1);
        errors.extend((from..end).step_by(every).map(|o| (values[o + h] - model.at(values, o, h)).abs()));
        let width = quantile(&mut errors, options.level);
        let last = known.last().map_or(0.0, |(_, width)| *width);
        known.push((h, width.max(last)));
    }
    Ok((1..=options.horizon).map(|h| between(&known, h)).collect())
}

/// Distances ahead, every one at first and then in growing steps.
fn distances(horizon: usize) -> Vec<usize> {
    let mut distances: Vec<usize> = Vec::new();
    let mut next = 1;
    while next <= horizon {
        distances.push(next);
        let step = (horizon / DISTANCES).max(1);
        next += step.min(distances.len());
    }
    distances
}

/// The conformal quantile: with few errors it is the largest of them, and wider still.
fn quantile(errors: &mut [f64], level: f64) -> f64 {
    errors.sort_unstable_by(f64::total_cmp);
    let Some(&largest) = errors.last() else { return 0.0 };
    let rank = (((errors.len() + 1) as f64 * level).ceil() as usize).max(1);
    if rank <= errors.len() {
        return errors[rank - 1];
    }
    // The errors of a normal distribution have their largest at about this level.
    let covered = errors.len() as f64 / (errors.len() + 1) as f64;
    largest * normal_quantile(level) / normal_quantile(covered)
}

/// The width of the range of a normal distribution with a probability, in standard deviations (Hastings'
/// approximation).
fn normal_quantile(level: f64) -> f64 {
    let tail = ((1.0 - level) / 2.0).clamp(1e-300, 0.5);
    let t = (-2.0 * tail.ln()).sqrt();
    let numerator = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let denominator = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    (t - numerator / denominator).max(1e-3)
}

fn between(known: &[(usize, f64)], h: usize) -> f64 {
    let place = known.partition_point(|(distance, _)| *distance < h);
    match (place.checked_sub(1).map(|before| known[before]), known.get(place)) {
        (Some((near, low)), Some(&(far, high))) => {
            low + (high - low) * (h - near) as f64 / (far - near) as f64
        }
        (None, Some(&(_, width))) => width,
        (Some((near, width)), None) => width * (h as f64 / near as f64).sqrt(),
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_widths() {
        let mut errors: Vec<f64> = (1..=99).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut errors, 0.95), 95.0);
        assert!(quantile(&mut [1.0, 2.0], 0.95) > 2.0);
        assert!((normal_quantile(0.95) - 1.96).abs() < 1e-3);
        let known = [(1, 2.0), (3, 4.0)];
        assert_eq!([1, 2, 3, 12].map(|h| between(&known, h)), [2.0, 3.0, 4.0, 8.0]);
    }

    #[test]
    fn distances_grow() {
        assert_eq!(distances(6), [1, 2, 3, 4, 5, 6]);
        let many = distances(2000);
        assert!(many.len() < 70 && many[..3] == [1, 2, 4], "{many:?}");
    }
}
