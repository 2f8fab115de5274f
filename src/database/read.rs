//! Reads of series, labels, samples, string fields and metadata.

use barograph_engine::budget::Work;
use barograph_engine::model::{Exemplar, Labels, Matcher, Metadata};
use barograph_engine::{Cardinality, Damage, Event};

use crate::columns::{Samples, SeriesColumns};
use crate::reader::Reader;
use crate::{Database, Result, TimeRange};

impl Database {
    /// Creates a reader whose calls end when `work` is stopped and take their memory from it. The methods with the same
    /// names on `Database` have no limits.
    ///
    /// ```
    /// use barograph::{Database, budget::{Share, Work}};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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

    /// The label sets of the series that match any of `selectors` (each a list of matchers, all of which must match)
    /// and may have samples in `range`, sorted, at most `limit`.
    ///
    /// ```
    /// use barograph::{Database, Matcher};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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

    /// The damaged generations set aside in the partitions of `range`, ascending by time. Queries leave them out, with
    /// a warning in the response; other reads of such a time are refused, unless [`Reader::leaving_out_damage`] allows
    /// them.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
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
}
