//! Disturbances that spread from series to series: when each began, how strong it is, and which one came first.
//!
//! A value is judged by its distance from the median of a while before, not from one level, so that a series that wanders
//! is not disturbed by that. A disturbance is the run of steps whose distances add up to the most beyond a threshold, so
//! a long moderate one counts like a short strong one. Its first step is the onset. Which distances are usual is learnt
//! from the steps before the target's disturbance: from their middle half and from all but the extremes, so a series
//! that often has spikes is not disturbed by one more.
//!
//! The constants were chosen on 400 generated faults (`cargo run --release --workspace --example root_cause -- 123 400`),
//! of which 93 % of the causes are among the first five; of 1,000 others (`-- 77 1000`), it is 90 %.

use crate::compare::correlate::{Scratch, Target};
use crate::order::{SortedWindow, quantile_of_sorted, sort_finite};
use crate::size::{self, Size};
use crate::{Check, Error, Unfit};

/// Distance from the usual level, in typical deviations, above which a step counts for a disturbance.
const THRESHOLD: f64 = 2.0;

/// A step counts at most this much, so that one spike does not outweigh a change that lasts.
const STEP_MAX: f64 = 8.0;

/// The sum of distances above the threshold at which a disturbance is half as strong as the strongest possible.
const HALF: f64 = 25.0;

/// Bins in which the disturbance of the target is first looked for.
const BINS_MAX: usize = 512;

/// A disturbance counts more than a later and stronger one if it is at least this share of it.
const FIRST_SHARE: f64 = 0.4;

/// Multiple of the longest lag by which a cause precedes at most.
const EARLIEST: f64 = 1.5;

/// The largest number of values that a value is compared with.
const BEFORE_MAX: usize = 256;

/// The share of the score that is left if the candidate resembles the target best when it comes after it.
const FOLLOWS: f64 = 0.3;

/// The least number of steps that the usual level is learnt from.
const USUAL_MIN: usize = 20;

/// A disturbance of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disturbance {
    /// Its first step.
    pub onset: usize,
    /// How sure it is, from 0 to 1.
    pub strength: f64,
    /// The median distance from the usual level while it lasts, in typical deviations; negative below it.
    pub deviations: f64,
}

/// What is suspected to be the cause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suspicion {
    /// From 0 to 1: correlation, times the root of the strength, times precedence.
    pub score: f64,
    /// The correlation at the best lag, from -1 to 1.
    pub r: f64,
    /// Steps by which the candidate comes before the target at the best lag.
    pub lag: i32,
    /// Steps by which its disturbance began before that of the target.
    pub lead: i64,
    /// Its disturbance.
    pub disturbance: Disturbance,
}

/// The disturbance of a target, with which candidates are compared.
#[derive(Debug, Clone)]
pub struct Incident {
    reference: Target,
    disturbance: Disturbance,
    /// The number of steps before the disturbance of the target.
    usual: usize,
    max_lag: usize,
}

/// The memory that an incident, or a comparison with it, takes for `len` steps.
pub fn bytes(len: usize) -> usize {
    crate::compare::correlate::bytes(len) + size::bytes(len) + 2 * len * size_of::<f64>()
}

impl Incident {
    /// Finds the disturbance of a target without gaps. Causes are expected at most `max_lag` steps before it.
    ///
    /// # Errors
    /// Too few values, missing or equal ones.
    pub fn of(target: &[f64], max_lag: usize) -> Result<Incident, Unfit> {
        let reference = Target::new(target)?;
        let target = &*Size::of(target).applied(target);
        let usual = usual_steps(rough_onset(target), max_lag, target.len());
        Ok(Incident { reference, disturbance: disturbance(target, usual, max_lag), usual, max_lag })
    }

    /// The disturbance of the target.
    pub fn disturbance(&self) -> Disturbance {
        self.disturbance
    }

    /// Judges a candidate with the same steps, without gaps.
    ///
    /// # Errors
    /// A candidate of another length, with missing or equal values;
    /// and a stop by the caller.
    pub fn suspect(
        &self,
        candidate: &[f64],
        scratch: &mut Scratch,
        check: Check<'_>,
    ) -> Result<Suspicion, Error> {
        let found = self.reference.compare(candidate, self.max_lag, scratch, check)?;
        let candidate = &*Size::of(candidate).applied(candidate);
        let disturbance = disturbance(candidate, self.usual, self.max_lag);
        let lead = self.disturbance.onset as i64 - disturbance.onset as i64;
        let follows = if found.lag < 0 { FOLLOWS } else { 1.0 };
        let score = found.r.abs() * disturbance.strength.sqrt() * precedence(lead, self.max_lag) * follows;
        Ok(Suspicion { score, r: found.r, lag: found.lag, lead, disturbance })
    }
}

/// The steps that the usual level is learnt from: those well before the onset, those before it, or else all.
fn usual_steps(onset: usize, max_lag: usize, len: usize) -> usize {
    let before = onset.saturating_sub(max_lag);
    let clean = [before, onset].into_iter().find(|&steps| steps >= USUAL_MIN.max(len / 10));
    clean.filter(|&steps| steps < len).unwrap_or(len)
}

