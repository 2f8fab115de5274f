//! Runs the detectors over a folder in the layout of the Numenta Anomaly Benchmark and prints their scores.
//!
//!     cargo run --release --package barograph-analytics --example nab -- DIR
//!
//! One configuration for all files: the defaults, a season of a day, and events that are at least twelve hours apart.
//! An alert is a score of 1. The second column has the scores with the threshold that is best for the other folders
//! ("leave one folder out"), so that no figure is fitted to its own files. The last line is that of the default method.

mod corpus;
mod scorer;

use std::error::Error;
use std::path::Path;

use barograph_analytics::anomaly::{self, Method, onsets};
use barograph_analytics::esd;
use corpus::Series;
use scorer::{PROFILES, Profile, normalized, probation, score};

/// Seconds between events.
const HOLD: i64 = 12 * 3600;

/// Thresholds that are tried.
const LINES: std::ops::RangeInclusive<u32> = 10..=80;

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args().nth(1).ok_or("which folder? nab DIR")?;
    let all = corpus::read(Path::new(&root))?;
    let points: usize = all.iter().map(|series| series.values.len()).sum();
    let windows: usize = all.iter().map(|series| series.windows.len()).sum();
    let mut shipped = [0.0; 3];
    let mut out = format!("{} files, {points} points, {windows} windows; ", all.len());
    out += &format!("each three: {}\n", PROFILES.map(|profile| profile.name).join(", "));
    for (name, method) in Method::ALL {
        let mut scores = Vec::new();
        for series in &all {
            let day = usize::try_from(86_400 / step(series)).ok();
            scores.push(anomaly::score(&series.values, method, day, &mut || Ok(()))?.scores);
        }
        out += &report(name, &all, &scores);
        if method == Method::default() {
            shipped = PROFILES.map(|profile| total(&all, &scores, 1.0, profile, |_| true));
        }
    }
    let mut scores = Vec::new();
    for series in &all {
        let day = usize::try_from(86_400 / step(series))?;
        let found = esd::seasonal(&series.values, &esd::Options::new(day), &mut || Ok(()));
        let mut flags = vec![0.0; series.values.len()];
        found.unwrap_or_default().iter().for_each(|&at| flags[at] = 1.0);
        scores.push(flags);
    }
    out += &report("seasonal_esd", &all, &scores);
    let [standard, low_fp, low_fn] = shipped;
    out += &format!("nab: standard {standard:.1}, low-FP {low_fp:.1}, low-FN {low_fn:.1}\n");
    std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes())?;
    Ok(())
}

/// One line about a detector: as shipped, with the thresholds from the other folders, and by folder.
fn report(name: &str, all: &[Series], scores: &[Vec<f64>]) -> String {
    let shipped = PROFILES.map(|profile| total(all, scores, 1.0, profile, |_| true));
    let others = PROFILES.map(|profile| left_out(all, scores, profile));
    let row = |figures: [f64; 3]| figures.map(|figure| format!("{figure:6.1}")).join(" ");
    let mut text =
        format!("{name:13} {}   lines of other folders: {}   standard by folder:", row(shipped), row(others));
    for folder in folders(all) {
        let of_folder = total(all, scores, 1.0, PROFILES[0], |other| other == folder);
        text += &format!(" {folder} {of_folder:.1}");
    }
    text + "\n"
}

fn folders(all: &[Series]) -> Vec<&str> {
    let mut folders: Vec<&str> = all.iter().map(|series| series.folder.as_str()).collect();
    folders.dedup();
    folders
}

/// The sum of the folders' scores, each with the threshold that is best for all other folders.
fn left_out(all: &[Series], scores: &[Vec<f64>], profile: Profile) -> f64 {
    let line = |tried: u32| f64::from(tried) / 20.0;
    let (mut sum, mut windows) = (0.0, 0);
    for folder in folders(all) {
        let worth = |tried: &u32| raw(all, scores, line(*tried), profile, |other| other != folder).0;
        let best = LINES.max_by(|a, b| worth(a).total_cmp(&worth(b))).unwrap_or(20);
        let (of_folder, its_windows) = raw(all, scores, line(best), profile, |other| other == folder);
        sum += of_folder;
        windows += its_windows;
    }
    normalized(sum, windows, profile)
}

fn total(
    all: &[Series],
    scores: &[Vec<f64>],
    line: f64,
    profile: Profile,
    keep: impl Fn(&str) -> bool,
) -> f64 {
    let (sum, windows) = raw(all, scores, line, profile, keep);
    normalized(sum, windows, profile)
}

/// The sum of the scores of some folders, and the number of their windows.
fn raw(
    all: &[Series],
    scores: &[Vec<f64>],
    line: f64,
    profile: Profile,
    keep: impl Fn(&str) -> bool,
) -> (f64, usize) {
    let (mut sum, mut windows) = (0.0, 0);
    for (series, scores) in all.iter().zip(scores).filter(|(series, _)| keep(&series.folder)) {
        let hold = usize::try_from(HOLD / step(series)).unwrap_or(1);
        // Alerts in probation are not raised, so that they suppress none after it.
        let first = probation(scores.len());
        let alerts: Vec<usize> = onsets(&scores[first..], line, hold).iter().map(|at| at + first).collect();
        sum += score(scores.len(), &series.windows, &alerts, profile);
        windows += series.windows.len();
    }
    (sum, windows)
}

/// The most frequent distance between two rows, in seconds.
fn step(series: &Series) -> i64 {
    let mut steps: Vec<i64> = series.times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(1).max(1)
}
