//! The identifier of a series inside one database.

/// Identifies a series inside the store. A series is defined by its labels; a label set may have several ids (for
/// example after a restart), but an id never has two label sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u64);
