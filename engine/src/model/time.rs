//! Instants and left-open ranges, both in nanoseconds since the Unix epoch.

/// Nanoseconds since the Unix epoch; negative before it.
///
/// This alias is the engine's own form of an instant: columns of timestamps are columns of integers, and arithmetic is
/// that of `i64`. It is not [`crate::Timestamp`], the type with the same layout that callers of the engine see.
pub type Timestamp = i64;

/// A time range that is open on the left and closed on the right, like the windows of PromQL: it contains `t` if and
/// only if `start < t <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// Excluded left end, nanoseconds.
    pub start: Timestamp,
    /// Included right end, nanoseconds.
    pub end: Timestamp,
}

impl TimeRange {
    /// Everything after the smallest timestamp, which no sample may carry.
    pub const ALL: TimeRange = TimeRange { start: i64::MIN, end: i64::MAX };

    /// The range `(start, end]`; empty when `end <= start`.
    pub fn new(start: Timestamp, end: Timestamp) -> Self {
        TimeRange { start, end }
    }

    /// The range `[first, last]`, both ends included.
    pub fn inclusive(first: Timestamp, last: Timestamp) -> Self {
        TimeRange { start: first.saturating_sub(1), end: last }
    }

    /// The instants in both ranges.
    #[must_use]
    pub fn intersection(self, other: TimeRange) -> TimeRange {
        TimeRange::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// Whether the range holds `t`.
    pub fn contains(&self, t: Timestamp) -> bool {
        self.start < t && t <= self.end
    }

    /// Whether the range holds nothing.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether any instant of `[first, last]` is in the range.
    pub fn overlaps(&self, first: Timestamp, last: Timestamp) -> bool {
        !self.is_empty() && first <= self.end && last > self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_left_end_is_open() {
        let range = TimeRange::new(10, 20);
        assert!(!range.contains(10) && range.contains(11) && range.contains(20) && !range.contains(21));
        assert!(
            !range.overlaps(0, 10)
                && range.overlaps(0, 11)
                && range.overlaps(20, 30)
                && !range.overlaps(21, 30)
        );
        assert!(TimeRange::new(5, 5).is_empty());
        assert!(TimeRange::inclusive(5, 5).contains(5));
    }
}
