//! The algebra of native histograms: adding, subtracting, layouts, resets.
//!
//! The working form of one side of a histogram is a list of `(index, count)` in ascending order, [`Buckets`]. The
//! stored form (spans of consecutive buckets) is built at the end, without empty buckets. Two histograms with the same
//! layout, the usual case, are added slot by slot without unpacking.

pub mod arithmetic;
pub mod bounds;
pub mod resets;

use super::{Histogram, Span};

/// The buckets of one side in ascending order of their indices.
pub type Buckets = Vec<(i32, f64)>;

/// Whether the bounds are explicit.
pub fn is_custom(h: &Histogram) -> bool {
    h.schema == Histogram::CUSTOM
}

/// The buckets of spans, including empty ones. Spans and counts from outside may disagree; the iterator ends with the
/// shorter one.
pub fn unpack<'a>(spans: &'a [Span], counts: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next = 0i64;
    let indices = spans.iter().flat_map(move |span| {
        let start = next + i64::from(span.offset);
        next = start + i64::from(span.length);
        start..next
    });
    indices.map(|i| i.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32).zip(counts.iter().copied())
}

/// Positive buckets that are not empty.
pub fn positive(h: &Histogram) -> Buckets {
    unpack(&h.positive_spans, &h.positive_buckets).filter(|b| b.1 != 0.0).collect()
}

/// Negative buckets that are not empty.
pub fn negative(h: &Histogram) -> Buckets {
    unpack(&h.negative_spans, &h.negative_buckets).filter(|b| b.1 != 0.0).collect()
}

/// The stored form of buckets, without empty ones.
pub fn pack(buckets: &Buckets) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut counts = Vec::with_capacity(buckets.len());
    let mut next = 0i64;
    for &(index, count) in buckets.iter().filter(|b| b.1 != 0.0) {
        let gap = i64::from(index) - next;
        match spans.last_mut() {
            Some(span) if gap == 0 => span.length += 1,
            _ => spans.push(Span { offset: gap as i32, length: 1 }),
        }
        counts.push(count);
        next = i64::from(index) + 1;
    }
    (spans, counts)
}

/// Sets the buckets of both sides of `h`.
pub fn set_buckets(h: &mut Histogram, positive: &Buckets, negative: &Buckets) {
    (h.positive_spans, h.positive_buckets) = pack(positive);
    (h.negative_spans, h.negative_buckets) = pack(negative);
}

/// `h` without empty buckets.
pub fn compacted(mut h: Histogram) -> Histogram {
    let empty = |counts: &[f64]| counts.contains(&0.0);
    if empty(&h.positive_buckets) || empty(&h.negative_buckets) {
        let (p, n) = (positive(&h), negative(&h));
        set_buckets(&mut h, &p, &n);
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packing_keeps_every_bucket(map in proptest::collection::btree_map(-500i32..500, 0.5f64..9.0, 0..40)) {
            let buckets: Buckets = map.into_iter().collect();
            let (spans, counts) = pack(&buckets);
            prop_assert_eq!(unpack(&spans, &counts).collect::<Buckets>(), buckets);
        }
    }

    #[test]
    fn runs_that_lie_do_no_harm() {
        let spans = [Span { offset: i32::MAX, length: u32::MAX }, Span { offset: i32::MAX, length: 7 }];
        assert_eq!(unpack(&spans, &[1.0, 2.0]).count(), 2);
        assert_eq!(unpack(&[], &[1.0]).count(), 0);
    }
}
