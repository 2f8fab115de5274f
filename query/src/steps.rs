//! The evaluation times of a query or subquery: `start`, `start + step`, …, in milliseconds.

/// Nanoseconds in a millisecond.
pub(crate) const NS_PER_MS: i64 = 1_000_000;

/// Converts milliseconds to nanoseconds, saturating at the ends of time.
pub(crate) fn ms_to_ns(ms: i64) -> i64 {
    ms.saturating_mul(NS_PER_MS)
}

/// The times of the query that is planned, milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryTimes {
    /// First evaluation.
    pub start_ms: i64,
    /// Last evaluation.
    pub end_ms: i64,
    /// Distance; 0 in instant queries.
    pub step_ms: i64,
}

/// The time at which a selector or subquery looks: `at` or the evaluation time, minus `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shift {
    /// The time given by `@`.
    pub at_ms: Option<i64>,
    /// How much earlier, milliseconds.
    pub offset_ms: i64,
}

impl Shift {
    /// The reference time of an evaluation at `time_ms`.
    pub fn apply(self, time_ms: i64) -> i64 {
        self.at_ms.unwrap_or(time_ms).saturating_sub(self.offset_ms)
    }

    /// This shift inside an expression that is evaluated at the times of `outer`.
    pub fn inside(self, outer: Shift) -> Shift {
        if self.at_ms.is_some() {
            return self;
        }
        Shift { at_ms: outer.at_ms, offset_ms: outer.offset_ms.saturating_add(self.offset_ms) }
    }
}

/// An arithmetic sequence of evaluation times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steps {
    /// The first.
    pub start_ms: i64,
    /// The distance; at least 1, and meaningless if `count` is 1.
    pub step_ms: i64,
    /// The number of times; may be 0.
    pub count: usize,
}

impl Steps {
    /// One evaluation.
    pub fn single(time_ms: i64) -> Self {
        Steps { start_ms: time_ms, step_ms: 1, count: 1 }
    }

    /// All of `start, start + step, …` that are not after `end`.
    pub fn until(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let step_ms = step_ms.max(1);
        let count = if end_ms < start_ms {
            0
        } else {
            // The distance of two i64 fits into u64. The budget refuses a count beyond memory.
            usize::try_from((start_ms.abs_diff(end_ms) / step_ms as u64).saturating_add(1))
                .unwrap_or(usize::MAX)
        };
        Steps { start_ms, step_ms, count }
    }

    /// The evaluation times of a request.
    pub fn of(times: QueryTimes) -> Self {
        match times {
            QueryTimes { start_ms, step_ms: 0, .. } => Steps::single(start_ms),
            QueryTimes { start_ms, end_ms, step_ms } => Steps::until(start_ms, end_ms, step_ms),
        }
    }

    /// The time of step `i`.
    pub fn at(&self, i: usize) -> i64 {
        self.start_ms.saturating_add((i as i64).saturating_mul(self.step_ms))
    }

    /// All times in seconds.
    pub fn seconds(&self) -> Vec<f64> {
        (0..self.count).map(|i| self.at(i) as f64 / 1000.0).collect()
    }

    /// The last time, or the first if there are none.
    pub fn last(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }

    /// The first step for which `holds` is true; `holds` must then be true for all later ones. `count` if there is
    /// none.
    pub fn first_where(&self, holds: impl Fn(usize) -> bool) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// The reference time of step `i` in nanoseconds.
    pub fn reference_ns(&self, i: usize, shift: Shift) -> i64 {
        ms_to_ns(shift.apply(self.at(i)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_included_and_nothing_after_it() {
        assert_eq!(Steps::until(0, 10, 5).count, 3);
        assert_eq!(Steps::until(0, 9, 5).count, 2);
        assert_eq!(Steps::until(1, 0, 5).count, 0);
        assert_eq!(Steps::until(0, 10, 5).last(), 10);
        assert_eq!(Steps::until(i64::MIN, i64::MAX, 1).count, usize::MAX);
    }

    #[test]
    fn the_first_step_is_found_by_halves() {
        let steps = Steps::until(0, 100, 10);
        for least in -5..15 {
            let expected = (0..11).find(|&i| i >= least).unwrap_or(11);
            assert_eq!(steps.first_where(|i| i as i64 >= least) as i64, expected);
        }
    }
}
