//! Adapters between the language and the mathematics of `barograph-analytics`.
//!
//! An adapter puts the samples of a series on a regular grid ([`grid`]), reserves the memory for the computation,
//! passes on the query's deadline and cancellation, and converts the result to columns. If a series is not suitable,
//! the result is a [`Failure`] with a reason, which the executor turns into an info annotation that names the series.
//!
//! A counter becomes its rates first ([`counters`]), unless the table says otherwise.
//!
//! Functions of one window ([`Analyzed::each_window`]) are computed again for each step of the query. Those that judge
//! or decompose samples ([`Analyzed::newest`]) are computed once over all samples from the beginning of the first
//! window on, and a step shows the result for the newest sample of its window.

use std::ops::{Range, RangeInclusive};

use barograph_analytics::{Check, Error, Stop, Unfit};

use super::named::NamedValue;
use super::window::WindowedSeries;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::series::{ABSENT, Points};
use crate::usage::Footprint;

pub(crate) mod anomalies;
pub(crate) mod counters;
pub(crate) mod forecasts;
pub(crate) mod grid;
pub(crate) mod seasons;

use grid::Grid;

/// Makes labelled columns of one series.
pub(crate) type AnalyticKernel = fn(&mut Analyzed<'_, '_>) -> Result<Vec<Part>, Failure>;

/// One column of a result.
#[derive(Debug)]
pub(crate) struct Part {
    /// The label that distinguishes it from the other columns of its series.
    pub label: Option<(&'static str, String)>,
    /// Its values.
    pub points: Points,
}

impl Part {
    /// The only column of a series.
    fn only(points: Points) -> Vec<Part> {
        vec![Part { label: None, points }]
    }

    /// One of several.
    fn called(label: &'static str, value: impl Into<String>, points: Points) -> Part {
        Part { label: Some((label, value.into())), points }
    }
}

/// Why a series has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The query fails.
    Query(QueryError),
    /// The series is not suitable, for this reason.
    Unfit(String),
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Failure {
        Failure::Query(error)
    }
}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Failure {
        Failure::Unfit(unfit.to_string())
    }
}

/// The named arguments of a call; the function supplies defaults for the rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NamedOptions<'a>(pub &'a [(&'static str, NamedValue)]);

impl<'a> NamedOptions<'a> {
    fn get(self, name: &str) -> Option<&'a NamedValue> {
        self.0.iter().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// A number, or the seconds of a duration.
    pub fn number(self, name: &str, default: f64) -> f64 {
        match self.get(name) {
            Some(NamedValue::Number(value)) => *value,
            _ => default,
        }
    }

    /// `true` or `false`; `false` if not given.
    pub fn flag(self, name: &str) -> bool {
        matches!(self.get(name), Some(NamedValue::Flag(true)))
    }

    /// The value of a word; the default of its type if it is not given.
    pub fn word<T: Copy + Default>(self, name: &str, all: &[(&str, T)]) -> T {
        let Some(NamedValue::Text(word)) = self.get(name) else { return T::default() };
        all.iter().find(|(other, _)| other == word).map_or(T::default(), |(_, value)| *value)
    }

    /// Lengths of seasons in seconds; empty if they are to be found.
    pub fn seasons(self) -> Option<&'a [f64]> {
        match self.get("period") {
            Some(NamedValue::Seasons(seasons)) if !seasons.is_empty() => Some(seasons),
            _ => None,
        }
    }
}

/// A step, and the indices of the first and the last float in its window.
type StepWindow = (usize, usize, usize);

/// One series that an adapter works on.
pub(crate) struct Analyzed<'s, 'a> {
    /// Its samples, or the rates of a counter, and the windows.
    pub series: &'s WindowedSeries<'a>,
    /// The times of its samples.
    pub times: &'s [i64],
    /// The named arguments.
    pub options: NamedOptions<'s>,
    /// Why a part of it has no result.
    pub note: Option<String>,
}

impl Analyzed<'_, '_> {
    /// The budget of the query.
    fn budget(&self) -> &Budget {
        self.series.call.budget
    }

    /// The number of steps of the query.
    fn steps(&self) -> usize {
        self.series.call.windows.steps.count
    }

