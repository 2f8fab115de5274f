//! Bounded reads: each checks a [`Work`] and takes its memory from it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use barograph_engine::budget::{Taken, Work};
use barograph_engine::model::matcher::meets_any;
use barograph_engine::model::{Exemplar, Labels, METRIC_NAME, Matcher, Metadata, Tenant, TimeRange as Range};
use barograph_engine::{Cardinality, Engine, Event, View};
use barograph_query::QueryError;
use barograph_query::source::engine;

use crate::columns::{Samples, SeriesColumns};
use crate::{Result, TimeRange};

/// The label that names a database of InfluxDB.
pub(crate) const DATABASE_LABEL: &str = "db";
/// Suffixes that the names of metrics add to the name of their family.
const FAMILY_SUFFIXES: [&str; 6] = ["_bucket", "_count", "_sum", "_total", "_created", "_info"];

/// Reads of a database that stop when a [`Work`] is stopped, and hold no more memory than it allows; created by
/// [`Database::reader`](crate::Database::reader).
///
/// Selectors are lists of matchers: a series is selected if it matches all matchers of one of them. Without a selector
/// nothing is selected; an empty list of matchers selects everything.
///
/// All calls see the database as it was when the reader was created, with each batch and each delete either completely
/// or not at all: samples, string fields and the set of series. Exemplars, metadata and the list of databases are
/// current as of each call. Drop the reader soon: during its lifetime, memory keeps the samples that were unflushed
/// when it was created. If that exceeds the limit, its calls return [`ErrorKind::Busy`](crate::ErrorKind::Busy).
///
/// Memory that a call needs while it runs is taken from the work before it is allocated, and released afterwards.
/// Memory of the result stays taken until the last clone of the work is dropped, or until its owner releases it. In
/// addition to the errors listed, every call fails with [`ErrorKind::Canceled`](crate::ErrorKind::Canceled) or
/// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if the work was stopped, and with
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit) or [`ErrorKind::Busy`](crate::ErrorKind::Busy) if it has no memory
/// left.
///
/// ```
/// use barograph::budget::{Share, Work};
/// use barograph::{Database, LineOptions, Matcher, Options, TimeRange};
///
/// # fn main() -> barograph::Result<()> {
/// let db = Database::in_memory(Options::default())?;
/// db.write_lines(b"cpu,host=a usage=0.5 1700000000000000000\n", &LineOptions::default())?;
/// let share = Share::new("reads", 1 << 20);
/// let work = Work::unbounded().of(share.clone());
/// let found = db.reader(&work).series(&[vec![Matcher::equal("host", "a")]], TimeRange::ALL, 10)?;
/// assert_eq!(found.len(), 1);
/// assert!(share.used() > 0, "the answer is still held");
/// drop(work);
/// assert_eq!(share.used(), 0);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Reader<'d> {
    engine: &'d Engine,
    view: Arc<View<'d>>,
    work: Work,
    tenant: Option<&'d Tenant>,
}

/// The view; for a tenant restricted to its series.
pub(crate) fn view_of<'d>(engine: &'d Engine, work: &Work, tenant: Option<&Tenant>) -> View<'d> {
    let view = engine.view().with_work(work);
    match tenant {
        Some(tenant) => view.of_tenant(tenant),
        None => view,
    }
}

