//! Limits on memory, who holds it, and how long a piece of work may run.
//!
//! A [`Share`] is a named part of the memory. Bytes are taken from it before memory is allocated, as a [`Hold`] that
//! returns them when it is dropped. An [`Account`] is what one piece of work holds of a share, with a separate limit. A
//! [`Work`] adds a deadline and a [`Cancel`]; a [`Taken`] is memory that it needs temporarily. Everything that can run
//! longer than ten milliseconds receives a [`Work`], calls [`Work::check`] regularly, and calls [`Work::take`] before
//! it allocates.
//!
//! # Concurrency
//! Counters are atomic. A refused take leaves nothing counted. Two takes that compete for the last bytes may both be
//! refused.

mod account;
mod lane;
mod line;
mod part;
mod share;
mod taken;
mod work;

pub use account::{Account, Denied};
pub use lane::{Allowance, Places};
pub use line::Turn;
pub use part::Part;
pub use share::{Full, Hold, Share};
pub use taken::{Taken, map_bytes};
pub use work::{Cancel, Stopped, Work};

/// A number of bytes in the largest unit in which it is a whole number.
pub fn bytes_text(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}
