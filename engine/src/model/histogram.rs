//! Native histograms as they are stored and as queries see them, with counts as floats.
//!
//! Schemas `-4..=8` have exponential buckets: bucket `i` covers `(b^(i-1), b^i]` with `b = 2^(2^-schema)`, mirrored for
//! negative values, with a zero bucket of half width `zero_threshold` between them. Schema [`Histogram::CUSTOM`] has
//! explicit upper bounds instead.
//!
//! `validate.rs` checks the histograms of writers.

pub mod algebra;
mod validate;

pub use validate::{CountOf, HistogramError, Side};

use std::sync::Arc;

use crate::model::is_stale;

/// Consecutive buckets: `offset` empty buckets after the previous span (for the first span, the index of its first
/// bucket), then `length` buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The gap before this span, or the first index.
    pub offset: i32,
    /// The number of buckets in this span.
    pub length: u32,
}

/// The writer's information about a counter reset before this sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResetHint {
    /// Unknown: compare with the previous sample.
    #[default]
    Unknown,
    /// A reset happened.
    Reset,
    /// No reset happened.
    NotReset,
    /// A gauge histogram, which has no resets.
    Gauge,
}

/// One native histogram sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Resolution, `-4..=8`, or [`Histogram::CUSTOM`].
    pub schema: i32,
    /// Half width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations.
    pub sum: f64,
    /// The spans of positive buckets.
    pub positive_spans: Vec<Span>,
    /// Absolute counts of the positive buckets, span after span.
    pub positive_buckets: Vec<f64>,
    /// The spans of negative buckets.
    pub negative_spans: Vec<Span>,
    /// Absolute counts of the negative buckets.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds for schema [`Histogram::CUSTOM`], ascending; `+Inf` is implied.
    pub custom_values: Vec<f64>,
    /// The writer's information about a reset.
    pub reset_hint: ResetHint,
}

impl Histogram {
    /// The schema of histograms with explicit bucket bounds.
    pub const CUSTOM: i32 = -53;

    /// Bytes that it takes on the heap, including itself.
    pub fn memory_bytes(&self) -> usize {
        let spans = self.positive_spans.len() + self.negative_spans.len();
        let counts = self.positive_buckets.len() + self.negative_buckets.len();
        size_of::<Self>() + spans * size_of::<Span>() + (counts + self.custom_values.len()) * size_of::<f64>()
    }

    /// Marks a histogram without a reset hint as not reset if it continues from `previous`, the previous sample.
    pub fn hint_from(histogram: &mut Arc<Histogram>, previous: &Histogram) {
        if histogram.reset_hint == ResetHint::Unknown && histogram.continues(previous) {
            Arc::make_mut(histogram).reset_hint = ResetHint::NotReset;
        }
    }

    /// Whether this counter histogram continues from `previous`: the layout of buckets is equal, and no count has
    /// decreased. A histogram that continues was not reset in between; one that does not continue may have been. Gauges
    /// and stale markers never continue.
    pub fn continues(&self, previous: &Histogram) -> bool {
        let is_counter = |h: &Histogram| h.reset_hint != ResetHint::Gauge && !is_stale(h.sum);
        is_counter(self)
            && is_counter(previous)
            && self.reset_hint != ResetHint::Reset
            && self.schema == previous.schema
            && self.zero_threshold.to_bits() == previous.zero_threshold.to_bits()
            && self.custom_values == previous.custom_values
            && self.count >= previous.count
            && self.zero_count >= previous.zero_count
            && counts_hold(
                by_index(&previous.positive_spans, &previous.positive_buckets),
                by_index(&self.positive_spans, &self.positive_buckets),
            )
            && counts_hold(
                by_index(&previous.negative_spans, &previous.negative_buckets),
                by_index(&self.negative_spans, &self.negative_buckets),
            )
    }
}

/// Index and count of each bucket, in ascending order.
fn by_index<'a>(spans: &'a [Span], counts: &'a [f64]) -> impl Iterator<Item = (i64, f64)> + 'a {
    let mut next = 0i64;
    let indices = spans.iter().flat_map(move |span| {
        let first = next + i64::from(span.offset);
        next = first + i64::from(span.length);
        first..next
    });
    indices.zip(counts.iter().copied())
}

/// Whether every populated bucket is still present with at least the same count.
fn counts_hold(
    before: impl Iterator<Item = (i64, f64)>,
    mut after: impl Iterator<Item = (i64, f64)>,
) -> bool {
    before.filter(|(_, count)| *count > 0.0).all(|(index, count)| {
        after.find(|(other, _)| *other >= index).is_some_and(|(other, now)| other == index && now >= count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::STALE_NAN_BITS;

    fn histogram(count: f64, offset: i32, buckets: &[f64]) -> Histogram {
        Histogram {
            count,
            positive_spans: vec![Span { offset, length: buckets.len() as u32 }],
            positive_buckets: buckets.to_vec(),
            ..Histogram::default()
        }
    }

    #[test]
    fn a_histogram_continues_while_no_bucket_falls() {
        let base = histogram(6.0, -1, &[1.0, 0.0, 5.0]);
        assert!(base.continues(&base));
        assert!(histogram(7.0, -1, &[1.0, 0.0, 6.0]).continues(&base));
        assert!(histogram(8.0, -2, &[1.0, 1.0, 1.0, 5.0, 1.0]).continues(&base), "new buckets are no reset");
        assert!(!histogram(5.0, -1, &[1.0, 0.0, 5.0]).continues(&base), "the count fell");
        assert!(!histogram(9.0, -1, &[0.5, 0.0, 9.0]).continues(&base), "a bucket fell");
        assert!(!histogram(9.0, 1, &[9.0]).continues(&base), "a bucket is gone");
        assert!(!Histogram { schema: 1, ..base.clone() }.continues(&base));
        assert!(!Histogram { zero_threshold: 0.1, ..base.clone() }.continues(&base));
        assert!(!Histogram { reset_hint: ResetHint::Reset, ..base.clone() }.continues(&base));
        assert!(!base.continues(&Histogram { reset_hint: ResetHint::Gauge, ..base.clone() }));
        assert!(!base.continues(&Histogram { sum: f64::from_bits(STALE_NAN_BITS), ..base.clone() }));
    }
}
