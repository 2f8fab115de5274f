//! The column of native histograms.
//!
//! # Format
//! A row for each bucket whose state has bit 3. Columns of integers and lists of histograms as in
//! [`columns`](crate::codec::histogram::columns), in this order:
//!
//! | field | contents |
//! |---|---|
//! | counts | count - 1 |
//! | last times | end - last |
//! | first times | last - first |
//! | starts | of the first, then a column of those of the last |
//! | resets, changes | two columns |
//! | lowest schemas | of all but the first; of the first where it is the only one |
//! | kinds | bit 0: one has exponential buckets, other than the first; bit 1: gauges; bit 2: others than gauges; bit 3: another entry precedes the first; bit 4: a reset follows the first; bit 5: one precedes the last; bit 6: another entry follows the last |
//! | lost, sums | two columns of the numbers of their histograms; 0 where they are not known, else one more |
//! | ends | a list: of each row the first, and the last of several |
//! | lost | a list, row by row |
//! | sums | a list, row by row |
//! | seconds | a list, of rows with bit 4 |
//!
//! A list is any number of sections: the number of its histograms (varint), its length (varint), and the section of a
//! chunk of histograms.

use std::sync::Arc;

use super::columns::Column;
use super::section::Sections;
use crate::codec::histogram::columns::{Reader, write_ints, write_list};
use crate::codec::{CompressionLevel, Fault};
use crate::model::{Histogram, Timestamp};
use crate::rollup::{Bucket, NativeEdge, Natives};

/// The memory that the histograms of a described bucket take at most, bytes. Larger ones are left to the samples.
const BUCKET_BYTES_MAX: usize = 16 << 20;

const EXPONENTIAL: i64 = 1;
const GAUGES: i64 = 1 << 1;
const COUNTERS: i64 = 1 << 2;
const FOLLOWS: i64 = 1 << 3;
const SECOND: i64 = 1 << 4;
const ENDS_WITH_RESET: i64 = 1 << 5;
const PRECEDES: i64 = 1 << 6;

/// Native histograms of a bucket that can be stored, if there are any.
pub(super) type Stored<'b> = Option<&'b Natives>;

/// The native histograms of each bucket, if they can be stored.
pub(super) fn stored(buckets: &[Bucket]) -> Vec<Stored<'_>> {
    // Sums may have more buckets than a histogram.
    let is_valid = |histogram: &Arc<Histogram>| histogram.validate_layout().is_ok();
    let fits = |natives: &Natives| natives.memory_bytes() <= BUCKET_BYTES_MAX && natives.held().all(is_valid);
    buckets.iter().map(|bucket| bucket.natives.as_deref().filter(|natives| fits(natives))).collect()
}

