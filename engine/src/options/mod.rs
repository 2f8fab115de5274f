//! Options of a database: each with its default, unit and limits.

mod kept;
mod ladders;
mod setters;
mod tiers;

use std::time::Duration;

use crate::budget::Part;
use crate::model::{Duplicates, Layout, METRIC_NAME};
use crate::{Error, Result};
pub use kept::Kept;
pub use ladders::Ladder;
pub(crate) use ladders::{longest, tiers_of};
pub use tiers::{Tier, Tiers};

/// How [`Options::memory_bytes`] is divided.
pub static PARTS: &[Part] = &[
    Part {
        name: "samples",
        parts: 17,
        bounds: "samples and string fields that are not yet in the store; up to three quarters of the share may \
                 hold flushed ones that older reads still need",
        full: "a flush starts at half; when full, writes wait for `write_wait`, then get 429 (`/write`: 503) with \
               `Retry-After`; if reads need too much, the oldest get 429 with `Retry-After`",
    },
    Part {
        name: "series",
        parts: 18,
        bounds: "series with unflushed or recent samples, their labels and their index",
        full: "from half on, flushes remove idle series early; when full, new series get 429 (`/write`: 503) with \
               `Retry-After` and known series are still written; with several tenants, a tenant may use more memory \
               only while it has at most four times what is free",
    },
    Part {
        name: "block_cache",
        parts: 9,
        bounds: "blocks of RocksDB's tables, their indexes and filters, and its memtables",
        full: "the least recently used blocks are evicted; blocks in use stay",
    },
    Part {
        name: "line_cache",
        parts: 3,
        bounds: "the cache that maps the measurement and tags of a line to its series",
        full: "the cache is cleared",
    },
    Part {
        name: "remote_cache",
        parts: 3,
        bounds: "the cache that maps the labels of a remote-write series to the series",
        full: "the cache is cleared",
    },
    Part {
        name: "notes",
        parts: 2,
        bounds: "exemplars (half) and metric metadata (half, at most 32 MiB)",
        full: "the oldest exemplars are dropped; metadata that does not fit is dropped and counted",
    },
    Part {
        name: "batches",
        parts: 4,
        bounds: "parsed samples and string fields of writes until they are in `samples`, and their records for the WAL",
        full: "writes are committed in smaller pieces; if there is no memory at all, they wait for `write_wait`, \
               then get 429 (`/write`: 503) with `Retry-After`",
    },
    Part {
        name: "log",
        parts: 2,
        bounds: "records waiting to be written to the WAL",
        full: "writers first write the records that are waiting",
    },
    Part {
        name: "work",
        parts: 6,
        bounds: "buffers of flushes and merges: pieces of series, tables under construction, hashes of label sets",
        full: "the work is split into more passes",
    },
];

/// When an append returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After an fsync, which concurrent appends share (group commit). Acknowledged data survives kill -9 and power
    /// loss.
    Always,
    /// After the write to the operating system, with an fsync at this interval. Acknowledged data survives kill -9; a
    /// power loss may lose the data of the last interval.
    Interval(Duration),
    /// After the write to the operating system, which decides when to sync. Acknowledged data survives kill -9; a power
    /// loss may lose everything since the last flush.
    Off,
}

