//! Reads the buckets of one series.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::Result;
use crate::chunk::Run;
use crate::model::{Histogram, TierId, TimeRange, Timestamp, Value};
use crate::rollup::{BucketColumns, Builder, Columns};
use crate::store::generation::fold_run;
use crate::view::reader::SeriesReader;
use crate::view::tier::BucketPlan;
use crate::view::{HeadPart, ViewSeries};

/// Buckets are computed from the samples of so many partitions at once: a partition of a wide tier spans more than a hundred.
const PARTITIONS_AT_ONCE: i64 = 4;
/// The most rows for which columns have room before any is read. Series may have fewer.
const RESERVED_MAX: usize = 1 << 14;

impl SeriesReader<'_, '_> {
    /// Replaces `out` by the buckets of a series of [`View::select_buckets`](crate::View::select_buckets), ascending.
    /// Columns that are not asked for may have any contents. Returns false if stored buckets lack one of the columns, or
    /// leave out native histograms that are gone; `out` then has any contents.
    ///
    /// # Errors
    /// A chunk is damaged, or the store could not be read.
    pub fn read_buckets(
        &mut self,
        plan: &BucketPlan,
        series: &ViewSeries,
        columns: Columns,
        out: &mut BucketColumns,
    ) -> Result<bool> {
        // Whether a delete removes a bucket depends on the times of its samples.
        let of_deletes = if plan.deletes.is_empty() { Columns::NONE } else { Columns::ALL_TIMES };
        out.restart(columns | of_deletes);
        out.reserve(plan.buckets().min(RESERVED_MAX));
        self.enter()?;
        let computed = self.computed_spans(plan, series)?;
        let mut from = plan.range.start;
        let mut has_all = true;
        let into = &mut Filled { columns, out, details: 0 };
        for span in computed {
            let before = TimeRange::new(from, span.start);
            has_all = has_all && self.add_stored_buckets(plan, series, before, into)?;
            if has_all {
                self.add_computed_buckets(plan, series, span, into)?;
            }
            from = span.end;
        }
        let rest = TimeRange::new(from, plan.range.end);
        Ok(has_all && self.add_stored_buckets(plan, series, rest, into)?)
    }

    /// The native histogram that is the newest sample of a series of
    /// [`View::select_buckets`](crate::View::select_buckets) at or before `at`, which is a bound of buckets. The search covers
    /// what [`View::newest_before`](crate::View::newest_before) says or, where samples have been dropped, one bucket. `out` then
    /// has any contents.
    ///
    /// # Errors
    /// Same as [`View::newest_before`](crate::View::newest_before).
    pub fn newest_native_before(
        &mut self,
        plan: &BucketPlan,
        series: &ViewSeries,
        at: Timestamp,
        out: &mut BucketColumns,
    ) -> Result<Option<Arc<Histogram>>> {
        let width = plan.resolution.width_ns();
        if at.saturating_sub(width) >= plan.computable_of(&series.catalogue, &series.labels) {
            let newest = self.newest_sample_before(series, at)?;
            return Ok(newest.and_then(|value| if let Value::Histogram(h) = value { Some(h) } else { None }));
        }
        let one = TimeRange::new(at.saturating_sub(width), at);
        let before = BucketPlan::new(&series.catalogue, plan.resolution, one);
        let partition = series.catalogue.layout().partition(plan.tier, at);
        let ids = self.view.without_damage(|| self.view.ids_in(series, partition))?;
        if !self.read_buckets(&before, &series.with_ids(ids.into()), Columns::HISTOGRAMS, out)? {
            return Ok(None);
        }
        let newest = out.len().checked_sub(1).and_then(|row| out.natives.get(row).as_ref());
        Ok(newest.filter(|natives| !natives.precedes).map(|natives| Arc::clone(&natives.last.histogram)))
    }

    /// The value of the newest raw sample at or before `at`.
    fn newest_sample_before(&self, series: &ViewSeries, at: Timestamp) -> Result<Option<Value>> {
        let here = series.catalogue.layout().raw(at);
        let mut ids = series.ids.clone();
        ids.retain(|(known, _)| known.tier == TierId::RAW);
        if !ids.iter().any(|(known, _)| *known == here) {
            ids.extend(self.view.without_damage(|| self.view.ids_in(series, here))?);
            ids.sort_unstable();
        }
        self.view.newest_before(&series.with_ids(ids), at)
    }

