//! Limits of series: how large one may be, how many there may be, of one metric and with how
//! many values of one label.
//!
//! The message of a refusal names the setting and the remedy; the same write is refused again until
//! something changes, so the error is [`Error::Limit`].
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

/// A label set for a message: cut where it is long.
pub(super) fn shown(labels: &Labels) -> String {
    cut(labels.to_string())
}

fn cut(mut text: String) -> String {
    const CHARS_MAX: usize = 200;
    if let Some((end, _)) = text.char_indices().nth(CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Bytes of all names and values.
pub(super) fn label_bytes(labels: &Labels) -> usize {
    labels.iter().map(|(name, value)| name.len() + value.len()).sum()
}

impl Parts {
    /// Whether a label set may be a series, however many others there are.
    pub(super) fn check_labels(&self, labels: &Labels) -> Result<()> {
        let (count, limit) = (labels.len(), self.options.labels_per_series);
        if count > limit {
            return Err(Error::Limit(format!(
                "series {}: {count} labels, the limit is {limit} (max_labels, Options::labels_per_series); raise it or \
                 send fewer",
                shown(labels)
            )));
        }
        let limit = self.options.label_bytes_per_series;
        // Encoded they are longer, and that length is known.
        let bytes = if labels.as_bytes().len() > limit { label_bytes(labels) } else { 0 };
        if bytes > limit {
            return Err(Error::Limit(format!(
                "series {}: labels of {bytes} bytes, the limit is {limit} (max_label_bytes, \
                 Options::label_bytes_per_series); raise it or shorten them",
                shown(labels)
            )));
        }
        Ok(())
    }

    /// Whether one more series may join the `count` that the head has.
    pub(super) fn admit_count(&self, labels: &Labels, count: usize) -> Result<()> {
        let limit = self.options.active_series;
        if count as u64 >= limit {
            return Err(Error::Limit(format!(
                "{limit} active series, the limit (max_series, Options::active_series); series {} is new: raise the \
                 limit, or drop a label that has too many values",
                shown(labels)
            )));
        }
        Ok(())
    }

    /// Whether a new series leaves its metric and its labels within their limits.
    pub(super) fn admit_cardinality(&self, labels: &Labels) -> Result<()> {
        let series_max = self.cardinality.series_per_metric.load(Ordering::Relaxed);
        let values_max = self.cardinality.values_per_label.load(Ordering::Relaxed);
        if series_max > 0
            && let Some(metric) = labels.get(METRIC_NAME)
            && self.head.series_count_of(METRIC_NAME, metric) >= series_max
        {
            Counters::add(&self.counters.refused_metric, 1);
            return Err(Error::Limit(format!(
                "metric {metric:?} has {series_max} active series, the limit (max_series_per_metric); series {} is new: \
                 raise the limit, or drop a label that has too many values",
                shown(labels)
            )));
        }
        if values_max > 0
            && let Some((name, value)) = self.head.first_new_value(labels, values_max)
        {
            Counters::add(&self.counters.refused_label, 1);
            return Err(Error::Limit(format!(
                "label {name:?} has {values_max} values among active series, the limit (max_values_per_label); value \
                 {} of series {} is new: raise the limit, or drop the label",
                cut(format!("{value:?}")),
                shown(labels)
            )));
        }
        Ok(())
    }
}