    /// Runs a computation that needs `bytes` of memory and calls a check.
    fn run<T>(
        &self,
        bytes: usize,
        compute: impl FnOnce(Check<'_>) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        run(self.budget(), bytes, compute)
    }

    /// The windows that have floats. Counts the samples that the steps look at.
    fn windows(&self) -> Result<Vec<StepWindow>, QueryError> {
        let (times, windows) = (&self.series.columns.times, &self.series.call.windows);
        let (budget, mut pace) = (self.budget(), self.budget().pace());
        let mut spans = Vec::new();
        for step in 0..self.steps() {
            pace.work(1)?;
            let (start, end) = windows.bounds(step);
            let inside = |times: &[i64]| {
                times.partition_point(|&time| time <= start)..times.partition_point(|&time| time <= end)
            };
            let Range { start: lo, end: hi } = inside(times);
            if lo < hi {
                let samples = if self.series.is_counter { inside(self.times).len() } else { hi - lo };
                budget.count_step(windows.steps.at(step), samples as u64);
                budget.count_read(samples as u64);
                spans.push((step, lo, hi - 1));
            }
        }
        Ok(spans)
    }

    /// Why there is nothing to analyze.
    pub fn nothing(&self) -> Failure {
        let reason = match self.times.len() {
            0 => "it has no floats",
            _ => "it has 1 sample in the window, and a rate needs 2",
        };
        Failure::Unfit(reason.to_owned())
    }

    /// Whether a window has a sample of a counter but no rate.
    fn lacks_rates(&self, windows: &[StepWindow]) -> bool {
        let all = &self.series.call.windows;
        let has_sample = |step: usize| {
            let (start, end) = all.bounds(step);
            let first = self.times.partition_point(|&time| time <= start);
            self.times.get(first).is_some_and(|&time| time <= end)
        };
        // A rate is at the time of a sample, so no window has a rate without one.
        self.series.is_counter && (0..self.steps()).filter(|&step| has_sample(step)).count() > windows.len()
    }

    /// Computes values of each window, on its own grid. Unsuitable windows have no value; the first reason is recorded.
    fn each_window<const N: usize>(
        &mut self,
        mut compute: impl FnMut(&Self, &Grid) -> Result<[f64; N], Failure>,
    ) -> Result<[Points; N], Failure> {
        let mut columns = [(); N].map(|()| Points::absent(self.steps()));
        let windows = self.windows()?;
        if self.lacks_rates(&windows) {
            self.note = Some("it has 1 sample in a window, and a rate needs 2".to_owned());
        }
        // The previous window, and its values if it has any.
        let mut before = (usize::MAX, usize::MAX);
        let mut values: Option<[f64; N]> = None;
        for (step, lo, last) in windows {
            self.budget().check()?;
            if before != (lo, last) {
                let grid = Grid::of(self.budget(), self.series.columns, lo, last);
                values = match grid.and_then(|grid| compute(self, &grid)) {
                    Ok(values) => Some(values),
                    Err(Failure::Query(error)) => return Err(Failure::Query(error)),
                    Err(Failure::Unfit(reason)) => {
                        self.note.get_or_insert(reason);
                        None
                    }
                };
                before = (lo, last);
            }
            for (column, value) in columns.iter_mut().zip(values.iter().flatten()) {
                column.floats[step] = shown(*value);
            }
        }
        Ok(columns)
    }

    /// The grid of all samples.
    fn whole(&self) -> Result<Grid, Failure> {
        let last = self.series.columns.times.len().checked_sub(1);
        let last = last.ok_or_else(|| self.nothing())?;
        Grid::of(self.budget(), self.series.columns, 0, last)
    }

    /// A column whose step shows the result for the newest sample of its window.
    fn newest(&self, windows: &[StepWindow], grid: &Grid, results: &[f64]) -> Points {
        let mut points = Points::absent(self.steps());
        for &(step, _, last) in windows {
            points.floats[step] = shown(results[grid.place(self.series.columns.times[last])]);
        }
        points
    }

    /// The indexes of the grid whose events a step shows: those since the previous step, or those of the whole window
    /// if there is only one step.
    fn since_step_before<'w>(
        &'w self,
        windows: &'w [StepWindow],
        grid: &'w Grid,
    ) -> impl Iterator<Item = (usize, RangeInclusive<usize>)> + 'w {
        let steps = self.series.call.windows.steps;
        let times = &self.series.columns.times;
        windows.iter().filter_map(move |&(step, lo, last)| {
            let since = crate::steps::ms_to_ns(steps.step_ms);
            let begin = self.series.call.windows.bounds(step).1.saturating_sub(since);
            let inside = &times[lo..=last];
            let lo = if steps.count > 1 { lo + inside.partition_point(|&time| time <= begin) } else { lo };
            (lo <= last).then(|| (step, grid.place(times[lo])..=grid.place(times[last])))
        })
    }
}

/// Runs a computation within a budget.
pub(crate) fn run<T>(
    budget: &Budget,
    bytes: usize,
    compute: impl FnOnce(Check<'_>) -> Result<T, Error>,
) -> Result<T, Failure> {
    let held = Footprint::bytes(bytes);
    budget.hold(held)?;
    let mut failed = None;
    let mut check = || {
        budget.check().map_err(|error| {
            failed = Some(error);
            Stop
        })
    };
    let result = compute(&mut check);
    budget.release(held);
    match result {
        Ok(result) => Ok(result),
        Err(Error::Unfit(unfit)) => Err(unfit.into()),
        Err(Error::Stopped) => Err(Failure::Query(failed.unwrap_or(QueryError::Canceled))),
    }
}

/// A result as a slot; NaN means no value.
fn shown(value: f64) -> f64 {
    if value.is_nan() { ABSENT } else { value }
}