    /// Replaces `out` by the raw samples in `range` of a series of [`View::select_buckets`](crate::View::select_buckets),
    /// ascending.
    ///
    /// # Errors
    /// A chunk is damaged, or the store could not be read.
    pub fn read_samples(
        &mut self,
        plan: &BucketPlan,
        series: &ViewSeries,
        range: TimeRange,
        out: &mut Run,
    ) -> Result<()> {
        let mut ids = series.ids.clone();
        ids.retain(|(known, _)| known.tier == TierId::RAW);
        let layout = series.catalogue.layout();
        for partition in series.catalogue.generations.partitions_in(TierId::RAW, range, layout) {
            if plan.known.binary_search(&partition.id).is_err() {
                ids.extend(self.view.without_damage(|| self.view.ids_in(series, partition.id))?);
            }
        }
        ids.sort_unstable();
        self.read(&series.with_ids(ids), range, out)
    }

    /// The spans of buckets that must be computed from raw samples, ascending and apart from each other.
    fn computed_spans(&mut self, plan: &BucketPlan, series: &ViewSeries) -> Result<Vec<TimeRange>> {
        let mut spans: Vec<TimeRange> = plan.deleted_from(&series.labels).collect();
        let mut times = Vec::new();
        self.head_times(series, plan.stored, &mut times)?;
        let mut run = Run::default();
        for generation in &plan.newer {
            let partition = generation.prefix.partition;
            for &(_, id) in series.ids.iter().filter(|(known, _)| *known == partition) {
                run.clear();
                match self.cursors_of(series).read(generation, id, plan.stored, &mut run) {
                    Ok(_) => times.extend_from_slice(&run.timestamps),
                    Err(error) => self.view.gives_up(generation.prefix, plan.stored, error)?,
                }
            }
        }
        times.retain(|time| plan.stored.contains(*time));
        let one = |time: Timestamp| plan.buckets_over(TimeRange::inclusive(time, time));
        times.iter_mut().for_each(|time| *time = one(*time).end);
        times.sort_unstable();
        times.dedup();
        spans.extend(times.into_iter().map(one));
        let computable = plan.computable_of(&series.catalogue, &series.labels);
        spans.iter_mut().for_each(|span| span.start = span.start.max(computable));
        spans.extend_from_slice(&plan.raw);
        Ok(joined(spans))
    }

    /// Adds the times of the samples in `range` that are in the head.
    fn head_times(
        &mut self,
        series: &ViewSeries,
        range: TimeRange,
        times: &mut Vec<Timestamp>,
    ) -> Result<()> {
        if range.is_empty() || matches!(series.head, HeadPart::Nothing) {
            return Ok(());
        }
        let of_head = series.with_ids(SmallVec::new());
        let mut run = Run::default();
        self.read(&of_head, range, &mut run)?;
        times.append(&mut run.timestamps);
        Ok(())
    }

    fn add_stored_buckets(
        &mut self,
        plan: &BucketPlan,
        series: &ViewSeries,
        span: TimeRange,
        into: &mut Filled<'_>,
    ) -> Result<bool> {
        if span.is_empty() {
            return Ok(true);
        }
        let columns = into.columns;
        let mut has_all = true;
        let ids: Vec<_> = series.ids.iter().copied().filter(|(known, _)| known.tier == plan.tier).collect();
        let catalogue = series.catalogue.clone();
        let mut partitions =
            catalogue.generations.partitions_in(plan.tier, span, catalogue.layout()).peekable();
        for ids in ids.chunk_by(|a, b| a.0 == b.0) {
            // Both ascend, so none is searched for.
            while partitions.next_if(|partition| partition.id < ids[0].0).is_some() {}
            let Some(partition) = partitions.next_if(|partition| partition.id == ids[0].0) else { continue };
            let out = &mut *into.out;
            let first = out.len();
            for generation in &partition.generations {
                let record = &generation.record;
                if !span.overlaps(record.first, record.last) || self.view.is_lost(generation.prefix) {
                    continue;
                }
                for &(_, id) in ids {
                    let read = self.cursors_of(series).read_buckets(generation, id, span, columns, out);
                    match read {
                        Ok(has) => has_all &= has,
                        Err(error) => self.view.gives_up(generation.prefix, span, error)?,
                    }
                }
            }
            out.newest_of_each(first);
            if !plan.deletes.is_empty() {
                let computable = plan.computable_of(&catalogue, &series.labels);
                out.retain_from(first, |all, row| !plan.is_removed(all, row, &series.labels, computable));
            }
            if !out.is_plain() {
                has_all &= self.compute_omitted(plan, series, first, into)?;
            }
            if columns.contains(Columns::LOST) {
                // It is not kept where there are as many resets as in a gauge.
                has_all &= into.out.lost.are_known(first);
            }
            self.take_buckets(0, first, into)?;
        }
        Ok(has_all)
    }