/// About where the run of steps begins whose mean differs most from that of all others. The search tries all runs of at
/// most [`BINS_MAX`] bins of steps, which takes less than a millisecond.
fn rough_onset(values: &[f64]) -> usize {
    let width = values.len().div_ceil(BINS_MAX).max(1);
    let mean = values.iter().map(|value| value / values.len() as f64).sum::<f64>();
    let size = values.iter().fold(0.0_f64, |largest, value| largest.max((value - mean).abs()));
    // Sums up to the beginning of each bin, of values that cannot overflow.
    let bins = values.chunks(width).map(|bin| bin.iter().map(|value| (value - mean) / size).sum::<f64>());
    let mut sums = vec![0.0];
    sums.extend(bins.scan(0.0, |sum, bin| {
        *sum += bin;
        Some(*sum)
    }));
    let count = sums.len() - 1;
    let (mut most, mut onset) = (0.0, 0);
    for begin in 1..count {
        for end in begin + 1..=count {
            let (length, sum) = ((end - begin) as f64, sums[end] - sums[begin]);
            let difference = sum * sum / (length * (1.0 - length / count as f64));
            if difference > most {
                (most, onset) = (difference, begin * width);
            }
        }
    }
    onset
}

/// How well a disturbance explains one that begins `lead` steps later: a quarter if both begin together, the more the
/// earlier it begins, 1 if it begins one and a half times `max_lag` before, and less the later or the longer before.
fn precedence(lead: i64, max_lag: usize) -> f64 {
    let lead = lead as f64 / max_lag.max(1) as f64;
    if lead < 0.0 {
        (2.0 * lead).exp() / 4.0
    } else if lead <= EARLIEST {
        0.25 + 0.75 * lead / EARLIEST
    } else {
        (EARLIEST - lead).exp()
    }
}

/// The distance of each value from the median of the values `lag` to twice `lag` before; the first ones are NaN. A series
/// that wanders has no usual level, but it moves by usual distances.
fn moves(values: &[f64], lag: usize) -> Vec<f64> {
    let lag = lag.clamp(1, values.len().div_ceil(4).clamp(1, BEFORE_MAX));
    let mut before = SortedWindow::new(lag);
    let mut moves = vec![f64::NAN; values.len()];
    for i in lag..values.len() {
        before.push(values[i - lag]);
        if before.len() == lag && i + 1 >= 2 * lag {
            moves[i] = values[i] - before.median();
        }
    }
    moves
}

