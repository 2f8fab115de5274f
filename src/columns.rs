//! Samples as columns.

use std::sync::Arc;

use barograph_engine::chunk::Run;
use barograph_engine::model::{Histogram, Labels, Timestamp};

/// Samples of one series: columns of one length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesColumns {
    /// The series.
    pub labels: Labels,
    /// Nanoseconds, ascending.
    pub timestamps: Vec<Timestamp>,
    /// Values; integers as the nearest float, NaN for histograms.
    pub values: Vec<f64>,
    /// Integers that a float cannot hold: index and exact value.
    pub exact: Vec<(u32, i64)>,
    /// Native histograms: index and histogram.
    pub histograms: Vec<(u32, Arc<Histogram>)>,
    /// When the counting behind each sample began, 0 where that is unknown; empty where
    /// it is for all.
    pub start_timestamps: Vec<Timestamp>,
}

impl SeriesColumns {
    pub(crate) fn new(labels: Labels, run: Run) -> Self {
        SeriesColumns {
            labels,
            timestamps: run.timestamps,
            values: run.values,
            exact: run.exact,
            histograms: run.histograms,
            start_timestamps: run.starts,
        }
    }
}
