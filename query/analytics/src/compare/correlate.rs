//! How alike series are: correlation at lags, of ranks, and of distributions; and how likely chance is.
//!
//! A search compares one target with many candidates. The target is prepared once ([`Target`]); a candidate costs one
//! pass for each lag, over 32-bit floats.

use crate::order::sort_finite;
use crate::size::Size;
use crate::special::t_tail;
use crate::{Check, Error, Pace, Unfit};

/// A target that candidates are compared with.
#[derive(Debug, Clone)]
pub struct Target {
    /// The values less their mean, divided by the largest distance from it.
    values: Vec<f32>,
    /// Sums of the values and of their squares up to each step.
    sums: Sums,
    /// The autocorrelation at a lag of one step.
    persistence: f64,
}

/// How a candidate correlates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// From -1 to 1.
    pub r: f64,
    /// Steps by which the candidate comes before the target; negative if it comes after it.
    pub lag: i32,
    /// The probability that two unrelated series with the same persistence correlate as much at one lag.
    pub p: f64,
}

/// Minimum number of steps for a correlation.
pub const LEAST: usize = 10;

#[derive(Debug, Clone, Default)]
struct Sums {
    values: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    fn fill(&mut self, values: &[f32]) {
        self.values.clear();
        self.squares.clear();
        let (mut sum, mut squares) = (0.0, 0.0);
        self.values.push(0.0);
        self.squares.push(0.0);
        for &value in values {
            sum += f64::from(value);
            squares += f64::from(value) * f64::from(value);
            self.values.push(sum);
            self.squares.push(squares);
        }
    }

    /// The sum, and the sum of squares around the mean, of a range.
    fn of(&self, begin: usize, end: usize) -> (f64, f64) {
        let sum = self.values[end] - self.values[begin];
        let squares = self.squares[end] - self.squares[begin];
        (sum, (squares - sum * sum / (end - begin) as f64).max(0.0))
    }
}

/// Memory that is reused for many candidates.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    values: Vec<f32>,
    sums: Sums,
}

/// The memory that a target or a scratch takes for `len` steps.
pub fn bytes(len: usize) -> usize {
    len * size_of::<f32>() + 2 * (len + 1) * size_of::<f64>()
}

impl Target {
    /// Prepares a series without gaps.
    ///
    /// # Errors
    /// Fewer than [`LEAST`] values, missing or equal ones.
    pub fn new(values: &[f64]) -> Result<Target, Unfit> {
        let mut centred = Vec::new();
        centre(values, &mut centred)?;
        let mut sums = Sums::default();
        sums.fill(&centred);
        Ok(Target { persistence: persistence(&centred, &sums), values: centred, sums })
    }

    /// The number of steps.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no steps; a target always has some.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The strongest correlation of a candidate at lags of at most `max_lag` steps, in absolute value; of equal ones
    /// that with the shortest lag.
    ///
    /// # Errors
    /// A candidate of another length, with missing or equal values;
    /// and a stop by the caller.
    pub fn compare(
        &self,
        candidate: &[f64],
        max_lag: usize,
        scratch: &mut Scratch,
        check: Check<'_>,
    ) -> Result<Correlation, Error> {
        let mut pace = Pace::new(check);
        if candidate.len() != self.len() {
            return Err(Unfit::TooShort { has: candidate.len(), needs: self.len() }.into());
        }
        centre(candidate, &mut scratch.values)?;
        scratch.sums.fill(&scratch.values);
        let mut best = (0, 0.0_f64);
        for distance in 0..=max_lag.min(self.len() - LEAST) as i32 {
            pace.work(self.len())?;
            let both = [distance, -distance];
            for &lag in &both[usize::from(distance == 0)..] {
                let r = self.at(scratch, lag);
                if r.abs() > best.1.abs() {
                    best = (lag, r);
                }
            }
        }
        let (lag, r) = best;
        let persistence = self.persistence * persistence(&scratch.values, &scratch.sums);
        let overlap = self.len() - lag.unsigned_abs() as usize;
        Ok(Correlation { r, lag, p: chance(r, overlap, persistence) })
    }

