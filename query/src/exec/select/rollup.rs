//! Instant selectors over buckets: the newest sample at each step, from the bucket that ends there.
//!
//! At the end of a bucket, the newest entry up to that time is the last one of that bucket, or of an earlier one if that
//! has none. If it is a stale marker, there is no value, and a bucket with nothing but a marker says so too. Inside
//! a bucket, the newest entry is known only if no sample or marker of the bucket is on the other side.

use barograph_engine::model::TimeRange;
use barograph_engine::rollup::{BucketColumns, Edge};

use super::reading::Access;
use super::{covering_range, infer_hints, newest};
use crate::accuracy::Notes;
use crate::error::QueryError;
use crate::exec::Context;
use crate::functions::arguments::SampleField;
use crate::functions::window::shown_seconds;
use crate::plan::Selection;
use crate::plan::tier::Looks;
use crate::series::{ABSENT, Points};
use crate::source::{Columns, SeriesRef};
use crate::steps::{Steps, ms_to_ns};
use crate::syntax::ast::Edges;
use crate::tiers::cut::Cut;
use crate::tiers::{Bounded, margin};

/// The width of the buckets that answer a selector, if there is a tier that is worth reading.
pub(crate) fn width(ctx: &Context<'_>, selection: &Selection, steps: Steps) -> Option<i64> {
    if steps.count == 0 || selection.edges == Edges::Smoothed {
        return None;
    }
    let looks = Looks { steps, shift: selection.shift, range_ms: ctx.lookback_ms, newest: true };
    ctx.tiers.choose(&looks)
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
    let mut columns = Columns::ENDS;
    if field == SampleField::StartTime {
        columns = columns.and(Columns::COUNTER);
    }
    if ctx.tiers.must_estimate(range.start) {
        columns = columns.and(Columns::EXTREMES).and(Columns::BOUNDS);
    }
    let Some(buckets) = access.buckets(series, width, range, columns)? else {
        return from_samples(access, steps);
    };
    buckets.retain_from(0, |buckets, row| !buckets.is_vacant(row));
    let buckets = &*buckets;
    let mut made = Points::absent(steps.count);
    let (mut unknown, mut found) = (Vec::new(), 0u64);
    let lookback = ms_to_ns(ctx.lookback_ms);
    let (mut next, mut notes) = (0, Notes::of(width));
    let mut pace = ctx.budget.pace();
    for step in 0..steps.count {
        pace.work(1)?;
        let time = steps.reference_ns(step, selection.shift);
        next += buckets.ends[next..].iter().take_while(|end| end.saturating_sub(width) < time).count();
        match newest_edge(buckets, next, time) {
            Newest::None => {}
            Newest::Known(edge) if edge.time <= time.saturating_sub(lookback) => {}
            Newest::Known(edge) => {
                made.floats[step] = shown(&edge, field);
                found += 1;
                ctx.budget.count_step(steps.at(step), 1);
            }
            Newest::Unknown if ctx.tiers.must_estimate(time.saturating_sub(lookback)) => {
                if let Some(found) = estimated(buckets, next, time, lookback, field) {
                    notes.add(found.value, found.error(), found.may_be_absent);
                    made.floats[step] = found.value;
                }
            }
            Newest::Unknown => unknown.push(step),
        }
    }
    ctx.accuracy.join(&notes);
    ctx.budget.count_read(found);
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
            let earliest = time.saturating_sub(cut.longest_gap()).saturating_add(1);
            Bounded::middle((shown_seconds(earliest.max(current.first.time)), shown_seconds(time)))
        }
        (SampleField::Value, Some(cut)) if cut.is_plain() => {
            let slack = margin(current.min.abs().max(current.max.abs()));
            Bounded::new(cut.on_line(time), cut.edge()).widened(slack)
        }
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
    Unknown,
}

/// The newest sample of a bucket, if it is its newest entry.
fn newest_of(buckets: &BucketColumns, row: usize) -> Option<Edge> {
    (buckets.counts[row] > 0 && !buckets.has_ended(row)).then(|| buckets.last(row))
}

/// The newest entry up to `time` of the first `rows` buckets, which begin before it.
fn newest_edge(buckets: &BucketColumns, rows: usize, time: i64) -> Newest {
    let known = |edge: Option<Edge>| edge.map_or(Newest::None, Newest::Known);
    let Some(row) = rows.checked_sub(1) else { return Newest::None };
    if buckets.ends[row] <= time {
        known(newest_of(buckets, row))
    } else if buckets.markers.at(row) > 0 {
        Newest::Unknown
    } else if buckets.last_times[row] <= time {
        Newest::Known(buckets.last(row))
    } else if buckets.first_times[row] > time {
        known(row.checked_sub(1).and_then(|earlier| newest_of(buckets, earlier)))
    } else {
        Newest::Unknown
    }
}
