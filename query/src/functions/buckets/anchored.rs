//! Anchored windows: the last sample before a window, if it is less than the lookback older, is the value at its left
//! end.

use super::change::{Changes, counted};
use super::losses::{From, Losses};
use super::{Evaluator, Series, uncut};
use crate::functions::window::counter::ChangeKind;
use crate::functions::window::seconds;

/// `rate`
pub(super) fn rate(series: Series<'_>) -> Evaluator<'_> {
    change(series, ChangeKind::RATE)
}

/// `increase`
pub(super) fn increase(series: Series<'_>) -> Evaluator<'_> {
    change(series, ChangeKind::INCREASE)
}

/// `delta`
pub(super) fn delta(series: Series<'_>) -> Evaluator<'_> {
    change(series, ChangeKind::DELTA)
}

fn change(Series { columns, .. }: Series<'_>, kind: ChangeKind) -> Evaluator<'_> {
    let losses = kind.counter.then(|| Losses::of(columns));
    uncut(move |span, _| {
        let previous = span.previous()?;
        let first = previous.unwrap_or_else(|| columns.first(span.lo));
        let from = if previous.is_some() { From::Previous } else { From::First };
        let lost = losses.as_ref().map_or(Some(None), |losses| losses.lost(from, (span.lo, span.hi)))?;
        let change = columns.last_values[span.hi - 1] - first.value;
        let per_second = if kind.per_second { seconds(span.end.saturating_sub(span.start)) } else { 1.0 };
        Some(lost.map_or(change, |lost| change + lost) / per_second)
    })
}

/// `changes`
pub(super) fn changes(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    let mut changes = Changes::default();
    uncut(move |span, _| {
        let is_border = span.previous()?.is_some() && Changes::is_border(columns, span.lo);
        Some((changes.inside(span) + u64::from(is_border)) as f64)
    })
}

/// `resets`
pub(super) fn resets(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    let losses = Losses::of(columns);
    uncut(move |span, _| {
        let from = if span.previous()?.is_some() { From::Previous } else { From::First };
        counted(&losses, from, span)
    })
}
