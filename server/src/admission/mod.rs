//! The path of every read and admin call, from the request to the last byte of the answer.
//!
//! 1. [`Call::admit`](crate::api::call::Call::admit) takes memory for the text of the request, adds it to the list of
//!    active work ([`ActiveWork`]), where it can be seen and canceled, and waits for its turn ([`Turns`]). It begins as
//!    light work, with a small allowance. If it uses up the allowance, it continues as heavy work, or waits for a turn
//!    as heavy work and runs again.
//! 2. [`Admitted::answer`](crate::api::gate::Admitted::answer) or
//!    [`Admitted::stream`](crate::api::gate::Admitted::stream) runs it on a thread that may block, with a
//!    [`Work`](barograph::budget::Work): an account of the share of queries, a separate limit, a deadline, and a
//!    flag that is set when the work is canceled, when its client disconnects, and at its deadline.
//! 3. It writes into a [`Writer`] or into [`Pieces`], which take memory before they allocate. The memory of each
//!    piece of an answer is released when the socket has accepted it, or when the answer is dropped.
//!
//! The turn and the entry in the list end with the thread, not with the client: work that still runs is still
//! counted. The table of routes names the [`Admission`](crate::api::endpoint::Admission) of each route.

mod active;
mod buffer;
mod kind;
mod large;
mod pieces;
mod queue;
mod turns;
mod writer;

use std::sync::Arc;

pub use active::{Active, ActiveWork, Described};
pub use buffer::Whole;
pub use kind::{Client, Kind};
pub use large::{LargeWrite, LargeWrites, MODEST};
pub use pieces::{Broken, Pieces};
pub use turns::{Lane, Turn, Turns};
pub use writer::{Answer, Outgoing, Writer};

/// Everything that admits requests, shared by all of them.
pub struct Gates {
    /// Admits reads and admin calls.
    pub turns: Arc<Turns>,
    /// Admits large writes.
    pub large_writes: LargeWrites,
    /// The reads that wait or run.
    pub active: Arc<ActiveWork>,
}

impl Gates {
    /// Gates for a machine with this many cores. `concurrency` queries run and `queue` queries wait.
    pub fn new(cores: usize, concurrency: usize, queue: usize) -> Self {
        Gates {
            turns: Turns::new(concurrency, cores, queue),
            large_writes: LargeWrites::on(cores),
            active: Arc::default(),
        }
    }
}
