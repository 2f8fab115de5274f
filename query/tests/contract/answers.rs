//! The query crate's answers: each function from samples and from buckets, over the same series.

use std::time::Duration;

use barograph_engine::Timestamp;
use barograph_engine::model::{Labels, Value};
use barograph_query::request::Metered;
use barograph_query::source::MemorySource;
use barograph_query::{QueryValue, Request, TierChoice, execute};

use crate::exact::{self, Sum, unit};
use crate::random::Random;
use crate::report::Report;
use crate::series::{SECOND, Sample, Series};

/// Steps of a query.
const STEPS: i64 = 12;

/// Milliseconds of a second.
const MS: i64 = 1000;

/// How close two answers must be to each other, or to the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// To each other: the same bits.
    Bits,
    /// To each other: the same bits, or NaN. Of which operand a result has the NaN is up to the compiler.
    Result,
    /// To each other: the same number or NaN.
    Number,
    /// To the true sum: buckets the same number, samples within a unit in the last place.
    Sum,
    /// To the true mean: it, rounded, or a neighbour.
    Mean,
    /// To the true variance: buckets within 2^-50, samples as far as their mean is from it.
    Variance,
}

/// A function, with `[W]` for its window.
struct Asked {
    name: &'static str,
    query: &'static str,
    close: Close,
}

const fn asked(name: &'static str, query: &'static str, close: Close) -> Asked {
    Asked { name, query, close }
}

const ASKED: &[Asked] = &[
    asked("q count", "count_over_time(m_total[W])", Close::Bits),
    asked("q present", "present_over_time(m_total[W])", Close::Bits),
    asked("q absent", "absent_over_time(m_total[W])", Close::Bits),
    asked("q sum", "sum_over_time(m_total[W])", Close::Sum),
    asked("q avg", "avg_over_time(m_total[W])", Close::Mean),
    asked("q stdvar", "stdvar_over_time(m_total[W])", Close::Variance),
    asked("q min", "min_over_time(m_total[W])", Close::Bits),
    asked("q max", "max_over_time(m_total[W])", Close::Bits),
    asked("q first", "first_over_time(m_total[W])", Close::Bits),
    asked("q last", "last_over_time(m_total[W])", Close::Bits),
    asked("q ts first", "ts_of_first_over_time(m_total[W])", Close::Bits),
    asked("q ts last", "ts_of_last_over_time(m_total[W])", Close::Bits),
    asked("q ts min", "ts_of_min_over_time(m_total[W])", Close::Bits),
    asked("q ts max", "ts_of_max_over_time(m_total[W])", Close::Bits),
    asked("q rate", "rate(m_total[W])", Close::Result),
    asked("q increase", "increase(m_total[W])", Close::Result),
    asked("q delta", "delta(m_total[W])", Close::Result),
    asked("q idelta", "idelta(m_total[W])", Close::Result),
    asked("q irate", "irate(m_total[W])", Close::Number),
    asked("q changes", "changes(m_total[W])", Close::Bits),
    asked("q resets", "resets(m_total[W])", Close::Bits),
    asked("q pure", "increase_pure(m_total[W])", Close::Result),
    asked("q anchored", "increase(m_total[W] anchored)", Close::Result),
    asked("q anch. reset", "resets(m_total[W] anchored)", Close::Bits),
    asked("q anch. delta", "delta(m_total[W] anchored)", Close::Result),
    asked("q smoothed", "rate(m_total[W] smoothed)", Close::Number),
    asked("q quantile", "quantile_over_time(0.3, m_total[W])", Close::Number),
    asked("q extreme", "quantile_over_time(1, m_total[W])", Close::Number),
    asked("q distrib.", "histogram_quantile(0.3, histogram_over_time(m_total[W]))", Close::Number),
    asked("q distr. sum", "histogram_sum(histogram_over_time(m_total[W]))", Close::Sum),
    asked("q mad", "mad_over_time(m_total[W])", Close::Number),
    asked("q count gt", "count_gt_over_time(m_total[W], 20)", Close::Bits),
    asked("q count le", "count_le_over_time(m_total[W], 40)", Close::Bits),
    asked("q count eq", "count_eq_over_time(m_total[W], 41)", Close::Bits),
    asked("q share", "share_gt_over_time(m_total[W], 45)", Close::Bits),
    asked("q duration", "duration_over_time(m_total[W], 60)", Close::Bits),
    asked("q deriv", "deriv(m_total[W])", Close::Number),
    asked("q predict", "predict_linear(m_total[W], 60)", Close::Number),
    asked("q instant", "m_total", Close::Bits),
    asked("q timestamp", "timestamp(m_total)", Close::Bits),
    asked("q offset", "sum by (none) (increase(m_total[W] offset 1h))", Close::Result),
    asked("q subquery", "max_over_time(rate(m_total[W])[1h:5m])", Close::Number),
];

/// The names in reports.
pub fn names() -> impl Iterator<Item = &'static str> {
    ASKED.iter().map(|asked| asked.name)
}

