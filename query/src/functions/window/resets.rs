//! Where the counter in a series of floats was reset, and how much the resets inside a window took.
//!
//! Everything is found once per series, so the cost of a window does not depend on the number of samples or resets in
//! it: windows that overlap would otherwise add the same values again and again.

use barograph_engine::rollup::ExactSum;
use barograph_engine::rollup::counter::{is_reset, is_start_overlap};

use super::{Columns, Window};
use crate::numbers::compensated::two_sum;

/// Values beyond this magnitude are not added up in advance. A sum of larger ones may overflow, which depends on the
/// order.
const SUMMED_MAX: f64 = 1e150;

/// Number of pairs that are searched for resets at a time.
const BLOCK: usize = 128;

/// The resets of a series of floats, and cursors that follow the windows.
pub(crate) struct Resets<'a> {
    values: &'a [f64],
    /// Indices `i` with a reset between `i - 1` and `i`.
    at: Vec<usize>,
    /// `None` if what resets took must be added up for each window.
    sums: Option<Sums>,
    /// Indices of start times that contradict the previous sample.
    overlaps: Vec<usize>,
    /// The number of resets before the window, and up to its end.
    lo: usize,
    hi: usize,
}

impl<'a> Resets<'a> {
    /// Finds all resets.
    pub fn of(columns: &'a Columns) -> Self {
        let values = &columns.values[..];
        let (at, overlaps) =
            if columns.starts.is_empty() { (drops(values), Vec::new()) } else { with_starts(columns) };
        let sums = if at.is_empty() { None } else { Sums::of(values, &at) };
        Resets { values, at, sums, overlaps, lo: 0, hi: 0 }
    }

    /// The number of resets between two samples of the window.
    pub fn inside(&mut self, w: &Window<'_>) -> usize {
        let (from, to) = self.between(w.lo, w.hi);
        to - from
    }

    /// The sum of the values before each reset between two of the samples `first..end`, rounded once; `None` without a
    /// reset. There must be a sample, and neither index may decrease from call to call.
    #[inline]
    pub fn lost(&mut self, first: usize, end: usize) -> Option<f64> {
        let (from, to) = self.between(first, end);
        if from == to {
            return None;
        }
        Some(match &self.sums {
            Some(sums) => sums.between(from, to),
            None => lost(self.values, &self.at[from..to]),
        })
    }

    /// The resets between two of the samples `first..end`, by their position among all resets.
    #[inline]
    fn between(&mut self, first: usize, end: usize) -> (usize, usize) {
        while self.at.get(self.lo).is_some_and(|&i| i <= first) {
            self.lo += 1;
        }
        while self.at.get(self.hi).is_some_and(|&i| i < end) {
            self.hi += 1;
        }
        (self.lo, self.hi)
    }

    /// Whether one of the samples `first..end` has a start time that overlaps another one.
    #[inline]
    pub fn overlaps(&self, first: usize, end: usize) -> bool {
        if self.overlaps.is_empty() {
            return false;
        }
        let from = self.overlaps.partition_point(|&i| i <= first);
        self.overlaps.get(from).is_some_and(|&i| i < end)
    }
}

/// The indices of values that are less than the previous one: without start times, these are the resets.
fn drops(values: &[f64]) -> Vec<usize> {
    let mut at = Vec::new();
    // Blocks overlap by the pair between them.
    for from in (1..values.len()).step_by(BLOCK) {
        let end = values.len().min(from + BLOCK);
        let (before, after) = (&values[from - 1..end - 1], &values[from..end]);
        // A loop that does the same for each pair is vectorized, and most counters have no reset in most blocks.
        if before.iter().zip(after).fold(false, |found, (before, after)| found | (after < before)) {
            for i in from..end {
                if values[i] < values[i - 1] {
                    at.push(i);
                }
            }
        }
    }
    at
}

/// The indices of resets, and of start times that contradict the previous sample, in a series with start times.
fn with_starts(columns: &Columns) -> (Vec<usize>, Vec<usize>) {
    let (mut at, mut overlaps) = (Vec::new(), Vec::new());
    for i in 1..columns.values.len() {
        let (before, after) = (columns.edge(i - 1), columns.edge(i));
        if is_reset(&before, &after) {
            at.push(i);
        }
        if is_start_overlap(after.start, before.start, before.time) {
            overlaps.push(i);
        }
    }
    (at, overlaps)
}

/// The sums of the values before the first 0, 1, 2, … resets, without rounding. A difference of two of them is what the
/// resets between them took.
struct Sums {
    high: Vec<f64>,
    /// What rounding took from each sum; empty if it took nothing from any.
    low: Vec<f64>,
}

