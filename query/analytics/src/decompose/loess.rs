//! Loess on a regular grid: at each step, a line through the nearest values, weighted by distance.
//!
//! Away from the ends every window has the same weights. Without robustness weights the line's value at its centre is
//! then one weighted sum, the same for all steps; with them it takes five such sums. Both are computed for sixteen
//! steps side by side, which the compiler makes vector instructions of. Near the ends each step has weights of its own.

use crate::Pace;
use crate::Stop;

/// Steps that are computed together in the middle of a series.
const LANES: usize = 16;

/// The most weights of end windows that are kept from call to call: 8 MiB, enough for a window of 700 steps.
const KEPT_WEIGHTS: usize = 1 << 20;

/// Smooths series of one length with one window.
#[derive(Debug, Clone)]
pub(super) struct Loess {
    /// The length of the series.
    n: usize,
    /// The length of the window, which may be longer than the series.
    len: usize,
    /// Every how many steps the line is computed; between them its values are interpolated.
    jump: usize,
    /// The weights of a window away from the ends; empty if there is none.
    kernel: Vec<f64>,
    /// The weights at each place near an end, in order, if they are few enough to be kept.
    ends: Vec<Vec<f64>>,
    /// Whether these are not weights but factors: the line's value is the sum of the values multiplied by them. That
    /// needs weights by distance alone.
    are_factors: bool,
}

/// A window of the series: where it is, and the distance of its centre to its farther end.
#[derive(Debug, Clone, Copy)]
struct Window {
    left: usize,
    right: usize,
    /// The place of the line's value; one step outside of the series is allowed.
    x: isize,
}

/// Values, and their robustness weights if there are any.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub values: &'a [f64],
    pub robustness: Option<&'a [f64]>,
}

impl Loess {
    /// A smoother for series of `n` values. One that is never used with robustness weights (`plain`) is quicker.
    pub fn new(n: usize, len: usize, jump: usize, plain: bool) -> Loess {
        let jump = jump.clamp(1, n.max(2) - 1);
        let mut loess = Loess { n, len, jump, kernel: Vec::new(), ends: Vec::new(), are_factors: plain };
        if len < n {
            let half = len / 2;
            let mut kernel = vec![0.0; len];
            loess.tricube(Window { left: 0, right: len - 1, x: half as isize }, &mut kernel);
            loess.kernel = kernel;
        }
        if (2 * len.min(n) + 2) * len.min(n) <= KEPT_WEIGHTS {
            let mut ends = Vec::new();
            for x in (-1..=n as isize).filter(|&x| !loess.is_inside(x)) {
                let window = loess.window(x);
                let mut weights = vec![0.0; window.right - window.left + 1];
                loess.tricube(window, &mut weights);
                if plain {
                    make_factors(&mut weights, (x - window.left as isize) as f64, n);
                }
                ends.push(weights);
            }
            loess.ends = ends;
        }
        loess
    }

    /// The memory that a smoother takes.
    pub fn bytes(n: usize, len: usize) -> usize {
        (2 * len.min(n) + KEPT_WEIGHTS.min((2 * len.min(n) + 2) * len.min(n))) * size_of::<f64>()
    }

    /// The length of the series.
    pub fn len_of_series(&self) -> usize {
        self.n
    }

    /// Whether the window of `x` is symmetric.
    fn is_inside(&self, x: isize) -> bool {
        let half = (self.len / 2) as isize;
        self.len < self.n && x >= half && x < self.n as isize - half
    }

    fn window(&self, x: isize) -> Window {
        let len = self.len.min(self.n);
        let left = (x - (self.len / 2) as isize).clamp(0, (self.n - len) as isize) as usize;
        Window { left, right: left + len - 1, x }
    }

    /// The weights of a window by distance: the cube of one less the cube of the relative distance.
    fn tricube(&self, window: Window, weights: &mut [f64]) {
        let Window { left, right, x } = window;
        let mut h = (x - left as isize).max(right as isize - x) as f64;
        if self.len > self.n {
            h += ((self.len - self.n) / 2) as f64;
        }
        let (far, near) = (0.999 * h, 0.001 * h);
        // 32-bit steps, of which the processor converts several at once.
        let offset = (x - left as isize) as i32;
        for (k, weight) in (0_i32..).zip(weights) {
            let r = f64::from((k - offset).abs());
            let relative = r / h;
            let by_distance = 1.0 - relative * relative * relative;
            let inside = by_distance * by_distance * by_distance;
            let inside = if r <= near { 1.0 } else { inside };
            *weight = if r > far { 0.0 } else { inside };
        }
    }

