//! The lengths of a series' seasons.
//!
//! A season shows as a peak of the periodogram whose length the autocorrelation confirms. Seasons of short bursts have
//! flat spectra, so lengths that the caller names (an hour, a day, a week) are tried too, on the ranks of the values.
//! In both cases the autocorrelation one season apart must be at least 0.2, and by 0.15 higher than half and three
//! quarters of a season apart: a slow drift correlates at every distance.

use crate::fourier::{self, autocorrelation, powers};
use crate::gaps;
use crate::order::{quantile_of_sorted, sort_finite};
use crate::{Check, Error, Pace, Unfit};

/// Cycles that a series must have for a season to be found.
pub const CYCLES: usize = 3;

/// The least autocorrelation of a season.
const LEAST: f64 = 0.2;

/// How far it must be above the autocorrelation between seasons.
const CONTRAST: f64 = 0.15;

/// Peaks of the periodogram that are tried.
const PEAKS: usize = 10;

/// A season.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Season {
    /// Its length in steps.
    pub length: usize,
    /// The autocorrelation one season apart, up to 1.
    pub strength: f64,
}

/// The memory that [`find`] takes for `len` steps.
pub fn bytes(len: usize) -> usize {
    gaps::fill_bytes(len) + 5 * len * size_of::<f64>() + 2 * fourier::bytes(len)
}

/// The seasons of a series, the strongest first, at most `most`. The lengths in `calendar` are tried in addition to
/// those of the spectrum.
///
/// # Errors
/// Fewer than 12 values, more gaps than values, equal values, and a stop by the caller. A series without a season has
/// an empty list.
pub fn find(values: &[f64], calendar: &[usize], most: usize, check: Check<'_>) -> Result<Vec<Season>, Error> {
    let mut pace = Pace::new(check);
    let there = values.iter().filter(|value| value.is_finite()).count();
    if there < 12 {
        return Err(Unfit::TooShort { has: there, needs: 12 }.into());
    }
    let mut series = gaps::fill(values, &[])?.values;
    let largest = series.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    if largest > 0.0 {
        series.iter_mut().for_each(|value| *value /= largest);
    }
    pace.work(100 * series.len())?;
    let longest = series.len() / CYCLES;
    flatten(&mut series);
    if series.iter().all(|value| value.abs() < 1e-12) {
        return Err(Unfit::Constant.into());
    }
    let own = autocorrelation(&series, longest, &mut pace)?;
    let mut found = Vec::new();
    for length in peaks(&series, &mut pace)? {
        let length = refine(&own, length, longest);
        // On the slope of a longer season's peak, the autocorrelation is high too, but not highest.
        found.extend(
            confirm(&own, length)
                .filter(|_| own[length - 1].max(own[(length + 1).min(longest)]) <= own[length]),
        );
    }
    rank(&mut series);
    let of_ranks = autocorrelation(&series, longest, &mut pace)?;
    found.extend(calendar.iter().filter(|&&length| length <= longest).filter_map(|&length| {
        let by_rank = confirm(&of_ranks, length)?;
        Some(Season { strength: by_rank.strength.max(own[length]), ..by_rank })
    }));
    let mut seasons = distinct(found);
    seasons.sort_by(|a, b| b.strength.total_cmp(&a.strength));
    seasons.truncate(most);
    Ok(seasons)
}

