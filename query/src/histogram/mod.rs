//! The algebra of native histograms: adding, scaling, resets, quantiles, trimming.
//!
//! The working form of one side of a histogram is a list of `(index, count)` in ascending order, [`Buckets`]. The
//! stored form (spans of consecutive buckets) is built at the end, without empty buckets. Two histograms with the same
//! layout, the usual case, are added slot by slot without unpacking.
//!
//! # Not here
//! Which histograms are combined: `exec/aggregate/float_histogram.rs`, `exec/binary/operators.rs`. Classic histograms,
//! which are floats with a label `le`: `functions/vectors/classic_histogram.rs`.

pub(crate) use barograph_engine::model::histogram::algebra::{
    Buckets, compacted, is_custom, negative, pack, positive, set_buckets, unpack,
};

pub(crate) mod accumulate;
pub(crate) mod arithmetic;
pub(crate) mod bounds;
pub(crate) mod fraction;
pub(crate) mod moments;
pub(crate) mod quantile;
pub(crate) mod resets;
pub mod sketched;
pub(crate) mod text;
pub(crate) mod trim;