    /// Smooths all steps. Where all weights are zero the value stays.
    pub fn smooth(&self, input: Input<'_>, out: &mut [f64], pace: &mut Pace<'_>) -> Result<(), Stop> {
        if self.n < 2 {
            out.copy_from_slice(input.values);
            return Ok(());
        }
        if self.jump > 1 {
            return self.smooth_by_jumps(input, out, pace);
        }
        let half = self.len / 2;
        let (from, to) = if self.len < self.n { (half, self.n - half) } else { (self.n, self.n) };
        let mut weights = Vec::new();
        for i in (0..from).chain(to..self.n) {
            pace.work(6 * self.len.min(self.n))?;
            out[i] = self.at(i as isize, input, &mut weights).unwrap_or(input.values[i]);
        }
        if from < to {
            match input.robustness {
                None => self.plain_middle(input.values, &mut out[from..to], pace)?,
                Some(robustness) => {
                    self.weighted_middle(input.values, robustness, &mut out[from..to], pace)?
                }
            }
        }
        Ok(())
    }

    /// Smooths some steps, and interpolates the others. What a smooth weighting leaves has hardly any curvature within
    /// a tenth of its window, so that a cubic through four values is as good there as a line through values that are
    /// several times closer together.
    fn smooth_by_jumps(&self, input: Input<'_>, out: &mut [f64], pace: &mut Pace<'_>) -> Result<(), Stop> {
        let mut weights = Vec::new();
        let last = self.n - 1;
        let knots: Vec<usize> = (0..last).step_by(self.jump).chain([last]).collect();
        for &i in &knots {
            pace.work(6 * self.len.min(self.n))?;
            out[i] = self.at(i as isize, input, &mut weights).unwrap_or(input.values[i]);
        }
        pace.work(8 * self.n)?;
        for (place, pair) in knots.windows(2).enumerate() {
            let first = place.saturating_sub(1).min(knots.len().saturating_sub(4));
            let near = &knots[first..knots.len().min(first + 4)];
            let curve = Curve::through(near, out);
            (pair[0] + 1..).zip(&mut out[pair[0] + 1..pair[1]]).for_each(|(i, value)| *value = curve.at(i));
        }
        Ok(())
    }

    /// The line's value at any place; `None` if all weights are zero.
    pub fn at(&self, x: isize, input: Input<'_>, weights: &mut Vec<f64>) -> Option<f64> {
        let window = self.window(x);
        let len = window.right - window.left + 1;
        let values = &input.values[window.left..=window.right];
        if self.are_factors
            && let Some(factors) = self.kept(x).filter(|_| !self.is_inside(x))
        {
            return (!factors.is_empty()).then(|| dot(factors, values));
        }
        weights.clear();
        weights.resize(len, 0.0);
        if self.is_inside(x) {
            weights.copy_from_slice(&self.kernel);
        } else if let Some(kept) = self.kept(x).filter(|_| !self.are_factors) {
            weights.copy_from_slice(kept);
        } else {
            self.tricube(window, weights);
        }
        if let Some(robustness) = input.robustness {
            let robustness = &robustness[window.left..=window.right];
            weights.iter_mut().zip(robustness).for_each(|(weight, robustness)| *weight *= robustness);
        }
        line_at(values, weights, (x - window.left as isize) as f64, self.n)
    }

    fn kept(&self, x: isize) -> Option<&[f64]> {
        let half = (self.len / 2) as isize;
        let place = if self.len < self.n && x >= self.n as isize - half {
            // The left end has a place for each step before the middle and one outside of the series.
            x - (self.n as isize - half) + half + 1
        } else {
            x + 1
        };
        self.ends.get(place as usize).map(Vec::as_slice)
    }

    /// The middle without robustness weights: in a symmetric window a line's value at the centre is the weighted mean.
    fn plain_middle(&self, values: &[f64], out: &mut [f64], pace: &mut Pace<'_>) -> Result<(), Stop> {
        let sum: f64 = self.kernel.iter().sum();
        let kernel: Vec<f64> = self.kernel.iter().map(|weight| weight / sum).collect();
        let mut i = 0;
        while i < out.len() {
            let count = LANES.min(out.len() - i);
            pace.work(count * kernel.len())?;
            let mut sums = [0.0; LANES];
            if count == LANES {
                for (k, weight) in kernel.iter().enumerate() {
                    let values = &values[i + k..i + k + LANES];
                    for lane in 0..LANES {
                        sums[lane] += weight * values[lane];
                    }
                }
            } else {
                for (lane, sum) in sums[..count].iter_mut().enumerate() {
                    *sum = dot(&kernel, &values[i + lane..i + lane + kernel.len()]);
                }
            }
            out[i..i + count].copy_from_slice(&sums[..count]);
            i += count;
        }
        Ok(())
    }

