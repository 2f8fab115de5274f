//! Samples at any times, as values on the steps of a regular grid; and counters as rates.

/// The steps of a grid: `start`, `start + step`, … in the unit of the times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// The time of the first step.
    pub start: i64,
    /// The distance of the steps, at least 1.
    pub step: i64,
    /// The number of steps.
    pub len: usize,
}

impl Grid {
    /// The same steps at another time.
    pub fn shifted(self, by: i64) -> Grid {
        Grid { start: self.start.saturating_add(by), ..self }
    }

    /// Puts each value on the nearest step; of several on one step, the last one counts. A step without a value is NaN,
    /// and values that are further than half a step from the grid are left out. Times must ascend.
    ///
    /// ```
    /// use barograph_analytics::compare::resample::Grid;
    ///
    /// let mut values = Vec::new();
    /// Grid { start: 100, step: 10, len: 4 }.place(&[90, 101, 109, 131], &[1.0, 2.0, 3.0, 4.0], &mut values);
    /// assert_eq!(values[..2], [2.0, 3.0]);
    /// assert!(values[2].is_nan() && values[3] == 4.0);
    /// ```
    pub fn place(&self, times: &[i64], values: &[f64], into: &mut Vec<f64>) {
        into.clear();
        into.resize(self.len, f64::NAN);
        let step = self.step.max(1);
        // The first time that belongs to the step after the current one. Samples follow each other closely, so going
        // from step to step is faster than a division for each sample.
        let mut end = self.start.saturating_add(step - step / 2);
        let first = times.partition_point(|&time| time < self.start.saturating_sub(step / 2));
        let mut place = 0;
        for (&time, &value) in times[first..].iter().zip(&values[first..]) {
            if time >= end {
                let ahead = (time.saturating_sub(end) / step).saturating_add(1);
                place += usize::try_from(ahead).unwrap_or(usize::MAX - place);
                end = end.saturating_add(step.saturating_mul(ahead));
            }
            let Some(slot) = into.get_mut(place) else { return };
            *slot = value;
        }
    }
}

/// The rate of a counter between neighbouring samples, per unit of time, at the time of the later one. After a decrease,
/// the counter has begun again at 0.
pub fn rates(times: &[i64], counts: &[f64], into: &mut (Vec<i64>, Vec<f64>)) {
    into.0.clear();
    into.1.clear();
    for (time, count) in times.windows(2).zip(counts.windows(2)) {
        let increase = if count[1] < count[0] { count[1] } else { count[1] - count[0] };
        into.0.push(time[1]);
        into.1.push(increase / time[1].saturating_sub(time[0]).max(1) as f64);
    }
}

/// Fills gaps of at most `longest` steps with the line between the values beside them, and returns how many steps still
/// have no finite value. A gap at an end gets the nearest value.
///
/// ```
/// use barograph_analytics::compare::resample::bridge;
///
/// let mut values = [1.0, f64::NAN, 3.0, f64::NAN, f64::NAN, f64::NAN];
/// assert_eq!(bridge(&mut values, 2), 3);
/// assert_eq!(values[..3], [1.0, 2.0, 3.0]);
/// ```
pub fn bridge(values: &mut [f64], longest: usize) -> usize {
    let (mut at, mut missing) = (0, 0);
    while at < values.len() {
        if values[at].is_finite() {
            at += 1;
            continue;
        }
        let run = values[at..].iter().take_while(|value| !value.is_finite()).count();
        let before = at.checked_sub(1).map(|i| values[i]);
        let after = values.get(at + run).copied();
        match (before.or(after), after.or(before)) {
            (Some(from), Some(to)) if run <= longest => {
                for i in 0..run {
                    let share = (i + 1) as f64 / (run + 1) as f64;
                    values[at + i] = from * (1.0 - share) + to * share;
                }
            }
            _ => missing += run,
        }
        at += run;
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_go_to_the_nearest_step() {
        let grid = Grid { start: 1000, step: 10, len: 5 };
        let mut values = Vec::new();
        // 995 is half a step before the first one, 1044 less than half a step after the last one.
        grid.place(&[994, 995, 1014, 1015, 1044, 1045], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut values);
        assert_eq!([values[0], values[1], values[2], values[4]], [2.0, 3.0, 4.0, 5.0]);
        assert!(values[3].is_nan());
        grid.place(&[], &[], &mut values);
        assert!(values.len() == 5 && values.iter().all(|value| value.is_nan()));
        // A jump over many steps, and times at the ends of the range.
        grid.place(&[1000, 1041], &[1.0, 2.0], &mut values);
        assert_eq!((values[0], values[4]), (1.0, 2.0));
        grid.shifted(i64::MAX).place(&[i64::MIN, 0, i64::MAX], &[1.0, 2.0, 3.0], &mut values);
        assert_eq!(values.iter().filter(|value| value.is_finite()).count(), 1);
    }

    #[test]
    fn a_counter_that_begins_again_has_no_negative_rate() {
        let mut into = Default::default();
        rates(&[0, 10, 20, 40], &[5.0, 25.0, 4.0, 8.0], &mut into);
        assert_eq!(into, (vec![10, 20, 40], vec![2.0, 0.4, 0.2]));
        rates(&[1], &[1.0], &mut into);
        assert!(into.0.is_empty());
    }

    #[test]
    fn ends_get_the_nearest_value_and_nothing_stays_nothing() {
        let mut values = [f64::NAN, 2.0, f64::INFINITY];
        assert_eq!(bridge(&mut values, 1), 0);
        assert_eq!(values, [2.0, 2.0, 2.0]);
        assert_eq!(bridge(&mut [f64::NAN; 3], 5), 3);
    }
}
