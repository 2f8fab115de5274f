//! `histogram_over_time`: the same histograms from buckets as from samples, and bounds where a window cuts buckets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use barograph_engine::model::{Histogram, Labels, Value};
use proptest::prelude::*;

use super::tiers::{S, WIDTHS, series, source_of};
use crate::histogram::bounds::ascending;
use crate::histogram::sketched::RELATIVE_MAX;
use crate::source::MemorySource;
use crate::{Limits, QueryValue, Request, Response, SampleValue, TierChoice, execute};

/// The histograms by labels and time.
fn histograms(response: Response) -> BTreeMap<(String, i64), Arc<Histogram>> {
    let QueryValue::Matrix(matrix) = response.value else { panic!("{:?}", response.value) };
    let of_series = |series: crate::MatrixSeries| {
        assert!(series.floats_ms.is_empty());
        let labels = series.labels.to_string();
        series.histograms_ms.into_iter().map(move |(t, h)| ((labels.clone(), t), h))
    };
    matrix.into_iter().flat_map(of_series).collect()
}

fn histogram(response: &Response) -> Option<Arc<Histogram>> {
    let QueryValue::Vector(vector) = &response.value else { panic!("{:?}", response.value) };
    vector.first().map(|sample| match &sample.value {
        SampleValue::Histogram(h) => Arc::clone(h),
        SampleValue::Float(v) => panic!("{v}"),
    })
}

fn number(source: &MemorySource, query: &str, at_ms: i64) -> Option<f64> {
    let response = execute(source, &Request::instant_ms(query, at_ms)).unwrap();
    let QueryValue::Vector(vector) = response.value else { panic!("{:?}", response.value) };
    vector.first().and_then(|sample| sample.value.as_f64())
}

/// The same buckets; the sums may differ by rounding.
fn is_same(a: &Histogram, b: &Histogram) -> bool {
    let close = a.sum == b.sum
        || (a.sum.is_nan() && b.sum.is_nan())
        || (a.sum - b.sum).abs() <= 2.0 * f64::EPSILON * a.sum.abs();
    close && (Histogram { sum: 0.0, ..a.clone() }) == Histogram { sum: 0.0, ..b.clone() }
}

