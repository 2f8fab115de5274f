//! The memory of connections and of the requests that arrive on them.
//!
//! A connection without a request holds little ([`REST_BYTES`]). Half of the share is reserved for such connections,
//! and they never get more than three quarters. A request waits until there is memory for it, behind requests of its
//! own kind only, and each kind has a part of the share that no other kind takes. No matter how many clients import
//! gigabytes, an agent's batch, a dashboard's query and a health check do not wait for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use barograph::budget::{Full, Hold, Share};

/// Memory of a connection without a request, bytes: its task, its timers, and the beginning of a header.
pub const REST_BYTES: u64 = 4 << 10;
/// Each kind of request has one part in this many of the share reserved for it.
const RESERVED_PART: u64 = 32;

/// The purpose of a connection's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A health check, a status page or a refusal: answered at once, and small.
    Instant,
    /// A write of at most 64 KiB.
    SmallWrite,
    /// A write of at most 512 KiB.
    Write,
    /// A read, or a call that changes the whole database.
    Read,
    /// A larger write, or one of unknown length.
    LargeWrite,
    /// A connection without a request.
    Rest,
}

impl Purpose {
    /// The kinds of requests, in the order in which they are served.
    const REQUESTS: [Purpose; 5] =
        [Purpose::Instant, Purpose::SmallWrite, Purpose::Write, Purpose::Read, Purpose::LargeWrite];
    const ALL: [Purpose; 6] = [
        Purpose::Instant,
        Purpose::SmallWrite,
        Purpose::Write,
        Purpose::Read,
        Purpose::LargeWrite,
        Purpose::Rest,
    ];
    const COUNT: usize = Self::ALL.len();
}

/// The memory of all connections; see the module's documentation.
#[derive(Debug)]
pub struct Connections {
    share: Arc<Share>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: [u64; Purpose::COUNT],
    waiting: [VecDeque<Waiting>; Purpose::COUNT],
    tickets: u64,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    bytes: u64,
    ready: oneshot::Sender<Place>,
}

/// Memory of a connection or of a request, released when it is dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    purpose: Purpose,
    hold: Hold,
}

/// A waiter, which leaves the queue when its future is dropped.
struct InLine<'a> {
    connections: &'a Arc<Connections>,
    purpose: Purpose,
    ticket: u64,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.connections.state.lock().waiting[self.purpose as usize]
            .retain(|waiting| waiting.ticket != self.ticket);
        self.connections.serve();
    }
}

impl Connections {
    /// Uses the whole `share`.
    pub fn new(share: Arc<Share>) -> Arc<Connections> {
        Arc::new(Connections { share, state: Mutex::default() })
    }

    /// The share.
    pub fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// The number of requests that wait for memory.
    pub fn waiting(&self) -> usize {
        self.state.lock().waiting.iter().map(VecDeque::len).sum()
    }

    /// Takes the memory of a new connection.
    ///
    /// # Errors
    /// [`Full`], without waiting.
    pub fn rest(self: &Arc<Self>) -> Result<Place, Full> {
        self.hold(&mut self.state.lock(), Purpose::Rest, REST_BYTES)
    }

    /// Takes the memory of a request. Waits for it behind others of its kind, at most for `patience`.
    ///
    /// # Errors
    /// [`Full`]: at once if a request of its kind can never get that much, otherwise after the wait.
    pub async fn take(
        self: &Arc<Self>,
        purpose: Purpose,
        bytes: u64,
        patience: Duration,
    ) -> Result<Place, Full> {
        let (place, ready) = {
            let mut state = self.state.lock();
            if state.waiting[purpose as usize].is_empty() {
                match self.hold(&mut state, purpose, bytes) {
                    Err(_) if bytes <= self.most(purpose) => {}
                    taken => return taken,
                }
            }
            state.tickets += 1;
            let (ticket, (sender, ready)) = (state.tickets, oneshot::channel());
            state.waiting[purpose as usize].push_back(Waiting { ticket, bytes, ready: sender });
            (InLine { connections: self, purpose, ticket }, ready)
        };
        let served = tokio::time::timeout(patience, ready).await;
        drop(place);
        match served {
            Ok(Ok(place)) => Ok(place),
            _ => Err(self.full(bytes)),
        }
    }

