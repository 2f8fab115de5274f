//! Histograms as senders write them, and as enemies do.

use proptest::prelude::*;

use super::*;
use crate::remote::wire::{put_any_double, put_bytes, put_double, put_integer, put_message, put_zigzag};

/// An integer histogram as client libraries send it: two spans, deltas.
fn integer() -> Vec<u8> {
    let mut out = Vec::new();
    put_integer(&mut out, 1, 12);
    put_double(&mut out, 3, 18.4);
    put_zigzag(&mut out, 4, 1);
    put_double(&mut out, 5, 0.001);
    put_integer(&mut out, 6, 2);
    for (offset, length) in [(0, 2), (1, 2)] {
        put_message(&mut out, 11, |out| {
            put_zigzag(out, 1, offset);
            put_integer(out, 2, length);
        });
    }
    put_bytes(&mut out, 12, &[6, 0, 1, 0]);
    put_integer(&mut out, 14, 2);
    put_integer(&mut out, 15, 1000);
    out
}

fn decoded(bytes: &[u8]) -> WireHistogram {
    decode(Fields::new(bytes)).unwrap()
}

#[test]
fn deltas_become_counts() {
    let wire = decoded(&integer());
    assert_eq!((wire.timestamp_ms, wire.start_ms, wire.is_float), (1000, 0, false));
    let h = &wire.histogram;
    assert_eq!((h.count, h.sum, h.schema, h.zero_count), (12.0, 18.4, 1, 2.0));
    assert_eq!(h.positive_spans, [Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }]);
    assert_eq!(h.positive_buckets, [3.0, 3.0, 2.0, 2.0]);
    assert_eq!(h.reset_hint, ResetHint::NotReset);
    assert_eq!(wire.check(), Ok(()));
}

#[test]
fn the_float_form_round_trips() {
    let wire = decoded(&integer());
    let mut out = Vec::new();
    encode(&mut out, &wire.histogram, 1000);
    let again = decoded(&out);
    assert!(again.is_float);
    assert_eq!(again.histogram, wire.histogram);
    assert_eq!(again.check(), Ok(()));
    let zero = Histogram { reset_hint: ResetHint::Gauge, ..Histogram::default() };
    let mut out = Vec::new();
    encode(&mut out, &zero, 0);
    assert!(decoded(&out).is_float, "a count of 0 still says that it is a float");
    assert_eq!(decoded(&out).histogram, zero);
}

fn fault(change: impl FnOnce(&mut WireHistogram)) -> String {
    let mut wire = decoded(&integer());
    change(&mut wire);
    wire.check().unwrap_err().to_string()
}

#[test]
fn values_that_do_not_fit_are_reported() {
    assert_eq!(fault(|w| w.histogram.schema = 9), "schema 9 is neither -4 to 8 nor -53");
    assert_eq!(fault(|w| w.histogram.count = 11.0), "the buckets hold 12 observations, the count is 11");
    assert_eq!(
        fault(|w| w.histogram.positive_buckets.push(0.0)),
        "positive spans hold 4 buckets, but there are 5 counts"
    );
    let mut float = decoded(&integer());
    (float.is_float, float.histogram.count) = (true, 11.5);
    assert_eq!(float.check(), Ok(()), "floats round");
}

#[test]
fn nan_observations_lie_in_no_bucket() {
    let mut wire = decoded(&integer());
    (wire.histogram.sum, wire.histogram.count) = (f64::NAN, 13.0);
    assert_eq!(wire.check(), Ok(()));
    wire.histogram.count = 11.0;
    assert!(wire.check().is_err());
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..96)) {
        if let Ok(wire) = decode(Fields::new(&bytes)) {
            let _ = wire.check();
            let mut out = Vec::new();
            encode(&mut out, &wire.histogram, wire.timestamp_ms);
            let again = decode(Fields::new(&out)).unwrap();
            prop_assert_eq!(again.histogram.positive_buckets.len(), wire.histogram.positive_buckets.len());
        }
    }

    #[test]
    fn huge_deltas_and_lengths_do_not_panic(deltas in proptest::collection::vec(any::<u64>(), 0..6), length: u32, offset: i32) {
        let mut out = integer();
        for delta in deltas {
            put_integer(&mut out, 9, delta);
        }
        put_message(&mut out, 8, |out| {
            put_zigzag(out, 1, i64::from(offset));
            put_integer(out, 2, u64::from(length));
        });
        put_any_double(&mut out, 7, 1.0);
        let _ = decoded(&out).check();
    }
}
