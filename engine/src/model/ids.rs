//! The identity of a series inside one database.

/// Identifies a series inside the store. Labels are the identity; one label set may have
/// several ids (after a restart, say), but an id never has two label sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u64);
