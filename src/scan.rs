//! Reading with an iterator that owns its view.

use std::collections::VecDeque;
use std::sync::Arc;

use barograph_engine::Pieces;
use barograph_engine::budget::{Taken, Work};
use barograph_engine::chunk::Run;
use barograph_engine::model::matcher::meets_any;
use barograph_engine::model::{Matcher, TimeRange as Range};

use crate::columns::SeriesColumns;
use crate::owned::OwnedView;
use crate::{Database, Result, TimeRange};

/// The number of samples at which reading ahead stops.
const AHEAD_SAMPLES: usize = 1 << 16;
/// The number of series at which it stops.
const AHEAD_SERIES: usize = 1 << 10;

/// The samples of selected series, in pieces that are read on demand; created by [`Database::scan`] and
/// [`View::select`](crate::View::select).
///
/// Series come in the order of labels, selector by selector, and the samples of each are ascending by time. A long
/// series comes in several consecutive pieces; a piece has at most about 64 Ki samples. At most about two pieces are in
/// memory, besides the labels of all selected series.
///
/// A scan shows the database as it was when the scan was created, regardless of later writes, flushes and merges. It
/// owns what it needs, and keeps the database open like a clone of its handle. Drop it soon: during its lifetime,
/// memory keeps the samples that were unflushed when it was created. After [`Database::close`] it returns an error of
/// the kind [`Closed`](crate::ErrorKind::Closed). It ends after an error.
pub struct Scan {
    view: Arc<OwnedView>,
    selectors: Vec<Vec<Matcher>>,
    /// The number of selectors begun.
    begun: usize,
    pieces: Option<Pieces>,
    range: Range,
    /// Pieces that were read and not returned yet, with their size in bytes.
    ahead: VecDeque<(SeriesColumns, usize)>,
    taken: Taken,
    is_done: bool,
}

impl Database {
    /// The samples in `range` of the series that match all matchers, as an iterator of pieces that owns its view.
    ///
    /// ```
    /// use barograph::{Database, LineOptions, Options, TimeRange, parse_selector};
    /// # fn main() -> barograph::Result<()> {
    /// let db = Database::in_memory(Options::default())?;
    /// db.write_lines(b"cpu,host=a usage=0.5 1000\ncpu,host=b usage=0.7 2000\n", &LineOptions::default())?;
    /// let mut sum = 0.0;
    /// for piece in db.scan(&parse_selector("cpu_usage")?, TimeRange::ALL)? {
    ///     sum += piece?.values.iter().sum::<f64>();
    /// }
    /// assert_eq!(sum, 1.2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The database is closed. Errors of reading come from the iterator.
    pub fn scan(&self, matchers: &[Matcher], range: impl Into<TimeRange>) -> Result<Scan> {
        self.scan_within(&Work::unbounded(), &[matchers.to_vec()], range)
    }

    /// Like [`Database::scan`], for series that match all matchers of any of `selectors`, until `work` is stopped. Its
    /// memory is taken from the work, that of pieces until they are returned.
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
    /// for piece in db.scan_within(&Work::unbounded(), &all, ..)? {
    ///     let piece = piece?;
    ///     println!("{} {:?}", piece.labels, piece.values);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`Database::scan`]. The iterator also fails if the work was stopped
    /// ([`ErrorKind::Canceled`](crate::ErrorKind::Canceled), [`ErrorKind::Timeout`](crate::ErrorKind::Timeout)) or has
    /// no memory left ([`ErrorKind::Limit`](crate::ErrorKind::Limit), [`ErrorKind::Busy`](crate::ErrorKind::Busy)).
    pub fn scan_within(
        &self,
        work: &Work,
        selectors: &[Vec<Matcher>],
        range: impl Into<TimeRange>,
    ) -> Result<Scan> {
        Ok(self.view_within(work)?.select_any(selectors, range))
    }
}

impl Scan {
    pub(crate) fn new(
        view: Arc<OwnedView>,
        work: &Work,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Scan {
        Scan {
            view,
            selectors: selectors.to_vec(),
            begun: 0,
            pieces: None,
            range: range.0,
            ahead: VecDeque::new(),
            taken: Taken::of(work),
            is_done: false,
        }
    }

    /// Reads pieces until there are enough. Cursors of the store live only during one call, so closing the database
    /// waits for nothing else; short series share them.
    fn read_ahead(&mut self) -> Result<()> {
        let Scan { view, selectors, begun, pieces, range, ahead, taken, is_done } = self;
        view.with_dependent(|_, view| {
            let (mut reader, mut samples) = (view.reader(), 0);
            while samples < AHEAD_SAMPLES && ahead.len() < AHEAD_SERIES {
                let Some(current) = pieces else {
                    let Some(matchers) = selectors.get(*begun) else {
                        *is_done = true;
                        break;
                    };
                    *pieces = Some(view.pieces(matchers, *range, usize::MAX)?);
                    *begun += 1;
                    continue;
                };
                let mut run = Run::default();
                let earlier = &selectors[..*begun - 1];
                let Some(labels) =
                    current.next(&mut reader, &|labels| meets_any(earlier, labels), &mut run)?
                else {
                    *pieces = None;
                    continue;
                };
                samples += run.len();
                let bytes = run.memory_bytes() + size_of::<(SeriesColumns, usize)>();
                taken.more(bytes)?;
                ahead.push_back((SeriesColumns::new(labels, run), bytes));
            }
            Ok(())
        })
    }
}

impl Iterator for Scan {
    type Item = Result<SeriesColumns>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut failed = None;
        if self.ahead.is_empty() && !self.is_done {
            failed = self.read_ahead().err();
            self.is_done |= failed.is_some();
        }
        if let Some(error) = failed {
            // What was read before it is valid, but a caller that gets an error uses nothing else.
            self.ahead.clear();
            return Some(Err(error));
        }
        let (columns, bytes) = self.ahead.pop_front()?;
        self.taken.less(bytes);
        Some(Ok(columns))
    }
}

impl std::iter::FusedIterator for Scan {}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("selectors", &self.selectors).finish_non_exhaustive()
    }
}
