//! The default window of a selector without a window: the step, but at least four of the intervals at which its series
//! get samples.
//!
//! If the step were shorter than the interval, most windows would have one sample or none, and functions like `rate`
//! need two. Four intervals allow for one or two missing samples. The interval is derived from the samples: it is the
//! median distance of the newest samples of a series, and the largest of these medians over some of the selected
//! series, since all of them get the same window. It is computed once for all steps, from the newest samples of the
//! range.

use barograph_engine::model::{Samples, TimeRange};

use crate::error::QueryError;
use crate::exec::select::reading;
use crate::exec::{Context, Evaluator};
use crate::plan::Selection;
use crate::source::SeriesRef;
use crate::span::Span;
use crate::steps::{NS_PER_MS, Steps, ms_to_ns};
use crate::syntax;
use crate::usage::Footprint;

/// Minimum number of intervals in a window.
const INTERVALS_MIN: i64 = 4;

/// Maximum number of series whose intervals are measured.
const SERIES_MAX: usize = 32;

/// Number of newest samples of a series that are measured.
const SAMPLES_MAX: usize = 21;

/// The time before the end of the query that is searched for samples first; after that, the time before its start.
const RECENT_MS: i64 = 24 * 3_600_000;

/// The length of the default window of a selector. An info reports it.
pub(crate) fn window_ms(
    ev: &mut Evaluator<'_>,
    selection: &Selection,
    span: Span,
    steps: Steps,
) -> Result<i64, QueryError> {
    let interval = if steps.count == 0 { None } else { learn(ev.ctx, selection, steps)? };
    // Whole milliseconds, rounded up so that all intervals fit.
    let least =
        interval.map_or(0, |ns| (ns as u64).saturating_mul(INTERVALS_MIN as u64).div_ceil(NS_PER_MS as u64));
    let least = i64::try_from(least).unwrap_or(i64::MAX);
    let text = |ms: i64| syntax::duration_text(ms as f64 / 1000.0);
    if least <= selection.range_ms {
        ev.annotations.info(span, format!("no window was given, {} was taken", text(selection.range_ms)));
        return Ok(selection.range_ms);
    }
    let interval = text(interval.unwrap_or(0).div_euclid(NS_PER_MS));
    let message =
        format!("no window was given, {} was taken: {INTERVALS_MIN} intervals of {interval}", text(least));
    ev.annotations.info(span, message);
    Ok(least)
}

/// The largest of the median distances, nanoseconds; `None` without samples.
fn learn(ctx: &Context<'_>, selection: &Selection, steps: Steps) -> Result<Option<i64>, QueryError> {
    let first = steps.reference_ns(0, selection.shift);
    let last = steps.reference_ns(steps.count - 1, selection.shift);
    for start in [last, first].map(|time| time.saturating_sub(ms_to_ns(RECENT_MS))) {
        let found = learn_from(ctx, selection, TimeRange::new(start, last))?;
        if found.is_some() || first == last {
            return Ok(found);
        }
    }
    Ok(None)
}

fn learn_from(ctx: &Context<'_>, selection: &Selection, range: TimeRange) -> Result<Option<i64>, QueryError> {
    ctx.budget.check()?;
    let refs = ctx.source.select(&selection.matchers, range, ctx.budget.series_max())?;
    let selected = Footprint::bytes(refs.capacity() * size_of::<SeriesRef>());
    ctx.budget.hold(selected)?;
    let apart = refs.len().div_ceil(SERIES_MAX).max(1) as u32;
    // In the order of the source; the largest median does not depend on it.
    let chosen: Vec<SeriesRef> =
        refs.into_iter().filter(|series| series.rank.is_multiple_of(apart)).collect();
    ctx.budget.release(selected);
    let (mut usual, mut rough) = (None, None);
    let mut reader = ctx.source.reader();
    let (mut samples, mut held) = (Samples::default(), Footprint::default());
    for series in &chosen {
        reading::read(ctx, &mut *reader, series, range, &mut samples, &mut held)?;
        ctx.budget.count_read(samples.len() as u64);
        let times = &samples.timestamps[samples.timestamps.len().saturating_sub(SAMPLES_MAX)..];
        let mut gaps: Vec<i64> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        gaps.sort_unstable();
        let Some(&median) = gaps.get(gaps.len() / 2) else { continue };
        // Two samples may be any distance apart, but several show the interval.
        let enough = gaps.len() as i64 >= INTERVALS_MIN;
        let seen = if enough { &mut usual } else { &mut rough };
        *seen = Some(seen.map_or(median, |known: i64| known.max(median)));
    }
    ctx.budget.release(held);
    Ok(usual.or(rough))
}

#[cfg(test)]
mod tests {
    use barograph_engine::model::{Labels, Value};

    use super::*;
    use crate::source::MemorySource;
    use crate::{Request, execute};

    #[test]
    fn of_many_series_some_are_measured_evenly() {
        let mut source = MemorySource::new();
        for series in 0..2 * SERIES_MAX {
            let number = format!("{series:03}");
            let labels = Labels::from_pairs([("__name__", "m"), ("i", number.as_str())]).unwrap();
            let interval_s = if series.is_multiple_of(2) { 30 } else { 90 };
            for sample in 1..10 {
                source.insert(&labels, sample * interval_s * 1_000_000_000, Value::Float(1.0), 0);
            }
        }
        let response = execute(&source, &Request::range_ms("rate(m)", 600_000, 900_000, 1_000)).unwrap();
        let [info, ..] = &response.infos[..] else { panic!("{:?}", response.infos) };
        assert!(info.contains("2m was taken: 4 intervals of 30s"), "{info}");
    }
}