/// The disturbance of a series whose first `usual` steps are usual.
fn disturbance(values: &[f64], usual: usize, max_lag: usize) -> Disturbance {
    let moves = moves(values, max_lag);
    let mut sorted = Vec::new();
    sort_finite(&moves[..usual.min(moves.len())], &mut sorted);
    let quantile = |phi: f64| quantile_of_sorted(&sorted, phi);
    let level = quantile(0.5);
    // The quartiles and the 1st and 99th percentile of a normal distribution are 1.349 and 4.653 deviations apart.
    let mut spread = (quantile(0.75) - quantile(0.25)) / 1.349;
    if usual < values.len() {
        // The extremes of steps that include the disturbance are those of the disturbance.
        spread = spread.max((quantile(0.99) - quantile(0.01)) / 4.653);
    }
    let size = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let spread = spread.max(1e-9 * size).max(f64::MIN_POSITIVE);
    let of = |sign: f64| {
        let (mut sum, mut begin) = (0.0_f64, 0);
        let (mut most, mut found) = (0.0_f64, values.len()..values.len());
        for (i, &moved) in moves.iter().enumerate().filter(|(_, moved)| moved.is_finite()) {
            if sum <= 0.0 {
                (sum, begin) = (0.0, i);
            }
            sum += (sign * (moved - level) / spread - THRESHOLD).min(STEP_MAX);
            if sum > most {
                (most, found) = (sum, begin..i + 1);
            }
        }
        (most, found)
    };
    // A disturbance that is over ends with a move back that is as large: the first one counts.
    let (up, down) = (of(1.0), of(-1.0));
    let (first, second) = if up.1.start <= down.1.start { (up, down) } else { (down, up) };
    let (sum, found) = if first.0 >= FIRST_SHARE * second.0 { first } else { second };
    sort_finite(&moves[found.clone()], &mut sorted);
    let deviations =
        if sorted.is_empty() { 0.0 } else { (quantile_of_sorted(&sorted, 0.5) - level) / spread };
    Disturbance { onset: found.start, strength: sum / (sum + HALF), deviations }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise around 100 with a shift from a step on.
    fn shifted(seed: u64, at: usize, by: f64) -> Vec<f64> {
        let noise = |i: u64| {
            let mut bits = (i + 1000 * seed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (bits >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        };
        (0..240).map(|i| 100.0 + noise(i) + if i as usize >= at { by } else { 0.0 }).collect()
    }

    #[test]
    fn the_onset_and_the_direction_are_found() {
        let up = disturbance(&shifted(1, 150, 3.0), 140, 10);
        assert_eq!(up.onset, 150);
        assert!(up.strength > 0.7 && up.deviations > 4.0, "{up:?}");
        let down = disturbance(&shifted(2, 60, -3.0), 50, 10);
        assert_eq!(down.onset, 60);
        assert!(down.deviations < -4.0, "{down:?}");
        let none = disturbance(&shifted(3, 240, 0.0), 240, 10);
        assert!(none.strength < 0.1, "{none:?}");
    }

    #[test]
    fn one_spike_is_weaker_than_a_change_that_lasts_and_a_constant_has_none() {
        let mut spike = shifted(4, 240, 0.0);
        spike[100] += 1000.0;
        let spike = disturbance(&spike, 90, 10);
        assert!(spike.strength < 0.3 && spike.onset == 100, "{spike:?}");
        assert_eq!(disturbance(&[5.0; 50], 50, 10).strength, 0.0);
        // A level that never changed before has changed.
        let mut step = [5.0; 80];
        step[60..].fill(6.0);
        let found = disturbance(&step, 50, 10);
        assert!(found.onset == 60 && found.strength > 0.7, "{found:?}");
        assert_eq!(disturbance(&[], 0, 10).strength, 0.0);
    }

    #[test]
    fn a_walk_is_not_disturbed_by_its_distance_from_where_it_began() {
        let mut level = 0.0;
        let steps = shifted(5, 240, 0.0);
        let walk: Vec<f64> = steps
            .iter()
            .map(|step| {
                level += step - 100.0;
                level
            })
            .collect();
        let usual = disturbance(&walk, 120, 10);
        let jump: Vec<f64> =
            walk.iter().enumerate().map(|(i, v)| if i >= 180 { v + 12.0 } else { *v }).collect();
        let found = disturbance(&jump, 120, 10);
        assert!(usual.strength < 0.5 && found.strength > 0.7 && found.onset == 180, "{usual:?} {found:?}");
    }

    #[test]
    fn moves_are_distances_from_a_while_before() {
        let moved = moves(&[1.0, 3.0, 5.0, 5.0, 8.0, 8.0, 8.0, 8.0], 2);
        assert!(moved[..3].iter().all(|value| value.is_nan()));
        assert_eq!(moved[3..], [3.0, 4.0, 3.0, 1.5, 0.0]);
        assert!(moves(&[], 2).is_empty());
    }

    #[test]
    fn precedence_is_greatest_some_lags_before() {
        let of = |lead| precedence(lead, 10);
        assert_eq!((of(0), of(15)), (0.25, 1.0));
        assert!(of(5) > of(4) && of(40) < 0.1 && of(-1) < of(0) && of(-10) < 0.05);
    }

    #[test]
    fn what_began_earlier_is_suspected_more_and_what_is_unrelated_less() {
        let incident = Incident::of(&shifted(1, 150, 3.0), 10).unwrap();
        assert_eq!(incident.disturbance().onset, 150);
        let suspect =
            |values: &[f64]| incident.suspect(values, &mut Scratch::default(), &mut || Ok(())).unwrap();
        let cause = suspect(&shifted(5, 144, -3.0));
        assert!(cause.lead == 6 && cause.lag == 6 && cause.r < -0.8, "{cause:?}");
        let together = suspect(&shifted(6, 150, 3.0));
        let effect = suspect(&shifted(7, 156, 3.0));
        let long_ago = suspect(&shifted(8, 40, 3.0));
        let unrelated = suspect(&shifted(9, 240, 0.0));
        let scores = [cause, together, effect, long_ago, unrelated].map(|found| found.score);
        assert!(scores[0] > scores[1] && scores[1] > scores[2], "{scores:?}");
        assert!(scores[2] > scores[4] && scores[1] > scores[3], "{scores:?}");
    }

    #[test]
    fn a_disturbance_that_is_over_is_found_where_it_was() {
        let mut pulse = shifted(3, 100, 4.0);
        pulse.iter_mut().skip(130).for_each(|value| *value -= 4.0);
        assert_eq!(rough_onset(&pulse), 100);
        let incident = Incident::of(&pulse, 10).unwrap();
        assert_eq!(incident.disturbance().onset, 100);
        // Bins of several steps.
        let long: Vec<f64> =
            (0..5000).map(|i| f64::from(i % 7) + if i >= 3000 { 10.0 } else { 0.0 }).collect();
        let found = rough_onset(&long);
        assert!((2990..=3010).contains(&found), "{found}");
    }

    #[test]
    fn an_incident_that_fills_the_window_is_compared_with_all_of_it() {
        assert_eq!(usual_steps(150, 10, 240), 140);
        assert_eq!(usual_steps(25, 10, 240), 25);
        assert_eq!(usual_steps(15, 10, 240), 240);
        assert_eq!(Incident::of(&[1.0; 50], 10).unwrap_err(), Unfit::Constant);
        let incident = Incident::of(&shifted(1, 150, 3.0), 10).unwrap();
        let refused = incident.suspect(&[1.0; 240], &mut Scratch::default(), &mut || Ok(()));
        assert_eq!(refused, Err(Unfit::Constant.into()));
    }
}
