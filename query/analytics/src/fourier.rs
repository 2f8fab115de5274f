//! The Fourier transform of a power of two of complex numbers, and the autocorrelation by it.
//!
//! A series of 16,384 values takes a few milliseconds. The order of the additions is fixed, so that the result does not
//! depend on the processor.

use crate::{Pace, Stop};

/// Transforms in place; both slices have the same length, a power of two.
fn transform(re: &mut [f64], im: &mut [f64], pace: &mut Pace<'_>) -> Result<(), Stop> {
    let n = re.len();
    for i in 1..n {
        let j = i.reverse_bits() >> (usize::BITS - n.trailing_zeros());
        if i < j {
            re.swap(i, j);
            im.swap(i, j);
        }
    }
    let angle = |k: usize| std::f64::consts::TAU * k as f64 / n as f64;
    let turns: Vec<(f64, f64)> = (0..n / 2).map(|k| angle(k).sin_cos()).collect();
    let mut half = 1;
    while half < n {
        pace.work(4 * n)?;
        let stride = n / (2 * half);
        for block in (0..n).step_by(2 * half) {
            for k in 0..half {
                let (sin, cos) = turns[k * stride];
                let (a, b) = (block + k, block + k + half);
                let (x, y) = (re[b] * cos + im[b] * sin, im[b] * cos - re[b] * sin);
                (re[b], im[b]) = (re[a] - x, im[a] - y);
                (re[a], im[a]) = (re[a] + x, im[a] + y);
            }
        }
        half *= 2;
    }
    Ok(())
}

/// The memory that a transform of `len` values takes, padded to at least twice their number.
pub(crate) fn bytes(len: usize) -> usize {
    3 * (2 * len).next_power_of_two() * size_of::<f64>()
}

/// The power at each frequency `k` of `2n` padded values: `period = size / k`. Gives the size and the powers up to
/// half.
pub(crate) fn powers(values: &[f64], pace: &mut Pace<'_>) -> Result<(usize, Vec<f64>), Stop> {
    let size = (2 * values.len()).next_power_of_two().max(2);
    let mut re = values.to_vec();
    re.resize(size, 0.0);
    let mut im = vec![0.0; size];
    transform(&mut re, &mut im, pace)?;
    let powers = re.iter().zip(&im).take(size / 2 + 1).map(|(x, y)| x * x + y * y).collect();
    Ok((size, powers))
}

/// The autocorrelation at lags from 0 to `lags` of values whose mean is 0: each sum is divided by the number of its
/// terms, and by the variance. All 0 for a constant series.
pub(crate) fn autocorrelation(values: &[f64], lags: usize, pace: &mut Pace<'_>) -> Result<Vec<f64>, Stop> {
    let n = values.len();
    let (size, powers) = powers(values, pace)?;
    let mut re: Vec<f64> = (0..size).map(|k| powers[k.min(size - k)]).collect();
    let mut im = vec![0.0; size];
    transform(&mut re, &mut im, pace)?;
    let variance = re[0] / n as f64;
    let at = |lag: usize| {
        if lag >= n || variance <= 0.0 {
            0.0
        } else {
            (re[lag] / (n - lag) as f64 / variance).clamp(-1.0, 1.0)
        }
    };
    Ok((0..=lags).map(at).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autocorrelation_equals_its_sums() {
        let mut values: Vec<f64> =
            (0..100_u32).map(|i| f64::from(i.wrapping_mul(2_654_435_761) >> 22)).collect();
        let mean = values.iter().sum::<f64>() / 100.0;
        values.iter_mut().for_each(|v| *v -= mean);
        let got = autocorrelation(&values, 60, &mut Pace::new(&mut || Ok(()))).unwrap();
        let sum = |lag: usize| values.iter().zip(&values[lag..]).map(|(a, b)| a * b).sum::<f64>();
        for (lag, got) in got.iter().enumerate() {
            let expected = sum(lag) / (100 - lag) as f64 / (sum(0) / 100.0);
            assert!((got - expected.clamp(-1.0, 1.0)).abs() < 1e-12, "{lag}: {got} {expected}");
        }
    }
}
