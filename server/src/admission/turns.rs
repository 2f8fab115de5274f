//! Turns: a limited number of reads run, a limited number wait, and the rest get 429 with `Retry-After`.
//!
//! Each kind has one reserved turn, so no kind waits for another to end: a label request is answered while queries fill
//! the server, and a scraper is answered while exports stream. Further turns are shared. A shared turn goes to the
//! waiting kinds in rotation, within a kind to its tenants in rotation, and within a tenant to its clients in rotation.
//! A client that sends a thousand requests at once therefore delays only itself, and so does a tenant with a thousand
//! clients. All clients without a tenant's token count as one tenant.
//!
//! With a `concurrency` of n, at most n requests of a kind run, and at most n - 1 over all kinds in addition to one of
//! each. Admin calls do not share turns.
//!
//! Requests of a kind begin as light, and few of them turn out to be heavy ([`Lane`]). Heavy requests queue for
//! separate turns, of which there are few: one per core, and at most half of `concurrency`. The other turns are left to
//! light requests. If light and heavy requests of a kind wait, they get turns alternately.
//!
//! Waiting requests are limited in number by the queue of their kind, in time by their patience, and in memory by the
//! share of queries, against which their text counts. A full queue drops the newest request of the client with the
//! most waiting requests, of the tenant with the most waiting requests, unless the new request is from that client.
//!
//! # Invariants
//! - T1: a waiter is in exactly one queue, or has its turn, or has left.
//! - T2: a turn that is sent to a waiter that has left is returned.
//!
//! # Concurrency
//! One lock, held for a few memory accesses. Turns are handed over outside of it, because returning a turn whose waiter
//! has left takes the lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use barograph::budget::Places;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::kind::{Client, Kind};
use super::queue::{Queue, Waiter};
use crate::error::ApiError;
use crate::telemetry::exposition::{self, Metric};

const KINDS: usize = Kind::ALL.len();

/// Whether a request needs few resources. All requests begin as light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// So far within the [`Allowance`](barograph::budget::Allowance) of light work.
    Light,
    /// Beyond that allowance.
    Heavy,
}

/// Hands out turns.
#[derive(Debug)]
pub struct Turns {
    concurrency: usize,
    /// Maximum number of heavy requests that run at once, like `concurrency`.
    heavy_max: usize,
    queue_max: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    running: [usize; KINDS],
    /// How many of the running requests are heavy.
    heavy: [usize; KINDS],
    /// The queues of light and of heavy requests.
    queues: [[Queue<Turn>; 2]; KINDS],
    /// For each kind, the lane that is checked first when a turn is free.
    lanes: [Lane; KINDS],
    /// The kind that is checked first when a turn is free.
    first: usize,
    last_id: u64,
}

/// A turn, which ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    held: Arc<HeldTurn>,
}

#[derive(Debug)]
struct HeldTurn {
    turns: Arc<Turns>,
    kind: Kind,
    is_heavy: AtomicBool,
}

impl Turn {
    fn new(turns: &Arc<Turns>, kind: Kind, lane: Lane) -> Self {
        let is_heavy = AtomicBool::new(lane == Lane::Heavy);
        Turn { held: Arc::new(HeldTurn { turns: turns.clone(), kind, is_heavy }) }
    }

    /// Turns this into the turn of a heavy request.
    pub fn places(&self) -> Arc<dyn Places> {
        self.held.clone()
    }
}

impl Places for HeldTurn {
    fn become_heavy(&self) -> bool {
        let mut state = self.turns.state.lock();
        let queue = &state.queues[self.kind as usize][Lane::Heavy as usize];
        let is_free = queue.waiting == 0 && state.has_heavy(self.kind, self.turns.heavy_max);
        if is_free && !self.is_heavy.swap(true, Relaxed) {
            state.heavy[self.kind as usize] += 1;
        }
        is_free
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held.turns.release(self.held.kind, &self.held.is_heavy);
    }
}

/// A place in a queue, which is given up when this is dropped.
struct Place<'a> {
    turns: &'a Turns,
    kind: Kind,
    lane: Lane,
    client: Client,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.state.lock().queue(self.kind, self.lane).leave(self.client, self.id);
    }
}

