//! Reads the samples of many series in the order in which the source stores them.
//!
//! Neighbours in storage are read one after the other by one reader, which continues from its position. Results are in
//! the order of the series, regardless of the order of reading and the number of cores.

use std::time::{Duration, Instant};

use barograph_engine::model::{Labels, Samples, TimeRange};
use barograph_engine::rollup::Bucket;

use crate::budget::parallel;
use crate::error::QueryError;
use crate::exec::Context;
use crate::series::histogram_held;
use crate::source::{BucketColumns, Columns, SeriesReader, SeriesRef};
use crate::usage::Footprint;

/// Maximum number of series that one reader reads before its core asks for more work.
const BATCH_MAX: usize = 2048;

/// Number of series that are read before deciding whether others help with the rest.
const PROBED: usize = 4;
/// Number of initial series that are not timed, because they also pay for cursors and for growing buffers.
const WARMING: usize = 2;
/// Maximum number of series that are read before all others: enough to estimate the time of one.
const PROBED_MAX: usize = 32;
/// Minimum work for which other threads are woken; waking them costs tens of microseconds of CPU.
const WORTH_WAKING: Duration = Duration::from_millis(2);

/// A result, and the rank of its series.
pub(crate) type Ranked<R> = (u32, R);

/// The state of one worker: its scratch space and its results.
pub(crate) struct Batch<S, R> {
    /// Scratch space after the last series.
    pub scratch: S,
    /// Results of the series that have one.
    pub results: Vec<Ranked<R>>,
}

/// Reads every series and applies `work` to its samples, which it may take. Each worker has a separate scratch space.
/// The results are in label order.
///
/// # Errors
/// The error of one of the series that failed.
pub(crate) fn each<S, R, F>(
    ctx: &Context<'_>,
    refs: Vec<SeriesRef>,
    range: TimeRange,
    work: F,
) -> Result<Vec<R>, QueryError>
where
    S: Default + Send,
    R: Send,
    F: Fn(&mut S, &mut Samples, Labels) -> Result<Option<R>, QueryError> + Sync,
{
    each_series(ctx, refs, |scratch: &mut S, access: &mut Access<'_>, series: SeriesRef| {
        let samples = access.samples(&series, range)?;
        work(scratch, samples, series.labels)
    })
}

