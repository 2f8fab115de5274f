//! Reading the samples of many series, in the order in which the source has them.
//!
//! Neighbours in storage are read one after the other by one reader, which then goes on from
//! where it stands. Results come in the order of the series: how they were read, and by how
//! many cores, does not show.

use barograph_engine::model::{Labels, Samples, TimeRange};
use rayon::prelude::*;

use super::{Context, parallel};
use crate::error::QueryError;
use crate::series::histogram_held;
use crate::source::{SeriesReader, SeriesRef};
use crate::usage::Held;

/// Most series that one reader reads before its core asks for more work.
const BATCH_MAX: usize = 512;
/// Pieces of work for each core, so that all end at about the same time.
const BATCHES_A_CORE: usize = 4;

/// A series and which of the selection it is.
type Placed = (u32, SeriesRef);

/// Reads every series and applies `work` to its samples, which may be taken.
/// Each worker has its own scratch space.
///
/// # Errors
/// The error of one of the series that failed.
pub(super) fn each<S, R, F>(
    ctx: &Context<'_>,
    refs: Vec<SeriesRef>,
    range: TimeRange,
    work: F,
) -> Result<Vec<R>, QueryError>
where
    S: Default,
    R: Send,
    F: Fn(&mut S, &mut Samples, Labels) -> Result<Option<R>, QueryError> + Sync,
{
    let count = refs.len();
    let mut items: Vec<Placed> = (0..).zip(refs).collect();
    let in_order = items.is_sorted_by_key(|(_, series)| series.place);
    if !in_order {
        items.sort_unstable_by_key(|(_, series)| series.place);
    }
    let batch = |items: Vec<Placed>| read_batch(ctx, items, range, &work);
    let done: Vec<Vec<(u32, R)>> = if parallel::splits(count as u64) {
        let length = count.div_ceil(BATCHES_A_CORE * rayon::current_num_threads()).clamp(1, BATCH_MAX);
        items.into_par_iter().chunks(length).map(batch).collect::<Result<_, _>>()?
    } else {
        vec![batch(items)?]
    };
    if in_order {
        return Ok(done.into_iter().flatten().map(|(_, result)| result).collect());
    }
    let mut results: Vec<Option<R>> = Vec::new();
    results.resize_with(count, || None);
    for (at, result) in done.into_iter().flatten() {
        results[at as usize] = Some(result);
    }
    Ok(results.into_iter().flatten().collect())
}

fn read_batch<S: Default, R>(
    ctx: &Context<'_>,
    items: Vec<Placed>,
    range: TimeRange,
    work: &impl Fn(&mut S, &mut Samples, Labels) -> Result<Option<R>, QueryError>,
) -> Result<Vec<(u32, R)>, QueryError> {
    let mut reader = ctx.source.reader();
    let (mut samples, mut scratch) = (Samples::default(), S::default());
    let mut held = Held::default();
    let mut results = Vec::with_capacity(items.len());
    for (at, series) in items {
        read(ctx, &mut *reader, &series, range, &mut samples, &mut held)?;
        results.extend(work(&mut scratch, &mut samples, series.labels)?.map(|result| (at, result)));
    }
    ctx.budget.release(held);
    Ok(results)
}

/// Reads a series into `samples`. The budget holds the most that one series needed, `held`,
/// since the memory stays for the next.
pub(super) fn read(
    ctx: &Context<'_>,
    reader: &mut dyn SeriesReader,
    series: &SeriesRef,
    range: TimeRange,
    samples: &mut Samples,
    held: &mut Held,
) -> Result<(), QueryError> {
    ctx.budget.check()?;
    reader.read(series, range, samples)?;
    ctx.budget.usage().count_decoded(samples.len() as u64);
    let columns =
        samples.timestamps.capacity() + samples.values.capacity() + samples.start_timestamps.capacity();
    let mut now = Held { samples: samples.len() as u64, bytes: (columns * size_of::<f64>()) as u64 };
    for (_, h) in &samples.histograms {
        now.bytes += histogram_held(h).bytes;
    }
    let most = Held { samples: now.samples.max(held.samples), bytes: now.bytes.max(held.bytes) };
    if most != *held {
        ctx.budget.hold(Held { samples: most.samples - held.samples, bytes: most.bytes - held.bytes })?;
        *held = most;
    }
    Ok(())
}