/// Removes the line through the values and their mean, and limits them to the range of 98 % of them.
fn flatten(values: &mut [f64]) {
    let n = values.len() as f64;
    let middle = (n - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / n;
    let along = values.iter().enumerate().map(|(i, v)| (i as f64 - middle) * (v - mean)).sum::<f64>();
    let slope = along / (n * (n * n - 1.0) / 12.0);
    for (i, value) in values.iter_mut().enumerate() {
        *value -= mean + slope * (i as f64 - middle);
    }
    let mut sorted = Vec::new();
    sort_finite(values, &mut sorted);
    let (low, high) = (quantile_of_sorted(&sorted, 0.01), quantile_of_sorted(&sorted, 0.99));
    values.iter_mut().for_each(|value| *value = value.clamp(low, high));
    let mean = values.iter().sum::<f64>() / n;
    values.iter_mut().for_each(|value| *value -= mean);
}

/// The periods of the highest peaks of the periodogram.
fn peaks(values: &[f64], pace: &mut Pace<'_>) -> Result<Vec<f64>, Error> {
    let turn = std::f64::consts::TAU / (values.len() - 1) as f64;
    let hann: Vec<f64> =
        values.iter().enumerate().map(|(i, v)| v * (0.5 - 0.5 * (turn * i as f64).cos())).collect();
    let (size, powers) = powers(&hann, pace)?;
    let is_peak = |&k: &usize| powers[k] >= powers[k - 1] && powers[k] > powers[k + 1];
    let mut places: Vec<usize> = (1..powers.len() - 1).filter(is_peak).collect();
    places.sort_by(|&a, &b| powers[b].total_cmp(&powers[a]));
    places.truncate(PEAKS);
    Ok(places.into_iter().map(|k| size as f64 / k as f64).collect())
}

/// The lag of the highest autocorrelation within a tenth of a period.
fn refine(correlation: &[f64], period: f64, longest: usize) -> usize {
    let low = ((0.9 * period).floor() as usize).max(2);
    let high = ((1.1 * period).ceil() as usize).min(longest);
    let lags = low..=high;
    lags.max_by(|&a, &b| correlation[a].total_cmp(&correlation[b]).then(b.cmp(&a))).unwrap_or(0)
}

/// The season of a length, if the autocorrelation shows it.
fn confirm(correlation: &[f64], length: usize) -> Option<Season> {
    if length < 2 || length >= correlation.len() {
        return None;
    }
    let strength = correlation[length];
    let between = correlation[length / 2].max(correlation[3 * length / 4]);
    (strength >= LEAST && strength - between >= CONTRAST).then_some(Season { length, strength })
}

/// Leaves out lengths that only repeat another: a multiple that is not clearly stronger, and a divisor that is much
/// weaker than its multiple.
fn distinct(mut found: Vec<Season>) -> Vec<Season> {
    found.sort_by(|a, b| a.length.cmp(&b.length).then(b.strength.total_cmp(&a.strength)));
    let mut kept: Vec<Season> = Vec::new();
    for season in found {
        let ratio = |other: &Season| season.length as f64 / other.length as f64;
        let repeats = |other: &Season| {
            let ratio = ratio(other);
            let multiple = (ratio - ratio.round()).abs() <= 0.05 * ratio;
            multiple && season.strength < other.strength + 0.05 || ratio < 1.1
        };
        if let Some(other) = kept.iter_mut().find(|other| repeats(other)) {
            // Two lengths that differ by at most a tenth are one season, with the length of the stronger one.
            if ratio(other) < 1.1 && season.strength > other.strength {
                *other = season;
            }
            continue;
        }
        kept.retain(|other| {
            let ratio = ratio(other);
            (ratio - ratio.round()).abs() > 0.05 * ratio || other.strength >= 0.6 * season.strength
        });
        kept.push(season);
    }
    kept
}

/// Replaces values by their ranks, less the mean rank; equal values share a rank.
fn rank(values: &mut [f64]) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let middle = (values.len() - 1) as f64 / 2.0;
    let mut ranks = vec![0.0; values.len()];
    let mut begin = 0;
    while begin < order.len() {
        let same = |&&i: &&usize| values[i] == values[order[begin]];
        let end = begin + order[begin..].iter().take_while(same).count();
        let shared = (begin + end - 1) as f64 / 2.0 - middle;
        order[begin..end].iter().for_each(|&i| ranks[i] = shared);
        begin = end;
    }
    values.copy_from_slice(&ranks);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: u32) -> f64 {
        let mut bits = u64::from(i).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    fn lengths(values: &[f64], calendar: &[usize]) -> Vec<usize> {
        find(values, calendar, 3, &mut || Ok(())).unwrap().iter().map(|season| season.length).collect()
    }

    fn wave(i: u32, period: u32) -> f64 {
        (f64::from(i % period) / f64::from(period) * std::f64::consts::TAU).sin()
    }

    #[test]
    fn a_day_and_a_week_are_found() {
        let value = |i: u32| {
            let week = if (i / 48) % 7 >= 5 { -3.0 } else { 0.0 };
            10.0 + 4.0 * wave(i, 48) + week + noise(i)
        };
        let values: Vec<f64> = (0..48 * 7 * 6).map(value).collect();
        let mut found = lengths(&values, &[48, 336]);
        found.sort_unstable();
        assert_eq!(found, [48, 336]);
    }

    #[test]
    fn a_day_alone_has_no_week_and_no_half() {
        let values: Vec<f64> =
            (0..4032).map(|i| 4.0 * wave(i, 288) + noise(i) + f64::from(i) / 500.0).collect();
        assert_eq!(lengths(&values, &[12, 288, 2016]), [288]);
    }

    #[test]
    fn an_odd_length_is_found_without_a_calendar() {
        let values: Vec<f64> = (0..900).map(|i| wave(i, 37) + 0.5 * noise(i)).collect();
        assert_eq!(lengths(&values, &[]), [37]);
    }

    #[test]
    fn noise_drift_and_bursts() {
        let white: Vec<f64> = (0..2000).map(noise).collect();
        assert!(lengths(&white, &[48, 336]).is_empty());
        let mut level = 0.0;
        let walk: Vec<f64> = (0..2000)
            .map(|i| {
                level += noise(i);
                level
            })
            .collect();
        assert!(lengths(&walk, &[48, 336]).is_empty(), "{:?}", lengths(&walk, &[48, 336]));
        let bursts: Vec<f64> =
            (0..1200).map(|i| if i % 48 < 6 { 50.0 + 40.0 * noise(i) } else { noise(i) }).collect();
        assert!(lengths(&bursts, &[48]).contains(&48));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut go = || Ok(());
        assert_eq!(find(&[1.0; 5], &[], 3, &mut go), Err(Unfit::TooShort { has: 5, needs: 12 }.into()));
        assert_eq!(find(&[1.0; 50], &[], 3, &mut go), Err(Unfit::Constant.into()));
        assert_eq!(find(&[0.0; 50], &[], 3, &mut go), Err(Unfit::Constant.into()));
        let mut gaps: Vec<f64> = (0..960).map(|i| wave(i, 48)).collect();
        gaps[100..130].fill(f64::NAN);
        assert_eq!(lengths(&gaps, &[]), [48]);
    }
}
