//! The predictions by which the parameters of a method are chosen.

/// The number of steps to predict from, and of distances ahead from each.
const ORIGINS: usize = 40;
const DISTANCES: usize = 12;

/// Predictions from steps of the last third of a series.
pub(super) struct Trials {
    origins: Vec<usize>,
    distances: Vec<usize>,
}

impl Trials {
    /// The trials for a series of `len` steps whose first season is not predicted.
    pub fn new(len: usize, season: usize, horizon: usize) -> Trials {
        let from = (len - len / 3).max(season);
        let furthest = horizon.min(len.saturating_sub(from) / 2).max(1);
        let every = (len.saturating_sub(from) / ORIGINS).max(1);
        Trials {
            origins: (from..len.saturating_sub(furthest)).step_by(every).collect(),
            distances: (1..=furthest).step_by(furthest.div_ceil(DISTANCES)).collect(),
        }
    }

    /// The sum of the absolute errors of a method's predictions for some distance ahead of a step.
    pub fn error(&self, values: &[f64], predict: impl Fn(usize, usize) -> f64) -> f64 {
        let of = |origin: usize| {
            let errors = self.distances.iter().map(|&h| (values[origin + h] - predict(origin, h)).abs());
            errors.sum::<f64>()
        };
        self.origins.iter().map(|&origin| of(origin)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_stay_inside_the_series() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        for (season, horizon) in [(1, 1), (30, 20), (90, 500), (99, 7), (100, 3)] {
            let trials = Trials::new(100, season, horizon);
            let error = trials.error(&values, |from, h| {
                assert!(from >= season && from + h < 100);
                (from + h) as f64 - 1.0
            });
            let count = trials.origins.len() * trials.distances.len();
            assert_eq!(error, count as f64);
            assert_eq!(count > 0, season < 99, "{season}");
        }
    }
}
