//! Partitions: how the store divides data by retention class, resolution and time.

use crate::model::Timestamp;

/// A retention class and a resolution, which together have one width of partitions and one retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TierId {
    /// The retention class.
    pub class: u8,
    /// The resolution: 0 for samples as they were written.
    pub resolution: u8,
}

impl TierId {
    /// Samples as they were written, in the default class.
    pub const RAW: TierId = TierId { class: 0, resolution: 0 };

    fn next(self) -> Option<TierId> {
        let number = u16::from_be_bytes([self.class, self.resolution]).checked_add(1)?;
        let [class, resolution] = number.to_be_bytes();
        Some(TierId { class, resolution })
    }
}

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
        write!(f, "{number} of class {}, resolution {}", tier.class, tier.resolution)
    }
}

/// The width of the partitions of each tier: the same for all, fixed when the database is created.
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
    pub fn width(self, _tier: TierId) -> i64 {
        self.width_ns
    }

    /// The partition of a tier that holds `t`.
    pub fn partition(self, tier: TierId, t: Timestamp) -> PartitionId {
        // The narrowest width allowed keeps the quotient inside 32 bits.
        PartitionId { tier, number: t.div_euclid(self.width(tier)) as i32 }
    }

    /// The partition of [`TierId::RAW`] that holds `t`.
    pub fn raw(self, t: Timestamp) -> PartitionId {
        self.partition(TierId::RAW, t)
    }

    /// First and last instant of a partition; the lowest and the highest partition end where timestamps end.
    pub fn bounds(self, partition: PartitionId) -> (Timestamp, Timestamp) {
        let width = i128::from(self.width(partition.tier));
        let first = i128::from(partition.number) * width;
        let clamped = |t: i128| t.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        (clamped(first), clamped(first + width - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("7".into(), "7 of class 2, resolution 1".into())
        );
    }
}
