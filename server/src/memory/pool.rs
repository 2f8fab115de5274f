//! A part of a share of memory, with a queue.
//!
//! Memory is granted in the order of requests, so that small takes cannot overtake a large one indefinitely. Tenants
//! take turns: waiters that hold nothing wait in rounds with one waiter per tenant, so a tenant that sends a thousand
//! bodies at once delays only itself. A waiter that already holds memory goes first, because only then can it release
//! the memory, and the last quarter of the pool is reserved for such waiters. If all holders of memory wait for more,
//! none could continue. The most recent waiter is then refused, and the memory that it releases lets the first one
//! continue.
//!
//! A pool can reserve an eighth for modest takes ([`Pool::with_modest`]). They have a separate queue, so they never
//! wait for larger ones: batches of agents are stored while others import gigabytes. Modest takes use more than the
//! eighth only while no larger one waits.

mod line;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use barograph::budget::{Full, Hold, Share};

use line::{Line, Need, Size, Waiting};

/// A pool of memory; see the module's documentation.
#[derive(Debug)]
pub struct Pool {
    share: Arc<Share>,
    /// The share is divided into this many equal parts, one of which is the pool's.
    parts: u64,
    /// Maximum bytes of a modest take; 0 means that no take is modest.
    modest_max: u64,
    line: Mutex<Line>,
}

/// Memory of a pool, released when it is dropped.
#[derive(Debug)]
pub struct Room {
    pool: Arc<Pool>,
    size: Size,
    hold: Hold,
}

/// A waiter, which leaves the queue when its future is dropped.
struct Place<'a> {
    pool: &'a Arc<Pool>,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        {
            let line = &mut *self.pool.line.lock();
            let [modest, large] = &mut line.coming;
            for lane in [&mut line.growing, &mut modest.waiting, &mut large.waiting] {
                lane.retain(|waiting| waiting.ticket != self.ticket);
            }
        }
        self.pool.serve();
    }
}

impl Pool {
    /// A pool with one of `parts` equal parts of `share`. Pools on the same share must not overlap: memory released by
    /// one pool does not wake waiters of another.
    pub fn new(share: Arc<Share>, parts: u64) -> Arc<Pool> {
        Arc::new(Pool { share, parts: parts.max(1), modest_max: 0, line: Mutex::default() })
    }

    /// A pool with all of `share`, an eighth of it reserved for takes of at most `modest_max` bytes.
    pub fn with_modest(share: Arc<Share>, modest_max: u64) -> Arc<Pool> {
        Arc::new(Pool { share, parts: 1, modest_max, line: Mutex::default() })
    }

    /// The maximum that it may hold, bytes.
    pub fn limit(&self) -> u64 {
        self.share.limit() / self.parts
    }

    /// Bytes taken.
    pub fn used(&self) -> u64 {
        self.line.lock().used
    }

    /// The number of waiters.
    pub fn waiting(&self) -> usize {
        let line = self.line.lock();
        line.growing.len() + line.coming.iter().map(|coming| coming.waiting.len()).sum::<usize>()
    }

    /// Takes `bytes`. Waits for them in the queue, at most for `patience`.
    ///
    /// # Errors
    /// [`Full`]: at once if the pool is too small, otherwise after the wait.
    pub async fn take(self: &Arc<Self>, bytes: u64, patience: Duration) -> Result<Room, Full> {
        self.take_for(0, bytes, patience).await
    }

    /// Like [`Pool::take`], for the tenant with this number; 0 means all clients without a tenant.
    ///
    /// # Errors
    /// Same as [`Pool::take`].
    pub async fn take_for(
        self: &Arc<Self>,
        tenant: u64,
        bytes: u64,
        patience: Duration,
    ) -> Result<Room, Full> {
        self.wait(bytes, Need::Begin(tenant), patience).await
    }

    /// Takes `bytes` if they are free and nobody waits.
    ///
    /// # Errors
    /// [`Full`].
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Result<Room, Full> {
        let mut line = self.line.lock();
        let (size, need) = (self.size(bytes), Need::Begin(0));
        if !line.is_next(size, need) {
            return Err(self.full(&line, bytes, size, need));
        }
        let hold = self.hold(&mut line, bytes, size, need)?;
        Ok(Room { pool: Arc::clone(self), size, hold })
    }

    async fn wait(self: &Arc<Self>, more: u64, need: Need, patience: Duration) -> Result<Room, Full> {
        let (place, ready, size) = {
            let line = &mut *self.line.lock();
            let held = if let Need::GoOn(held) = need { held } else { 0 };
            let asked = held.saturating_add(more);
            let size = self.size(asked);
            if asked > self.limit_of(size, need) {
                return Err(self.full(line, asked, size, need));
            }
            if line.is_next(size, need)
                && let Ok(hold) = self.hold(line, more, size, need)
            {
                return Ok(Room { pool: Arc::clone(self), size, hold });
            }
            line.tickets += 1;
            let ticket = line.tickets;
            let (sender, ready) = oneshot::channel();
            let tenant = if let Need::Begin(tenant) = need { tenant } else { 0 };
            let waiting = Waiting { ticket, tenant, round: 0, size, more, held, ready: sender };
            match need {
                Need::Begin(_) => line.coming[size as usize].come(waiting),
                Need::GoOn(_) => line.grow(waiting),
            }
            (Place { pool: self, ticket }, ready, size)
        };
        self.serve();
        let served = tokio::time::timeout(patience, ready).await;
        drop(place);
        match served {
            Ok(Ok(served)) => served,
            _ => Err(self.full(&self.line.lock(), more, size, need)),
        }
    }

