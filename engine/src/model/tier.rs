//! Tiers: samples as they were written, and buckets that summarize them.

use std::fmt;

/// Nanoseconds of a minute.
const MINUTE: i64 = 60_000_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The width of the buckets of a tier. Buckets begin and end at multiples of it since the Unix epoch.
///
/// Only the widths of [`Resolution::all`] exist, so that each stored one has a number of one byte, and the bounds of wide
/// buckets are bounds of the narrow ones that divide them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resolution(u8);

/// An entry of the table of resolutions: name, width of a bucket and of a partition, nanoseconds.
struct Entry(&'static str, i64, i64);

/// The number of a resolution is its position plus 1. A partition has at least 100 buckets: the buckets of a series in it
/// are one chunk, and short chunks compress badly. Entries are never changed, because the numbers are stored; new ones
/// are appended.
const ENTRIES: [Entry; 11] = [
    Entry("1m", MINUTE, DAY),
    Entry("5m", 5 * MINUTE, DAY),
    Entry("10m", 10 * MINUTE, DAY),
    Entry("15m", 15 * MINUTE, 2 * DAY),
    Entry("30m", 30 * MINUTE, 4 * DAY),
    Entry("1h", HOUR, 7 * DAY),
    Entry("2h", 2 * HOUR, 14 * DAY),
    Entry("3h", 3 * HOUR, 14 * DAY),
    Entry("6h", 6 * HOUR, 28 * DAY),
    Entry("12h", 12 * HOUR, 56 * DAY),
    Entry("1d", DAY, 112 * DAY),
];

impl Resolution {
    /// All resolutions.
    pub fn all() -> impl Iterator<Item = Resolution> {
        (1..=ENTRIES.len() as u8).map(Resolution)
    }

    /// The resolution with this name, such as `5m` or `1d`.
    pub fn parse(name: &str) -> Option<Resolution> {
        Resolution::all().find(|resolution| resolution.name() == name)
    }

    /// The resolution whose buckets have this width, nanoseconds.
    pub fn of_width(width_ns: i64) -> Option<Resolution> {
        Resolution::all().find(|resolution| resolution.width_ns() == width_ns)
    }

    fn entry(self) -> &'static Entry {
        // Numbers that are not in the table are not made.
        &ENTRIES[usize::from(self.0) - 1]
    }

    /// Its name: its width as a duration of the query language.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// Width of a bucket, nanoseconds.
    pub fn width_ns(self) -> i64 {
        self.entry().1
    }

    /// Width of a partition, nanoseconds: a multiple of that of a bucket.
    pub fn partition_ns(self) -> i64 {
        self.entry().2
    }

    /// The last bound of a bucket at or before `t`.
    pub fn floor(self, t: i64) -> i64 {
        t.saturating_sub(t.rem_euclid(self.width_ns()))
    }

    /// The first bound of a bucket at or after `t`: the end of the bucket that holds `t`.
    pub fn ceil(self, t: i64) -> i64 {
        match t.rem_euclid(self.width_ns()) {
            0 => t,
            over => t.saturating_add(self.width_ns() - over),
        }
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A retention class and a resolution, which together have one width of partitions and one retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TierId {
    /// The retention class.
    pub class: u8,
    /// The number of the resolution; 0 for samples as they were written.
    pub resolution: u8,
}

impl TierId {
    /// Samples as they were written, in the default class.
    pub const RAW: TierId = TierId { class: 0, resolution: 0 };

    /// The tier of a class with this resolution.
    pub fn of(class: u8, resolution: Resolution) -> TierId {
        TierId { class, resolution: resolution.0 }
    }

    /// The resolution of its buckets; `None` for samples as they were written, and for a number that this build does not
    /// know.
    pub fn resolution(self) -> Option<Resolution> {
        let is_known = (1..=ENTRIES.len()).contains(&usize::from(self.resolution));
        is_known.then_some(Resolution(self.resolution))
    }

    /// Whether this build knows its resolution.
    pub fn is_known(self) -> bool {
        self.is_raw() || self.resolution().is_some()
    }

    /// Whether it holds samples as they were written.
    pub fn is_raw(self) -> bool {
        self.resolution == 0
    }

    pub(super) fn next(self) -> Option<TierId> {
        let number = u16::from_be_bytes([self.class, self.resolution]).checked_add(1)?;
        let [class, resolution] = number.to_be_bytes();
        Some(TierId { class, resolution })
    }
}

impl fmt::Display for TierId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.resolution() {
            Some(resolution) => write!(f, "class {}, resolution {resolution}", self.class),
            None => write!(f, "class {}, resolution {}", self.class, self.resolution),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_have_whole_buckets_and_at_least_a_hundred() {
        for resolution in Resolution::all() {
            let (bucket, partition) = (resolution.width_ns(), resolution.partition_ns());
            assert!(partition % bucket == 0 && partition / bucket >= 100, "{resolution}");
            assert_eq!(DAY % bucket, 0, "{resolution}");
            assert_eq!(Resolution::parse(resolution.name()), Some(resolution));
            assert_eq!(Resolution::of_width(bucket), Some(resolution));
            assert_eq!(TierId::of(3, resolution).resolution(), Some(resolution));
        }
        assert_eq!((Resolution::parse("7m"), Resolution::of_width(1)), (None, None));
        assert_eq!(
            (TierId::RAW.resolution(), TierId { class: 0, resolution: 12 }.resolution()),
            (None, None)
        );
    }

    #[test]
    fn stored_numbers_stay() {
        let numbers =
            Resolution::all().map(|resolution| (resolution.0, resolution.name())).collect::<Vec<_>>();
        assert_eq!(numbers[1], (2, "5m"));
        assert_eq!(numbers[5], (6, "1h"));
        assert_eq!(numbers[10], (11, "1d"));
    }

    #[test]
    fn a_bucket_includes_its_end() {
        let hour = Resolution::parse("1h").unwrap();
        assert_eq!((hour.ceil(0), hour.ceil(1), hour.ceil(HOUR), hour.ceil(-1)), (0, HOUR, HOUR, 0));
        assert_eq!((hour.floor(0), hour.floor(HOUR - 1), hour.floor(-1)), (0, 0, -HOUR));
    }
}
