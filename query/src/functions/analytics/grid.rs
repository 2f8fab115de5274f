//! The samples of a window on a regular grid.

use barograph_analytics::compare::resample;

use super::Failure;
use crate::budget::Budget;
use crate::functions::window::Columns;
use crate::usage::Footprint;

/// The maximum number of steps of a grid.
const STEPS_MAX: usize = 100_000;

/// One value for each step; NaN if there is none.
#[derive(Debug)]
pub(crate) struct Grid {
    /// The time of the first step, nanoseconds.
    start_ns: i64,
    /// Their distance: the median interval of the samples.
    step_ns: i64,
    /// The values.
    pub values: Vec<f64>,
}

impl Grid {
    /// Puts the floats from `first` to `last` on the grid of their median interval, each on the nearest step. Of
    /// several on one step, the last one counts.
    pub fn of(budget: &Budget, columns: &Columns, first: usize, last: usize) -> Result<Grid, Failure> {
        Grid::of_samples(budget, &columns.times[first..=last], &columns.values[first..=last])
    }

    /// Puts samples on the grid of their median interval, like [`Grid::of`].
    pub fn of_samples(budget: &Budget, times: &[i64], values: &[f64]) -> Result<Grid, Failure> {
        let unfit = |reason: String| Err(Failure::Unfit(reason));
        if times.len() < 2 {
            return unfit(format!("it has {} value in the window, and 2 are needed", times.len()));
        }
        let scratch = Footprint::bytes(size_of_val(times));
        budget.hold(scratch)?;
        let mut intervals: Vec<i64> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        let middle = intervals.len() / 2;
        let step_ns = *intervals.select_nth_unstable(middle).1;
        budget.release(scratch);
        let step_ns = step_ns.max(1);
        let span = times[times.len() - 1].saturating_sub(times[0]);
        let steps = usize::try_from((span + step_ns / 2) / step_ns).unwrap_or(usize::MAX).saturating_add(1);
        if steps > STEPS_MAX {
            return unfit(format!(
                "it has {steps} steps of {} s in the window and at most {STEPS_MAX} are analyzed: shorten the window, or widen the step of a subquery",
                step_ns as f64 / 1e9
            ));
        }
        // Held until the node is done, like other columns, unless the caller releases it.
        budget.hold(Footprint::bytes(steps * size_of::<f64>()))?;
        let mut grid = Grid { start_ns: times[0], step_ns, values: vec![f64::NAN; steps] };
        for (time, value) in times.iter().zip(values) {
            let place = grid.place(*time);
            grid.values[place] = *value;
        }
        Ok(grid)
    }

    /// What is held for its values.
    pub fn held(&self) -> Footprint {
        Footprint::bytes(self.values.len() * size_of::<f64>())
    }

    /// Its steps.
    pub fn steps(&self) -> resample::Grid {
        resample::Grid { start: self.start_ns, step: self.step_ns, len: self.values.len() }
    }

    /// The index of the step nearest to a time of the window.
    pub fn place(&self, time_ns: i64) -> usize {
        let since = time_ns.saturating_sub(self.start_ns).max(0);
        let place = usize::try_from((since + self.step_ns / 2) / self.step_ns).unwrap_or(usize::MAX);
        place.min(self.values.len() - 1)
    }

    /// The length of a step in seconds.
    pub fn step_s(&self) -> f64 {
        self.step_ns as f64 / 1e9
    }

    /// The number of steps in a number of seconds, rounded.
    pub fn steps_of(&self, seconds: f64) -> usize {
        (seconds / self.step_s()).round() as usize
    }

    /// The time after the last step of the grid, in steps, of a time in nanoseconds.
    pub fn after_last(&self, time_ns: i64) -> f64 {
        let last = self.start_ns.saturating_add(self.step_ns.saturating_mul(self.values.len() as i64 - 1));
        time_ns.saturating_sub(last) as f64 / self.step_ns as f64
    }
}
