//! Cross-validation: each folder is scored with what is best for all other folders.

use std::error::Error;

use barograph_analytics::anomaly::{Tuning, score_tuned};

use crate::corpus::Series;
use crate::scorer::{PROFILES, Profile, normalized};
use crate::{HOLD, folders, raw, step};

/// Thresholds that are tried, in twentieths.
const LINES: std::ops::RangeInclusive<u32> = 10..=80;

/// The constants of the default method that are tried, and the hours between events.
const SHORTS: [usize; 4] = [1, 3, 6, 12];
const HISTORIES: [usize; 3] = [1000, 2000, 4000];
const SEASONS: [usize; 3] = [3, 5, 7];
const HOLDS: [i64; 4] = [HOLD / 4, HOLD / 2, HOLD, 2 * HOLD];

fn line(tried: u32) -> f64 {
    f64::from(tried) / 20.0
}

/// The score of a corpus, each folder with the threshold that is best for all other folders.
pub fn lines_alone(all: &[Series], scores: &[Vec<f64>], profile: Profile) -> f64 {
    let (mut sum, mut windows) = (0.0, 0);
    for folder in folders(all) {
        let worth = |tried: &u32| raw(all, scores, (line(*tried), HOLD), profile, |other| other != folder).0;
        let best = LINES.max_by(|a, b| worth(a).total_cmp(&worth(b))).unwrap_or(20);
        let (of_folder, its_windows) = raw(all, scores, (line(best), HOLD), profile, |other| other == folder);
        sum += of_folder;
        windows += its_windows;
    }
    normalized(sum, windows, profile)
}

/// The best choice so far for one profile and one left-out folder.
struct Best {
    of_others: f64,
    of_folder: f64,
    windows: usize,
    what: String,
}

/// One line: the scores of the default method, each folder with the constants, the hours between events and the
/// threshold that are best for all other folders; and the choices for the standard profile.
pub fn all_constants(all: &[Series]) -> Result<String, Box<dyn Error>> {
    let folders = folders(all);
    let nothing = || Best { of_others: f64::NEG_INFINITY, of_folder: 0.0, windows: 0, what: String::new() };
    let mut best: Vec<[Best; 3]> = folders.iter().map(|_| [nothing(), nothing(), nothing()]).collect();
    for tuning in tunings() {
        let mut scores = Vec::new();
        for series in all {
            let day = usize::try_from(86_400 / step(series)).ok();
            scores.push(score_tuned(&series.values, tuning, day, &mut || Ok(()))?.scores);
        }
        for (hold, tried) in HOLDS.iter().flat_map(|&hold| LINES.map(move |tried| (hold, tried))) {
            for (place, profile) in PROFILES.into_iter().enumerate() {
                let of = |folder: &str| raw(all, &scores, (line(tried), hold), profile, |f| f == folder);
                let sums: Vec<(f64, usize)> = folders.iter().map(|folder| of(folder)).collect();
                let total = sums.iter().map(|(sum, _)| sum).sum::<f64>();
                for (best, (of_folder, windows)) in best.iter_mut().zip(sums) {
                    if total - of_folder > best[place].of_others {
                        let what = format!("{tuning:?}, {} h, {}", hold / 3600, line(tried));
                        best[place] = Best { of_others: total - of_folder, of_folder, windows, what };
                    }
                }
            }
        }
    }
    let score = |place: usize| {
        let sum = best.iter().map(|of| of[place].of_folder).sum::<f64>();
        let windows = best.iter().map(|of| of[place].windows).sum();
        format!("{:6.1}", normalized(sum, windows, PROFILES[place]))
    };
    let mut text = format!("auto, all constants of other folders: {}\n", [0, 1, 2].map(score).join(" "));
    for (folder, best) in folders.iter().zip(&best) {
        text += &format!("  for {folder}: {}\n", best[0].what);
    }
    Ok(text)
}

fn tunings() -> Vec<Tuning> {
    let of = |short: usize| {
        let with_history = move |history: usize| SEASONS.map(|seasons| Tuning { short, history, seasons });
        HISTORIES.into_iter().flat_map(with_history)
    };
    SHORTS.into_iter().flat_map(of).collect()
}
