//! Writes: batches, line protocol, remote write, deletes, names of databases.

use barograph_engine::model::{Labels, Matcher};
use barograph_engine::{
    AppendReport, LineBody, LineOptions, LineReport, RemoteReport, RemoteVersion, SeriesHandle,
};

use crate::{Batch, Database, Result, TimeRange};

impl Database {
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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

    /// Deletes the samples in `range` of the series that match all matchers.
    ///
    /// ```
    /// use barograph::{Database, Matcher, Timestamp};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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
}
