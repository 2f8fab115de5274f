//! `correlate` and `cross_correlation`: series that move like a target, and the lags at which two series do.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use barograph_analytics::compare::association::{self, Method, Reference};
use barograph_analytics::compare::correlate::{self, Target};

use super::ranking::best;
use super::{LAGS, Observed, Prepared, Search, aligned, note_left_out, part, single};
use crate::budget::Budget;
use crate::error::QueryError;
use crate::functions::analytics::seasons::duration;
use crate::functions::analytics::{Failure, run};
use crate::functions::arguments::{Arguments, Sampled, Score};
use crate::functions::left_out::LeftOut;
use crate::merge::settled;
use crate::series::{Points, Series, Value, is_absent};
use crate::usage::Footprint;

/// `correlate`
pub(crate) fn correlate(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let method = args.named().word("method", &Method::ALL);
    let topk = args.named().number("topk", 20.0) as usize;
    let Some(search) = Search::begin(args)? else { return Ok(Value::Vector(Vec::new())) };
    let prepared = search.prepare(args, association::bytes, |values, _| Reference::new(values, method))?;
    let scored =
        search.compare(args, &prepared, association::bytes, |prepared, values, scratch, check| {
            let found = prepared.of.compare(values, prepared.max_lag, scratch, check)?;
            Ok(Score { value: found.score, lag: found.lag, p: found.p, ..Score::default() })
        })?;
    note_left_out(args, 1, &scored)?;
    best(args, scored, topk, |_, step, score| {
        let mut labels = vec![("lag", lag(prepared[step].as_ref(), score.lag.into()))];
        if !score.p.is_nan() {
            labels.push(("p_value", probability(score.p)));
        }
        labels
    })
}

/// A number of steps as a duration: `-30s`.
pub(super) fn lag<P>(prepared: Option<&Prepared<P>>, steps: i64) -> String {
    signed_duration(prepared.map_or(0, |prepared| shown_ns(prepared.grid.step, steps)))
}

/// The nanoseconds of a number of steps, as they are shown. The median interval of scrapes is rarely whole, so they are
/// rounded to seconds, or to milliseconds if a step is shorter than a second.
fn shown_ns(step_ns: i64, steps: i64) -> i64 {
    let unit = if step_ns < 1_000_000_000 { 1_000_000 } else { 1_000_000_000 };
    let ns = step_ns.saturating_mul(steps);
    // Half a unit is rounded away from zero.
    ns.saturating_add(ns.signum() * unit / 2) / unit * unit
}

/// A probability with three decimals, or with two digits and an exponent if it is below 0.001 and not 0.
fn probability(p: f64) -> String {
    if p == 0.0 || p >= 0.001 { format!("{}", (p * 1000.0).round() / 1000.0) } else { format!("{p:.1e}") }
}

/// `cross_correlation`
pub(crate) fn cross(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let given = if args.count() > 2 { Some(args.scalar(2)?) } else { None };
    if let Some(wrong) = given.iter().flatten().find(|lag| !(lag.is_finite() && **lag >= 0.0)) {
        return Err(QueryError::Execution(format!(
            "cross_correlation: the longest lag must be a number of seconds of at least 0, got {wrong}"
        )));
    }
    let Some(search) = Search::begin(args)? else { return Ok(Value::Vector(Vec::new())) };
    let Some(other) = single(args, 1, "the second argument", 0)? else {
        return Ok(Value::Vector(Vec::new()));
    };
    let prepared = search.prepare(args, correlate::bytes, |values, _| Target::new(values))?;
    let (budget, steps, observed) = (args.budget(), args.steps().count, Observed::of_sampled(&other));
    let mut columns: BTreeMap<i64, Points> = BTreeMap::new();
    let mut reason = None;
    for (step, prepared) in prepared.iter().enumerate() {
        let Some(prepared) = prepared else { continue };
        let given = given.as_ref().map(|lags| lags[step]);
        let found = match at_all_lags(budget, prepared, &observed, search.windows[1].bounds(step), given) {
            Ok(found) => found,
            Err(Failure::Query(error)) => return Err(error),
            Err(Failure::Unfit(unfit)) => {
                reason.get_or_insert(unfit);
                continue;
            }
        };
        for (lag, r) in found {
            // Steps of the query have grids of their own, so lags are one series if they are shown alike.
            let points = match columns.entry(shown_ns(prepared.grid.step, lag.into())) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    budget.hold(Footprint::bytes(steps * size_of::<f64>()))?;
                    new.insert(Points::absent(steps))
                }
            };
            // Several lags are shown alike if a step is shorter than a millisecond: the strongest one counts.
            let slot = &mut points.floats[step];
            if is_absent(*slot) || slot.abs() < r.abs() {
                *slot = r;
            }
        }
    }
    if let Some(reason) = reason {
        let text = format!("cross_correlation cannot use {}: {reason}", other.labels);
        let span = args.span(1);
        LeftOut::of(args.function().name, args.named(), span).refuse(&other.labels, &reason)?;
        args.annotations().info(span, text);
    }
    by_lag(&search.target, columns)
}

/// The correlations of a target and of another series in a window.
fn at_all_lags(
    budget: &Budget,
    prepared: &Prepared<Target>,
    other: &Observed<'_>,
    bounds: (i64, i64),
    longest_s: Option<f64>,
) -> Result<Vec<(i32, f64)>, Failure> {
    let (times, values) = other.parts();
    let grid = prepared.grid.shifted(bounds.1.saturating_sub(prepared.bounds.1));
    let (times, values) = part(times, values, bounds);
    let most = longest_s.map_or(LAGS, |seconds| (seconds * 1e9 / grid.step as f64).round() as usize);
    let most = most.min(grid.len);
    let bytes = correlate::bytes(grid.len) + (grid.len + 4 * most + 2) * size_of::<f64>();
    let held = Footprint::bytes(bytes);
    budget.hold(held)?;
    let mut on_grid = Vec::new();
    let found = aligned(times, values, grid, &mut on_grid)
        .map_err(|reason| Failure::Unfit(reason.to_string()))
        .and_then(|()| run(budget, 0, |check| prepared.of.at_all_lags(&on_grid, most, check)));
    budget.release(held);
    found
}

/// A series for each lag, given in nanoseconds as they are shown.
fn by_lag(target: &Sampled, columns: BTreeMap<i64, Points>) -> Result<Value, QueryError> {
    let labels = settled(&target.labels, true);
    if labels.get("lag").is_some() {
        return Err(QueryError::Execution(format!(
            "cross_correlation: the series {labels} has a label \"lag\" already: rename it with label_move first"
        )));
    }
    let series = columns.into_iter().map(|(ns, points)| {
        let labels = labels.to_builder().set("lag", &signed_duration(ns)).build();
        Series { labels, drop_name: false, points }
    });
    Ok(Value::Vector(series.collect()))
}

/// Nanoseconds as a duration: `-30s`.
fn signed_duration(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    if ns == 0 { "0s".to_owned() } else { format!("{sign}{}", duration(ns.unsigned_abs() as f64 / 1e9)) }
}