    /// The bytes that are reserved for a purpose.
    fn reserved(&self, purpose: Purpose) -> u64 {
        match purpose {
            Purpose::Rest => self.share.limit() / 2,
            _ => self.share.limit() / RESERVED_PART,
        }
    }

    /// The maximum that a purpose may hold when nothing else is held.
    fn most(&self, purpose: Purpose) -> u64 {
        let others: u64 = Purpose::ALL.into_iter().filter(|&o| o != purpose).map(|o| self.reserved(o)).sum();
        self.share.limit() - others
    }

    fn full(&self, asked: u64) -> Full {
        Full { share: self.share.name(), asked, used: self.share.used(), limit: self.share.limit() }
    }

    /// Whether taking `bytes` more leaves to other kinds what is reserved for them.
    fn fits(&self, state: &State, purpose: Purpose, bytes: u64) -> bool {
        let own = state.used[purpose as usize].saturating_add(bytes);
        if purpose == Purpose::Rest && own > self.share.limit() / 4 * 3 {
            return false;
        }
        let unused = |other: Purpose| self.reserved(other).saturating_sub(state.used[other as usize]);
        let others: u64 = Purpose::ALL.into_iter().filter(|&other| other != purpose).map(unused).sum();
        let used: u64 = state.used.iter().sum();
        own <= self.reserved(purpose)
            || used.saturating_add(bytes).saturating_add(others) <= self.share.limit()
    }

    fn hold(self: &Arc<Self>, state: &mut State, purpose: Purpose, bytes: u64) -> Result<Place, Full> {
        if !self.fits(state, purpose, bytes) {
            return Err(self.full(bytes));
        }
        let hold = self.share.take(bytes)?;
        state.used[purpose as usize] += bytes;
        Ok(Place { connections: Arc::clone(self), purpose, hold })
    }

    /// Grants free memory to waiters, each kind in order.
    fn serve(self: &Arc<Self>) {
        for purpose in Purpose::REQUESTS {
            while let Some((ready, place)) = self.next(purpose) {
                // If the waiter has left, its place is dropped, and the loop grants the memory to the next one.
                let _ = ready.send(place);
            }
        }
    }

    fn next(self: &Arc<Self>, purpose: Purpose) -> Option<(oneshot::Sender<Place>, Place)> {
        let mut state = self.state.lock();
        let waiting = state.waiting[purpose as usize].pop_front()?;
        match self.hold(&mut state, purpose, waiting.bytes) {
            Ok(place) => Some((waiting.ready, place)),
            Err(_) => {
                state.waiting[purpose as usize].push_front(waiting);
                None
            }
        }
    }
}

