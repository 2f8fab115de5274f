//! Where a series changes, by the exact search of Killick, Fearnhead and Eckley (PELT, 2012).
//!
//! The series is cut into segments so that the sum of the segments' costs, and of a penalty for each change, is least.
//! A place at which no later optimum can have its last change is dropped, so that a series with changes takes time
//! proportional to its length; one without takes the square of it.

use crate::order::median_in_place;
use crate::robust::MAD_TO_SIGMA;
use crate::size::{self, Size};
use crate::{Check, Error, Pace, Unfit};

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Model {
    /// The mean of values with one variance, which the median distance of neighbours estimates.
    #[default]
    Mean,
    /// The mean, the variance, or both.
    MeanVariance,
}

impl Model {
    /// All models with their names.
    pub const ALL: [(&'static str, Model); 2] = [("mean", Model::Mean), ("meanvar", Model::MeanVariance)];

    /// The numbers that a segment has of its own, its beginning among them.
    fn parameters(self) -> f64 {
        match self {
            Model::Mean => 2.0,
            Model::MeanVariance => 3.0,
        }
    }
}

/// How changes are sought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// What changes.
    pub model: Model,
    /// What a change must gain, as a multiple of the Bayesian information criterion.
    pub penalty: f64,
    /// The least number of values in a segment.
    pub min_size: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { model: Model::Mean, penalty: 1.0, min_size: 5 }
    }
}

/// A change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The first step of the new segment.
    pub at: usize,
    /// The new segment's mean less that of the one before.
    pub shift: f64,
}

/// The memory that [`find`] takes for `len` steps.
pub fn bytes(len: usize) -> usize {
    size::bytes(len) + len * (6 * size_of::<f64>() + 4 * size_of::<usize>())
}

/// The changes of a series, in order. Steps without a value are left out.
///
/// # Errors
/// Fewer than two segments of values, a shift that is not a finite number, and a stop by the caller.
pub fn find(values: &[f64], options: &Options, check: Check<'_>) -> Result<Vec<Change>, Error> {
    let mut pace = Pace::new(check);
    let size = Size::of(values);
    let values = &*size.applied(values);
    let steps: Vec<usize> = (0..values.len()).filter(|&i| values[i].is_finite()).collect();
    let least = options.min_size.max(if options.model == Model::Mean { 1 } else { 2 });
    let needs = least.saturating_mul(2);
    if steps.len() < needs {
        return Err(Unfit::TooShort { has: steps.len(), needs }.into());
    }
    let mut distances: Vec<f64> =
        steps.windows(2).map(|pair| (values[pair[1]] - values[pair[0]]).abs()).collect();
    let scale = MAD_TO_SIGMA * median_in_place(&mut distances) / std::f64::consts::SQRT_2;
    let largest = steps.iter().map(|&i| values[i].abs()).fold(0.0, f64::max);
    // Of values most of which repeat the one before, a billionth of the largest is the scale.
    let scale = scale.max(1e-9 * largest);
    if scale == 0.0 {
        return Ok(Vec::new());
    }
    let origin = values[steps[0]];
    let sums = Sums::of(steps.iter().map(|&i| (values[i] - origin) / scale));
    let penalty = options.penalty * options.model.parameters() * (steps.len() as f64).ln();
    let mut begins = search(&sums, options.model, penalty, least, &mut pace)?;
    if options.model == Model::Mean {
        keep_gains(&sums, penalty, &mut begins);
    }
    let bounds: Vec<usize> = [0].into_iter().chain(begins).chain([steps.len()]).collect();
    let mean = |segment: &[usize]| sums.mean(segment[0], segment[1]) * scale;
    let change = |three: &[usize]| {
        let shift = size.undo(mean(&three[1..]) - mean(&three[..2]));
        let change = Change { at: steps[three[1]], shift };
        if shift.is_finite() { Ok(change) } else { Err(Unfit::Overflow.into()) }
    };
    bounds.windows(3).map(change).collect()
}

