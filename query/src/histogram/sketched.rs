//! Sketches of values as native histograms, and back.
//!
//! A sketch divides each power of two into 128 keys of equal width, a native histogram into buckets of equal ratio, so
//! the two have no common bounds. Each key is counted in the bucket of schema 8, the finest one, that contains the middle
//! of the key. A key is wider than such a bucket, so different keys are in different buckets and a histogram has the key of
//! each bucket: nothing is lost but the position within the key. Explicit bounds could be those of the keys, but only
//! histograms with the same bounds are added without loss, and those of different series would differ.
//!
//! # Error
//! A value and any number in the bucket that counts it differ by less than 0.65 % of the value ([`RELATIVE_MAX`]): a half
//! of the widest key is 0.39 % of its values, a bucket is 0.27 % wide. Subnormal values may be off by 2^-1029 instead. Zero,
//! of either sign, is in the zero bucket, which contains nothing else; an infinity is in the bucket beyond the largest
//! float. NaN is in no bucket, but counts, and makes the sum NaN, as for every native histogram.

use std::collections::BTreeMap;

use barograph_engine::model::{Histogram, ResetHint};
use barograph_engine::rollup::{Sketch, sketch};

use super::bounds::{Bucket, BucketKind, ascending};
use super::{Buckets, arithmetic, pack};
use crate::numbers::compensated::Sum;

/// The finest schema: 256 buckets for each power of two.
const SCHEMA: i32 = 8;

/// A value and any number in its bucket of the finest schema differ by less than this share of the value.
pub const RELATIVE_MAX: f64 = 0.006_5;

/// The bucket of infinity: the one after that of the largest float.
const BEYOND: i32 = (1024 << SCHEMA) + 1;

/// The histogram of counts by ascending key, which need not be whole, and of `nans` times NaN. The values add up to `sum`. If it
/// would have more buckets than a stored histogram may have, it has a lower schema.
pub(crate) fn of_counts(counts: impl Iterator<Item = (i32, f64)>, nans: f64, sum: f64) -> Histogram {
    let (mut negative, mut positive) = (Buckets::new(), Buckets::new());
    let (mut count, mut zero_count) = (nans, 0.0);
    for (key, number) in counts {
        count += number;
        match key {
            0 => zero_count += number,
            1.. => positive.push((index(sketch::representative(key)), number)),
            _ => negative.push((index(-sketch::representative(key)), number)),
        }
    }
    negative.reverse();
    let gauge = Histogram { count, sum, zero_count, reset_hint: ResetHint::Gauge, ..Histogram::default() };
    with_buckets(gauge, &positive, &negative)
}

/// `h` with buckets of the finest schema, or of the finest one in which they are few enough.
fn with_buckets(mut h: Histogram, positive: &Buckets, negative: &Buckets) -> Histogram {
    // The lowest schema is -4, in which all floats have 256 buckets.
    for by in 0..=SCHEMA + 4 {
        h.schema = SCHEMA - by;
        (h.positive_spans, h.positive_buckets) = pack(&arithmetic::coarser(positive, by));
        (h.negative_spans, h.negative_buckets) = pack(&arithmetic::coarser(negative, by));
        let buckets = h.positive_buckets.len() + h.negative_buckets.len();
        let spans = h.positive_spans.len() + h.negative_spans.len();
        if buckets <= Histogram::BUCKETS_MAX && spans <= Histogram::SPANS_MAX {
            break;
        }
    }
    h
}

/// Counts values by bucket of the finest schema, as they arrive, without the keys of a sketch between: a value and any
/// number in its bucket differ by less than 0.28 % of the value.
///
/// ```
/// let mut tally = barograph_query::sketched::Tally::default();
/// tally.add(0.25, 3);
/// tally.add(0.0, 1);
/// let histogram = tally.finish();
/// assert_eq!((histogram.count, histogram.sum, histogram.zero_count), (4.0, 0.75, 1.0));
/// ```
#[derive(Debug, Default)]
pub struct Tally {
    count: f64,
    zero_count: f64,
    sum: Sum,
    positive: BTreeMap<i32, f64>,
    negative: BTreeMap<i32, f64>,
}

impl Tally {
    /// Counts a value, which is not NaN, this many times.
    pub fn add(&mut self, value: f64, count: u64) {
        let count = count as f64;
        self.count += count;
        self.sum = self.sum.add(value * count);
        match value {
            0.0 => self.zero_count += count,
            _ if value > 0.0 => *self.positive.entry(index(value)).or_default() += count,
            _ => *self.negative.entry(index(-value)).or_default() += count,
        }
    }

