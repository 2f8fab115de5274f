//! The description of a metric: its type, its help text, its unit.
//!
//! Next: `counters.rs`, which series are counters.

mod counters;

pub use counters::is_named_like_counter;
pub(crate) use counters::{MetricTypes, described_as_counter};

/// The type that a writer gave a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum MetricType {
    /// Not known.
    #[default]
    Unknown,
    /// Only rises, or restarts at zero.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts of observations by size.
    Histogram,
    /// Counts by size that may fall.
    GaugeHistogram,
    /// Quantiles computed by the writer.
    Summary,
    /// A constant 1 whose labels are the message.
    Info,
    /// One of several states.
    StateSet,
}

impl MetricType {
    /// All types, in the order of their codes.
    pub const ALL: [MetricType; 8] = [
        MetricType::Unknown,
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
        MetricType::Summary,
        MetricType::Info,
        MetricType::StateSet,
    ];

    /// Its number, the same in records and in remote write.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The type with this number, if there is one.
    pub fn from_code(code: u8) -> Option<MetricType> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Its name in OpenMetrics and Prometheus.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
        }
    }
}

/// One description of a metric. Writers may disagree, so a metric can have several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Metadata {
    /// Its type.
    pub kind: MetricType,
    /// Its meaning, for people.
    pub help: String,
    /// Its unit; often empty, since names usually end with it.
    pub unit: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for (code, kind) in (0..).zip(MetricType::ALL) {
            assert_eq!((kind.code(), MetricType::from_code(code)), (code, Some(kind)), "{}", kind.as_str());
        }
        assert_eq!(MetricType::from_code(8), None);
    }
}