/// A source with a series for each list of values.
fn source_with(all: &[Vec<f64>]) -> MemorySource {
    let mut source = MemorySource::new();
    for (i, values) in all.iter().enumerate() {
        let labels = Labels::from_pairs([("__name__", "m"), ("i", i.to_string().as_str())]).unwrap();
        for (at, value) in values.iter().enumerate() {
            source.insert(&labels, (at as i64 + 1) * 15 * S, Value::Float(*value), 0);
        }
    }
    source
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn histograms_from_buckets_are_those_of_samples(
        samples in series(),
        width in prop::sample::select(WIDTHS.to_vec()),
        (window, step, first) in (1i64..8, 1i64..5, -20i64..10),
        unaligned in prop_oneof![3 => Just(0i64), 1 => 1i64..60_000],
    ) {
        let source = source_of(&samples);
        let query = format!("histogram_over_time(m_total[{}s])", window * width);
        let (start, step) = (first * width * 1000 + unaligned, step * width * 1000);
        let request = Request::range_ms(query.as_str(), start, start + 12 * step, step);
        let raw = execute(&source, &Request { tier: TierChoice::Raw, ..request.clone() }).unwrap();
        let tiers = execute(&source, &request).unwrap();
        prop_assert!(tiers.accuracy.is_none_or(|accuracy| accuracy.exact));
        let (raw, tiers) = (histograms(raw), histograms(tiers));
        prop_assert!(raw.keys().eq(tiers.keys()));
        for (a, b) in raw.values().zip(tiers.values()) {
            prop_assert!(is_same(a, b), "{a:?}\n{b:?}");
        }
        let read = request.usage.buckets_decoded();
        prop_assert!(unaligned > 0 || read > 0 || raw.is_empty());
    }

    /// No count of a cut window is off by more than the answer says, from whichever end it is counted.
    #[test]
    fn estimated_histograms_are_within_their_bounds(
        samples in series(),
        width in prop::sample::select(WIDTHS.to_vec()),
        (window, time) in (1i64..3_000, -900i64..2_000),
    ) {
        let source = source_of(&samples);
        let query = format!("histogram_over_time(m_total[{window}s])");
        let request = Request::instant_ms(query.as_str(), time * 1000);
        let raw = execute(&source, &Request { tier: TierChoice::Raw, ..request.clone() }).unwrap();
        let raw = histogram(&raw);
        let tier = TierChoice::Width(Duration::from_secs(width as u64));
        let response = match execute(&source, &Request { tier, ..request }) {
            Ok(response) => response,
            Err(error) => {
                prop_assert!(error.to_string().contains("no sound answer"), "{error}");
                return Ok(());
            }
        };
        let (found, accuracy) = (histogram(&response), response.accuracy);
        let (Some(raw), Some(found)) = (&raw, &found) else {
            prop_assert!(raw.is_none());
            prop_assert!(found.is_none() || accuracy.unwrap().may_be_absent);
            return Ok(());
        };
        let accuracy = accuracy.unwrap();
        if accuracy.exact {
            prop_assert!(is_same(raw, found));
            return Ok(());
        }
        let absolute = accuracy.absolute.unwrap();
        let mut counts: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
        // Keys in the order of floats.
        let place = |v: f64| (v.to_bits() as i64 ^ (((v.to_bits() as i64) >> 63) as u64 >> 1) as i64) as u64 ^ 1 << 63;
        ascending(raw).iter().for_each(|b| counts.entry(place(b.upper)).or_default().0 += b.count);
        ascending(found).iter().for_each(|b| counts.entry(place(b.upper)).or_default().1 += b.count);
        let mut sums = (0.0, 0.0);
        for (a, b) in counts.into_values() {
            sums = (sums.0 + a, sums.1 + b);
            prop_assert!((a - b).abs() <= absolute, "{a} {b} {absolute}");
            prop_assert!((sums.0 - sums.1).abs() <= absolute, "{sums:?} {absolute}");
        }
        prop_assert!((raw.count - found.count).abs() <= absolute);
        if let Some(relative) = accuracy.relative {
            prop_assert!((raw.count - found.count).abs() <= relative * found.count);
            prop_assert!((raw.sum - found.sum).abs() <= relative * found.sum.abs() || raw.sum == found.sum);
        }
    }

    /// A quantile over all values of several series is within the bound of the value at its rank, from buckets too.
    #[test]
    fn quantiles_of_several_series_are_those_of_all_their_values(
        all in prop::collection::vec(prop::collection::vec(-1e4..1e4f64, 1..120), 1..6),
        phi in 0.0..=1.0f64,
        width in prop::sample::select(vec![0i64, 60, 300]),
    ) {
        let mut source = source_with(&all);
        if width > 0 {
            source.set_tiers(&[width * S]);
        }
        let query = format!("histogram_quantile({phi}, sum(histogram_over_time(m[30m])))");
        let found = number(&source, &query, 1_800_000).unwrap();
        let mut values: Vec<f64> = all.concat();
        values.sort_by(f64::total_cmp);
        let rank = phi * values.len() as f64;
        let at = |rank: f64| values[(rank.max(0.0) as usize).min(values.len() - 1)];
        let is_close = |value: f64| (found - value).abs() <= RELATIVE_MAX * value.abs();
        prop_assert!(is_close(at(rank.ceil() - 1.0)) || is_close(at(rank.floor())), "{found}");
    }
}

