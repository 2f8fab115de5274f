//! Measures of how alike two series are, beside Pearson's correlation: of ranks, of distributions, of levels, of any
//! dependence, and of shapes that are out of step.

use crate::compare::correlate::{LEAST, Scratch, Target, kolmogorov_smirnov};
use crate::size::{self, Size};
use crate::{Check, Error, Pace, Unfit};

/// A measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Pearson's correlation at the best lag, from -1 to 1.
    #[default]
    Pearson,
    /// The same of ranks: any monotone relation counts.
    Spearman,
    /// 1 less the largest distance between the distributions of the standardized values, from 0 to 1.
    Ks2,
    /// How similar the relative changes from the first half to the second are, from -1 to 1.
    Volume,
    /// Mutual information of eight classes of equal size as a share of its maximum, from 0 to 1.
    Mi,
    /// 1 divided by 1 and the mean distance after dynamic time warping of the standardized values, from 0 to 1.
    Dtw,
}

impl Method {
    /// All, with their names.
    pub const ALL: [(&'static str, Method); 6] = [
        ("pearson", Method::Pearson),
        ("spearman", Method::Spearman),
        ("ks2", Method::Ks2),
        ("volume", Method::Volume),
        ("mi", Method::Mi),
        ("dtw", Method::Dtw),
    ];
}

/// How alike a candidate is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    /// The measure.
    pub score: f64,
    /// Steps by which the candidate comes before the target; 0 for measures that compare at one lag only.
    pub lag: i32,
    /// The probability of the score by chance at any of the lags; NaN for measures without one.
    pub p: f64,
}

/// A target, prepared for one measure.
#[derive(Debug, Clone)]
pub struct Reference(Prepared);

#[derive(Debug, Clone)]
enum Prepared {
    /// The target, and whether its values are ranks.
    Lagged(Target, bool),
    /// Standardized values.
    Standard(Vec<f64>, Method),
    /// The relative change between the halves.
    Change(f64),
    /// The class of each value.
    Classes(Vec<u8>),
}

/// Classes of mutual information.
const CLASSES: usize = 8;

/// The memory that a reference, or a comparison with it, takes for `len` steps, at most.
pub fn bytes(len: usize) -> usize {
    // Ranks: the order and the ranks. Warping: two rows. Distributions: two sorted copies.
    crate::compare::correlate::bytes(len) + size::bytes(len) + 4 * len * size_of::<f64>()
}

impl Reference {
    /// Prepares a series without gaps.
    ///
    /// # Errors
    /// Too few values, missing or equal ones.
    pub fn new(values: &[f64], method: Method) -> Result<Reference, Unfit> {
        // Checks the values, whatever the measure is.
        let target = Target::new(values)?;
        Ok(Reference(match method {
            Method::Pearson => Prepared::Lagged(target, false),
            Method::Spearman => Prepared::Lagged(Target::new(&ranks(values))?, true),
            Method::Ks2 | Method::Dtw => Prepared::Standard(standardized(values)?, method),
            Method::Volume => Prepared::Change(relative_change(values)),
            Method::Mi => Prepared::Classes(classes(values)),
        }))
    }

    /// Compares a candidate with the same number of steps, without gaps.
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
    ) -> Result<Likeness, Error> {
        let unlagged = |score: f64| Likeness { score, lag: 0, p: f64::NAN };
        Ok(match &self.0 {
            Prepared::Lagged(target, of_ranks) => {
                let found = match of_ranks {
                    true => target.compare(&ranks(candidate), max_lag, scratch, check)?,
                    false => target.compare(candidate, max_lag, scratch, check)?,
                };
                // Of many lags the best one is shown, so that chance had as many attempts.
                let attempts = 2 * max_lag.min(candidate.len().saturating_sub(LEAST)) + 1;
                Likeness { score: found.r, lag: found.lag, p: (found.p * attempts as f64).min(1.0) }
            }
            Prepared::Standard(target, Method::Dtw) => {
                let other = standardized(candidate)?;
                unlagged(1.0 / (1.0 + warped(target, &other, max_lag, check)?))
            }
            Prepared::Standard(target, _) => {
                let (distance, _) = kolmogorov_smirnov(target, &standardized(candidate)?)?;
                unlagged(1.0 - distance)
            }
            Prepared::Change(own) => {
                standardized(candidate)?;
                let other = relative_change(candidate);
                let (smaller, larger) = (own.abs().min(other.abs()), own.abs().max(other.abs()));
                let alike = if larger > 0.0 { smaller / larger } else { 0.0 };
                unlagged(alike * own.signum() * other.signum())
            }
            Prepared::Classes(target) => {
                standardized(candidate)?;
                unlagged(information(target, &classes(candidate)))
            }
        })
    }
}

