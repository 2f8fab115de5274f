//! Keys, merges and ranks.

use proptest::prelude::*;

use super::*;

/// Floats of every kind but NaN, with many from few keys.
fn values() -> impl Strategy<Value = f64> {
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
