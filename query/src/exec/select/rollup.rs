//! Instant selectors over buckets: the newest sample at each step, from the bucket that ends there.
//!
//! At the end of a bucket, the newest entry up to that time is the last one of that bucket, or of an earlier one if that
//! has none. If it is a stale marker, there is no value, and a bucket with nothing but a marker says so too. Inside
//! a bucket, the newest entry is known only if no sample or marker of the bucket is on the other side.

use std::sync::Arc;

use barograph_engine::model::TimeRange;
use barograph_engine::rollup::{BucketColumns, Edge, NativeEdge};

use super::reading::Access;
use super::{covering_range, infer_hints, newest};
use crate::accuracy::Notes;
use crate::error::QueryError;
use crate::exec::Context;
use crate::functions::arguments::SampleField;
use crate::functions::buckets::natives::NativeRows;
use crate::functions::window::shown_seconds;
use crate::plan::Selection;
use crate::plan::tier::Looks;
use crate::series::{ABSENT, Point, Points};
use crate::source::{Columns, SeriesRef};
use crate::steps::{Steps, ms_to_ns};
use crate::syntax::ast::Edges;
use crate::tiers::Bounded;
use crate::tiers::cut::Cut;

/// The width of the buckets that answer a selector, if there is a tier that is worth reading.
pub(crate) fn width(ctx: &Context<'_>, selection: &Selection, steps: Steps) -> Option<i64> {
    if steps.count == 0 || selection.edges == Edges::Smoothed {
        return None;
    }
    let looks = Looks { steps, shift: selection.shift, range_ms: ctx.lookback_ms, newest: true };
    ctx.width(&looks, &selection.matchers)
}

/// The newest sample of a series at each step, from buckets of this width and from samples where buckets do not tell;
/// `None` if there is none at any step.
pub(crate) fn points(
    ctx: &Context<'_>,
    access: &mut Access<'_>,
    series: &SeriesRef,
    selection: &Selection,
    steps: Steps,
    field: SampleField,
    width: Option<i64>,
) -> Result<Option<Points>, QueryError> {
    let from_samples = |access: &mut Access<'_>, steps: Steps| {
        let samples = access.samples(series, covering_range(ctx, selection, steps))?;
        if selection.infer_hints {
            infer_hints(samples);
        }
        newest(ctx, samples, selection, steps, field)
    };
    let Some(width) = width else { return from_samples(access, steps) };
    let range: TimeRange = covering_range(ctx, selection, steps);
    let estimates = ctx.tiers.must_estimate(range.start);
    let buckets = access.buckets(series, width, range, wanted(field, estimates))?;
    let Some(buckets) = buckets else {
        return if estimates { Err(refused(UNDESCRIBED)) } else { from_samples(access, steps) };
    };
    buckets.retain_from(0, |buckets, row| !buckets.is_vacant(row));
    let natives = NativeRows::of(buckets, selection.infer_hints);
    let (mut made, unknown) =
        Instants { ctx, selection, steps, field, width }.of(buckets, natives.as_ref())?;
    for run in unknown.chunk_by(|a, b| a + 1 == *b) {
        let part = Steps { start_ms: steps.at(run[0]), count: run.len(), ..steps };
        if let Some(part) = from_samples(access, part)? {
            for (at, step) in run.iter().enumerate() {
                made.set(*step, part.get(at));
            }
        }
    }
    Ok(Some(made).filter(Points::any))
}

/// The columns that are read.
fn wanted(field: SampleField, estimates: bool) -> Columns {
    let mut columns = Columns::ENDS.and(Columns::HISTOGRAMS).and(Columns::HINTS);
    if field == SampleField::StartTime {
        columns = columns.and(Columns::COUNTER);
    }
    if estimates {
        columns = columns.and(Columns::EXTREMES).and(Columns::BOUNDS);
    }
    columns
}

/// Why a selector has no answer inside a bucket.
const INSIDE: &str =
    "the newest native histogram inside a bucket is not known: query at multiples of the width of buckets";