/// A quantile of instant values needs no distribution: the newest values of buckets are those of the samples.
#[test]
fn quantiles_of_newest_values_are_exact_from_buckets() {
    let all: Vec<Vec<f64>> =
        (0..7).map(|i| (0..960).map(|at| f64::from(at * at % (97 + i))).collect()).collect();
    let mut source = source_with(&all);
    source.set_tiers(&[300 * S]);
    for query in ["quantile(0.3, m)", "quantile by (i) (0.9, m)", "quantile(0.5, last_over_time(m[5m]))"] {
        let request = Request::range_ms(query, 300_000, 14_100_000, 300_000);
        let raw = execute(&source, &Request { tier: TierChoice::Raw, ..request.clone() }).unwrap();
        let tiers = execute(&source, &request).unwrap();
        assert_eq!(raw.value, tiers.value, "{query}");
        assert!(tiers.accuracy.is_some_and(|accuracy| accuracy.exact), "{query}");
        assert!(request.usage.buckets_decoded() >= 7 * 40, "{query}");
    }
}

#[test]
fn bounds_are_those_of_what_is_asked() {
    let mut source = source_with(&[(0..960).map(f64::from).collect(), (0..960).map(f64::from).collect()]);
    source.set_tiers(&[300 * S]);
    let tier = TierChoice::Width(Duration::from_secs(300));
    let ask = |query: &str| {
        execute(&source, &Request { tier, ..Request::instant_ms(query, 7_200_000 + 60_000) }).unwrap()
    };
    let one = ask("histogram_over_time(m{i=\"0\"}[1h])").accuracy.unwrap();
    // A fifth of 20 samples is inside, and their distances tell that it is four.
    assert_eq!((one.exact, one.may_be_absent), (false, false));
    assert!(one.absolute.is_some_and(|bound| (3.0..30.0).contains(&bound)), "{one:?}");
    assert!(one.relative.is_some_and(|bound| (0.01..0.2).contains(&bound)), "{one:?}");
    let both = ask("sum(histogram_over_time(m[1h]))").accuracy.unwrap();
    assert!((both.absolute.unwrap() - 2.0 * one.absolute.unwrap()).abs() < 1e-9, "{both:?}");
    assert_eq!(both.relative, None, "no share of a histogram is known");
    let quantile = ask("histogram_quantile(0.9, histogram_over_time(m[1h]))").accuracy.unwrap();
    assert_eq!((quantile.exact, quantile.absolute, quantile.relative), (false, None, None));
}

/// Each histogram is held while it is made: a window may have as many buckets as samples.
#[test]
fn histograms_are_held_one_by_one() {
    let values = (0..5_000).map(|at| 1.0057f64.powi(at)).collect();
    let mut source = source_with(&[values]);
    for widths in [&[][..], &[60 * S]] {
        source.set_tiers(widths);
        let mut request = Request::range_ms("histogram_over_time(m[20h])", 72_000_000, 75_000_000, 60_000);
        request.limits = Limits { memory_max: 2 << 20, ..Limits::default() };
        let error = execute(&source, &request).unwrap_err().to_string();
        assert!(error.contains("memory"), "{error}");
        assert!(request.usage.bytes_peak() <= 2 << 20);
    }
}

/// What values are counted with is as large as the values themselves if each has a key of its own.
#[test]
fn keys_are_held_too() {
    let peak = |growth: f64, widths: &[i64]| {
        let values = (0..5_000).map(|at| growth.powi(at)).collect();
        let mut source = source_with(&[values]);
        source.set_tiers(widths);
        let request = Request::instant_ms("histogram_count(histogram_over_time(m[20h]))", 75_000_000);
        execute(&source, &request).unwrap();
        request.usage.bytes_peak()
    };
    // A bucket of the histogram for each, and a count in the map; the sketches of a tier have some more.
    for (widths, each) in [(&[][..], 8 + 12), (&[60 * S], 8 + 12 + 40)] {
        let (few, many) = (peak(1.0, widths), peak(1.0057, widths));
        let needed = 5_000 * each;
        assert!(many > few + needed, "{many} bytes, {few} with one key");
    }
}
