//! Writes a chunk: its header, then its columns in the order of their numbers.

use super::columns::Column;
use super::predict::{self, Rows};
use super::section::{Form, Sections, checksum};
use super::{
    Class, HAS_BOUNDS, MULTIPLES, PLAIN_VERSION, Shape, VERSION, floats, intervals, natives, squares, sums,
};
use crate::codec::CompressionLevel;
use crate::codec::varint::{self, zigzag};
use crate::rollup::sketch::{Extremes, coding};
use crate::rollup::{Bucket, BucketColumns, Columns};

/// Nanoseconds in a unit of widths, by unit number.
pub(super) const UNITS: [i64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// How much larger a column of extremes may be, in percent, so that it is read without the first and the last values. A chunk
/// becomes up to 6 % larger (`make rollup-sizes`), and a query for maxima takes two thirds of the time
/// (`PART=queries make bench-tiers`).
const EXTREMES_ALONE: usize = 50;

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
    let described = natives::stored(buckets);
    let is_plain = described.iter().all(Option::is_none);
    let version = if is_plain { PLAIN_VERSION } else { VERSION };
    out.extend_from_slice(&[version, shape.class as u8 | flags]);
    varint::write(out, buckets.len() as u64 - 1);
    let number = (0..UNITS.len()).rev().find(|&number| shape.width % UNITS[number] == 0).unwrap_or(0);
    let width = (shape.width / UNITS[number]) as u64;
    varint::write(out, number as u64);
    varint::write(out, width);
    varint::write(out, shape.width.checked_div(shape.source).unwrap_or(0) as u64);
    let unit = if multiples { shape.width } else { 1 };
    varint::write(out, zigzag(buckets.first().map_or(0, |bucket| bucket.end / unit)));

    let mut sections = Sections { level, present: 0, body: Vec::new() };
    write_columns(&mut sections, shape, (buckets, &described), unit);
    varint::write(out, sections.present);
    out.extend_from_slice(&sections.body);
    let sum = checksum(key, &out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

fn write_columns(
    sections: &mut Sections,
    shape: &Shape,
    (buckets, described): (&[Bucket], &[natives::Stored<'_>]),
    unit: i64,
) {
    let all = |of: fn(&Bucket) -> i64| Form::from(buckets.iter().map(of).collect::<Vec<_>>());
    let ends: Vec<i64> = buckets
        .windows(2)
        .map(|pair| (pair[1].end / unit).wrapping_sub(pair[0].end / unit).wrapping_sub(1))
        .collect();
    sections.ints(Column::Ends, [Form::from(ends)]);
    sections.ints(Column::Counts, [all(|bucket| bucket.count as i64)]);
    sections.ints(Column::Markers, [all(|bucket| bucket.markers as i64)]);
    let counts = shape.class.counts();
    let states = buckets.iter().zip(described).map(|(bucket, natives)| {
        let overlap = bucket.overlap && counts && bucket.count > 0;
        i64::from(bucket.ended)
            | i64::from(overlap) << 1
            | i64::from(bucket.has_histograms) << 2
            | i64::from(natives.is_some()) << 3
            | i64::from(bucket.omitted) << 4
    });
    sections.ints(Column::States, [Form::from(states.collect::<Vec<_>>())]);
    let mut full = BucketColumns::new(Columns::ALL);
    buckets.iter().filter(|bucket| bucket.count > 0).for_each(|bucket| full.push(bucket));
    write_rows(sections, shape, Rows::new(&full, 0));
    natives::write(sections, buckets, described);
}

/// Adds the columns with a row for each bucket with samples.
fn write_rows(sections: &mut Sections, shape: &Shape, rows: Rows<'_>) {
    sections.ints(Column::Nans, [column(rows, |i| rows.nans(i) as i64)]);
    write_ends(sections, shape, rows);
    write_counters(sections, shape.class, rows);
    let mut predicted = Vec::new();
    predict::minima(rows, 0, &mut predicted);
    let alone = EXTREMES_ALONE;
    floats::write(sections, Column::Minima, rows.minima(), std::slice::from_ref(&predicted), alone);
    predicted.clear();
    predict::maxima(rows, shape.class, 0, &mut predicted);
    floats::write(sections, Column::Maxima, rows.maxima(), std::slice::from_ref(&predicted), alone);
    if shape.class.measures() {
        let firsts: Vec<f64> = (0..rows.len()).map(|i| sums::first(&rows.sum(i))).collect();
        let predictions = predictions([0, 1, 2], |number, out| predict::sums(rows, number, out));
        floats::write(sections, Column::Sums, &firsts, &predictions, 0);
        sums::write_rest(sections, rows);
        squares::write(sections, rows);
    }
    if shape.bounds {
        let [irregular, least, greatest] = intervals::gaps(rows).map(Form::from);
        sections.ints(Column::Irregular, [irregular]);
        sections.ints(Column::LeastGaps, [least]);
        sections.ints(Column::GreatestGaps, [greatest]);
        let steps = |i: usize| rows.step(i).to_bits().rotate_left(15) as i64;
        sections.ints(Column::Steps, [column(rows, steps)]);
    }
    if shape.class.measures() {
        write_sketches(sections, rows);
    }
}

/// A column of integers with a row for each bucket with samples.
fn column(rows: Rows<'_>, of: impl Fn(usize) -> i64) -> Form {
    Form::from((0..rows.len()).map(of).collect::<Vec<_>>())
}

/// The predictions with these numbers.
fn predictions<const N: usize>(
    numbers: [usize; N],
    predict: impl Fn(usize, &mut Vec<f64>) -> bool,
) -> [Vec<f64>; N] {
    numbers.map(|number| {
        let mut predicted = Vec::new();
        predict(number, &mut predicted);
        predicted
    })
}

fn write_ends(sections: &mut Sections, shape: &Shape, rows: Rows<'_>) {
    sections.ints(Column::LastTimes, intervals::last_times(rows, shape.width));
    sections.ints(Column::FirstTimes, intervals::first_times(rows, shape.width));
    if shape.class.counts() {
        sections.ints(Column::LastStarts, intervals::last_starts(rows));
        sections.ints(Column::FirstStarts, intervals::first_starts(rows));
    }
    floats::write(sections, Column::LastValues, rows.last_values(), &[vec![0.0; rows.len()]], 0);
    let first: Vec<f64> = rows.several().map(|i| rows.first_values()[i]).collect();
    let predictions = predictions([0, 1], |number, out| predict::first_values(rows, number, out));
    floats::write(sections, Column::FirstValues, &first, &predictions, 0);
}

fn write_counters(sections: &mut Sections, class: Class, rows: Rows<'_>) {
    if class.counts() {
        sections.ints(Column::Resets, [column(rows, |i| rows.resets(i) as i64)]);
    }
    let changes = column(rows, |i| rows.changes(i) as i64);
    let less_one = |i: usize| (rows.counts()[i] as i64).wrapping_sub(1);
    let unchanged = column(rows, |i| less_one(i).wrapping_sub(rows.changes(i) as i64));
    sections.ints(Column::Changes, [changes, unchanged]);
    let lost: Vec<_> = rows.losing(class).map(|i| rows.lost(i)).collect();
    let firsts: Vec<f64> = lost.iter().map(sums::first).collect();
    floats::write(sections, Column::Lost, &firsts, &[vec![0.0; firsts.len()]], 0);
    sums::write_lost(sections, lost.into_iter());
}

/// The number of values of a row, and their extremes.
pub(super) fn extent(rows: Rows<'_>, i: usize) -> coding::Extent {
    let extremes = Extremes { min: rows.minima()[i], max: rows.maxima()[i] };
    coding::Extent { count: rows.counts()[i].saturating_sub(rows.nans(i)), extremes }
}

fn write_sketches(sections: &mut Sections, rows: Rows<'_>) {
    if (0..rows.len()).all(|i| rows.sketch(i).is_none()) {
        return;
    }
    let column = (0..rows.len()).map(|i| (extent(rows, i), rows.sketch(i)));
    let mut bytes = Vec::new();
    // A sketch that disagrees with its bucket says nothing: without it, the distribution is unknown.
    if coding::encode(column, &mut bytes).is_ok() {
        sections.bytes(Column::Sketches, 0, None, &bytes);
    }
}
