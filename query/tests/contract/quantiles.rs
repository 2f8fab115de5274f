//! Percentiles of a day from buckets are close to those of the samples: relative, not only within their bound.

use std::fmt;
use std::time::Duration;

use barograph_engine::Timestamp;
use barograph_query::source::MemorySource;
use barograph_query::{QueryValue, Request, TierChoice, execute};

use crate::answers::source_of;
use crate::random::Random;
use crate::series::{BASE, SECOND, Sample, Series};

/// The largest relative error.
const RELATIVE_MAX: f64 = 0.004;
const DAY: i64 = 86_400;
const PHIS: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];
const WIDTHS: [i64; 2] = [300, 3600];
/// Series that are made for each kind, and their days.
const MADE: usize = 4;
const DAYS: i64 = 2;

/// How far percentiles are off.
#[derive(Debug, Default)]
pub struct Quantiles {
    count: u64,
    /// Those that buckets give exactly.
    exact: u64,
    worst: f64,
    what: String,
}

impl Quantiles {
    /// Whether all are close.
    pub fn is_clean(&self) -> bool {
        self.worst <= RELATIVE_MAX
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quantiles { count, exact, worst, what } = self;
        write!(f, "quantiles: {count} of a day, {exact} exact, worst relative error {:.4} %", worst * 100.0)?;
        if *worst > 0.0 { write!(f, " ({what})") } else { Ok(()) }
    }
}

/// Asks for percentiles of the days of recorded series, or of made ones.
///
/// # Errors
/// A query that fails, or that buckets do not answer.
pub fn check(recorded: &[Series], random: &mut Random) -> Result<Quantiles, String> {
    let mut found = Quantiles::default();
    let made = if recorded.is_empty() { made(random) } else { Vec::new() };
    for series in recorded.iter().chain(&made) {
        for width in WIDTHS {
            let source = source_of(series, width * SECOND);
            for phi in PHIS {
                compare(&source, series, width, phi, &mut found)?;
            }
        }
    }
    Ok(found)
}

/// Latencies with a full mantissa and with three decimals, and CPU shares, each 15 s.
fn made(random: &mut Random) -> Vec<Series> {
    const KINDS: [&str; 3] = ["latency", "latency, 3 decimals", "cpu"];
    let interval = 15 * SECOND;
    let mut series = Vec::new();
    for name in KINDS.iter().flat_map(|name| [name; MADE]) {
        let mut level = 50.0;
        let mut value = || {
            let latency = (random.normal() - 3.0).exp();
            level = f64::clamp(level + random.normal(), 0.0, 100.0);
            match *name {
                "latency" => latency,
                "cpu" => level.trunc(),
                _ => (latency * 1e6).round() / 1e3,
            }
        };
        let first = BASE / (DAY * SECOND) * DAY * SECOND;
        let times = (1..=DAYS * DAY / 15).map(|at| first + at * interval);
        let samples = times.map(|time| Sample { time, value: value(), start: 0 }).collect();
        series.push(Series { name: (*name).to_owned(), samples, interval });
    }
    series
}

fn compare(
    source: &MemorySource,
    series: &Series,
    width: i64,
    phi: f64,
    found: &mut Quantiles,
) -> Result<(), String> {
    let query = format!("quantile_over_time({phi}, m_total[1d])");
    // The end of the day of a sample.
    let end_of = |time: i64| Timestamp::from_secs((time - 1).div_euclid(DAY * SECOND) * DAY + DAY);
    let (first, last) = (series.samples[0].time, series.samples[series.samples.len() - 1].time);
    let request =
        Request::range(query.as_str(), end_of(first), end_of(last), Duration::from_secs(DAY.unsigned_abs()));
    let ask = |tier: TierChoice| -> Result<Vec<f64>, String> {
        let response = execute(source, &request.clone().with_tier(tier));
        let response = response.map_err(|error| format!("{query}, {}: {error}", series.name))?;
        if tier != TierChoice::Raw && response.accuracy.is_none() {
            return Err(format!("{query}, {}: not answered from buckets", series.name));
        }
        let QueryValue::Matrix(matrix) = response.value else { return Ok(Vec::new()) };
        Ok(matrix.iter().flat_map(|one| one.floats()).map(|(_, value)| value).collect())
    };
    let raw = ask(TierChoice::Raw)?;
    let from_buckets = ask(TierChoice::Width(Duration::from_secs(width.unsigned_abs())))?;
    if raw.is_empty() || raw.len() != from_buckets.len() {
        return Err(format!("{query}, {}: {} and {} days", series.name, raw.len(), from_buckets.len()));
    }
    for (raw, answer) in raw.into_iter().zip(from_buckets) {
        found.count += 1;
        if raw.to_bits() == answer.to_bits() {
            found.exact += 1;
            continue;
        }
        let error = (answer - raw).abs() / raw.abs();
        // NaN is worse than any number.
        if error.is_nan() || error > found.worst {
            found.worst = if error.is_nan() { f64::INFINITY } else { error };
            found.what = format!("{query}, buckets of {width} s, {}: {raw} and {answer}", series.name);
        }
    }
    Ok(())
}
