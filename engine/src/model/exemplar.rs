//! Exemplars: single observations that a writer attaches to a series, usually to refer to a trace.

use crate::model::Labels;

/// An observation with additional labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// What it refers to, such as a trace; excludes the labels of its series.
    pub labels: Labels,
    /// Nanoseconds since the Unix epoch.
    pub timestamp: crate::Timestamp,
    /// The observed value.
    pub value: f64,
}

impl Exemplar {
    /// Maximum number of characters of all its label names and values together, as in OpenMetrics.
    pub const LABEL_CHARS_MAX: usize = 128;

    /// The number of characters of all its label names and values together.
    pub fn label_chars(&self) -> usize {
        self.labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum()
    }
}
