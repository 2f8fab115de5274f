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
    /// ```
    /// use barograph::Database;
    /// # fn main() -> barograph::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// # let directory = dir.path().join("data");
    /// let db = Database::open(&directory)?;
    /// db.close()?;
    /// # Ok(()) }
    /// ```
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
    /// let options = Options::default().with_durability(Durability::Off).with_memory_bytes(64 << 20);
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
    /// ```
    /// use barograph::{Database, Options, Timestamp};
    /// # fn main() -> barograph::Result<()> {
    /// # let dir = tempfile::tempdir().expect("a directory");
    /// # let directory = dir.path().join("data");
    /// # Database::open(&directory)?.close()?;
    /// let db = Database::open_read_only(&directory, Options::default())?;
    /// assert!(db.query("cpu_usage", Timestamp::now())?.value.into_vector().unwrap_or_default().is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// There is no database, or it is in use or damaged; without the feature `rocksdb`, same as [`Database::open`].
    pub fn open_read_only(dir: impl AsRef<Path>, options: Options) -> Result<Database> {
        Ok(Self::over(Engine::open_read_only(dir, options)?))
    }

    /// Creates a database in memory. Its data is lost when it is dropped.
    ///
    /// ```
    /// use barograph::{Database, Options, Timestamp};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default().with_memory_bytes(64 << 20))?;
    /// assert_eq!(db.query("1 + 1", Timestamp::now())?.value.into_scalar(), Some(2.0));
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::{Batch, Database, Labels, Timestamp, Value};
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// let mut batch = Batch::new();
    /// batch.push(&Labels::from_pairs([("__name__", "temperature")])?, Timestamp::now(), Value::Float(19.25));
    /// assert_eq!(db.append(&batch)?.samples, 1);
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::{Database, LineOptions, Precision};
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// let options = LineOptions::default().with_precision(Precision::Second);
    /// let report = db.write_lines(b"cpu,host=a usage=0.5 1700000000\nnot a line\n", &options)?;
    /// assert_eq!((report.samples, report.lines_bad), (1, 1));
    /// assert_eq!(report.errors[0].line, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// An I/O error, or memory that stays full.
    pub fn write_lines(&self, lines: &[u8], options: &LineOptions) -> Result<LineReport> {
        self.write_line_bodies([LineBody { bytes: lines, default_timestamp: None }], options)
    }

    /// Like [`Database::write_lines`], for several bodies, which become durable with one sync. Each body is parsed
    /// separately, so an incomplete line at its end does not affect the next one.
    ///
    /// ```
    /// use barograph::{Database, LineBody, LineOptions};
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// let bodies = ["up,host=a v=1", "up,host=b v=1"];
    /// let bodies = bodies.map(|text| LineBody { bytes: text.as_bytes(), default_timestamp: None });
    /// assert_eq!(db.write_line_bodies(bodies, &LineOptions::default())?.samples, 2);
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::{Database, ErrorKind, RemoteVersion};
    /// # use barograph::Options;
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// // A client sends the request compressed with snappy.
    /// assert_eq!(db.write_remote(&[], RemoteVersion::One)?.samples, 0);
    /// assert_eq!(db.write_remote(b"no request", RemoteVersion::One).unwrap_err().kind(), ErrorKind::Invalid);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The bytes are not a request, an I/O error, or memory that stays full.
    pub fn write_remote(&self, request: &[u8], version: RemoteVersion) -> Result<RemoteReport> {
        Ok(self.engine.write_remote_of(self.tenant(), request, version)?)
    }

    /// Creates a reader whose calls end when `work` is stopped and take their memory from it. The methods with the same
    /// names on `Database` have no limits.
    ///
    /// ```
    /// use barograph::{Database, budget::{Share, Work}};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let work = Work::unbounded().of(Share::new("reads", 1 << 20));
    /// assert_eq!(db.reader(&work).label_names(&[vec![]], .., 10)?, ["__name__", "host"]);
    /// # Ok(()) }
    /// ```
    pub fn reader(&self, work: &Work) -> Reader<'_> {
        Reader::new(&self.engine, work, self.tenant())
    }

    fn unbounded(&self) -> Reader<'_> {
        self.reader(&Work::unbounded())
    }

    /// The metadata of one metric family or of all, ascending by name; within a family, the oldest description first.
    ///
    /// ```
    /// use barograph::{Batch, Database, Metadata, MetricType};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let mut batch = Batch::new();
    /// let help = "CPU in use".to_owned();
    /// batch.push_metadata("cpu_usage", Metadata { kind: MetricType::Gauge, help, unit: String::new() });
    /// db.append(&batch)?;
    /// let (family, descriptions) = &db.metadata(None)?[0];
    /// assert_eq!((&**family, &*descriptions[0].help), ("cpu_usage", "CPU in use"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// With the handle of a tenant: the store could not be read.
    pub fn metadata(&self, family: Option<&str>) -> Result<Vec<(String, Vec<Metadata>)>> {
        self.unbounded().metadata(family, usize::MAX)
    }

    /// The exemplars in `range` of the series that match any of `selectors` (each a list of matchers, all of which must
    /// match), ascending by labels, then by time.
    ///
    /// ```
    /// use barograph::{Database, Matcher};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let selector = vec![Matcher::equal("__name__", "cpu_usage")];
    /// assert!(db.exemplars(&[selector], ..)?.is_empty());
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::{Database, Matcher};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let mut sum = 0.0;
    /// db.read(&[Matcher::equal("__name__", "cpu_usage")], .., 1000, |_, samples| {
    ///     sum += samples.values().iter().sum::<f64>();
    ///     true
    /// })?;
    /// assert_eq!(sum, 1.2);
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::{Database, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let answer = db.query("max(cpu_usage)", Timestamp::from_secs(1_700_000_060))?;
    /// let samples = answer.value.into_vector().unwrap_or_default();
    /// assert_eq!(samples[0].value.as_f64(), Some(0.7));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The text is not a query, or its evaluation failed.
    pub fn query(&self, query: &str, time: impl Into<Timestamp>) -> Result<Response> {
        self.execute(&Request::instant(query, time))
    }

    /// Evaluates a PromQL expression at `start`, `start + step`, … up to `end`, all rounded down to whole milliseconds.
    ///
    /// ```
    /// use barograph::{Database, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use std::time::Duration;
    /// let (start, minute) = (Timestamp::from_secs(1_700_000_000), Duration::from_secs(60));
    /// let answer = db.query_range("sum(cpu_usage)", start, start + minute * 3, minute)?;
    /// let series = &answer.value.into_matrix().unwrap_or_default()[0];
    /// assert_eq!(series.floats().map(|(_, value)| value).collect::<Vec<_>>(), [1.2; 4]);
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::{Cancel, Database, ErrorKind, Request, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let mut request = Request::instant("sum(cpu_usage)", Timestamp::from_secs(1_700_000_060));
    /// request.cancel = Cancel::new();
    /// request.cancel.cancel();
    /// assert_eq!(db.execute(&request).unwrap_err().kind(), ErrorKind::Canceled);
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::{Database, Request, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let request = Request::instant("count(cpu_usage)", Timestamp::from_secs(1_700_000_060));
    /// let answer = db.execute_at_once(&request)?;
    /// assert_eq!(answer.value.into_vector().unwrap_or_default()[0].value.as_f64(), Some(2.0));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`Database::execute`], and [`QueryError::MemoryPool`](crate::QueryError::MemoryPool).
    pub fn execute_at_once(&self, request: &Request) -> Result<Response> {
        Ok(barograph_query::execute(&self.source(request), request)?)
    }

    /// The expected cost of a request, part by part, estimated from the index and the catalogue alone. With
    /// [`Request::explain`], [`Database::execute`] reports the actual cost.
    ///
    /// ```
    /// use barograph::{Database, Request, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let request = Request::instant("sum(cpu_usage)", Timestamp::from_secs(1_700_000_060));
    /// let explained = db.explain(&request)?;
    /// assert_eq!(explained.text, "sum(cpu_usage)");
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::{Database, Matcher};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let found = db.series(&[vec![Matcher::equal("host", "a")]], .., 10)?;
    /// assert_eq!(found[0].get("host"), Some("a"));
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// assert_eq!(db.label_names(&[], ..)?, ["__name__", "host"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store could not be read.
    pub fn label_names(&self, matchers: &[Matcher], range: impl Into<TimeRange>) -> Result<Vec<String>> {
        self.unbounded().label_names(&[matchers.to_vec()], range, usize::MAX)
    }

    /// The values of the label `name` among the same series, sorted, each with the number of its series.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// assert_eq!(db.label_values("host", &[], ..)?, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.create_database("telegraf")?;
    /// assert!(db.drop_database("telegraf")?);
    /// assert!(!db.drop_database("telegraf")?);
    /// # Ok(()) }
    /// ```
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
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// assert!(db.damage(..).is_empty());
    /// # Ok(()) }
    /// ```
    pub fn damage(&self, range: impl Into<TimeRange>) -> Vec<Damage> {
        self.engine.damage(range.into().0)
    }

    /// The databases, ascending: those that were created by name, and the values of the label `db`. For a tenant, the
    /// values in its series, and its own name if that was created.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.write_lines(b"up,db=telegraf v=1", &LineOptions::default())?;
    /// assert_eq!(db.databases()?, ["telegraf"]);
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let cardinality = db.cardinality(None, 10)?;
    /// assert_eq!(cardinality.series, 2);
    /// assert_eq!(cardinality.values_by_label[0], ("host".to_owned(), 2));
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::{Database, Matcher};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.export(&[Matcher::equal("host", "a")], .., |series| {
    ///     println!("{} {:?} {:?}", series.labels, series.timestamps, series.values);
    ///     true
    /// })?;
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::{Database, Matcher};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let events = db.events(&[Matcher::equal("host", "a")], .., 10)?;
    /// assert_eq!(events[0].text, "up");
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// use barograph::{Database, Matcher, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// db.delete(&[Matcher::equal("host", "a")], ..Timestamp::from_secs(1_800_000_000))?;
    /// assert_eq!(db.series(&[vec![]], .., 10)?.len(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// No matcher was given, or the WAL could not be written.
    pub fn delete(&self, matchers: &[Matcher], range: impl Into<TimeRange>) -> Result<()> {
        Ok(self.engine.delete(&self.own_matchers(matchers), range.into().0)?)
    }

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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
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

    /// Changes the limit of new series per second; zero is no limit.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// assert_eq!(db.stats().samples, 2);
    /// # Ok(()) }
    /// ```
    pub fn stats(&self) -> Stats {
        self.engine.stats()
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000", "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// assert_eq!(db.open_report().samples_replayed, 0);
    /// # Ok(()) }
    /// ```
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
