//! A piece of work: its memory, its deadline, and whether it was canceled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::{Account, Denied};

/// Stops a piece of work from another thread. Clones share one flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the work to stop; it ends within milliseconds.
    pub fn cancel(&self) {
        self.flag.store(true, Relaxed);
    }

    /// Whether `cancel` was called.
    pub fn is_canceled(&self) -> bool {
        self.flag.load(Relaxed)
    }
}

/// Why a piece of work has to stop.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Stopped {
    /// It was canceled, or its client has disconnected.
    #[error("it was canceled")]
    Canceled,
    /// Its time limit was exceeded.
    #[error("it timed out after {seconds} s")]
    Timeout {
        /// The limit.
        seconds: f64,
    },
    /// It used up the allowance of light work ([`Allowance`](super::Allowance)).
    #[error("it is too much for light work")]
    Heavy,
}

/// A piece of work. Clones refer to the same work.
///
/// ```
/// use barograph_engine::budget::{Cancel, Share, Work};
/// use std::time::Duration;
///
/// let share = Share::new("queries", 1 << 20);
/// let cancel = Cancel::default();
/// let work = Work::unbounded().of(share.clone()).holding(1 << 10).within(Duration::from_secs(60)).until(cancel.clone());
/// work.take(1000)?;
/// assert!(work.take(1000).is_err(), "more than 1 KiB");
/// work.check()?;
/// cancel.cancel();
/// assert!(work.check().is_err());
/// drop(work);
/// assert_eq!(share.used(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Work {
    cancel: Cancel,
    started: Instant,
    timeout: Option<Duration>,
    account: Account,
    bytes_max: u64,
}

impl Default for Work {
    fn default() -> Self {
        Work::unbounded()
    }
}

impl Work {
    /// Work without a limit on memory or time.
    pub fn unbounded() -> Self {
        Work {
            cancel: Cancel::default(),
            started: Instant::now(),
            timeout: None,
            account: Account::default(),
            bytes_max: u64::MAX,
        }
    }

    /// Uses an account that counts against `share`.
    #[must_use]
    pub fn of(self, share: Arc<super::Share>) -> Self {
        self.charged_to(Account::of(share))
    }

    /// Uses this account.
    #[must_use]
    pub fn charged_to(mut self, account: Account) -> Self {
        self.account = account;
        self
    }

    /// Limits the work to `bytes` held at once.
    #[must_use]
    pub fn holding(mut self, bytes: u64) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Sets the deadline to `timeout` from now, when the work begins.
    #[must_use]
    pub fn within(self, timeout: Duration) -> Self {
        self.within_since(timeout, Instant::now())
    }

    /// Sets the deadline to `timeout` after `started`.
    #[must_use]
    pub fn within_since(mut self, timeout: Duration, started: Instant) -> Self {
        (self.started, self.timeout) = (started, Some(timeout));
        self
    }

    /// Stops when `cancel` is canceled.
    #[must_use]
    pub fn until(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Fails if the work was canceled or is past its deadline. Call this at least every ten milliseconds.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn check(&self) -> Result<(), Stopped> {
        if self.cancel.is_canceled() {
            return Err(Stopped::Canceled);
        }
        if self.account.is_light() && !self.account.lane().step() {
            return Err(Stopped::Heavy);
        }
        match self.timeout {
            Some(timeout) if self.started.elapsed() > timeout => {
                Err(Stopped::Timeout { seconds: timeout.as_secs_f64() })
            }
            _ => Ok(()),
        }
    }

    /// Takes `bytes` before they are allocated. They are held until they are released, or until the last clone of this
    /// work is dropped.
    ///
    /// # Errors
    /// [`Denied`]; nothing is taken in that case.
    pub fn take(&self, bytes: u64) -> Result<(), Denied> {
        let account = &self.account;
        if account.is_light() {
            let held = account.bytes();
            let total = held.saturating_add(bytes);
            // Its own limit is checked first, because it does not change when the work becomes heavy.
            if total <= self.bytes_max && !account.lane().hold(total) {
                return Err(Denied::Heavy);
            }
        }
        account.take(bytes, self.bytes_max)
    }

    /// Whether to use other cores too. For that, light work becomes heavy or stays on its thread.
    pub fn spreads(&self) -> bool {
        !self.account.is_light() || self.account.lane().leave(false)
    }

    /// Releases bytes.
    pub fn give(&self, bytes: u64) {
        self.account.give(bytes);
    }

    /// When it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The memory that it holds.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Cancels it.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// The maximum that it may hold, bytes.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_with_its_time_or_when_it_is_canceled() {
        let work = Work::unbounded();
        assert_eq!(work.check(), Ok(()));
        assert_eq!(work.clone().within(Duration::MAX).check(), Ok(()));
        let an_hour_ago = Instant::now().checked_sub(Duration::from_secs(3600)).unwrap();
        let late = work.clone().within_since(Duration::from_secs(60), an_hour_ago);
        assert_eq!(late.check(), Err(Stopped::Timeout { seconds: 60.0 }));
        work.cancel().cancel();
        assert_eq!(late.check(), Err(Stopped::Canceled), "clones are the same work");
    }
}
