//! `histogram_over_time` from the sketches of buckets.
//!
//! Samples are counted by the keys of a sketch too, so both have the same buckets, and sketches are merged without loss.

use std::borrow::Cow;

use barograph_engine::model::Histogram;
use barograph_engine::rollup::{BucketColumns, Runs, Sketch, sketch};

use super::estimates::{self, Parts};
use super::folds::{Folds, Part};
use super::{Answer, Evaluator, Seen, Series};
use crate::functions::window::conditional_count::SlidingSum;
use crate::histogram::sketched;
use crate::tiers::{Bounded, margin};

/// The distribution of consecutive buckets; `None` if one of them does not have it.
#[derive(Clone)]
struct Distribution(Option<Sketch>);

impl Part for Distribution {
    fn append(&mut self, later: &Self) {
        match (&mut self.0, &later.0) {
            (Some(sketch), Some(later)) => sketch.merge(later),
            (sketch, _) => *sketch = None,
        }
    }
}

/// `histogram_over_time`
pub(super) fn distribution(Series { columns, range_ns, overlaps }: Series<'_>) -> Evaluator<'_> {
    let mut folds = Folds::new(range_ns, overlaps);
    let sums = Runs::of(Cow::Borrowed(&columns.sums), columns.len());
    let mut nans = SlidingSum::default();
    Box::new(move |span, _| {
        if span.is_cut() {
            return Answer::Unknown;
        }
        let nans = nans.advance(span.rows(), 0.0, |row| columns.nans.at(row));
        let one = |row: usize| Distribution(sketch_of(columns, row));
        let whole = folds.fold(&columns.ends, span.rows(), span.end, one);
        match (whole.and_then(|whole| whole.0.as_ref()), sums.sum(span.rows())) {
            (Some(sketch), Some(sum)) => {
                Answer::Distribution(Box::new(sketched::of_sketch(sketch, nans, sum)))
            }
            _ => Answer::Unknown,
        }
    })
}

/// The sketch of a bucket. Without one, values with a single key are known too.
fn sketch_of(columns: &BucketColumns, row: usize) -> Option<Sketch> {
    let numbers = columns.counts[row] - columns.nans.at(row);
    if let Some(sketch) = columns.sketches.get(row) {
        return Some(sketch.clone());
    }
    let (min, max) = (columns.minima[row], columns.maxima[row]);
    match () {
        () if numbers == 0 => Some(Sketch::default()),
        () if min.is_nan() || max.is_nan() || sketch::key(min) != sketch::key(max) => None,
        () => Some(Sketch::from_counts(vec![(sketch::key(min), numbers)])),
    }
}

/// An estimated histogram.
#[derive(Debug)]
pub(crate) struct Estimated {
    pub histogram: Histogram,
    /// No count differs from that of the samples by more, be it of one bucket, of several, or of all.
    pub doubtful: f64,
    /// The sum of the values.
    pub sum: Bounded,
}

/// Counts of cut buckets are scaled by the share of their samples that is probably inside.
pub(super) fn estimated(seen: &Seen<'_>) -> Option<Estimated> {
    let parts = Parts::of(seen)?;
    if parts.cuts.iter().any(|cut| !cut.is_plain()) {
        return None;
    }
    let sum = estimates::sum(seen, 0.0)?;
    let (mut counts, mut nans, mut doubtful) = (Vec::new(), 0, 0.0);
    if let Some(whole) = seen.whole {
        nans = whole.nans;
        counts.extend(whole.sketch.as_ref()?.entries().iter().map(|&(key, count)| (key, count as f64)));
    }
    for cut in &parts.cuts {
        let (least, most) = cut.inside;
        let share = cut.likely() as f64 / cut.bucket.count as f64;
        // Of c samples, min(c, most) may be inside, and all but those that fit outside must be.
        let outside = (cut.bucket.count - least) as f64;
        doubtful += (most as f64 * (1.0 - share)).max(outside * share);
        let scaled = |&(key, count): &(i32, u64)| (key, count as f64 * share);
        counts.extend(cut.bucket.sketch.as_ref()?.entries().iter().map(scaled));
    }
    counts.sort_by_key(|&(key, _)| key);
    counts.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            kept.1 += later.1;
        }
        same
    });
    let value = if nans > 0 { f64::NAN } else { sum.value };
    let histogram = sketched::of_counts(counts.into_iter(), nans as f64, value);
    let doubtful = doubtful + margin(histogram.count);
    Some(Estimated { histogram, doubtful, sum: sum.or_absent(parts.may_be_absent()) })
}
