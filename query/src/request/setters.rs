//! Setters, with which a program builds a request and its limits.

use std::sync::Arc;
use std::time::Duration;

use barograph_engine::budget::{Cancel, Share};

use super::{Limits, Request, TierChoice};
use crate::crew::Crew;
use crate::usage::Usage;

macro_rules! setters {
    ($of:ident: $($set:ident $field:ident: $type:ty),* $(,)?) => {
        /// Setters of the fields with the same names.
        impl $of {
            $(
                #[doc = concat!("Sets [`", stringify!($of), "::", stringify!($field), "`].")]
                #[must_use]
                pub fn $set(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}

setters! {
    Limits:
    with_query_bytes_max query_bytes_max: usize,
    with_samples_max samples_max: u64,
    with_memory_max memory_max: u64,
    with_regex_memory_max regex_memory_max: u64,
    with_series_max series_max: usize,
    with_timeout timeout: Duration,
}

setters! {
    Request:
    with_lookback lookback: Duration,
    with_tier tier: TierChoice,
    with_max_error max_error: Option<f64>,
    with_limits limits: Limits,
    with_cancel cancel: Cancel,
    with_crew crew: Crew,
    with_explain explain: bool,
    with_per_step_stats per_step_stats: bool,
}

impl Request {
    /// Takes the memory of the query from `share` too, which bounds several queries together. The memory of the answer
    /// stays taken until the request and its clones are dropped. If the share is used up, the query waits for its turn.
    ///
    /// ```
    /// use barograph_engine::budget::Share;
    /// use barograph_query::source::memory::MemorySource;
    /// use barograph_query::{Request, execute};
    ///
    /// let share = Share::new("queries", 64 << 20);
    /// let request =
    ///     Request::instant("vector(1)", barograph_engine::Timestamp::UNIX_EPOCH).with_share(share.clone());
    /// let answer = execute(&MemorySource::new(), &request)?;
    /// assert!(share.used() > 0, "the answer is still held");
    /// drop((answer, request));
    /// assert_eq!(share.used(), 0);
    /// # Ok::<(), barograph_query::QueryError>(())
    /// ```
    #[must_use]
    pub fn with_share(mut self, share: Arc<Share>) -> Self {
        self.usage = Usage::of(share);
        self
    }
}
