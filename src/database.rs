//! The handle: engine and query language behind one door.

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
    /// As [`Database::open`], and where an option is out of range.
    pub fn open_with(dir: impl AsRef<Path>, options: Options) -> Result<Database> {
        Ok(Self::over(Engine::open(dir, options)?))
    }

    /// Opens an existing database for reading; nothing in the directory changes.
    ///
    /// # Errors
    /// There is no database, or it is in use or damaged; without the feature `rocksdb` as [`Database::open`].
    pub fn open_read_only(dir: impl AsRef<Path>, options: Options) -> Result<Database> {
        Ok(Self::over(Engine::open_read_only(dir, options)?))
    }

    /// A database in memory: nothing survives it.
    ///
    /// # Errors
    /// An option is out of range.
    pub fn in_memory(options: Options) -> Result<Database> {
        Ok(Self::over(Engine::in_memory(options)?))
    }

    fn over(engine: Engine) -> Database {
        Database { engine: Arc::new(engine), tenant: None }
    }

    /// Appends a batch; returns when it is durable.
    ///
    /// # Errors
    /// A limit, bad input (then nothing of the batch is stored), or an I/O error.
    pub fn append(&self, batch: &Batch) -> Result<AppendReport> {
        Ok(match self.tenant() {
            Some(tenant) => self.engine.append(&batch.0.of_tenant(tenant)?)?,
            None => self.engine.append(&batch.0)?,
        })
    }

    /// The handle of a series, for appends that do not look its labels up again.
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
    /// An empty label set; a limit, where the series is new.
    pub fn handle(&self, labels: &Labels) -> Result<SeriesHandle> {
        let claimed = self.claimed(labels)?;
        Ok(self.engine.handle(&claimed)?)
    }

    /// Appends InfluxDB line protocol; returns when it is durable. Bad lines are in the report, the others are stored.
    ///
    /// # Errors
    /// An I/O error, or memory that stays full.
    pub fn write_lines(&self, lines: &[u8], options: &LineOptions) -> Result<LineReport> {
        self.write_line_bodies([LineBody { bytes: lines, default_timestamp: None }], options)
    }

    /// Appends the lines of several bodies, as [`Database::write_lines`] does of one; durable together, with one sync.
    /// Each body is read on its own: what one lacks at its end is not looked for in the next.
    ///
    /// # Errors
    /// As [`Database::write_lines`].
    pub fn write_line_bodies<'b>(
        &self,
        bodies: impl IntoIterator<Item = LineBody<'b>>,
        options: &LineOptions,
    ) -> Result<LineReport> {
        Ok(self.engine.write_line_bodies(bodies, &self.own_lines(options))?)
    }

    /// Appends a Prometheus remote-write request, decompressed; returns when it is durable.
    /// Invalid samples are in the report, the rest is stored.
    ///
    /// # Errors
    /// The bytes are no request, an I/O error, or memory that stays full.
    pub fn write_remote(&self, request: &[u8], version: RemoteVersion) -> Result<RemoteReport> {
        Ok(self.engine.write_remote_of(self.tenant(), request, version)?)
    }

    /// A reader whose calls stop when `work` is stopped and take their memory from it. The methods of the same names
    /// on `Database` have no limits.
    pub fn reader(&self, work: &Work) -> Reader<'_> {
        Reader::new(&self.engine, work, self.tenant())
    }

    fn unbounded(&self) -> Reader<'_> {
        self.reader(&Work::unbounded())
    }

    /// The metadata of one metric family, or of all: ascending by name, within a family the oldest description first.
    ///
    /// # Errors
    /// With the handle of a tenant, the store could not be read.
    pub fn metadata(&self, family: Option<&str>) -> Result<Vec<(String, Vec<Metadata>)>> {
        self.unbounded().metadata(family, usize::MAX)
    }

    /// The exemplars in `range` of the series that meet any of `selectors` (each a list of
    /// matchers that all must hold), ascending by labels, then by time.
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

    /// Calls `visit` with the samples in `range` of each series that meets all matchers, in
    /// order of labels, until it answers false: as queries see them, histograms among them,
    /// stale markers included. Series without samples there are left out.
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

    /// Evaluates a PromQL expression at `time` (at the whole millisecond below), with default limits.
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

    /// Evaluates a request: times, limits and cancellation in the caller's hands.
    ///
    /// # Errors
    /// As [`Database::query_range`], and when a limit is met or the request is cancelled. Where the memory that all queries
    /// share is used up by others, the request waits for its turn and is evaluated again.
    pub fn execute(&self, request: &Request) -> Result<Response> {
        Ok(request.evaluated(|| barograph_query::execute(&self.source(request), request))?)
    }

    /// Like [`Database::execute`], but fails instead of waiting if the memory shared by all queries is used up. For
    /// callers that need more of that memory than the response holds, and that call
    /// [`Work::attempted`](crate::budget::Work::attempted) around all of their work.
    ///
    /// # Errors
    /// As [`Database::execute`], and [`QueryError::MemoryPool`](crate::QueryError::MemoryPool).
    pub fn execute_at_once(&self, request: &Request) -> Result<Response> {
        Ok(barograph_query::execute(&self.source(request), request)?)
    }

    /// What a request is expected to cost, part by part, from the index and the catalogue
    /// alone. [`Request::explain`] makes [`Database::execute`] tell what it did cost.
    ///
    /// # Errors
    /// As [`Database::query_range`], but for limits.
    pub fn explain(&self, request: &Request) -> Result<Explained> {
        let source = self.source(request);
        Ok(barograph_query::explain(&source, request)?)
    }

    fn source(&self, request: &Request) -> EngineSource<'_> {
        EngineSource::new(view_of(&self.engine, &request.work(), self.tenant()))
    }

    /// The label sets of the series that meet any of `selectors` (each a list of matchers
    /// that all must hold) and may have samples in `range`, sorted, at most `limit`.
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

    /// The label names of the series that meet all matchers and may have samples in
    /// `range`, sorted.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn label_names(&self, matchers: &[Matcher], range: impl Into<TimeRange>) -> Result<Vec<String>> {
        self.unbounded().label_names(&[matchers.to_vec()], range, usize::MAX)
    }

    /// The values of label `name` among the same series with their number of series, sorted.
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

    /// The databases: those that were created by name, and the values of the label `db`. Ascending. For a tenant, the
    /// values in its series, and its own name if that was created.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn databases(&self) -> Result<Vec<String>> {
        self.unbounded().databases()
    }

    /// How many series there are, and which names and labels have most: in memory (series with
    /// unflushed or recent samples), with a range also in every partition that it touches.
    /// Lists are at most `top` long. Memory does not grow with the number of series.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn cardinality(&self, range: Option<TimeRange>, top: usize) -> Result<Cardinality> {
        self.unbounded().cardinality(range, top)
    }

    /// Calls `visit` with the samples in `range` of each series that meets all matchers, in
    /// order of labels, until it returns false. A series of more than 64 Ki samples comes in several pieces, one after
    /// the other and ascending in time.
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

    /// String fields in `range` whose labels meet all matchers, ascending in time.
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

    /// Deletes the samples in `range` of the series that meet all matchers.
    ///
    /// # Errors
    /// No matcher was given, or the WAL could not be written.
    pub fn delete(&self, matchers: &[Matcher], range: impl Into<TimeRange>) -> Result<()> {
        Ok(self.engine.delete(&self.own_matchers(matchers), range.into().0)?)
    }

    /// Reads everything in a directory that is not open anywhere and reports damage.
    ///
    /// # Errors
    /// The directory is in use, or its store cannot be opened; without the feature `rocksdb` as [`Database::open`].
    pub fn verify(dir: &Path) -> Result<VerifyReport> {
        Ok(Engine::verify_dir(dir, &Options::default())?)
    }

    /// Looks for what keeps the store in `dir` from opening, and repairs it with `apply`; without it nothing changes.
    /// [`Database::open`] makes the same repairs.
    ///
    /// # Errors
    /// The directory is in use, or damaged in a way that only a snapshot helps against; without the feature `rocksdb`
    /// as [`Database::open`].
    pub fn repair(dir: &Path, apply: bool) -> Result<RepairReport> {
        Ok(Engine::repair_dir(dir, apply)?)
    }

    /// Reads everything in the open database's store and reports damage.
    ///
    /// # Errors
    /// The store could not be read at all.
    pub fn verify_open(&self) -> Result<VerifyReport> {
        Ok(self.engine.verify()?)
    }

    /// Writes everything in memory to the store and shortens the WAL.
    ///
    /// # Errors
    /// The store refused; nothing is lost.
    pub fn flush(&self) -> Result<FlushReport> {
        Ok(self.engine.flush()?)
    }

    /// Carries out retention and every merge that is due, now.
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
    /// The store failed; nothing is lost. [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if a damaged generation keeps deleted
    /// data on the disk.
    pub fn clean(&self) -> Result<CleanReport> {
        Ok(self.engine.clean()?)
    }

    /// Like [`Database::clean`], and waits at most for `patience` until reads that began earlier have ended, so that
    /// what they held is removed too.
    ///
    /// # Errors
    /// As [`Database::clean`].
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

    /// Changes the limit of new series in one second; zero is no limit.
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

    /// The series in memory of the `top` tenants with most series, those of all others together, and the number of
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

    /// The parts of [`Options::memory_bytes`] and what they hold.
    pub fn memory(&self) -> Vec<PartUse> {
        self.engine.memory()
    }

    /// How the open database is: whether it takes writes, and puts them into the store. Safe to ask often.
    pub fn health(&self) -> Health {
        self.engine.health()
    }

    /// What opening found.
    pub fn open_report(&self) -> &OpenReport {
        self.engine.open_report()
    }

    /// Flushes, stops the background threads, closes all files and unlocks the directory, although clones and readers
    /// may remain. Reads and writes that are under way complete, and closing waits for them. Later calls through any
    /// handle or reader fail with [`ErrorKind::Closed`](crate::ErrorKind::Closed); [`Database::stats`],
    /// [`Database::health`] and the other figures still answer.
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
    /// The last flush failed; nothing acknowledged is lost. An append that had begun, and that nothing waited for, could not
    /// be stored. [`ErrorKind::StillInUse`](crate::ErrorKind::StillInUse) if reads are under way after ten seconds, or in the
    /// calling thread, as in the closure of an export: the directory is unlocked when the last of them ends.
    pub fn close(&self) -> Result<()> {
        Ok(self.engine.close()?)
    }
}
