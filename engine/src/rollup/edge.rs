//! The ends of a bucket.

use crate::model::Timestamp;

/// The first or the last sample of a bucket.
#[derive(Debug, Clone, Copy, Default)]
pub struct Edge {
    /// When it was taken, nanoseconds.
    pub time: Timestamp,
    /// Its value; every bit pattern is preserved.
    pub value: f64,
    /// Its start timestamp, 0 if it is unknown.
    pub start: Timestamp,
}
