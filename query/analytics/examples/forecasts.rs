//! Measures forecasts on the M3 competition, and on series with a daily and a weekly season from many origins.
//!
//!     cargo run --release --package barograph-analytics --example forecasts -- FOLDER
//!
//! `scripts/golden/m3.py` writes the folder. The name of a file has the lengths of the seasons; the file has one value a
//! line.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use barograph_analytics::forecast::{Forecast, Method, Options, forecast};

const LEVEL: f64 = 0.95;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("which folder? forecasts FOLDER")?;
    let mut out = String::new();
    let m3 = Path::new(&folder).join("m3.txt");
    for (name, method) in Method::ALL.into_iter().filter(|_| m3.exists()) {
        competition(&m3, name, method, &mut out)?;
    }
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    let (mut ratios, mut count) = (0.0, 0.0);
    for path in &paths {
        if let Some(seasons) = path.file_name().and_then(|name| seasons_of(name.to_str()?)) {
            ratios += several_seasons(path, &seasons, &mut out)?;
            count += 1.0;
        }
    }
    writeln!(out, "mean of {count} series: {:.3} of the error of the weekly naive", ratios / count)?;
    std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes())?;
    Ok(())
}

/// Sums of what is measured.
#[derive(Default)]
struct Sums {
    smape: f64,
    mase: f64,
    inside: f64,
    predicted: f64,
    series: f64,
}

impl Sums {
    /// Adds a forecast. Steps that have no value are left out.
    fn add(&mut self, got: &Forecast, truth: &[f64], scale: f64) {
        let pairs = || got.point.iter().zip(truth).filter(|(_, truth)| truth.is_finite());
        let n = pairs().count() as f64;
        if n == 0.0 {
            return;
        }
        self.smape += pairs().map(|(p, t)| 200.0 * (p - t).abs() / (p.abs() + t.abs())).sum::<f64>() / n;
        self.mase += pairs().map(|(p, t)| (p - t).abs()).sum::<f64>() / n / scale;
        let inside = truth.iter().enumerate().filter(|(h, t)| (got.lower[*h]..=got.upper[*h]).contains(t));
        self.inside += inside.count() as f64;
        self.predicted += n;
        self.series += 1.0;
    }
}

/// The mean absolute change of one season, which MASE is relative to.
fn naive_error(values: &[f64], season: usize) -> f64 {
    let pairs = values.iter().zip(&values[season..]).map(|(a, b)| (a - b).abs());
    let changes: Vec<f64> = pairs.filter(|change| change.is_finite()).collect();
    changes.iter().sum::<f64>() / changes.len() as f64
}

fn numbers(text: &str) -> Result<Vec<f64>, Box<dyn Error>> {
    Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

fn competition(path: &Path, name: &str, method: Method, out: &mut String) -> Result<(), Box<dyn Error>> {
    let (mut sums, begin) = (Sums::default(), Instant::now());
    for line in std::fs::read_to_string(path)?.lines() {
        let (known, truth) = line.split_once('|').ok_or("a line of m3.txt has no bar")?;
        let mut words = known.splitn(3, ' ').skip(1);
        let season: usize = words.next().ok_or("no season")?.parse()?;
        let (values, truth) = (numbers(words.next().ok_or("no values")?)?, numbers(truth)?);
        let seasons = [season];
        let options = Options { method, seasons: &seasons, horizon: truth.len(), level: LEVEL };
        let got = forecast(&values, &options, &mut || Ok(()))?;
        sums.add(&got, &truth, naive_error(&values, season));
    }
    let each = begin.elapsed().as_secs_f64() * 1000.0 / sums.series;
    writeln!(
        out,
        "m3 {name}: sMAPE {:.2}, MASE {:.3}, in the 95 % range {:.1} %, {each:.2} ms a series",
        sums.smape / sums.series,
        sums.mase / sums.series,
        100.0 * sums.inside / sums.predicted
    )?;
    Ok(())
}

/// The seasons in the name of a file: `electricity.24_168.txt`.
fn seasons_of(name: &str) -> Option<Vec<usize>> {
    let seasons = name.strip_suffix(".txt")?.rsplit_once('.')?.1;
    seasons.split('_').map(|season| season.parse().ok()).collect()
}

/// Two of the shortest seasons ahead, from origins half a season apart, each with all values before it, at least six of
/// the longest season.
fn several_seasons(path: &Path, seasons: &[usize], out: &mut String) -> Result<f64, Box<dyn Error>> {
    let (shortest, longest) = (seasons[0], seasons[seasons.len() - 1]);
    let values = numbers(&std::fs::read_to_string(path)?)?;
    let (mut ours, mut naive, begin) = (Sums::default(), Sums::default(), Instant::now());
    let (least, horizon) = (6 * longest, 2 * shortest);
    for origin in (least..values.len().saturating_sub(horizon)).step_by(shortest / 2) {
        let (known, truth) = (&values[..origin], &values[origin..origin + horizon]);
        let scale = naive_error(known, longest);
        let options = Options { method: Method::Auto, seasons, horizon, level: LEVEL };
        ours.add(&forecast(known, &options, &mut || Ok(()))?, truth, scale);
        let options = Options { method: Method::SeasonalNaive, ..options };
        naive.add(&forecast(known, &options, &mut || Ok(()))?, truth, scale);
    }
    let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    writeln!(
        out,
        "{name}: MASE {:.3}, of the weekly naive {:.3} ({:.3} of it), in the 95 % range {:.1} %, {:.1} ms each",
        ours.mase / ours.series,
        naive.mase / naive.series,
        ours.mase / naive.mase,
        100.0 * ours.inside / ours.predicted,
        begin.elapsed().as_secs_f64() * 1000.0 / ours.series
    )?;
    Ok(ours.mase / naive.mase)
}
