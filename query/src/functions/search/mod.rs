//! Functions that compare many series: with a target, with their own past, or with each other.
//!
//! A target is put on the steps of its own median interval, and each candidate on the same steps ([`Aligned`]). Counters
//! become rates first. Series that cannot be compared are left out, with an info that names them and the reason.
//!
//! # Not here
//! The measures: `barograph_analytics`. Reading series on several cores: `exec/window/each_series.rs`.

use std::sync::atomic::{AtomicUsize, Ordering};

use barograph_analytics::compare::correlate::Scratch;
use barograph_analytics::compare::resample::{Grid, bridge};
use barograph_analytics::{Check, Error, Unfit};

use super::Function;
use super::analytics::counters;
use super::analytics::{Failure, NamedOptions, grid, run};
use super::arguments::{Arguments, Reason, Sampled, Score, Scored};
use super::left_out::LeftOut;
use super::window::Columns;
use super::window::slide::Windows;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::steps::ms_to_ns;
use crate::usage::Footprint;

pub(crate) mod correlation;
pub(crate) mod highlight;
pub(crate) mod joint;
mod ranking;
pub(crate) mod root_cause;

/// The season that is removed: a value is compared with the one at the same time of the day before.
const DAY_MS: i64 = 86_400_000;

/// Gaps of at most this many steps are bridged before the steps without a value are counted.
const BRIDGED: usize = 2;

/// Steps that the lags of a search extend over, unless the query says otherwise.
const LAGS: usize = 10;

/// The floats of a series, or its rates if it is a counter.
struct Observed<'a> {
    columns: &'a Columns,
    rates: Option<Columns>,
}

impl<'a> Observed<'a> {
    /// Looks at a series. No rate spans the time between two windows, if it has samples of one and of the day before.
    fn of(is_counter: bool, columns: &'a Columns, between: Option<(i64, i64)>) -> Observed<'a> {
        let rates = is_counter.then(|| {
            let mut rates = counters::rates(columns);
            let times = &columns.times;
            if let Some((end, begin)) = between {
                let later = times.partition_point(|&time| time <= begin);
                let before = later.checked_sub(1).filter(|&i| later < times.len() && times[i] <= end);
                if let Some(seam) = before {
                    rates.times.remove(seam);
                    rates.values.remove(seam);
                }
            }
            rates
        });
        Observed { columns, rates }
    }

    /// A series whose samples are of one window.
    fn of_sampled(Sampled { is_counter, columns, .. }: &'a Sampled) -> Observed<'a> {
        Observed::of(*is_counter, columns, None)
    }

    /// The times and the values.
    fn parts(&self) -> (&[i64], &[f64]) {
        let columns = self.rates.as_ref().unwrap_or(self.columns);
        (&columns.times, &columns.values)
    }
}

/// The part of some samples that is in `(start, end]`.
fn part<'a>(times: &'a [i64], values: &'a [f64], (start, end): (i64, i64)) -> (&'a [i64], &'a [f64]) {
    let from = times.partition_point(|&time| time <= start);
    let to = times.partition_point(|&time| time <= end).max(from);
    (&times[from..to], &values[from..to])
}

/// The values of samples on a grid, without gaps.
fn aligned(times: &[i64], values: &[f64], grid: Grid, into: &mut Vec<f64>) -> Result<(), Reason> {
    grid.place(times, values, into);
    let missing = bridge(into, BRIDGED);
    if 5 * missing > into.len() || missing == into.len() {
        return Err(Reason::Gaps { missing, of: into.len() });
    }
    bridge(into, usize::MAX);
    Ok(())
}

/// Removes the season of a series that is on a grid. Returns false, and changes nothing, if it has too few values a day
/// earlier.
fn remove_season(
    times: &[i64],
    values: &[f64],
    (start, end): (i64, i64),
    grid: Grid,
    into: &mut [f64],
    earlier: &mut Vec<f64>,
) -> bool {
    let day = ms_to_ns(DAY_MS);
    let (times, values) = part(times, values, (start.saturating_sub(day), end.saturating_sub(day)));
    if aligned(times, values, grid.shifted(-day), earlier).is_err() {
        return false;
    }
    into.iter_mut().zip(earlier).for_each(|(value, earlier)| *value -= *earlier);
    true
}

/// What is removed from series before they are compared.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Detrend {
    /// The values of the day before.
    #[default]
    Seasonal,
    Nothing,
}

/// Milliseconds before its windows at which a call reads its range vectors too, to remove the season; 0 if it does not.
pub(crate) fn earlier_ms(function: &Function, options: NamedOptions<'_>) -> i64 {
    let detrend = options.word("detrend", &[("seasonal", Detrend::Seasonal), ("none", Detrend::Nothing)]);
    if function.detrends && detrend == Detrend::Seasonal { DAY_MS } else { 0 }
}

/// A search for series that resemble a target.
struct Search {
    target: Sampled,
    /// The windows of the target and of the candidates.
    windows: [Windows; 2],
    /// Milliseconds by which the season is removed, or 0.
    earlier_ms: i64,
}