/// Options of a database.
///
/// ```
/// use barograph_engine::Options;
/// let options = Options::default().with_memory_bytes(256 << 20);
/// assert!(options.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// When an append returns. Default [`Durability::Always`].
    pub durability: Durability,
    /// Limit for the engine's memory, bytes, divided according to [`PARTS`]. Default 1 GiB, at least 16 MiB.
    pub memory_bytes: u64,
    /// How long samples are kept. Default 0: for ever. Counted from the newest sample or the clock, whichever is
    /// earlier; whole partitions are dropped. A clock that jumps ahead is trusted only after a day. Mark a batch whose
    /// times were taken from the clock ([`Batch::set_stamped_by_clock`](crate::Batch::set_stamped_by_clock)).
    pub retention: Duration,
    /// The tiers of buckets that are kept beside raw samples, such as `5m 90d, 1h 3y`. Default
    /// [`Tiers::automatic`]. Raw samples that are past the retention are dropped when all tiers include them.
    pub tiers: Tiers,
    /// What is kept of some series in place of [`Options::retention`] and [`Options::tiers`], by which rule in place of
    /// [`Options::duplicates`], and as which type; the first ladder whose selector matches counts. Default none; at most 64.
    pub ladders: Vec<Ladder>,
    /// How long events (string fields) are kept; zero: for ever. Default `None`: as long as the raw samples that are kept
    /// longest, by [`Options::retention`] or a ladder. At least one partition.
    pub event_retention: Option<Duration>,
    /// Whether what [`Engine::store_kept`](crate::Engine::store_kept) has stored in the database counts in place of
    /// [`Options::retention`], [`Options::tiers`], [`Options::ladders`] and [`Options::event_retention`]. Default false.
    pub stored_kept: bool,
    /// The size of the database on the disk beyond which the oldest partitions are dropped, those of raw samples first, then
    /// those of the narrowest tier, and so on, bytes. The newest two of each stay, and so does what a wider tier does not
    /// include yet. Default 0: no limit; otherwise at least 16 MiB, and the log counts too.
    pub disk_bytes: u64,
    /// Which of several samples of a series with the same timestamp counts, unless the ladder of the series has a rule. Default
    /// [`Duplicates::Last`]. A change concerns samples that have not been merged yet; buckets that have been built stay as they
    /// are.
    pub duplicates: Duplicates,
    /// Width of a partition. Default one day, from one minute to 365 days. Fixed when the
    /// database is created.
    pub partition_width: Duration,
    /// Maximum time before samples are flushed. Default 2 hours, at least 1 second.
    pub flush_interval: Duration,
    /// Size of the WAL at which samples are flushed, which keeps replay short, bytes. Default 512 MiB, at least 8 MiB.
    pub wal_bytes: u64,
    /// Size of a WAL segment, bytes. Default 64 MiB, at least 1 MiB.
    pub wal_segment_bytes: u64,
    /// Maximum disk blocks held back so that a full disk cannot interrupt an operation, bytes. As many are held back as
    /// the data and the log have, rounded down to a power of two, at least 16 KiB, and none while the database is
    /// empty; for the store, a quarter of that, 32 KiB to 4 MiB. Default 16 MiB; 0 holds none back.
    pub wal_reserve_bytes: u64,
    /// Maximum new series in one second. Default 0: no limit.
    pub new_series_per_second: u64,
    /// Maximum series with unflushed or recent samples. Default 10,000,000.
    pub active_series: u64,
    /// Maximum active series of one metric name. Default 0: no limit, because the right limit differs between metrics,
    /// reaching it loses data, and memory is bounded without it.
    pub max_series_per_metric: u64,
    /// Maximum values of one label name among active series; `__name__` is a label whose values are the metric names.
    /// Default 0: no limit, for the same reason.
    pub max_values_per_label: u64,
    /// The label whose value is the tenant of a series; a series without it belongs to the empty tenant. Default `db`,
    /// which the InfluxDB protocols set; empty: all series belong to one tenant. If there are several tenants, none
    /// gets more than a fair share of the memory for series and of [`Options::active_series`], so a tenant that floods
    /// the database leaves room for new series of the others. A single tenant may use all of both.
    pub tenant_label: String,
    /// Maximum active series of one tenant. Default 0: no limit besides the fair share.
    pub max_series_per_tenant: u64,
    /// Maximum new series of one tenant in one second. Default 0: no limit.
    pub max_new_series_per_tenant: u64,
    /// Maximum labels of one series, including its metric name. Default 64, at most 1,000.
    pub labels_per_series: usize,
    /// Maximum total size of the label names and values of one series, bytes. Default 64 KiB, 1 KiB to 1 MiB.
    pub label_bytes_per_series: usize,
    /// Maximum total size of the labels of the new series and string fields of one line, bytes. Every field of a line
    /// gets all of the line's tags, so a short line can create labels of many times its size. Default 4 MiB, 64 KiB to
    /// 1 GiB.
    pub label_bytes_per_line: usize,
    /// Maximum partitions to which one request may write samples or events. Each costs as much as a partition with a
    /// whole day's data. Default 5,000, from 1 to 1,000,000.
    pub partitions_per_request: usize,
    /// How long an append waits for memory before it gives up. Default 10 seconds.
    pub write_wait: Duration,
    /// Number of samples at which a chunk is closed. Default 1,024, from 16 to 65,536.
    pub chunk_samples: usize,
    /// How long opening the store may take before it is considered hung. Default 60 seconds.
    pub open_timeout: Duration,
    /// Period in which the whole store is read again and checked, at an even pace of at least 256 KiB a second. Damage
    /// is logged and counted ([`Stats::scrub_problems`](crate::Stats)). Default 14 days; 0: never.
    pub scrub_interval: Duration,
    /// Bytes per second of chunks and index entries that merges and tiers read and write, before the compression of
    /// blocks. Default 0: no limit; else at least 1 MiB. Flushes, drops and the removal of replaced data are not
    /// limited. A limit below five times the bytes per second of new chunks lets more and more unmerged data accumulate.
    pub compaction_rate: u64,
    /// What to do about damage in the WAL before its durable mark: refuse to open (false, the default), or move the
    /// damaged part aside, report it and open (true). Opening for reading leaves the damage in place, and all reads
    /// then also leave out damaged parts of the store.
    pub recover_damaged_wal: bool,
    /// What to do about a generation of the store that is damaged at opening: set it aside and open without it (false,
    /// the default), or refuse to open (true). See `Engine::damage`.
    pub refuse_damaged_store: bool,
    /// Whether background threads flush, merge and expire. Default true; tests that control every step set it to false.
    pub background: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            durability: Durability::Always,
            memory_bytes: 1 << 30,
            retention: Duration::ZERO,
            tiers: Tiers::automatic(),
            ladders: Vec::new(),
            event_retention: None,
            stored_kept: false,
            disk_bytes: 0,
            duplicates: Duplicates::Last,
            partition_width: Duration::from_secs(86_400),
            flush_interval: Duration::from_secs(7_200),
            wal_bytes: 512 << 20,
            wal_segment_bytes: 64 << 20,
            wal_reserve_bytes: 16 << 20,
            new_series_per_second: 0,
            active_series: 10_000_000,
            max_series_per_metric: 0,
            max_values_per_label: 0,
            tenant_label: "db".to_owned(),
            max_series_per_tenant: 0,
            max_new_series_per_tenant: 0,
            labels_per_series: 64,
            label_bytes_per_series: 64 << 10,
            label_bytes_per_line: 4 << 20,
            partitions_per_request: 5_000,
            write_wait: Duration::from_secs(10),
            chunk_samples: 1024,
            open_timeout: Duration::from_secs(60),
            scrub_interval: Duration::from_secs(14 * 86_400),
            compaction_rate: 0,
            recover_damaged_wal: false,
            refuse_damaged_store: false,
            background: true,
        }
    }
}

