//! Counts, sums, extremes, spread, ends.

use std::borrow::Cow;

use barograph_engine::rollup::{Bucket, BucketColumns, Moments, Runs};

use super::folds::{Folds, Part};
use super::{Answer, Evaluator, Series, Span, uncut};
use crate::functions::window::conditional_count::{SlidingSum, seconds_of};
use crate::functions::window::over_time::{Extreme, Extremes, NewestExtreme};
use crate::functions::window::shown_seconds;

/// `count_over_time`
pub(super) fn count(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    let mut counts = SlidingSum::default();
    uncut(move |span, _| Some(counts.advance_over(span.rows(), &columns.counts) as f64))
}

/// `present_over_time`
pub(super) fn present(_: Series<'_>) -> Evaluator<'_> {
    Box::new(|span, _| if span.both.is_some() { Answer::Unknown } else { Answer::Exact(1.0) })
}

/// The sums of a column.
fn runs(columns: &BucketColumns) -> Runs<'_> {
    Runs::of(Cow::Borrowed(&columns.sums), columns.len())
}

/// `sum_over_time`. Where values are so large that the order of samples decides, only these can tell.
pub(super) fn sum(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    let runs = runs(columns);
    uncut(move |span, _| runs.sum(span.rows()))
}

/// `avg_over_time`
pub(super) fn mean(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    let (runs, mut counts) = (runs(columns), SlidingSum::default());
    uncut(move |span, _| {
        let count = counts.advance_over(span.rows(), &columns.counts);
        Some(runs.sum(span.rows())? / count as f64)
    })
}

/// `stdvar_over_time`
pub(super) fn variance(series: Series<'_>) -> Evaluator<'_> {
    let mut spread = Spread::of(series);
    uncut(move |span, _| spread.variance(span))
}

/// `stddev_over_time`
pub(super) fn deviation(series: Series<'_>) -> Evaluator<'_> {
    let mut spread = Spread::of(series);
    uncut(move |span, _| spread.variance(span).map(f64::sqrt))
}

/// The spread of moving windows.
struct Spread<'c> {
    columns: &'c BucketColumns,
    runs: Runs<'c>,
    folds: Folds<Scaled>,
}

/// Moments, and the unit of their sums.
#[derive(Clone)]
struct Scaled(Moments, f64);

impl Part for Scaled {
    fn append(&mut self, later: &Scaled) {
        let unit = self.1;
        self.0.merge(&later.0, |int| int * unit);
    }
}

impl<'c> Spread<'c> {
    fn of(Series { columns, range_ns, overlaps }: Series<'c>) -> Self {
        Spread { columns, runs: runs(columns), folds: Folds::new(range_ns, overlaps) }
    }

    fn variance(&mut self, span: &Span<'_>) -> Option<f64> {
        let Spread { columns, runs, folds } = self;
        let variance = match runs.whole(span.rows()) {
            Some(_) => {
                let one = |row: usize| {
                    // Sums that are not whole are in other windows.
                    let sum = runs.whole(row..row + 1).unwrap_or(0);
                    let (count, m2) = (columns.counts[row], columns.squares[row]);
                    Scaled(Moments { count, sum, m2, rest: 0.0 }, runs.scaled(1.0))
                };
                let Moments { count, m2, rest, .. } =
                    folds.fold(&columns.ends, span.rows(), span.end, one)?.0;
                (m2 + rest) / count as f64
            }
            None => {
                let whole = merged(columns, span)?;
                (whole.m2 + whole.m2_rest) / whole.count as f64
            }
        };
        // Where squares or sums overflow, the order of samples decides what the kernel of samples returns.
        variance.is_finite().then_some(variance)
    }
}

/// The buckets of a window in one. Their sums have more bits than integers, so this is rare.
fn merged(columns: &BucketColumns, span: &Span<'_>) -> Option<Bucket> {
    span.rows().map(|row| columns.bucket(row)).reduce(|mut whole, later| {
        whole.merge(&later);
        whole
    })
}

/// `min_over_time`
pub(super) fn least(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    let mut extremes = Extremes::new(Extreme::Min);
    uncut(move |span, _| Some(extremes.of(&columns.minima, span.rows())))
}

/// `max_over_time`
pub(super) fn greatest(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    let mut extremes = Extremes::new(Extreme::Max);
    uncut(move |span, _| Some(extremes.of(&columns.maxima, span.rows())))
}

/// `first_over_time`
pub(super) fn first(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    Box::new(|span, _| Answer::known(span.first().map(|row| columns.first_values[row])))
}

/// `last_over_time`
pub(super) fn last(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    Box::new(|span, _| Answer::known(span.last().map(|row| columns.last_values[row])))
}

/// `ts_of_first_over_time`
pub(super) fn first_time(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    Box::new(|span, _| Answer::known(span.first().map(|row| shown_seconds(columns.first_times[row]))))
}

/// `ts_of_last_over_time`
pub(super) fn last_time(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    Box::new(|span, _| Answer::known(span.last().map(|row| shown_seconds(columns.last_times[row]))))
}

/// `ts_of_min_over_time`
pub(super) fn time_of_least(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    time_of(columns, &columns.minima, Extreme::Min)
}

/// `ts_of_max_over_time`
pub(super) fn time_of_greatest(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    time_of(columns, &columns.maxima, Extreme::Max)
}

/// The time of the last sample with the extreme value, if it is the last one of its bucket.
fn time_of<'c>(columns: &'c BucketColumns, extremes: &'c [f64], which: Extreme) -> Evaluator<'c> {
    let mut newest = NewestExtreme::new(which);
    uncut(move |span, _| {
        let row = match newest.of(extremes, span.rows()) {
            Some(row) if columns.last_values[row] != extremes[row] => return None,
            Some(row) => row,
            // All values are NaN.
            None => span.hi - 1,
        };
        Some(shown_seconds(columns.last_times[row]))
    })
}

/// `duration_over_time`: the sum of the distances up to `gap_max` seconds.
pub(super) fn duration(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    let (mut inside, mut borders, mut unknown) =
        (SlidingSum::default(), SlidingSum::default(), SlidingSum::default());
    uncut(move |span, gap_max| {
        let counts = |ns: u64| seconds_of(ns) <= gap_max;
        let lasts = |row: usize| columns.last_times[row].abs_diff(columns.first_times[row]);
        let all_count = |row: usize| counts(columns.gaps.at(row).max.unsigned_abs()) || counts(lasts(row));
        let is_unknown = |row: usize| !all_count(row) && counts(columns.gaps.at(row).min.unsigned_abs());
        if unknown.advance(span.rows(), gap_max, |row| is_unknown(row).into()) > 0 {
            return None;
        }
        let between = borders.advance(span.lo + 1..span.hi, gap_max, |row| {
            let gap = columns.first_times[row].abs_diff(columns.last_times[row - 1]);
            if counts(gap) { gap } else { 0 }
        });
        let within = inside.advance(span.rows(), gap_max, |row| if all_count(row) { lasts(row) } else { 0 });
        Some(seconds_of(between + within))
    })
}

/// The one value of all samples of moving windows.
pub(super) struct Constant<'c> {
    columns: &'c BucketColumns,
    least: Extremes,
    greatest: Extremes,
}