/// Asks all functions about a series: at steps on bounds of buckets, where buckets should answer, or anywhere.
///
/// # Errors
/// A query that fails.
pub fn check(series: &Series, width: i64, random: &mut Random, report: &mut Report) -> Result<(), String> {
    let source = source_of(series, width);
    let seconds = width / SECOND;
    let aligned = random.percent(75);
    let unit = if aligned { seconds } else { random.between(1, seconds) };
    let window = unit * random.between(1, 9);
    let first = series.samples[0].time / SECOND - seconds;
    let start = if aligned { first.div_euclid(seconds) * seconds } else { first };
    let step = unit * random.between(1, 4);
    let tier = TierChoice::Exact;
    for asked in ASKED {
        let query = asked.query.replace("[W", &format!("[{window}s"));
        let at = |seconds: i64| Timestamp::from_millis(seconds * MS);
        let every = Duration::from_secs(step.unsigned_abs());
        let request = Request::range(query.as_str(), at(start), at(start + STEPS * step), every);
        let from_samples = values(&source, &request.clone().with_tier(TierChoice::Raw))?;
        let request = request.with_tier(tier);
        let from_buckets = values(&source, &request)?;
        let has_read_buckets = request.usage().buckets_decoded() > 0;
        for at in 0..=STEPS {
            let time = (start + at * step) * MS;
            let found =
                |values: &[(i64, f64)]| values.iter().find(|value| value.0 == time).map(|value| value.1);
            let (raw, buckets) = (found(&from_samples), found(&from_buckets));
            let inside = || inside(series, (time / MS - window) * SECOND, time / MS * SECOND);
            let kept = asked.close.accepts(aligned, raw, buckets, inside);
            let message = || {
                format!(
                    "{query} at {time} ms, buckets of {seconds} s, {}: {raw:?} from samples, {buckets:?} from buckets",
                    series.name
                )
            };
            report.add_exact(asked.name, has_read_buckets, kept, message);
        }
    }
    Ok(())
}

/// A source with these samples and a tier.
pub fn source_of(series: &Series, width: i64) -> MemorySource {
    let labels = Labels::from_pairs([("__name__", "m_total")]).unwrap_or_default();
    let mut source = MemorySource::new();
    for sample in &series.samples {
        source.insert(&labels, sample.time, Value::Float(sample.value), sample.start);
    }
    source.set_tiers(&[width]);
    source
}

fn values(source: &MemorySource, request: &Request) -> Result<Vec<(i64, f64)>, String> {
    let response = execute(source, request).map_err(|error| format!("{}: {error}", request.query))?;
    match response.value {
        QueryValue::Matrix(matrix) => Ok(matrix.into_iter().flat_map(|series| series.floats_ms).collect()),
        other => Err(format!("{}: {other:?}", request.query)),
    }
}

/// The values of the samples in `(start, end]`.
pub fn inside(series: &Series, start: i64, end: i64) -> Vec<f64> {
    let is_inside = |sample: &&Sample| sample.time > start && sample.time <= end && !sample.is_marker();
    series.samples.iter().filter(is_inside).map(|sample| sample.value).collect()
}

impl Close {
    /// Whether both answers are close enough. Where windows are not aligned, both are from samples.
    pub fn accepts(
        self,
        aligned: bool,
        raw: Option<f64>,
        buckets: Option<f64>,
        inside: impl Fn() -> Vec<f64>,
    ) -> bool {
        let (Some(raw), Some(buckets)) = (raw, buckets) else { return raw.is_none() == buckets.is_none() };
        let same = raw == buckets || (raw.is_nan() && buckets.is_nan());
        match self {
            Close::Bits => raw.to_bits() == buckets.to_bits(),
            Close::Result => raw.to_bits() == buckets.to_bits() || (raw.is_nan() && buckets.is_nan()),
            Close::Number => same,
            // Where sums overflow, the order of samples decides.
            _ if !buckets.is_finite() => same,
            Close::Sum => {
                let truth = Sum::of(inside()).value();
                let near = |value: f64| (value - truth).abs() <= unit(truth);
                near(raw) && if aligned { buckets == truth } else { near(buckets) }
            }
            Close::Mean => {
                let values = inside();
                let (sum, count) = (Sum::of(values.iter().copied()), values.len() as u64);
                exact::is_mean(buckets, &sum, count) && exact::is_mean(raw, &sum, count)
            }
            Close::Variance => {
                let values = inside();
                let truth = exact::variance(&values);
                let mean = Sum::of(values.iter().copied()).value() / values.len() as f64;
                let relative = 2f64.powi(-50);
                let spread = 1.0 + 4.0 * mean.abs() / truth.sqrt();
                let close = |value: f64, by: f64| (value - truth).abs() <= truth * by + f64::MIN_POSITIVE;
                let of_samples = if truth == 0.0 { relative } else { relative * spread };
                close(raw, of_samples) && close(buckets, if aligned { relative } else { of_samples })
            }
        }
    }
}
