//! Columns of integers: times, start timestamps and gaps.
//!
//! Times of regular samples follow from the count and the interval. Times that follow a schedule with jitter have a
//! small distance from the bounds of their bucket, and the writer chooses.
//!
//! A gap that is rounded to 32 steps an octave is stored as the number of the step, times 2; any other gap as itself,
//! times 2, plus 1.

use super::predict::{Rows, count_several};
use super::section::{Form, Section};
use crate::codec::Fault;
use crate::codec::varint::{self, unzigzag, zigzag};
use crate::rollup::{BucketColumns, Gaps};

/// The interval of samples: that of the first bucket that shows one.
fn interval(rows: Rows<'_>, width: i64) -> i64 {
    rows.several().next().map_or(width, |i| mean_gap(rows, i))
}

/// The mean distance of samples, rounded.
fn mean_gap(rows: Rows<'_>, i: usize) -> i64 {
    let span = rows.last_times()[i].wrapping_sub(rows.first_times()[i]);
    let gaps = rows.counts()[i].wrapping_sub(1) as i64;
    let half = if span < 0 { 0 } else { gaps / 2 };
    span.saturating_add(half).checked_div(gaps).unwrap_or(0)
}

fn with_interval(interval: i64, ints: Vec<i64>) -> Form {
    let mut prefix = Vec::new();
    varint::write(&mut prefix, zigzag(interval));
    Form { prefix, ints }
}

/// Reads what [`with_interval`] wrote.
fn interval_of(section: &Section<'_>) -> Result<(i64, usize), Fault> {
    let mut at = 0;
    Ok((unzigzag(varint::read(section.bytes, &mut at)?), at))
}

/// What `interval` says about the time of a bucket's last sample, from the previous bucket's.
fn last_after(before: i64, count: u64, interval: i64) -> i64 {
    before.wrapping_add((count as i64).wrapping_mul(interval))
}

pub(super) fn last_times(rows: Rows<'_>, width: i64) -> [Form; 2] {
    let interval = interval(rows, width);
    let mut before = None;
    let times = || rows.ends().iter().zip(rows.last_times());
    let from_previous = times().zip(rows.counts()).map(|((end, &time), &count)| match before.replace(time) {
        Some(before) => time.wrapping_sub(last_after(before, count, interval)),
        None => end.wrapping_sub(time),
    });
    let from_previous: Vec<i64> = from_previous.collect();
    let from_end: Vec<i64> = times().map(|(end, time)| end.wrapping_sub(*time)).collect();
    [Form::from(from_end), with_interval(interval, from_previous)]
}

/// Appends the times of the last samples of the rows from `start` on.
pub(super) fn read_last_times(
    section: Option<&Section<'_>>,
    start: usize,
    ints: &mut Vec<i64>,
    out: &mut BucketColumns,
) -> Result<(), Fault> {
    let (ends, counts) = (&out.ends[start..], &out.counts[start..]);
    match section {
        None => out.last_times.extend_from_slice(ends),
        Some(section) if section.form == 0 => {
            section.ints(0, ends.len(), ints)?;
            out.last_times.extend(ends.iter().zip(ints).map(|(end, int)| end.wrapping_sub(*int)));
        }
        Some(section) if section.form == 1 => {
            let (interval, at) = interval_of(section)?;
            section.ints(at, ends.len(), ints)?;
            let mut before = None;
            out.last_times.extend(ends.iter().zip(counts).zip(ints).map(|((end, &count), &mut int)| {
                let time = match before {
                    Some(before) => last_after(before, count, interval).wrapping_add(int),
                    None => end.wrapping_sub(int),
                };
                before = Some(time);
                time
            }));
        }
        Some(_) => return Err(Fault::Field),
    }
    Ok(())
}

/// How long the samples of a bucket last at an interval.
fn lasting(count: u64, interval: i64) -> i64 {
    (count as i64).wrapping_sub(1).wrapping_mul(interval)
}

pub(super) fn first_times(rows: Rows<'_>, width: i64) -> [Form; 3] {
    let interval = interval(rows, width);
    let (ends, first, last) = (rows.ends(), rows.first_times(), rows.last_times());
    let from_start = rows.several().map(|i| first[i].wrapping_sub(ends[i].wrapping_sub(width)));
    let from_previous = rows.several().map(|i| {
        let origin = match i.checked_sub(1) {
            Some(before) => last[before].wrapping_add(interval),
            None => ends[i].wrapping_sub(width),
        };
        first[i].wrapping_sub(origin)
    });
    let spans = rows
        .several()
        .map(|i| last[i].wrapping_sub(first[i]).wrapping_sub(lasting(rows.counts()[i], interval)));
    [
        Form::from(from_start.collect::<Vec<_>>()),
        with_interval(interval, from_previous.collect()),
        with_interval(interval, spans.collect()),
    ]
}

