//! Native histograms: the query crate's answers from samples and from stored buckets, over the same series.
//!
//! Where no window cuts a bucket, both are equal in every bit and in their annotations. A call that names the tier is
//! answered from buckets alone: with that answer, with an interval that contains it, or not at all.

mod series;
mod source;

use std::time::Duration;

use barograph_engine::Timestamp;
use barograph_query::request::Metered;
use barograph_query::{QueryValue, Request, Response, TierChoice, execute};

use crate::random::Random;
use crate::report::Report;
use crate::series::SECOND;
use crate::window::Plant;
use source::Source;

/// Steps of a query.
const STEPS: i64 = 8;

/// Functions with their names in reports, and `[W]` for the window.
const ASKED: [(&str, &str); 22] = [
    ("h count", "count_over_time(h[W])"),
    ("h present", "present_over_time(h[W])"),
    ("h absent", "absent_over_time(h[W])"),
    ("h first", "first_over_time(h[W])"),
    ("h last", "last_over_time(h[W])"),
    ("h ts first", "ts_of_first_over_time(h[W])"),
    ("h ts last", "ts_of_last_over_time(h[W])"),
    ("h rate", "rate(h[W])"),
    ("h increase", "increase(h[W])"),
    ("h delta", "delta(h[W])"),
    ("h sum", "sum_over_time(h[W])"),
    ("h avg", "avg_over_time(h[W])"),
    ("h resets", "resets(h[W])"),
    ("h changes", "changes(h[W])"),
    ("h irate", "irate(h[W])"),
    ("h idelta", "idelta(h[W])"),
    ("h quantile", "histogram_quantile(0.9, sum by (none) (rate(h[W])))"),
    ("h count of", "histogram_count(sum(last_over_time(h[W])))"),
    ("h instant", "h"),
    ("h timestamp", "timestamp(h)"),
    ("h max", "max_over_time(h[W])"),
    ("h anchored", "increase(h[W] anchored)"),
];

/// The names in reports.
pub fn names() -> impl Iterator<Item = &'static str> {
    ASKED.iter().map(|asked| asked.0)
}

/// Asks all functions about a random series.
///
/// # Errors
/// A query over samples that fails.
pub fn check(width: i64, plant: Plant, random: &mut Random, report: &mut Report) -> Result<(), String> {
    let series = series::generate(random);
    let fine = random.percent(50).then(|| width / random.pick(&[2, 5, 12, 60]));
    let source = Source::of(&series, width, fine, plant);
    let seconds = width / SECOND;
    let is_aligned = random.percent(75);
    let unit = if is_aligned { seconds } else { random.between(1, seconds) };
    let (window, step) = (unit * random.between(1, 9), unit * random.between(1, 4));
    let (first, last) =
        (series.samples[0].time / SECOND, series.samples[series.samples.len() - 1].time / SECOND);
    let start = random.between(first - seconds, last + 1);
    let start = if is_aligned { start.div_euclid(seconds) * seconds } else { start };
    let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
    let every = Duration::from_secs(step.unsigned_abs());
    let tier = TierChoice::Width(Duration::from_secs(seconds.unsigned_abs()));
    for (name, query) in ASKED {
        let query = query.replace("[W", &format!("[{window}s"));
        let request = Request::range(query.as_str(), at(start), at(start + STEPS * step), every);
        let truth = execute(&source, &request.clone().with_tier(TierChoice::Raw));
        let truth = truth.map_err(|error| format!("{query}: {error}"))?;
        for tier in [TierChoice::Exact, tier] {
            let request = request.clone().with_tier(tier);
            let found = execute(&source, &request);
            let message = |found: &str| {
                format!(
                    "{query} from {start} s each {step} s, {tier:?}, buckets of {seconds} s, {}: {found}, samples say {}",
                    series.name,
                    shown(&truth)
                )
            };
            match found {
                Ok(found) if is_estimate(&found) => estimated(name, &found, &truth, report, message),
                Ok(found) => {
                    let has_read = request.usage().buckets_decoded() > 0;
                    let mut kept = shown(&found) == shown(&truth);
                    // A bucket that is cut says that it has histograms, not where.
                    if name == "h max" && !is_aligned {
                        kept = format!("{:?}", found.value) == format!("{:?}", truth.value);
                    }
                    report.add_exact(name, has_read, kept, || message(&shown(&found)));
                }
                // Only a tier that is named has no samples behind it.
                Err(error) => {
                    let may_refuse = tier != TierChoice::Exact;
                    report.add_exact(name, false, may_refuse, || message(&error.to_string()));
                }
            }
        }
    }
    Ok(())
}

fn is_estimate(response: &Response) -> bool {
    response.accuracy.is_some_and(|accuracy| !accuracy.exact)
}

/// The values and annotations of a response.
fn shown(response: &Response) -> String {
    format!("{:?} {:?} {:?}", response.value, response.warnings, response.infos)
}

/// Compares the numbers of an answer that may be off.
fn estimated(
    name: &str,
    found: &Response,
    truth: &Response,
    report: &mut Report,
    message: impl Fn(&str) -> String,
) {
    let Some(accuracy) = found.accuracy else { return report.add_refused(name) };
    let (Some(bound), QueryValue::Matrix(values)) = (accuracy.absolute, &found.value) else {
        return report.add_refused(name);
    };
    let of_truth = |time: i64| {
        let QueryValue::Matrix(values) = &truth.value else { return None };
        let all = values.iter().flat_map(|series| &series.floats_ms);
        all.clone().find(|value| value.0 == time).map(|value| value.1)
    };
    for &(time, value) in values.iter().flat_map(|series| &series.floats_ms) {
        let none = if accuracy.may_be_absent { value } else { f64::NAN };
        let exact = of_truth(time).unwrap_or(none);
        report.add_estimate(name, (value, bound), exact, None, || message(&shown(found)));
    }
}
