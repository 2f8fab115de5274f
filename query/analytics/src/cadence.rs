//! How often a series reports, and whether it has stopped.

/// What a series' times say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cadence {
    /// The interval that 95 % of the intervals do not pass, in the unit of the times.
    pub interval: f64,
    /// The time since the newest sample.
    pub age: f64,
}

/// The least number of samples that an interval is learnt from.
pub const LEAST: usize = 5;

/// The memory that [`of_times`] takes for `len` times.
pub fn bytes(len: usize) -> usize {
    len * size_of::<i64>()
}

/// The cadence of ascending times at `now`; `None` of fewer than [`LEAST`].
///
/// Of a series that reports in bursts, or that a scrape misses now and then, the interval is one of the long ones.
pub fn of_times(times: &[i64], now: i64) -> Option<Cadence> {
    let (&newest, count) = (times.last()?, times.len());
    if count < LEAST {
        return None;
    }
    let mut intervals: Vec<i64> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    let place = (0.95 * (intervals.len() - 1) as f64).ceil() as usize;
    let (_, &mut interval, _) = intervals.select_nth_unstable(place);
    Some(Cadence { interval: interval as f64, age: now.saturating_sub(newest) as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_series_reports_at_its_interval() {
        let times: Vec<i64> = (0..100).map(|i| 15 * i + i % 2).collect();
        assert_eq!(of_times(&times, 1600), Some(Cadence { interval: 16.0, age: 1600.0 - 1486.0 }));
    }

    #[test]
    fn a_missed_report_now_and_then_is_no_cadence_and_bursts_are() {
        let mut times: Vec<i64> = (0..200).map(|i| 10 * i).collect();
        times.remove(50);
        assert_eq!(of_times(&times, 2000).map(|cadence| cadence.interval), Some(10.0));
        let bursts: Vec<i64> = (0..100).map(|i| 100 * (i / 5) + i % 5).collect();
        assert_eq!(of_times(&bursts, 2000).map(|cadence| cadence.interval), Some(96.0));
    }

    #[test]
    fn a_few_samples_say_nothing() {
        assert_eq!(of_times(&[1, 2, 3, 4], 9), None);
        assert_eq!(of_times(&[], 9), None);
    }
}