    /// The middle with robustness weights: moments of the weights and of the values around each centre.
    fn weighted_middle(
        &self,
        values: &[f64],
        robustness: &[f64],
        out: &mut [f64],
        pace: &mut Pace<'_>,
    ) -> Result<(), Stop> {
        let half = (self.len / 2) as f64;
        let first: Vec<f64> = self.kernel.iter().enumerate().map(|(k, w)| w * (k as f64 - half)).collect();
        let second: Vec<f64> = first.iter().enumerate().map(|(k, w)| w * (k as f64 - half)).collect();
        let products: Vec<f64> = values.iter().zip(robustness).map(|(v, r)| v * r).collect();
        let mut i = 0;
        while i < out.len() {
            let count = LANES.min(out.len() - i);
            pace.work(5 * count * self.kernel.len())?;
            let mut sums = [[0.0; LANES]; 5];
            for k in 0..self.kernel.len() {
                let (w0, w1, w2) = (self.kernel[k], first[k], second[k]);
                let robustness = &robustness[i + k..i + k + count];
                let products = &products[i + k..i + k + count];
                for lane in 0..count {
                    sums[0][lane] += w0 * robustness[lane];
                    sums[1][lane] += w1 * robustness[lane];
                    sums[2][lane] += w2 * robustness[lane];
                    sums[3][lane] += w0 * products[lane];
                    sums[4][lane] += w1 * products[lane];
                }
            }
            for (lane, out) in out[i..i + count].iter_mut().enumerate() {
                let moments = [0, 1, 2, 3, 4].map(|of| sums[of][lane]);
                *out = from_moments(moments, self.n).unwrap_or(values[i + lane + self.len / 2]);
            }
            i += count;
        }
        Ok(())
    }
}

/// The polynomial of at most the third degree through up to four points, in Newton's form.
struct Curve {
    places: [f64; 4],
    factors: [f64; 4],
}

impl Curve {
    fn through(places: &[usize], values: &[f64]) -> Curve {
        let mut curve = Curve { places: [0.0; 4], factors: [0.0; 4] };
        for (k, &place) in places.iter().enumerate() {
            (curve.places[k], curve.factors[k]) = (place as f64, values[place]);
        }
        for order in 1..places.len() {
            for k in (order..places.len()).rev() {
                let distance = curve.places[k] - curve.places[k - order];
                curve.factors[k] = (curve.factors[k] - curve.factors[k - 1]) / distance;
            }
        }
        curve
    }

    fn at(&self, place: usize) -> f64 {
        let [a, b, c, d] = self.factors;
        let [x, y, z] = [0, 1, 2].map(|k| place as f64 - self.places[k]);
        a + x * (b + y * (c + z * d))
    }
}

/// The sum of products, in eight independent sums.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Makes of weights the factors of the values of [`line_at`]; none if all weights are zero.
fn make_factors(weights: &mut Vec<f64>, x: f64, n: usize) {
    let (total, moment) = sums_of(weights, |k, weight| (weight, weight * k));
    if total <= 0.0 {
        weights.clear();
        return;
    }
    let centre = moment / total;
    let (spread, _) = sums_of(weights, |k, weight| (weight * (k - centre) * (k - centre), 0.0));
    let spread = spread / total;
    let slope = if spread.sqrt() > 0.001 * (n - 1) as f64 { (x - centre) / spread } else { 0.0 };
    for (k, weight) in weights.iter_mut().enumerate() {
        *weight *= (1.0 + slope * (k as f64 - centre)) / total;
    }
}

/// Two sums over weights and their places, in independent sums.
fn sums_of(weights: &[f64], f: impl Fn(f64, f64) -> (f64, f64)) -> (f64, f64) {
    let mut sums = [[0.0; 4]; 2];
    let chunks = weights.chunks_exact(4);
    let rest = chunks.remainder();
    let mut k = [0.0, 1.0, 2.0, 3.0];
    for chunk in chunks {
        for lane in 0..4 {
            let (a, b) = f(k[lane], chunk[lane]);
            sums[0][lane] += a;
            sums[1][lane] += b;
            k[lane] += 4.0;
        }
    }
    for (lane, weight) in rest.iter().enumerate() {
        let (a, b) = f(k[lane], *weight);
        sums[0][lane] += a;
        sums[1][lane] += b;
    }
    let [a, b] = sums.map(|lanes| lanes.iter().sum::<f64>());
    (a, b)
}

