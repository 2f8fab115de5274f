//! Upkeep: checks, flushes, merges, limits of the running database, statistics.

use std::path::Path;
use std::time::Duration;

use barograph_engine::{
    BudgetReport, CleanReport, Engine, FlushReport, Health, Ladder, LadderReport, OpenReport, Options,
    PartUse, RepairReport, Stats, TenantsReport, TierReport, Tiers, VerifyReport,
};

use crate::{Database, Resolution, Result};

impl Database {
    /// Reads everything in a directory that is not open and reports damage.
    ///
    /// ```
    /// use barograph::Database;
    /// # fn main() -> barograph::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// # let directory = dir.path().join("data");
    /// # Database::open(&directory)?.close()?;
    /// let report = Database::verify(&directory)?;
    /// assert!(report.problems.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The directory is in use, or its store cannot be opened; without the feature `rocksdb`, same as
    /// [`Database::open`].
    pub fn verify(dir: impl AsRef<Path>) -> Result<VerifyReport> {
        Ok(Engine::verify_dir(dir.as_ref(), &Options::default())?)
    }

    /// Finds damage that prevents the store in `dir` from being opened, and repairs it if `apply` is set; otherwise
    /// nothing changes. [`Database::open`] makes the same repairs.
    ///
    /// ```
    /// use barograph::Database;
    /// # fn main() -> barograph::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// # let directory = dir.path().join("data");
    /// # Database::open(&directory)?.close()?;
    /// // What a repair would do.
    /// assert!(Database::repair(&directory, false)?.faults.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The directory is in use, or so damaged that only a snapshot helps; without the feature `rocksdb`, same as
    /// [`Database::open`].
    pub fn repair(dir: impl AsRef<Path>, apply: bool) -> Result<RepairReport> {
        Ok(Engine::repair_dir(dir.as_ref(), apply)?)
    }

    /// Reads everything in the open database's store and reports damage.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// assert!(db.verify_open()?.problems.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store could not be read at all.
    pub fn verify_open(&self) -> Result<VerifyReport> {
        Ok(self.engine.verify()?)
    }

    /// Writes everything in memory to the store and truncates the WAL.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// assert_eq!(db.flush()?.samples, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store refused; nothing is lost.
    pub fn flush(&self) -> Result<FlushReport> {
        Ok(self.engine.flush()?)
    }

    /// Applies retention and performs all merges that are due.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.flush()?;
    /// db.compact()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store refused; nothing is lost.
    pub fn compact(&self) -> Result<()> {
        Ok(self.engine.compact()?)
    }

    /// Removes everything that was deleted before the call from the disk, including from partitions that are still
    /// written to.
    ///
    /// ```
    /// use barograph::{Database, Matcher};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.delete(&[Matcher::equal("host", "a")], ..)?;
    /// assert_eq!(db.clean()?.held, 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store failed; nothing is lost. [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if a damaged generation
    /// keeps deleted data on the disk.
    pub fn clean(&self) -> Result<CleanReport> {
        Ok(self.engine.clean()?)
    }

    /// Like [`Database::clean`], but waits for reads that began earlier, at most for `patience`, so that the data they
    /// use is removed too.
    ///
    /// ```
    /// use barograph::{Database, Matcher};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use std::time::Duration;
    /// db.delete(&[Matcher::equal("host", "a")], ..)?;
    /// assert_eq!(db.clean_within(Duration::from_secs(5))?.held, 0, "no read is in progress");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`Database::clean`].
    pub fn clean_within(&self, patience: Duration) -> Result<CleanReport> {
        Ok(self.engine.clean_within(patience)?)
    }

    /// Changes the retention of the running database; zero keeps everything.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use std::time::Duration;
    /// const DAY: Duration = Duration::from_secs(86_400);
    /// db.set_retention(DAY * 90)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// It is shorter than one partition.
    pub fn set_retention(&self, retention: Duration) -> Result<()> {
        Ok(self.engine.set_retention(retention)?)
    }

    /// Changes the tiers of the running database ([`Options::tiers`]). A new one is built from what is stored. One that is no
    /// longer named is neither extended nor dropped; late samples and deletes still change it.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// db.set_tiers("5m 90d, 1h".parse().expect("two tiers"))?;
    /// assert_eq!(db.tiers().len(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// A tier is kept shorter than raw samples.
    pub fn set_tiers(&self, tiers: Tiers) -> Result<()> {
        Ok(self.engine.set_tiers(tiers)?)
    }

    /// Changes the ladders of the running database ([`Options::ladders`]). What is stored of a series follows the ladder that
    /// selects it now; what has been dropped does not come back.
    ///
    /// ```
    /// use barograph::{Database, parse_ladders};
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// db.set_ladders(parse_ladders("{job=\"debug\"} -> raw 3d")?)?;
    /// assert_eq!(db.ladders().len(), 2, "the last is that of all other series");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// One keeps raw samples shorter than a partition, or their tiers cannot be built from each other.
    pub fn set_ladders(&self, ladders: Vec<Ladder>) -> Result<()> {
        Ok(self.engine.set_ladders(ladders)?)
    }

    /// Changes the limit of new series per second; zero is no limit.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.set_new_series_per_second(10_000);
    /// # Ok(()) }
    /// ```
    pub fn set_new_series_per_second(&self, limit: u64) {
        self.engine.set_new_series_per_second(limit);
    }

    /// Changes the limits [`Options::max_series_per_metric`] and
    /// [`Options::max_values_per_label`] of the running database; zero is no limit.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.set_cardinality_limits(100_000, 0);
    /// # Ok(()) }
    /// ```
    pub fn set_cardinality_limits(&self, series_per_metric: u64, values_per_label: u64) {
        self.engine.set_cardinality_limits(series_per_metric, values_per_label);
    }

