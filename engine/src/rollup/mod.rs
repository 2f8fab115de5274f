//! Rollups: what the samples of one series in a span of time add up to.
//!
//! A [`Bucket`] has what the functions of the query language need to answer for whole buckets as they would from the
//! samples: exactly, except for rounding where a column says so. A [`Builder`] folds samples into buckets, and a
//! [`Fold`] folds fine buckets into coarse ones. All columns of a coarse bucket have the same bits whether it was built
//! from samples or from finer buckets, except for `m2`, which is within 2^-50.
//!
//! # Invariants
//! - I1. A bucket depends only on the entries in `(end - width, end]`. Pairs across a border are derived by
//!   [`Bucket::merge`].
//! - I2. Sums do not depend on how samples are grouped ([`ExactSum`]).
//! - I3. Columns that serve bounds are rounded outward, never to nearest.
//! - I4. Sums of native histograms are kept apart by layout ([`HistogramSum`]), so they do not depend on grouping either.

pub mod bucket;
pub mod builder;
pub mod columns;
pub mod counter;
mod edge;
pub mod encode;
pub mod exact_sum;
mod natives;
mod piece;
pub mod sketch;
mod spread;
#[cfg(test)]
mod test_data;

pub use bucket::{Bucket, Extras, Gaps};
pub use builder::{Builder, Fold};
pub use columns::{BucketColumns, Columns, Mostly, Runs, Sums};
pub use edge::Edge;
pub use encode::{BucketChunk, Class, Shape};
pub use exact_sum::ExactSum;
pub use natives::{HistogramSum, NativeEdge, Natives};
pub use sketch::Sketch;
pub use spread::Moments;

#[cfg(test)]
mod tests;