/// Why a selector has no answer.
const UNDESCRIBED: &str = "a selector needs columns that the buckets of a series do not have";

fn refused(why: &str) -> QueryError {
    QueryError::Execution(format!("{why}; the samples are gone or were not asked for"))
}

/// The steps at which the newest sample of a series is looked for.
struct Instants<'i> {
    ctx: &'i Context<'i>,
    selection: &'i Selection,
    steps: Steps,
    field: SampleField,
    width: i64,
}

impl Instants<'_> {
    /// The values that buckets tell, and the steps that only samples can answer.
    fn of(
        &self,
        buckets: &BucketColumns,
        natives: Option<&NativeRows>,
    ) -> Result<(Points, Vec<usize>), QueryError> {
        let Instants { ctx, steps, field, width, .. } = *self;
        let mut made = Points::absent(steps.count);
        let (mut unknown, mut found) = (Vec::new(), 0u64);
        let lookback = ms_to_ns(ctx.lookback_ms);
        let (mut next, mut notes) = (0, Notes::of(width));
        let mut pace = ctx.budget.pace();
        for step in 0..steps.count {
            pace.work(1)?;
            let time = steps.reference_ns(step, self.selection.shift);
            let oldest = time.saturating_sub(lookback);
            next += buckets.ends[next..].iter().take_while(|end| end.saturating_sub(width) < time).count();
            let point = match newest_edge(buckets, next, time) {
                Newest::None => None,
                Newest::Known(edge) => (edge.time > oldest).then(|| Point::Float(shown(&edge, field))),
                Newest::Histogram(row) => {
                    let edge = natives.and_then(|natives| natives.last_until(buckets.ends[row]));
                    edge.filter(|edge| edge.time > oldest).map(|edge| shown_native(edge, field))
                }
                Newest::Unknown if !ctx.tiers.must_estimate(oldest) => {
                    unknown.push(step);
                    None
                }
                Newest::Unknown if may_be_histogram(buckets, next) => return Err(refused(INSIDE)),
                Newest::Unknown => {
                    if let Some(found) = estimated(buckets, next, time, lookback, field) {
                        notes.add(found.value, found.error(), found.may_be_absent);
                        made.floats[step] = found.value;
                    }
                    None
                }
            };
            if point.is_some() {
                made.set(step, point);
                found += 1;
                ctx.budget.count_step(steps.at(step), 1);
            }
        }
        ctx.accuracy.join(&notes);
        ctx.budget.count_read(found);
        Ok((made, unknown))
    }
}

fn shown_native(edge: &NativeEdge, field: SampleField) -> Point {
    let NativeEdge { time, start, .. } = *edge;
    match field {
        SampleField::Value => Point::Histogram(Arc::clone(&edge.histogram)),
        _ => Point::Float(shown(&Edge { time, start, value: 0.0 }, field)),
    }
}

/// The newest sample up to `time`, which is inside the last of the first `rows` buckets; `None` if there is surely none.
fn estimated(
    buckets: &BucketColumns,
    rows: usize,
    time: i64,
    lookback: i64,
    field: SampleField,
) -> Option<Bounded> {
    let current = rows.checked_sub(1)?;
    let oldest = time.saturating_sub(lookback);
    let previous = current.checked_sub(1).and_then(|row| newest_of(buckets, row));
    let previous = previous.filter(|last| last.time > oldest);
    let current = &buckets.bucket(current);
    if current.count == 0 || current.first.time > time {
        // A marker before the first sample may have ended the series.
        return previous.map(|edge| {
            let value = shown(&edge, field);
            Bounded::new(value, (value, value)).or_absent(true)
        });
    }
    // All samples are before `time` if only a marker is doubtful.
    let cut = (current.last.time > time).then(|| Cut::right(current, time));
    let may_be_absent =
        current.markers > 0 || cut.map_or(current.last.time <= oldest, |cut| cut.longest_gap() > lookback);
    let found = match (field, cut) {
        (SampleField::StartTime, _) => Bounded {
            lo: f64::NEG_INFINITY,
            hi: f64::INFINITY,
            ..Bounded::new(shown(&current.first, field), (0.0, 0.0))
        },
        (_, None) => {
            let value = shown(&current.last, field);
            Bounded::new(value, (value, value))
        }
        (SampleField::Time, Some(cut)) => {
            let (earliest, latest) = cut.last_time((i64::MIN, time));
            Bounded::middle((shown_seconds(earliest), shown_seconds(latest.max(earliest))))
        }
        (SampleField::Value, Some(cut)) if cut.is_plain() => Bounded::central(cut.on_line(time), cut.edge()),
        (SampleField::Value, Some(cut)) => {
            let value = cut.on_line(time);
            Bounded { value, lo: f64::NEG_INFINITY, hi: f64::INFINITY, may_be_absent: false }
        }
    };
    Some(found.or_absent(may_be_absent))
}

