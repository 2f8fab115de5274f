//! The answers that the buckets of one series give, from its floats and from its native histograms.

use barograph_engine::model::TimeRange;
use barograph_engine::rollup::BucketColumns;

use super::{Job, Partial, Tier, refused};
use crate::accuracy::Notes;
use crate::annotations::flags::Flags;
use crate::budget::made::Made;
use crate::error::QueryError;
use crate::functions::buckets::merged::Merged;
use crate::functions::buckets::natives::{NativeAnswer, NativeRows, NativeSpan};
use crate::functions::buckets::slide::Slide;
use crate::functions::buckets::{self, Answer};
use crate::functions::window::RangeCall;
use crate::series::{Point, Points};
use crate::steps::ms_to_ns;

/// Why a function of native histograms has no answer.
const OF_HISTOGRAMS: &str = "of native histograms is answered by buckets only where their columns suffice and no window cuts \
                             one: query at multiples of their width, with ranges that are multiples of it";

/// The spans of the buckets with native histograms.
pub(super) fn spans_with_histograms(columns: &BucketColumns, width: i64) -> Vec<TimeRange> {
    if columns.is_plain() {
        return Vec::new();
    }
    let rows = (0..columns.len()).filter(|&row| columns.has_histograms(row));
    rows.map(|row| TimeRange::new(columns.ends[row].saturating_sub(width), columns.ends[row])).collect()
}

/// The answers that the buckets of a series give.
pub(super) struct Found<'f> {
    job: &'f Job<'f>,
    tier: &'f Tier,
    natives: Option<&'f NativeRows>,
    made: Vec<Points>,
    /// The steps that only samples can answer.
    unknown: Vec<usize>,
    histograms: Made<'f>,
    notes: Notes,
    /// Steps with floats, if there are native histograms too.
    sampled: Vec<bool>,
    /// What has no sound answer although samples are gone.
    refused: Option<&'static str>,
}

impl<'f> Found<'f> {
    pub fn new(job: &'f Job<'f>, tier: &'f Tier, natives: Option<&'f NativeRows>) -> Self {
        let RangeCall { budget, windows, .. } = job.call;
        Found {
            job,
            tier,
            natives,
            made: vec![Points::absent(windows.steps.count); job.columns],
            unknown: Vec::new(),
            histograms: Made::new(budget),
            notes: Notes::of(tier.width),
            sampled: vec![false; if natives.is_some() { windows.steps.count } else { 0 }],
            refused: None,
        }
    }

    /// Adds the answers of windows with floats. `ignored` are the spans of buckets whose native histograms the function
    /// ignores.
    pub fn add_floats(
        &mut self,
        columns: &BucketColumns,
        ignored: &[TimeRange],
        flags: &mut Flags,
    ) -> Result<(), QueryError> {
        let (job, tier) = (self.job, self.tier);
        let RangeCall { budget, windows, params, .. } = job.call;
        let (range_ns, overlaps) = (ms_to_ns(windows.range_ms), windows.steps.step_ms < windows.range_ms);
        let mut evaluate = (tier.kernel)(buckets::Series { columns, range_ns, overlaps });
        let mut merged: Option<Merged> = None;
        let (lookback, is_aligned) = (job.call.lookback_ns(), tier.is_aligned);
        let slide = Slide { budget, windows, lookback, width: tier.width, is_aligned };
        slide.each(columns, |step, span| {
            let natives = self.natives.and_then(|natives| natives.span(span.start, span.end));
            if let Some(natives) = natives {
                self.sampled[step] = true;
                let answer = evaluate(span, f64::NAN);
                self.put_joint(step, (span, answer), &natives, flags);
                return;
            }
            for place in 0..job.columns {
                let argument = params.get(place).map_or(f64::NAN, |values| values[step]);
                let mut answer = evaluate(span, argument);
                if matches!(answer, Answer::Unknown) && job.must_estimate(span.start) {
                    let merged = merged.get_or_insert_with(|| Merged::new(columns, range_ns, overlaps));
                    answer = self.estimated(merged, span, argument);
                }
                match answer {
                    Answer::Absent => continue,
                    Answer::Exact(value) => self.made[place].floats[step] = value,
                    Answer::Distribution { histogram, scratch } => {
                        self.histograms.count_with(scratch);
                        self.histograms.put(&mut self.made[place], step, *histogram);
                    }
                    Answer::Unknown => {
                        self.unknown.push(step);
                        return;
                    }
                }
                flags.raise(tier.row.noticed(job.call.edges, span));
                if ignored.iter().any(|other| other.overlaps(span.start.saturating_add(1), span.end)) {
                    flags.raise(Flags::HISTOGRAMS_IGNORED);
                }
            }
        })
    }

