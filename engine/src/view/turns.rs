//! Series one after the other, each copied when its turn comes.
//!
//! # Consistency
//! A series' head data is copied at its turn and is read with the catalogue of the selection, if that is still the
//! current one: then no flush has moved anything in between. If it is not, what is left is selected again. So each series
//! has everything that was acknowledged before the call, and may have what was written while it ran. The first series of
//! a selection are copied before its catalogue is taken: each round gets on, however often catalogues change.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Heads, SERIES_PER_CHECK, remembering};
use crate::Result;
use crate::budget::Taken;
use crate::chunk::Run;
use crate::model::{Labels, Matcher, TimeRange};
use crate::store::catalogue::Catalogue;
use crate::view::{HeadPart, SeriesReader, View, ViewSeries};

/// Series that are copied before the catalogue is taken.
const FIRST: usize = 64;

/// What is left of a selection.
struct Round {
    series: Vec<ViewSeries>,
    /// The catalogue that it was selected from, as it was loaded.
    catalogue: Arc<Catalogue>,
    _taken: Taken,
}

/// What a series is read for.
pub type VisitSeries<'v> = dyn FnMut(&ViewSeries, &mut Run) -> Result<bool> + 'v;

impl View<'_> {
    /// Calls `visit` with each series that meets all matchers, may have samples in `range` and is not left out by `skip`,
    /// and with its samples, in the order of labels, until it answers false; whether it never did. At one time the head's
    /// data of few series is held.
    ///
    /// # Errors
    /// Those of `visit`; [`Error::Limit`](crate::Error::Limit) when more than `series_max` match; what [`View::work`]
    /// refuses; a chunk is damaged, or the store could not be read.
    pub fn each_series(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
        skip: &dyn Fn(&Labels) -> bool,
        visit: &mut VisitSeries<'_>,
    ) -> Result<bool> {
        let (mut after, mut run) = (None, Run::default());
        let mut reader = self.reader();
        'rounds: loop {
            let Round { series, catalogue, _taken } =
                self.round(matchers, range, series_max, after.as_ref())?;
            for mut series in series {
                self.work.check()?;
                if skip(&series.labels) {
                    continue;
                }
                let copied = Taken::of(&self.work);
                if let HeadPart::Waiting(head) = &series.head {
                    series.head = self.copy(&Arc::clone(head), range, &copied)?;
                    if !Arc::ptr_eq(&self.catalogue.load(), &catalogue) {
                        continue 'rounds;
                    }
                }
                if !self.turn(&mut reader, &series, range, &mut run, visit)? {
                    return Ok(false);
                }
                after = Some(series.labels);
            }
            return Ok(true);
        }
    }

    fn turn(
        &self,
        reader: &mut SeriesReader<'_, '_>,
        series: &ViewSeries,
        range: TimeRange,
        run: &mut Run,
        visit: &mut VisitSeries<'_>,
    ) -> Result<bool> {
        reader.read(series, range, run)?;
        if run.is_empty() { Ok(true) } else { visit(series, run) }
    }

    /// The series after some labels, in the order of labels.
    fn round(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
        after: Option<&Labels>,
    ) -> Result<Round> {
        let taken = Taken::of(&self.work);
        let is_due = |labels: &Labels| after.is_none_or(|after| labels > after);
        let earlier = self.catalogue.load_full();
        let ids = self.head_ids(matchers)?;
        let (mut heads, mut page) = (self.heads(ids.len() as usize)?, Vec::new());
        let mut ids = ids.into_iter();
        while self.head.next_page(&mut ids, &mut page) {
            for (at, series) in page.drain(..).enumerate() {
                if at.is_multiple_of(SERIES_PER_CHECK) {
                    self.work.check()?;
                }
                let is_wanted = is_due(&series.labels) && series.touches(range);
                let part = if is_wanted { HeadPart::Waiting(Arc::clone(&series)) } else { HeadPart::Nothing };
                heads.list.push((series, part));
            }
        }
        self.copy_first(&mut heads, range, &taken)?;
        let catalogue = self.catalogue.load_full();
        let known = remembering(Arc::clone(&catalogue), &earlier);
        let mut series = self.gather_into(&taken, &heads, &known, matchers, range, series_max)?;
        series.retain(|series| is_due(&series.labels));
        series.sort_unstable_by_key(|series| series.rank);
        Ok(Round { series, catalogue, _taken: taken })
    }

    /// Copies those of the head's series that are the first in the order of labels.
    fn copy_first(&self, heads: &mut Heads, range: TimeRange, taken: &Taken) -> Result<()> {
        let mut first: Vec<usize> = Vec::with_capacity(2 * FIRST);
        let list = &heads.list;
        let by_labels = |a: &usize, b: &usize| -> Ordering { list[*a].0.labels.cmp(&list[*b].0.labels) };
        for (at, (_, part)) in list.iter().enumerate() {
            if !matches!(part, HeadPart::Waiting(_)) {
                continue;
            }
            first.push(at);
            if first.len() == 2 * FIRST {
                self.work.check()?;
                first.select_nth_unstable_by(FIRST, by_labels);
                first.truncate(FIRST);
            }
        }
        first.sort_unstable_by(by_labels);
        first.truncate(FIRST);
        for at in first {
            let (series, part) = &mut heads.list[at];
            *part = self.copy(series, range, taken)?;
        }
        Ok(())
    }
}