impl State {
    fn new() -> Self {
        State {
            running: [0; KINDS],
            heavy: [0; KINDS],
            queues: Default::default(),
            lanes: [Lane::Light; KINDS],
            first: 0,
            last_id: 0,
        }
    }

    fn queue(&mut self, kind: Kind, lane: Lane) -> &mut Queue<Turn> {
        &mut self.queues[kind as usize][lane as usize]
    }

    fn waiting(&self, kind: Kind) -> usize {
        self.queues[kind as usize].iter().map(|queue| queue.waiting).sum()
    }

    /// Whether one more request of `kind` may run now, if `concurrency` may.
    fn has_room(running: &[usize; KINDS], kind: Kind, concurrency: usize) -> bool {
        let number = running[kind as usize];
        if number >= kind.running_max(concurrency) {
            return false;
        }
        let shared = Kind::ALL.into_iter().filter(|&other| other != Kind::Admin);
        let shared: usize = shared.map(|other| running[other as usize].saturating_sub(1)).sum();
        number == 0 || kind == Kind::Admin || shared + 1 < concurrency
    }

    /// Whether a running request of `kind` may become heavy.
    fn has_heavy(&self, kind: Kind, heavy_max: usize) -> bool {
        Self::has_room(&self.heavy, kind, heavy_max)
    }

    /// Takes the next waiter from the queues of `kind`. The lanes alternate.
    fn next(&mut self, kind: Kind, turns: &Turns) -> Option<(Waiter<Turn>, Lane)> {
        if !Self::has_room(&self.running, kind, turns.concurrency) {
            return None;
        }
        let first = self.lanes[kind as usize];
        [first, first.other()].into_iter().find_map(|lane| {
            if lane == Lane::Heavy && !self.has_heavy(kind, turns.heavy_max) {
                return None;
            }
            let waiter = self.queue(kind, lane).next()?;
            self.lanes[kind as usize] = lane.other();
            self.run(kind, lane);
            Some((waiter, lane))
        })
    }

    fn run(&mut self, kind: Kind, lane: Lane) {
        self.running[kind as usize] += 1;
        self.heavy[kind as usize] += usize::from(lane == Lane::Heavy);
    }
}

impl Lane {
    fn other(self) -> Lane {
        match self {
            Lane::Light => Lane::Heavy,
            Lane::Heavy => Lane::Light,
        }
    }
}

impl Turns {
    /// `concurrency` requests of a kind run at once on `cores` cores, and `queue_max` of each kind may wait.
    pub fn new(concurrency: usize, cores: usize, queue_max: usize) -> Arc<Self> {
        let heavy_max = cores.clamp(1, (concurrency / 2).max(1));
        Arc::new(Turns { concurrency, heavy_max, queue_max, state: Mutex::new(State::new()) })
    }