/// Appends the times of the first samples of the rows from `start` on, whose last ones are there.
pub(super) fn read_first_times(
    section: Option<&Section<'_>>,
    width: i64,
    start: usize,
    ints: &mut Vec<i64>,
    out: &mut BucketColumns,
) -> Result<(), Fault> {
    let (ends, counts, last) = (&out.ends[start..], &out.counts[start..], &out.last_times[start..]);
    let several = count_several(counts);
    let (mut form, mut interval) = (0, 0);
    match section {
        None => {
            ints.clear();
            ints.resize(several, 0);
        }
        Some(section) => {
            form = section.form;
            let mut at = 0;
            if form > 0 {
                (interval, at) = interval_of(section)?;
            }
            section.ints(at, several, ints)?;
        }
    }
    if several == counts.len() {
        return extend_first_times(form, (width, interval), ints, start, out);
    }
    let rows = || ends.iter().zip(counts).zip(last);
    let mut ints = ints.iter().copied();
    let mut next = |count: u64, last: i64, origin: &dyn Fn(i64) -> i64| match count {
        1 => last,
        _ => origin(ints.next().unwrap_or(0)),
    };
    match form {
        0 => out.first_times.extend(
            rows().map(|((end, &count), &last)| next(count, last, &|int| from_start(*end, width, int))),
        ),
        1 => {
            let mut before = None;
            out.first_times.extend(rows().map(|((end, &count), &last)| {
                let origin = before
                    .replace(last)
                    .map_or(end.wrapping_sub(width), |before| interval.wrapping_add(before));
                next(count, last, &|int| origin.wrapping_add(int))
            }));
        }
        2 => out.first_times.extend(rows().map(|((_, &count), &last)| {
            next(count, last, &|int| last.wrapping_sub(lasting(count, interval)).wrapping_sub(int))
        })),
        _ => return Err(Fault::Field),
    }
    Ok(())
}

/// Appends the times of the first samples of rows which all have several, from the integers of a form.
fn extend_first_times(
    form: u8,
    (width, interval): (i64, i64),
    ints: &[i64],
    start: usize,
    out: &mut BucketColumns,
) -> Result<(), Fault> {
    let (ends, counts, last) = (&out.ends[start..], &out.counts[start..], &out.last_times[start..]);
    let rows = ends.iter().zip(ints);
    let mut from_starts = rows.map(|(end, int)| from_start(*end, width, *int));
    match form {
        0 => out.first_times.extend(from_starts),
        1 => {
            out.first_times.extend(from_starts.next());
            let others = last.iter().zip(ints.iter().skip(1));
            let others = others.map(|(before, int)| interval.wrapping_add(*before).wrapping_add(*int));
            out.first_times.extend(others);
        }
        2 => {
            let rows = last.iter().zip(counts).zip(ints);
            out.first_times.extend(
                rows.map(|((last, &count), int)| {
                    last.wrapping_sub(lasting(count, interval)).wrapping_sub(*int)
                }),
            );
        }
        _ => return Err(Fault::Field),
    }
    Ok(())
}

/// A first time that is counted from the start of its bucket.
fn from_start(end: i64, width: i64, int: i64) -> i64 {
    end.wrapping_sub(width).wrapping_add(int)
}

pub(super) fn last_starts(rows: Rows<'_>) -> [Form; 2] {
    let starts: Vec<i64> = (0..rows.len()).map(|i| rows.last_start(i)).collect();
    let own = starts.iter().zip(rows.last_times()).map(|(start, time)| start.wrapping_sub(*time));
    let own = Form::from(own.collect::<Vec<_>>());
    [Form::from(starts), own]
}

/// Appends the start timestamps of the last samples of the rows from `start` on.
pub(super) fn read_last_starts(
    section: Option<&Section<'_>>,
    start: usize,
    ints: &mut Vec<i64>,
    out: &mut BucketColumns,
) -> Result<(), Fault> {
    let Some(section) = section else { return Ok(()) };
    let last = &out.last_times[start..];
    section.ints(0, last.len(), ints)?;
    match section.form {
        0 => out.last_starts.extend(start, ints.iter().copied()),
        1 => out.last_starts.extend(start, ints.iter().zip(last).map(|(int, last)| last.wrapping_add(*int))),
        _ => return Err(Fault::Field),
    }
    Ok(())
}

