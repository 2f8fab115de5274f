//! `anchored` and `smoothed`: windows whose ends have values even if there is no sample there.
//!
//! `anchored` uses the last sample at or before the left end as the value at that end. `smoothed` interpolates at both
//! ends, and therefore also reads after the right end. Neither extrapolates. Both read at most one lookback beyond the
//! window.

use std::ops::Range;
use std::sync::Arc;

use barograph_engine::model::{Histogram, ResetHint};
use barograph_engine::rollup::counter::is_reset as is_counter_reset;

use super::Edges;
use super::counter::ChangeKind;
use super::float_histogram::{Placed, Sample, count_neighbours};
use super::histogram_change::note_gauges;
use super::resets::Resets;
use super::{Columns, WindowedSeries, seconds};
use crate::annotations::flags::Flags;
use crate::error::QueryError;
use crate::histogram::arithmetic::{joint_hint, plus, scaled};
use crate::histogram::resets::is_reset;
use crate::histogram::{compacted, is_custom};
use crate::series::{Point, Points};

/// The indices of times in `(after, to]`.
fn within(times: &[i64], after: i64, to: i64) -> Range<usize> {
    let lo = times.partition_point(|&t| t <= after);
    lo..times.partition_point(|&t| t <= to).max(lo)
}

/// The samples that determine a window: from the one at or before the left end to the last one inside or, for
/// `smoothed`, to the first one at or after the right end.
#[derive(Debug, Clone, Copy)]
struct Ends {
    first: usize,
    last: usize,
    /// Whether the value at the left end is interpolated between `first` and the next sample.
    left_between: bool,
    /// Whether the value at the right end is interpolated between `last` and the previous sample.
    right_between: bool,
}

impl Ends {
    fn of(times: &[i64], near: Range<usize>, (start, end): (i64, i64), smoothed: bool) -> Option<Ends> {
        if near.is_empty() {
            return None;
        }
        let inside = near.start + times[near.clone()].partition_point(|&t| t <= start);
        let first = inside.saturating_sub(1).max(near.start);
        let after = near.start + times[near.clone()].partition_point(|&t| t <= end);
        let mut last = after.checked_sub(1).filter(|&i| i >= near.start);
        if smoothed && last.is_none_or(|i| times[i] < end) && after < near.end {
            last = Some(after);
        }
        let last = last?;
        if times[last] <= start || times[first] > end {
            return None;
        }
        let left_between = smoothed && times[first] < start;
        let right_between = smoothed && times[last] > end && last > near.start;
        Some(Ends { first, last, left_between, right_between })
    }

    /// The pairs of neighbours, given by the later one, between which a reset counts. The value at the left end already
    /// accounts for the pair around it.
    fn pairs(&self) -> Range<usize> {
        self.first + 1 + usize::from(self.left_between)..self.last + 1
    }
}

/// The position of `at` between two times, from 0 to 1.
fn share(before: i64, after: i64, at: i64) -> f64 {
    seconds(at - before) / seconds(after - before)
}

/// `rate`, `increase`, `delta`.
pub(crate) fn change(series: &mut WindowedSeries<'_>, kind: ChangeKind) -> Result<Points, QueryError> {
    let WindowedSeries { call, columns, ref mut flags, .. } = *series;
    let mut points = Points::absent(call.windows.steps.count);
    let smoothed = call.edges == Edges::Smoothed;
    let (lookback, counter) = (call.lookback_ns(), kind.counter);
    let mut resets = counter.then(|| Resets::of(columns));
    let mut pace = call.budget.pace();
    for step in 0..call.windows.steps.count {
        let (start, end) = call.windows.bounds(step);
        let to = if smoothed { end.saturating_add(lookback) } else { end };
        let near = within(&columns.times, start.saturating_sub(lookback), to);
        let near_histograms = within(&columns.histogram_times, start.saturating_sub(lookback), to);
        pace.work(1)?;
        pace.histograms(near_histograms.len())?;
        let read = (near.len() + near_histograms.len()) as u64;
        call.budget.count_read(read);
        call.budget.count_step(call.windows.steps.at(step), read);
        if !near.is_empty() && !near_histograms.is_empty() {
            flags.raise(Flags::MIXED);
            continue;
        }
        let per_second = if kind.per_second { seconds(end - start) } else { 1.0 };
        if let Some(ends) = Ends::of(&columns.times, near, (start, end), smoothed) {
            if counter {
                flags.raise(Flags::FLOAT_RESULT);
            }
            let lost = resets.as_mut().and_then(|resets| {
                let pairs = ends.pairs();
                resets.lost(pairs.start - 1, pairs.end)
            });
            points.floats[step] = floats(columns, ends, (start, end), counter, lost) / per_second;
        } else if let Some(ends) = Ends::of(&columns.histogram_times, near_histograms, (start, end), smoothed)
        {
            let h = histograms(columns, ends, (start, end), counter, flags);
            let result = h.map(|h| {
                let mut h = compacted(scaled(&h, 1.0 / per_second));
                h.reset_hint = ResetHint::Gauge;
                Point::Histogram(Arc::new(h))
            });
            points.set(step, result);
        }
    }
    Ok(points)
}

