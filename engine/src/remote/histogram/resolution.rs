//! Reduces the resolution of histograms that are finer than the stored schemas: each bucket goes into the wider one
//! that contains it.
//!
//! OpenTelemetry counts at scales up to 20, and a schema may be up to 52. Bucket `i` of schema `s` is the `2^d`-th part
//! of bucket `ceil(i / 2^d)` of schema `s - d`. No count is split or lost: the result is the histogram that a writer
//! with the coarser schema would have counted.

use crate::model::{Histogram, HistogramError, Span};

/// The finest schema that is stored.
const FINEST: i32 = 8;
/// The finest that any writer may use.
const FINEST_KNOWN: i32 = 52;

/// Converts a histogram of a schema from 9 to 52 to schema 8. Others are unchanged.
///
/// # Errors
/// The histogram must be converted, and breaks a rule.
pub(super) fn coarsen(h: &mut Histogram) -> Result<(), HistogramError> {
    if !(FINEST + 1..=FINEST_KNOWN).contains(&h.schema) {
        return Ok(());
    }
    let shift = (h.schema - FINEST) as u32;
    h.schema = FINEST;
    // The rules are the same for every schema. From here on, spans and counts are known to match.
    h.validate()?;
    (h.positive_spans, h.positive_buckets) = side(&h.positive_spans, &h.positive_buckets, shift);
    (h.negative_spans, h.negative_buckets) = side(&h.negative_spans, &h.negative_buckets, shift);
    Ok(())
}

fn side(spans: &[Span], counts: &[f64], shift: u32) -> (Vec<Span>, Vec<f64>) {
    let (mut wider, mut sums): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut counts = counts.iter();
    // The index after the last bucket: of the fine buckets, and of the wide ones.
    let (mut next, mut wide_next) = (0i64, 0i64);
    for span in spans {
        next += i64::from(span.offset);
        for (index, count) in (next..next + i64::from(span.length)).zip(&mut counts) {
            let wide = ((index - 1) >> shift) + 1;
            match (wider.last_mut(), sums.last_mut()) {
                (Some(_), Some(sum)) if wide + 1 == wide_next => {
                    *sum += count;
                    continue;
                }
                (Some(run), _) if wide == wide_next => run.length += 1,
                // An index of 32 bits, or a distance that is smaller than it was.
                _ => wider.push(Span { offset: (wide - wide_next) as i32, length: 1 }),
            }
            sums.push(*count);
            wide_next = wide + 1;
        }
        next += i64::from(span.length);
    }
    (wider, sums)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    fn by_index(spans: &[Span], counts: &[f64]) -> BTreeMap<i64, f64> {
        let (mut next, mut counts, mut found) = (0i64, counts.iter(), BTreeMap::new());
        for span in spans {
            next += i64::from(span.offset);
            for index in next..next + i64::from(span.length) {
                found.insert(index, *counts.next().expect("a count for each bucket"));
            }
            next += i64::from(span.length);
        }
        assert!(counts.next().is_none());
        found
    }

    #[test]
    fn buckets_go_into_the_one_that_holds_them() {
        let mut h = Histogram {
            schema: 10,
            count: 36.0,
            positive_spans: vec![span(-4, 5), span(0, 0), span(3, 3)],
            positive_buckets: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            negative_spans: vec![span(100, 1)],
            negative_buckets: vec![9.0],
            ..Histogram::default()
        };
        coarsen(&mut h).expect("a good histogram");
        // Fine indexes -4 | -3 to 0 | 4, 5 6: (0 is the end of bucket 0, 4 of 1, 8 of 2).
        assert_eq!(h.schema, 8);
        assert_eq!(h.positive_spans, [span(-1, 4)]);
        assert_eq!(h.positive_buckets, [1.0, 2.0 + 3.0 + 4.0 + 5.0, 6.0, 7.0 + 8.0]);
        assert_eq!((h.negative_spans, h.negative_buckets), (vec![span(25, 1)], vec![9.0]));
    }

    #[test]
    fn what_is_broken_or_unknown_is_refused_and_the_rest_left_alone() {
        let broken = Histogram { schema: 20, positive_spans: vec![span(0, 2)], ..Histogram::default() };
        assert!(matches!(coarsen(&mut broken.clone()), Err(HistogramError::Mismatch { .. })));
        for schema in [-53, -9, -4, 0, 8, 53, i32::MAX] {
            let mut h = Histogram { schema, ..broken.clone() };
            assert_eq!(coarsen(&mut h), Ok(()));
            assert_eq!(h, Histogram { schema, ..broken.clone() });
        }
    }

    proptest! {
        #[test]
        fn the_sums_are_those_of_the_fine_buckets(
            schema in 9i32..=52,
            first in -50_000i32..50_000,
            runs in proptest::collection::vec((0i32..300, 0u32..20), 1..20),
        ) {
            let mut spans: Vec<Span> = runs.iter().map(|&(offset, length)| span(offset, length)).collect();
            spans[0].offset = first;
            let buckets: u32 = spans.iter().map(|span| span.length).sum();
            let counts: Vec<f64> = (1..=buckets).map(f64::from).collect();
            let mut expected: BTreeMap<i64, f64> = BTreeMap::new();
            for (index, count) in by_index(&spans, &counts) {
                // The bucket that ends where `index` does, or at the next wide bound.
                let width = 1i64 << (schema - 8);
                *expected.entry(index.div_euclid(width) + i64::from(index.rem_euclid(width) != 0)).or_default() += count;
            }
            let mut h = Histogram { schema, positive_spans: spans, positive_buckets: counts, ..Histogram::default() };
            prop_assert_eq!(coarsen(&mut h), Ok(()));
            prop_assert_eq!(by_index(&h.positive_spans, &h.positive_buckets), expected);
            prop_assert!(h.positive_spans.iter().skip(1).all(|span| span.offset > 0), "runs are as long as can be");
        }
    }
}
