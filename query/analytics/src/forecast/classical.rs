//! Seasonal indices by the classical decomposition, for short series with a short season.

use crate::{Pace, Stop};

/// The index of each phase, and how it is removed.
#[derive(Debug, Clone)]
pub(super) struct Indices {
    /// One for each phase; phase 0 is that of the first value.
    pub of_phase: Vec<f64>,
    /// Whether values are divided by their index, or it is subtracted.
    pub divide: bool,
}

impl Indices {
    pub fn remove(&self, step: usize, value: f64) -> f64 {
        let index = self.of_phase[step % self.of_phase.len()];
        if self.divide { value / index } else { value - index }
    }

    pub fn restore(&self, step: usize, value: f64) -> f64 {
        let index = self.of_phase[step % self.of_phase.len()];
        if self.divide { value * index } else { value + index }
    }
}

/// The indices of a series, if it is seasonal at a probability of 90 %: as a factor where all values are positive.
pub(super) fn indices(values: &[f64], period: usize, pace: &mut Pace<'_>) -> Result<Option<Indices>, Stop> {
    if period < 2 || values.len() < 2 * period + 1 || !is_seasonal(values, period, pace)? {
        return Ok(None);
    }
    let divide = values.iter().all(|value| *value > 0.0);
    let trend = centred_average(values, period, pace)?;
    let half = period / 2;
    let (mut sums, mut counts) = (vec![0.0; period], vec![0.0; period]);
    for (i, trend) in trend.iter().enumerate() {
        let step = i + half;
        sums[step % period] += if divide { values[step] / trend } else { values[step] - trend };
        counts[step % period] += 1.0;
    }
    let mut of_phase: Vec<f64> = sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect();
    let mean = of_phase.iter().sum::<f64>() / period as f64;
    of_phase.iter_mut().for_each(|index| *index = if divide { *index / mean } else { *index - mean });
    let usable = of_phase.iter().all(|index| index.is_finite() && (!divide || *index > 0.01));
    Ok(usable.then_some(Indices { of_phase, divide }))
}

/// The mean of one period around each step that has half a period on either side.
pub(super) fn centred_average(values: &[f64], period: usize, pace: &mut Pace<'_>) -> Result<Vec<f64>, Stop> {
    let is_odd = period % 2 == 1;
    let mean = |window: &[f64]| {
        pace.work(period)?;
        // An even period has half of a value at either end.
        let ends = if is_odd { window[0] } else { f64::midpoint(window[0], window[period]) };
        Ok((window[1..period].iter().sum::<f64>() + ends) / period as f64)
    };
    values.windows(if is_odd { period } else { period + 1 }).map(mean).collect()
}

/// Whether the autocorrelation one period apart is beyond what chance explains, given those of shorter lags.
fn is_seasonal(values: &[f64], period: usize, pace: &mut Pace<'_>) -> Result<bool, Stop> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let sum =
        |lag: usize| values.iter().zip(&values[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let variance = sum(0);
    if variance <= 0.0 {
        return Ok(false);
    }
    let mut shorter = 0.0;
    for lag in 1..period {
        pace.work(values.len())?;
        shorter += (sum(lag) / variance).powi(2);
    }
    let limit = 1.645 * ((1.0 + 2.0 * shorter) / n).sqrt();
    Ok((sum(period) / variance).abs() > limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(values: &[f64], period: usize) -> Option<Indices> {
        super::indices(values, period, &mut Pace::new(&mut || Ok(()))).unwrap()
    }

    #[test]
    fn factors_and_sums_are_found() {
        let factors = [0.5, 1.5, 1.0, 1.0];
        let values: Vec<f64> = (0..40).map(|i| 100.0 * factors[i % 4]).collect();
        let got = indices(&values, 4).unwrap();
        assert!(got.divide && got.of_phase.iter().zip(factors).all(|(a, b)| (a - b).abs() < 1e-9));
        let values: Vec<f64> = (0..40).map(|i| [-3.0, 1.0, 2.0][i % 3]).collect();
        let got = indices(&values, 3).unwrap();
        assert!(!got.divide && (got.of_phase[0] + 3.0).abs() < 1e-9, "{got:?}");
        assert!((got.restore(4, got.remove(4, 7.0)) - 7.0).abs() < 1e-12);
        assert!(indices(&[1.0; 40], 4).is_none());
        assert!(indices(&values[..6], 3).is_none());
    }
}
