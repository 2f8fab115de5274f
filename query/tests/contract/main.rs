//! Checks the contract of downsampling: answers from buckets are those of the samples where the contract says so, and
//! within its bounds elsewhere.
//!
//!     make contract CASES=100000 SEED=1 [DATA=folder of recorded series]
//!
//! Three checks share the series. In the first, the checker itself folds buckets that the engine built, and compares them
//! with its own definitions of the functions over samples; faults can be planted there (`--plant NAME`), which must be
//! found. In the second, the query crate answers each function twice, from samples and from buckets. In the third, it
//! answers from buckets that windows cut, and says how far it may be off. Bounds of the first and the third check also
//! contain the answers over other samples that the buckets could be of, and are compared with their range (`reach.rs`).
//! Native histograms (`histograms/`) have the second and the third check, over buckets that were stored and read, with
//! planted faults of their own. Beside them, percentiles of a day are compared with those of the samples (`quantiles.rs`).
//!
//! As a test of cargo, without arguments, it checks some thousand cases.

#![expect(clippy::print_stdout, reason = "a program")]

mod answers;
mod bounds;
mod estimates;
mod exact;
mod histograms;
mod quantiles;
mod random;
mod raw;
mod reach;
mod recorded;
mod report;
mod rows;
mod series;
mod spread;
mod window;

use std::path::PathBuf;
use std::process::ExitCode;

use barograph_engine::rollup::encode::Class;
use random::Random;
use report::Report;
use rows::{Case, ROWS};
use series::{SECOND, Sample, Series};
use window::{Fold, Plant};

/// Cases without arguments.
const FEW: u64 = 20_000;

/// Widths of buckets, seconds.
const WIDTHS: [i64; 4] = [60, 300, 900, 3600];

/// Of a hundred windows, those for which other samples show how much of a bound they could reach.
const REORDERED: u64 = 30;

/// Windows over each series that the query crate answers with estimates.
const ESTIMATES: u64 = 4;

/// Windows tried over each series.
const WINDOWS: u64 = 12;

struct Options {
    cases: u64,
    seed: u64,
    data: Option<PathBuf>,
    plant: Plant,
}

impl Options {
    /// `--cases N --seed S --data FOLDER --plant NAME`; the options of cargo's test harness are ignored.
    fn read() -> Result<Self, String> {
        let mut options = Options { cases: FEW, seed: 1, data: None, plant: Plant::Nothing };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
            let number = |text: String| text.parse().map_err(|_| format!("{text} is no number"));
            match name.as_str() {
                "--cases" => options.cases = number(value()?)?,
                "--seed" => options.seed = number(value()?)?,
                "--data" => options.data = Some(PathBuf::from(value()?)),
                "--plant" => {
                    let name = value()?;
                    let found = Plant::ALL.iter().find(|known| known.0 == name);
                    let names = || Plant::ALL.map(|known| known.0).join(", ");
                    options.plant = found.ok_or_else(|| format!("no fault {name}; there are {}", names()))?.1;
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            println!("{message}");
            ExitCode::from(2)
        }
    }
}

/// Whether all cases keep the contract.
fn run() -> Result<bool, String> {
    let options = Options::read()?;
    let recorded = options.data.as_deref().map(recorded::read).transpose()?.unwrap_or_default();
    let mut random = Random::new(options.seed);
    let mut report = Report::new(
        ROWS.iter()
            .map(|row| row.name)
            .chain(answers::names())
            .chain(estimates::names())
            .chain(histograms::names()),
    );
    while report.cases() < options.cases {
        let series = match recorded.is_empty() {
            true => series::generate(&mut random),
            false => recorded::excerpt(&recorded, &mut random),
        };
        let width = random.pick(&WIDTHS) * SECOND;
        check(&series, width, options.plant, &mut random, &mut report)?;
        answers::check(&series, width, &mut random, &mut report)?;
        histograms::check(width, options.plant, &mut random, &mut report)?;
        for _ in 0..ESTIMATES {
            estimates::check(&series, width, &mut random, &mut report)?;
        }
    }
    let quantiles = quantiles::check(&recorded, &mut random)?;
    println!("{quantiles}");
    println!("{report}");
    Ok(report.is_clean() && quantiles.is_clean())
}

fn check(
    series: &Series,
    width: i64,
    plant: Plant,
    random: &mut Random,
    report: &mut Report,
) -> Result<(), String> {
    let samples: Vec<Sample> = series.samples.iter().copied().filter(|sample| !sample.is_marker()).collect();
    let fine = random.percent(50).then(|| width / random.pick(&[2, 5, 12, 60]));
    let mut buckets = window::buckets(series, width, fine, plant);
    if random.percent(50) {
        let class = random.pick(&[Class::Unclear, Class::Counter]);
        buckets = window::stored(&buckets, width, fine, class)?;
    }
    for _ in 0..WINDOWS {
        let (start, end) = window_of(series, width, random);
        let within = |time: i64| samples.partition_point(|sample| sample.time <= time);
        let inside = &samples[within(start)..within(end)];
        let fold = Fold::new(&buckets, start, end, plant);
        let case = Case {
            start,
            end,
            inside,
            until: &series.samples[..series.samples.partition_point(|sample| sample.time <= end)],
            buckets: &buckets,
            fold: &fold,
            x: threshold(inside, random),
            phi: random.pick(&[0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0, 0.37]),
            lookback: random.pick(&[300, 60, width / SECOND]) * SECOND,
        };
        let may_reorder = random.percent(REORDERED) && samples.iter().all(|sample| sample.start == 0);
        let mut search = Random::new(random.bits());
        for row in ROWS {
            let reached = || may_reorder.then(|| reach::reached(row, &case, &samples, &mut search)).flatten();
            report.add(row, &case, (series, width), reached);
        }
    }
    Ok(())
}

/// A window around the series: on bounds of buckets, on samples, or anywhere.
fn window_of(series: &Series, width: i64, random: &mut Random) -> (i64, i64) {
    let (first, last) = (series.samples[0].time, series.samples[series.samples.len() - 1].time);
    let length = width * random.between(1, 13);
    let end = random.between(first - width, last + length);
    if random.percent(50) {
        let end = end.div_euclid(width) * width;
        return (end - length, end);
    }
    let mut bound = |at: i64| match random.below(3) {
        0 => at,
        1 => at.div_euclid(width) * width,
        _ => {
            let near =
                series.samples.partition_point(|sample| sample.time < at).min(series.samples.len() - 1);
            series.samples[near].time
        }
    };
    let (start, end) = (bound(end - length), bound(end));
    if start < end { (start, end) } else { (start, start + length) }
}

/// A number among the values, or beside them.
fn threshold(inside: &[Sample], random: &mut Random) -> f64 {
    match inside.is_empty() {
        true => 0.0,
        false => {
            let value = inside[random.below(inside.len() as u64) as usize].value;
            if random.percent(50) { value } else { value * (0.5 + random.unit()) }
        }
    }
}