    /// The correlation at one lag, over the steps that both have there.
    fn at(&self, candidate: &Scratch, lag: i32) -> f64 {
        let shift = lag.unsigned_abs() as usize;
        let overlap = self.len() - shift;
        // A candidate that comes before the target is compared with later steps of the target.
        let (own, other) = if lag >= 0 { (shift, 0) } else { (0, shift) };
        let product = dot(&self.values[own..own + overlap], &candidate.values[other..other + overlap]);
        let (own_sum, own_squares) = self.sums.of(own, own + overlap);
        let (other_sum, other_squares) = candidate.sums.of(other, other + overlap);
        let scale = (own_squares * other_squares).sqrt();
        if scale <= 1e-9 * overlap as f64 * 1e-3 {
            return 0.0;
        }
        ((product - own_sum * other_sum / overlap as f64) / scale).clamp(-1.0, 1.0)
    }

    /// The correlation at every lag from `-max_lag` to `max_lag`.
    ///
    /// # Errors
    /// As [`Self::compare`]; and a stop by the caller.
    pub fn at_all_lags(
        &self,
        candidate: &[f64],
        max_lag: usize,
        check: Check<'_>,
    ) -> Result<Vec<(i32, f64)>, Error> {
        let mut pace = Pace::new(check);
        let mut scratch = Scratch::default();
        if candidate.len() != self.len() {
            return Err(Unfit::TooShort { has: candidate.len(), needs: self.len() }.into());
        }
        centre(candidate, &mut scratch.values)?;
        scratch.sums.fill(&scratch.values);
        let most = max_lag.min(self.len() - LEAST) as i32;
        let mut all = Vec::with_capacity(2 * most as usize + 1);
        for lag in -most..=most {
            pace.work(self.len())?;
            all.push((lag, self.at(&scratch, lag)));
        }
        Ok(all)
    }
}

/// Values less their mean, divided by the largest distance from it, so that 32 bits are enough.
fn centre(values: &[f64], into: &mut Vec<f32>) -> Result<(), Unfit> {
    if values.len() < LEAST {
        return Err(Unfit::TooShort { has: values.len(), needs: LEAST });
    }
    let (mean, least, most) = extent(values);
    let missing = values.iter().filter(|value| !value.is_finite());
    // One value that is not finite makes the mean so.
    if !mean.is_finite()
        && let missing @ 1.. = missing.count()
    {
        return Err(Unfit::Gaps { missing, of: values.len() });
    }
    let size = Size::of_largest(most.abs().max(least.abs()));
    let [least, most] = [least, most].map(|value| size.apply(value));
    let scaled = values.iter().map(|value| size.apply(*value));
    let mean = if size.is_ordinary() { mean } else { scaled.clone().sum::<f64>() / values.len() as f64 };
    let largest = (most - mean).max(mean - least);
    if largest <= 1e-12 * most.abs().max(least.abs()) {
        return Err(Unfit::Constant);
    }
    let scale = 1.0 / largest;
    into.clear();
    if size.is_ordinary() {
        into.extend(values.iter().map(|value| ((value - mean) * scale) as f32));
    } else {
        into.extend(scaled.map(|value| ((value - mean) * scale) as f32));
    }
    Ok(())
}