    /// Waits for a turn as a light request.
    ///
    /// # Errors
    /// 429 if the queue is full, 503 if the wait was too long.
    pub async fn enter(
        self: &Arc<Self>,
        kind: Kind,
        client: Client,
        patience: Duration,
    ) -> Result<Turn, ApiError> {
        self.enter_lane(kind, Lane::Light, client, patience).await
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// Same as [`Turns::enter`].
    pub async fn enter_lane(
        self: &Arc<Self>,
        kind: Kind,
        lane: Lane,
        client: Client,
        patience: Duration,
    ) -> Result<Turn, ApiError> {
        let (place, turn) = {
            let mut state = self.state.lock();
            let has_turn = State::has_room(&state.running, kind, self.concurrency)
                && (lane == Lane::Light || state.has_heavy(kind, self.heavy_max));
            if has_turn && state.queue(kind, lane).waiting == 0 {
                state.run(kind, lane);
                return Ok(Turn::new(self, kind, lane));
            }
            let queue = state.queue(kind, lane);
            if queue.waiting >= self.queue_max && !queue.make_room(client) {
                return Err(self.queue_is_full(kind, lane));
            }
            let (sender, receiver) = oneshot::channel();
            state.last_id += 1;
            let id = state.last_id;
            state.queue(kind, lane).join(client, Waiter { id, sender });
            (Place { turns: self, kind, lane, client, id }, receiver)
        };
        let outcome = tokio::time::timeout(patience, turn).await;
        drop(place);
        match outcome {
            Ok(Ok(turn)) => Ok(turn),
            // Another client with fewer requests got the place.
            Ok(Err(_)) => Err(self.queue_is_full(kind, lane)),
            Err(_) => {
                let message = format!(
                    "it waited {} s for its turn (query_wait) while {} ran (query_concurrency); retry later, or raise \
                     one of these",
                    patience.as_secs_f64(),
                    self.running_text(kind, lane)
                );
                Err(ApiError::busy(message, 5))
            }
        }
    }

    /// The running requests, for messages.
    fn running_text(&self, kind: Kind, lane: Lane) -> String {
        match lane {
            Lane::Light => format!("{} {}", kind.running_max(self.concurrency), kind.plural()),
            Lane::Heavy => format!("{} heavy {}", kind.running_max(self.heavy_max), kind.plural()),
        }
    }

    fn queue_is_full(&self, kind: Kind, lane: Lane) -> ApiError {
        let message = format!(
            "{} {} are waiting already (query_queue) while {} run (query_concurrency); retry later, or raise one of these",
            self.queue_max,
            kind.plural(),
            self.running_text(kind, lane)
        );
        ApiError::too_many(message, 1)
    }

    fn release(self: &Arc<Self>, kind: Kind, is_heavy: &AtomicBool) {
        let granted = {
            let mut state = self.state.lock();
            state.running[kind as usize] -= 1;
            state.heavy[kind as usize] -= usize::from(is_heavy.load(Relaxed));
            self.advance(&mut state)
        };
        for (waiter, turn) in granted {
            // If the waiter has left in the meantime, dropping the turn returns it.
            drop(waiter.sender.send(turn));
        }
    }

    /// Counts waiters that now get a turn as running, and returns them.
    fn advance(self: &Arc<Self>, state: &mut State) -> Vec<(Waiter<Turn>, Turn)> {
        let mut granted = Vec::new();
        let mut passed = 0;
        while passed < KINDS {
            let kind = Kind::ALL[state.first];
            state.first = (state.first + 1) % KINDS;
            match state.next(kind, self) {
                Some((waiter, lane)) => {
                    granted.push((waiter, Turn::new(self, kind, lane)));
                    passed = 0;
                }
                None => passed += 1,
            }
        }
        granted
    }

    /// The number of requests of a kind that run.
    pub fn running(&self, kind: Kind) -> usize {
        self.state.lock().running[kind as usize]
    }

    /// The number of heavy requests of a kind that run.
    pub fn heavy(&self, kind: Kind) -> usize {
        self.state.lock().heavy[kind as usize]
    }

    /// The number of requests of a kind that wait.
    pub fn waiting(&self, kind: Kind) -> usize {
        self.state.lock().waiting(kind)
    }

    /// The running, the heavy and the waiting requests, by kind.
    pub fn metrics(&self) -> [Metric; 3] {
        let mut running = Metric::new(
            exposition::Kind::Gauge,
            "barograph_reads_running",
            "Running requests, by kind (query_concurrency).",
        );
        let mut waiting = Metric::new(
            exposition::Kind::Gauge,
            "barograph_reads_waiting",
            "Requests waiting for their turn, by kind (query_queue).",
        );
        let mut heavy = Metric::new(
            exposition::Kind::Gauge,
            "barograph_reads_heavy",
            "Running requests that are heavy, by kind: at most one for each core, and one of each kind.",
        );
        let state = self.state.lock();
        for kind in Kind::ALL {
            running.push(&[("kind", kind.name())], state.running[kind as usize] as f64);
            heavy.push(&[("kind", kind.name())], state.heavy[kind as usize] as f64);
            waiting.push(&[("kind", kind.name())], state.waiting(kind) as f64);
        }
        [running, heavy, waiting]
    }

    /// The number of requests that run, over all kinds.
    pub fn running_in_all(&self) -> usize {
        self.state.lock().running.iter().sum()
    }

    /// The number of requests that wait, over all kinds.
    pub fn waiting_in_all(&self) -> usize {
        let state = self.state.lock();
        Kind::ALL.into_iter().map(|kind| state.waiting(kind)).sum()
    }
}

#[cfg(test)]
mod tests;