    /// Changes the limits [`Options::max_series_per_tenant`] and [`Options::max_new_series_per_tenant`] of the running
    /// database; zero is no limit.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.set_tenant_limits(1_000_000, 0);
    /// # Ok(()) }
    /// ```
    pub fn set_tenant_limits(&self, series: u64, new_series_per_second: u64) {
        self.engine.set_tenant_limits(series, new_series_per_second);
    }

    /// Figures about the open database.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// assert_eq!(db.stats().samples, 2);
    /// # Ok(()) }
    /// ```
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The tiers of buckets, ascending by width.
    ///
    /// ```
    /// use barograph::{Database, LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// let tiers = "5m 90d, 1h".parse().expect("two tiers");
    /// let db = Database::in_memory(Options::default().with_tiers(tiers))?;
    /// let lines: String = (0..4).map(|day| format!("cpu usage={day} {}\n", 1_700_000_000 + day * 86_400)).collect();
    /// db.write_lines(lines.as_bytes(), &LineOptions::default().with_precision("s".parse()?))?;
    /// db.flush()?;
    /// db.compact()?;
    /// let hourly = &db.tiers()[1];
    /// assert_eq!((hourly.resolution.name(), hourly.buckets), ("1h", 2), "the last two days are open");
    /// # Ok(()) }
    /// ```
    pub fn tiers(&self) -> Vec<TierReport> {
        self.engine.tiers()
    }

    /// Drops all buckets of a tier that the options no longer name, and returns the bytes of their chunks. History that only
    /// they have is gone.
    ///
    /// ```
    /// use barograph::{Database, Options};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default().with_tiers("5m, 1h".parse().expect("two tiers")))?;
    /// let narrow = db.tiers()[0].resolution;
    /// assert!(db.drop_tier(narrow).is_err(), "it is kept");
    /// db.set_tiers("1h".parse().expect("a tier"))?;
    /// let error = db.drop_tier(narrow).unwrap_err();
    /// assert_eq!(error.to_string(), "there is no tier 5m", "it never had buckets");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The tier is kept, or there is none.
    pub fn drop_tier(&self, tier: Resolution) -> Result<u64> {
        Ok(self.engine.drop_tier(tier)?)
    }

    /// Changes [`Options::disk_bytes`] of the running database; zero: no limit.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// db.set_disk_bytes(90 << 30)?;
    /// assert_eq!(db.budget().budget_bytes, 90 << 30);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// It is too small.
    pub fn set_disk_bytes(&self, disk_bytes: u64) -> Result<()> {
        Ok(self.engine.set_disk_bytes(disk_bytes)?)
    }

    /// Changes [`Options::compaction_rate`] of the running database, in bytes per second; zero: no limit.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// db.set_compaction_rate(32 << 20)?;
    /// assert!(db.set_compaction_rate(1000).is_err(), "at least 1 MiB");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// It is too small.
    pub fn set_compaction_rate(&self, compaction_rate: u64) -> Result<()> {
        Ok(self.engine.set_compaction_rate(compaction_rate)?)
    }

    /// How the database fits into its budget of disk space, and when that is used up at the present pace.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// let budget = db.budget();
    /// assert_eq!((budget.budget_bytes, budget.full_in), (0, None), "without a budget there is no end");
    /// # Ok(()) }
    /// ```
    pub fn budget(&self) -> BudgetReport {
        self.engine.budget()
    }

    /// The ladders in the order in which they are tried, and up to when each has dropped data. The last one, without a
    /// selector, is that of all other series.
    ///
    /// ```
    /// use barograph::{Database, Options, parse_ladders};
    /// # fn main() -> barograph::Result<()> {
    /// let ladders = parse_ladders("{job=\"debug\"} -> raw 3d")?;
    /// let db = Database::in_memory(Options::default().with_ladders(ladders))?;
    /// let debug = &db.ladders()[0];
    /// assert_eq!(debug.ladder.to_string(), "{job=\"debug\"} -> raw 3d");
    /// assert!(debug.dropped.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn ladders(&self) -> Vec<LadderReport> {
        self.engine.ladders()
    }

    /// The series in memory of the `top` tenants with the most series, those of all others together, and the number of
    /// refused new series ([`Options::tenant_label`]).
    ///
    /// ```
    /// use barograph::{Database, LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default().with_max_series_per_tenant(2))?;
    /// let report = db.write_lines(b"up,db=a,n=1 v=1\nup,db=a,n=2 v=1\nup,db=a,n=3 v=1\nup,db=b v=1", &LineOptions::default())?;
    /// assert_eq!((report.samples, report.lines_bad), (3, 1));
    /// let tenants = db.tenants(1);
    /// assert_eq!((&*tenants.largest[0].name, tenants.largest[0].series, tenants.others.series), ("a", 2, 1));
    /// assert_eq!(tenants.refused, [("a".to_owned(), 1)]);
    /// # Ok(()) }
    /// ```
    pub fn tenants(&self, top: usize) -> TenantsReport {
        self.engine.tenants(top)
    }

    /// The parts of [`Options::memory_bytes`] and their use.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// for part in db.memory() {
    ///     println!("{:?}: {:?} of {} bytes", part.part, part.used, part.limit);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn memory(&self) -> Vec<PartUse> {
        self.engine.memory()
    }

    /// The state of the open database: whether it accepts writes and can move them into the store. Cheap enough to call
    /// often.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// assert!(db.health().refuses_writes.is_none());
    /// # Ok(()) }
    /// ```
    pub fn health(&self) -> Health {
        self.engine.health()
    }

    /// The findings of opening.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// assert_eq!(db.open_report().samples_replayed, 0);
    /// # Ok(()) }
    /// ```
    pub fn open_report(&self) -> &OpenReport {
        self.engine.open_report()
    }
}
