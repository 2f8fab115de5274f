//! The handle, through which a program uses the engine and the query language.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use barograph_engine::budget::Work;
use barograph_engine::model::{Exemplar, Labels, Matcher, Metadata, Tenant};
use barograph_engine::{
    AppendReport, Cardinality, CleanReport, Damage, Engine, Event, FlushReport, Health, LineBody,
    LineOptions, LineReport, OpenReport, Options, PartUse, RemoteReport, RemoteVersion, RepairReport,
    SeriesHandle, Stats, TenantsReport, VerifyReport,
};
use barograph_query::source::engine::EngineSource;
use barograph_query::{Explained, Request, Response};

use crate::columns::{Samples, SeriesColumns};
use crate::reader::{Reader, view_of};
use crate::{Batch, Result, TimeRange, Timestamp};

/// An open database. Clones share it. [`Database::close`] closes it for all of them and unlocks the directory; so does
/// dropping the last one, without a flush.
///
/// A handle may belong to a tenant ([`Database::for_tenant`]): it reads, deletes and writes only that tenant's series.
#[derive(Clone)]
pub struct Database {
    pub(crate) engine: Arc<Engine>,
    pub(crate) tenant: Option<Arc<Tenant>>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the database in `dir` with default options, or creates it.
    ///
    /// # Errors
    /// The directory is in use, damaged, from a newer version, or cannot be written. A build without the feature
    /// `rocksdb` returns [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported); it has [`Database::in_memory`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Database> {
        Self::open_with(dir, Options::default())
    }

    /// Opens the database in `dir`, or creates it.
    ///
    /// ```
    /// # fn main() -> barograph::Result<()> {
    /// use barograph::{Database, Durability, Options};
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// let options = Options { durability: Durability::Off, memory_bytes: 64 << 20, ..Options::default() };
    /// let db = Database::open_with(dir.path(), options)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Same as [`Database::open`]; also if an option is out of range.
    pub fn open_with(dir: impl AsRef<Path>, options: Options) -> Result<Database> {
        Ok(Self::over(Engine::open(dir, options)?))
    }

    /// Opens an existing database for reading; nothing in the directory changes.
    ///
    /// # Errors
    /// There is no database, or it is in use or damaged; without the feature `rocksdb`, same as [`Database::open`].
    pub fn open_read_only(dir: impl AsRef<Path>, options: Options) -> Result<Database> {
        Ok(Self::over(Engine::open_read_only(dir, options)?))
    }

    /// Creates a database in memory. Its data is lost when it is dropped.
    ///
    /// # Errors
    /// An option is out of range.
    pub fn in_memory(options: Options) -> Result<Database> {
        Ok(Self::over(Engine::in_memory(options)?))
    }

    fn over(engine: Engine) -> Database {
        Database { engine: Arc::new(engine), tenant: None }
    }

    /// Appends a batch. Returns when it is durable.
    ///
    /// # Errors
    /// A limit, invalid input (in both cases nothing of the batch is stored), or an I/O error.
    pub fn append(&self, batch: &Batch) -> Result<AppendReport> {
        Ok(match self.tenant() {
            Some(tenant) => self.engine.append(&batch.0.of_tenant(tenant)?)?,
            None => self.engine.append(&batch.0)?,
        })
    }

    /// The handle of a series, for appends without looking up its labels again.
    ///
    /// ```
    /// use barograph::{Batch, Database, Labels, Options, Timestamp, Value};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default())?;
    /// let labels = Labels::from_pairs([("__name__", "load"), ("host", "a")]).expect("names differ");
    /// let load = db.handle(&labels)?;
    /// let mut batch = Batch::new();
    /// for second in 0..60 {
    ///     batch.push_to(&load, Timestamp::from_secs(1_700_000_000 + second), Value::Float(0.5));
    /// }
    /// assert_eq!(db.append(&batch)?.samples, 60);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The label set is empty, or the series is new and exceeds a limit.
    pub fn handle(&self, labels: &Labels) -> Result<SeriesHandle> {
        let claimed = self.claimed(labels)?;
        Ok(self.engine.handle(&claimed)?)
    }

    /// Appends InfluxDB line protocol. Returns when it is durable. Bad lines are listed in the report, and the others
    /// are stored.
    ///
    /// # Errors
    /// An I/O error, or memory that stays full.
    pub fn write_lines(&self, lines: &[u8], options: &LineOptions) -> Result<LineReport> {
        self.write_line_bodies([LineBody { bytes: lines, default_timestamp: None }], options)
    }

    /// Like [`Database::write_lines`], for several bodies, which become durable with one sync. Each body is parsed
    /// separately, so an incomplete line at its end does not affect the next one.
    ///
    /// # Errors
    /// Same as [`Database::write_lines`].
    pub fn write_line_bodies<'b>(
        &self,
        bodies: impl IntoIterator<Item = LineBody<'b>>,
        options: &LineOptions,
    ) -> Result<LineReport> {
        Ok(self.engine.write_line_bodies(bodies, &self.own_lines(options))?)
    }

    /// Appends a decompressed Prometheus remote-write request. Returns when it is durable. Invalid samples are listed
    /// in the report, and the rest is stored.
    ///
    /// # Errors
    /// The bytes are not a request, an I/O error, or memory that stays full.
    pub fn write_remote(&self, request: &[u8], version: RemoteVersion) -> Result<RemoteReport> {
        Ok(self.engine.write_remote_of(self.tenant(), request, version)?)
    }

    /// Creates a reader whose calls end when `work` is stopped and take their memory from it. The methods with the same
    /// names on `Database` have no limits.
    pub fn reader(&self, work: &Work) -> Reader<'_> {
        Reader::new(&self.engine, work, self.tenant())
    }

    fn unbounded(&self) -> Reader<'_> {
        self.reader(&Work::unbounded())
    }

    /// The metadata of one metric family or of all, ascending by name; within a family, the oldest description first.
    ///
    /// # Errors
    /// With the handle of a tenant: the store could not be read.
    pub fn metadata(&self, family: Option<&str>) -> Result<Vec<(String, Vec<Metadata>)>> {
        self.unbounded().metadata(family, usize::MAX)
    }

    /// The exemplars in `range` of the series that match any of `selectors` (each a list of matchers, all of which must
    /// match), ascending by labels, then by time.
    ///
    /// # Errors
    /// The database is closed.
    pub fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: impl Into<TimeRange>,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        Ok(match self.tenant() {
            Some(tenant) => self.engine.exemplars(&tenant.restrict(selectors), range.into().0)?,
            None => self.engine.exemplars(selectors, range.into().0)?,
        })
    }

    /// Calls `visit` with the samples in `range` of each series that matches all matchers, in the order of labels,
    /// until it returns false. Samples are passed as queries see them, including histograms and stale markers. Series
    /// without samples in the range are omitted.
    ///
    /// # Errors
    /// More than `series_max` series match, or the store could not be read.
    pub fn read(
        &self,
        matchers: &[Matcher],
        range: impl Into<TimeRange>,
        series_max: usize,
        visit: impl FnMut(&Labels, Samples<'_>) -> bool,
    ) -> Result<()> {
        self.unbounded().read(&[matchers.to_vec()], range, series_max, visit)
    }

    /// Evaluates a PromQL expression at `time`, rounded down to whole milliseconds, with default limits. A sample that
    /// was appended within the same millisecond may be later than that.
    ///
    /// # Errors
    /// The text is not a query, or its evaluation failed.
    pub fn query(&self, query: &str, time: impl Into<Timestamp>) -> Result<Response> {
        self.execute(&Request::instant(query, time))
    }

    /// Evaluates a PromQL expression at `start`, `start + step`, … up to `end`, all rounded down to whole milliseconds.
    ///
    /// # Errors
    /// The times are invalid, the text is not a query, or its evaluation failed.
    pub fn query_range(
        &self,
        query: &str,
        start: impl Into<Timestamp>,
        end: impl Into<Timestamp>,
        step: Duration,
    ) -> Result<Response> {
        self.execute(&Request::range(query, start, end, step))
    }

    /// Evaluates a request with the caller's times, limits and cancellation.
    ///
    /// # Errors
    /// Same as [`Database::query_range`], and if a limit is reached or the request is canceled. If other queries have
    /// used up the memory that all queries share, the request waits for its turn and is evaluated again.
    pub fn execute(&self, request: &Request) -> Result<Response> {
        Ok(request.evaluated(|| barograph_query::execute(&self.source(request), request))?)
    }

    /// Like [`Database::execute`], but fails instead of waiting if the memory shared by all queries is used up. For
    /// callers that need more of that memory than the response holds, and that call
    /// [`Work::attempted`](crate::budget::Work::attempted) around all of their work.
    ///
    /// # Errors
    /// Same as [`Database::execute`], and [`QueryError::MemoryPool`](crate::QueryError::MemoryPool).
    pub fn execute_at_once(&self, request: &Request) -> Result<Response> {
        Ok(barograph_query::execute(&self.source(request), request)?)
    }

    /// The expected cost of a request, part by part, estimated from the index and the catalogue alone. With
    /// [`Request::explain`], [`Database::execute`] reports the actual cost.
    ///
    /// # Errors
    /// Same as [`Database::query_range`], except for limits.
    pub fn explain(&self, request: &Request) -> Result<Explained> {
        let source = self.source(request);
        Ok(barograph_query::explain(&source, request)?)
    }

    fn source(&self, request: &Request) -> EngineSource<'_> {
        EngineSource::new(view_of(&self.engine, &request.work(), self.tenant()))
    }

    /// The label sets of the series that match any of `selectors` (each a list of matchers, all of which must match)
    /// and may have samples in `range`, sorted, at most `limit`.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn series(
        &self,
        selectors: &[Vec<Matcher>],
        range: impl Into<TimeRange>,
        limit: usize,
    ) -> Result<Vec<Labels>> {
        self.unbounded().series(selectors, range, limit)
    }

    /// The label names of the series that match all matchers and may have samples in `range`, sorted.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn label_names(&self, matchers: &[Matcher], range: impl Into<TimeRange>) -> Result<Vec<String>> {
        self.unbounded().label_names(&[matchers.to_vec()], range, usize::MAX)
    }

    /// The values of the label `name` among the same series, sorted, each with the number of its series.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: impl Into<TimeRange>,
    ) -> Result<Vec<(String, u64)>> {
        self.unbounded().label_values(name, &[matchers.to_vec()], range, usize::MAX)
    }

    /// Adds a name to [`Database::databases`] before its first sample; returns false if it is already listed. Durable
    /// when it returns. A database is a value of the label `db`; writing to one does not require creating it.
    ///
    /// ```
    /// use barograph::{Database, Options};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default())?;
    /// assert!(db.create_database("telegraf")?);
    /// assert!(!db.create_database("telegraf")?);
    /// assert_eq!(db.databases()?, ["telegraf"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The name is empty, contains a NUL or exceeds 256 bytes; 10,000 names were created; an I/O error. With the handle
    /// of a tenant, any name but its own.
    pub fn create_database(&self, name: &str) -> Result<bool> {
        self.check_database(name)?;
        Ok(self.engine.create_database(name)?)
    }

    /// Removes a name that [`Database::create_database`] added; returns false if it is not listed. Durable when it
    /// returns. No sample is deleted: while series have the name as their label `db`, it stays in
    /// [`Database::databases`].
    ///
    /// # Errors
    /// An I/O error. With the handle of a tenant, any name but its own.
    pub fn drop_database(&self, name: &str) -> Result<bool> {
        self.check_database(name)?;
        Ok(self.engine.drop_database(name)?)
    }

    /// The damaged generations set aside in the partitions of `range`, ascending by time. Queries leave them out, with
    /// a warning in the response; other reads of such a time are refused, unless [`Reader::leaving_out_damage`] allows
    /// them.
    pub fn damage(&self, range: impl Into<TimeRange>) -> Vec<Damage> {
        self.engine.damage(range.into().0)
    }

    /// The databases, ascending: those that were created by name, and the values of the label `db`. For a tenant, the
    /// values in its series, and its own name if that was created.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn databases(&self) -> Result<Vec<String>> {
        self.unbounded().databases()
    }

    /// The number of series, and the names and labels with the most series. Covers the series in memory (those with
    /// unflushed or recent samples); with a range, also those in every partition that overlaps it. Lists have at most
    /// `top` entries. Memory does not grow with the number of series.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn cardinality(&self, range: Option<TimeRange>, top: usize) -> Result<Cardinality> {
        self.unbounded().cardinality(range, top)
    }

    /// Calls `visit` with the samples in `range` of each series that matches all matchers, in the order of labels,
    /// until it returns false. A series with more than 64 Ki samples is passed in several pieces, one after the other
    /// and ascending by time.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn export(
        &self,
        matchers: &[Matcher],
        range: impl Into<TimeRange>,
        visit: impl FnMut(SeriesColumns) -> bool,
    ) -> Result<()> {
        self.unbounded().export(&[matchers.to_vec()], range, visit)
    }

    /// The string fields in `range` whose labels match all matchers, ascending by time.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn events(
        &self,
        matchers: &[Matcher],
        range: impl Into<TimeRange>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.unbounded().events(&[matchers.to_vec()], range, limit)
    }

    /// Deletes the samples in `range` of the series that match all matchers.
    ///
    /// # Errors
    /// No matcher was given, or the WAL could not be written.
    pub fn delete(&self, matchers: &[Matcher], range: impl Into<TimeRange>) -> Result<()> {
        Ok(self.engine.delete(&self.own_matchers(matchers), range.into().0)?)
    }

    /// Reads everything in a directory that is not open and reports damage.
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
    /// # Errors
    /// The directory is in use, or so damaged that only a snapshot helps; without the feature `rocksdb`, same as
    /// [`Database::open`].
    pub fn repair(dir: impl AsRef<Path>, apply: bool) -> Result<RepairReport> {
        Ok(Engine::repair_dir(dir.as_ref(), apply)?)
    }

    /// Reads everything in the open database's store and reports damage.
    ///
    /// # Errors
    /// The store could not be read at all.
    pub fn verify_open(&self) -> Result<VerifyReport> {
        Ok(self.engine.verify()?)
    }

    /// Writes everything in memory to the store and truncates the WAL.
    ///
    /// # Errors
    /// The store refused; nothing is lost.
    pub fn flush(&self) -> Result<FlushReport> {
        Ok(self.engine.flush()?)
    }

    /// Applies retention and performs all merges that are due.
    ///
    /// # Errors
    /// The store refused; nothing is lost.
    pub fn compact(&self) -> Result<()> {
        Ok(self.engine.compact()?)
    }

    /// Removes everything that was deleted before the call from the disk, including from partitions that are still
    /// written to.
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
    /// # Errors
    /// Same as [`Database::clean`].
    pub fn clean_within(&self, patience: Duration) -> Result<CleanReport> {
        Ok(self.engine.clean_within(patience)?)
    }

    /// Changes the retention of the running database; zero keeps everything.
    ///
    /// # Errors
    /// It is shorter than one partition.
    pub fn set_retention(&self, retention: Duration) -> Result<()> {
        Ok(self.engine.set_retention(retention)?)
    }

    /// Changes the limit of new series per second; zero is no limit.
    pub fn set_new_series_per_second(&self, limit: u64) {
        self.engine.set_new_series_per_second(limit);
    }

    /// Changes the limits [`Options::max_series_per_metric`] and
    /// [`Options::max_values_per_label`] of the running database; zero is no limit.
    pub fn set_cardinality_limits(&self, series_per_metric: u64, values_per_label: u64) {
        self.engine.set_cardinality_limits(series_per_metric, values_per_label);
    }

    /// Changes the limits [`Options::max_series_per_tenant`] and [`Options::max_new_series_per_tenant`] of the running
    /// database; zero is no limit.
    pub fn set_tenant_limits(&self, series: u64, new_series_per_second: u64) {
        self.engine.set_tenant_limits(series, new_series_per_second);
    }

    /// Figures about the open database.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The series in memory of the `top` tenants with the most series, those of all others together, and the number of
    /// refused new series ([`Options::tenant_label`]).
    ///
    /// ```
    /// use barograph::{Database, LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options { max_series_per_tenant: 2, ..Options::default() })?;
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
    pub fn memory(&self) -> Vec<PartUse> {
        self.engine.memory()
    }

    /// The state of the open database: whether it accepts writes and can move them into the store. Cheap enough to call
    /// often.
    pub fn health(&self) -> Health {
        self.engine.health()
    }

    /// The findings of opening.
    pub fn open_report(&self) -> &OpenReport {
        self.engine.open_report()
    }

    /// Flushes, stops the background work, closes all files and unlocks the directory, even if clones and readers
    /// remain. Reads and writes in progress complete, and closing waits for them. Later calls through any handle or
    /// reader fail with [`ErrorKind::Closed`](crate::ErrorKind::Closed); [`Database::stats`], [`Database::health`] and
    /// other figures are still available.
    ///
    /// ```
    /// # fn main() -> barograph::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// use barograph::{Database, ErrorKind};
    /// let db = Database::open(dir.path())?;
    /// let other = db.clone();
    /// db.close()?;
    /// assert_eq!(other.flush().unwrap_err().kind(), ErrorKind::Closed);
    /// let again = Database::open(dir.path())?;
    /// # again.close()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The last flush failed; nothing acknowledged is lost. Or an append that was begun, and that nothing waited for,
    /// could not be stored. [`ErrorKind::StillInUse`](crate::ErrorKind::StillInUse) if reads are still in progress
    /// after ten seconds, or in the calling thread, such as in the closure of an export: the directory is unlocked when
    /// the last of them ends.
    pub fn close(&self) -> Result<()> {
        Ok(self.engine.close()?)
    }
}
