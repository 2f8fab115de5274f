//! The tier that the compactor chooses.

use super::aging::{Aged, DAY, Ladder};
use crate::Batch;
use crate::engine::tests::{SECOND, YEAR_2024, labels};
use crate::model::{Histogram, Span, TimeRange, Value};

fn aged(retention_days: u64) -> Aged {
    Aged::new(&Ladder { retention_days, tiers: "auto", raw_from: 0, from: &[] })
}

/// Appends days of samples with a distance, and compacts after each.
fn days(aged: &mut Aged, days: std::ops::Range<i64>, seconds: i64) {
    for day in days {
        let start = YEAR_2024 + day * DAY;
        for series in 0..3 {
            aged.append(series, (start..start + DAY).step_by((seconds * SECOND) as usize));
        }
        aged.skip(1);
        aged.engine.flush().unwrap();
        aged.engine.compact().unwrap();
    }
}

fn chosen(aged: &Aged) -> Vec<&'static str> {
    aged.engine.tiers().iter().map(|tier| tier.resolution.name()).collect()
}

#[test]
fn the_narrowest_tier_that_is_worth_its_bytes_is_built() {
    for (seconds, expected) in [(20, "1h"), (300, "6h"), (900, "1d")] {
        let mut aged = aged(0);
        days(&mut aged, 0..30, seconds);
        assert_eq!(chosen(&aged), [expected], "each {seconds} s");
        let [tier] = &aged.engine.tiers()[..] else { panic!("one tier") };
        let raw = aged.engine.stats().stored_chunk_bytes - tier.bytes;
        // A chunk of few buckets takes more for each, until it is merged with others.
        let at_most = if tier.buckets < 100 { raw / 2 } else { raw / 3 };
        assert!(tier.buckets > 0 && tier.bytes < at_most, "{} of {raw} bytes", tier.bytes);
        aged.check(expected, TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 30 * DAY));
    }
}

#[test]
fn native_histograms_are_measured_too() {
    let mut aged = aged(0);
    let mut counts = vec![0.0; 10];
    for day in 0..4 {
        let mut batch = Batch::new();
        for minute in day * 1440..(day + 1) * 1440 {
            // Without a pattern that chunks could use.
            let noise =
                |at: usize| (minute as u64 * 10 + at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
            counts.iter_mut().enumerate().for_each(|(at, count)| *count += noise(at) as f64);
            let histogram = Histogram {
                count: counts.iter().sum(),
                positive_spans: vec![Span { offset: 0, length: 10 }],
                positive_buckets: counts.clone(),
                ..Histogram::default()
            };
            let time = YEAR_2024 + minute * 60 * SECOND;
            batch.push(&labels(0), time, Value::Histogram(histogram.into()));
        }
        aged.engine.append(&batch).unwrap();
        aged.skip(1);
        aged.engine.flush().unwrap();
        aged.engine.compact().unwrap();
    }
    assert_eq!(chosen(&aged), ["1h"]);
    let [tier] = &aged.engine.tiers()[..] else { panic!("one tier") };
    let raw = aged.engine.stats().stored_chunk_bytes - tier.bytes;
    assert!(tier.buckets > 0 && tier.bytes < raw / 4, "{} of {raw} bytes", tier.bytes);
}

#[test]
fn no_tier_is_built_where_none_is_worth_it_and_one_that_was_begun_goes_on() {
    let mut aged = aged(0);
    days(&mut aged, 0..9, 7_200);
    assert!(chosen(&aged).is_empty(), "a day has twelve samples");
    days(&mut aged, 9..20, 20);
    let begun = chosen(&aged);
    assert_eq!(begun.len(), 1);
    days(&mut aged, 20..40, 7_200);
    assert_eq!(chosen(&aged), begun);
    let complete = aged.engine.tiers()[0].complete.unwrap();
    assert!(complete.1.as_nanos() >= YEAR_2024 + 38 * DAY, "{complete:?}");
    aged.check(begun[0], TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 40 * DAY));
}

#[test]
fn it_is_kept_as_long_as_raw_samples() {
    let mut aged = aged(10);
    days(&mut aged, 0..25, 20);
    let tier = aged.engine.tiers()[0].clone();
    assert_eq!(tier.keep.unwrap().as_secs(), 10 * 86_400);
    // Weeks are dropped as a whole.
    let from = tier.complete.unwrap().0.as_nanos();
    assert!((YEAR_2024 + 7 * DAY..=YEAR_2024 + 15 * DAY).contains(&from), "{tier:?}");
    assert!(aged.engine.view().raw_from() > YEAR_2024 + 13 * DAY);
}

#[test]
fn a_tier_that_was_named_keeps_its_history() {
    let mut aged = Aged::new(&Ladder { retention_days: 10, tiers: "1h", raw_from: 0, from: &[] });
    days(&mut aged, 0..30, 300);
    aged.engine.set_tiers("auto".parse().unwrap()).unwrap();
    days(&mut aged, 30..45, 20);
    assert!(aged.engine.view().raw_from() > YEAR_2024 + 33 * DAY);
    let tiers = aged.engine.tiers();
    assert_eq!((tiers.len(), tiers[0].keep), (1, None), "neither extended nor dropped");
    assert!(tiers[0].complete.unwrap().0.as_nanos() < YEAR_2024);
    aged.check("1h", TimeRange::new(YEAR_2024 - DAY, YEAR_2024 + 28 * DAY));
}
