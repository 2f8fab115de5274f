//! Writes a chunk: its header, then its columns in the order of their numbers.

use super::columns::Column;
use super::predict::{self, full, keeps_lost, several};
use super::section::{Form, Sections, checksum};
use super::{Class, HAS_BOUNDS, MULTIPLES, Shape, VERSION, floats, intervals, squares, sums};
use crate::codec::CompressionLevel;
use crate::codec::varint::{self, zigzag};
use crate::rollup::Bucket;
use crate::rollup::sketch::{Extremes, coding};

/// Nanoseconds in a unit of widths, by unit number.
pub(super) const UNITS: [i64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// Appends the chunk.
pub(super) fn write(
    key: &[u8],
    shape: &Shape,
    buckets: &[Bucket],
    level: CompressionLevel,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let multiples = buckets.iter().all(|bucket| bucket.end % shape.width == 0);
    let flags = if shape.bounds { HAS_BOUNDS } else { 0 } | if multiples { MULTIPLES } else { 0 };
    out.extend_from_slice(&[VERSION, shape.class as u8 | flags]);
    varint::write(out, buckets.len() as u64 - 1);
    let number = (0..UNITS.len()).rev().find(|&number| shape.width % UNITS[number] == 0).unwrap_or(0);
    let width = (shape.width / UNITS[number]) as u64;
    varint::write(out, number as u64);
    varint::write(out, width);
    varint::write(out, shape.width.checked_div(shape.source).unwrap_or(0) as u64);
    let unit = if multiples { shape.width } else { 1 };
    varint::write(out, zigzag(buckets.first().map_or(0, |bucket| bucket.end / unit)));

    let mut sections = Sections { level, present: 0, body: Vec::new() };
    write_columns(&mut sections, shape, buckets, unit);
    varint::write(out, sections.present);
    out.extend_from_slice(&sections.body);
    let sum = checksum(key, &out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

fn write_columns(sections: &mut Sections, shape: &Shape, buckets: &[Bucket], unit: i64) {
    let all = |of: fn(&Bucket) -> i64| Form::from(buckets.iter().map(of).collect::<Vec<_>>());
    let ends: Vec<i64> = buckets
        .windows(2)
        .map(|pair| (pair[1].end / unit).wrapping_sub(pair[0].end / unit).wrapping_sub(1))
        .collect();
    sections.ints(Column::Ends, [Form::from(ends)]);
    sections.ints(Column::Counts, [all(|bucket| bucket.count as i64)]);
    sections.ints(Column::Markers, [all(|bucket| bucket.markers as i64)]);
    let counts = shape.class.counts();
    let states = buckets.iter().map(|bucket| {
        let overlap = bucket.overlap && counts && bucket.count > 0;
        i64::from(bucket.ended) | i64::from(overlap) << 1 | i64::from(bucket.has_histograms) << 2
    });
    sections.ints(Column::States, [Form::from(states.collect::<Vec<_>>())]);
    sections.ints(Column::Nans, [rows(buckets, |bucket| bucket.nans as i64)]);
    write_ends(sections, shape, buckets);
    write_counters(sections, shape.class, buckets);
    let extremes = |of: fn(&Bucket) -> f64| full(buckets).map(of).collect::<Vec<_>>();
    let minima = [predict::minima(buckets)];
    floats::write(sections, Column::Minima, &extremes(|bucket| bucket.min), &minima);
    let maxima = [predict::maxima(buckets, shape.class)];
    floats::write(sections, Column::Maxima, &extremes(|bucket| bucket.max), &maxima);
    if shape.class.measures() {
        let firsts: Vec<f64> = full(buckets).map(|bucket| sums::first(&bucket.sum)).collect();
        let predictions = [0, 1, 2].map(|number| predict::sums(buckets, number).unwrap_or_default());
        floats::write(sections, Column::Sums, &firsts, &predictions);
        sums::write_rest(sections, full(buckets));
        squares::write(sections, buckets);
    }
    if shape.bounds {
        let [irregular, least, greatest] = intervals::gaps(buckets).map(Form::from);
        sections.ints(Column::Irregular, [irregular]);
        sections.ints(Column::LeastGaps, [least]);
        sections.ints(Column::GreatestGaps, [greatest]);
        sections.ints(Column::Steps, [rows(buckets, |b| b.step.to_bits().rotate_left(15) as i64)]);
    }
    if shape.class.measures() {
        write_sketches(sections, buckets);
    }
}

/// A column of integers with a row for each bucket with samples.
fn rows(buckets: &[Bucket], of: fn(&Bucket) -> i64) -> Form {
    Form::from(full(buckets).map(of).collect::<Vec<_>>())
}

fn write_ends(sections: &mut Sections, shape: &Shape, buckets: &[Bucket]) {
    sections.ints(Column::LastTimes, intervals::last_times(buckets, shape.width));
    sections.ints(Column::FirstTimes, intervals::first_times(buckets, shape.width));
    if shape.class.counts() {
        sections.ints(Column::LastStarts, intervals::last_starts(buckets));
        sections.ints(Column::FirstStarts, intervals::first_starts(buckets));
    }
    let last: Vec<f64> = full(buckets).map(|bucket| bucket.last.value).collect();
    floats::write(sections, Column::LastValues, &last, &[vec![0.0; last.len()]]);
    let first: Vec<f64> = several(buckets).map(|(_, bucket)| bucket.first.value).collect();
    let predictions = [0, 1].map(|number| predict::first_values(buckets, number).unwrap_or_default());
    floats::write(sections, Column::FirstValues, &first, &predictions);
}

fn write_counters(sections: &mut Sections, class: Class, buckets: &[Bucket]) {
    if class.counts() {
        sections.ints(Column::Resets, [rows(buckets, |bucket| bucket.resets as i64)]);
    }
    let changes = rows(buckets, |bucket| bucket.changes as i64);
    let unchanged = rows(buckets, |b| (b.count as i64).wrapping_sub(1).wrapping_sub(b.changes as i64));
    sections.ints(Column::Changes, [changes, unchanged]);
    let lost = full(buckets).filter(|bucket| keeps_lost(bucket, class));
    let firsts: Vec<f64> = lost.clone().map(|bucket| sums::first(&bucket.lost)).collect();
    floats::write(sections, Column::Lost, &firsts, &[vec![0.0; firsts.len()]]);
    sums::write_lost(sections, lost);
}

/// The number of values of a bucket with samples, and their extremes.
pub(super) fn extent(bucket: &Bucket) -> coding::Extent {
    let extremes = Extremes { min: bucket.min, max: bucket.max };
    coding::Extent { count: bucket.count.saturating_sub(bucket.nans), extremes }
}

fn write_sketches(sections: &mut Sections, buckets: &[Bucket]) {
    if full(buckets).all(|bucket| bucket.sketch.is_none()) {
        return;
    }
    let column = full(buckets).map(|bucket| (extent(bucket), bucket.sketch.as_ref()));
    let mut bytes = Vec::new();
    // A sketch that disagrees with its bucket says nothing: without it, the distribution is unknown.
    if coding::encode(column, &mut bytes).is_ok() {
        sections.bytes(Column::Sketches, 0, None, &bytes);
    }
}
