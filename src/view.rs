//! Views: several reads of one state.

use std::fmt;
use std::sync::Arc;

use barograph_engine::budget::Work;
use barograph_engine::model::Matcher;

use crate::owned::OwnedView;
use crate::reader::view_of;
use crate::{Database, Result, Scan, TimeRange};

/// The database as it was when the view was created, for any number of reads; created by [`Database::view`]. Clones
/// share it.
///
/// A view owns what it needs, and keeps the database open like a clone of its handle. Drop it soon: during its
/// lifetime, and that of the iterators that it created, memory keeps the samples that were unflushed when it was
/// created. After [`Database::close`] its reads return an error of the kind [`Closed`](crate::ErrorKind::Closed).
///
/// ```
/// use std::time::Duration;
///
/// use barograph::{Batch, Database, Labels, Options, Timestamp, Value, parse_selector};
/// # fn main() -> barograph::Result<()> {
/// let db = Database::in_memory(Options::default())?;
/// let (load, now) = (Labels::from_pairs([("__name__", "load")])?, Timestamp::now());
/// let mut batch = Batch::new();
/// batch.push(&load, now - Duration::from_secs(60), Value::Float(0.5));
/// db.append(&batch)?;
///
/// let view = db.view()?;
/// batch.clear();
/// batch.push(&load, now, Value::Float(0.7)); // the view does not show it
/// db.append(&batch)?;
/// let (hour, load) = (now - Duration::from_secs(3_600), parse_selector("load")?);
/// for series in view.select(&load, hour..).chain(view.select(&load, ..)) {
///     assert_eq!(series?.values, [0.5]);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct View {
    view: Arc<OwnedView>,
    work: Work,
}

impl Database {
    /// A view of the current state: every batch and every delete is included completely or not at all.
    ///
    /// ```
    /// use barograph::{Database, Matcher};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let view = db.view()?;
    /// db.delete(&[Matcher::equal("host", "a")], ..)?;
    /// assert_eq!(view.select(&[], ..).count(), 2, "it shows the state before");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The database is closed.
    pub fn view(&self) -> Result<View> {
        self.view_within(&Work::unbounded())
    }

    /// Like [`Database::view`], for reads that fail when `work` is stopped and that take their memory from it.
    ///
    /// ```
    /// use barograph::budget::Work;
    /// use barograph::{Cancel, Database, ErrorKind, Options};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default())?;
    /// let cancel = Cancel::new();
    /// let view = db.view_within(&Work::unbounded().until(cancel.clone()))?;
    /// assert_eq!(view.select(&[], ..).count(), 0, "there are no series");
    /// # let _ = (cancel, ErrorKind::Canceled);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The database is closed.
    pub fn view_within(&self, work: &Work) -> Result<View> {
        self.engine.check_open()?;
        let view = OwnedView::new(self.engine.clone(), |engine| view_of(engine, work, self.tenant()));
        Ok(View { view: Arc::new(view), work: work.clone() })
    }
}

impl View {
    /// The samples in `range` of the series that match all matchers, series by series; without matchers, of all series.
    /// A long series comes in several consecutive pieces. Errors come from the iterator.
    ///
    /// ```
    /// use barograph::{Database, Matcher};
    /// # use barograph::{LineOptions, Options};
    /// # fn main() -> barograph::Result<()> {
    /// # let db = Database::in_memory(Options::default())?;
    /// # let lines = ["cpu,host=a usage=0.5,note=\"up\" 1700000000000000000",
    /// #     "cpu,host=b usage=0.7 1700000000000000000"];
    /// # db.write_lines(lines.join("\n").as_bytes(), &LineOptions::default())?;
    /// let view = db.view()?;
    /// for series in view.select(&[Matcher::equal("host", "a")], ..) {
    ///     assert_eq!(series?.values, [0.5]);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn select(&self, matchers: &[Matcher], range: impl Into<TimeRange>) -> Scan {
        self.select_any(&[matchers.to_vec()], range)
    }

    /// Like [`View::select`], for series that match all matchers of any of `selectors`.
    ///
    /// ```
    /// use barograph::{Database, LineOptions, Matcher, Options};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default())?;
    /// db.write_lines(b"cpu,host=a usage=0.5 1000\ncpu,host=b usage=0.7 2000\n", &LineOptions::default())?;
    /// let hosts = ["a", "b"].map(|host| vec![Matcher::equal("host", host)]);
    /// assert_eq!(db.view()?.select_any(&hosts, ..).count(), 2);
    /// # Ok(()) }
    /// ```
    pub fn select_any(&self, selectors: &[Vec<Matcher>], range: impl Into<TimeRange>) -> Scan {
        Scan::new(self.view.clone(), &self.work, selectors, range.into())
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}
