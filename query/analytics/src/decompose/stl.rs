//! STL: a seasonal-trend decomposition by loess (Cleveland, Cleveland, McRae and Terpenning, 1990).

use super::loess::{Input, Loess};
use crate::order::median_in_place;
use crate::{Pace, Stop};

/// What a decomposition by STL is made with. The defaults are those of statsmodels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Steps of a season, at least 2.
    pub period: usize,
    /// The window that smooths the values of one phase from cycle to cycle; odd, at least 3.
    pub seasonal: usize,
    /// The window of the trend; odd.
    pub trend: usize,
    /// The window that removes the trend from the season; odd, longer than a season.
    pub low_pass: usize,
    /// How often season and trend are computed in turn.
    pub inner: usize,
    /// How often values that fit badly get less weight.
    pub outer: usize,
    /// The trend and the low pass are computed every `window / jump_share` steps and interpolated between them; 0
    /// computes every step.
    pub jump_share: usize,
}

impl Parameters {
    /// The defaults for a season of `period` steps and a window of `seasonal` cycles.
    pub fn new(period: usize, seasonal: usize, robust: bool) -> Parameters {
        let seasonal = seasonal.max(3) | 1;
        let trend = (1.5 * period as f64 / (1.0 - 1.5 / seasonal as f64)).ceil() as usize | 1;
        // The smallest odd number above the period.
        let low_pass = (period + 1) | 1;
        let (inner, outer) = if robust { (2, 15) } else { (5, 0) };
        Parameters { period, seasonal, trend, low_pass, inner, outer, jump_share: 0 }
    }

    /// How far apart the computed steps of a window are.
    fn jump(&self, window: usize) -> usize {
        if self.jump_share == 0 { 1 } else { window.div_ceil(self.jump_share) }
    }

    /// The memory that a decomposition of `n` steps takes.
    pub fn bytes(&self, n: usize) -> usize {
        let floats = 8 * n + 3 * (n + 2 * self.period) + 4 * n.div_ceil(self.period) + 2 * self.trend;
        let cycles = n.div_ceil(self.period);
        let smoothers =
            [(n, self.trend), (n, self.low_pass), (cycles, self.seasonal), (cycles, self.seasonal)];
        floats * size_of::<f64>() + smoothers.iter().map(|&(n, len)| Loess::bytes(n, len)).sum::<usize>()
    }
}

/// The parts of a series; they sum up to it.
#[derive(Debug, Clone)]
pub struct Parts {
    /// What changes slowly.
    pub trend: Vec<f64>,
    /// What repeats every period.
    pub seasonal: Vec<f64>,
    /// How far each value was used, from 0 to 1; all 1 unless the decomposition is robust.
    pub weights: Vec<f64>,
}

/// Decomposes finite values; there are at least two periods of them.
pub(super) fn decompose(values: &[f64], p: &Parameters, pace: &mut Pace<'_>) -> Result<Parts, Stop> {
    let n = values.len();
    let mut parts = Parts { trend: vec![0.0; n], seasonal: vec![0.0; n], weights: vec![1.0; n] };
    let mut state = State::new(n, p);
    for round in 0..=p.outer {
        let robust = (round > 0).then(|| parts.weights.clone());
        for _ in 0..p.inner {
            state.improve(values, &mut parts, robust.as_deref(), pace)?;
        }
        if round < p.outer {
            reweigh(values, &mut parts, &mut state.work);
        }
    }
    Ok(parts)
}

/// The smoothers and the buffers of one decomposition.
struct State {
    period: usize,
    /// For the phases with one cycle more, and for the others.
    seasonal: [Loess; 2],
    trend: Loess,
    low_pass: Loess,
    /// The series with one cycle more at either end.
    cycles: Vec<f64>,
    averages: [Vec<f64>; 2],
    work: Vec<f64>,
    low: Vec<f64>,
}

impl State {
    fn new(n: usize, p: &Parameters) -> State {
        let (longer, plain) = (n.div_ceil(p.period), p.outer == 0);
        State {
            period: p.period,
            seasonal: [longer, n / p.period].map(|cycles| Loess::new(cycles, p.seasonal, 1, plain)),
            trend: Loess::new(n, p.trend, p.jump(p.trend), plain),
            low_pass: Loess::new(n, p.low_pass, p.jump(p.low_pass), true),
            cycles: vec![0.0; n + 2 * p.period],
            averages: [Vec::new(), Vec::new()],
            work: vec![0.0; n],
            low: vec![0.0; n],
        }
    }

