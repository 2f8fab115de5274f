//! `histogram_over_time` from the sketches of buckets.
//!
//! Samples are counted by the keys of a sketch too, so both have the same buckets, and sketches are merged without loss.

use std::borrow::Cow;

use barograph_engine::model::Histogram;
use barograph_engine::rollup::{BucketColumns, Runs, Sketch, sketch};

use super::estimates::{self, Parts};
use super::{Answer, Evaluator, Seen, Series};
use crate::functions::window::conditional_count::SlidingSum;
use crate::functions::window::distribution::KeyCounts;
use crate::histogram::sketched;
use crate::tiers::{Bounded, margin};

/// `histogram_over_time`. Counts of sketches are whole, so a moving window subtracts what it leaves without rounding.
pub(super) fn distribution(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    let sums = Runs::of(Cow::Borrowed(&columns.sums), columns.len());
    let mut unknown = SlidingSum::default();
    let (mut inside, mut counts) = (0..0, KeyCounts::default());
    Box::new(move |span, _| {
        if span.is_cut() {
            return Answer::Unknown;
        }
        let is_unknown = |row: usize| matches!(values_of(columns, row), Values::Unknown);
        if unknown.advance(span.rows(), 0.0, |row| is_unknown(row).into()) > 0 {
            return Answer::Unknown;
        }
        counts.advance(&mut inside, span.rows(), |counts, row, change| {
            counts.change_nans(change, columns.nans.at(row));
            match values_of(columns, row) {
                Values::Sketch(sketch) => {
                    sketch.entries().iter().for_each(|&(key, count)| counts.change(change, key, count));
                }
                Values::Key(key, count) => counts.change(change, key, count),
                Values::None | Values::Unknown => {}
            }
        });
        match sums.sum(span.rows()) {
            Some(sum) => {
                let histogram = Box::new(counts.histogram(sum));
                Answer::Distribution { histogram, scratch: counts.held() }
            }
            None => Answer::Unknown,
        }
    })
}

/// How the numbers of a bucket are distributed.
enum Values<'c> {
    None,
    Sketch(&'c Sketch),
    /// All have this key.
    Key(i32, u64),
    Unknown,
}

fn values_of(columns: &BucketColumns, row: usize) -> Values<'_> {
    let (min, max) = (columns.minima[row], columns.maxima[row]);
    match (columns.sketches.get(row), columns.counts[row] - columns.nans.at(row)) {
        (Some(sketch), _) => Values::Sketch(sketch),
        (None, 0) => Values::None,
        (None, _) if min.is_nan() || max.is_nan() || sketch::key(min) != sketch::key(max) => Values::Unknown,
        (None, numbers) => Values::Key(sketch::key(min), numbers),
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

#[cfg(test)]
mod tests {
    use barograph_engine::rollup::{Builder, Extras};

    use super::*;
    use crate::functions::buckets::Span;
    use crate::source::Columns;

    /// Buckets of four samples each, without sketches.
    fn buckets(values: &[f64]) -> BucketColumns {
        let mut builder = Builder::new(4, Extras { bounds: false, distribution: false });
        let mut buckets = Vec::new();
        for (at, &value) in values.iter().enumerate() {
            builder.push(at as i64 + 1, value, 0, &mut buckets);
        }
        builder.finish(&mut buckets);
        let mut columns = BucketColumns::new(Columns::ALL);
        buckets.iter().for_each(|bucket| columns.push(bucket));
        columns
    }

    #[test]
    fn values_with_one_key_need_no_sketch() {
        let nan = f64::NAN;
        let columns =
            buckets(&[5.0, 5.0, 5.001, nan, nan, nan, nan, nan, 7.0, 7.0, 7.0, 7.0, 1.0, 2.0, 1.0, 1.0, 9.0]);
        let mut evaluate = distribution(Series { columns: &columns, range_ns: 8, overlaps: true });
        let mut answer = |lo: usize, hi: usize| {
            let (start, end) = (lo as i64 * 4, hi as i64 * 4);
            let none = None;
            let span = Span {
                columns: &columns,
                start,
                end,
                lookback: 0,
                lo,
                hi,
                left: none,
                right: none,
                both: none,
                before: none,
            };
            match evaluate(&span, 0.0) {
                Answer::Distribution { histogram: h, .. } => Some((h.count, h.sum, h.positive_buckets)),
                Answer::Unknown => None,
                other => panic!("{other:?}"),
            }
        };
        let shown = |found: Option<(f64, f64, Vec<f64>)>| format!("{found:?}");
        assert_eq!(shown(answer(0, 2)), "Some((8.0, NaN, [3.0]))");
        assert_eq!(shown(answer(1, 3)), "Some((8.0, NaN, [4.0]))");
        assert_eq!(answer(2, 3), Some((4.0, 28.0, vec![4.0])));
        assert_eq!(answer(2, 4), None, "1 and 2, but how often?");
        assert_eq!(answer(3, 5), None);
        assert_eq!(answer(4, 5), Some((1.0, 9.0, vec![1.0])));
    }
}
