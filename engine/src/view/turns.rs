//! Visits series one after another and copies each when its turn comes. The view's state of the series does not change
//! in the meantime.

use std::sync::Arc;

use super::{Heads, SERIES_PER_CHECK};
use crate::Result;
use crate::budget::Taken;
use crate::chunk::Run;
use crate::model::{Labels, Matcher, TimeRange};
use crate::view::pieces::Rest;
use crate::view::{HeadPart, SeriesReader, View, ViewSeries};

/// Called with a series and its samples.
pub type VisitSeries<'v> = dyn FnMut(&ViewSeries, &mut Run) -> Result<bool> + 'v;
/// Called with a series, and with the time range and samples of each piece.
pub type VisitPieces<'v> = dyn FnMut(&ViewSeries, TimeRange, &mut Run) -> Result<bool> + 'v;
/// Reads a series. Returns false to stop.
type ReadSeries<'r, 'e> = dyn FnMut(&mut SeriesReader<'_, 'e>, &ViewSeries, &mut Run) -> Result<bool> + 'r;

/// Selected series that are read piece by piece ([`View::pieces`]). It does not borrow the view, which must be the same
/// at each call.
pub struct Pieces {
    found: std::vec::IntoIter<ViewSeries>,
    current: Option<Current>,
    range: TimeRange,
    _taken: Taken,
}

/// The current series.
struct Current {
    series: ViewSeries,
    rest: Rest,
    _copied: Taken,
}

impl Pieces {
    /// Replaces `run` by the samples of the next piece and returns its series. `reader` must be one of the view. Series
    /// for which `skip` returns true are left out. `None` at the end.
    ///
    /// # Errors
    /// Same as [`View::each_piece`].
    pub fn next(
        &mut self,
        reader: &mut SeriesReader<'_, '_>,
        skip: &dyn Fn(&Labels) -> bool,
        run: &mut Run,
    ) -> Result<Option<Labels>> {
        loop {
            if let Some(Current { series, rest, .. }) = &mut self.current {
                if rest.next(reader, series, run)?.is_some() {
                    return Ok(Some(series.labels.clone()));
                }
                self.current = None;
            }
            let Some(mut series) = self.found.next() else { return Ok(None) };
            reader.view.work.check()?;
            if !skip(&series.labels) {
                let copied = reader.view.copy_in_turn(&mut series, self.range)?;
                self.current = Some(Current { series, rest: Rest::of(self.range), _copied: copied });
            }
        }
    }
}

impl<'e> View<'e> {
    /// Calls `visit` with the samples of each series that matches all matchers, may have samples in `range` and is not
    /// skipped by `skip`, in the order of labels, until it returns false. Returns true if it never did. The head's data
    /// of only one series is held at a time.
    ///
    /// # Errors
    /// Those of `visit`; [`Error::Limit`](crate::Error::Limit) if more than `series_max` match; the errors of
    /// [`View::work`]; a chunk is damaged, or the store could not be read.
    /// [`Error::Throttled`](crate::Error::Throttled) if the view is so old that memory could not keep the samples it
    /// needs.
    pub fn each_series(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
        skip: &dyn Fn(&Labels) -> bool,
        visit: &mut VisitSeries<'_>,
    ) -> Result<bool> {
        self.each_turn(matchers, range, series_max, skip, &mut |reader, series, run| {
            reader.read(series, range, run)?;
            if run.is_empty() { Ok(true) } else { visit(series, run) }
        })
    }

    /// Like [`View::each_series`], but calls `visit` with the samples of a long series in several ascending pieces,
    /// like [`SeriesReader::read_pieces`]. Memory does not grow with the number of samples.
    ///
    /// # Errors
    /// Same as [`View::each_series`].
    pub fn each_piece(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
        skip: &dyn Fn(&Labels) -> bool,
        visit: &mut VisitPieces<'_>,
    ) -> Result<bool> {
        self.each_turn(matchers, range, series_max, skip, &mut |reader, series, run| {
            reader.read_pieces(series, range, run, &mut |piece, run| visit(series, piece, run))
        })
    }

    /// Calls `read` with each of the series in the order of labels until it returns false. Returns true if it never
    /// did.
    fn each_turn(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
        skip: &dyn Fn(&Labels) -> bool,
        read: &mut ReadSeries<'_, 'e>,
    ) -> Result<bool> {
        let _call = self.enter()?;
        let (found, _taken) = self.in_turn(matchers, range, series_max)?;
        let (mut run, mut reader) = (Run::default(), self.reader());
        for mut series in found {
            self.work.check()?;
            if skip(&series.labels) {
                continue;
            }
            let _copied = self.copy_in_turn(&mut series, range)?;
            if !read(&mut reader, &series, &mut run)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The selected series in the order of labels, and the memory of the list. The data in the head is copied when the
    /// turn of a series comes.
    fn in_turn(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<(Vec<ViewSeries>, Taken)> {
        let taken = Taken::of(&self.work);
        let heads = self.waiting_heads(matchers, range)?;
        let mut found =
            self.without_damage(|| self.select_unsorted_into(&taken, &heads, matchers, range, series_max))?;
        found.sort_unstable_by_key(|series| series.rank);
        Ok((found, taken))
    }

    /// Copies the head's data of a series whose turn it is. Returns its memory.
    fn copy_in_turn(&self, series: &mut ViewSeries, range: TimeRange) -> Result<Taken> {
        let copied = Taken::of(&self.work);
        if let HeadPart::Waiting(head) = &series.head {
            series.head = self.copy(&Arc::clone(head), range, &copied)?;
        }
        Ok(copied)
    }

    /// Selects series like [`View::each_piece`], for a caller that requests the pieces one by one.
    ///
    /// # Errors
    /// Same as [`View::each_piece`].
    pub fn pieces(&self, matchers: &[Matcher], range: TimeRange, series_max: usize) -> Result<Pieces> {
        let _call = self.enter()?;
        let (found, taken) = self.in_turn(matchers, range, series_max)?;
        Ok(Pieces { found: found.into_iter(), current: None, range, _taken: taken })
    }

    /// The head's part of a selection, to be copied later.
    fn waiting_heads(&self, matchers: &[Matcher], range: TimeRange) -> Result<Heads> {
        let ids = self.head_ids(matchers)?;
        let (mut heads, mut page) = (self.heads(ids.len() as usize)?, Vec::new());
        let mut ids = ids.into_iter();
        while self.head.next_page(&mut ids, &mut page) {
            for (at, series) in page.drain(..).enumerate() {
                if at.is_multiple_of(SERIES_PER_CHECK) {
                    self.work.check()?;
                }
                let is_wanted = self.head_touches(&series, range);
                let part = if is_wanted { HeadPart::Waiting(Arc::clone(&series)) } else { HeadPart::Nothing };
                heads.list.push((series, part));
            }
        }
        Ok(heads)
    }
}
