//! Change over a window: counters, differences.

use barograph_engine::rollup::counter::{is_change, is_reset};
use barograph_engine::rollup::{BucketColumns, Edge};

use super::losses::{From, Losses};
use super::{Answer, Evaluator, Series, Span, uncut};
use crate::functions::window::conditional_count::SlidingSum;
use crate::functions::window::counter::{ChangeKind, Observed, change_of};
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
    let mut counts = SlidingSum::default();
    Box::new(move |span, _| {
        if span.is_cut() {
            return Answer::Unknown;
        }
        let lost = losses.as_ref().map_or(Some(None), |losses| losses.lost(From::First, (span.lo, span.hi)));
        let Some(lost) = lost else { return Answer::Unknown };
        let count = counts.advance_over(span.rows(), &columns.counts);
        let (first, last) = (columns.first(span.lo), columns.last(span.hi - 1));
        Answer::of(change_of(kind, (span.start, span.end), &Observed { first, last, count, lost }))
    })
}

/// `increase_pure`
pub(super) fn growth(series: Series<'_>) -> Evaluator<'_> {
    grown(series, |_| 1.0)
}

/// `rate_pure`
pub(super) fn growth_rate(series: Series<'_>) -> Evaluator<'_> {
    grown(series, |span| seconds(span.end.saturating_sub(span.start)))
}

fn grown<'c>(Series { columns, .. }: Series<'c>, divisor: fn(&Span<'_>) -> f64) -> Evaluator<'c> {
    let losses = Losses::of(columns);
    uncut(move |span, _| {
        let before = span.previous()?;
        let from = if before.is_some() { From::Previous } else { From::First };
        let lost = losses.lost(from, (span.lo, span.hi))?;
        let first = columns.first(span.lo);
        let began_inside = before.is_none() && (first.start == 0 || first.start > span.start);
        let base = if began_inside { 0.0 } else { before.unwrap_or(first).value };
        let grown = columns.last_values[span.hi - 1] - base;
        Some(lost.map_or(grown, |lost| grown + lost) / divisor(span))
    })
}

/// Counts changes of the value.
#[derive(Default)]
pub(super) struct Changes(SlidingSum, SlidingSum);

impl Changes {
    /// Whether the value changes from the bucket before a row to that row.
    pub fn is_border(columns: &BucketColumns, row: usize) -> bool {
        is_change(columns.last_values[row - 1], columns.first_values[row])
    }

    /// The changes inside of the buckets of a window and between them.
    pub fn inside(&mut self, span: &Span<'_>) -> u64 {
        let Changes(inside, borders) = self;
        let columns = span.columns;
        let borders =
            borders.advance(span.lo + 1..span.hi, 0.0, |row| Changes::is_border(columns, row).into());
        if columns.changes.is_usual() {
            return borders;
        }
        borders + inside.advance(span.rows(), 0.0, |row| columns.changes.at(row))
    }
}

/// `changes`
pub(super) fn changes(_: Series<'_>) -> Evaluator<'_> {
    let mut changes = Changes::default();
    uncut(move |span, _| Some(changes.inside(span) as f64))
}

/// `resets`
pub(super) fn resets(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    let losses = Losses::of(columns);
    uncut(move |span, _| counted(&losses, From::First, span))
}

/// The number of resets.
pub(super) fn counted(losses: &Losses, from: From, span: &Span<'_>) -> Option<f64> {
    Some(losses.number(from, (span.lo, span.hi)) as f64)
}

/// The last two samples of a window.
enum Pair {
    /// There are not two.
    None,
    /// Both are known.
    Known(Edge, Edge),
    /// They have this value and follow each other without a reset.
    Equal(f64),
    Unknown,
}

fn last_pair(span: &Span<'_>) -> Pair {
    let Span { columns, lo, hi, .. } = *span;
    if span.is_cut() {
        return Pair::Unknown;
    }
    let newest = hi - 1;
    let last = columns.last(newest);
    match columns.counts[newest] {
        1 if newest == lo => return Pair::None,
        1 => return Pair::Known(columns.last(newest - 1), last),
        2 => return Pair::Known(columns.first(newest), last),
        _ => {}
    }
    // Zeros of both signs are no change, but their difference has a sign.
    let is_negative_zero = last.value == 0.0 && last.value.is_sign_negative();
    if columns.changes.at(newest) == 0 && columns.resets.at(newest) == 0 && !is_negative_zero {
        return Pair::Equal(last.value);
    }
    Pair::Unknown
}

/// A value minus itself.
fn difference_of_equal(value: f64) -> f64 {
    if value.is_finite() { 0.0 } else { f64::NAN }
}

/// `idelta`
pub(super) fn instant_delta(_: Series<'_>) -> Evaluator<'_> {
    Box::new(|span, _| match last_pair(span) {
        Pair::None => Answer::Absent,
        Pair::Known(before, last) => Answer::Exact(last.value - before.value),
        Pair::Equal(value) => Answer::Exact(difference_of_equal(value)),
        Pair::Unknown => Answer::Unknown,
    })
}

/// `irate`
pub(super) fn instant_rate(_: Series<'_>) -> Evaluator<'_> {
    Box::new(|span, _| match last_pair(span) {
        Pair::None => Answer::Absent,
        Pair::Known(before, last) => {
            let raw = if is_reset(&before, &last) { last.value } else { last.value - before.value };
            Answer::Exact(raw / seconds(last.time - before.time))
        }
        // Whatever the distance is.
        Pair::Equal(value) => Answer::Exact(difference_of_equal(value)),
        Pair::Unknown => Answer::Unknown,
    })
}
