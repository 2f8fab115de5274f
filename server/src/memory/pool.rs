//! A part of a share of the memory, with a queue.
//!
//! Memory is granted in the order of requests, so that small takes do not overtake a large one for ever. Tenants take
//! turns: waiters that hold nothing wait in rounds with one per tenant, so a tenant that sends a thousand bodies at
//! once only delays itself. A waiter that holds no memory blocks no one. A waiter that already holds memory goes first,
//! because only then can it release it, and the last quarter of the pool is reserved for such waiters. If all holders
//! of memory wait for more, none could continue: the most recent waiter is then refused, and the memory it releases
//! lets the first one continue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use barograph::budget::{Full, Hold, Share};

/// See the module's documentation.
#[derive(Debug)]
pub struct Pool {
    share: Arc<Share>,
    /// The pool has one of this many equal parts of the share.
    parts: u64,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    /// Bytes taken.
    used: u64,
    /// Those that hold memory already.
    growing: VecDeque<Waiting>,
    /// Waiters that hold nothing, ascending by round.
    coming: VecDeque<Waiting>,
    /// The round of the last of these that was granted memory.
    round: u64,
    tickets: u64,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    /// For a waiter that holds nothing: its tenant and its round.
    tenant: u64,
    round: u64,
    more: u64,
    held: u64,
    ready: oneshot::Sender<Result<Room, Full>>,
}

/// Why memory is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// New work of a tenant that holds nothing yet.
    Begin(u64),
    /// Continuing work that holds this much of this pool.
    GoOn(u64),
}

/// Memory of a pool, released when it is dropped.
#[derive(Debug)]
pub struct Room {
    pool: Arc<Pool>,
    hold: Hold,
}

/// What waits leaves the line when its future is dropped.
struct Place<'a> {
    pool: &'a Arc<Pool>,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        {
            let line = &mut *self.pool.line.lock();
            for lane in [&mut line.growing, &mut line.coming] {
                lane.retain(|waiting| waiting.ticket != self.ticket);
            }
        }
        self.pool.serve();
    }
}

impl Pool {
    /// A pool that has one of `parts` equal parts of `share`. The parts of a share must not overlap: memory released by
    /// one pool does not wake waiters of another.
    pub fn new(share: Arc<Share>, parts: u64) -> Arc<Pool> {
        Arc::new(Pool { share, parts: parts.max(1), line: Mutex::default() })
    }

    /// The most it may hold, bytes.
    pub fn limit(&self) -> u64 {
        self.share.limit() / self.parts
    }

    /// Bytes taken.
    pub fn used(&self) -> u64 {
        self.line.lock().used
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        let line = self.line.lock();
        line.growing.len() + line.coming.len()
    }

    /// Takes `bytes`; waits for them in the line, at most for `patience`.
    ///
    /// # Errors
    /// [`Full`]: at once if the pool is too small, else after the wait.
    pub async fn take(self: &Arc<Self>, bytes: u64, patience: Duration) -> Result<Room, Full> {
        self.take_for(0, bytes, patience).await
    }

    /// Like [`Pool::take`], for the tenant with a number; 0 stands for all clients without a tenant.
    ///
    /// # Errors
    /// As [`Pool::take`].
    pub async fn take_for(
        self: &Arc<Self>,
        tenant: u64,
        bytes: u64,
        patience: Duration,
    ) -> Result<Room, Full> {
        self.wait(bytes, Need::Begin(tenant), patience).await
    }

    /// Takes `bytes` if they are free and nothing waits.
    ///
    /// # Errors
    /// [`Full`].
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Result<Room, Full> {
        let mut line = self.line.lock();
        if !line.nobody_waits() {
            return Err(self.full(&line, bytes, Need::Begin(0)));
        }
        let hold = self.hold(&mut line, bytes, Need::Begin(0))?;
        Ok(Room { pool: Arc::clone(self), hold })
    }

    async fn wait(self: &Arc<Self>, more: u64, need: Need, patience: Duration) -> Result<Room, Full> {
        let (place, ready) = {
            let line = &mut *self.line.lock();
            let held = if let Need::GoOn(held) = need { held } else { 0 };
            let asked = held.saturating_add(more);
            if asked > self.limit_of(need) {
                return Err(self.full(line, asked, need));
            }
            let begins = matches!(need, Need::Begin(_));
            let is_first = line.growing.is_empty() && (!begins || line.coming.is_empty());
            if is_first && let Ok(hold) = self.hold(line, more, need) {
                return Ok(Room { pool: Arc::clone(self), hold });
            }
            line.tickets += 1;
            let ticket = line.tickets;
            let (sender, ready) = oneshot::channel();
            let tenant = if let Need::Begin(tenant) = need { tenant } else { 0 };
            let waiting = Waiting { ticket, tenant, round: 0, more, held, ready: sender };
            if begins {
                line.come(waiting)
            } else {
                line.growing.push_back(waiting)
            }
            (Place { pool: self, ticket }, ready)
        };
        self.serve();
        let served = tokio::time::timeout(patience, ready).await;
        drop(place);
        match served {
            Ok(Ok(served)) => served,
            _ => Err(self.full(&self.line.lock(), more, need)),
        }
    }