/// The value at `x` (counted from the first value) of the weighted least-squares line.
///
/// If the weights are all but at one place there is no slope, and the value is the weighted mean.
fn line_at(values: &[f64], weights: &[f64], x: f64, n: usize) -> Option<f64> {
    let (total, moment) = sums_of(weights, |k, weight| (weight, weight * k));
    if total <= 0.0 {
        return None;
    }
    let centre = moment / total;
    let (spread, _) = sums_of(weights, |k, weight| (weight * (k - centre) * (k - centre), 0.0));
    let spread = spread / total;
    let (mut mean, mut slope) = (0.0, 0.0);
    for (begin, (weights, values)) in
        (0..).step_by(LANES).zip(weights.chunks(LANES).zip(values.chunks(LANES)))
    {
        let mut products = [0.0; LANES];
        products.iter_mut().zip(weights.iter().zip(values)).for_each(|(product, (w, v))| *product = w * v);
        let (sum, along) = sums_of(&products, |k, product| (product, product * k));
        mean += sum;
        slope += along + sum * (f64::from(begin) - centre);
    }
    let (mean, slope) = (mean / total, slope / total);
    let has_slope = spread.sqrt() > 0.001 * (n - 1) as f64;
    Some(if has_slope { mean + (x - centre) / spread * slope } else { mean })
}

/// The same from moments around `x`: of the weights (0, 1, 2) and of the weighted values (0, 1).
fn from_moments([w0, w1, w2, v0, v1]: [f64; 5], n: usize) -> Option<f64> {
    if w0 <= 0.0 {
        return None;
    }
    let centre = w1 / w0;
    let spread = (w2 / w0 - centre * centre).max(0.0);
    let mean = v0 / w0;
    if spread.sqrt() <= 0.001 * (n - 1) as f64 {
        return Some(mean);
    }
    Some(mean - centre / spread * (v1 / w0 - centre * mean))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smooth(loess: &Loess, input: Input<'_>) -> Vec<f64> {
        let mut out = vec![0.0; loess.n];
        loess.smooth(input, &mut out, &mut Pace::new(&mut || Ok(()))).unwrap();
        out
    }

    #[test]
    fn a_line_stays_a_line() {
        let values: Vec<f64> = (0..60).map(|i| 2.0 - 0.5 * f64::from(i)).collect();
        let robustness: Vec<f64> = (0..60).map(|i| f64::from(i % 7) / 6.0).collect();
        for (len, jump) in [(7, 1), (7, 3), (61, 1), (99, 1), (21, 5)] {
            for robustness in [None, Some(&robustness[..])] {
                let got = smooth(
                    &Loess::new(60, len, jump, robustness.is_none()),
                    Input { values: &values, robustness },
                );
                let worst = got.iter().zip(&values).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(worst < 1e-11, "{len} {jump}: {worst}");
            }
        }
    }

    #[test]
    fn a_cubic_is_interpolated_exactly() {
        let cubic = |i: usize| 3.0 + (i as f64 - 4.0) * (i as f64 - 9.0) * (i as f64 - 17.0) / 50.0;
        let values: Vec<f64> = (0..20).map(cubic).collect();
        for places in [&[0, 6, 12, 18][..], &[6, 12, 18, 19]] {
            let curve = Curve::through(places, &values);
            assert!((0..20).all(|i| (curve.at(i) - values[i]).abs() < 1e-9), "{places:?}");
        }
        assert_eq!(Curve::through(&[2, 6], &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 9.0]).at(5), 7.0);
    }

    #[test]
    fn few_computed_values_are_enough() {
        let value =
            |i: usize| (i as f64 / 40.0).sin() + (i.wrapping_mul(2_654_435_761) % 1000) as f64 / 500.0;
        let values: Vec<f64> = (0..1000).map(value).collect();
        let input = Input { values: &values, robustness: None };
        let exact = smooth(&Loess::new(1000, 201, 1, true), input);
        let quick = smooth(&Loess::new(1000, 201, 21, true), input);
        // Away from the ends, where windows are shorter on one side.
        let middle = exact.iter().zip(&quick).skip(200).take(600);
        let worst = middle.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 2e-3, "{worst}");
    }

    #[test]
    fn sums_side_by_side_equal_one_line_at_a_time() {
        let values: Vec<f64> = (0..143_u32).map(|i| f64::from(i.wrapping_mul(2_654_435_761) >> 20)).collect();
        let robustness: Vec<f64> =
            (0..143_u32).map(|i| f64::from(i.wrapping_mul(40_503) & 255) / 255.0).collect();
        for len in [5, 31, 101] {
            for robustness in [None, Some(&robustness[..])] {
                let loess = Loess::new(143, len, 1, robustness.is_none());
                let input = Input { values: &values, robustness };
                let got = smooth(&loess, input);
                let mut bare = loess.clone();
                bare.ends.clear();
                bare.are_factors = false;
                for (i, got) in got.iter().enumerate() {
                    let expected = bare.at(i as isize, input, &mut Vec::new()).unwrap();
                    assert!((got - expected).abs() < 1e-8, "{len} at {i}: {got} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_value_without_weights_stays() {
        let values = [1.0, 2.0, 9.0, 4.0, 5.0, 6.0, 7.0];
        let robustness = [0.0; 7];
        let got =
            smooth(&Loess::new(7, 3, 1, false), Input { values: &values, robustness: Some(&robustness) });
        assert_eq!(got, values);
    }
}