    /// One round: the season from what the trend leaves, the trend from what the season leaves.
    fn improve(
        &mut self,
        values: &[f64],
        parts: &mut Parts,
        robustness: Option<&[f64]>,
        pace: &mut Pace<'_>,
    ) -> Result<(), Stop> {
        subtract(values, &parts.trend, &mut self.work);
        self.smooth_phases(robustness, pace)?;
        let [long, short] = &mut self.averages;
        moving_average(&self.cycles, self.period, long);
        moving_average(long, self.period, short);
        moving_average(short, 3, long);
        pace.work(4 * values.len())?;
        self.low_pass.smooth(Input { values: long, robustness: None }, &mut self.low, pace)?;
        subtract(&self.cycles[self.period..], &self.low, &mut parts.seasonal);
        subtract(values, &parts.seasonal, &mut self.work);
        self.trend.smooth(Input { values: &self.work, robustness }, &mut parts.trend, pace)
    }

    /// Smooths the values of each phase, and continues them by one cycle at either end.
    fn smooth_phases(&mut self, robustness: Option<&[f64]>, pace: &mut Pace<'_>) -> Result<(), Stop> {
        let n = self.work.len();
        let (mut phase, mut phase_weights, mut smoothed) = (Vec::new(), Vec::new(), Vec::new());
        let mut weights = Vec::new();
        for first in 0..self.period {
            let places = || (first..n).step_by(self.period);
            phase.clear();
            phase.extend(places().map(|i| self.work[i]));
            phase_weights.clear();
            phase_weights.extend(robustness.iter().flat_map(|weights| places().map(|i| weights[i])));
            let count = phase.len();
            let loess = &self.seasonal[usize::from(count != self.seasonal[0].len_of_series())];
            let input = Input { values: &phase, robustness: robustness.map(|_| &phase_weights[..]) };
            smoothed.clear();
            smoothed.resize(count, 0.0);
            loess.smooth(input, &mut smoothed, pace)?;
            let before = loess.at(-1, input, &mut weights).unwrap_or(smoothed[0]);
            let after = loess.at(count as isize, input, &mut weights).unwrap_or(smoothed[count - 1]);
            self.cycles[first] = before;
            for (cycle, value) in smoothed.iter().enumerate() {
                self.cycles[first + (cycle + 1) * self.period] = *value;
            }
            self.cycles[first + (count + 1) * self.period] = after;
        }
        Ok(())
    }
}

fn subtract(a: &[f64], b: &[f64], out: &mut [f64]) {
    out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = a - b);
}

/// The means of all windows of `len` values.
fn moving_average(values: &[f64], len: usize, out: &mut Vec<f64>) {
    out.clear();
    let mut sum: f64 = values[..len].iter().sum();
    let len_f = len as f64;
    out.push(sum / len_f);
    for (entering, leaving) in values[len..].iter().zip(values) {
        sum = sum - leaving + entering;
        out.push(sum / len_f);
    }
}

/// The bisquare weights of the residuals, on a scale of six times their median.
fn reweigh(values: &[f64], parts: &mut Parts, residuals: &mut [f64]) {
    for (i, residual) in residuals.iter_mut().enumerate() {
        *residual = (values[i] - parts.trend[i] - parts.seasonal[i]).abs();
        parts.weights[i] = *residual;
    }
    let scale = 6.0 * median_in_place(residuals);
    for weight in &mut parts.weights {
        let residual = *weight;
        *weight = if residual <= 0.001 * scale {
            1.0
        } else if residual <= 0.999 * scale {
            let relative = residual / scale;
            let rest = 1.0 - relative * relative;
            rest * rest
        } else {
            0.0
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_statsmodels() {
        let p = Parameters::new(12, 7, false);
        assert_eq!((p.trend, p.low_pass, p.inner, p.outer), (23, 13, 5, 0));
        let p = Parameters::new(11, 7, true);
        assert_eq!((p.trend, p.low_pass, p.inner, p.outer), (21, 13, 2, 15));
    }

    #[test]
    fn averages_of_windows() {
        let mut out = Vec::new();
        moving_average(&[1.0, 2.0, 3.0, 6.0], 3, &mut out);
        assert_eq!(out, [2.0, 11.0 / 3.0]);
    }
}
