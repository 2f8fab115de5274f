//! Limits of a running query: samples and bytes held, wall time, cancellation.
//!
//! # Concurrency
//! Counters are atomic, and workers share one budget. Limits are checked when something is taken, so a query overshoots
//! by at most one series per worker.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use barograph_engine::budget::Work;
use barograph_engine::model::Expressions;
use barograph_engine::model::timestamp::Timestamp;

use crate::steps::Steps;
pub(crate) mod made;
pub(crate) mod pace;
pub(crate) mod parallel;

use crate::crew::Crew;
use crate::error::QueryError;
use crate::request::{Limits, Request};
use crate::usage::{Footprint, Usage};
use crate::value::QueryStats;

/// Counts what a query uses against its limits.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    work: Work,
    started: Instant,
    usage: Usage,
    crew: Crew,
    /// Bytes that nodes hold: the bytes of `usage` without those of the source.
    bytes: AtomicU64,
    /// Samples read for each step of the query, if the request asks for this.
    per_step: Option<PerStep>,
}

#[derive(Debug)]
struct PerStep {
    steps: Steps,
    counts: Vec<AtomicU64>,
}

impl PerStep {
    fn of(request: &Request) -> Option<PerStep> {
        let steps = Steps::of(request.query_times());
        let wanted = request.per_step_stats && steps.count as u64 <= request.limits.samples_max;
        wanted.then(|| PerStep { steps, counts: (0..steps.count).map(|_| AtomicU64::new(0)).collect() })
    }

    /// Counts samples read at a time for the first step at or after it.
    fn count(&self, time_ms: i64, samples: u64) {
        let after = time_ms.saturating_sub(self.steps.start_ms).max(0);
        let step = (after as u64).div_ceil(self.steps.step_ms.max(1) as u64);
        let last = self.counts.len().saturating_sub(1);
        if let Some(count) = self.counts.get(usize::try_from(step).unwrap_or(last).min(last)) {
            count.fetch_add(samples, Relaxed);
        }
    }
}

impl Budget {
    /// A budget that has used nothing.
    pub fn new(request: &Request) -> Self {
        request.usage.begin();
        Budget {
            limits: request.limits,
            work: request.work(),
            started: request.started.unwrap_or_else(Instant::now),
            usage: request.usage.clone(),
            crew: request.crew.clone(),
            bytes: AtomicU64::new(0),
            per_step: PerStep::of(request),
        }
    }

    /// The threads that help with the query.
    pub fn crew(&self) -> &Crew {
        &self.crew
    }

    /// Counts a footprint until it is released. A refused footprint is not counted.
    ///
    /// # Errors
    /// [`QueryError::TooManySamples`], [`QueryError::Memory`], [`QueryError::MemoryPool`].
    pub fn hold(&self, held: Footprint) -> Result<(), QueryError> {
        self.work.take(held.bytes)?;
        self.bytes.fetch_add(held.bytes, Relaxed);
        if self.usage.add_samples(held.samples) <= self.limits.samples_max {
            return Ok(());
        }
        self.release(held);
        Err(QueryError::TooManySamples { limit: self.limits.samples_max })
    }

    /// Releases a footprint.
    pub fn release(&self, held: Footprint) {
        self.usage.sub_samples(held.samples);
        self.bytes.fetch_sub(held.bytes, Relaxed);
        self.work.give(held.bytes);
    }

    /// The current footprint, except that of the source.
    pub fn held(&self) -> Footprint {
        Footprint { samples: self.usage.samples(), bytes: self.bytes.load(Relaxed) }
    }

    /// Called when a node is done: only its value is still held. No worker runs at that time.
    ///
    /// # Errors
    /// Same as [`Budget::hold`].
    pub fn settle(&self, before: Footprint, value: Footprint) -> Result<(), QueryError> {
        let (held, kept) = (self.held(), before + value);
        // Hold at most the difference: memory released even briefly may be taken by others.
        self.hold(kept.without(held))?;
        self.release(held.without(kept));
        Ok(())
    }

    /// Refuses a column that could never be held, before it is allocated.
    ///
    /// # Errors
    /// Same as [`Budget::hold`].
    pub fn admit(&self, steps: usize) -> Result<(), QueryError> {
        if steps as u64 > self.limits.samples_max {
            return Err(QueryError::TooManySamples { limit: self.limits.samples_max });
        }
        let column = Footprint::bytes(steps.saturating_mul(size_of::<f64>()));
        self.hold(column)?;
        self.release(column);
        Ok(())
    }

