//! The query crate's estimates: what it answers from buckets of one tier where windows cut them, and its bound.

use std::time::Duration;

use barograph_engine::Timestamp;
use barograph_engine::rollup::Bucket;
use barograph_query::source::MemorySource;
use barograph_query::{QueryValue, Request, Response, TierChoice, execute};

use crate::REORDERED;
use crate::answers::{Close, source_of};
use crate::random::Random;
use crate::reach::{self, Reached};
use crate::report::Report;
use crate::rows::{Case, ROWS};
use crate::series::{SECOND, Sample, Series};
use crate::window::{self, Fold, Plant};

/// Functions with their names in reports, and `[W]` for the window.
const ASKED: &[(&str, &str, Close)] = &[
    ("e count", "count_over_time(m_total[W])", Close::Bits),
    ("e present", "present_over_time(m_total[W])", Close::Bits),
    ("e sum", "sum_over_time(m_total[W])", Close::Sum),
    ("e avg", "avg_over_time(m_total[W])", Close::Mean),
    ("e min", "min_over_time(m_total[W])", Close::Bits),
    ("e max", "max_over_time(m_total[W])", Close::Bits),
    ("e first", "first_over_time(m_total[W])", Close::Bits),
    ("e last", "last_over_time(m_total[W])", Close::Bits),
    ("e ts first", "ts_of_first_over_time(m_total[W])", Close::Bits),
    ("e ts last", "ts_of_last_over_time(m_total[W])", Close::Bits),
    ("e ts min", "ts_of_min_over_time(m_total[W])", Close::Bits),
    ("e ts max", "ts_of_max_over_time(m_total[W])", Close::Bits),
    ("e stdvar", "stdvar_over_time(m_total[W])", Close::Variance),
    ("e rate", "rate(m_total[W])", Close::Bits),
    ("e increase", "increase(m_total[W])", Close::Bits),
    ("e delta", "delta(m_total[W])", Close::Bits),
    ("e idelta", "idelta(m_total[W])", Close::Bits),
    ("e irate", "irate(m_total[W])", Close::Number),
    ("e changes", "changes(m_total[W])", Close::Bits),
    ("e resets", "resets(m_total[W])", Close::Bits),
    ("e median", "quantile_over_time(0.5, m_total[W])", Close::Number),
    ("e p99", "quantile_over_time(0.99, m_total[W])", Close::Number),
    ("e mad", "mad_over_time(m_total[W])", Close::Number),
    ("e count gt", "count_gt_over_time(m_total[W], 20)", Close::Bits),
    ("e count le", "count_le_over_time(m_total[W], 7)", Close::Bits),
    ("e count eq", "count_eq_over_time(m_total[W], 41)", Close::Bits),
    ("e share", "share_gt_over_time(m_total[W], 45)", Close::Bits),
    ("e duration", "duration_over_time(m_total[W], 60)", Close::Bits),
    ("e deriv", "deriv(m_total[W])", Close::Number),
    ("e anchored", "increase(m_total[W] anchored)", Close::Bits),
    ("e instant", "m_total", Close::Bits),
    ("e timestamp", "timestamp(m_total)", Close::Bits),
];

/// The names in reports.
pub fn names() -> impl Iterator<Item = &'static str> {
    ASKED.iter().map(|asked| asked.0)
}

