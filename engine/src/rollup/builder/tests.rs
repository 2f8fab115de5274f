//! Samples to buckets.

use super::*;
use crate::model::STALE_NAN_BITS;
use crate::rollup::{Gaps, Sketch};

fn built(samples: &[(i64, f64)], width: i64) -> Vec<Bucket> {
    let mut out = Vec::new();
    let mut builder = Builder::new(width, Extras::ALL);
    samples.iter().for_each(|&(time, value)| builder.push(time, value, 0, &mut out));
    builder.finish(&mut out);
    out
}

fn stale() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

#[test]
fn buckets_are_closed_on_the_right() {
    let ends: Vec<i64> = [0, 1, 9, 10, 11, -1, -10, -11].iter().map(|&time| end_of(time, 10)).collect();
    assert_eq!(ends, [0, 10, 10, 10, 20, 0, -10, -10]);
    assert_eq!((end_of(i64::MAX, 10), end_of(i64::MIN, 10)), (i64::MAX, i64::MIN + 8));
    let buckets = built(&[(-3, 9.0), (0, 1.0), (1, 2.0), (10, 3.0), (20, 4.0), (41, 5.0)], 10);
    let found: Vec<_> = buckets.iter().map(|b| (b.end, b.count, b.first.time, b.last.time)).collect();
    assert_eq!(found, [(0, 2, -3, 0), (10, 2, 1, 10), (20, 1, 20, 20), (50, 1, 41, 41)]);
}

#[test]
fn a_bucket_of_known_samples() {
    let buckets = built(&[(1, 4.0), (3, 2.0), (5, 2.0), (10, f64::NAN)], 10);
    let [bucket] = &buckets[..] else { panic!("{} buckets", buckets.len()) };
    assert_eq!((bucket.count, bucket.nans, bucket.changes, bucket.resets), (4, 1, 2, 1));
    assert_eq!((bucket.first.value, bucket.min, bucket.max), (4.0, 2.0, 4.0));
    assert_eq!((bucket.lost.value(), bucket.step), (4.0, 2.0));
    assert_eq!(bucket.gaps, Gaps { min: 2, max: 5, regular: false });
    assert!(bucket.last.value.is_nan() && bucket.sum.value().is_nan() && bucket.m2.is_nan());
    assert_eq!(bucket.sketch.as_ref().map(Sketch::count), Some(3));
}

#[test]
fn markers_are_no_samples_but_keep_a_bucket() {
    let buckets = built(&[(1, 1.0), (2, stale()), (15, stale()), (21, stale()), (22, 2.0)], 10);
    let found: Vec<_> = buckets.iter().map(|b| (b.end, b.count, b.markers, b.ended)).collect();
    assert_eq!(found, [(10, 1, 1, true), (20, 0, 1, true), (30, 1, 1, false)]);
    let day = buckets.iter().skip(1).fold(buckets[0].clone(), |mut day, bucket| {
        day.merge(bucket);
        day
    });
    assert_eq!((day.count, day.markers, day.ended, day.changes), (2, 3, false, 1));
    assert_eq!((day.first.value, day.last.value, day.gaps.max), (1.0, 2.0, 21));
}

#[test]
fn a_builder_is_used_again() {
    let mut out = Vec::new();
    let mut builder = Builder::new(10, Extras::default());
    builder.extend(&[1, 2], &[1.0, 2.0], &[1, 1], &mut out);
    builder.finish(&mut out);
    builder.finish(&mut out);
    builder.extend(&[1], &[5.0], &[], &mut out);
    builder.finish(&mut out);
    let found: Vec<_> = out.iter().map(|b| (b.count, b.first.start, b.sum.value())).collect();
    assert_eq!(found, [(2, 1, 3.0), (1, 0, 5.0)]);
    assert!(out.iter().all(|bucket| bucket.sketch.is_none()));
    assert_eq!(out.iter().map(|bucket| bucket.gaps).collect::<Vec<_>>(), [Gaps::UNKNOWN, Gaps::NONE]);
    assert_eq!(out.iter().map(|bucket| bucket.step).collect::<Vec<_>>(), [f64::INFINITY, 0.0]);
}
