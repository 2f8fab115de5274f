//! Exponential smoothing: a level and a trend that follow the series, and what they predict from each step.

/// What is predicted from each step: `level + trend * (1 + d + d^2 + … + d^(h-1))` for the damping `d`.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub levels: Vec<f64>,
    pub trends: Vec<f64>,
    pub damping: f64,
}

impl Path {
    /// The prediction for `h` steps after step `from`.
    pub fn at(&self, from: usize, h: usize) -> f64 {
        let h = h as f64;
        let steps = if self.damping == 1.0 {
            h
        } else {
            self.damping * (1.0 - self.damping.powf(h)) / (1.0 - self.damping)
        };
        self.levels[from] + self.trends[from] * steps
    }
}

/// The newest values that parameters are chosen by.
const CHOSEN_BY: usize = 500;

/// A level with a fixed weight of the newest value, from which the last distance fades: a share `carry` of it remains
/// after each step.
pub(super) fn carried(values: &[f64], weight: f64, carry: f64) -> Path {
    let begin = values.len().min(10);
    let mut level = values[..begin].iter().sum::<f64>() / begin.max(1) as f64;
    let mut path = Path {
        levels: Vec::with_capacity(values.len()),
        trends: Vec::with_capacity(values.len()),
        damping: 1.0,
    };
    if carry > 0.0 {
        path.damping = carry;
    }
    for value in values {
        level += weight * (value - level);
        let distance = if carry > 0.0 { value - level } else { 0.0 };
        // A distance that fades to its `carry^h` is a damped trend back to the level.
        path.levels.push(level + distance);
        path.trends.push(if carry > 0.0 { -distance * (1.0 - carry) / carry } else { 0.0 });
    }
    path
}

/// Assimakopoulos and Nikolopoulos' Theta: the mean of a line and of a smoothed series whose curvature is doubled.
pub(super) fn theta(values: &[f64]) -> Path {
    let (slope, at_start) = line(values);
    let on_line = |i: usize| at_start + slope * i as f64;
    let doubled: Vec<f64> = values.iter().enumerate().map(|(i, value)| 2.0 * value - on_line(i)).collect();
    let recent = &doubled[doubled.len().saturating_sub(CHOSEN_BY)..];
    let error = |alpha: f64| {
        let mut level = recent[0];
        let mut sum = 0.0;
        for value in &recent[1..] {
            let miss = value - level;
            sum += miss * miss;
            level += alpha * miss;
        }
        sum
    };
    let alpha = least(error, 0.01, 0.99);
    let mut level = doubled[0];
    let mut levels = Vec::with_capacity(values.len());
    for (i, value) in doubled.iter().enumerate() {
        level += alpha * (value - level);
        levels.push(f64::midpoint(level, on_line(i)));
    }
    Path { levels, trends: vec![slope / 2.0; values.len()], damping: 1.0 }
}

/// Holt's method with a damped trend; the three weights are those with the least squared errors of one step.
pub(super) fn damped_holt(values: &[f64]) -> Path {
    let recent = &values[values.len().saturating_sub(CHOSEN_BY)..];
    let mut best = (f64::INFINITY, [0.5, 0.1, 0.9]);
    for damping in [0.8, 0.9, 0.95, 0.98] {
        for alpha in [0.05, 0.15, 0.3, 0.5, 0.7, 0.9, 0.99] {
            for share in [0.01, 0.05, 0.15, 0.4, 0.8] {
                let weights = [alpha, share, damping];
                let error = holt_error(recent, weights);
                if error < best.0 {
                    best = (error, weights);
                }
            }
        }
    }
    let mut step = [0.1, 0.1, 0.04];
    for _ in 0..24 {
        let mut improved = false;
        for place in 0..3 {
            for sign in [-1.0, 1.0] {
                let mut weights = best.1;
                let (low, high) = if place == 2 { (0.8, 0.98) } else { (0.001, 0.999) };
                weights[place] = (weights[place] + sign * step[place]).clamp(low, high);
                let error = holt_error(recent, weights);
                if error < best.0 {
                    best = (error, weights);
                    improved = true;
                }
            }
        }
        if !improved {
            step.iter_mut().for_each(|step| *step /= 2.0);
        }
    }
    let mut path = Path { levels: Vec::with_capacity(values.len()), trends: Vec::new(), damping: best.1[2] };
    holt(values, best.1, |level, trend, _| {
        path.levels.push(level);
        path.trends.push(trend);
    });
    path
}

/// Follows a series; `share` is the trend's weight as a share of the level's.
fn holt(values: &[f64], [alpha, share, damping]: [f64; 3], mut each: impl FnMut(f64, f64, f64)) {
    let begin = values.len().min(5);
    let mut level = values[0];
    let mut trend = (values[begin - 1] - values[0]) / (begin.max(2) - 1) as f64;
    each(level, trend, 0.0);
    for value in &values[1..] {
        let predicted = level + damping * trend;
        let miss = value - predicted;
        level = predicted + alpha * miss;
        trend = damping * trend + alpha * share * miss;
        each(level, trend, miss);
    }
}

fn holt_error(values: &[f64], weights: [f64; 3]) -> f64 {
    let mut sum = 0.0;
    holt(values, weights, |_, _, miss| sum += miss * miss);
    sum
}

/// A straight line from the last step of each part of a series.
pub(super) fn linear(values: &[f64]) -> Path {
    let (slope, at_start) = line(values);
    let levels = (0..values.len()).map(|i| at_start + slope * i as f64).collect();
    Path { levels, trends: vec![slope; values.len()], damping: 1.0 }
}

/// The least-squares line: its slope and its value at step 0.
pub(super) fn line(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return (0.0, mean);
    }
    let middle = (n - 1.0) / 2.0;
    let along = values.iter().enumerate().map(|(i, v)| (i as f64 - middle) * (v - mean)).sum::<f64>();
    let slope = along / (n * (n * n - 1.0) / 12.0);
    (slope, mean - slope * middle)
}

/// Where a function of one dip is least, by the golden section.
fn least(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut a, mut b) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut at_a, mut at_b) = (f(a), f(b));
    while high - low > 1e-3 {
        if at_a <= at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - GOLDEN * (high - low);
            at_a = f(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + GOLDEN * (high - low);
            at_b = f(b);
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_continued() {
        let values: Vec<f64> = (0..40).map(|i| 5.0 + 2.0 * f64::from(i)).collect();
        for (path, tolerance) in [(linear(&values), 1e-9), (theta(&values), 6.0), (damped_holt(&values), 8.0)]
        {
            let got = path.at(39, 5);
            assert!((got - 93.0).abs() < tolerance, "{got}");
        }
        assert_eq!(carried(&[3.0; 20], 0.1, 0.0).at(19, 7), 3.0);
        let mut values = [3.0; 20];
        values[19] = 13.0;
        let got = carried(&values, 0.1, 0.5).at(19, 2);
        assert!((got - (4.0 + 9.0 * 0.25)).abs() < 1e-12, "{got}");
    }

    #[test]
    fn a_damped_trend_is_a_sum_of_powers() {
        let path = Path { levels: vec![1.0], trends: vec![2.0], damping: 0.5 };
        assert!((path.at(0, 3) - (1.0 + 2.0 * (0.5 + 0.25 + 0.125))).abs() < 1e-12);
    }
}