/// Asks all functions about one window of a series, mostly one that cuts buckets.
///
/// # Errors
/// A query over samples that fails.
pub fn check(series: &Series, width: i64, random: &mut Random, report: &mut Report) -> Result<(), String> {
    let source = source_of(series, width);
    let seconds = width / SECOND;
    let (first, last) = (series.samples[0].time, series.samples[series.samples.len() - 1].time);
    let near = |time: i64| series.samples[series.samples.partition_point(|sample| sample.time < time)].time;
    let anywhere = random.between(first, last + 1);
    // Ends on samples show whether a bucket is closed on the right side.
    let end = if random.percent(50) {
        near(anywhere) / SECOND
    } else {
        anywhere / SECOND + random.between(0, seconds)
    };
    let window = match random.percent(50) {
        true => (end - near(random.between(first, anywhere + 1)) / SECOND).max(1),
        false => random.between(1, 8 * seconds),
    };
    let tier = TierChoice::Width(Duration::from_secs(seconds.unsigned_abs()));
    let others = Others::new(series, (width, (end - window) * SECOND, end * SECOND), random);
    for (name, query, close) in ASKED {
        let query = query.replace("[W", &format!("[{window}s"));
        let request = Request::instant(query.as_str(), Timestamp::from_millis(end * 1000));
        let truth = execute(&source, &request.clone().with_tier(TierChoice::Raw));
        let truth = truth.map_err(|error| format!("{query}: {error}")).map(|response| value(&response))?;
        let Some(response) = estimate(&source, &request.with_tier(tier)) else {
            report.add_refused(name);
            continue;
        };
        let answer = value(&response);
        let message = || {
            format!(
                "{query} at {end} s, buckets of {seconds} s, {}: {truth:?} from samples, {answer:?} with {:?}",
                series.name, response.accuracy
            )
        };
        let bound = response.accuracy.filter(|accuracy| !accuracy.exact);
        let Some(accuracy) = bound else {
            let values = || crate::answers::inside(series, (end - window) * SECOND, end * SECOND);
            let kept = close.accepts(response.accuracy.is_some(), truth, answer, values);
            report.add_exact(name, response.accuracy.is_some(), kept, message);
            continue;
        };
        match (truth, answer, accuracy.absolute) {
            (Some(truth), Some(answer), Some(bound)) => {
                let reached = others.as_ref().and_then(|others| others.reached(name));
                report.add_estimate(name, (answer, bound), truth, reached, message);
            }
            (None, _, _) if accuracy.may_be_absent => report.add_refused(name),
            (Some(_), Some(_), None) => report.add_refused(name),
            _ => report.add_exact(name, true, false, message),
        }
    }
    Ok(())
}

/// A window of which other samples show how much of a bound they could reach.
struct Others {
    samples: Vec<Sample>,
    buckets: Vec<Bucket>,
    fold: Fold,
    start: i64,
    end: i64,
    seed: u64,
}

impl Others {
    /// Some of all windows, of series without start times.
    fn new(series: &Series, (width, start, end): (i64, i64, i64), random: &mut Random) -> Option<Self> {
        let (is_chosen, seed) = (random.percent(REORDERED), random.bits());
        let samples: Vec<Sample> =
            series.samples.iter().copied().filter(|sample| !sample.is_marker()).collect();
        if !is_chosen || samples.iter().any(|sample| sample.start != 0) {
            return None;
        }
        let buckets = window::buckets(series, width, None, Plant::Nothing);
        let fold = Fold::new(&buckets, start, end, Plant::Nothing);
        Some(Others { samples, buckets, fold, start, end, seed })
    }

    /// The answers to a query over other samples, if the first check has a row of it.
    fn reached(&self, name: &str) -> Option<Reached> {
        let Others { samples, buckets, fold, start, end, .. } = self;
        let row = ROWS.iter().find(|row| Some(row.name) == name.strip_prefix("e "))?;
        let case = Case {
            start: *start,
            end: *end,
            inside: &[],
            until: &[],
            buckets,
            fold,
            x: 0.0,
            phi: 0.0,
            lookback: 0,
        };
        reach::reached(row, &case, samples, &mut Random::new(self.seed))
    }
}

/// The answer, unless it is refused.
fn estimate(source: &MemorySource, request: &Request) -> Option<Response> {
    execute(source, request).ok()
}

fn value(response: &Response) -> Option<f64> {
    match &response.value {
        QueryValue::Vector(vector) => vector.first().and_then(|sample| sample.value.as_f64()),
        _ => None,
    }
}
