//! What the memory of a process may hold, who holds it, and how long a piece of work may go on.
//!
//! A [`Share`] is a named part of the memory. Bytes are taken before the memory is, as a [`Hold`] that gives them
//! back when it is dropped. An [`Account`] is what one piece of work holds of a share, with a limit of its own; a
//! [`Work`] is that with a deadline and a [`Cancel`], and a [`Taken`] is what it needs for a while. Whatever can run
//! longer than ten milliseconds is handed a [`Work`] and asks it: [`Work::check`] whether to go on, [`Work::take`]
//! before it allocates.
//!
//! # Concurrency
//! Counters are atomic. A take that is refused leaves nothing counted, so that two that ask at once for the last bytes
//! may both be refused, and neither stays counted.

mod account;
mod line;
mod part;
mod share;
mod taken;
mod work;

pub use account::{Account, Denied};
pub use line::Turn;
pub use part::Part;
pub use share::{Full, Hold, Share};
pub use taken::{Taken, map_bytes};
pub use work::{Cancel, Stopped, Work};

/// A number of bytes in the largest unit that leaves it whole.
pub fn bytes_text(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}
