//! Measures how fast a peer reads its answer.
//!
//! The memory of an answer is held until the peer has read it, so a peer that reads a byte now and then could hold it
//! indefinitely. Only time during which the server waits for the peer counts, not time during which the server produces
//! the answer.

use std::time::Duration;

use tokio::time::Instant;

/// The minimum rate at which a peer must read.
#[derive(Debug, Clone, Copy)]
pub struct LeastRate {
    /// Bytes a second; 0 means no minimum.
    pub bytes_per_second: u64,
    /// The window over which the rate is averaged, counting only time during which the peer keeps the server waiting.
    pub window: Duration,
}

/// Measures how fast a peer reads.
#[derive(Debug)]
pub struct Pace {
    least: LeastRate,
    /// Since when the peer has read nothing, if that is so.
    blocked: Option<Instant>,
    /// How long the peer has already kept the server waiting in this window.
    waited: Duration,
    /// Bytes that the peer has read in this window.
    taken: u64,
}

impl Pace {
    /// Begins a window.
    pub fn new(least: LeastRate) -> Self {
        Pace { least, blocked: None, waited: Duration::ZERO, taken: 0 }
    }

    /// Called when the peer stops reading. Returns when to call [`Pace::is_too_slow`] if nothing is read until then.
    pub fn blocked(&mut self, now: Instant) -> Option<Instant> {
        let since = *self.blocked.get_or_insert(now);
        if self.least.bytes_per_second == 0 {
            return None;
        }
        since.checked_add(self.least.window.saturating_sub(self.waited))
    }

    /// Called when the peer has read `bytes` more.
    pub fn took(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.blocked.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.taken = self.taken.saturating_add(bytes as u64);
    }

    /// Whether the peer read less than the minimum in a window that is over. Begins another window.
    pub fn is_too_slow(&mut self, now: Instant) -> bool {
        let ongoing = self.blocked.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let waited = self.waited + ongoing;
        if self.least.bytes_per_second == 0 || waited < self.least.window {
            return false;
        }
        let wanted = self.least.bytes_per_second as f64 * waited.as_secs_f64();
        let is_too_slow = (self.taken as f64) < wanted;
        self.waited = Duration::ZERO;
        self.taken = 0;
        self.blocked = self.blocked.map(|_| now);
        is_too_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace(bytes_per_second: u64) -> (Pace, Instant) {
        (Pace::new(LeastRate { bytes_per_second, window: 30 * SECOND }), Instant::now())
    }

    /// Blocks for `seconds` before each of `takes` reads of `bytes`. Returns when the peer was found too slow.
    fn drip(pace: &mut Pace, begin: Instant, seconds: u32, bytes: usize, takes: u32) -> Option<u32> {
        let mut now = begin;
        for i in 0..takes {
            let until = now + seconds * SECOND;
            while let Some(deadline) = pace.blocked(now).filter(|&deadline| deadline <= until) {
                now = deadline;
                if pace.is_too_slow(now) {
                    return Some(i);
                }
            }
            now = until;
            pace.took(bytes, now);
        }
        None
    }

    #[test]
    fn a_peer_that_takes_a_byte_a_second_is_too_slow_after_a_window() {
        let (mut pace, begin) = pace(1024);
        assert_eq!(drip(&mut pace, begin, 1, 1, 100), Some(29));
    }

    #[test]
    fn one_that_takes_enough_continues() {
        for (seconds, bytes) in [(1, 1100), (10, 20_000), (20, 80_000)] {
            let (mut pace, begin) = pace(1024);
            assert_eq!(drip(&mut pace, begin, seconds, bytes, 10_000), None, "{bytes} after {seconds} s");
        }
    }

    #[test]
    fn time_in_which_nothing_is_there_to_take_is_not_its_fault() {
        let (mut pace, mut now) = pace(1024);
        for _ in 0..100 {
            // After an hour, a piece of the answer is read at once.
            now += 3600 * SECOND;
            pace.took(10, now);
            assert!(!pace.is_too_slow(now));
        }
        assert_eq!(pace.blocked(now), Some(now + 30 * SECOND));
    }

    #[test]
    fn what_was_taken_fast_pays_for_one_window_only() {
        let (mut pace, mut now) = pace(1024);
        pace.took(1 << 30, now);
        pace.blocked(now);
        now += 30 * SECOND;
        assert!(!pace.is_too_slow(now));
        assert_eq!(pace.blocked(now), Some(now + 30 * SECOND), "the next window begins");
        now += 30 * SECOND;
        assert!(pace.is_too_slow(now));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let (mut pace, now) = pace(0);
        assert_eq!(pace.blocked(now), None);
        assert!(!pace.is_too_slow(now + 3600 * SECOND));
    }
}
