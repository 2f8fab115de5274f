//! Names of things inside one database: series and partitions.

use crate::model::Timestamp;

/// Identifies a series inside the store. Labels are the identity; one label set may have
/// several ids (after a restart, say), but an id never has two label sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u64);

/// A span of time, numbered from the epoch by the database's partition width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId(pub i32);

impl PartitionId {
    /// The partition that holds `t`; `width_ns` is positive.
    pub fn of(t: Timestamp, width_ns: i64) -> Self {
        // The narrowest width allowed keeps the quotient inside 32 bits.
        PartitionId(t.div_euclid(width_ns) as i32)
    }

    /// First and last instant of the partition; the lowest and the highest partition end where timestamps end.
    pub fn bounds(self, width_ns: i64) -> (Timestamp, Timestamp) {
        let first = i128::from(self.0) * i128::from(width_ns);
        let clamped = |t: i128| t.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        (clamped(first), clamped(first + i128::from(width_ns) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_cover_time_without_gaps() {
        let width = 86_400_000_000_000;
        for t in [i64::MIN, -1, 0, 1, width - 1, width, i64::MAX] {
            let (first, last) = PartitionId::of(t, width).bounds(width);
            assert!(first <= t && t <= last, "{t}");
        }
        assert_eq!(PartitionId::of(-1, width), PartitionId(-1));
        let lowest = PartitionId::of(i64::MIN, width);
        assert_eq!(lowest.bounds(width).1 + 1, PartitionId(lowest.0 + 1).bounds(width).0);
    }
}
