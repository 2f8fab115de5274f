//! The clock that retention trusts: the wall clock, unless it recently jumped ahead.
//!
//! The steady clock distinguishes elapsed time from a clock that was set. If the wall clock is suddenly ahead of it
//! by more than [`SLACK`], the trusted clock continues at the pace of the steady clock. The wall clock is trusted
//! again when it has been ahead for [`WAIT`], or when it returns. A wall clock that is set back is trusted at once,
//! since that only keeps data for longer.
//!
//! At startup there is no steady clock to compare with. The newest stored timestamp takes its place, and writers that
//! send times near the wall clock confirm the wall clock.

use std::time::Duration;

use crate::model::Timestamp;

/// The maximum difference of two clocks that agree.
pub(super) const SLACK: i64 = 3_600 * 1_000_000_000;
/// How long the wall clock must stay ahead before it is trusted.
pub(super) const WAIT: Duration = Duration::from_secs(24 * 3_600);

/// A reading of both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub wall: Timestamp,
    pub steady: Duration,
}

/// The result of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judged {
    /// The time of the trusted clock.
    pub trusted: Timestamp,
    /// Whether the wall clock is ahead of it by more than the slack.
    pub is_ahead: bool,
    /// Whether only the trusted clock counts, regardless of writers, because the wall clock was seen to be set.
    pub is_strict: bool,
    /// A change, to be logged once.
    pub news: Option<News>,
}

/// A change of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It is suddenly ahead.
    Ahead,
    /// It has been ahead for long enough, or writers agree with it.
    Believed,
    /// It came back.
    Back,
}

/// A wall clock that is ahead.
#[derive(Debug, Clone, Copy)]
struct Suspicion {
    /// When that began, on the steady clock.
    since: Duration,
    /// How far it was ahead then.
    ahead: i64,
    is_strict: bool,
}

#[derive(Debug)]
pub(super) struct Trusted {
    /// A moment at which the wall clock was right.
    anchor: Reading,
    /// Whether something other than the wall clock confirmed it; after a start the steady clock cannot.
    is_settled: bool,
    suspicion: Option<Suspicion>,
}

impl Trusted {
    /// Creates it at the start of a process. `stored` is the newest stored time; the wall clock may be `slack` later.
    pub fn new(now: Reading, stored: Option<Timestamp>, slack: i64) -> Trusted {
        let Some(stored) = stored else {
            return Trusted { anchor: now, is_settled: true, suspicion: None };
        };
        let is_later = now.wall > stored.saturating_add(slack);
        let is_earlier = now.wall < stored.saturating_sub(slack);
        let wall = if is_later { stored } else { now.wall };
        Trusted {
            anchor: Reading { wall, steady: now.steady },
            is_settled: !is_later && !is_earlier,
            suspicion: None,
        }
    }

    /// Evaluates the clocks.
    pub fn observe(&mut self, now: Reading) -> Judged {
        let steady = self.steady(now);
        let ahead = now.wall.saturating_sub(steady);
        let mut news = None;
        if ahead <= SLACK {
            news = self.suspicion.take().map(|_| News::Back);
            self.anchor = now;
        } else {
            match &mut self.suspicion {
                Some(known) if ahead <= known.ahead.saturating_add(SLACK) => {
                    known.ahead = known.ahead.min(ahead);
                    if now.steady.saturating_sub(known.since) >= WAIT {
                        self.believe(now);
                        news = Some(News::Believed);
                    }
                }
                known => {
                    // It was seen to be set, unless this is the first reading.
                    let is_strict = self.is_settled || known.is_some();
                    *known = Some(Suspicion { since: now.steady, ahead, is_strict });
                    news = Some(News::Ahead);
                }
            }
        }
        Judged {
            trusted: self.steady(now),
            is_ahead: self.suspicion.is_some(),
            is_strict: self.suspicion.is_some_and(|known| known.is_strict),
            news,
        }
    }

    /// Records a time that a writer set just now.
    pub fn hear(&mut self, given: Timestamp, now: Reading) -> Option<News> {
        let steady = self.steady(now);
        let is_near_wall = given.abs_diff(now.wall) <= SLACK.unsigned_abs();
        // Nearer to the steady clock. After a start, that clock is behind by the time for which the process was not
        // running.
        let is_as_before =
            given >= steady.saturating_sub(SLACK) && given.abs_diff(steady) < given.abs_diff(now.wall);
        match &mut self.suspicion {
            // Writers whose timestamps continue from before the jump contradict the wall clock for as long as they
            // write.
            Some(known) if is_as_before => {
                known.since = now.steady;
                None
            }
            Some(known) if is_near_wall && !known.is_strict => {
                self.believe(now);
                Some(News::Believed)
            }
            Some(_) => None,
            None => {
                self.is_settled |= is_near_wall;
                None
            }
        }
    }

    /// Whether times set by writers are needed.
    pub fn wants_to_hear(&self) -> bool {
        !self.is_settled || self.suspicion.is_some()
    }

    fn steady(&self, now: Reading) -> Timestamp {
        let passed = now.steady.saturating_sub(self.anchor.steady).as_nanos();
        self.anchor.wall.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    fn believe(&mut self, now: Reading) {
        *self = Trusted { anchor: now, is_settled: true, suspicion: None };
    }
}