/// The mean, the smallest and the largest value; in eight lanes, so that the processor's wide registers are used. A
/// comparison of a search spends as much time here as at ten lags.
fn extent(values: &[f64]) -> (f64, f64, f64) {
    const LANES: usize = 8;
    let share = 1.0 / values.len() as f64;
    let (mut sums, mut least, mut most) = ([0.0; LANES], [f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
    let chunks = values.chunks_exact(LANES);
    let mut rest = (0.0, f64::INFINITY, f64::NEG_INFINITY);
    for &value in chunks.remainder() {
        rest = (rest.0 + value * share, value.min(rest.1), value.max(rest.2));
    }
    for chunk in chunks {
        for lane in 0..LANES {
            let value = chunk[lane];
            sums[lane] += value * share;
            least[lane] = if value < least[lane] { value } else { least[lane] };
            most[lane] = if value > most[lane] { value } else { most[lane] };
        }
    }
    let mean = sums.iter().sum::<f64>() + rest.0;
    (mean, least.into_iter().fold(rest.1, f64::min), most.into_iter().fold(rest.2, f64::max))
}

/// The sum of products, in sixteen independent sums.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0_f32; 16];
    let (a_chunks, b_chunks) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().map(|sum| f64::from(*sum)).sum::<f64>() + f64::from(rest)
}

/// The autocorrelation at a lag of one step.
fn persistence(values: &[f32], sums: &Sums) -> f64 {
    let (_, squares) = sums.of(0, values.len());
    if squares == 0.0 {
        0.0
    } else {
        (dot(&values[1..], &values[..values.len() - 1]) / squares).clamp(-0.99, 0.99)
    }
}

/// The probability of a correlation of at least `r` by chance, in either direction. Values that follow their neighbours
/// count for fewer: `n (1 - q) / (1 + q)` of them, where `q` is the product of the two autocorrelations.
fn chance(r: f64, n: usize, q: f64) -> f64 {
    let effective = (n as f64 * (1.0 - q) / (1.0 + q)).clamp(3.0, n as f64);
    let freedom = effective - 2.0;
    let rest = 1.0 - r * r;
    if rest <= 0.0 { 0.0 } else { 2.0 * t_tail(r.abs() * (freedom / rest).sqrt(), freedom) }
}

/// Raises each probability to the share of wrong ones among the findings that are at least as likely not to be chance
/// (Benjamini and Hochberg, 1995): of the findings below 0.05, 5 % are wrong. `ascending` has the places of the
/// probabilities from the smallest to the largest, without those that are NaN.
pub fn adjust(p: &mut [f64], ascending: &[u32]) {
    let mut least = 1.0_f64;
    for (rank, &i) in ascending.iter().enumerate().rev() {
        let slot = &mut p[i as usize];
        least = least.min(*slot * ascending.len() as f64 / (rank + 1) as f64);
        *slot = least;
    }
}

/// The largest distance between the distributions of two samples (Kolmogorov and Smirnov), and the probability of at
/// least as much by chance.
///
/// # Errors
/// Fewer than [`LEAST`] finite values in either.
pub fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> Result<(f64, f64), Unfit> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    sort_finite(a, &mut first);
    sort_finite(b, &mut second);
    for sorted in [&first, &second] {
        if sorted.len() < LEAST {
            return Err(Unfit::TooShort { has: sorted.len(), needs: LEAST });
        }
    }
    let (mut i, mut j, mut distance) = (0, 0, 0.0_f64);
    while i < first.len() && j < second.len() {
        let value = first[i].min(second[j]);
        i += first[i..].iter().take_while(|v| **v <= value).count();
        j += second[j..].iter().take_while(|v| **v <= value).count();
        distance = distance.max((i as f64 / first.len() as f64 - j as f64 / second.len() as f64).abs());
    }
    let effective = first.len() as f64 * second.len() as f64 / (first.len() + second.len()) as f64;
    let root = effective.sqrt();
    // Stephens' correction for finite samples.
    let scaled = (root + 0.12 + 0.11 / root) * distance;
    let term = |k: i32| {
        2.0 * f64::from(if k % 2 == 1 { 1 } else { -1 }) * (-2.0 * f64::from(k * k) * scaled * scaled).exp()
    };
    let p = if scaled < 0.2 { 1.0 } else { (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0) };
    Ok((distance, p))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: u64) -> f64 {
        let mut bits = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    #[test]
    fn a_lag_and_a_sign_are_found() {
        let cause: Vec<f64> = (0..360).map(|i| 1e6 + noise(i)).collect();
        // The target follows five steps later, upside down.
        let target: Vec<f64> =
            (0..360).map(|i| if i < 5 { 0.0 } else { -3.0 * noise(i - 5) + 0.2 * noise(i + 9999) }).collect();
        let got = Target::new(&target)
            .unwrap()
            .compare(&cause, 10, &mut Scratch::default(), &mut || Ok(()))
            .unwrap();
        assert_eq!(got.lag, 5);
        assert!(got.r < -0.97 && got.p < 1e-30, "{got:?}");
        let other: Vec<f64> = (0..360).map(|i| noise(i + 50_000)).collect();
        let got = Target::new(&target)
            .unwrap()
            .compare(&other, 10, &mut Scratch::default(), &mut || Ok(()))
            .unwrap();
        assert!(got.r.abs() < 0.2, "{got:?}");
    }

    #[test]
    fn it_equals_the_definition() {
        let a: Vec<f64> = (0..100).map(noise).collect();
        let b: Vec<f64> = (0..100).map(|i| noise(i) + noise(i + 1000)).collect();
        let all = Target::new(&a).unwrap().at_all_lags(&b, 3, &mut || Ok(())).unwrap();
        for (lag, r) in all {
            let (x, y) = if lag >= 0 {
                (&a[lag as usize..], &b[..100 - lag as usize])
            } else {
                (&a[..(100 + lag) as usize], &b[-lag as usize..])
            };
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            let (mx, my) = (mean(x), mean(y));
            let sum =
                |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(x, y)| f(x - mx, y - my)).sum::<f64>();
            let expected = sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
            assert!((r - expected).abs() < 1e-5, "{lag}: {r} {expected}");
        }
    }

    #[test]
    fn persistent_series_need_more_to_be_significant() {
        assert!(chance(0.3, 360, 0.0) < 1e-6);
        assert!(chance(0.3, 360, 0.9) > 0.05);
        assert_eq!(chance(1.0, 50, 0.0), 0.0);
    }

    #[test]
    fn distributions_are_compared() {
        let a: Vec<f64> = (0..200).map(noise).collect();
        let b: Vec<f64> = (0..80).map(|i| noise(i + 777)).collect();
        let (distance, p) = kolmogorov_smirnov(&a, &b).unwrap();
        assert!(distance < 0.2 && p > 0.05, "{distance} {p}");
        let shifted: Vec<f64> = b.iter().map(|v| v + 0.5).collect();
        let (distance, p) = kolmogorov_smirnov(&a, &shifted).unwrap();
        assert!(distance > 0.4 && p < 1e-6, "{distance} {p}");
        assert_eq!(kolmogorov_smirnov(&[1.0; 20], &[1.0; 20]).unwrap().0, 0.0);
    }

    #[test]
    fn the_extent_of_all_lengths_and_of_what_is_not_a_number() {
        for len in 10..40 {
            let values: Vec<f64> = (0..len).map(|i| f64::from((i * 7 + 3) % 11) - 4.0).collect();
            let (mean, least, most) = extent(&values);
            assert!((mean - values.iter().sum::<f64>() / f64::from(len)).abs() < 1e-12, "{len}");
            let fold = |f: fn(f64, f64) -> f64| values.iter().copied().reduce(f).unwrap();
            assert_eq!((least, most), (fold(f64::min), fold(f64::max)), "{len}");
            for place in 0..values.len() {
                for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                    let mut values = values.clone();
                    values[place] = wrong;
                    let got = centre(&values, &mut Vec::new());
                    assert_eq!(
                        got,
                        Err(Unfit::Gaps { missing: 1, of: values.len() }),
                        "{len} {place} {wrong}"
                    );
                }
            }
        }
        assert_eq!(centre(&[f64::MAX, -f64::MAX].repeat(10), &mut Vec::new()), Ok(()));
        assert_eq!(centre(&[0.0; 20], &mut Vec::new()), Err(Unfit::Constant));
    }

    #[test]
    fn adjusted_probabilities() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005, 0.5), "BH")
        let mut p = [0.01, 0.04, f64::NAN, 0.03, 0.005, 0.5];
        adjust(&mut p, &[4, 0, 3, 1, 5]);
        let expected = [0.025, 0.05, f64::NAN, 0.05, 0.025, 0.5];
        for (got, expected) in p.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-12 || (got.is_nan() && expected.is_nan()), "{p:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Target::new(&[1.0; 20]).unwrap_err(), Unfit::Constant);
        assert_eq!(Target::new(&[1.0; 5]).unwrap_err(), Unfit::TooShort { has: 5, needs: 10 });
        let mut values: Vec<f64> = (0..50).map(noise).collect();
        let target = Target::new(&values).unwrap();
        values[3] = f64::NAN;
        assert_eq!(Target::new(&values).unwrap_err(), Unfit::Gaps { missing: 1, of: 50 });
        assert!(target.compare(&[2.0; 50], 5, &mut Scratch::default(), &mut || Ok(())).is_err());
        assert!(target.compare(&values[..49], 5, &mut Scratch::default(), &mut || Ok(())).is_err());
    }
}
