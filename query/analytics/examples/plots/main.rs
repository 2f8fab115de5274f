//! Draws the figures of `docs/analytics.md` from a folder in the layout of the Numenta Anomaly Benchmark.
//!
//!     cargo run --release --package barograph-analytics --example plots -- DIR OUT

#[path = "../nab/corpus.rs"]
mod corpus;
mod draw;

use std::error::Error;
use std::path::Path;

use barograph_analytics::anomaly::{self, Method, onsets};
use barograph_analytics::decompose::{self, Precision, decompose};
use barograph_analytics::forecast::{self, forecast};
use corpus::Series;
use draw::{BLUE, Band, Curve, Figure, GREY, ORANGE, Panel, RED};

const PRICE: &str = "realAdExchange/exchange-2_cpm_results.csv";
const CPU: &str = "realAWSCloudwatch/rds_cpu_utilization_cc0c53.csv";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(root), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("which folders? plots DIR OUT".into());
    };
    let all = corpus::read(Path::new(&root))?;
    let find = |name: &str| all.iter().find(|series| series.name == name).ok_or(format!("{name} is missing"));
    let out = Path::new(&out);
    std::fs::create_dir_all(out)?;
    let price = Grid::of(find(PRICE)?, 3600);
    decomposition(&price, &out.join("seasonal_decompose.svg"))?;
    continuation(&price, &out.join("forecast.svg"))?;
    band(find(CPU)?, &out.join("anomaly_bounds.svg"))
}

/// The values of a series at regular times; NaN where there is none.
struct Grid {
    begin: i64,
    step: i64,
    values: Vec<f64>,
}

impl Grid {
    fn of(series: &Series, step: i64) -> Grid {
        let begin = series.times.first().copied().unwrap_or(0).div_euclid(step) * step;
        let place = |time: i64| usize::try_from((time - begin) / step).unwrap_or(0);
        let len = series.times.last().map_or(0, |&last| place(last) + 1);
        let mut values = vec![f64::NAN; len];
        series.times.iter().zip(&series.values).for_each(|(&time, value)| values[place(time)] = *value);
        Grid { begin, step, values }
    }

    fn time(&self, step: usize) -> i64 {
        self.begin + step as i64 * self.step
    }

    /// The points of a part of the series, of which `values[0]` is at `first`.
    fn points(&self, first: usize, values: &[f64]) -> Vec<(i64, f64)> {
        values.iter().enumerate().map(|(i, value)| (self.time(first + i), *value)).collect()
    }
}

/// Five weeks of hourly prices, and the parts of the whole series in them.
fn decomposition(price: &Grid, path: &Path) -> Result<(), Box<dyn Error>> {
    let options = decompose::Options { seasons: &[24, 168], robust: true, precision: Precision::Auto };
    let parts = decompose(&price.values, &options, &mut || Ok(()))?;
    let shown = 0..5 * 168;
    let panel = |name: &'static str, values: &[f64], colour| Panel {
        unit: name,
        curves: vec![Curve {
            name: "",
            points: price.points(0, &values[shown.clone()]),
            colour,
            dots: false,
        }],
        bands: Vec::new(),
        marked: Vec::new(),
    };
    let figure = Figure {
        title: "seasonal_decompose: price of a thousand ad views, hourly, USD",
        height: 150,
        panels: vec![
            panel("value", &price.values, GREY),
            panel("trend", &parts.trend, BLUE),
            panel("day", &parts.seasons[0].1, BLUE),
            panel("week", &parts.seasons[1].1, BLUE),
            panel("residual", &parts.residual, ORANGE),
        ],
    };
    figure.draw(path)
}

/// Seven days of prices, three more by the forecast, and what followed.
fn continuation(price: &Grid, path: &Path) -> Result<(), Box<dyn Error>> {
    let (known, horizon, before) = (7 * 168 + 24, 72, 7 * 24);
    let options =
        forecast::Options { method: forecast::Method::Auto, seasons: &[24, 168], horizon, level: 0.95 };
    let got = forecast(&price.values[..known], &options, &mut || Ok(()))?;
    let panel = Panel {
        unit: "USD per 1,000 views",
        curves: vec![
            Curve {
                name: "what followed",
                points: price.points(known, &price.values[known..known + horizon]),
                colour: GREY,
                dots: true,
            },
            Curve {
                name: "history",
                points: price.points(known - before, &price.values[known - before..known]),
                colour: GREY,
                dots: false,
            },
            Curve { name: "forecast", points: price.points(known, &got.point), colour: BLUE, dots: false },
        ],
        bands: vec![Band {
            name: "95 % range",
            lower: price.points(known, &got.lower),
            upper: price.points(known, &got.upper),
            colour: BLUE,
        }],
        marked: Vec::new(),
    };
    let title = "forecast: price of a thousand ad views, three days ahead";
    Figure { title, height: 340, panels: vec![panel] }.draw(path)
}

/// Six days of a database's CPU with the band, and the events with the labelled windows.
fn band(series: &Series, path: &Path) -> Result<(), Box<dyn Error>> {
    let cpu = Grid::of(series, 300);
    let day = 288;
    let got = anomaly::score(&cpu.values, Method::Auto, Some(day), &mut || Ok(()))?;
    let shown = cpu.values.len() - 6 * day..cpu.values.len();
    let bound = |k: f64| -> Vec<(i64, f64)> {
        let at = |i: usize| (cpu.time(i), got.expected[i] + k * got.scale[i]);
        shown.clone().map(at).collect()
    };
    let events = onsets(&got.scores, 1.0, day / 2);
    let events = events.into_iter().filter(|at| shown.contains(at)).map(|at| (cpu.time(at), cpu.values[at]));
    let window = |&(left, right): &corpus::Window| (series.times[left], series.times[right]);
    let curve = |name, points, colour, dots| Curve { name, points, colour, dots };
    let scores = Panel {
        unit: "score",
        curves: vec![
            curve("anomaly_score", cpu.points(shown.start, &got.scores[shown.clone()]), ORANGE, false),
            curve("alert line", shown.clone().map(|i| (cpu.time(i), 1.0)).collect(), RED, false),
        ],
        bands: Vec::new(),
        marked: series.windows.iter().map(window).collect(),
    };
    let values = Panel {
        unit: "CPU, %",
        curves: vec![
            curve("value", cpu.points(shown.start, &cpu.values[shown.clone()]), GREY, false),
            curve("event (anomalies)", events.collect(), RED, true),
        ],
        bands: vec![Band { name: "anomaly_bounds", lower: bound(-3.0), upper: bound(3.0), colour: BLUE }],
        marked: series.windows.iter().map(window).collect(),
    };
    let title = "anomaly_bounds and anomaly_score: CPU of a database; shaded: windows that people labelled";
    Figure { title, height: 260, panels: vec![values, scores] }.draw(path)
}
