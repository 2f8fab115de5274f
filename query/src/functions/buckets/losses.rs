//! What resets of a counter took, in any run of buckets.

use std::borrow::Cow;

use barograph_engine::rollup::counter::is_reset;
use barograph_engine::rollup::{BucketColumns, ExactSum, Runs, Sums};

/// The resets of a series, inside of buckets and between them.
pub(super) struct Losses {
    /// Where they are, ascending: `2 row + 1` inside of a bucket, `2 row` between it and the one before.
    places: Vec<usize>,
    /// What they took.
    lost: Runs<'static>,
    /// How many there are up to each place.
    numbers: Vec<u64>,
}

/// Buckets, with the step from the one before or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// The first sample of the first bucket.
    First,
    /// The last sample of the bucket before.
    Previous,
}

impl Losses {
    pub fn of(columns: &BucketColumns) -> Self {
        let places: Vec<usize> = if is_monotone(columns) { Vec::new() } else { places(columns) };
        let of = |&place: &usize| match place % 2 {
            1 => columns.lost.get(place / 2),
            _ => {
                let mut lost = ExactSum::default();
                lost.add(columns.last_values[place / 2 - 1]);
                lost
            }
        };
        let lost = Runs::of(Cow::Owned(Sums::of(places.iter().map(of))), places.len());
        let number = |&place: &usize| if place % 2 == 1 { columns.resets.at(place / 2) } else { 1 };
        let mut total = 0u64;
        let numbers = std::iter::once(0).chain(places.iter().map(|place| {
            total = total.saturating_add(number(place));
            total
        }));
        Losses { numbers: numbers.collect(), lost, places }
    }

    /// The resets among the buckets `lo..hi`, as indexes of places.
    fn between(&self, from: From, (lo, hi): (usize, usize)) -> std::ops::Range<usize> {
        let first = if from == From::First { 2 * lo + 1 } else { 2 * lo };
        let start = self.places.partition_point(|&place| place < first);
        start..start + self.places[start..].partition_point(|&place| place < 2 * hi)
    }

    /// What the resets among the buckets `lo..hi` took, rounded once; inner `None` without a reset, outer if it is unknown.
    #[inline]
    pub fn lost(&self, from: From, rows: (usize, usize)) -> Option<Option<f64>> {
        if self.places.is_empty() {
            return Some(None);
        }
        let between = self.between(from, rows);
        if between.is_empty() { Some(None) } else { self.lost.sum(between).map(Some) }
    }

    /// The number of resets among the buckets `lo..hi`.
    pub fn number(&self, from: From, rows: (usize, usize)) -> u64 {
        let between = self.between(from, rows);
        self.numbers[between.end] - self.numbers[between.start]
    }
}

/// Whether there is surely no reset.
fn is_monotone(columns: &BucketColumns) -> bool {
    let (first, last) = (&columns.first_values, &columns.last_values);
    let pairs = first.get(1..).unwrap_or_default().iter().zip(last);
    let drops = pairs.fold(false, |any, (after, before)| any | (after < before));
    !drops && columns.resets.is_usual() && columns.first_starts.is_usual()
}

fn places(columns: &BucketColumns) -> Vec<usize> {
    let inside = |row: usize| (columns.resets.at(row) > 0).then_some(2 * row + 1);
    let is_border = |row: usize| row > 0 && is_reset(&columns.last(row - 1), &columns.first(row));
    let border = |row: usize| is_border(row).then_some(2 * row);
    (0..columns.len()).flat_map(|row| [border(row), inside(row)]).flatten().collect()
}