fn floats(columns: &Columns, ends: Ends, (start, end): (i64, i64), counter: bool, lost: Option<f64>) -> f64 {
    let (t, v) = (&columns.times, &columns.values);
    let is_reset_before = |i: usize| counter && is_counter_reset(&columns.edge(i - 1), &columns.edge(i));
    // When a counter is reset, the earlier value counts as zero.
    let between = |i: usize, at: i64| {
        let before = if is_reset_before(i + 1) { 0.0 } else { v[i] };
        before + (v[i + 1] - before) * share(t[i], t[i + 1], at)
    };
    let left = if ends.left_between { between(ends.first, start) } else { v[ends.first] };
    let right = if ends.right_between { between(ends.last - 1, end) } else { v[ends.last] };
    let change = right - left;
    lost.map_or(change, |lost| change + lost)
}

fn histograms(
    columns: &Columns,
    ends: Ends,
    (start, end): (i64, i64),
    counter: bool,
    flags: &mut Flags,
) -> Option<Histogram> {
    let (t, h) = (&columns.histogram_times, &columns.histograms);
    let used = &h[ends.first..=ends.last];
    let has_gauges = used.iter().any(|x| x.reset_hint == ResetHint::Gauge);
    note_gauges((&used[0], &used[used.len() - 1]), has_gauges, counter, flags);
    if used.iter().any(|x| is_custom(x) != is_custom(&used[0])) {
        flags.raise(Flags::MIXED_BUCKETS);
        return None;
    }
    let mut between =
        |i: usize, at: i64| interpolate(&h[i], &h[i + 1], share(t[i], t[i + 1], at), counter, flags);
    let left = if ends.left_between { between(ends.first, start)? } else { Histogram::clone(&h[ends.first]) };
    let right =
        if ends.right_between { between(ends.last - 1, end)? } else { Histogram::clone(&h[ends.last]) };
    let (mut result, reconciled) = plus(&right, &left, -1.0)?;
    if reconciled {
        flags.raise(Flags::RECONCILED_SUB);
    }
    if counter {
        for i in ends.pairs().filter(|&i| is_reset(&h[i], &h[i - 1])) {
            let (sum, reconciled) = plus(&result, &h[i - 1], 1.0)?;
            result = sum;
            if reconciled {
                flags.raise(Flags::RECONCILED_ADD);
            }
        }
    }
    Some(result)
}

/// Interpolates between two histograms. After a reset, a counter grows from zero. There is no value between histograms
/// with exponential and with custom buckets.
fn interpolate(
    before: &Histogram,
    after: &Histogram,
    share: f64,
    counter: bool,
    flags: &mut Flags,
) -> Option<Histogram> {
    if is_custom(before) != is_custom(after) {
        flags.raise(Flags::MIXED_BUCKETS);
        return None;
    }
    if counter && is_reset(after, before) {
        return Some(scaled(after, share));
    }
    let (difference, reconciled) = plus(after, before, -1.0)?;
    if reconciled {
        flags.raise(Flags::RECONCILED_SUB);
    }
    let (mut result, reconciled) = plus(&scaled(&difference, share), before, 1.0)?;
    if reconciled {
        flags.raise(Flags::RECONCILED_ADD);
    }
    result.reset_hint = joint_hint(after.reset_hint, before.reset_hint).0;
    Some(result)
}

