//! Rollups: what the samples of one series in a span of time add up to.

pub mod sketch;
