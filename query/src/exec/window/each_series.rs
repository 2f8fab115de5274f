//! The samples of each series of a range vector, for functions that compare series with each other.

use barograph_engine::model::{Labels, TimeRange};

use super::over_rollups;
use super::range_call::windows;
use super::subquery;
use crate::budget::parallel;
use crate::error::QueryError;
use crate::exec::Evaluator;
use crate::exec::select;
use crate::exec::select::reading::{self, Access};
use crate::functions::window::Columns;
use crate::functions::window::slide::Windows;
use crate::plan::{Call, Kind, Node};
use crate::series::Series;
use crate::source::SeriesRef;
use crate::steps::{Steps, ms_to_ns};

/// The samples of a series, the latest that were read first.
#[derive(Default)]
struct Buffers {
    columns: Columns,
    later: Columns,
}

/// A series that was read: its labels, whether its name is dropped, whether it is a counter, and its samples.
pub(crate) struct Read<'a> {
    pub labels: Labels,
    pub drop_name: bool,
    pub is_counter: bool,
    pub columns: &'a mut Columns,
}

/// The windows of argument `index`, which must be a range vector.
pub(crate) fn windows_of(
    ev: &mut Evaluator<'_>,
    call: &Call,
    index: usize,
    steps: Steps,
) -> Result<Windows, QueryError> {
    let windows = windows(ev, &call.args[index], steps)?;
    Ok(windows.expect("the checker gives these functions range vectors"))
}

/// Applies `work` to all floats of each series of a range vector, and also to those of the windows `earlier_ms` before,
/// unless that is 0. The results are in label order.
pub(crate) fn each<R: Send>(
    ev: &mut Evaluator<'_>,
    call: &Call,
    index: usize,
    steps: Steps,
    earlier_ms: i64,
    work: impl Fn(Read<'_>) -> Result<Option<R>, QueryError> + Sync,
) -> Result<Vec<R>, QueryError> {
    let arg = &call.args[index];
    let windows = windows_of(ev, call, index, steps)?;
    if steps.count == 0 {
        return Ok(Vec::new());
    }
    let mark = ev.mark();
    let selected = ev.ctx.budget.usage().series();
    let (found, series) = match &arg.kind {
        Kind::Subquery(inner) => {
            let range_ms = windows.range_ms.saturating_add(earlier_ms);
            let (vector, inner_steps) = subquery::evaluate(ev, inner, &Windows { range_ms, ..windows })?;
            let series = vector.len() as u64;
            let found = parallel::map(&ev.ctx.budget, vector, |columns: &mut Columns, series: Series| {
                subquery::columns_of(&series.points, inner_steps, columns);
                let is_counter = !series.drop_name && ev.ctx.source.is_counter(&series.labels);
                work(Read { labels: series.labels, drop_name: series.drop_name, is_counter, columns })
            })?;
            (found, series)
        }
        _ => {
            let found = stored(ev, call, arg, windows, earlier_ms, work)?;
            (found, ev.ctx.budget.usage().series() - selected)
        }
    };
    if let Some(mark) = mark {
        ev.record(arg, mark, series, 0);
    }
    Ok(found)
}

fn stored<R: Send>(
    ev: &Evaluator<'_>,
    call: &Call,
    arg: &Node,
    windows: Windows,
    earlier_ms: i64,
    work: impl Fn(Read<'_>) -> Result<Option<R>, QueryError> + Sync,
) -> Result<Vec<R>, QueryError> {
    let Kind::Range(selection) = &arg.kind else { return Ok(Vec::new()) };
    // Refuses windows whose samples are gone.
    over_rollups::tier_for(ev.ctx, call.function, selection, &windows)?;
    let (begin, end) = windows.covering_range();
    let earlier = ms_to_ns(earlier_ms);
    // The two spans, or one if they meet.
    let before = (earlier > 0).then(|| (begin.saturating_sub(earlier), end.saturating_sub(earlier)));
    let (first, second) = match before {
        Some((from, to)) if to < begin => (TimeRange::new(from, to), Some(TimeRange::new(begin, end))),
        Some((from, _)) => (TimeRange::new(from, end), None),
        None => (TimeRange::new(begin, end), None),
    };
    let refs = select::select(ev.ctx, selection, None, TimeRange::new(first.start, end))?;
    reading::each_series(ev.ctx, refs, |buffers: &mut Buffers, access: &mut Access<'_>, series: SeriesRef| {
        let Buffers { columns, later } = buffers;
        columns.fill(access.samples(&series, first)?);
        if let Some(second) = second {
            later.fill(access.samples(&series, second)?);
            columns.append_floats(later);
        }
        if columns.len() == 0 {
            return Ok(None);
        }
        let is_counter = ev.ctx.source.is_counter(&series.labels);
        work(Read { labels: series.labels, drop_name: false, is_counter, columns })
    })
}
