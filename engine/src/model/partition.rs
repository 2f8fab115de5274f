//! Partitions: how the store divides data by retention class, resolution and time.

use crate::model::{TierId, Timestamp};

/// Identifies a partition: a span of time in a tier. Ordered by tier, then by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    /// The tier.
    pub tier: TierId,
    /// The number of the span; span 0 begins at the Unix epoch. [`Layout::bounds`] gives its bounds.
    pub number: i32,
}

impl PartitionId {
    /// Comes before all others.
    pub const MIN: PartitionId = PartitionId::first_of(TierId { class: 0, resolution: 0 });

    /// A partition of [`TierId::RAW`].
    pub const fn raw(number: i32) -> Self {
        PartitionId { tier: TierId::RAW, number }
    }

    /// Comes before all others of a tier.
    pub const fn first_of(tier: TierId) -> Self {
        PartitionId { tier, number: i32::MIN }
    }

    /// The next one of any tier; the last one is its own successor.
    #[must_use]
    pub fn next(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => PartitionId { number, ..self },
            None => self.tier.next().map_or(self, PartitionId::first_of),
        }
    }

    /// The one before it in its tier.
    pub fn previous(self) -> Option<Self> {
        self.number.checked_sub(1).map(|number| PartitionId { number, ..self })
    }
}

impl std::fmt::Display for PartitionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let PartitionId { tier, number } = *self;
        if tier == TierId::RAW {
            return write!(f, "{number}");
        }
        write!(f, "{number} of {tier}")
    }
}

/// How each tier is divided into partitions. Those of raw samples have a width that is fixed when the database is created,
/// those of buckets the one of their [`Resolution`](super::Resolution).
///
/// A raw partition includes its first instant. A bucket includes its last instant and not its first, and so do the
/// partitions of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    width_ns: i64,
}

impl Layout {
    /// `width_ns` is positive, and at least that of the options.
    pub fn new(width_ns: i64) -> Self {
        Layout { width_ns }
    }

    /// Width of the partitions of a tier, nanoseconds.
    pub fn width(self, tier: TierId) -> i64 {
        tier.resolution().map_or(self.width_ns, |resolution| resolution.partition_ns())
    }

    /// The partition of a tier that holds `t`.
    pub fn partition(self, tier: TierId, t: Timestamp) -> PartitionId {
        let shifted = t.saturating_sub(first_instant(tier));
        // The narrowest width allowed keeps the quotient inside 32 bits.
        PartitionId { tier, number: shifted.div_euclid(self.width(tier)) as i32 }
    }

    /// The partition of [`TierId::RAW`] that holds `t`.
    pub fn raw(self, t: Timestamp) -> PartitionId {
        self.partition(TierId::RAW, t)
    }

    /// First and last instant of a partition; the lowest and the highest partition end where timestamps end.
    pub fn bounds(self, partition: PartitionId) -> (Timestamp, Timestamp) {
        let width = i128::from(self.width(partition.tier));
        let first = i128::from(partition.number) * width + i128::from(first_instant(partition.tier));
        let clamped = |t: i128| t.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        (clamped(first), clamped(first + width - 1))
    }
}

/// The distance of a partition's first instant from the multiple of its width.
fn first_instant(tier: TierId) -> i64 {
    i64::from(tier.resolution().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Resolution;

    #[test]
    fn partitions_cover_time_without_gaps() {
        let width = 86_400_000_000_000;
        let layout = Layout::new(width);
        for t in [i64::MIN, -1, 0, 1, width - 1, width, i64::MAX] {
            let (first, last) = layout.bounds(layout.raw(t));
            assert!(first <= t && t <= last, "{t}");
        }
        assert_eq!(layout.raw(-1), PartitionId::raw(-1));
        let lowest = layout.raw(i64::MIN);
        assert_eq!(layout.bounds(lowest).1 + 1, layout.bounds(lowest.next()).0);
    }

    #[test]
    fn a_partition_of_buckets_begins_after_a_multiple_of_its_width() {
        let hourly = TierId::of(0, Resolution::parse("1h").unwrap());
        let layout = Layout::new(86_400_000_000_000);
        let week = layout.width(hourly);
        assert_eq!(week, 7 * 86_400_000_000_000);
        for (t, number) in [(0, -1), (1, 0), (week, 0), (week + 1, 1)] {
            let partition = layout.partition(hourly, t);
            assert_eq!(partition, PartitionId { tier: hourly, number }, "{t}");
            let (first, last) = layout.bounds(partition);
            assert!(first <= t && t <= last && last - first == week - 1, "{t}");
        }
        assert_eq!(layout.raw(week), PartitionId::raw(7));
    }

    #[test]
    fn partitions_are_ordered_by_class_resolution_and_time() {
        let of = |class, resolution, number| PartitionId { tier: TierId { class, resolution }, number };
        let ascending =
            [PartitionId::MIN, of(0, 0, -1), of(0, 0, 7), of(0, 1, -9), of(0, 255, 0), of(1, 0, 0)];
        assert!(ascending.is_sorted_by(|a, b| a < b));
        assert_eq!(of(0, 0, 7).next(), of(0, 0, 8));
        assert_eq!(of(0, 255, i32::MAX).next(), of(1, 0, i32::MIN));
        assert_eq!(of(255, 255, i32::MAX).next(), of(255, 255, i32::MAX));
        assert_eq!((of(0, 1, 3).previous(), of(0, 1, i32::MIN).previous()), (Some(of(0, 1, 2)), None));
        assert_eq!(
            (of(0, 0, 7).to_string(), of(2, 1, 7).to_string()),
            ("7".into(), "7 of class 2, resolution 1m".into())
        );
    }
}