/// Calls `read` with each selector, and with a test for series that were selected by an earlier one, until it returns
/// false.
fn each_selector<E>(
    selectors: &[Vec<Matcher>],
    mut read: impl FnMut(&[Matcher], &dyn Fn(&Labels) -> bool) -> std::result::Result<bool, E>,
) -> std::result::Result<(), E> {
    for (at, matchers) in selectors.iter().enumerate() {
        if !read(matchers, &|labels| meets_any(&selectors[..at], labels))? {
            break;
        }
    }
    Ok(())
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl<'d> Reader<'d> {
    pub(crate) fn new(engine: &'d Engine, work: &Work, tenant: Option<&'d Tenant>) -> Self {
        let view = Arc::new(view_of(engine, work, tenant));
        Reader { engine, view, work: work.clone(), tenant }
    }

    /// Makes the reader leave out damaged generations (see [`Database::damage`](crate::Database::damage)). Otherwise,
    /// reads of their time ranges are refused.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// let reader = db.reader(&Work::unbounded()).leaving_out_damage();
    /// assert_eq!(reader.series(&all, .., 10)?.len(), 2);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn leaving_out_damage(self) -> Self {
        let Reader { engine, view, work, tenant } = self;
        // A view held by a clone of the reader is unchanged.
        let view = Arc::try_unwrap(view).unwrap_or_else(|_| view_of(engine, &work, tenant));
        Reader { engine, view: Arc::new(view.leaving_out_damage()), work, tenant }
    }

    /// A new view like the reader's, at the current state, that leaves out damage.
    fn lenient(&self) -> View<'d> {
        view_of(self.engine, &self.work, self.tenant).leaving_out_damage()
    }

    /// The label sets of the selected series that may have samples in `range`, sorted, at most `limit`. If there are
    /// more, it is unspecified which of them are returned.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// assert_eq!(db.reader(&Work::unbounded()).series(&all, .., 1)?.len(), 1);
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
        Ok(self.view.label_sets(selectors, range.into().0, limit)?)
    }

    /// The first `limit` label names of the selected series that may have samples in `range`, sorted.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// assert_eq!(db.reader(&Work::unbounded()).label_names(&all, .., 10)?, ["__name__", "host"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store could not be read.
    pub fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        range: impl Into<TimeRange>,
        limit: usize,
    ) -> Result<Vec<String>> {
        Ok(self.view.label_names(selectors, range.into().0, limit)?)
    }

    /// The first `limit` values of the label `name` among the same series, sorted, each with a number of series that
    /// have it. If all series are selected, this is the largest count in any partition. A series that got another id
    /// after a restart is counted again.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// let values = db.reader(&Work::unbounded()).label_values("host", &all, .., 1)?;
    /// assert_eq!(values, [("a".to_owned(), 1)]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store could not be read.
    pub fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: impl Into<TimeRange>,
        limit: usize,
    ) -> Result<Vec<(String, u64)>> {
        Ok(self.view.label_values(name, selectors, range.into().0, limit)?)
    }

    /// The databases, ascending: those that were created by name, and the values of the label `db`. For a tenant, the
    /// values in its series, and its own name if that was created.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// assert!(db.reader(&Work::unbounded()).databases()?.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store could not be read.
    pub fn databases(&self) -> Result<Vec<String>> {
        let mut names = self.engine.databases();
        if let Some(tenant) = self.tenant {
            names.retain(|name| tenant.label() == DATABASE_LABEL && tenant.name() == name);
        }
        let view = self.lenient();
        let values = view.label_values(DATABASE_LABEL, &[Vec::new()], Range::ALL, usize::MAX)?;
        names.extend(values.into_iter().map(|(name, _)| name));
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The number of series, and the names and labels with the most series. Covers the series in memory (those with
    /// unflushed or recent samples); with a range, also those in every partition that overlaps it. Lists have at most
    /// `top` entries.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// assert_eq!(db.reader(&Work::unbounded()).cardinality(None, 10)?.series, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store could not be read.
    pub fn cardinality(&self, range: Option<TimeRange>, top: usize) -> Result<Cardinality> {
        Ok(self.view.cardinality(range.map(|range| range.0), top)?)
    }

    /// Calls `visit` with each selected series and its samples in `range`, selector by selector and within a selector
    /// in the order of labels, until it returns false. A series with more than 64 Ki samples is passed in several
    /// pieces, one after the other and ascending by time.
    ///
    /// The work holds the labels of all series and the samples of one piece.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// let mut hosts = Vec::new();
    /// db.reader(&Work::unbounded()).export(&all, .., |series| {
    ///     hosts.extend(series.labels.get("host").map(str::to_owned));
    ///     true
    /// })?;
    /// assert_eq!(hosts, ["a", "b"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store could not be read.
    pub fn export(
        &self,
        selectors: &[Vec<Matcher>],
        range: impl Into<TimeRange>,
        mut visit: impl FnMut(SeriesColumns) -> bool,
    ) -> Result<()> {
        let range = range.into().0;
        each_selector(selectors, |matchers, skip| {
            Ok(self.view.each_piece(matchers, range, usize::MAX, skip, &mut |series, _, run| {
                Ok(visit(SeriesColumns::new(series.labels.clone(), std::mem::take(run))))
            })?)
        })
    }

    /// Calls `visit` once with each selected series and its samples in `range`, in the order of [`Reader::export`].
    /// Samples are passed as queries see them: histograms with their reset hints, and stale markers.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// let mut samples = 0;
    /// db.reader(&Work::unbounded()).read(&all, .., 1000, |_, columns| {
    ///     samples += columns.len();
    ///     true
    /// })?;
    /// assert_eq!(samples, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// More than `series_max` series match a selector, or the store could not be read.
    pub fn read(
        &self,
        selectors: &[Vec<Matcher>],
        range: impl Into<TimeRange>,
        series_max: usize,
        mut visit: impl FnMut(&Labels, Samples<'_>) -> bool,
    ) -> Result<()> {
        let range = range.into().0;
        each_selector(selectors, |matchers, skip| {
            engine::each_series(&self.view, matchers, range, series_max, skip, &mut |labels, samples| {
                visit(labels, Samples::new(samples))
            })
        })
        .map_err(|error| QueryError::from(error).into())
    }

    /// Like [`Reader::read`], but in pieces like [`Reader::export`].
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// let mut samples = 0;
    /// db.reader(&Work::unbounded()).read_pieces(&all, .., 1000, |_, columns| {
    ///     samples += columns.len();
    ///     true
    /// })?;
    /// assert_eq!(samples, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`Reader::read`].
    pub fn read_pieces(
        &self,
        selectors: &[Vec<Matcher>],
        range: impl Into<TimeRange>,
        series_max: usize,
        mut visit: impl FnMut(&Labels, Samples<'_>) -> bool,
    ) -> Result<()> {
        let range = range.into().0;
        each_selector(selectors, |matchers, skip| {
            engine::each_piece(&self.view, matchers, range, series_max, skip, &mut |labels, samples| {
                visit(labels, Samples::new(samples))
            })
        })
        .map_err(|error| QueryError::from(error).into())
    }

    /// The first `limit` string fields in `range` of the selected label sets, ascending by time, then by labels. Of two
    /// with the same labels and time, the one written later is returned.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// assert_eq!(db.reader(&Work::unbounded()).events(&all, .., 10)?[0].text, "up");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store could not be read.
    pub fn events(
        &self,
        selectors: &[Vec<Matcher>],
        range: impl Into<TimeRange>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        Ok(self.view.events(selectors, range.into().0, limit)?)
    }

    /// Calls `visit` with the same string fields, in the same order, until it returns false. Only the current one is
    /// held in memory.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// let mut texts = Vec::new();
    /// db.reader(&Work::unbounded()).each_event(&all, .., |event| {
    ///     texts.push(event.text);
    ///     true
    /// })?;
    /// assert_eq!(texts, ["up"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store could not be read.
    pub fn each_event(
        &self,
        selectors: &[Vec<Matcher>],
        range: impl Into<TimeRange>,
        mut visit: impl FnMut(Event) -> bool,
    ) -> Result<()> {
        Ok(self.view.each_event(selectors, range.into().0, &mut |event| Ok(visit(event)))?)
    }

    /// The metadata of one metric family, or of the first `limit` of all, ascending by name; within a family, the
    /// oldest description first. A tenant sees the descriptions of its own metrics that it wrote, or that were written
    /// without a tenant.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// assert!(db.reader(&Work::unbounded()).metadata(None, 10)?.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of the work; for a tenant, the store could not be read.
    pub fn metadata(&self, family: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<Metadata>)>> {
        let Some(tenant) = self.tenant else {
            return Ok(self.engine.metadata_within(family, limit, &self.work)?);
        };
        let mut found = Vec::new();
        let taken = Taken::of(&self.work);
        for own in self.families(&taken)?.iter().filter(|own| family.is_none_or(|family| family == *own)) {
            self.work.check()?;
            if found.len() >= limit {
                break;
            }
            let entries = self.engine.metadata_of(tenant, own, &self.work)?;
            if !entries.is_empty() {
                found.push((own.clone(), entries));
            }
        }
        Ok(found)
    }

    /// The possible family names of the series' metrics, ascending; `taken` holds their memory.
    fn families(&self, taken: &Taken) -> Result<BTreeSet<String>> {
        /// Bytes of a name besides its text: its entry in a node that may be half full, and an allocation.
        const NAME_BYTES: usize = 2 * size_of::<String>() + 16;
        let view = self.lenient();
        let metrics = view.label_values(METRIC_NAME, &[Vec::new()], Range::ALL, usize::MAX)?;
        let mut families = BTreeSet::new();
        for (metric, _) in &metrics {
            let stripped = FAMILY_SUFFIXES.iter().filter_map(|suffix| metric.strip_suffix(suffix));
            for family in stripped.chain([metric.as_str()]) {
                taken.more(NAME_BYTES + family.len())?;
                families.insert(family.to_owned());
            }
        }
        Ok(families)
    }

    /// The exemplars in `range` of the selected series, ascending by labels, then by time.
    ///
    /// ```
    /// use barograph::Database;
    /// # use barograph::{LineOptions, Options, Matcher};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// # use barograph::budget::Work;
    /// # let all: [Vec<Matcher>; 1] = [vec![]];
    /// assert!(db.reader(&Work::unbounded()).exemplars(&all, ..)?.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Only those of the work.
    pub fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: impl Into<TimeRange>,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        Ok(match self.tenant {
            None => self.engine.exemplars_within(selectors, range.into().0, &self.work)?,
            Some(tenant) => {
                self.engine.exemplars_within(&tenant.restrict(selectors), range.into().0, &self.work)?
            }
        })
    }
}