/// Adds the column, if there is a row.
pub(super) fn write(sections: &mut Sections, buckets: &[Bucket], natives: &[Stored<'_>]) {
    let rows = buckets.iter().zip(natives);
    let rows: Vec<(Timestamp, &Natives)> =
        rows.filter_map(|(bucket, natives)| Some((bucket.end, (*natives)?))).collect();
    if rows.is_empty() {
        return;
    }
    let mut out = Vec::new();
    // Prefix codes make these columns up to a tenth smaller, and they are larger than all others.
    let level = match sections.level {
        CompressionLevel::Balanced => CompressionLevel::Best,
        other => other,
    };
    let mut ints = |of: &dyn Fn(Timestamp, &Natives) -> i64| {
        write_ints(&rows.iter().map(|(end, natives)| of(*end, natives)).collect::<Vec<_>>(), level, &mut out);
    };
    ints(&|_, natives| (natives.count - 1) as i64);
    ints(&|end, natives| end.wrapping_sub(natives.last.time));
    ints(&|_, natives| natives.last.time.wrapping_sub(natives.first.time));
    ints(&|_, natives| natives.first.start);
    ints(&|_, natives| natives.last.start);
    ints(&|_, natives| natives.resets as i64);
    ints(&|_, natives| natives.changes as i64);
    ints(&|_, natives| match natives.count {
        1 => natives.first.histogram.schema.into(),
        _ => natives.lowest_schema.into(),
    });
    ints(&|_, natives| kinds(natives));
    let number = |list: Option<&Vec<Arc<Histogram>>>| list.map_or(0, |list| list.len() as i64 + 1);
    ints(&|_, natives| number(natives.lost.as_ref()));
    ints(&|_, natives| number(natives.sum.as_ref()));
    let mut list = |of: &dyn Fn(&Natives) -> Vec<Arc<Histogram>>| {
        let all: Vec<Arc<Histogram>> = rows.iter().flat_map(|(_, natives)| of(natives)).collect();
        write_list(&all, level, &mut out);
    };
    list(&|natives| {
        let last = (natives.count > 1).then_some(&natives.last.histogram);
        [&natives.first.histogram].into_iter().chain(last).cloned().collect()
    });
    list(&|natives| natives.lost.clone().unwrap_or_default());
    list(&|natives| natives.sum.clone().unwrap_or_default());
    list(&|natives| natives.second.iter().cloned().collect());
    sections.bytes(Column::Natives, 0, None, &out);
}

fn kinds(natives: &Natives) -> i64 {
    let bits = [
        (natives.has_exponential, EXPONENTIAL),
        (natives.has_gauges, GAUGES),
        (natives.has_counters, COUNTERS),
        (natives.follows, FOLLOWS),
        (natives.second.is_some(), SECOND),
        (natives.ends_with_reset, ENDS_WITH_RESET),
        (natives.precedes, PRECEDES),
    ];
    bits.iter().filter(|(is, _)| *is).map(|(_, bit)| bit).sum()
}

/// The native histograms of buckets with these ends.
pub(super) fn read(bytes: &[u8], ends: &[Timestamp]) -> Result<Vec<Arc<Natives>>, Fault> {
    let (mut reader, rows) = (Reader::new(bytes), ends.len());
    let mut ints = || reader.ints(rows);
    let (counts, last_times, spans) = (ints()?, ints()?, ints()?);
    let (first_starts, last_starts, resets, changes) = (ints()?, ints()?, ints()?, ints()?);
    let (schemas, kinds, lost, sums) = (ints()?, ints()?, ints()?, ints()?);
    let is_count = |count: &i64| (0..1 << 53).contains(count);
    let are_counts = [&counts, &resets, &changes, &lost, &sums].into_iter().flatten().all(is_count);
    if !are_counts || !kinds.iter().all(|kinds| (0..2 * PRECEDES).contains(kinds)) {
        return Err(Fault::Field);
    }
    let several = counts.iter().filter(|less_one| **less_one > 0).count();
    let total = |numbers: &[i64]| {
        let each = numbers.iter().map(|number| usize::try_from(number - 1).unwrap_or(0));
        each.fold(0, usize::saturating_add)
    };
    let mut edges = reader.list(rows + several)?.into_iter();
    let mut all_lost = reader.list(total(&lost))?.into_iter();
    let mut all_sums = reader.list(total(&sums))?.into_iter();
    let seconds = kinds.iter().filter(|kinds| *kinds & SECOND != 0).count();
    let mut seconds = reader.list(seconds)?.into_iter();
    reader.finish()?;
    let take = |from: &mut std::vec::IntoIter<Arc<Histogram>>, number: i64| {
        usize::try_from(number - 1).ok().map(|number| from.take(number).collect::<Vec<_>>())
    };
    let mut row = |at: usize| -> Option<Natives> {
        let (count, kinds) = (counts[at] as u64 + 1, kinds[at]);
        let last_time = ends[at].wrapping_sub(last_times[at]);
        let first = NativeEdge {
            time: last_time.wrapping_sub(spans[at]),
            start: first_starts[at],
            histogram: edges.next()?,
        };
        let histogram = if count > 1 { edges.next()? } else { first.histogram.clone() };
        let last = NativeEdge { time: last_time, start: last_starts[at], histogram };
        Some(Natives {
            count,
            first,
            last,
            second: if kinds & SECOND != 0 { Some(seconds.next()?) } else { None },
            resets: resets[at] as u64,
            changes: changes[at] as u64,
            lost: take(&mut all_lost, lost[at]),
            sum: take(&mut all_sums, sums[at]),
            lowest_schema: if count > 1 { i32::try_from(schemas[at]).ok()? } else { i32::MAX },
            has_exponential: kinds & EXPONENTIAL != 0,
            has_gauges: kinds & GAUGES != 0,
            has_counters: kinds & COUNTERS != 0,
            ends_with_reset: kinds & ENDS_WITH_RESET != 0,
            follows: kinds & FOLLOWS != 0,
            precedes: kinds & PRECEDES != 0,
        })
    };
    (0..rows).map(|at| row(at).map(Arc::new).ok_or(Fault::Field)).collect()
}
