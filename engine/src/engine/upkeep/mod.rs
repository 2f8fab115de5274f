//! Maintenance of the store: flushes, merges, scrubs, cleaning and verification, and when they are due.

pub(in crate::engine) mod background;
pub(in crate::engine) mod clean;
pub(in crate::engine) mod flush;
pub(in crate::engine) mod merge;
pub(in crate::engine) mod scrub;
pub(in crate::engine) mod short_lives;
pub(in crate::engine) mod verify;