impl Place {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.hold.bytes()
    }

    /// Takes `more` bytes at once.
    ///
    /// # Errors
    /// [`Full`]; what is held stays held.
    pub fn grow(&mut self, more: u64) -> Result<(), Full> {
        let mut state = self.connections.state.lock();
        if !self.connections.fits(&state, self.purpose, more) {
            return Err(self.connections.full(more));
        }
        self.hold.grow(more)?;
        state.used[self.purpose as usize] += more;
        Ok(())
    }

    /// Like [`Place::grow`], if an eighth of the share is enough for all that is held then.
    pub fn grow_if_idle(&mut self, more: u64) -> bool {
        let share = &self.connections.share;
        share.used() + more <= share.limit() / 8 && self.grow(more).is_ok()
    }

    /// Releases what is held above `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        let beyond = self.bytes().saturating_sub(bytes);
        if beyond == 0 {
            return;
        }
        {
            let mut state = self.connections.state.lock();
            // Less is never refused.
            let _ = self.hold.resize(self.bytes() - beyond);
            state.used[self.purpose as usize] -= beyond;
        }
        self.connections.serve();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    /// Parts of the share that are reserved for each kind of request.
    const PART: u64 = 100;
    const FOREVER: Duration = Duration::from_secs(3600);

    fn connections() -> Arc<Connections> {
        Connections::new(Share::new("connections", PART * RESERVED_PART))
    }

    fn poll<F: Future>(taking: &mut Pin<Box<F>>) -> Poll<F::Output> {
        taking.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    fn now(connections: &Arc<Connections>, purpose: Purpose, bytes: u64) -> Option<Place> {
        match poll(&mut Box::pin(connections.take(purpose, bytes, FOREVER))) {
            Poll::Ready(place) => Some(place.unwrap()),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn each_kind_has_memory_that_no_other_takes() {
        let connections = connections();
        let mut held = Vec::new();
        while let Some(place) = now(&connections, Purpose::LargeWrite, PART) {
            held.push(place);
        }
        assert_eq!(held.len() as u64, RESERVED_PART / 2 - 4);
        for purpose in [Purpose::Instant, Purpose::SmallWrite, Purpose::Write, Purpose::Read] {
            held.push(now(&connections, purpose, PART).unwrap());
            assert!(now(&connections, purpose, 1).is_none(), "{purpose:?}");
        }
        held.push(now(&connections, Purpose::Rest, PART * RESERVED_PART / 2).unwrap());
        assert!(now(&connections, Purpose::Rest, 1).is_none());
        drop(held);
        assert_eq!((connections.share.used(), connections.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn connections_at_rest_leave_memory_to_requests() {
        let connections = Connections::new(Share::new("connections", REST_BYTES * 400));
        let mut resting = Vec::new();
        while let Ok(place) = connections.rest() {
            resting.push(place);
        }
        assert_eq!(resting.len(), 300);
        // A quarter is left, of which the four other kinds have their reserved parts.
        let most = REST_BYTES * 100 - 4 * (REST_BYTES * 400 / RESERVED_PART);
        assert!(now(&connections, Purpose::Read, most + 1).is_none());
        drop(now(&connections, Purpose::Read, most).unwrap());
        // More is never available, even without idle connections, so this does not wait.
        assert!(connections.take(Purpose::Read, REST_BYTES * 200, FOREVER).await.is_err());
    }

    #[tokio::test]
    async fn requests_wait_in_the_order_of_their_kind() {
        let connections = connections();
        let all: Vec<_> = (0..).map_while(|_| now(&connections, Purpose::LargeWrite, PART)).collect();
        let mut first = Box::pin(connections.take(Purpose::LargeWrite, 2 * PART, FOREVER));
        let mut second = Box::pin(connections.take(Purpose::LargeWrite, PART, FOREVER));
        let mut left = Box::pin(connections.take(Purpose::LargeWrite, PART, FOREVER));
        assert!(poll(&mut first).is_pending());
        assert!(poll(&mut second).is_pending());
        assert!(poll(&mut left).is_pending());
        assert_eq!(connections.waiting(), 3);
        drop(left);
        assert_eq!(connections.waiting(), 2);
        let mut all = all.into_iter();
        drop(all.next());
        assert!(poll(&mut second).is_pending(), "it would fit, but the first one waits before it");
        drop(all.next());
        let Poll::Ready(Ok(first)) = poll(&mut first) else { panic!("it waits") };
        assert!(poll(&mut second).is_pending());
        drop(first);
        assert!(matches!(poll(&mut second), Poll::Ready(Ok(_))));
        drop(all);
        assert_eq!(connections.share.used(), 0);
    }

    #[tokio::test]
    async fn patience_ends() {
        let connections = connections();
        let mut all: Vec<_> = (0..).map_while(|_| now(&connections, Purpose::Read, PART)).collect();
        let full = connections.take(Purpose::Read, PART, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!((full.share, full.asked), ("connections", PART));
        assert_eq!(connections.waiting(), 0);
        let place = &mut all[0];
        assert!(place.grow(1).is_err());
        place.shrink(PART / 2);
        place.grow(PART / 2).unwrap();
        assert!(!place.grow_if_idle(1), "others hold most of it");
        drop(all);
        assert!(now(&connections, Purpose::Read, 1).unwrap().grow_if_idle(1));
    }
}
