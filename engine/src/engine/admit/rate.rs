//! Limits the number of new series per second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::sync::Mutex;
use crate::{Error, Result};

/// The limit, and its use in the current second.
#[derive(Debug)]
pub(in crate::engine) struct SeriesLimiter {
    per_second: AtomicU64,
    window: Mutex<Option<(Instant, u64)>>,
}

impl SeriesLimiter {
    /// Creates a limit; zero means none.
    pub fn new(per_second: u64) -> Self {
        SeriesLimiter { per_second: AtomicU64::new(per_second), window: Mutex::default() }
    }

    /// Changes the limit.
    pub fn set(&self, per_second: u64) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    /// Admits one more series, unless the current second has reached the limit. A request that is stored whole or not
    /// at all has already created `brought` series: a retry creates them all again.
    pub fn admit(&self, brought: u64) -> Result<()> {
        let limit = self.per_second.load(Ordering::Relaxed);
        if limit == 0 {
            return Ok(());
        }
        if brought >= limit {
            return Err(Error::Limit(format!(
                "one batch creates more than {limit} new series, the limit for one second (max_new_series, \
                 Options::new_series_per_second): append it in smaller batches, or raise the limit"
            )));
        }
        let mut window = self.window.lock();
        let now = Instant::now();
        let (start, count) =
            window.filter(|w| now.duration_since(w.0) < Duration::from_secs(1)).unwrap_or((now, 0));
        if count >= limit {
            return Err(Error::Throttled(format!(
                "more than {limit} new series in one second, the limit (max_new_series); retry later"
            )));
        }
        *window = Some((start, count + 1));
        Ok(())
    }
}