/// Like [`each`], but `work` decides what it reads of each series.
///
/// # Errors
/// Same as [`each`].
pub(crate) fn each_series<S, R, F>(
    ctx: &Context<'_>,
    refs: Vec<SeriesRef>,
    work: F,
) -> Result<Vec<R>, QueryError>
where
    S: Default + Send,
    R: Send,
    F: Fn(&mut S, &mut Access<'_>, SeriesRef) -> Result<Option<R>, QueryError> + Sync,
{
    let count = refs.len();
    // A result counts where it is made, and has a second place while they are put in order.
    let places = Footprint::bytes(count * size_of::<Option<R>>());
    ctx.budget.hold(places)?;
    let batches = batches(ctx, refs, work)?;
    let mut results: Vec<Option<R>> = Vec::new();
    results.resize_with(count, || None);
    for (rank, result) in batches.into_iter().flat_map(|batch| batch.results) {
        let slot = results.get_mut(rank as usize);
        *slot.expect("ranks of a selection have no gaps") = Some(result);
    }
    let results = results.into_iter().flatten().collect();
    ctx.budget.release(places);
    Ok(results)
}

/// Like [`each_series`], but in the order of the source, and by worker.
///
/// # Errors
/// Same as [`each`].
pub(crate) fn batches<S, R, F>(
    ctx: &Context<'_>,
    refs: Vec<SeriesRef>,
    work: F,
) -> Result<Vec<Batch<S, R>>, QueryError>
where
    S: Default + Send,
    R: Send,
    F: Fn(&mut S, &mut Access<'_>, SeriesRef) -> Result<Option<R>, QueryError> + Sync,
{
    let mut worker = Worker::new(ctx, &work);
    let crew = ctx.budget.crew();
    if !parallel::splits(crew, refs.len() as u64) {
        worker.read(refs)?;
        return Ok(vec![worker.batch]);
    }
    // A few series, but not the very first, show whether waking others for the rest is worthwhile.
    let (mut rest, mut probed, mut timed) = (refs, 0, 0);
    let mut started = Instant::now();
    loop {
        let after = rest.split_off(if probed == 0 { WARMING } else { PROBED }.min(rest.len()));
        let count = rest.len();
        worker.read(std::mem::replace(&mut rest, after))?;
        probed += count;
        if probed == count && !rest.is_empty() && started.elapsed() < WORTH_WAKING {
            started = Instant::now();
            continue;
        }
        timed += count;
        let each = started.elapsed() / u32::try_from(timed.max(1)).unwrap_or(u32::MAX);
        if each * u32::try_from(rest.len()).unwrap_or(u32::MAX) >= WORTH_WAKING {
            break;
        }
        if probed >= PROBED_MAX || rest.is_empty() {
            worker.read(rest)?;
            return Ok(vec![worker.batch]);
        }
    }
    if !ctx.budget.spreads() {
        worker.read(rest)?;
        return Ok(vec![worker.batch]);
    }
    let pieces = parallel::PIECES_A_CORE * crew.workers();
    let length = rest.len().div_ceil(pieces).clamp(1, BATCH_MAX);
    let mut batches = vec![worker.batch];
    batches.extend(crew.share(parallel::pieces(rest, length), |refs| {
        let mut worker = Worker::new(ctx, &work);
        worker.read(refs)?;
        Ok::<_, QueryError>(worker.batch)
    })?);
    Ok(batches)
}

/// What a worker reads series with. Its buffers are reused for the next series, so they stay held until it is done.
pub(crate) struct Access<'w> {
    ctx: &'w Context<'w>,
    reader: Box<dyn SeriesReader + 'w>,
    samples: Samples,
    held: Footprint,
    buckets: BucketColumns,
    held_buckets: Footprint,
}

impl<'w> Access<'w> {
    fn new(ctx: &'w Context<'w>) -> Self {
        Access {
            ctx,
            reader: ctx.source.reader(),
            samples: Samples::default(),
            held: Footprint::default(),
            buckets: BucketColumns::default(),
            held_buckets: Footprint::default(),
        }
    }

    /// Gives back what the buffers hold, which is taken again with the next series.
    fn release(&mut self) {
        self.ctx.budget.release(std::mem::take(&mut self.held) + std::mem::take(&mut self.held_buckets));
    }

    /// The samples of `series` in `range`. The caller may take them.
    ///
    /// # Errors
    /// The source could not read them, or they do not fit into the budget.
    pub fn samples(&mut self, series: &SeriesRef, range: TimeRange) -> Result<&mut Samples, QueryError> {
        read(self.ctx, &mut *self.reader, series, range, &mut self.samples, &mut self.held)?;
        Ok(&mut self.samples)
    }

    /// The buckets of `series` in `range`; `None` if it cannot be described by buckets there.
    ///
    /// # Errors
    /// Same as [`Access::samples`].
    pub fn buckets(
        &mut self,
        series: &SeriesRef,
        width: i64,
        range: TimeRange,
        columns: Columns,
    ) -> Result<Option<&mut BucketColumns>, QueryError> {
        let budget = &self.ctx.budget;
        budget.check()?;
        if !self.reader.read_buckets(series, width, range, columns, &mut self.buckets)? {
            return Ok(None);
        }
        budget.usage().count_buckets(self.buckets.len() as u64);
        // Windows keep totals beside the columns, and estimates as many folds as there are buckets.
        let rows = self.buckets.len();
        let structs = if columns.contains(Columns::BOUNDS) { 2 * size_of::<Bucket>() } else { 0 };
        let bytes = 2 * self.buckets.memory_bytes() + rows * structs;
        let now = Footprint { samples: rows as u64, bytes: bytes as u64 };
        grow(self.ctx, now, &mut self.held_buckets)?;
        Ok(Some(&mut self.buckets))
    }
}

/// Reads one part of the series.
struct Worker<'w, S, R, F> {
    work: &'w F,
    access: Access<'w>,
    batch: Batch<S, R>,
}

impl<'w, S, R, F> Worker<'w, S, R, F>
where
    S: Default,
    F: Fn(&mut S, &mut Access<'_>, SeriesRef) -> Result<Option<R>, QueryError>,
{
    fn new(ctx: &'w Context<'w>, work: &'w F) -> Self {
        let batch = Batch { scratch: S::default(), results: Vec::new() };
        Worker { work, access: Access::new(ctx), batch }
    }

    fn read(&mut self, refs: Vec<SeriesRef>) -> Result<(), QueryError> {
        self.batch.results.reserve(refs.len());
        for series in refs {
            let rank = series.rank;
            let result = (self.work)(&mut self.batch.scratch, &mut self.access, series)?;
            self.batch.results.extend(result.map(|result| (rank, result)));
        }
        self.access.release();
        Ok(())
    }
}

/// Reads a series into `samples`. The budget holds `held`, the maximum that one series needed, because the memory is
/// reused for the next.
pub(crate) fn read(
    ctx: &Context<'_>,
    reader: &mut dyn SeriesReader,
    series: &SeriesRef,
    range: TimeRange,
    samples: &mut Samples,
    held: &mut Footprint,
) -> Result<(), QueryError> {
    ctx.budget.check()?;
    reader.read(series, range, samples)?;
    ctx.budget.usage().count_decoded(samples.len() as u64);
    let columns =
        samples.timestamps.capacity() + samples.values.capacity() + samples.start_timestamps.capacity();
    let mut now = Footprint { samples: samples.len() as u64, bytes: (columns * size_of::<f64>()) as u64 };
    for (_, h) in &samples.histograms {
        now.bytes += histogram_held(h).bytes;
    }
    grow(ctx, now, held)
}

/// Raises what is held to `now`, if that is more.
fn grow(ctx: &Context<'_>, now: Footprint, held: &mut Footprint) -> Result<(), QueryError> {
    let most = Footprint { samples: now.samples.max(held.samples), bytes: now.bytes.max(held.bytes) };
    if most != *held {
        ctx.budget.hold(most.without(*held))?;
        *held = most;
    }
    Ok(())
}
