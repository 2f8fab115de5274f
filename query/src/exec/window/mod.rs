//! Range vectors: windows over stored samples and over the values of a subquery.
//!
//! # Not here
//! Sliding and kernels: `functions/window/`.

pub(crate) mod columned;
mod default_window;
pub(crate) mod each_series;
pub(crate) mod over_rollups;
pub(crate) mod range_call;
pub(crate) mod subquery;
