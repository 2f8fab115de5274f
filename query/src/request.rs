//! Requests for queries: text, times, limits, and a way to cancel.

use std::time::{Duration, Instant};

use barograph_engine::budget::{Cancel, Work};
use barograph_engine::model::Expressions;
use barograph_engine::model::pattern::EXPRESSIONS_BYTES_MAX;

use crate::crew::Crew;
use crate::usage::Usage;

/// When to evaluate. All times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Once.
    Instant {
        /// The evaluation time.
        time_ms: i64,
    },
    /// At `start_ms`, `start_ms + step_ms`, … up to and including `end_ms`.
    Range {
        /// First evaluation time.
        start_ms: i64,
        /// No evaluation after this; not before `start_ms`.
        end_ms: i64,
        /// Distance, at least 1.
        step_ms: i64,
    },
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
    pub lookback_ms: i64,
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
    pub fn instant(query: impl Into<String>, time_ms: i64) -> Self {
        Self::new(query.into(), Times::Instant { time_ms })
    }

    /// A range query with default limits.
    pub fn range(query: impl Into<String>, start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        Self::new(query.into(), Times::Range { start_ms, end_ms, step_ms })
    }

    fn new(query: String, times: Times) -> Self {
        Request {
            query,
            times,
            lookback_ms: 300_000,
            limits: Limits::default(),
            cancel: Cancel::default(),
            usage: Usage::default(),
            crew: Crew::default(),
            explain: false,
            per_step_stats: false,
            started: Instant::now(),
        }
    }

    /// The memory for its regular expressions.
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
