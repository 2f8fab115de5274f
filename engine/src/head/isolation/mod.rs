//! Isolation of readers from writes and flushes: the state that a view is pinned to, the samples of a series that are
//! newer, and the samples that a flush keeps for views that began before it.

pub mod kept;
pub mod pins;
pub mod seen;