fn shown(edge: &Edge, field: SampleField) -> f64 {
    match field {
        SampleField::Value => edge.value,
        SampleField::Time => shown_seconds(edge.time),
        SampleField::StartTime if edge.start == 0 => ABSENT,
        SampleField::StartTime => shown_seconds(edge.start),
    }
}

/// The newest entry up to a time.
enum Newest {
    /// There is none, or it is a stale marker.
    None,
    Known(Edge),
    /// The last native histogram of this bucket.
    Histogram(usize),
    Unknown,
}

/// The newest float of a bucket, if it is its newest entry.
fn newest_of(buckets: &BucketColumns, row: usize) -> Option<Edge> {
    let has_histogram = ends_with_histogram(buckets, row);
    (buckets.counts[row] > 0 && !buckets.has_ended(row) && !has_histogram).then(|| buckets.last(row))
}

/// Whether the newest entry of a bucket is a native histogram.
fn ends_with_histogram(buckets: &BucketColumns, row: usize) -> bool {
    buckets.natives.get(row).as_ref().is_some_and(|natives| !natives.precedes)
}

/// Whether the newest entry up to a time in the last of the first `rows` buckets may be a native histogram.
fn may_be_histogram(buckets: &BucketColumns, rows: usize) -> bool {
    let last = rows.checked_sub(1);
    last.is_some_and(|row| buckets.has_histograms(row))
        || last.and_then(|row| row.checked_sub(1)).is_some_and(|row| ends_with_histogram(buckets, row))
}

/// The times of the first and the last sample of a bucket, of either kind.
fn times_of(buckets: &BucketColumns, row: usize) -> (i64, i64) {
    let floats = (buckets.counts[row] > 0).then(|| (buckets.first_times[row], buckets.last_times[row]));
    let natives = buckets.natives.get(row).as_ref().map(|natives| (natives.first.time, natives.last.time));
    match (floats, natives) {
        (Some(a), Some(b)) => (a.0.min(b.0), a.1.max(b.1)),
        (one, other) => one.or(other).unwrap_or((i64::MAX, i64::MAX)),
    }
}

/// The newest entry up to `time` of the first `rows` buckets, which begin before it.
fn newest_edge(buckets: &BucketColumns, rows: usize, time: i64) -> Newest {
    let known = |row: usize| match newest_of(buckets, row) {
        _ if ends_with_histogram(buckets, row) => Newest::Histogram(row),
        edge => edge.map_or(Newest::None, Newest::Known),
    };
    let Some(row) = rows.checked_sub(1) else { return Newest::None };
    if buckets.ends[row] <= time {
        return known(row);
    } else if buckets.markers.at(row) > 0 {
        return Newest::Unknown;
    }
    let (first, last) = times_of(buckets, row);
    if last <= time {
        known(row)
    } else if first > time {
        row.checked_sub(1).map_or(Newest::None, known)
    } else {
        Newest::Unknown
    }
}
