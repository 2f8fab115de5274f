//! Logging: to standard error, filtered, and throttled so that no single cause floods the log.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging with this filter. A second call has no effect.
///
/// # Errors
/// The filter does not parse; the error is its message.
pub fn init(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|e| format!("log: {e}"))?;
    let (layer, handle) = reload::Layer::new(filter);
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let output = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(ansi);
    if tracing_subscriber::registry().with(layer).with(output).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
    Ok(())
}

/// Replaces the filter of the running process.
///
/// # Errors
/// The filter does not parse; the error is its message.
pub fn set_filter(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|e| format!("log: {e}"))?;
    match FILTER.get() {
        Some(handle) => handle.reload(filter).map_err(|e| format!("log: {e}")),
        None => Ok(()),
    }
}

/// Lets one message of a kind pass in each second, or in another period, and counts the rest.
#[derive(Debug)]
pub struct Throttle {
    pause: Duration,
    started: OnceLock<Instant>,
    /// Milliseconds since `started` at which the next message may pass.
    next_ms: AtomicU64,
    suppressed: AtomicU64,
}

impl Throttle {
    /// A throttle that lets the first message pass, and then one per second.
    pub const fn new() -> Self {
        Self::every(Duration::from_secs(1))
    }

    /// A throttle that lets the first message pass, and then one per `pause`.
    pub const fn every(pause: Duration) -> Self {
        Throttle {
            pause,
            started: OnceLock::new(),
            next_ms: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// `Some(n)` if a message may be logged now; `n` messages were held back since the last one.
    pub fn pass(&self) -> Option<u64> {
        let now = self.started.get_or_init(Instant::now).elapsed().as_millis() as u64;
        let next = self.next_ms.load(Ordering::Relaxed);
        let later = now + self.pause.as_millis() as u64;
        let won = now >= next
            && self.next_ms.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if won {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_one_message() {
        let throttle = Throttle::new();
        assert_eq!(throttle.pass(), Some(0));
        for _ in 0..5 {
            assert_eq!(throttle.pass(), None);
        }
        throttle.next_ms.store(0, Ordering::Relaxed);
        assert_eq!(throttle.pass(), Some(5));
    }
}