    /// What is known of a window whose samples are gone. Not inlined, so that other windows cost less.
    #[inline(never)]
    fn estimated(&mut self, merged: &mut Merged, span: &buckets::Span<'_>, argument: f64) -> Answer {
        let answer = self.job.estimate(self.tier.row, &merged.see(span), argument, &mut self.notes);
        if matches!(answer, Answer::Unknown) {
            self.refused = Some("has no sound answer from these buckets");
        }
        answer
    }

    /// Sets the answer of a window that has floats and native histograms.
    #[inline(never)]
    fn put_joint(
        &mut self,
        step: usize,
        (span, floats): (&buckets::Span<'_>, Answer),
        natives: &NativeSpan<'_>,
        flags: &mut Flags,
    ) {
        let natively = self.tier.row.natives;
        let is_cut = span.is_cut() || natives.is_cut();
        // What only one kind would notice does not count.
        let of_natives = natively.answer(natives, &mut Flags::default());
        let joint = match floats {
            Answer::Exact(value) => natively.joint(value, &of_natives, is_cut, flags),
            Answer::Absent => natively.joint(f64::NAN, &of_natives, is_cut, flags),
            _ => None,
        };
        match joint {
            Some(point) => self.made[0].set(step, point),
            None => self.leave(step, span.start),
        }
    }

    /// Leaves a step to the samples.
    fn leave(&mut self, step: usize, start: i64) {
        self.unknown.push(step);
        if self.job.must_estimate(start) {
            self.refused = Some(OF_HISTOGRAMS);
        }
    }

    /// Adds the answers of windows with native histograms and without floats.
    pub fn add_natives(&mut self, flags: &mut Flags) -> Result<(), QueryError> {
        let Some(natives) = self.natives else { return Ok(()) };
        let RangeCall { budget, windows, .. } = self.job.call;
        let mut pace = budget.pace();
        let mut read = 0;
        for step in 0..windows.steps.count {
            pace.work(1)?;
            let (start, end) = windows.bounds(step);
            let Some(span) = natives.span(start, end).filter(|_| !self.sampled[step]) else { continue };
            pace.work(span.touched())?;
            budget.count_step(windows.steps.at(step), span.touched() as u64);
            read += span.touched() as u64;
            match self.tier.row.natives.answer(&span, flags) {
                NativeAnswer::Absent => {}
                NativeAnswer::Exact(Point::Float(value)) => self.made[0].floats[step] = value,
                NativeAnswer::Exact(Point::Histogram(histogram)) => {
                    self.histograms.share(&mut self.made[0], step, histogram);
                }
                NativeAnswer::Between(least, most) if self.job.must_estimate(start) => {
                    let value = ((least + most) / 2.0).floor();
                    self.notes.add(value, most - value, least == 0.0);
                    self.made[0].floats[step] = value;
                }
                NativeAnswer::Possible(value) if self.job.must_estimate(start) => {
                    self.notes.add(value, 0.0, true);
                    self.made[0].floats[step] = value;
                }
                NativeAnswer::Between(..) | NativeAnswer::Possible(_) | NativeAnswer::Unknown => {
                    self.leave(step, start);
                }
            }
        }
        budget.count_read(read);
        Ok(())
    }

    pub fn finish(mut self) -> Result<Partial, QueryError> {
        self.histograms.finish()?;
        if let Some(why) = self.refused {
            return Err(refused(self.job.function, why));
        }
        self.job.ctx.accuracy.join(&self.notes);
        self.unknown.sort_unstable();
        Ok((self.made, self.unknown))
    }
}
