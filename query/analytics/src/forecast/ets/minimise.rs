//! The least value of a smooth function by the method of Broyden, Fletcher, Goldfarb and Shanno.

use crate::Stop;

/// Maximum number of steps.
const STEPS: usize = 120;

/// How often a step is halved until the function is smaller.
const HALVINGS: usize = 30;

/// The share of the expected decrease that a step must achieve (Armijo).
const DECREASE: f64 = 1e-4;

/// A decrease by less than this ends the search if it happens twice in a row.
const NEGLIGIBLE: f64 = 1e-8;

/// Evaluates a function: returns its value, and writes its gradient. A value that is not finite is too large.
pub(super) type Function<'f> = &'f mut dyn FnMut(&[f64], &mut [f64]) -> Result<f64, Stop>;

/// The memory that a search over `width` numbers takes.
pub(super) fn bytes(width: usize) -> usize {
    (width + 6) * width * size_of::<f64>()
}

/// Moves a point to where a function is least in its neighbourhood. Returns the value there.
pub(super) fn minimise(f: Function<'_>, at: &mut Vec<f64>) -> Result<f64, Stop> {
    let width = at.len();
    let mut gradient = vec![0.0; width];
    let mut value = f(at, &mut gradient)?;
    let mut inverse = Inverse::identity(width);
    let (mut next, mut next_gradient) = (at.clone(), vec![0.0; width]);
    let mut direction = vec![0.0; width];
    let mut idle = 0;
    for _ in 0..STEPS {
        inverse.direction(&gradient, &mut direction);
        let mut slope = dot(&direction, &gradient);
        if slope.is_nan() || slope >= 0.0 {
            inverse = Inverse::identity(width);
            inverse.direction(&gradient, &mut direction);
            slope = dot(&direction, &gradient);
        }
        if slope.is_nan() || slope >= 0.0 || !value.is_finite() {
            break;
        }
        // The first direction has no scale: it is shortened to one unit.
        let length = dot(&direction, &direction).sqrt();
        let mut step = if inverse.is_identity { (1.0 / length).min(1.0) } else { 1.0 };
        let mut found = f64::INFINITY;
        for _ in 0..HALVINGS {
            next.iter_mut().zip(at.iter().zip(&direction)).for_each(|(next, (at, d))| *next = at + step * d);
            found = f(&next, &mut next_gradient)?;
            if found <= value + DECREASE * step * slope {
                break;
            }
            step /= 2.0;
        }
        // Not so if it is NaN.
        let is_lower = found < value;
        if !is_lower {
            break;
        }
        inverse.update(at, &next, &gradient, &next_gradient);
        idle = if value - found < NEGLIGIBLE * (1.0 + value.abs()) { idle + 1 } else { 0 };
        value = found;
        std::mem::swap(at, &mut next);
        std::mem::swap(&mut gradient, &mut next_gradient);
        if idle == 2 {
            break;
        }
    }
    Ok(value)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// An estimate of the inverse of the second derivatives.
struct Inverse {
    width: usize,
    rows: Vec<f64>,
    is_identity: bool,
}

impl Inverse {
    fn identity(width: usize) -> Inverse {
        let mut rows = vec![0.0; width * width];
        rows.iter_mut().step_by(width + 1).for_each(|diagonal| *diagonal = 1.0);
        Inverse { width, rows, is_identity: true }
    }

    fn times(&self, vector: &[f64]) -> Vec<f64> {
        self.rows.chunks(self.width).map(|row| dot(row, vector)).collect()
    }

    /// Where the function decreases.
    fn direction(&self, gradient: &[f64], into: &mut [f64]) {
        into.iter_mut().zip(self.times(gradient)).for_each(|(into, product)| *into = -product);
    }

    /// Learns from a step. A step along which the slope does not increase teaches nothing.
    fn update(&mut self, from: &[f64], to: &[f64], gradient: &[f64], next_gradient: &[f64]) {
        let step: Vec<f64> = to.iter().zip(from).map(|(to, from)| to - from).collect();
        let change: Vec<f64> = next_gradient.iter().zip(gradient).map(|(next, g)| next - g).collect();
        let along = dot(&step, &change);
        let usable = along > 1e-12 * dot(&change, &change).sqrt() * dot(&step, &step).sqrt();
        if !usable || !along.is_finite() {
            return;
        }
        if self.is_identity {
            let scale = along / dot(&change, &change);
            self.rows.iter_mut().for_each(|value| *value *= scale);
            self.is_identity = false;
        }
        let product = self.times(&change);
        let spread = (1.0 + dot(&change, &product) / along) / along;
        for (i, row) in self.rows.chunks_mut(self.width).enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                *value += spread * step[i] * step[j] - (product[i] * step[j] + step[i] * product[j]) / along;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curved_valley_is_followed_to_its_end() {
        let mut calls = 0;
        let mut rosenbrock = |x: &[f64], gradient: &mut [f64]| {
            calls += 1;
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            gradient.copy_from_slice(&[-2.0 * a - 400.0 * x[0] * b, 200.0 * b]);
            Ok(a * a + 100.0 * b * b)
        };
        let mut at = vec![-1.2, 1.0];
        let value = minimise(&mut rosenbrock, &mut at).unwrap();
        assert!(value < 1e-6 && (at[0] - 1.0).abs() < 1e-2 && calls < 120, "{value} {at:?} {calls}");
    }

    #[test]
    fn a_step_out_of_the_domain_is_shortened() {
        // Least at 1, where the first step would end at a negative number.
        let mut f = |x: &[f64], gradient: &mut [f64]| {
            gradient[0] = 10.0 - 10.0 / x[0];
            Ok(10.0 * x[0] - 10.0 * x[0].ln())
        };
        let mut at = vec![0.01];
        minimise(&mut f, &mut at).unwrap();
        assert!((at[0] - 1.0).abs() < 1e-3, "{at:?}");
        let mut at = vec![1.0; 3];
        let value = minimise(&mut |_, _| Ok(f64::NAN), &mut at).unwrap();
        assert!(value.is_nan() && at == [1.0; 3]);
        assert_eq!(minimise(&mut |_, _| Err(Stop), &mut at), Err(Stop));
    }
}
