//! Requests for queries: text, times, limits, and a way to cancel.

mod setters;

use std::borrow::Cow;
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
#[non_exhaustive]
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
    /// Maximum wall time of a call that runs the query, default 2 minutes.
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
///
/// ```
/// use std::time::Duration;
///
/// use barograph_query::{Limits, Request};
///
/// let limits = Limits::default().with_timeout(Duration::from_secs(10)).with_series_max(1_000);
/// let request = Request::instant("sum(cpu_usage)", barograph_engine::Timestamp::now())
///     .with_limits(limits)
///     .with_explain(true);
/// assert_eq!(request.limits.series_max, 1_000);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// The expression.
    pub query: String,
    /// When to evaluate it.
    pub times: Times,
    /// How far back an instant selector looks; default 5 minutes.
    pub lookback: Duration,
    /// The tier that answers.
    pub tier: TierChoice,
    /// The share by which values may differ from those of the samples; a query whose answer may be further away, or has
    /// no known bound, fails.
    pub max_error: Option<f64>,
    /// The limits of the query.
    pub limits: Limits,
    /// Cancels the query.
    pub cancel: Cancel,
    /// The threads that help if the work can be divided.
    pub crew: Crew,
    /// Whether the response includes the estimated and actual cost of each part of the query.
    pub explain: bool,
    /// Whether the response includes the number of samples read for each step.
    pub per_step_stats: bool,
    /// What the query uses while it runs, and the memory that it shares with others. Clones of the request share it.
    pub(crate) usage: Usage,
    /// When the time of `limits.timeout` began; `None` if it begins with the call that runs the query.
    pub(crate) started: Option<Instant>,
}

/// What the server needs of a [`Request`], and programs that embed the library do not.
#[doc(hidden)]
pub trait Metered {
    /// What the query uses while it runs.
    fn usage(&self) -> &Usage;

    /// Lets the time of [`Limits::timeout`] begin at `started`, and not with the call that runs the query.
    fn start_at(&mut self, started: Instant);

    /// The request with a beginning of its time: now, unless it has one. What runs a query in several steps, or several
    /// times, calls this first, so that all of them together have the time of one call.
    fn begun(&self) -> Cow<'_, Request>;
}

impl Metered for Request {
    fn usage(&self) -> &Usage {
        &self.usage
    }

    fn start_at(&mut self, started: Instant) {
        self.started = Some(started);
    }

    fn begun(&self) -> Cow<'_, Request> {
        match self.started {
            Some(_) => Cow::Borrowed(self),
            None => Cow::Owned(Request { started: Some(Instant::now()), ..self.clone() }),
        }
    }
}

impl Request {
    /// An instant query with default limits.
    pub fn instant(query: impl Into<String>, time: impl Into<Timestamp>) -> Self {
        Self::new(query, Times::Instant { time: time.into() })
    }

    /// A range query with default limits.
    pub fn range(
        query: impl Into<String>,
        start: impl Into<Timestamp>,
        end: impl Into<Timestamp>,
        step: Duration,
    ) -> Self {
        Self::new(query, Times::Range { start: start.into(), end: end.into(), step })
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

    /// A query at `times` with default limits.
    pub fn new(query: impl Into<String>, times: Times) -> Self {
        Request {
            query: query.into(),
            times,
            lookback: Duration::from_secs(300),
            tier: TierChoice::default(),
            max_error: None,
            limits: Limits::default(),
            cancel: Cancel::default(),
            crew: Crew::default(),
            explain: false,
            per_step_stats: false,
            usage: Usage::default(),
            started: None,
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

    /// Its memory limit and deadline. The memory limit is at most the reserve of the share of all queries. Unless the
    /// request is being run, its time begins now.
    pub fn work(&self) -> Work {
        let account = self.usage.account();
        let reserve = account.share().map(|share| share.reserve()).filter(|bytes| *bytes > 0);
        Work::unbounded()
            .charged_to(account.clone())
            .holding(self.limits.memory_max.min(reserve.unwrap_or(u64::MAX)))
            .within_since(self.limits.timeout, self.started.unwrap_or_else(Instant::now))
            .until(self.cancel.clone())
    }
}

/// Whole milliseconds of a span, at most as many as an `i64` holds.
fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemorySource;
    use crate::{QueryError, execute, explain};

    #[test]
    fn the_time_begins_with_the_call_unless_it_has_begun() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(200)).expect("the clock reaches back");
        let mut request = Request::instant_ms("1", 0);
        let source = MemorySource::new();
        assert!(request.started.is_none() && execute(&source, &request).is_ok());
        assert!(request.started.is_none(), "every call has the whole time");
        request.start_at(long_ago);
        assert_eq!(request.begun().started, Some(long_ago));
        assert!(matches!(execute(&source, &request), Err(QueryError::Timeout { .. })));
        assert!(matches!(explain(&source, &request), Err(QueryError::Timeout { .. })));
    }

    #[test]
    fn all_steps_of_a_call_have_one_beginning() {
        let request = Request::instant_ms("1", 0);
        let begun = request.begun();
        assert!(begun.started.is_some());
        assert_eq!(begun.begun().started, begun.started);
        begun.usage().take_bytes(7, 7).expect("nothing is taken");
        assert_eq!(request.usage().bytes(), 7, "they share what they count");
    }
}