/// A target at one step of the query.
struct Prepared<P> {
    /// The window of the target.
    bounds: (i64, i64),
    grid: Grid,
    /// Whether the season is removed.
    is_seasonal: bool,
    max_lag: usize,
    of: P,
}

impl Search {
    /// Reads the target, the first argument. `None` if there is none.
    fn begin(args: &mut dyn Arguments<'_>) -> Result<Option<Search>, QueryError> {
        let earlier_ms = earlier_ms(args.function(), args.named());
        let windows = [args.range(0)?, args.range(1)?];
        if windows[0].range_ms != windows[1].range_ms {
            let seconds = windows.map(|windows| windows.range_ms as f64 / 1000.0);
            return Err(QueryError::Execution(format!(
                "{} compares equal windows: those of the target and of the candidates have {} s and {} s",
                args.function().name,
                seconds[0],
                seconds[1]
            )));
        }
        let target = single(args, 0, "the target", earlier_ms)?;
        Ok(target.map(|target| Search { target, windows, earlier_ms }))
    }

    /// The end of the windows of the day before and the beginning of the windows of an argument, if there is time between
    /// them.
    fn between(&self, index: usize) -> Option<(i64, i64)> {
        let (begin, end) = self.windows[index].covering_range();
        let end = end.saturating_sub(ms_to_ns(self.earlier_ms));
        (self.earlier_ms > 0 && end < begin).then_some((end, begin))
    }

    /// The target at each step of the query; `None` where it does not fit, which an info explains. For a number of steps
    /// of a grid, `bytes` is the memory that `prepare` returns.
    fn prepare<P>(
        &self,
        args: &mut dyn Arguments<'_>,
        bytes: fn(usize) -> usize,
        prepare: impl Fn(&[f64], usize) -> Result<P, Unfit>,
    ) -> Result<Vec<Option<Prepared<P>>>, QueryError> {
        let Sampled { labels, is_counter, columns } = &self.target;
        let observed = Observed::of(*is_counter, columns, self.between(0));
        let (times, values) = observed.parts();
        let lag = args.named().number("max_lag", f64::NAN);
        let (budget, steps) = (args.budget(), args.steps().count);
        let (mut left_out, mut no_season, mut earlier) = (None, false, Vec::new());
        budget.hold(Footprint::bytes(steps * size_of::<Option<Prepared<P>>>()))?;
        let mut prepared = Vec::with_capacity(steps);
        for step in 0..steps {
            budget.check()?;
            let bounds = self.windows[0].bounds(step);
            let (within, floats) = part(times, values, bounds);
            let found = on_own_grid(budget, within, floats).and_then(|mut grid| {
                let steps = grid.steps();
                let kept = Footprint::bytes(bytes(steps.len));
                budget.hold(kept)?;
                let found = aligned(within, floats, steps, &mut grid.values)
                    .map_err(|reason| Failure::Unfit(reason.to_string()))
                    .and_then(|()| {
                        let max_lag = if lag.is_nan() { LAGS } else { grid.steps_of(lag) };
                        let is_seasonal = self.earlier_ms > 0
                            && remove_season(times, values, bounds, steps, &mut grid.values, &mut earlier);
                        no_season |= self.earlier_ms > 0 && !is_seasonal;
                        let of = prepare(&grid.values, max_lag)?;
                        Ok(Prepared { bounds, grid: steps, is_seasonal, max_lag, of })
                    });
                budget.release(grid.held());
                if found.is_err() {
                    budget.release(kept);
                }
                found
            });
            prepared.push(match found {
                Ok(prepared) => Some(prepared),
                Err(Failure::Query(error)) => return Err(error),
                Err(Failure::Unfit(reason)) => {
                    left_out.get_or_insert(reason);
                    None
                }
            });
        }
        let (name, span, labels) = (args.function().name, args.span(0), labels.to_string());
        if let Some(reason) = left_out {
            LeftOut::of(name, args.named(), span).refuse(&labels, &reason)?;
            args.annotations().info(span, format!("{name} cannot use the target {labels}: {reason}"));
        }
        if no_season {
            let text = format!(
                "{name} does not remove the season: the target {labels} has too few values a day earlier"
            );
            args.annotations().info(span, text);
        }
        Ok(prepared)
    }

