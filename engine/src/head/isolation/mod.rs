//! What readers see while others write and flush: which state a view is pinned to, which samples of a series are newer,
//! and what a flush keeps for views that began before it.

pub mod kept;
pub mod pins;
pub mod seen;
