//! The one way of everything that reads, or that changes the whole: from its request to the last byte of its answer.
//!
//! 1. [`Call::admit`](crate::api::call::Call::admit) takes the memory of what the request says, puts it on the list
//!    of what is active ([`ActiveWork`]), where anybody may see and cancel it, and waits for its turn ([`Turns`]).
//! 2. [`Admitted::answer`] or [`Admitted::stream`] runs it on a thread that may block, with a
//!    [`Work`](barograph_engine::budget::Work): an account of the share of queries, a limit of its own, a deadline,
//!    and a flag that is raised when somebody cancels it, when its client goes away, and when its time is up.
//! 3. It writes into a [`Writer`] or into [`Pieces`], which take memory before they allocate. Each piece of an
//!    answer gives its memory back when the socket has taken it, or when the answer is dropped.
//!
//! The turn and the place on the list end with the thread, not with the client: what still costs something is still
//! counted. The table of routes names the [`Admission`](crate::api::routes::Admission) of each route.

mod active;
mod admitted;
mod buffer;
mod kind;
mod pieces;
mod turns;
mod writer;

pub use active::{Active, ActiveWork, Described, cancel, list};
pub use admitted::{Admitted, Asked};
pub use buffer::Whole;
pub use kind::{Client, Kind};
pub use pieces::Pieces;
pub use turns::{Turn, Turns};
pub use writer::{Answer, Outgoing, Writer};