    /// The most that may be taken where that is needed.
    fn limit_of(&self, need: Need) -> u64 {
        match need {
            Need::Begin(_) => self.limit() - self.limit() / 4,
            Need::GoOn(_) => self.limit(),
        }
    }

    fn full(&self, line: &Line, asked: u64, need: Need) -> Full {
        Full { share: self.share.name(), asked, used: line.used, limit: self.limit_of(need) }
    }

    fn hold(&self, line: &mut Line, bytes: u64, need: Need) -> Result<Hold, Full> {
        if line.used.saturating_add(bytes) > self.limit_of(need) {
            return Err(self.full(line, bytes, need));
        }
        let hold = self.share.take(bytes)?;
        line.used += bytes;
        Ok(hold)
    }

    /// Hands over what there is, in order.
    fn serve(self: &Arc<Self>) {
        while let Some((waiting, served)) = self.next() {
            let served = served.map(|hold| Room { pool: Arc::clone(self), hold });
            if let Err(Ok(mut room)) = waiting.ready.send(served) {
                // The waiter has left. This loop grants its memory to the next one.
                room.give_back(&mut self.line.lock(), u64::MAX);
            }
        }
    }

    /// The next that gets an answer: the memory, or a refusal so that others get it.
    fn next(&self) -> Option<(Waiting, Result<Hold, Full>)> {
        let line = &mut *self.line.lock();
        let Some(first) = line.growing.front() else {
            let more = line.coming.front()?.more;
            let hold = self.hold(line, more, Need::Begin(0)).ok()?;
            let waiting = line.coming.pop_front()?;
            line.round = waiting.round;
            return Some((waiting, Ok(hold)));
        };
        let need = Need::GoOn(first.held);
        if let Ok(hold) = self.hold(line, first.more, need) {
            return line.growing.pop_front().map(|waiting| (waiting, Ok(hold)));
        }
        let stuck: u64 = line.growing.iter().map(|waiting| waiting.held).sum();
        if stuck < line.used {
            return None;
        }
        let last = line.growing.iter().skip(1).rposition(|waiting| waiting.held > 0)?;
        let last = line.growing.remove(last + 1)?;
        let full = self.full(line, last.more, need);
        Some((last, Err(full)))
    }
}

impl Line {
    /// Adds a waiter that holds nothing, in the round after that of the last waiter of its tenant, or after the current
    /// round: nothing joins a round that has begun, so each round ends.
    fn come(&mut self, mut waiting: Waiting) {
        let last = self.coming.iter().rev().find(|other| other.tenant == waiting.tenant);
        waiting.round = last.map_or(self.round, |last| last.round) + 1;
        let place = self.coming.partition_point(|other| other.round <= waiting.round);
        self.coming.insert(place, waiting);
    }

    fn nobody_waits(&self) -> bool {
        self.growing.is_empty() && self.coming.is_empty()
    }
}

impl Room {
    /// Bytes of it.
    pub fn bytes(&self) -> u64 {
        self.hold.bytes()
    }

    /// Whose it is.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Takes `more` bytes at once.
    ///
    /// # Errors
    /// [`Full`], also where others wait that hold some; what it has stays.
    pub fn try_grow(&mut self, more: u64) -> Result<(), Full> {
        let line = &mut *self.pool.line.lock();
        let asked = self.hold.bytes().saturating_add(more);
        if asked > self.pool.limit_of(Need::Begin(0)) {
            return Err(self.pool.full(line, asked, Need::Begin(0)));
        }
        let after = line.used.saturating_add(more);
        if !line.growing.is_empty() || after > self.pool.limit_of(Need::Begin(0)) {
            return Err(self.pool.full(line, more, Need::Begin(0)));
        }
        self.hold.grow(more)?;
        line.used = after;
        Ok(())
    }

    /// Takes `bytes` of `pool` for what this room is of no use without; waits before those who hold nothing, at most for
    /// `patience`.
    ///
    /// # Errors
    /// [`Full`]: at once if the pool is too small; after the wait; or if all holders of its memory wait for more and
    /// this one came last.
    pub async fn beside(&self, pool: &Arc<Pool>, bytes: u64, patience: Duration) -> Result<Room, Full> {
        let held = if Arc::ptr_eq(pool, &self.pool) { self.bytes() } else { 0 };
        pool.wait(bytes, Need::GoOn(held), patience).await
    }

    /// Releases the memory above `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        let pool = Arc::clone(&self.pool);
        let beyond = self.bytes().saturating_sub(bytes);
        if beyond > 0 {
            self.give_back(&mut pool.line.lock(), beyond);
            pool.serve();
        }
    }

    fn give_back(&mut self, line: &mut Line, bytes: u64) {
        let bytes = bytes.min(self.bytes());
        // Less is never refused.
        let _ = self.hold.resize(self.bytes() - bytes);
        line.used -= bytes;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests;