impl<'c> Constant<'c> {
    pub fn of(columns: &'c BucketColumns) -> Self {
        let (least, greatest) = (Extremes::new(Extreme::Min), Extremes::new(Extreme::Max));
        Constant { columns, least, greatest }
    }

    /// The extremes of a window.
    pub fn extremes(&mut self, span: &Span<'_>) -> (f64, f64) {
        let Constant { columns, least, greatest } = self;
        (least.of(&columns.minima, span.rows()), greatest.of(&columns.maxima, span.rows()))
    }

    /// The number of NaN in a window.
    pub fn nans(&self, span: &Span<'_>) -> u64 {
        let nans = &self.columns.nans;
        if nans.is_usual() { 0 } else { span.rows().map(|row| nans.at(row)).sum() }
    }

    /// Whether all values are equal and finite.
    pub fn is_constant(&mut self, span: &Span<'_>) -> bool {
        let (min, max) = self.extremes(span);
        min == max && min.is_finite() && self.nans(span) == 0
    }
}

/// `deriv` of equal values.
pub(super) fn slope(series: Series<'_>) -> Evaluator<'_> {
    of_equal(series, |_, _| 0.0)
}

/// `predict_linear` of equal values.
pub(super) fn predict(series: Series<'_>) -> Evaluator<'_> {
    of_equal(series, |value, ahead| 0.0 * ahead + value)
}

/// A function of the first of at least two equal values.
fn of_equal<'c>(Series { columns, .. }: Series<'c>, of: fn(f64, f64) -> f64) -> Evaluator<'c> {
    let mut constant = Constant::of(columns);
    Box::new(move |span, x| match span {
        _ if span.is_cut() => Answer::Unknown,
        Span { lo, .. } if span.rows().len() == 1 && columns.counts[*lo] < 2 => Answer::Absent,
        Span { lo, .. } if constant.is_constant(span) => Answer::Exact(of(columns.first_values[*lo], x)),
        _ => Answer::Unknown,
    })
}
