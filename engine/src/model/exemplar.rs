//! Exemplars: single observations that a writer attached to a series, mostly to name a trace.

use crate::model::{Labels, Timestamp};

/// One observation with labels of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// What it points at, such as a trace; not the labels of its series.
    pub labels: Labels,
    /// Nanoseconds.
    pub timestamp: Timestamp,
    /// The observed value.
    pub value: f64,
}

impl Exemplar {
    /// Most characters of all its label names and values together, as in OpenMetrics.
    pub const LABEL_CHARS_MAX: usize = 128;

    /// Characters of all its label names and values together.
    pub fn label_chars(&self) -> usize {
        self.labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum()
    }
}
