//! Work on what was written: flushes, merges, retention, cleaning, scrubbing.

pub(in crate::engine) mod background;
pub(in crate::engine) mod clean;
pub(in crate::engine) mod flush;
pub(in crate::engine) mod retention;
pub(in crate::engine) mod scrub;
pub(in crate::engine) mod short_lives;
pub(in crate::engine) mod verify;
