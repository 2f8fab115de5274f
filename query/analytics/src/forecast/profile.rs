//! Series with a long season: the values of the same phase in past seasons, moved by how far the newest are from
//! theirs.
//! The profile of a step is the mean of the values one, two, … seasons before it. A smoothed level follows the
//! distances of the values from the profile. A part of the last distance from that level is carried forward and fades,
//! and so is a part of the distance at the same time of the next shorter season (yesterday, if the season is a week).
//! All four parameters are the best ones for the last third of the series.

use super::smoothing::{Path, carried};
use super::trials::Trials;
use crate::{Pace, Stop};

/// Seasons in a profile, weights of the newest distance in the level, shares of a distance that remain after one step,
/// and shares of the distance in the shorter season that are tried.
const COUNTS: [usize; 4] = [1, 2, 4, 8];
const WEIGHTS: [f64; 3] = [0.1, 0.02, 0.3];
const CARRIES: [f64; 3] = [0.0, 0.9, 0.98];
const SHARES: [f64; 5] = [0.0, 0.2, 0.4, 0.6, 0.8];

/// The seasons in the profile of a trial.
const TRIED: usize = 4;

/// What remains of the share from one shorter season to the next.
const FADE: f64 = 0.8;

/// A fitted series: one profile for each number of seasons, whose predictions are averaged.
pub(super) struct Profiles(Vec<Profile>);

/// A profile and its parameters.
struct Profile {
    season: usize,
    /// The next shorter season.
    shorter: Option<usize>,
    count: usize,
    /// The distance of each value from its profile; those of the first season are 0.
    distances: Vec<f64>,
    /// The level and what is carried on.
    path: Path,
    /// The level alone.
    level: Path,
    share: f64,
}

/// The memory that a fit takes for `len` steps.
pub(super) fn bytes(len: usize) -> usize {
    8 * COUNTS.len() * len * size_of::<f64>()
}

impl Profiles {
    /// Fits a series that has at least two of the longest of its seasons, which ascend.
    pub fn fit(
        values: &[f64],
        seasons: &[usize],
        trials: &Trials,
        pace: &mut Pace<'_>,
    ) -> Result<Profiles, Stop> {
        let (&season, shorter) = seasons.split_last().unwrap_or((&1, &[]));
        let shorter = shorter.last().copied();
        let mut profiles = Vec::new();
        // A profile of more seasons than there are is the same as one of fewer.
        for count in COUNTS.into_iter().filter(|&count| count == COUNTS[0] || count * season < values.len()) {
            profiles.push(Profile::fit(values, [season, count], shorter, trials, pace)?);
        }
        Ok(Profiles(profiles))
    }

    /// A profile of a few seasons with usual parameters.
    pub fn trial(values: &[f64], seasons: &[usize]) -> Profiles {
        let (&season, shorter) = seasons.split_last().unwrap_or((&1, &[]));
        let distances = distances(values, season, TRIED);
        let path = carried(&distances, WEIGHTS[0], CARRIES[0]);
        let shorter = shorter.last().copied();
        let (level, share) = (path.clone(), SHARES[2]);
        Profiles(vec![Profile { season, shorter, count: TRIED, distances, path, level, share }])
    }

    /// The first step whose predictions say how good the method is: one that has a full profile, if a third of the
    /// series is after it.
    pub fn first_origin(&self, len: usize) -> usize {
        let full = self.0.iter().map(|profile| (profile.count + 1) * profile.season).max().unwrap_or(0);
        let season = self.0.first().map_or(0, |profile| profile.season);
        full.min(len - len / 3).max(season)
    }

    /// The prediction for `h` steps after step `from`, which is not in the first season.
    pub fn at(&self, values: &[f64], from: usize, h: usize) -> f64 {
        self.0.iter().map(|profile| profile.at(values, from, h)).sum::<f64>() / self.0.len() as f64
    }
}

impl Profile {
    fn fit(
        values: &[f64],
        [season, count]: [usize; 2],
        shorter: Option<usize>,
        trials: &Trials,
        pace: &mut Pace<'_>,
    ) -> Result<Profile, Stop> {
        pace.work(4 * count * values.len())?;
        let distances = distances(values, season, count);
        let mut best = (f64::INFINITY, [WEIGHTS[0], CARRIES[0], SHARES[0]]);
        let with = |weight: f64, carry: f64, share: f64| Profile {
            season,
            shorter,
            count,
            distances: Vec::new(),
            path: carried(&distances, weight, carry),
            level: carried(&distances, weight, 0.0),
            share,
        };
        for weight in WEIGHTS {
            for carry in CARRIES {
                pace.work(20_000 + 8 * values.len())?;
                let mut profile = with(weight, carry, 0.0);
                for share in SHARES.into_iter().take(if shorter.is_some() { SHARES.len() } else { 1 }) {
                    profile.share = share;
                    let error = trials.error(values, |from, h| profile.predict(values, &distances, from, h));
                    if error < best.0 {
                        best = (error, [weight, carry, share]);
                    }
                }
            }
        }
        let [weight, carry, share] = best.1;
        let mut profile = with(weight, carry, share);
        profile.distances = distances;
        Ok(profile)
    }

    fn at(&self, values: &[f64], from: usize, h: usize) -> f64 {
        self.predict(values, &self.distances, from, h)
    }

    fn predict(&self, values: &[f64], distances: &[f64], from: usize, h: usize) -> f64 {
        let back = self.season * h.div_ceil(self.season);
        let profile = profile(values, (from + h).saturating_sub(back), self.season, self.count);
        let mut predicted = profile + self.path.at(from, h);
        if let Some(shorter) = self.shorter.filter(|_| self.share > 0.0) {
            let cycles = h.div_ceil(shorter);
            let distance = distances[(from + h).saturating_sub(cycles * shorter)] - self.level.levels[from];
            predicted += self.share * distance * FADE.powi(cycles as i32 - 1);
        }
        predicted
    }
}

/// The mean of up to `count` values of one phase, the newest at `newest`.
fn profile(values: &[f64], newest: usize, season: usize, count: usize) -> f64 {
    let (mut sum, mut found) = (0.0, 0.0);
    let mut at = newest;
    for _ in 0..count {
        sum += values[at];
        found += 1.0;
        match at.checked_sub(season) {
            Some(before) => at = before,
            None => break,
        }
    }
    sum / found
}

fn distances(values: &[f64], season: usize, count: usize) -> Vec<f64> {
    let distance = |(step, value): (usize, &f64)| match step.checked_sub(season) {
        Some(newest) => value - profile(values, newest, season, count),
        None => 0.0,
    };
    values.iter().enumerate().map(distance).collect()
}