    fn size(&self, bytes: u64) -> Size {
        if bytes <= self.modest_max { Size::Modest } else { Size::Large }
    }

    /// The bytes reserved for modest takes.
    fn modest(&self) -> u64 {
        if self.modest_max == 0 { 0 } else { self.limit() / 8 }
    }

    /// The maximum that may be taken for this need.
    fn limit_of(&self, size: Size, need: Need) -> u64 {
        let limit = match need {
            Need::Begin(_) => self.limit() - self.limit() / 4,
            Need::GoOn(_) => self.limit(),
        };
        if size == Size::Modest { limit } else { limit - self.modest() }
    }

    fn full(&self, line: &Line, asked: u64, size: Size, need: Need) -> Full {
        Full { share: self.share.name(), asked, used: line.used, limit: self.limit_of(size, need) }
    }

    /// Whether `bytes` more are available.
    fn fits(&self, line: &Line, bytes: u64, size: Size, need: Need) -> bool {
        let after = line.used.saturating_add(bytes);
        let limit = self.limit_of(size, need);
        match size {
            // Memory that is reserved and unused counts as used.
            Size::Large => after.saturating_sub(line.used_modest.min(self.modest())) <= limit,
            Size::Modest => {
                let is_reserved = line.used_modest.saturating_add(bytes) <= self.modest();
                let comes = !line.coming[Size::Large as usize].waiting.is_empty();
                let grows = line.growing.back().is_some_and(|last| last.size == Size::Large);
                let waits = grows || (comes && matches!(need, Need::Begin(_)));
                is_reserved || (after <= limit && !waits)
            }
        }
    }

    fn hold(&self, line: &mut Line, bytes: u64, size: Size, need: Need) -> Result<Hold, Full> {
        if !self.fits(line, bytes, size, need) {
            return Err(self.full(line, bytes, size, need));
        }
        let hold = self.share.take(bytes)?;
        line.add(bytes, size);
        Ok(hold)
    }

    /// Grants available memory in order.
    fn serve(self: &Arc<Self>) {
        while let Some((waiting, served)) = self.next() {
            let served = served.map(|hold| Room { pool: Arc::clone(self), size: waiting.size, hold });
            if let Err(Ok(mut room)) = waiting.ready.send(served) {
                // The waiter has left. This loop grants its memory to the next one.
                room.give_back(&mut self.line.lock(), u64::MAX);
            }
        }
    }

    /// The next waiter to be answered: with the memory, or with a refusal so that others get it.
    fn next(&self) -> Option<(Waiting, Result<Hold, Full>)> {
        let line = &mut *self.line.lock();
        if let Some(first) = line.growing.front() {
            let (more, size, need) = (first.more, first.size, Need::GoOn(first.held));
            if let Ok(hold) = self.hold(line, more, size, need) {
                return line.growing.pop_front().map(|waiting| (waiting, Ok(hold)));
            }
        }
        for size in [Size::Modest, Size::Large] {
            if line.growing.front().is_some_and(|first| first.size <= size) {
                break;
            }
            let Some(first) = line.coming[size as usize].waiting.front() else { continue };
            if let Ok(hold) = self.hold(line, first.more, size, Need::Begin(0)) {
                let coming = &mut line.coming[size as usize];
                let waiting = coming.waiting.pop_front()?;
                coming.round = waiting.round;
                return Some((waiting, Ok(hold)));
            }
        }
        self.stuck(line)
    }

    /// The last waiter, if all holders of memory wait for more.
    fn stuck(&self, line: &mut Line) -> Option<(Waiting, Result<Hold, Full>)> {
        let held: u64 = line.growing.iter().map(|waiting| waiting.held).sum();
        if held < line.used {
            return None;
        }
        let last = line.growing.iter().skip(1).rposition(|waiting| waiting.held > 0)?;
        let last = line.growing.remove(last + 1)?;
        let full = self.full(line, last.more, last.size, Need::GoOn(last.held));
        Some((last, Err(full)))
    }
}

impl Room {
    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.hold.bytes()
    }

    /// The pool that it belongs to.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Takes `more` bytes at once.
    ///
    /// # Errors
    /// [`Full`], even if others that hold memory wait. The held memory is kept.
    pub fn try_grow(&mut self, more: u64) -> Result<(), Full> {
        let (held, need) = (self.hold.bytes(), Need::Begin(0));
        let asked = held.saturating_add(more);
        let size = self.pool.size(asked);
        let line = &mut *self.pool.line.lock();
        if asked > self.pool.limit_of(size, need) {
            return Err(self.pool.full(line, asked, size, need));
        }
        line.sub(held, self.size);
        let taken = match line.growing.is_empty() && self.pool.fits(line, asked, size, need) {
            true => self.hold.grow(more),
            false => Err(self.pool.full(line, more, size, need)),
        };
        self.size = if taken.is_ok() { size } else { self.size };
        line.add(self.hold.bytes(), self.size);
        taken
    }

    /// Takes `bytes` of `pool`, without which this room is useless. Waits before those that hold nothing, at most for
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
        // Shrinking is never refused.
        let _ = self.hold.resize(self.bytes() - bytes);
        line.sub(bytes, self.size);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests;
