//! Columns of integers: times, start timestamps and gaps.
//!
//! Times of regular samples follow from the count and the interval. Times that follow a schedule with jitter have a
//! small distance from the bounds of their bucket, and the writer chooses.
//!
//! A gap that is rounded to 32 steps an octave is stored as the number of the step, times 2; any other gap as itself,
//! times 2, plus 1.

use super::predict::{full, several};
use super::section::{Form, Section};
use crate::codec::Fault;
use crate::codec::varint::{self, unzigzag, zigzag};
use crate::rollup::{Bucket, Gaps};

/// The interval of samples: that of the first bucket that shows one.
fn interval(buckets: &[Bucket], width: i64) -> i64 {
    several(buckets).next().map_or(width, |(_, bucket)| mean_gap(bucket))
}

/// The mean distance of samples, rounded.
fn mean_gap(bucket: &Bucket) -> i64 {
    let (span, gaps) =
        (bucket.last.time.wrapping_sub(bucket.first.time), bucket.count.wrapping_sub(1) as i64);
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
fn last_after(before: i64, bucket: &Bucket, interval: i64) -> i64 {
    before.wrapping_add((bucket.count as i64).wrapping_mul(interval))
}

pub(super) fn last_times(buckets: &[Bucket], width: i64) -> [Form; 2] {
    let interval = interval(buckets, width);
    let mut before = None;
    let from_previous = full(buckets).map(|bucket| {
        let time = bucket.last.time;
        match before.replace(time) {
            Some(before) => time.wrapping_sub(last_after(before, bucket, interval)),
            None => bucket.end.wrapping_sub(time),
        }
    });
    let from_end = full(buckets).map(|bucket| bucket.end.wrapping_sub(bucket.last.time));
    [Form::from(from_end.collect::<Vec<_>>()), with_interval(interval, from_previous.collect())]
}

pub(super) fn read_last_times(section: Option<&Section<'_>>, buckets: &mut [Bucket]) -> Result<(), Fault> {
    let count = full(buckets).count();
    let (interval, ints) = match section {
        None => (None, vec![0; count]),
        Some(section) if section.form == 0 => (None, section.ints(0, count)?),
        Some(section) if section.form == 1 => {
            let (interval, at) = interval_of(section)?;
            (Some(interval), section.ints(at, count)?)
        }
        Some(_) => return Err(Fault::Field),
    };
    let mut before: Option<i64> = None;
    for (bucket, int) in buckets.iter_mut().filter(|bucket| bucket.count > 0).zip(ints) {
        bucket.last.time = match (interval, before) {
            (Some(interval), Some(before)) => last_after(before, bucket, interval).wrapping_add(int),
            _ => bucket.end.wrapping_sub(int),
        };
        before = Some(bucket.last.time);
    }
    Ok(())
}

/// The time from which a first time is counted in forms 0 and 1.
fn first_origin(before: Option<i64>, bucket: &Bucket, width: i64, interval: Option<i64>) -> i64 {
    match (before, interval) {
        (Some(before), Some(interval)) => before.wrapping_add(interval),
        _ => bucket.end.wrapping_sub(width),
    }
}

/// How long the samples of a bucket last at an interval.
fn lasting(bucket: &Bucket, interval: i64) -> i64 {
    (bucket.count as i64).wrapping_sub(1).wrapping_mul(interval)
}

pub(super) fn first_times(buckets: &[Bucket], width: i64) -> [Form; 3] {
    let interval = interval(buckets, width);
    let from = |interval: Option<i64>| -> Vec<i64> {
        let from_one = |(before, bucket): (Option<&Bucket>, &Bucket)| {
            let before = before.map(|bucket| bucket.last.time);
            bucket.first.time.wrapping_sub(first_origin(before, bucket, width, interval))
        };
        several(buckets).map(from_one).collect()
    };
    let spans = several(buckets).map(|(_, bucket)| {
        bucket.last.time.wrapping_sub(bucket.first.time).wrapping_sub(lasting(bucket, interval))
    });
    [
        Form::from(from(None)),
        with_interval(interval, from(Some(interval))),
        with_interval(interval, spans.collect()),
    ]
}

pub(super) fn read_first_times(
    section: Option<&Section<'_>>,
    buckets: &mut [Bucket],
    width: i64,
) -> Result<(), Fault> {
    let count = several(buckets).count();
    let (interval, ints) = match section {
        None => (None, vec![0; count]),
        Some(section) if section.form == 0 => (None, section.ints(0, count)?),
        Some(section) => {
            let (interval, at) = interval_of(section)?;
            (Some(interval), section.ints(at, count)?)
        }
    };
    let form = section.map_or(0, |section| section.form);
    let mut ints = ints.into_iter();
    let mut before = None;
    for bucket in buckets.iter_mut().filter(|bucket| bucket.count > 0) {
        let last = bucket.last.time;
        bucket.first.time = match (bucket.count, form) {
            (1, _) => last,
            (_, 0 | 1) => {
                let int = ints.next().unwrap_or(0);
                first_origin(before, bucket, width, interval).wrapping_add(int)
            }
            (_, 2) => {
                let int = ints.next().unwrap_or(0);
                last.wrapping_sub(lasting(bucket, interval.unwrap_or(0))).wrapping_sub(int)
            }
            _ => return Err(Fault::Field),
        };
        before = Some(last);
    }
    Ok(())
}

pub(super) fn last_starts(buckets: &[Bucket]) -> [Form; 2] {
    let own = full(buckets).map(|bucket| bucket.last.start.wrapping_sub(bucket.last.time));
    [
        Form::from(full(buckets).map(|bucket| bucket.last.start).collect::<Vec<_>>()),
        Form::from(own.collect::<Vec<_>>()),
    ]
}

pub(super) fn read_last_starts(section: Option<&Section<'_>>, buckets: &mut [Bucket]) -> Result<(), Fault> {
    let Some(section) = section else { return Ok(()) };
    let ints = section.ints(0, full(buckets).count())?;
    for (bucket, int) in buckets.iter_mut().filter(|bucket| bucket.count > 0).zip(ints) {
        bucket.last.start = match section.form {
            0 => int,
            1 => bucket.last.time.wrapping_add(int),
            _ => return Err(Fault::Field),
        };
    }
    Ok(())
}

/// The time from which the first start of a bucket is counted.
fn start_origin(before: Option<(i64, i64)>, bucket: &Bucket, form: u8) -> i64 {
    let (last_time, last_start) = before.unwrap_or((bucket.first.time, bucket.last.start));
    match form {
        0 => bucket.last.start,
        1 => last_start,
        2 => bucket.first.time,
        _ => last_time,
    }
}

pub(super) fn first_starts(buckets: &[Bucket]) -> [Form; 4] {
    [0, 1, 2, 3].map(|form| {
        let from = |(before, bucket): (Option<&Bucket>, &Bucket)| {
            let before = before.map(|bucket| (bucket.last.time, bucket.last.start));
            bucket.first.start.wrapping_sub(start_origin(before, bucket, form))
        };
        Form::from(several(buckets).map(from).collect::<Vec<_>>())
    })
}

pub(super) fn read_first_starts(section: Option<&Section<'_>>, buckets: &mut [Bucket]) -> Result<(), Fault> {
    let count = several(buckets).count();
    let ints = section.map_or(Ok(vec![0; count]), |section| section.ints(0, count))?;
    let form = section.map_or(0, |section| section.form);
    let mut ints = ints.into_iter();
    let mut before = None;
    for bucket in buckets.iter_mut().filter(|bucket| bucket.count > 0) {
        bucket.first.start = match bucket.count {
            1 => bucket.last.start,
            _ => start_origin(before, bucket, form).wrapping_add(ints.next().unwrap_or(0)),
        };
        before = Some((bucket.last.time, bucket.last.start));
    }
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
pub(super) fn gaps(buckets: &[Bucket]) -> [Vec<i64>; 3] {
    let irregular = |bucket: &Bucket| i64::from(!bucket.gaps.regular);
    let least = |bucket: &Bucket| match bucket.gaps.regular {
        true => bucket.gaps.min.wrapping_sub(mean_gap(bucket)),
        false => number(bucket.gaps.min),
    };
    let greatest = |bucket: &Bucket| match bucket.gaps {
        Gaps { min, max, regular: true } => max.wrapping_sub(min),
        Gaps { min, max, .. } => number(max).wrapping_sub(number(min)),
    };
    [
        full(buckets).map(irregular).collect(),
        full(buckets).map(least).collect(),
        full(buckets).map(greatest).collect(),
    ]
}

/// Sets the gaps of buckets with samples from what [`gaps`] returned.
pub(super) fn set_gaps(buckets: &mut [Bucket], [irregular, least, greatest]: [Vec<i64>; 3]) {
    let rows = irregular.into_iter().zip(least).zip(greatest);
    for (bucket, ((irregular, least), greatest)) in buckets.iter_mut().filter(|b| b.count > 0).zip(rows) {
        bucket.gaps = if irregular == 0 {
            let min = mean_gap(bucket).wrapping_add(least);
            Gaps { min, max: min.wrapping_add(greatest), regular: true }
        } else {
            let max = gap_of(least.wrapping_add(greatest));
            Gaps { min: gap_of(least), max, regular: false }
        };
    }
}