/// The time from which the first start of row `i` is counted.
fn start_origin(rows: Rows<'_>, i: usize, form: u8) -> i64 {
    let before = i.checked_sub(1).map(|before| (rows.last_times()[before], rows.last_start(before)));
    let (last_time, last_start) = before.unwrap_or((rows.first_times()[i], rows.last_start(i)));
    match form {
        0 => rows.last_start(i),
        1 => last_start,
        2 => rows.first_times()[i],
        _ => last_time,
    }
}

pub(super) fn first_starts(rows: Rows<'_>) -> [Form; 4] {
    [0, 1, 2, 3].map(|form| {
        let from = |i: usize| rows.first_start(i).wrapping_sub(start_origin(rows, i, form));
        Form::from(rows.several().map(from).collect::<Vec<_>>())
    })
}

/// Appends the start timestamps of the first samples of the rows from `start` on; those of the last ones are there.
pub(super) fn read_first_starts(
    section: Option<&Section<'_>>,
    start: usize,
    ints: &mut Vec<i64>,
    out: &mut BucketColumns,
) -> Result<(), Fault> {
    if section.is_none() && out.last_starts.stored().len() <= start {
        return Ok(());
    }
    let rows = Rows::new(out, start);
    let several = rows.count_several();
    let mut form = 0;
    ints.clear();
    match section {
        None => ints.resize(several, 0),
        Some(section) => {
            form = section.form;
            section.ints(0, several, ints)?;
        }
    }
    let mut ints = ints.iter();
    let starts: Vec<i64> = (0..rows.len())
        .map(|i| match rows.counts()[i] {
            1 => rows.last_start(i),
            _ => start_origin(rows, i, form).wrapping_add(ints.next().copied().unwrap_or(0)),
        })
        .collect();
    out.first_starts.extend(start, starts.into_iter());
    Ok(())
}

/// Steps an octave, and the first gap that is rounded.
const STEPS: u64 = 32;

/// A gap as an integer that is small if it is rounded.
fn number(gap: i64) -> i64 {
    let gap = gap as u64;
    let octave = (64u64.wrapping_sub(u64::from(gap.leading_zeros()))).saturating_sub(6);
    let code = if gap >> octave << octave == gap && gap >> 63 == 0 {
        octave.wrapping_mul(STEPS).wrapping_add(gap >> octave) << 1
    } else {
        gap << 1 | 1
    };
    code as i64
}

/// The inverse of [`number`] for gaps that are not negative.
fn gap_of(code: i64) -> i64 {
    let half = code as u64 >> 1;
    if code & 1 == 1 || half < 2 * STEPS {
        return half as i64;
    }
    let octave = half / STEPS - 1;
    let mantissa = half % STEPS + STEPS;
    // Beyond the range only in bytes that no writer made.
    if octave > 57 { i64::MAX } else { (mantissa << octave) as i64 }
}

/// The columns of gaps: whether irregular, the least, the greatest.
pub(super) fn gaps(rows: Rows<'_>) -> [Vec<i64>; 3] {
    let irregular = |i: usize| i64::from(!rows.gaps(i).regular);
    let least = |i: usize| match rows.gaps(i) {
        Gaps { min, regular: true, .. } => min.wrapping_sub(mean_gap(rows, i)),
        Gaps { min, .. } => number(min),
    };
    let greatest = |i: usize| match rows.gaps(i) {
        Gaps { min, max, regular: true } => max.wrapping_sub(min),
        Gaps { min, max, .. } => number(max).wrapping_sub(number(min)),
    };
    let all = 0..rows.len();
    [all.clone().map(irregular).collect(), all.clone().map(least).collect(), all.map(greatest).collect()]
}

/// Appends the gaps of the rows from `start` on from what [`gaps`] returned.
pub(super) fn set_gaps([irregular, least, greatest]: [&[i64]; 3], start: usize, out: &mut BucketColumns) {
    let rows = Rows::new(out, start);
    let of = |(i, ((&irregular, &least), &greatest)): (usize, ((&i64, &i64), &i64))| {
        if irregular == 0 {
            let min = mean_gap(rows, i).wrapping_add(least);
            Gaps { min, max: min.wrapping_add(greatest), regular: true }
        } else {
            let max = gap_of(least.wrapping_add(greatest));
            Gaps { min: gap_of(least), max, regular: false }
        }
    };
    let gaps: Vec<Gaps> = irregular.iter().zip(least).zip(greatest).enumerate().map(of).collect();
    out.gaps.extend(start, gaps.into_iter());
}
