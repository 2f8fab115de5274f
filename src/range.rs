//! Time ranges, converted from Rust's ranges.

use std::fmt;
use std::ops::{Bound, Range, RangeBounds, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use barograph_engine::{Timestamp, model};

/// A range of time. Calls accept anything that converts to one, such as Rust's ranges over [`Timestamp`]s: `begin..end`
/// excludes its end, `begin..=end` includes it; also `begin..` and `..`.
///
/// ```
/// use barograph::{TimeRange, Timestamp};
/// let (begin, end) = (Timestamp::from_secs(100), Timestamp::from_secs(200));
/// assert!(TimeRange::from(begin..end).contains(begin) && !TimeRange::from(begin..end).contains(end));
/// assert!(TimeRange::from(begin..=end).contains(end));
/// assert_eq!(TimeRange::from(..), TimeRange::ALL);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange(pub(crate) model::TimeRange);

impl TimeRange {
    /// All instants except the earliest, [`Timestamp::MIN`], which no sample may have.
    pub const ALL: TimeRange = TimeRange(model::TimeRange::ALL);

    /// The instants after `start`, up to and including `end`, like a window of PromQL.
    ///
    /// ```
    /// use barograph::{TimeRange, Timestamp};
    /// let window = TimeRange::left_open(Timestamp::from_secs(100), Timestamp::from_secs(200));
    /// assert!(!window.contains(Timestamp::from_secs(100)) && window.contains(Timestamp::from_secs(200)));
    /// ```
    pub fn left_open(start: impl Into<Timestamp>, end: impl Into<Timestamp>) -> Self {
        TimeRange(model::TimeRange::new(start.into().as_nanos(), end.into().as_nanos()))
    }

    /// Whether the range contains an instant.
    ///
    /// ```
    /// use barograph::{TimeRange, Timestamp};
    /// assert!(TimeRange::ALL.contains(Timestamp::now()));
    /// ```
    pub fn contains(&self, timestamp: impl Into<Timestamp>) -> bool {
        self.0.contains(timestamp.into().as_nanos())
    }

    /// Whether the range is empty.
    ///
    /// ```
    /// use barograph::{TimeRange, Timestamp};
    /// let now = Timestamp::now();
    /// assert!(TimeRange::from(now..now).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(range: impl RangeBounds<Timestamp>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(first) => first.as_nanos().saturating_sub(1),
            Bound::Excluded(start) => start.as_nanos(),
            Bound::Unbounded => i64::MIN,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.as_nanos(),
            Bound::Excluded(end) => end.as_nanos().saturating_sub(1),
            Bound::Unbounded => i64::MAX,
        };
        TimeRange(model::TimeRange::new(start, end))
    }
}

impl fmt::Debug for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [start, end] = [self.0.start, self.0.end].map(Timestamp::from_nanos);
        write!(f, "({start}, {end}]")
    }
}

macro_rules! from_ranges {
    ($($range:ty),*) => {
        $(
            impl From<$range> for TimeRange {
                fn from(range: $range) -> Self {
                    TimeRange::of(range)
                }
            }
        )*
    };
}

from_ranges!(
    Range<Timestamp>,
    RangeInclusive<Timestamp>,
    RangeFrom<Timestamp>,
    RangeTo<Timestamp>,
    RangeToInclusive<Timestamp>,
    RangeFull
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_as_in_rust() {
        let [a, b, c] = [1, 2, 3].map(Timestamp::from_nanos);
        let holds = |range: TimeRange| [a, b, c].map(|at| range.contains(at));
        assert_eq!(holds((a..c).into()), [true, true, false]);
        assert_eq!(holds((a..=c).into()), [true, true, true]);
        assert_eq!(holds((b..).into()), [false, true, true]);
        assert_eq!(holds((..b).into()), [true, false, false]);
        assert_eq!(holds((..=b).into()), [true, true, false]);
        assert_eq!(holds(TimeRange::left_open(a, b)), [false, true, false]);
        assert!(TimeRange::from(a..a).is_empty() && !TimeRange::from(a..=a).is_empty());
        let (least, most) = (Timestamp::MIN, Timestamp::MAX);
        assert!(TimeRange::from(least..=most).contains(most));
        assert!(TimeRange::from(most..=most).contains(most));
    }
}