/// The rank of each value; equal ones share the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let order = order(values);
    let mut ranks = vec![0.0; values.len()];
    let mut at = 0;
    while at < order.len() {
        let equal = order[at..].iter().take_while(|&&i| values[i as usize] == values[order[at] as usize]);
        // A NaN does not equal itself; whatever follows refuses it.
        let run = equal.count().max(1);
        let rank = at as f64 + (run - 1) as f64 / 2.0;
        order[at..at + run].iter().for_each(|&i| ranks[i as usize] = rank);
        if !values[order[at] as usize].is_finite() {
            ranks[order[at] as usize] = f64::NAN;
        }
        at += run;
    }
    ranks
}

fn order(values: &[f64]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]));
    order
}

fn standardized(values: &[f64]) -> Result<Vec<f64>, Unfit> {
    let missing = values.iter().filter(|value| !value.is_finite()).count();
    if missing > 0 {
        return Err(Unfit::Gaps { missing, of: values.len() });
    }
    let values = &*Size::of(values).applied(values);
    let (mean, deviation) = mean_and_deviation(values);
    if deviation <= 1e-12 * mean.abs() {
        return Err(Unfit::Constant);
    }
    Ok(values.iter().map(|value| (value - mean) / deviation).collect())
}

/// The mean and the population standard deviation; it may be infinite.
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let (size, count) = (Size::of(values), values.len() as f64);
    let scaled = || values.iter().map(|value| size.apply(*value));
    let mean = scaled().map(|value| value / count).sum::<f64>();
    let variance = scaled().map(|value| (value - mean) * (value - mean) / count).sum::<f64>();
    (size.undo(mean), size.undo(variance.sqrt()))
}

/// The difference of the means of the second and of the first half, divided by the larger of them.
fn relative_change(values: &[f64]) -> f64 {
    let (first, second) = values.split_at(values.len() / 2);
    change(mean_and_deviation(first).0, mean_and_deviation(second).0)
}

/// The difference of two levels, divided by the larger of them: from -2 to 2.
pub fn change(before: f64, after: f64) -> f64 {
    let larger = before.abs().max(after.abs());
    let size = Size::of_largest(larger);
    if larger > 0.0 { (size.apply(after) - size.apply(before)) / size.apply(larger) } else { 0.0 }
}

/// Eight classes of as many values each; equal values are in the same class.
fn classes(values: &[f64]) -> Vec<u8> {
    let of = |rank: f64| (rank * CLASSES as f64 / values.len() as f64) as u8;
    ranks(values).into_iter().map(|rank| of(rank).min(CLASSES as u8 - 1)).collect()
}

/// The mutual information of two series of classes, as a share of the smaller of their entropies.
fn information(a: &[u8], b: &[u8]) -> f64 {
    let mut joint = [[0.0_f64; CLASSES]; CLASSES];
    for (&a, &b) in a.iter().zip(b) {
        joint[usize::from(a)][usize::from(b)] += 1.0;
    }
    let total = a.len() as f64;
    let rows: Vec<f64> = joint.iter().map(|row| row.iter().sum::<f64>() / total).collect();
    let columns: Vec<f64> =
        (0..CLASSES).map(|k| joint.iter().map(|row| row[k]).sum::<f64>() / total).collect();
    let plogp = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    let entropy = |shares: &[f64]| shares.iter().map(|&p| plogp(p)).sum::<f64>();
    let together: f64 = joint.iter().flatten().map(|count| plogp(count / total)).sum();
    let (first, second) = (entropy(&rows), entropy(&columns));
    let most = first.min(second);
    if most > 0.0 { ((first + second - together) / most).clamp(0.0, 1.0) } else { 0.0 }
}