impl Options {
    /// Options for a small device, or for one of many databases in a process: the minimum memory that an engine works
    /// with (at most 16 MiB, taken as needed), a log that is flushed at 8 MiB in segments of 1 MiB, and at most 1 MiB
    /// held back for a full disk, plus a quarter of that for the store. Everything else is as in [`Options::default`].
    ///
    /// ```
    /// use barograph_engine::Options;
    /// let options = Options::small().with_background(false);
    /// assert!(options.validate().is_ok());
    /// ```
    pub fn small() -> Options {
        Options {
            memory_bytes: 16 << 20,
            wal_bytes: 8 << 20,
            wal_segment_bytes: 1 << 20,
            wal_reserve_bytes: 1 << 20,
            ..Options::default()
        }
    }

    /// Checks every option against its limits.
    ///
    /// # Errors
    /// [`Error::Option`] that names the first invalid option.
    pub fn validate(&self) -> Result<()> {
        let bad = |name, reason: String| Err(Error::Option { name, reason });
        let at_least = |name, value: u64, limit: u64| {
            if value < limit { bad(name, format!("{value} is below the minimum of {limit}")) } else { Ok(()) }
        };
        at_least("memory_bytes", self.memory_bytes, 16 << 20)?;
        at_least("wal_bytes", self.wal_bytes, 8 << 20)?;
        // In tests, logs of a few records have several segments.
        let segment_bytes_min = if cfg!(test) { 1 << 10 } else { 1 << 20 };
        at_least("wal_segment_bytes", self.wal_segment_bytes, segment_bytes_min)?;
        at_least("active_series", self.active_series, 1)?;
        at_least("flush_interval", self.flush_interval.as_secs(), 1)?;
        let width = self.partition_width;
        if !(Duration::from_secs(60)..=Duration::from_secs(365 * 86_400)).contains(&width) {
            return bad("partition_width", format!("{width:?} is not between 1 minute and 365 days"));
        }
        // In tests, databases of a few samples have several partitions.
        let disk_bytes_min = if cfg!(test) { 1 } else { 16 << 20 };
        if self.disk_bytes > 0 {
            at_least("disk_bytes", self.disk_bytes, disk_bytes_min)?;
        }
        self.validate_compaction_rate()?;
        if !(16..=65_536).contains(&self.chunk_samples) {
            return bad("chunk_samples", format!("{} is not between 16 and 65536", self.chunk_samples));
        }
        if self.tenant_label == METRIC_NAME || self.tenant_label.contains('\0') {
            return bad("tenant_label", format!("{:?} cannot be the label of tenants", self.tenant_label));
        }
        if !(1..=1_000).contains(&self.labels_per_series) {
            return bad("labels_per_series", format!("{} is not between 1 and 1000", self.labels_per_series));
        }
        if !(1 << 10..=1 << 20).contains(&self.label_bytes_per_series) {
            let found = self.label_bytes_per_series;
            return bad("label_bytes_per_series", format!("{found} is not between 1 KiB and 1 MiB"));
        }
        if !(64 << 10..=1 << 30).contains(&self.label_bytes_per_line) {
            let found = self.label_bytes_per_line;
            return bad("label_bytes_per_line", format!("{found} is not between 64 KiB and 1 GiB"));
        }
        if !(1..=1_000_000).contains(&self.partitions_per_request) {
            let found = self.partitions_per_request;
            return bad("partitions_per_request", format!("{found} is not between 1 and 1000000"));
        }
        if !self.retention.is_zero() && self.retention < width {
            return bad(
                "retention",
                format!("{:?} is shorter than one partition ({width:?})", self.retention),
            );
        }
        if let Some(keep) = self.event_retention.filter(|keep| !keep.is_zero() && *keep < width) {
            return bad("event_retention", format!("{keep:?} is shorter than one partition ({width:?})"));
        }
        if let Some(why) = self.tiers.fault() {
            return bad("tiers", why);
        }
        if let Some(tier) = self.tiers.iter().find(|tier| !tier.keep.is_zero() && tier.keep < self.retention)
        {
            let (tier, keep, retention) = (tier.resolution, tier.keep, self.retention);
            return bad(
                "tiers",
                format!("{tier} is kept for {keep:?}, shorter than raw samples ({retention:?})"),
            );
        }
        self.validate_ladders()
    }