    /// Compares each candidate, the second argument, with the target at each step. The target itself is left out.
    fn compare<P: Sync>(
        &self,
        args: &mut dyn Arguments<'_>,
        prepared: &[Option<Prepared<P>>],
        bytes: fn(usize) -> usize,
        compare: impl Fn(&Prepared<P>, &[f64], &mut Scratch, Check<'_>) -> Result<Score, Error> + Sync,
    ) -> Result<Vec<Scored>, QueryError> {
        let budget = args.budget();
        let longest = prepared.iter().flatten().map(|prepared| prepared.grid.len).max().unwrap_or(0);
        let own = &self.target.labels;
        let (unseasonal, between) = (AtomicUsize::new(0), self.between(1));
        let scored = args.scores(1, self.earlier_ms, &|labels, is_counter, columns| {
            if columns.times.is_empty() {
                return Ok(Err(Reason::NoFloats));
            }
            let none = Score { value: f64::NAN, ..Score::default() };
            let mut scores = vec![none; prepared.len()];
            if labels == own {
                return Ok(Ok(scores));
            }
            // Rates, the values on the grid and those of the day before, and what the measure needs.
            let bytes = bytes(longest) + 2 * 8 * longest + 2 * 8 * columns.times.len();
            let done = run(budget, bytes, |check| {
                let work = Comparison {
                    prepared,
                    windows: &self.windows,
                    compare: &compare,
                    unseasonal: &unseasonal,
                };
                let observed = Observed::of(is_counter, columns, between);
                Ok(work.all_steps(&observed, &mut scores, check)?)
            });
            match done {
                Ok(None) => Ok(Ok(scores)),
                Ok(Some(reason)) if scores.iter().all(|score| score.value.is_nan()) => Ok(Err(reason)),
                Ok(Some(_)) => Ok(Ok(scores)),
                Err(Failure::Query(error)) => Err(error),
                Err(Failure::Unfit(_)) => Ok(Err(Reason::NoFloats)),
            }
        })?;
        let count = unseasonal.into_inner();
        if count > 0 {
            let (name, span) = (args.function().name, args.span(1));
            let text = format!(
                "{name} does not remove the season of {count} series, which have too few values a day earlier"
            );
            args.annotations().info(span, text);
        }
        Ok(scored)
    }
}

/// The comparison of one candidate.
struct Comparison<'c, P, F> {
    prepared: &'c [Option<Prepared<P>>],
    windows: &'c [Windows; 2],
    compare: &'c F,
    /// Candidates whose season cannot be removed.
    unseasonal: &'c AtomicUsize,
}

impl<P, F> Comparison<'_, P, F>
where
    F: Fn(&Prepared<P>, &[f64], &mut Scratch, Check<'_>) -> Result<Score, Error>,
{
    /// Scores the candidate at all steps. Returns the first reason why a step has no score.
    fn all_steps(
        &self,
        observed: &Observed<'_>,
        scores: &mut [Score],
        check: Check<'_>,
    ) -> Result<Option<Reason>, barograph_analytics::Stop> {
        let (times, values) = observed.parts();
        let (mut on_grid, mut earlier, mut scratch) = (Vec::new(), Vec::new(), Scratch::default());
        let (mut reason, mut keeps_season) = (None, false);
        for (step, prepared) in self.prepared.iter().enumerate() {
            check()?;
            let Some(prepared) = prepared else { continue };
            let bounds = self.windows[1].bounds(step);
            // The windows may be at different times, as with an offset.
            let grid = prepared.grid.shifted(bounds.1.saturating_sub(prepared.bounds.1));
            let (within, floats) = part(times, values, bounds);
            if let Err(gaps) = aligned(within, floats, grid, &mut on_grid) {
                reason.get_or_insert(gaps);
                continue;
            }
            if prepared.is_seasonal {
                keeps_season |= !remove_season(times, values, bounds, grid, &mut on_grid, &mut earlier);
            }
            match (self.compare)(prepared, &on_grid, &mut scratch, check) {
                Ok(score) => scores[step] = score,
                Err(Error::Stopped) => return Err(barograph_analytics::Stop),
                Err(Error::Unfit(unfit)) => drop(reason.get_or_insert(Reason::Unfit(unfit))),
            }
        }
        self.unseasonal.fetch_add(usize::from(keeps_season), Ordering::Relaxed);
        Ok(reason)
    }
}

/// Samples on the grid of their own interval.
fn on_own_grid(budget: &Budget, times: &[i64], values: &[f64]) -> Result<grid::Grid, Failure> {
    if times.is_empty() {
        return Err(Failure::Unfit("it has no floats in the window".to_owned()));
    }
    grid::Grid::of_samples(budget, times, values)
}

/// The only series of an argument; `None`, with an info, if there is none.
fn single(
    args: &mut dyn Arguments<'_>,
    index: usize,
    what: &str,
    earlier_ms: i64,
) -> Result<Option<Sampled>, QueryError> {
    let (name, span) = (args.function().name, args.span(index));
    let mut series = args.samples(index, earlier_ms)?;
    if let [first, second, ..] = &series[..] {
        return Err(QueryError::Execution(format!(
            "{name}: {what} must be one series, and {} match, such as {} and {}: add matchers or aggregate them",
            series.len(),
            first.labels,
            second.labels
        )));
    }
    let only = series.pop();
    if only.is_none() {
        args.annotations().info(span, format!("{name}: {what} has no samples in the window"));
    }
    Ok(only)
}

/// Leaves out the series of an argument that have no score.
fn note_left_out(args: &mut dyn Arguments<'_>, index: usize, scored: &[Scored]) -> Result<(), QueryError> {
    let mut left_out = LeftOut::of(args.function().name, args.named(), args.span(index));
    for series in scored {
        if let Err(reason) = &series.scores {
            left_out.add(&series.labels, reason)?;
        }
    }
    left_out.finish(args.annotations());
    Ok(())
}
