//! Requests for queries: text, times, limits, and a way to cancel.

use std::time::{Duration, Instant};

use barograph_engine::budget::{Cancel, Work};
use barograph_engine::model::Expressions;
use barograph_engine::model::pattern::EXPRESSIONS_BYTES_MAX;
use barograph_engine::model::timestamp::Timestamp;

use crate::crew::Crew;
use crate::steps::QueryTimes;
use crate::usage::Usage;

/// When to evaluate: at whole milliseconds, so times are rounded down to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Once.
    Instant {
        /// The evaluation time.
        time: Timestamp,
    },
    /// At `start`, `start + step`, … up to and including `end`.
    Range {
        /// First evaluation time.
        start: Timestamp,
        /// No evaluation after this; not before `start`.
        end: Timestamp,
        /// Distance, at least a millisecond.
        step: Duration,
    },
}

/// Whether a query may be answered from the buckets of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TierChoice {
    /// From the coarsest tier that gives the same answer as the samples.
    #[default]
    Exact,
    /// From samples only.
    Raw,
    /// From the tier whose buckets have this width, even if its answer is only an estimate.
    Width(Duration),
}

/// The limits of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum bytes of the query's text, default 1 MiB. More than [`QUERY_BYTES_MAX`](crate::syntax::QUERY_BYTES_MAX)
    /// is never accepted.
    pub query_bytes_max: usize,
    /// Maximum samples held at once, default 50,000,000.
    pub samples_max: u64,
    /// Maximum bytes held at once: columns, decoded samples, histograms and labels; default 1 GiB.
    pub memory_max: u64,
    /// Maximum bytes of the query's regular expressions, with equal ones counted once; default 32 MiB. They also count
    /// toward `memory_max`.
    pub regex_memory_max: u64,
    /// Maximum series that one selector may match, default 1,000,000.
    pub series_max: usize,
    /// Maximum wall time, default 2 minutes.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            query_bytes_max: 1 << 20,
            samples_max: 50_000_000,
            memory_max: 1 << 30,
            regex_memory_max: EXPRESSIONS_BYTES_MAX,
            series_max: 1_000_000,
            timeout: Duration::from_secs(120),
        }
    }
}

/// A query with its times and limits.
#[derive(Debug, Clone)]
pub struct Request {
    /// The expression.
    pub query: String,
    /// When to evaluate it.
    pub times: Times,
    /// How far back an instant selector looks, milliseconds; default 5 minutes.
    pub lookback: Duration,
    /// The tier that answers.
    pub tier: TierChoice,
    /// The limits of the query.
    pub limits: Limits,
    /// Cancels the query.
    pub cancel: Cancel,
    /// The resources that the query uses while it runs, and the memory that it shares with others.
    pub usage: Usage,
    /// The threads that help if the work can be divided.
    pub crew: Crew,
    /// Whether the response includes the estimated and actual cost of each part of the query.
    pub explain: bool,
    /// Whether the response includes the number of samples read for each step.
    pub per_step_stats: bool,
    /// When the time of `limits.timeout` began.
    pub started: Instant,
}

impl Request {
    /// An instant query with default limits.
    pub fn instant(query: impl Into<String>, time: impl Into<Timestamp>) -> Self {
        Self::new(query.into(), Times::Instant { time: time.into() })
    }

    /// A range query with default limits.
    pub fn range(
        query: impl Into<String>,
        start: impl Into<Timestamp>,
        end: impl Into<Timestamp>,
        step: Duration,
    ) -> Self {
        Self::new(query.into(), Times::Range { start: start.into(), end: end.into(), step })
    }

    /// An instant query at a millisecond.
    #[cfg(test)]
    pub(crate) fn instant_ms(query: impl Into<String>, time_ms: i64) -> Self {
        Self::instant(query, Timestamp::from_millis(time_ms))
    }

    /// A range query, in milliseconds.
    #[cfg(test)]
    pub(crate) fn range_ms(query: impl Into<String>, start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let ms = Timestamp::from_millis;
        Self::range(query, ms(start_ms), ms(end_ms), Duration::from_millis(step_ms as u64))
    }

    fn new(query: String, times: Times) -> Self {
        Request {
            query,
            times,
            lookback: Duration::from_secs(300),
            tier: TierChoice::default(),
            limits: Limits::default(),
            cancel: Cancel::default(),
            usage: Usage::default(),
            crew: Crew::default(),
            explain: false,
            per_step_stats: false,
            started: Instant::now(),
        }
    }

    /// Its times in milliseconds; the step is 0 for an instant query, and for a range query whose step is too short.
    pub(crate) fn query_times(&self) -> QueryTimes {
        match self.times {
            Times::Instant { time } => {
                QueryTimes { start_ms: time.as_millis(), end_ms: time.as_millis(), step_ms: 0 }
            }
            Times::Range { start, end, step } => {
                QueryTimes { start_ms: start.as_millis(), end_ms: end.as_millis(), step_ms: millis(step) }
            }
        }
    }

    /// [`Request::lookback`] in milliseconds.
    pub(crate) fn lookback_ms(&self) -> i64 {
        millis(self.lookback)
    }

    /// What its regular expressions may take.
    pub(crate) fn expressions(&self) -> Expressions {
        Expressions::new(self.work(), self.limits.regex_memory_max)
    }

    /// Its memory limit and deadline. The memory limit is at most the reserve of the share of all queries.
    pub fn work(&self) -> Work {
        let account = self.usage.account();
        let reserve = account.share().map(|share| share.reserve()).filter(|bytes| *bytes > 0);
        Work::unbounded()
            .charged_to(account.clone())
            .holding(self.limits.memory_max.min(reserve.unwrap_or(u64::MAX)))
            .within_since(self.limits.timeout, self.started)
            .until(self.cancel.clone())
    }
}

/// Whole milliseconds of a span, at most as many as an `i64` holds.
fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