    /// The histogram of the values.
    pub fn finish(self) -> Histogram {
        let Tally { count, zero_count, sum, positive, negative } = self;
        let gauge = Histogram {
            count,
            sum: sum.total(),
            zero_count,
            reset_hint: ResetHint::Gauge,
            ..Histogram::default()
        };
        with_buckets(gauge, &positive.into_iter().collect(), &negative.into_iter().collect())
    }
}

/// The index of the bucket that contains a positive value. The logarithm is rounded, so a value within 10^-13 of a bound may
/// be counted on its other side. The middle of a key never is: the closest is 0.008 of a bucket away from a bound, but for
/// 2^-1030, whose logarithm is exact.
fn index(value: f64) -> i32 {
    if value.is_infinite() { BEYOND } else { (value.log2() * f64::from(1 << SCHEMA)).ceil() as i32 }
}

/// The sketch of the middles of a histogram's buckets, and the number of its observations that are NaN. Counts are rounded to
/// whole numbers. The keys that were counted come back if the schema is 8.
pub fn to_sketch(h: &Histogram) -> (Sketch, u64) {
    let buckets = ascending(h);
    let (mut counts, mut inside) = (Vec::with_capacity(buckets.len()), 0.0);
    for bucket in buckets {
        inside += bucket.count;
        let middle = middle(&bucket);
        if middle.is_nan() {
            continue;
        }
        counts.push((sketch::key(middle), bucket.count.round() as u64));
    }
    let nans = if h.sum.is_nan() { (h.count - inside).round() as u64 } else { 0 };
    (Sketch::from_counts(counts), nans)
}

