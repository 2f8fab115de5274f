//! Window kernels that select an implementation by the edges of the window and by whether the series has histograms.

use super::Edges;
use super::boundaries;
use super::counter::{self, ChangeKind};
use super::float_histogram::{self, is_change_between, is_reset_in};
use super::over_time::{self, slot};
use super::slide::slide;
use super::{Window, WindowedSeries, folds, shown_seconds, unextrapolated};
use crate::annotations::flags::Flags;
use crate::error::QueryError;
use crate::series::Points;

/// `rate`, `increase`, `delta`.
pub(crate) fn change(series: &mut WindowedSeries<'_>, kind: ChangeKind) -> Result<Points, QueryError> {
    if series.call.edges != Edges::Plain {
        return boundaries::change(series, kind);
    }
    if !series.columns.histograms.is_empty() {
        return float_histogram::change(series, kind);
    }
    let mut noticed = Flags::default();
    let points = series.samples(counter::change(kind, series.columns, &mut noticed))?;
    series.flags.raise(noticed);
    Ok(points)
}

/// `resets`
pub(crate) fn resets(series: &mut WindowedSeries<'_>) -> Result<Points, QueryError> {
    match series.call.edges {
        Edges::Plain => float_histogram::resets(series),
        Edges::Anchored | Edges::Smoothed => boundaries::count(series, is_reset_in),
    }
}

/// `changes`
pub(crate) fn changes(series: &mut WindowedSeries<'_>) -> Result<Points, QueryError> {
    match series.call.edges {
        Edges::Plain => float_histogram::changes(series),
        Edges::Anchored | Edges::Smoothed => boundaries::count(series, is_change_between),
    }
}

/// `increase_pure`, `rate_pure`.
pub(crate) fn growth(series: &mut WindowedSeries<'_>, per_second: bool) -> Result<Points, QueryError> {
    let mut noticed = Flags::default();
    let (lookback, columns) = (series.call.lookback_ns(), series.columns);
    let points = series.floats(unextrapolated::growth(per_second, lookback, columns, &mut noticed))?;
    series.flags.raise(noticed);
    Ok(points)
}

/// `sum_over_time`
pub(crate) fn sum(series: &mut WindowedSeries<'_>) -> Result<Points, QueryError> {
    if !series.columns.histograms.is_empty() {
        return float_histogram::sum_or_mean(series, false);
    }
    series.samples(folds::sum(series.range_ns()))
}

/// `avg_over_time`
pub(crate) fn mean(series: &mut WindowedSeries<'_>) -> Result<Points, QueryError> {
    if !series.columns.histograms.is_empty() {
        return float_histogram::sum_or_mean(series, true);
    }
    series.samples(folds::mean(series.range_ns()))
}

/// `stddev_over_time`
pub(crate) fn deviation(series: &mut WindowedSeries<'_>) -> Result<Points, QueryError> {
    let mut variance = folds::variance(series.range_ns(), over_time::variance);
    series.floats(move |w| variance(w).map(f64::sqrt))
}

/// `present_over_time`: 1 for each window with a sample.
pub(crate) fn present(series: &mut WindowedSeries<'_>) -> Result<Points, QueryError> {
    series.samples(|_| Some(1.0))
}

/// `ts_of_first_over_time`
pub(crate) fn first_time(w: &Window<'_>) -> Option<f64> {
    let ends = [w.times().first(), w.histogram_times().first()];
    ends.into_iter().flatten().min().map(|t| shown_seconds(*t))
}

/// `ts_of_last_over_time`
pub(crate) fn last_time(w: &Window<'_>) -> Option<f64> {
    w.times().last().max(w.histogram_times().last()).map(|t| shown_seconds(*t))
}

/// `quantiles_over_time`: a column for each φ.
pub(crate) fn quantiles(series: &mut WindowedSeries<'_>) -> Result<Vec<Points>, QueryError> {
    let WindowedSeries { call, columns, ref mut flags, .. } = *series;
    let mut found = vec![Points::absent(call.windows.steps.count); call.params.len()];
    let mut kernel = over_time::quantiles_over(&call.params);
    slide(call.budget, &call.windows, columns, |w| {
        kernel(w, &mut |place, value| found[place].floats[w.step] = slot(Some(value)));
        if w.histogram_len() > 0 && w.len() > 0 {
            flags.raise(Flags::HISTOGRAMS_IGNORED);
        }
    })?;
    Ok(found)
}
