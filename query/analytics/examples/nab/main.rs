//! Runs the detectors over a folder in the layout of the Numenta Anomaly Benchmark and prints their scores.
//!
//!     cargo run --release --package barograph-analytics --example nab -- DIR
//!
//! One configuration for all files: the defaults, a season of a day, and events that are at least twelve hours apart.
//! An alert is a score of 1. The second column has the scores with the threshold that is best for the other folders
//! ("leave one folder out"), so that it is not fitted to its own files. One line does the same for the constants of the
//! default method, for the time between events and for the threshold together. The last line is that of the default
//! method as shipped.

mod corpus;
mod left_out;
mod scorer;

use std::error::Error;
use std::path::Path;

use barograph_analytics::anomaly::{self, Method, onsets};
use barograph_analytics::esd;
use corpus::Series;
use left_out::{all_constants, lines_alone};
use scorer::{PROFILES, Profile, normalized, probation, score};

/// Seconds between events.
const HOLD: i64 = 12 * 3600;

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
            out += &all_constants(&all)?;
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
    let others = PROFILES.map(|profile| lines_alone(all, scores, profile));
    let row = |figures: [f64; 3]| figures.map(|figure| format!("{figure:6.1}")).join(" ");
    let mut text =
        format!("{name:13} {}   lines of other folders: {}   standard by folder:", row(shipped), row(others));
    for folder in folders(all) {
        let of_folder = total(all, scores, 1.0, PROFILES[0], |other| other == folder);
        text += &format!(" {folder} {of_folder:.1}");
    }
    text + "\n"
}

fn folder_of(series: &Series) -> &str {
    series.name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn folders(all: &[Series]) -> Vec<&str> {
    let mut folders: Vec<&str> = all.iter().map(folder_of).collect();
    folders.dedup();
    folders
}

fn total(
    all: &[Series],
    scores: &[Vec<f64>],
    line: f64,
    profile: Profile,
    keep: impl Fn(&str) -> bool,
) -> f64 {
    let (sum, windows) = raw(all, scores, (line, HOLD), profile, keep);
    normalized(sum, windows, profile)
}

/// The sum of the scores of some folders, and the number of their windows. An alert is a score of at least `line`, at
/// least `hold` seconds after the alert before it.
fn raw(
    all: &[Series],
    scores: &[Vec<f64>],
    (line, hold): (f64, i64),
    profile: Profile,
    keep: impl Fn(&str) -> bool,
) -> (f64, usize) {
    let (mut sum, mut windows) = (0.0, 0);
    for (series, scores) in all.iter().zip(scores).filter(|(series, _)| keep(folder_of(series))) {
        let hold = usize::try_from(hold / step(series)).unwrap_or(1);
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