    /// Expressions that are compiled while the query runs.
    pub fn expressions(&self) -> Expressions {
        Expressions::new(self.work.clone(), self.limits.regex_memory_max)
    }

    /// The counters.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Counts samples that selectors returned.
    pub fn count_read(&self, samples: u64) {
        self.usage.count_read(samples);
    }

    /// Counts samples that were read for the evaluation at a time.
    #[inline]
    pub fn count_step(&self, time_ms: i64, samples: u64) {
        if let Some(per_step) = &self.per_step {
            per_step.count(time_ms, samples);
        }
    }

    /// Times, and samples read for each step; empty if the request did not ask for this.
    pub fn samples_per_step(&self) -> Vec<(Timestamp, u64)> {
        let Some(per_step) = &self.per_step else { return Vec::new() };
        let counts = per_step.counts.iter().enumerate();
        counts.map(|(i, count)| (Timestamp::from_millis(per_step.steps.at(i)), count.load(Relaxed))).collect()
    }

    /// Fails if the query must stop. Called for every series and every few thousand samples.
    ///
    /// # Errors
    /// [`QueryError::Canceled`], [`QueryError::Timeout`].
    pub fn check(&self) -> Result<(), QueryError> {
        #[cfg(test)]
        if self.usage.count_check() {
            self.work.cancel().cancel();
        }
        Ok(self.work.check()?)
    }

    /// Whether to use other cores too.
    pub fn spreads(&self) -> bool {
        self.work.spreads()
    }

    /// Maximum number of series that one selector may match.
    pub fn series_max(&self) -> usize {
        self.limits.series_max
    }

    /// Called when the evaluation is done: everything held now is the answer, and stays counted.
    pub fn leave_answer(&self) {
        self.usage.leave_answer(self.bytes.swap(0, Relaxed));
    }

    /// The current statistics.
    pub fn stats(&self) -> QueryStats {
        QueryStats {
            samples_total: self.usage.samples_read(),
            samples_peak: self.usage.samples_peak(),
            bytes_peak: self.usage.bytes_peak(),
            series_total: self.usage.series(),
            eval_time: self.started.elapsed(),
        }
    }
}

/// Releases everything that a failed evaluation held.
impl Drop for Budget {
    fn drop(&mut self) {
        self.work.give(*self.bytes.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn budget(limits: Limits) -> Budget {
        Budget::new(&Request { limits, ..Request::instant_ms("1", 0) })
    }

    fn samples(samples: u64) -> Footprint {
        Footprint { samples, bytes: 0 }
    }

    #[test]
    fn released_samples_can_be_held_again() {
        let b = budget(Limits { samples_max: 10, ..Limits::default() });
        b.hold(samples(10)).unwrap();
        b.release(samples(4));
        b.hold(samples(4)).unwrap();
        assert!(matches!(b.hold(samples(1)), Err(QueryError::TooManySamples { limit: 10 })));
        assert_eq!(b.stats().samples_peak, 11);
    }

    #[test]
    fn what_the_source_keeps_outlives_the_nodes() {
        let request = Request {
            limits: Limits { memory_max: 100, ..Limits::default() },
            ..Request::instant_ms("1", 0)
        };
        let (b, source) = (Budget::new(&request), request.work());
        source.take(30).unwrap();
        b.hold(Footprint::bytes(50)).unwrap();
        b.settle(Footprint::default(), Footprint::bytes(20)).unwrap();
        assert_eq!((b.held(), b.usage().bytes()), (Footprint::bytes(20), 50));
        assert!(source.take(51).is_err());
        source.give(20);
        assert_eq!(b.usage().bytes(), 30);
        assert!(matches!(b.admit(9), Err(QueryError::Memory { .. })));
        b.admit(8).unwrap();
        assert_eq!(b.usage().bytes(), 30);
    }

    #[test]
    fn cancel_and_deadline_end_it() {
        let request = Request::instant_ms("1", 0);
        let b = Budget::new(&request);
        b.check().unwrap();
        request.cancel.cancel();
        assert!(matches!(b.check(), Err(QueryError::Canceled)));
        let late = budget(Limits { timeout: Duration::ZERO, ..Limits::default() });
        assert!(matches!(late.check(), Err(QueryError::Timeout { .. })));
    }
}
