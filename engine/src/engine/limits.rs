//! Limits of cardinality: series of one metric, values of one label.
//!
//! What counts is what the head has, whose postings know the numbers: series with unflushed
//! or recent samples. Two writers at the limit may each bring a series; no lock is held
//! between the look and the entry.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::{Engine, Parts};
use crate::model::{Labels, METRIC_NAME};
use crate::stats::Counters;
use crate::{Error, Options, Result};

/// The limits, which a running database may change; zero is none.
#[derive(Debug)]
pub(crate) struct CardinalityLimits {
    series_per_metric: AtomicU64,
    values_per_label: AtomicU64,
}

impl CardinalityLimits {
    pub(crate) fn new(options: &Options) -> Self {
        CardinalityLimits {
            series_per_metric: AtomicU64::new(options.max_series_per_metric),
            values_per_label: AtomicU64::new(options.max_values_per_label),
        }
    }
}

impl Engine {
    /// Changes the limits [`Options::max_series_per_metric`] and
    /// [`Options::max_values_per_label`] of the running database. What is there stays.
    pub fn set_cardinality_limits(&self, series_per_metric: u64, values_per_label: u64) {
        let limits = &self.parts.cardinality;
        limits.series_per_metric.store(series_per_metric, Ordering::Relaxed);
        limits.values_per_label.store(values_per_label, Ordering::Relaxed);
    }
}

impl Parts {
    /// Whether a new series leaves its metric and its labels within their limits.
    pub(crate) fn admit_cardinality(&self, labels: &Labels) -> Result<()> {
        let series_max = self.cardinality.series_per_metric.load(Ordering::Relaxed);
        let values_max = self.cardinality.values_per_label.load(Ordering::Relaxed);
        if series_max > 0
            && let Some(metric) = labels.get(METRIC_NAME)
            && self.head.series_count_of(METRIC_NAME, metric) >= series_max
        {
            Counters::add(&self.counters.refused_metric, 1);
            return Err(Error::Limit(format!(
                "metric {metric:?} has {series_max} active series, the limit (max_series_per_metric); series {labels} \
                 is new"
            )));
        }
        if values_max > 0
            && let Some((name, value)) = self.head.first_new_value(labels, values_max)
        {
            Counters::add(&self.counters.refused_label, 1);
            return Err(Error::Limit(format!(
                "label {name:?} has {values_max} values among active series, the limit (max_values_per_label); value \
                 {value:?} of series {labels} is new"
            )));
        }
        Ok(())
    }
}
