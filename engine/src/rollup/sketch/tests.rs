//! Keys, merges and ranks.

use proptest::prelude::*;

use super::*;

/// Floats of every kind but NaN, with many from few keys.
pub(super) fn values() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        any::<u64>().prop_map(f64::from_bits),
        (-300i32..300).prop_map(f64::from),
        (-1e3f64..1e3),
        (0u64..1 << 47).prop_map(f64::from_bits),
        Just(0.0),
        Just(-0.0),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
    ]
    .prop_filter("NaN has no key", |value| !value.is_nan())
}

#[test]
fn golden_keys() {
    assert_eq!(key(0.0), 0);
    assert_eq!(key(-0.0), 0);
    assert_eq!(key(5e-324), 1);
    assert_eq!(key(1.0), 130_945);
    assert_eq!(key(-1.0), -130_945);
    assert_eq!(key(2.0), 130_945 + 128);
    assert_eq!(key(f64::MAX), 262_016);
    assert_eq!(key(f64::INFINITY), 262_017);
    assert_eq!(bounds(130_945), (1.0, 1.0 + 2f64.powi(-7) - f64::EPSILON));
    assert_eq!(representative(130_945), 1.0 + 2f64.powi(-8));
    assert_eq!(bounds(1), (5e-324, f64::from_bits((1 << 45) - 1)));
    assert_eq!(bounds(262_016).1, f64::MAX);
    assert_eq!(bounds(-262_017), (f64::NEG_INFINITY, f64::NEG_INFINITY));
    assert_eq!(bounds(i32::MIN), (f64::NEG_INFINITY, f64::NEG_INFINITY));
}

#[test]
fn nan_is_left_out() {
    let sketch = Sketch::of(&[f64::NAN, 1.0, -f64::NAN, 1.0, -0.0, 0.0]);
    assert_eq!(sketch.entries(), [(0, 2), (130_945, 2)]);
    assert_eq!(Sketch::of(&[f64::NAN]), Sketch::default());
}

proptest! {
    #[test]
    fn a_key_bounds_its_values(value in values()) {
        let (least, greatest) = bounds(key(value));
        prop_assert!(least <= value && value <= greatest, "{least} {value} {greatest}");
        prop_assert_eq!((key(least), key(greatest)), (key(value), key(value)));
        let middle = representative(key(value));
        prop_assert!(least <= middle && middle <= greatest);
        prop_assert_eq!(middle, -representative(-key(value)));
        if value.is_finite() {
            let error = (middle - value).abs();
            let bound = (value.abs() * 2f64.powi(-8)).max(2f64.powi(-1030));
            prop_assert!(error <= bound, "{value} is represented by {middle}");
        } else {
            prop_assert_eq!(middle, value);
        }
    }

    #[test]
    fn keys_ascend_with_values(a in values(), b in values()) {
        if a <= b {
            prop_assert!(key(a) <= key(b));
        }
        if key(a) < key(b) {
            prop_assert!(bounds(key(a)).1 < bounds(key(b)).0);
        }
    }

    #[test]
    fn merging_is_sketching_all(
        parts in prop::collection::vec(prop::collection::vec(values(), 0..40), 0..6), backwards in any::<bool>(),
    ) {
        let all: Vec<f64> = parts.iter().flatten().copied().collect();
        let mut sketches: Vec<Sketch> = parts.iter().map(|part| Sketch::of(part)).collect();
        if backwards {
            sketches.reverse();
        }
        let mut merged = Sketch::default();
        sketches.iter().for_each(|sketch| merged.merge(sketch));
        prop_assert_eq!(merged.count(), all.len() as u64);
        prop_assert!(merged.entries().is_sorted_by(|a, b| a.0 < b.0) && merged.entries().iter().all(|entry| entry.1 > 0));
        let counts = sketches.iter().flat_map(|sketch| sketch.entries().iter().copied()).collect();
        prop_assert_eq!(&Sketch::from_counts(counts), &merged);
        prop_assert_eq!(merged, Sketch::of(&all));
    }

    #[test]
    fn ranks_count_values(values in prop::collection::vec(values(), 0..60), x in values()) {
        let (below, same) = Sketch::of(&values).rank(x);
        prop_assert_eq!(below, values.iter().filter(|&&value| key(value) < key(x)).count() as u64);
        prop_assert_eq!(same, values.iter().filter(|&&value| key(value) == key(x)).count() as u64);
    }
}

/// The quantile of `values` as PromQL defines it, and the larger magnitude of its two neighbours.
fn quantile_of(values: &[f64], phi: f64) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let rank = phi * (sorted.len() as f64 - 1.0);
    let (lower, weight) = (rank.floor() as usize, rank - rank.floor());
    let upper = (lower + 1).min(sorted.len() - 1);
    (sorted[lower] * (1.0 - weight) + sorted[upper] * weight, sorted[lower].abs().max(sorted[upper].abs()))
}