/// Sums from the beginning, so that a segment's cost is a look-up.
struct Sums {
    values: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    fn of(values: impl Iterator<Item = f64>) -> Sums {
        let mut sums = Sums { values: vec![0.0], squares: vec![0.0] };
        let (mut sum, mut squares) = (0.0, 0.0);
        for value in values {
            sum += value;
            squares += value * value;
            sums.values.push(sum);
            sums.squares.push(squares);
        }
        sums
    }

    fn mean(&self, begin: usize, end: usize) -> f64 {
        (self.values[end] - self.values[begin]) / (end - begin) as f64
    }

    /// Twice the negative log-likelihood of a segment, without what all segmentations share.
    fn cost(&self, begin: usize, end: usize, model: Model) -> f64 {
        let count = (end - begin) as f64;
        let sum = self.values[end] - self.values[begin];
        let squares = (self.squares[end] - self.squares[begin] - sum * sum / count).max(0.0);
        match model {
            Model::Mean => squares,
            // A segment of equal values would otherwise be infinitely likely.
            Model::MeanVariance => count * (squares / count).max(1e-4).ln(),
        }
    }
}

/// The beginnings of all segments but the first.
fn search(
    sums: &Sums,
    model: Model,
    penalty: f64,
    size: usize,
    pace: &mut Pace<'_>,
) -> Result<Vec<usize>, Error> {
    let n = sums.values.len() - 1;
    // The least cost of the values before a place, and where the last segment before it begins.
    let mut best = vec![f64::INFINITY; n + 1];
    let mut last = vec![0; n + 1];
    best[0] = -penalty;
    let mut candidates: Vec<(usize, f64)> = vec![(0, -penalty)];
    let mut costs: Vec<f64> = Vec::new();
    for end in size..=n {
        pace.work(8 * candidates.len() + 8)?;
        costs.clear();
        costs.extend(candidates.iter().map(|&(begin, before)| before + sums.cost(begin, end, model)));
        for (&(begin, _), cost) in candidates.iter().zip(&costs) {
            if cost + penalty < best[end] {
                best[end] = cost + penalty;
                last[end] = begin;
            }
        }
        let limit = best[end];
        let mut costs = costs.iter();
        candidates.retain(|_| costs.next().is_some_and(|&cost| cost <= limit));
        // The next segment may begin where this one could end.
        let next = end + 1 - size;
        if next >= size {
            candidates.push((next, best[next]));
        }
    }
    let mut begins = Vec::new();
    let mut at = last[n];
    while at > 0 {
        begins.push(at);
        at = last[at];
    }
    begins.reverse();
    Ok(begins)
}