impl Sums {
    /// `None` if a sum does not fit into two floats.
    fn of(values: &[f64], resets: &[usize]) -> Option<Sums> {
        let mut sums = Sums { high: Vec::with_capacity(resets.len() + 1), low: Vec::new() };
        let (mut high, mut low) = (0.0, 0.0);
        sums.high.push(high);
        for &reset in resets {
            let value = values[reset - 1];
            let error;
            (high, error) = two_sum(high, value);
            let (sum, rest) = two_sum(low, error);
            // False for NaN too.
            if !(rest == 0.0 && value.abs() <= SUMMED_MAX) {
                return None;
            }
            if sum != 0.0 || !sums.low.is_empty() {
                sums.low.resize(sums.high.len(), 0.0);
                sums.low.push(sum);
            }
            low = sum;
            sums.high.push(high);
        }
        Some(sums)
    }

    /// What the resets `from..to` took, rounded once.
    #[inline]
    fn between(&self, from: usize, to: usize) -> f64 {
        if self.low.is_empty() {
            return self.high[to] - self.high[from];
        }
        let mut sum = ExactSum::default();
        [self.high[to], -self.high[from], self.low[to], -self.low[from]]
            .into_iter()
            .for_each(|part| sum.add(part));
        sum.value()
    }
}

/// The sum of the values before each of these resets, at least one, rounded once.
fn lost(values: &[f64], resets: &[usize]) -> f64 {
    let before = || resets.iter().map(|reset| values[reset - 1]);
    let mut sum = ExactSum::default();
    before().for_each(|value| sum.add(value));
    if sum.is_huge() { before().sum() } else { sum.value() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns(values: &[f64]) -> Columns {
        Columns { times: (0..values.len() as i64).collect(), values: values.to_vec(), ..Columns::default() }
    }

    #[test]
    fn what_resets_take_is_rounded_once() {
        // In turn, 1 is lost next to 2^53, twice.
        let values = [9_007_199_254_740_992.0, 1.0, 0.5, 1.0, 0.0];
        let columns_of = columns(&values);
        let lost = |first, end| Resets::of(&columns_of).lost(first, end);
        assert_eq!(lost(0, 5), Some(9_007_199_254_740_994.0));
        assert_eq!(values[0] + values[1] + values[3], 9_007_199_254_740_992.0);
        assert_eq!(lost(1, 3), Some(1.0));
        assert_eq!(lost(2, 4), None);
        // Too large for an exact sum: added in turn, 2^947 is lost next to 2^1000, twice.
        let power = |exponent| 2f64.powi(exponent);
        let large = columns(&[power(1000), power(947), 0.0, power(947), 0.0]);
        assert_eq!(Resets::of(&large).lost(0, 5), Some(power(1000)));
    }

    #[test]
    fn drops_are_found_at_the_ends_of_blocks() {
        let resets = [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 2];
        let values: Vec<f64> = (0..2 * BLOCK + 3)
            .map(|i| i as f64 - 1000.0 * resets.iter().filter(|r| **r <= i).count() as f64)
            .collect();
        assert_eq!(drops(&values), resets);
        assert_eq!(drops(&values[..2 * BLOCK + 1]), resets[..5]);
        assert!(drops(&[]).is_empty() && drops(&[1.0]).is_empty() && drops(&[f64::NAN; 300]).is_empty());
    }

    /// Values whose sums need one float, two floats, or more, and values that cannot be added up in advance.
    fn values() -> impl Strategy<Value = Vec<f64>> {
        let one = prop_oneof![
            8 => (-20i32..20).prop_map(f64::from),
            4 => (-2000i32..2000).prop_map(|v| f64::from(v) / 100.0),
            1 => (-300i32..300).prop_map(|e| 1.7 * 10f64.powi(e)),
        ];
        let few = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0)];
        prop_oneof![
            4 => proptest::collection::vec((-20i32..20).prop_map(f64::from), 1..60),
            4 => proptest::collection::vec(one.clone(), 1..60),
            1 => proptest::collection::vec(prop_oneof![9 => one, 1 => few], 1..60),
        ]
    }

    proptest! {
        #[test]
        fn windows_that_overlap_have_the_sums_of_windows_alone(
            values in values(),
            starts in proptest::collection::vec(0i64..60, 0..2),
            moves in proptest::collection::vec((0usize..6, 0usize..6), 1..40),
        ) {
            let mut columns = columns(&values);
            if let [every] = starts[..] {
                columns.starts = columns.times.iter().map(|t| (t / (every + 1)) * every).collect();
            }
            let resets_at = |i: usize| is_reset(&columns.edge(i - 1), &columns.edge(i));
            let mut resets = Resets::of(&columns);
            let (mut first, mut end) = (0, 1);
            for (left, reached) in moves {
                end = (end + reached).min(values.len());
                first = (first + left).min(end - 1);
                let taken: Vec<usize> = (first + 1..end).filter(|&i| resets_at(i)).collect();
                let expected = (!taken.is_empty()).then(|| lost(&values, &taken));
                let found = resets.lost(first, end);
                prop_assert_eq!(found.map(f64::to_bits), expected.map(f64::to_bits));
                let overlaps = (first + 1..end).any(|i| {
                    !columns.starts.is_empty()
                        && is_start_overlap(columns.starts[i], columns.starts[i - 1], columns.times[i - 1])
                });
                prop_assert_eq!(resets.overlaps(first, end), overlaps);
            }
        }
    }
}
