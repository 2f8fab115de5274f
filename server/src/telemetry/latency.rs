//! Latencies as HDR histograms: percentiles of the last one to two minutes, and a sum and a count since the start.
//!
//! Two histograms alternate. Percentiles are computed from both together, so they always cover at least a whole minute
//! and nothing older than two minutes. Percentiles since the start would hide a problem of today behind a quiet week.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::telemetry::exposition::{Kind, Metric};

/// How long one histogram is used.
const TURN: Duration = Duration::from_secs(60);

/// The highest value in microseconds: the range is 1 µs to 1 h, with three significant digits.
const HIGHEST: u64 = 3_600_000_000;

const QUANTILES: [(f64, &str); 5] =
    [(0.5, "0.5"), (0.9, "0.9"), (0.95, "0.95"), (0.99, "0.99"), (0.999, "0.999")];

/// The latency that a request counts toward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatencyClass {
    /// It counts toward none.
    None,
    /// The latency of writes.
    Write,
    /// The latency of queries, including waiting.
    Query,
}

/// Records durations from any thread.
pub struct Latency {
    state: Mutex<State>,
}

struct State {
    current: Histogram<u64>,
    previous: Histogram<u64>,
    turned: Instant,
    sum: Duration,
    count: u64,
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, HIGHEST, 3)
                .expect("the bounds are in order and 3 digits are allowed")
        };
        let state = State {
            current: histogram(),
            previous: histogram(),
            turned: Instant::now(),
            sum: Duration::ZERO,
            count: 0,
        };
        Latency { state: Mutex::new(state) }
    }
}

impl State {
    /// Starts a new turn when the current one is over.
    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.turned);
        if age < TURN {
            return;
        }
        std::mem::swap(&mut self.current, &mut self.previous);
        self.current.reset();
        if age >= 2 * TURN {
            self.previous.reset();
        }
        self.turned = now;
    }
}

impl Latency {
    /// Records a duration; more than an hour counts as an hour.
    pub fn record(&self, took: Duration) {
        let mut state = self.state.lock();
        state.turn(Instant::now());
        state.current.saturating_record((took.as_micros() as u64).max(1));
        state.sum += took;
        state.count += 1;
    }

    /// The summary metric, in seconds.
    pub fn metric(&self, name: &'static str, help: &'static str) -> Metric {
        let mut state = self.state.lock();
        state.turn(Instant::now());
        let mut both = state.previous.clone();
        both.add(&state.current).expect("both have the same bounds");
        let mut metric = Metric::new(Kind::Summary, name, help);
        for (quantile, label) in QUANTILES {
            let seconds = match both.is_empty() {
                true => f64::NAN,
                false => both.value_at_quantile(quantile) as f64 / 1e6,
            };
            metric.push(&[("quantile", label)], seconds);
        }
        metric.push_part("_sum", &[], state.sum.as_secs_f64());
        metric.push_part("_count", &[], state.count as f64);
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(latency: &Latency) -> Vec<f64> {
        latency.metric("x_seconds", "X.").points.iter().map(|p| p.value).collect()
    }

    #[test]
    fn percentiles_sum_and_count() {
        let latency = Latency::default();
        assert!(values(&latency)[0].is_nan());
        for ms in 1..=1000 {
            latency.record(Duration::from_millis(ms));
        }
        latency.record(Duration::from_secs(10_000));
        let values = values(&latency);
        for (found, expected) in values.iter().zip([0.5, 0.9, 0.95, 0.99, 0.999]) {
            assert!((found / expected - 1.0).abs() < 0.01, "{found} for {expected}");
        }
        assert_eq!(values[6], 1001.0);
        assert!((values[5] - 10_500.5).abs() < 1e-6);
    }

    #[test]
    fn old_turns_are_forgotten() {
        let latency = Latency::default();
        latency.record(Duration::from_secs(1));
        let mut state = latency.state.lock();
        let start = state.turned;
        state.turn(start + TURN);
        assert_eq!((state.previous.len(), state.current.len()), (1, 0));
        state.turn(start + 4 * TURN);
        assert_eq!((state.previous.len(), state.current.len()), (0, 0));
        assert_eq!(state.count, 1);
    }
}