/// Removes the beginnings of segments that hardly differ from the one before. Each change of the mean gains more than its
/// penalty, but where the scale is tiny, rounding of the costs may amount to as much.
fn keep_gains(sums: &Sums, penalty: f64, begins: &mut Vec<usize>) {
    let end = sums.values.len() - 1;
    for i in (0..begins.len()).rev() {
        let from = i.checked_sub(1).map_or(0, |i| begins[i]);
        let to = begins.get(i + 1).copied().unwrap_or(end);
        let (left, right) = ((begins[i] - from) as f64, (to - begins[i]) as f64);
        let shift = sums.mean(begins[i], to) - sums.mean(from, begins[i]);
        if shift * shift * left * right / (left + right) < penalty / 2.0 {
            begins.remove(i);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize) -> f64 {
        let mut bits = (i as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    fn run(values: &[f64], options: Options) -> Vec<Change> {
        find(values, &options, &mut || Ok(())).unwrap()
    }

    #[test]
    fn shifts_of_the_mean_are_found() {
        let level = |i: usize| [10.0, 14.0, 9.0][usize::from(i >= 100) + usize::from(i >= 250)];
        let mut values: Vec<f64> = (0..400).map(|i| level(i) + noise(i)).collect();
        values[180] = f64::NAN;
        let got = run(&values, Options::default());
        assert_eq!(got.iter().map(|change| change.at).collect::<Vec<_>>(), [100, 250]);
        assert!((got[0].shift - 4.0).abs() < 0.2 && (got[1].shift + 5.0).abs() < 0.2, "{got:?}");
    }

    #[test]
    fn noise_and_constant_values_have_no_changes() {
        let values: Vec<f64> = (0..1000).map(noise).collect();
        assert!(run(&values, Options::default()).is_empty());
        assert!(run(&[0.0; 50], Options::default()).is_empty());
        assert!(run(&[7.5; 50], Options::default()).is_empty());
        assert!(run(&[7.5; 50], Options { model: Model::MeanVariance, ..Options::default() }).is_empty());
    }

    #[test]
    fn a_step_between_constant_levels_is_the_only_change() {
        for (low, high) in [(1.0, 100.0), (0.1, 0.3), (1e6, 1e6 + 0.7), (-3.3, 7.7)] {
            for (at, len) in [(2879, 5759), (2880, 5759), (100, 1000), (700, 1000)] {
                let values: Vec<f64> = (0..len).map(|i| if i < at { low } else { high }).collect();
                let got = run(&values, Options::default());
                let places: Vec<usize> = got.iter().map(|change| change.at).collect();
                assert_eq!(places, [at], "{low} {high}: {got:?}");
                assert!((got[0].shift - (high - low)).abs() < 1e-9 * high, "{got:?}");
            }
        }
    }

    #[test]
    fn a_change_of_the_variance_needs_its_model() {
        let values: Vec<f64> = (0..400).map(|i| noise(i) * if i < 200 { 1.0 } else { 12.0 }).collect();
        let got = run(&values, Options { model: Model::MeanVariance, ..Options::default() });
        assert_eq!(got.len(), 1, "{got:?}");
        assert!((195..=205).contains(&got[0].at), "{got:?}");
    }

    #[test]
    fn the_search_is_exact() {
        // Every segmentation of a short series is tried.
        let values: Vec<f64> = [0.0, 0.2, 0.1, 3.0, 3.1, 2.9, 3.2, 0.3, 0.1, 0.0, 5.0, 5.1].into();
        let sums = Sums::of(values.iter().copied());
        for (model, size) in [(Model::Mean, 1), (Model::Mean, 2), (Model::MeanVariance, 2)] {
            for penalty in [0.1, 1.0, 5.0, 20.0] {
                let got = search(&sums, model, penalty, size, &mut Pace::new(&mut || Ok(()))).unwrap();
                let total = |begins: &[usize]| {
                    let bounds: Vec<usize> =
                        [0].into_iter().chain(begins.iter().copied()).chain([12]).collect();
                    let fits = bounds.windows(2).all(|pair| pair[1] >= pair[0] + size);
                    let cost: f64 = bounds
                        .windows(2)
                        .map(|pair| sums.cost(pair[0], pair[1].max(pair[0] + 1).min(12), model))
                        .sum();
                    if fits { cost + penalty * begins.len() as f64 } else { f64::INFINITY }
                };
                let of_mask =
                    |mask: u32| (1..12).filter(|i| mask >> (i - 1) & 1 == 1).collect::<Vec<usize>>();
                let least = (0..1 << 11).map(|mask| total(&of_mask(mask))).fold(f64::INFINITY, f64::min);
                assert!((total(&got) - least).abs() < 1e-9, "{model:?} {size} {penalty}: {got:?}");
            }
        }
    }

    #[test]
    fn short_series_and_stops_are_refused() {
        let options = Options::default();
        let short = find(&[1.0; 9], &options, &mut || Ok(()));
        assert_eq!(short, Err(Unfit::TooShort { has: 9, needs: 10 }.into()));
        let values: Vec<f64> = (0..9000).map(noise).collect();
        assert_eq!(find(&values, &options, &mut || Err(crate::Stop)), Err(Error::Stopped));
    }
}