/// The mean distance along the best alignment in which steps at most `band` apart are aligned.
fn warped(a: &[f64], b: &[f64], band: usize, check: Check<'_>) -> Result<f64, Error> {
    if a.len() != b.len() {
        return Err(Unfit::TooShort { has: b.len(), needs: a.len() }.into());
    }
    let mut pace = Pace::new(check);
    let len = a.len();
    let band = band.min(len);
    let mut before = vec![f64::INFINITY; len + 1];
    let mut row = before.clone();
    before[0] = 0.0;
    for (i, own) in a.iter().enumerate() {
        pace.work(8 * (2 * band + 1))?;
        let (low, high) = (i.saturating_sub(band), (i + band + 1).min(len));
        // Only the neighbours of the band are read by the next row.
        row[low] = f64::INFINITY;
        for k in low..high {
            let least = before[k].min(before[k + 1]).min(row[k]);
            row[k + 1] = least + (own - b[k]).abs();
        }
        if let Some(beyond) = row.get_mut(high + 1) {
            *beyond = f64::INFINITY;
        }
        std::mem::swap(&mut before, &mut row);
    }
    Ok(before[len] / len.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stop;

    fn score(a: &[f64], b: &[f64], method: Method, max_lag: usize) -> Result<Likeness, Error> {
        Reference::new(a, method)?.compare(b, max_lag, &mut Scratch::default(), &mut || Ok(()))
    }

    /// Numbers without order, all different.
    fn shuffled(len: usize) -> Vec<f64> {
        (0..len).map(|i| (i * 37 % 101) as f64 + i as f64 / 1e4).collect()
    }

    #[test]
    fn ranks_share_places_and_see_any_monotone_relation() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 7.0, 3.0]), [2.0, 0.0, 2.0, 4.0, 2.0]);
        let a = shuffled(60);
        let b: Vec<f64> = a.iter().map(|value| -(value / 10.0).exp()).collect();
        let of_ranks = score(&a, &b, Method::Spearman, 0).unwrap();
        assert!((of_ranks.score + 1.0).abs() < 1e-6 && of_ranks.p < 1e-9, "{of_ranks:?}");
        assert!(score(&a, &b, Method::Pearson, 0).unwrap().score > -0.7);
    }

    #[test]
    fn the_chance_of_the_best_lag_counts_all_lags() {
        let (a, b) = (shuffled(60), (0..60).map(|i| f64::from(i * 29 % 59)).collect::<Vec<f64>>());
        let (one, many) =
            (score(&a, &b, Method::Pearson, 0).unwrap(), score(&a, &b, Method::Pearson, 20).unwrap());
        assert!(one.lag == 0 && many.score.abs() >= one.score.abs());
        assert!(many.p > 0.2 && many.p <= 1.0, "{many:?}");
        // At longer lags, too few steps are left to compare.
        let c: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b / 2.0).collect();
        let (all, longer) = (
            score(&a, &c, Method::Pearson, 60 - LEAST).unwrap(),
            score(&a, &c, Method::Pearson, 60).unwrap(),
        );
        assert!(all.p > 0.0 && all == longer, "{all:?} {longer:?}");
    }

    #[test]
    fn distributions_are_compared_without_order_and_scale() {
        let a = shuffled(80);
        let mut b: Vec<f64> = a.iter().map(|value| 1e3 * value - 7.0).collect();
        b.reverse();
        // Equal values differ in their last digits after they are standardized.
        assert!(score(&a, &b, Method::Ks2, 0).unwrap().score > 0.95);
        let peaked: Vec<f64> = (0..80).map(|i| if i % 10 == 0 { 50.0 } else { f64::from(i) / 1e3 }).collect();
        assert!(score(&a, &peaked, Method::Ks2, 0).unwrap().score < 0.6);
    }

    #[test]
    fn changes_of_level_in_the_same_proportion_are_alike() {
        let step =
            |low: f64, high: f64| -> Vec<f64> { (0..40).map(|i| if i < 20 { low } else { high }).collect() };
        let of = |a: Vec<f64>, b: Vec<f64>| score(&a, &b, Method::Volume, 0).unwrap().score;
        assert_eq!(of(step(10.0, 20.0), step(3.0, 6.0)), 1.0);
        assert_eq!(of(step(10.0, 20.0), step(6.0, 3.0)), -1.0);
        assert!((of(step(10.0, 20.0), step(100.0, 111.111_111_111_111_11)) - 0.2).abs() < 1e-9);
        assert_eq!(change(0.0, 0.0), 0.0);
        assert_eq!(change(0.0, 5.0), 1.0);
    }

    #[test]
    fn information_sees_what_correlation_does_not() {
        let a: Vec<f64> = (0..400).map(|i| f64::from(i) - 199.5).collect();
        let square: Vec<f64> = a.iter().map(|value| value * value).collect();
        assert!(score(&a, &square, Method::Pearson, 0).unwrap().score.abs() < 1e-6);
        // Knowing the value gives its square: all of the smaller entropy but what the classes blur.
        assert!(score(&a, &square, Method::Mi, 0).unwrap().score > 0.6);
        assert!((score(&a, &a, Method::Mi, 0).unwrap().score - 1.0).abs() < 1e-9);
        let noise: Vec<f64> = (0..400_u64)
            .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32)
            .map(|bits| f64::from(bits.wrapping_mul(bits | 1) >> 8))
            .collect();
        assert!(score(&a, &noise, Method::Mi, 0).unwrap().score < 0.15);
    }

    #[test]
    fn a_shape_that_is_out_of_step_is_found_within_the_band() {
        let wave = |shift: usize| -> Vec<f64> {
            (0..120).map(|i| (((i + shift) % 30) as f64 / 5.0).sin()).collect()
        };
        let near = score(&wave(0), &wave(4), Method::Dtw, 5).unwrap().score;
        let far = score(&wave(0), &wave(4), Method::Dtw, 1).unwrap().score;
        assert!(near > 0.9 && far < near - 0.05, "{near} {far}");
        // By hand: aligning (0, 1, 0) with (0, 0, 1) costs the last 0 against 1.
        let distance = warped(&[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0], 1, &mut || Ok(())).unwrap();
        assert!((distance - 1.0 / 3.0).abs() < 1e-12, "{distance}");
        let unwarped = warped(&[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0], 0, &mut || Ok(())).unwrap();
        assert!((unwarped - 2.0 / 3.0).abs() < 1e-12, "{unwarped}");
        let widest = warped(&[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0], usize::MAX, &mut || Ok(())).unwrap();
        assert_eq!(widest, distance);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_a_stop_is_noticed() {
        let a = shuffled(50);
        for (_, method) in Method::ALL {
            assert_eq!(Reference::new(&[2.0; 50], method).err(), Some(Unfit::Constant));
            assert!(score(&a, &[2.0; 50], method, 3).is_err(), "{method:?}");
            let mut gap = a.clone();
            gap[7] = f64::NAN;
            assert_eq!(
                score(&a, &gap, method, 3),
                Err(Unfit::Gaps { missing: 1, of: 50 }.into()),
                "{method:?}"
            );
        }
        let long: Vec<f64> = (0..50_000).map(|i| f64::from(i * 31 % 1009)).collect();
        for method in [Method::Pearson, Method::Dtw] {
            let reference = Reference::new(&long, method).unwrap();
            let stopped = reference.compare(&long, 100, &mut Scratch::default(), &mut || Err(Stop));
            assert_eq!(stopped, Err(Error::Stopped), "{method:?}");
        }
    }
}