    pub(crate) fn validate_compaction_rate(&self) -> Result<()> {
        let (name, rate) = ("compaction_rate", self.compaction_rate);
        if (1..1 << 20).contains(&rate) {
            let reason = format!("{rate} bytes per second are fewer than 1 MiB; 0 is no limit");
            return Err(Error::Option { name, reason });
        }
        Ok(())
    }

    fn validate_ladders(&self) -> Result<()> {
        let bad = |reason: String| Err(Error::Option { name: "ladders", reason });
        Ladder::check_number(self.ladders.len())?;
        if let Some(why) = self.ladders.iter().find_map(Ladder::fault) {
            return bad(why);
        }
        let width = self.partition_width;
        let too_short = |ladder: &&Ladder| !ladder.retention.is_zero() && ladder.retention < width;
        if let Some(ladder) = self.ladders.iter().find(too_short) {
            return bad(format!("{ladder} keeps raw samples shorter than one partition ({width:?})"));
        }
        let rest = Ladder::rest(self.retention, self.tiers.clone());
        tiers_of(self.ladders.iter().chain([&rest])).map(drop).or_else(bad)
    }

    /// Maximum bytes of exemplars and metadata.
    pub fn note_bytes_max(&self) -> u64 {
        const { Part::named(PARTS, "notes") }.of(self.memory_bytes)
    }