    /// Computes the buckets, of those from row `first` on, that are omitted, or that lack native histograms which are asked
    /// for: they were written by an earlier version, or the histograms take too much. Removes those with nothing else where
    /// the samples are gone. Returns whether all others describe their histograms.
    fn compute_omitted(
        &mut self,
        plan: &BucketPlan,
        series: &ViewSeries,
        first: usize,
        into: &mut Filled<'_>,
    ) -> Result<bool> {
        let describes = into.columns.contains(Columns::HISTOGRAMS);
        let lacks = |all: &BucketColumns, row: usize| {
            all.is_omitted(row) || (describes && all.has_histograms(row) && all.natives.get(row).is_none())
        };
        let computable = plan.computable_of(&series.catalogue, &series.labels);
        let trimmed = series.catalogue.trimmed(TierId::RAW, &series.labels);
        let raw_from = self.view.raw_from().max(trimmed);
        let span = |end: Timestamp| plan.buckets_over(TimeRange::inclusive(end, end));
        let has_samples = |all: &BucketColumns, row: usize| {
            let (end, has_all) = (all.ends[row], span(all.ends[row]).start >= computable);
            // Of an omitted one, what is left of the samples is all that there is.
            lacks(all, row) && (has_all || (all.is_omitted(row) && end > raw_from))
        };
        let all = &mut *into.out;
        let rows = (first..all.len()).filter(|&row| has_samples(all, row));
        let spans: Vec<TimeRange> = rows.map(|row| span(all.ends[row])).collect();
        if !spans.is_empty() {
            all.retain_from(first, |all, row| !has_samples(all, row));
            for span in joined(spans) {
                self.add_computed_buckets(plan, series, span, into)?;
            }
            into.out.newest_of_each(first);
        }
        let is_gone = |all: &BucketColumns, row: usize| {
            let has_rest = all.ends[row] > raw_from || all.counts[row] > 0 || all.markers.at(row) > 0;
            all.is_omitted(row) || !has_rest
        };
        let all = &mut *into.out;
        all.retain_from(first, |all, row| !(lacks(all, row) && is_gone(all, row)));
        Ok((first..all.len()).all(|row| !lacks(all, row)))
    }

    fn add_computed_buckets(
        &mut self,
        plan: &BucketPlan,
        series: &ViewSeries,
        span: TimeRange,
        into: &mut Filled<'_>,
    ) -> Result<()> {
        let most = plan
            .resolution
            .ceil(series.catalogue.layout().width(TierId::RAW).saturating_mul(PARTITIONS_AT_ONCE));
        let mut run = std::mem::take(&mut self.scratch);
        let mut rest = span;
        while !rest.is_empty() {
            let span = TimeRange::new(rest.start, rest.end.min(rest.start.saturating_add(most)));
            rest.start = span.end;
            // A sample at the start is left out below: to remove it, all others would have to move.
            let read = TimeRange::new(span.start.saturating_sub(1), span.end);
            self.read_samples(plan, series, read, &mut run)?;
            let from = run.timestamps.partition_point(|time| *time <= span.start);
            let first = into.out.len();
            let mut builder = Builder::of(plan.resolution.width_ns(), into.columns);
            let mut computed = Vec::new();
            fold_run(&mut builder, &run, from, &mut computed);
            builder.finish(&mut computed);
            computed.iter().for_each(|bucket| into.out.push(bucket));
            self.take_buckets(size_of_val(&computed[..]) + run.memory_bytes(), first, into)?;
        }
        self.scratch = run;
        Ok(())
    }

    /// Takes memory for all buckets, of which those from `first` on were added, and as many bytes besides.
    fn take_buckets(&self, besides: usize, first: usize, into: &mut Filled<'_>) -> Result<()> {
        self.view.work().check()?;
        into.details += into.out.detail_bytes(first);
        let besides = besides + self.scratch.memory_bytes();
        Ok(self.taken.at_least(into.out.column_bytes() + into.details + besides)?)
    }
}

/// The buckets of a series that have been read.
struct Filled<'o> {
    columns: Columns,
    out: &'o mut BucketColumns,
    /// The [details](BucketColumns::detail_bytes) of all rows. They are not counted again for each partition.
    details: usize,
}

/// The union of spans, ascending; spans that touch are one.
fn joined(mut spans: Vec<TimeRange>) -> Vec<TimeRange> {
    spans.retain(|span| !span.is_empty());
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    let mut out: Vec<TimeRange> = Vec::with_capacity(spans.len());
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => out.push(span),
        }
    }
    out
}