pub(super) fn extremes_of(values: &[f64]) -> Extremes {
    let numbers = values.iter().copied().filter(|value| !value.is_nan());
    Extremes {
        min: numbers.clone().fold(f64::INFINITY, f64::min),
        max: numbers.fold(f64::NEG_INFINITY, f64::max),
    }
}

#[test]
fn quantiles_without_an_answer() {
    let none = Extremes { min: f64::NAN, max: f64::NAN };
    let one = Extremes { min: 3.0, max: 3.0 };
    let sketch = Sketch::of(&[3.0]);
    assert!(Sketch::default().quantile(0.5, none, 0).value.is_nan());
    assert!(Sketch::default().quantile(0.5, none, 2).value.is_nan());
    assert!(sketch.quantile(f64::NAN, one, 0).value.is_nan());
    assert_eq!(sketch.quantile(-0.1, one, 0).value, f64::NEG_INFINITY);
    assert_eq!(sketch.quantile(1.1, one, 0).value, f64::INFINITY);
    assert_eq!(sketch.quantile(1.0, one, 5), Quantile { lo: 3.0, value: 3.0, hi: 3.0 });
    assert!(sketch.quantile(0.9, one, 5).value.is_nan());
}

#[test]
fn the_extremes_are_exact() {
    let values = [0.1, 0.2, 0.3, 77.7];
    let sketch = Sketch::of(&values);
    assert_eq!(sketch.quantile(0.0, extremes_of(&values), 0).value, 0.1);
    assert_eq!(sketch.quantile(1.0, extremes_of(&values), 0).value, 77.7);
    assert!(sketch.quantile(1.0, extremes_of(&values), 0).is_exact());
    assert!(!sketch.quantile(0.5, extremes_of(&values), 0).is_exact());
}

proptest! {
    #[test]
    fn quantiles_are_within_their_bounds(
        mut values in prop::collection::vec(values(), 1..80), nans in 0usize..4, phi in 0.0f64..=1.0, k in 0usize..80,
    ) {
        values.extend(std::iter::repeat_n(f64::NAN, nans));
        let last = values.len() - 1;
        let sketch = Sketch::of(&values);
        for phi in [phi, 0.0, 1.0, k.min(last) as f64 / last.max(1) as f64] {
            let (truth, neighbour) = quantile_of(&values, phi);
            let quantile = sketch.quantile(phi, extremes_of(&values), nans as u64);
            prop_assert_eq!(truth.is_nan(), quantile.value.is_nan());
            if truth.is_nan() {
                prop_assert!(quantile.lo.is_nan() && quantile.hi.is_nan());
                continue;
            }
            prop_assert!(quantile.lo <= truth && truth <= quantile.hi, "{} in {:?}", truth, quantile);
            prop_assert!(quantile.lo <= quantile.value && quantile.value <= quantile.hi, "{:?}", quantile);
            if truth.is_finite() {
                let bound = neighbour * 2f64.powi(-8) * (1.0 + 2f64.powi(-50)) + 2f64.powi(-1030);
                prop_assert!((quantile.value - truth).abs() <= bound, "{} is {:?}", truth, quantile);
            }
        }
    }
}

/// HdrHistogram with two significant digits divides integers as keys do, from 128 on.
#[test]
fn the_layout_is_that_of_hdr_histogram() {
    let mut histogram = hdrhistogram::Histogram::<u64>::new_with_bounds(1, u64::MAX >> 1, 2).unwrap();
    let mut state = 1u64;
    let integers: Vec<u64> = (0..20_000)
        .map(|i| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11 >> (i % 46)).max(128)
        })
        .collect();
    integers.iter().for_each(|&integer| histogram.record(integer).unwrap());
    let floats: Vec<f64> = integers.iter().map(|&integer| integer as f64).collect();
    let sketch = Sketch::of(&floats);
    let buckets: Vec<_> = histogram
        .iter_recorded()
        .map(|bucket| {
            (histogram.lowest_equivalent(bucket.value_iterated_to()) as f64, bucket.count_at_value())
        })
        .collect();
    let keys: Vec<_> = sketch.entries().iter().map(|&(key, count)| (bounds(key).0, count)).collect();
    assert_eq!(keys, buckets);
    for phi in [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
        // The crate answers with an element, so ranks between two elements are left out.
        let rank = (phi * (integers.len() as f64 - 1.0)).floor();
        let exact = rank / (integers.len() as f64 - 1.0);
        let quantile = sketch.quantile(exact, extremes_of(&floats), 0);
        let element = histogram.value_at_quantile((rank + 1.0) / integers.len() as f64);
        let (least, greatest) = (histogram.lowest_equivalent(element), histogram.highest_equivalent(element));
        assert!(
            least as f64 <= quantile.hi && quantile.lo <= greatest as f64,
            "{phi}: {quantile:?}, {element}"
        );
    }
}