    /// Bytes of unflushed samples at which appends begin to wait.
    pub fn head_bytes_max(&self) -> u64 {
        const { Part::named(PARTS, "samples") }.of(self.memory_bytes)
    }

    /// Bytes of unflushed samples at which a flush begins.
    pub fn flush_bytes(&self) -> u64 {
        self.head_bytes_max() / 2
    }

    /// Maximum bytes of flushed samples that stay in memory for reads that began before the flush. Part of
    /// [`Options::head_bytes_max`].
    pub fn kept_bytes_max(&self) -> u64 {
        self.head_bytes_max() / 4 * 3
    }

    /// Maximum bytes of series in the head; beyond it, new series are refused.
    pub fn series_bytes_max(&self) -> u64 {
        const { Part::named(PARTS, "series") }.of(self.memory_bytes)
    }

    /// Maximum bytes of the new series of one request.
    pub fn request_series_bytes_max(&self) -> u64 {
        self.series_bytes_max() / 2
    }

    /// Bytes of series in the head from which flushes look for idle series early.
    pub fn series_bytes_pressure(&self) -> u64 {
        self.series_bytes_max() / 2
    }

    /// Bytes of the block cache.
    pub fn cache_bytes(&self) -> u64 {
        const { Part::named(PARTS, "block_cache") }.of(self.memory_bytes)
    }

    /// Bytes of the cache that maps lines to series.
    pub fn line_cache_bytes(&self) -> u64 {
        const { Part::named(PARTS, "line_cache") }.of(self.memory_bytes)
    }

    /// Bytes of the cache that maps remote-write series to series.
    pub fn remote_cache_bytes(&self) -> u64 {
        const { Part::named(PARTS, "remote_cache") }.of(self.memory_bytes)
    }

    /// Maximum bytes of batches that are not yet in the log and the head.
    pub fn batch_bytes_max(&self) -> u64 {
        const { Part::named(PARTS, "batches") }.of(self.memory_bytes)
    }

    /// Maximum bytes that wait to be written to the WAL.
    pub fn log_bytes_max(&self) -> u64 {
        const { Part::named(PARTS, "log") }.of(self.memory_bytes)
    }

    /// Maximum bytes that flushes and merges hold.
    pub fn work_bytes_max(&self) -> u64 {
        const { Part::named(PARTS, "work") }.of(self.memory_bytes)
    }

    /// How a new database divides data into partitions.
    pub(crate) fn layout(&self) -> Layout {
        Layout::new(self.partition_width.as_nanos() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_memory_are_no_more_than_it() {
        assert_eq!(PARTS.iter().map(|part| part.parts).sum::<u64>(), Part::WHOLE);
        for memory_bytes in [16 << 20, 123_456_789, 1 << 30, 1 << 44] {
            let options = Options { memory_bytes, ..Options::default() };
            let shares = [
                options.head_bytes_max(),
                options.series_bytes_max(),
                options.cache_bytes(),
                options.line_cache_bytes(),
                options.remote_cache_bytes(),
                options.note_bytes_max(),
                options.batch_bytes_max(),
                options.log_bytes_max(),
                options.work_bytes_max(),
            ];
            assert_eq!(shares.len(), PARTS.len(), "each part is the limit of something");
            let sum: u64 = shares.iter().sum();
            assert!(sum <= memory_bytes && sum > memory_bytes - Part::WHOLE, "{sum} of {memory_bytes}");
        }
    }

    #[test]
    fn a_bad_option_is_named_with_its_limit() {
        let options = Options { memory_bytes: 5, ..Options::default() };
        assert_eq!(
            options.validate().unwrap_err().to_string(),
            "option memory_bytes: 5 is below the minimum of 16777216"
        );
        let options = Options { retention: Duration::from_secs(5), ..Options::default() };
        assert!(options.validate().unwrap_err().to_string().contains("shorter than one partition"));
    }
}
