//! Windows that may contain both native histograms and floats.

use std::sync::Arc;

use barograph_engine::model::Histogram;
use barograph_engine::rollup::counter::{is_change, is_start_reset};

use super::counter::{self, ChangeKind};
use super::histogram_change::{self, Run};
use super::over_time::slot;
use super::slide::slide;
use super::{Columns, Window, WindowedSeries, folds};
use crate::annotations::flags::Flags;
use crate::error::QueryError;
use crate::histogram::accumulate::sum_or_mean_of;
use crate::histogram::arithmetic::equal;
use crate::histogram::resets::is_reset;
use crate::series::{Point, Points};

fn histogram(h: Histogram) -> Point {
    Point::Histogram(Arc::new(h))
}

/// Which end of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    First,
    Last,
}

/// `first_over_time`, `last_over_time`.
pub(crate) fn end_value(series: &WindowedSeries<'_>, end: End) -> Result<Points, QueryError> {
    let WindowedSeries { call, columns, .. } = *series;
    let mut points = Points::absent(call.windows.steps.count);
    slide(call.budget, &call.windows, columns, |w| {
        let at = |n: usize| if end == End::First { 0 } else { n - 1 };
        let float = (w.len() > 0).then(|| at(w.len())).map(|i| (w.times()[i], w.values()[i]));
        let other = (w.histogram_len() > 0)
            .then(|| at(w.histogram_len()))
            .map(|i| (w.histogram_times()[i], &w.histograms()[i]));
        let histogram_wins = match (float, &other) {
            (Some((t, _)), Some((ht, _))) => (end == End::First) == (*ht < t),
            (None, _) => true,
            _ => false,
        };
        match (float, other) {
            (_, Some((_, h))) if histogram_wins => points.set(w.step, Some(Point::Histogram(Arc::clone(h)))),
            (Some((_, v)), _) => points.floats[w.step] = v,
            _ => {}
        }
    })?;
    Ok(points)
}

/// `rate`, `increase`, `delta` of a series with histograms.
pub(crate) fn change(series: &mut WindowedSeries<'_>, kind: ChangeKind) -> Result<Points, QueryError> {
    let WindowedSeries { call, columns, ref mut flags, .. } = *series;
    let mut points = Points::absent(call.windows.steps.count);
    let (mut float_flags, mut histogram_flags) = (Flags::default(), Flags::default());
    {
        let mut floats = counter::change(kind, columns, &mut float_flags);
        slide(call.budget, &call.windows, columns, |w| match (w.len(), w.histogram_len()) {
            (_, 0) => points.floats[w.step] = slot(floats(w)),
            (0, _) => {
                let h = histogram_change::change(w, kind, &mut histogram_flags);
                points.set(w.step, h.map(histogram));
            }
            _ => histogram_flags.raise(Flags::MIXED),
        })?;
    }
    flags.raise(float_flags);
    flags.raise(histogram_flags);
    Ok(points)
}

/// `irate`, `idelta`.
pub(crate) fn instant_change(series: &mut WindowedSeries<'_>, counter: bool) -> Result<Points, QueryError> {
    if series.columns.histograms.is_empty() {
        return series.samples(|w| counter::instant_change(w, counter));
    }
    let WindowedSeries { call, columns, ref mut flags, .. } = *series;
    let mut points = Points::absent(call.windows.steps.count);
    slide(call.budget, &call.windows, columns, |w| {
        match last_two(w) {
            Some((true, true)) => {
                let h = histogram_change::instant_change(Run::of(w), counter, flags);
                points.set(w.step, h.map(histogram));
            }
            Some((false, false)) => points.floats[w.step] = slot(counter::instant_change(w, counter)),
            Some(_) => flags.raise(Flags::MIXED),
            None => {}
        };
    })?;
    Ok(points)
}

/// Whether each of the last two samples of a window is a histogram, the earlier one first.
fn last_two(w: &Window<'_>) -> Option<(bool, bool)> {
    let mut newest: Vec<(i64, bool)> = Vec::with_capacity(4);
    newest.extend(w.times().iter().rev().take(2).map(|&t| (t, false)));
    newest.extend(w.histogram_times().iter().rev().take(2).map(|&t| (t, true)));
    newest.sort_unstable();
    let n = newest.len();
    (n >= 2).then(|| (newest[n - 2].1, newest[n - 1].1))
}

/// A sample of either kind.
pub(crate) enum Sample<'a> {
    Float(f64),
    Histogram(&'a Histogram),
}

