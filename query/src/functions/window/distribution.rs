//! `histogram_over_time`: the distribution of the floats of a window.

use std::collections::HashMap;
use std::ops::Range;

use ahash::RandomState;
use barograph_engine::rollup::sketch;

use super::slide::slide;
use super::{WindowedSeries, folds};
use crate::annotations::flags::Flags;
use crate::budget::made::Made;
use crate::error::QueryError;
use crate::histogram::sketched;
use crate::series::Points;

/// `histogram_over_time`
pub(crate) fn distribution(series: &mut WindowedSeries<'_>) -> Result<Points, QueryError> {
    let mut sum = folds::sum(series.range_ns());
    let WindowedSeries { call, columns, ref mut flags, .. } = *series;
    let mut points = Points::absent(call.windows.steps.count);
    let mut counts = Counts::default();
    let mut made = Made::new(call.budget);
    slide(call.budget, &call.windows, columns, |w| {
        if w.len() == 0 || made.is_refused() {
            return;
        }
        if w.histogram_len() > 0 {
            flags.raise(Flags::HISTOGRAMS_IGNORED);
        }
        counts.advance(&columns.values, w.lo..w.hi);
        let mut by_key: Vec<(i32, f64)> = counts.keys.iter().map(|(&key, &n)| (key, n as f64)).collect();
        by_key.sort_unstable_by_key(|&(key, _)| key);
        let sum = sum(w).unwrap_or(f64::NAN);
        made.put(&mut points, w.step, sketched::of_counts(by_key.into_iter(), counts.nans as f64, sum));
    })?;
    made.finish()?;
    Ok(points)
}

/// The values of a moving window, counted by the key of a sketch. Most values enter and leave between two steps, so keys are
/// sorted at the steps alone.
#[derive(Default)]
struct Counts {
    keys: HashMap<i32, u64, RandomState>,
    nans: u64,
    rows: Range<usize>,
}

impl Counts {
    /// Advances to a window, which must not be before the previous one.
    fn advance(&mut self, values: &[f64], rows: Range<usize>) {
        if rows.start >= self.rows.end {
            self.keys.clear();
            (self.nans, self.rows) = (0, rows.start..rows.start);
        }
        for &value in &values[self.rows.end..rows.end] {
            match value.is_nan() {
                true => self.nans += 1,
                false => *self.keys.entry(sketch::key(value)).or_default() += 1,
            }
        }
        for &value in &values[self.rows.start..rows.start] {
            if value.is_nan() {
                self.nans -= 1;
                continue;
            }
            let key = sketch::key(value);
            match self.keys.get_mut(&key) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    self.keys.remove(&key);
                }
            }
        }
        self.rows = rows;
    }
}