/// `resets` and `changes` of anchored windows: the last sample at or before the left end counts as if it were at that
/// end.
pub(crate) fn count(
    series: &WindowedSeries<'_>,
    differ: fn(&Columns, &Placed<'_>, &Placed<'_>) -> bool,
) -> Result<Points, QueryError> {
    let WindowedSeries { call, columns, .. } = *series;
    let mut points = Points::absent(call.windows.steps.count);
    let lookback = call.lookback_ns();
    let mut pace = call.budget.pace();
    for step in 0..call.windows.steps.count {
        let (start, end) = call.windows.bounds(step);
        let from = start.saturating_sub(lookback);
        let floats = within(&columns.times, from, end);
        let others = within(&columns.histogram_times, from, end);
        pace.work(1 + floats.len())?;
        pace.histograms(others.len())?;
        let mut samples: Vec<Placed<'_>> = Vec::with_capacity(floats.len() + others.len());
        samples.extend(floats.map(|i| (columns.times[i], i, Sample::Float(columns.values[i]))));
        samples.extend(
            others.map(|i| (columns.histogram_times[i], i, Sample::Histogram(&columns.histograms[i]))),
        );
        samples.sort_by_key(|s| s.0);
        let inside = samples.partition_point(|s| s.0 <= start);
        if inside == samples.len() {
            continue;
        }
        let used = &samples[inside.saturating_sub(1)..];
        points.floats[step] = count_neighbours(used, |a, b| differ(columns, a, b));
    }
    Ok(points)
}

/// The value of a smoothed instant selector at a time: interpolated between the neighbours within the lookback; the
/// earlier one if there is no later one; none without an earlier one.
pub(crate) fn smoothed_value(columns: &Columns, at: i64, lookback: i64, flags: &mut Flags) -> Option<Point> {
    let (from, to) = (at.saturating_sub(lookback), at.saturating_add(lookback));
    let floats = within(&columns.times, from, to);
    let others = within(&columns.histogram_times, from, to);
    if !floats.is_empty() && !others.is_empty() {
        flags.raise(Flags::MIXED);
        return None;
    }
    value_at(columns, floats, others, at, flags)
}

fn value_at(
    columns: &Columns,
    floats: Range<usize>,
    others: Range<usize>,
    at: i64,
    flags: &mut Flags,
) -> Option<Point> {
    if !floats.is_empty() {
        let (t, v) = (&columns.times, &columns.values);
        let (i, next) = neighbours(t, floats, at)?;
        return Some(Point::Float(match next {
            Some(n) => v[i] + (v[n] - v[i]) * share(t[i], t[n], at),
            None => v[i],
        }));
    }
    let (t, h) = (&columns.histogram_times, &columns.histograms);
    let (i, next) = neighbours(t, others, at)?;
    Some(Point::Histogram(match next {
        Some(n) => {
            // It is a counter, unless both histograms are marked as gauges.
            let counter = [i, n].iter().any(|&i| h[i].reset_hint != ResetHint::Gauge);
            Arc::new(interpolate(&h[i], &h[n], share(t[i], t[n], at), counter, flags)?)
        }
        None if t[i] == at => Arc::clone(&h[i]),
        // A reset hint refers to the previous sample and does not hold at a different time.
        None => Arc::new(Histogram { reset_hint: ResetHint::Unknown, ..Histogram::clone(&h[i]) }),
    }))
}

/// The last sample at or before `at`, and the next one, unless the last one is exactly at `at`.
fn neighbours(times: &[i64], near: Range<usize>, at: i64) -> Option<(usize, Option<usize>)> {
    let after = near.start + times[near.clone()].partition_point(|&t| t <= at);
    let before = after.checked_sub(1).filter(|&i| i >= near.start)?;
    let next = (times[before] < at && after < near.end).then_some(after);
    Some((before, next))
}
