//! Visits series one after another and copies each when its turn comes: the view's state of it does not change
//! meanwhile.

use std::sync::Arc;

use super::{Heads, SERIES_PER_CHECK};
use crate::Result;
use crate::budget::Taken;
use crate::chunk::Run;
use crate::model::{Labels, Matcher, TimeRange};
use crate::view::{HeadPart, SeriesReader, View, ViewSeries};

/// What a series is read for.
pub type VisitSeries<'v> = dyn FnMut(&ViewSeries, &mut Run) -> Result<bool> + 'v;
/// What the pieces of a series are read for; each has its time range.
pub type VisitPieces<'v> = dyn FnMut(&ViewSeries, TimeRange, &mut Run) -> Result<bool> + 'v;
/// Reads a series; false to end.
type ReadSeries<'r, 'e> = dyn FnMut(&mut SeriesReader<'_, 'e>, &ViewSeries, &mut Run) -> Result<bool> + 'r;

impl<'e> View<'e> {
    /// Calls `visit` with each series that matches all matchers, may have samples in `range` and is not left out by
    /// `skip`, and with its samples, in the order of labels, until it returns false; returns whether it never did. Only
    /// the head's data of one series is held at a time.
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

    /// Like [`View::each_series`], but calls `visit` with the samples of a long series in several ascending pieces, as
    /// [`SeriesReader::read_pieces`] makes them: memory does not grow with the number of samples.
    ///
    /// # Errors
    /// As [`View::each_series`].
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

    /// Calls `read` with each of the series in the order of labels until it returns false; returns whether it never did.
    fn each_turn(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
        skip: &dyn Fn(&Labels) -> bool,
        read: &mut ReadSeries<'_, 'e>,
    ) -> Result<bool> {
        let _call = self.enter()?;
        let taken = Taken::of(&self.work);
        let heads = self.waiting_heads(matchers, range)?;
        let mut found =
            self.without_damage(|| self.gather_into(&taken, &heads, matchers, range, series_max))?;
        drop(heads);
        found.sort_unstable_by_key(|series| series.rank);
        let (mut run, mut reader) = (Run::default(), self.reader());
        for mut series in found {
            self.work.check()?;
            if skip(&series.labels) {
                continue;
            }
            let copied = Taken::of(&self.work);
            if let HeadPart::Waiting(head) = &series.head {
                series.head = self.copy(&Arc::clone(head), range, &copied)?;
            }
            if !read(&mut reader, &series, &mut run)? {
                return Ok(false);
            }
        }
        Ok(true)
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