/// The number that stands for the observations of a bucket: the geometric middle of an exponential one.
fn middle(bucket: &Bucket) -> f64 {
    let Bucket { lower, upper, kind, .. } = *bucket;
    match kind {
        BucketKind::Positive if upper == f64::INFINITY => upper,
        BucketKind::Negative if lower == f64::NEG_INFINITY => lower,
        BucketKind::Positive if lower > 0.0 => lower.sqrt() * upper.sqrt(),
        BucketKind::Negative if upper < 0.0 => -((-lower).sqrt() * (-upper).sqrt()),
        _ if lower == f64::NEG_INFINITY => upper,
        _ if upper == f64::INFINITY => lower,
        _ => lower / 2.0 + upper / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use barograph_engine::rollup::sketch::{bounds, key};
    use proptest::prelude::*;

    use super::*;
    use crate::histogram::quantile::quantile;

    fn of_sketch(sketch: &Sketch, nans: u64, sum: f64) -> Histogram {
        of_counts(sketch.entries().iter().map(|&(key, count)| (key, count as f64)), nans as f64, sum)
    }

    /// Values of all magnitudes, without NaN.
    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => -1e3..1e3f64,
            2 => (-1022i32..1023, 1.0..2.0f64, any::<bool>())
                .prop_map(|(exponent, m, sign)| m * 2f64.powi(exponent) * if sign { 1.0 } else { -1.0 }),
            1 => (0u32..50).prop_map(f64::from),
            1 => prop::sample::select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE]),
        ]
    }

    #[test]
    fn each_key_of_an_octave_is_within_the_bound_and_comes_back() {
        let mut worst = 0.0f64;
        let mut indices = Vec::new();
        for exponent in [-1022, -3, 0, 1, 1022] {
            for part in 0..128 {
                let value = (1.0 + f64::from(part) / 128.0) * 2f64.powi(exponent);
                let (least, greatest) = bounds(key(value));
                let h = of_sketch(&Sketch::of(&[value]), 0, value);
                let [bucket] = ascending(&h)[..] else { panic!("{value}: {h:?}") };
                worst = worst.max(bucket.upper / least - 1.0).max(1.0 - bucket.lower / greatest);
                indices.push(h.positive_spans[0].offset);
                for sign in [1.0, -1.0] {
                    let sketch = Sketch::of(&[sign * value]);
                    assert_eq!(to_sketch(&of_sketch(&sketch, 3, f64::NAN)), (sketch, 3));
                }
            }
        }
        assert!(worst < RELATIVE_MAX && worst > 0.006, "{worst}");
        assert!(indices.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn special_values_have_places_of_their_own() {
        let values = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 5e-324, f64::NAN];
        let h = of_sketch(&Sketch::of(&values), 1, f64::NAN);
        assert_eq!((h.count, h.zero_count, h.zero_threshold), (8.0, 2.0, 0.0));
        assert_eq!(h.validate(), Ok(()));
        assert_eq!(h.validate_total(), Ok(()));
        let buckets = ascending(&h);
        assert_eq!((buckets[0].lower, buckets[0].upper), (f64::NEG_INFINITY, f64::MIN));
        assert_eq!((buckets[5].lower, buckets[5].upper), (f64::MAX, f64::INFINITY));
        assert_eq!(buckets[4].upper, f64::MAX);
        assert!(buckets[3].upper <= 2f64.powi(-1029), "{buckets:?}");
        assert_eq!(h.reset_hint, ResetHint::Gauge);
    }

    #[test]
    fn many_keys_have_a_lower_schema() {
        let keys = |count: i32| Sketch::from_counts((1..=count).map(|at| (at * 7, 1)).collect());
        assert_eq!(of_sketch(&keys(4_096), 0, 1.0).schema, 8);
        let h = of_sketch(&keys(5_000), 0, 1.0);
        assert_eq!((h.schema, h.count, h.validate()), (5, 5_000.0, Ok(())));
        assert_eq!(h.validate_total(), Ok(()));
        let all = Sketch::from_counts((-262_000..=262_000).map(|key| (key, 1)).collect());
        let h = of_sketch(&all, 0, 1.0);
        assert_eq!((h.count, h.validate()), (524_001.0, Ok(())));
    }

    #[test]
    fn buckets_of_other_histograms_have_middles() {
        let custom = Histogram {
            schema: Histogram::CUSTOM,
            count: 6.4,
            custom_values: vec![-1.0, 3.0],
            positive_spans: vec![barograph_engine::model::Span { offset: 0, length: 3 }],
            positive_buckets: vec![1.0, 2.0, 3.4],
            ..Histogram::default()
        };
        assert_eq!(to_sketch(&custom), (Sketch::of(&[-1.0, 1.0, 1.0, 3.0, 3.0, 3.0]), 0));
        let zero = Histogram { zero_threshold: 0.5, zero_count: 2.0, count: 2.0, ..Histogram::default() };
        assert_eq!(to_sketch(&zero).0, Sketch::of(&[0.0, 0.0]));
    }

    #[test]
    fn values_are_tallied_in_finer_buckets() {
        let mut tally = Tally::default();
        let values = [1.0, 1.1, 777.7, 1e-300, 3e300, f64::MAX];
        values.iter().for_each(|&value| tally.add(value, 2));
        tally.add(0.0, 1);
        tally.add(-5.0, 7);
        let h = tally.finish();
        assert_eq!((h.count, h.zero_count, h.schema, h.validate()), (20.0, 1.0, 8, Ok(())));
        let buckets = ascending(&h);
        assert!(buckets[0].lower <= -5.0 && -5.0 < buckets[0].upper && buckets[0].count == 7.0);
        let mut sorted = values;
        sorted.sort_by(f64::total_cmp);
        for (value, bucket) in sorted.into_iter().zip(&buckets[2..]) {
            assert!(bucket.lower < value && value <= bucket.upper, "{value} {bucket:?}");
            assert!(bucket.upper / bucket.lower < 1.0028, "{bucket:?}");
        }
    }

    proptest! {
        #[test]
        fn sketches_come_back(values in prop::collection::vec(value(), 0..60), nans in 0u64..3) {
            let sketch = Sketch::of(&values);
            let h = of_sketch(&sketch, nans, f64::NAN);
            prop_assert_eq!(h.validate(), Ok(()));
            prop_assert_eq!(to_sketch(&h), (sketch, nans));
        }

        /// A quantile is within the bound of the value at its rank.
        #[test]
        fn quantiles_are_within_the_bound(mut values in prop::collection::vec(-1e6..1e6f64, 1..200), phi in 0.0..=1.0f64) {
            values.sort_by(f64::total_cmp);
            let (found, _) = quantile(phi, &of_sketch(&Sketch::of(&values), 0, values.iter().sum()));
            let rank = phi * values.len() as f64;
            let at = |rank: f64| values[(rank as usize).min(values.len() - 1)];
            let ranks = [at((rank.ceil() - 1.0).max(0.0)), at(rank.floor())];
            let is_close = |value: f64| (found - value).abs() <= RELATIVE_MAX * value.abs();
            prop_assert!(ranks.into_iter().any(is_close), "{found}, {ranks:?}");
        }
    }
}
