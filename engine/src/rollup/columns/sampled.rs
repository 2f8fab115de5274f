//! Chunks have most columns only for the buckets with samples; between them may be others.

use super::{BucketColumns, Columns, Mostly, Sums};
use crate::rollup::ExactSum;

impl BucketColumns {
    /// Appends the columns of which chunks have no row for a bucket without samples. `sampled` has those of the rows from
    /// `start` on that have samples; ends, counts, markers and states of all of them are there.
    pub(in crate::rollup) fn fill_sampled(&mut self, start: usize, sampled: &BucketColumns) {
        let mut next = 0;
        let place = |&count: &u64| {
            let place = (count > 0).then_some(next);
            next += usize::from(count > 0);
            place
        };
        let places: Vec<Option<usize>> = self.counts[start..].iter().map(place).collect();
        let of = Places { start, places: &places };
        of.mostly(&mut self.nans, &sampled.nans);
        let held = self.held;
        if held.contains(Columns::TIMES) {
            of.plain(&mut self.first_times, &sampled.first_times, 0);
            of.plain(&mut self.last_times, &sampled.last_times, 0);
        }
        if held.contains(Columns::VALUES) {
            of.plain(&mut self.first_values, &sampled.first_values, 0.0);
            of.plain(&mut self.last_values, &sampled.last_values, 0.0);
        }
        of.mostly(&mut self.first_starts, &sampled.first_starts);
        of.mostly(&mut self.last_starts, &sampled.last_starts);
        of.mostly(&mut self.resets, &sampled.resets);
        of.sums(&mut self.lost, &sampled.lost);
        of.mostly(&mut self.changes, &sampled.changes);
        if held.contains(Columns::MIN) {
            of.plain(&mut self.minima, &sampled.minima, f64::NAN);
        }
        if held.contains(Columns::MAX) {
            of.plain(&mut self.maxima, &sampled.maxima, f64::NAN);
        }
        of.sums(&mut self.sums, &sampled.sums);
        if held.contains(Columns::M2) {
            of.plain(&mut self.squares, &sampled.squares, 0.0);
        }
        of.mostly(&mut self.gaps, &sampled.gaps);
        of.mostly(&mut self.steps, &sampled.steps);
        of.mostly(&mut self.sketches, &sampled.sketches);
    }
}

/// Where the rows from `start` on are among those with samples.
struct Places<'p> {
    start: usize,
    places: &'p [Option<usize>],
}

impl Places<'_> {
    fn plain<T: Copy>(&self, column: &mut Vec<T>, sampled: &[T], empty: T) {
        column.extend(self.places.iter().map(|place| place.map_or(empty, |place| sampled[place])));
    }

    /// Rows without samples have the usual value.
    fn mostly<T: Clone>(&self, column: &mut Mostly<T>, sampled: &Mostly<T>) {
        if !sampled.is_usual() {
            let values = self.places.iter().map(|place| sampled.get(place.unwrap_or(usize::MAX)).clone());
            column.extend(self.start, values);
        }
    }

    fn sums(&self, column: &mut Sums, sampled: &Sums) {
        self.mostly(&mut column.first, &sampled.first);
        self.mostly(&mut column.second, &sampled.second);
        self.mostly(&mut column.huge, &sampled.huge);
        if !sampled.longer.is_empty() {
            let rows = (self.start..).zip(self.places);
            let longer = rows.filter_map(|(row, place)| Some((row, sampled.longer_at((*place)?)?.clone())));
            column.longer.extend::<Vec<(usize, ExactSum)>>(longer.collect());
        }
    }
}