/// A sample with its time and its index in the column of its kind.
pub(crate) type Placed<'a> = (i64, usize, Sample<'a>);

/// The samples of a window in time order, of both kinds. An index in its column counts from the window's beginning.
pub(crate) fn merged<'a>(w: &Window<'a>) -> Vec<Placed<'a>> {
    let (times, histogram_times) = (w.times(), w.histogram_times());
    let (mut i, mut j) = (0, 0);
    let mut samples = Vec::with_capacity(times.len() + histogram_times.len());
    while i < times.len() || j < histogram_times.len() {
        let float_first = j >= histogram_times.len() || (i < times.len() && times[i] <= histogram_times[j]);
        if float_first {
            samples.push((times[i], i, Sample::Float(w.values()[i])));
            i += 1;
        } else {
            samples.push((histogram_times[j], j, Sample::Histogram(&w.histograms()[j])));
            j += 1;
        }
    }
    samples
}

/// `resets`.
pub(crate) fn resets(series: &WindowedSeries<'_>) -> Result<Points, QueryError> {
    let columns = series.columns;
    if columns.histograms.is_empty() {
        return series.samples(counter::resets(columns));
    }
    series.samples(|w| {
        let (starts, histogram_starts) = (w.starts(), w.histogram_starts());
        Some(count_neighbours(&merged(w), |a, b| is_reset_between(starts, histogram_starts, a, b)))
    })
}

/// `changes`.
pub(crate) fn changes(series: &WindowedSeries<'_>) -> Result<Points, QueryError> {
    let columns = series.columns;
    if columns.histograms.is_empty() {
        return series.samples(counter::changes(columns));
    }
    series.samples(|w| Some(count_neighbours(&merged(w), |a, b| is_change_between(columns, a, b))))
}

/// The number of pairs of neighbours that meet a condition.
pub(crate) fn count_neighbours<'a>(
    samples: &[Placed<'a>],
    condition: impl Fn(&Placed<'a>, &Placed<'a>) -> bool,
) -> f64 {
    samples.windows(2).filter(|pair| condition(&pair[0], &pair[1])).count() as f64
}

/// Whether there is a reset between two neighbours, whose indices are into these start times. A change of kind is a
/// reset.
fn is_reset_between(starts: &[i64], histogram_starts: &[i64], a: &Placed<'_>, b: &Placed<'_>) -> bool {
    let start = |s: &Placed<'_>| {
        let starts = match s.2 {
            Sample::Float(_) => starts,
            Sample::Histogram(_) => histogram_starts,
        };
        starts.get(s.1).copied().unwrap_or(0)
    };
    if is_start_reset((start(b), b.0), (start(a), a.0)) {
        return true;
    }
    match (&a.2, &b.2) {
        (Sample::Float(a), Sample::Float(b)) => b < a,
        (Sample::Histogram(a), Sample::Histogram(b)) => is_reset(b, a),
        _ => true,
    }
}

/// The same for indices into the columns.
pub(crate) fn is_reset_in(columns: &Columns, a: &Placed<'_>, b: &Placed<'_>) -> bool {
    is_reset_between(&columns.starts, &columns.histogram_starts, a, b)
}

pub(crate) fn is_change_between(_: &Columns, a: &Placed<'_>, b: &Placed<'_>) -> bool {
    match (&a.2, &b.2) {
        (Sample::Float(a), Sample::Float(b)) => is_change(*a, *b),
        (Sample::Histogram(a), Sample::Histogram(b)) => !equal(a, b),
        _ => true,
    }
}

/// `sum_over_time`, `avg_over_time` of a series with histograms.
pub(crate) fn sum_or_mean(series: &mut WindowedSeries<'_>, mean: bool) -> Result<Points, QueryError> {
    // Windows of floats have the same result beside histograms as without.
    let (mut sum_of, mut mean_of) = (folds::sum(series.range_ns()), folds::mean(series.range_ns()));
    let WindowedSeries { call, columns, ref mut flags, .. } = *series;
    let mut points = Points::absent(call.windows.steps.count);
    slide(call.budget, &call.windows, columns, |w| match (w.len(), w.histogram_len()) {
        (_, 0) => points.floats[w.step] = slot(if mean { mean_of(w) } else { sum_of(w) }),
        (0, _) => {
            points.set(w.step, sum_or_mean_of(w.histograms(), mean, flags).map(histogram));
        }
        _ => flags.raise(Flags::MIXED),
    })?;
    Ok(points)
}
