//! Chunks of histograms, read back by a reader that shares no code with the writer.

use proptest::prelude::*;

use super::*;
use crate::remote_read::xor::tests::{BitReader, XorReader, hex};

fn class(bits: &mut BitReader<'_>) -> u32 {
    [0, 3, 6, 9, 12, 18, 25, 56, 64][bits.ones(8) as usize]
}

fn int(bits: &mut BitReader<'_>) -> i64 {
    match class(bits) {
        0 => 0,
        width => bits.signed(width),
    }
}

fn uint(bits: &mut BitReader<'_>) -> u64 {
    match class(bits) {
        0 => 0,
        width => bits.take(width),
    }
}

fn spans(bits: &mut BitReader<'_>) -> Vec<Span> {
    (0..uint(bits))
        .map(|_| (uint(bits) as u32, int(bits) as i32))
        .map(|(length, offset)| Span { offset, length })
        .collect()
}

fn layout(bits: &mut BitReader<'_>) -> Histogram {
    let zero_threshold = match bits.take(8) {
        0 => 0.0,
        255 => f64::from_bits(bits.take(64)),
        byte => 2f64.powi(byte as i32 - 244),
    };
    let schema = int(bits) as i32;
    let (positive_spans, negative_spans) = (spans(bits), spans(bits));
    let mut custom_values = Vec::new();
    if schema == Histogram::CUSTOM {
        custom_values.extend((0..uint(bits)).map(|_| match uint(bits) {
            0 => f64::from_bits(bits.take(64)),
            thousandths => (thousandths - 1) as f64 / 1000.0,
        }));
    }
    Histogram {
        zero_threshold,
        schema,
        positive_spans,
        negative_spans,
        custom_values,
        ..Histogram::default()
    }
}

fn decode(bytes: &[u8]) -> Vec<(i64, Histogram)> {
    let count = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let hint = [ResetHint::Unknown, ResetHint::NotReset, ResetHint::Reset, ResetHint::Gauge]
        [usize::from(bytes[2] >> 6)];
    let mut bits = BitReader { bytes: &bytes[3..], at: 0 };
    let layout = layout(&mut bits);
    let filled = |spans: &[Span]| spans.iter().map(|s| s.length as usize).sum::<usize>();
    let (positive, negative) = (filled(&layout.positive_spans), filled(&layout.negative_spans));
    let (mut time, mut delta) = (0i64, 0i64);
    let mut columns: Vec<XorReader> = (0..3 + positive + negative).map(|_| XorReader::default()).collect();
    let mut found = Vec::new();
    for index in 0..count {
        match index {
            0 => time = int(&mut bits),
            1 => delta = uint(&mut bits) as i64,
            _ => delta += int(&mut bits),
        }
        time += delta;
        let row: Vec<f64> = columns
            .iter_mut()
            .map(|column| {
                if index == 0 {
                    column.value = bits.take(64);
                    f64::from_bits(column.value)
                } else {
                    column.next(&mut bits)
                }
            })
            .collect();
        found.push((
            time,
            Histogram {
                count: row[0],
                zero_count: row[1],
                sum: row[2],
                positive_buckets: row[3..3 + positive].to_vec(),
                negative_buckets: row[3 + positive..].to_vec(),
                reset_hint: hint,
                ..layout.clone()
            },
        ));
    }
    found
}

fn histogram(scale: f64) -> Histogram {
    Histogram {
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        zero_count: scale,
        count: 7.0 * scale,
        sum: 1.5 * scale,
        positive_spans: vec![Span { offset: -4, length: 2 }, Span { offset: 300, length: 1 }],
        positive_buckets: vec![scale, 2.0 * scale, scale],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_buckets: vec![2.0 * scale],
        ..Histogram::default()
    }
}

fn timed(histograms: &[Histogram]) -> Vec<(i64, Arc<Histogram>)> {
    (0..)
        .zip(histograms)
        .map(|(i, h)| (1_700_000_000_000 + i * 15_000 + i * i, Arc::new(h.clone())))
        .collect()
}

fn assert_round_trip(samples: &[(i64, Arc<Histogram>)]) {
    assert_eq!(chunk_len(samples), samples.len());
    let found = decode(&encode(samples));
    let expected: Vec<(i64, Histogram)> = samples.iter().map(|(t, h)| (*t, (**h).clone())).collect();
    assert_eq!(found, expected);
}

#[test]
fn chunks_read_back() {
    assert_round_trip(&timed(&[1.0, 2.0, 2.0, 3.5, 1e9].map(histogram)));
    for zero_threshold in [0.0, 1.0, 0.001, 2f64.powi(10), 2f64.powi(11), 2f64.powi(-243), 2f64.powi(-244)] {
        assert_round_trip(&timed(&[1.0, 2.0].map(|s| Histogram { zero_threshold, ..histogram(s) })));
    }
    let gauge = |scale| Histogram { reset_hint: ResetHint::Gauge, ..histogram(scale) };
    assert_round_trip(&timed(&[5.0, 1.0, 3.0].map(gauge)));
    let custom = |scale| Histogram {
        schema: Histogram::CUSTOM,
        custom_values: vec![-1.0, 0.0, 0.005, 0.1, 2.5, 0.123_456, 33_554.43, 33_554.431, 1e300],
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_buckets: vec![scale; 3],
        negative_spans: vec![],
        negative_buckets: vec![],
        ..histogram(scale)
    };
    assert_round_trip(&timed(&[1.0, 2.0].map(custom)));
}

/// A chunk that Prometheus 2.42 streamed for the same samples.
#[test]
fn the_bytes_are_those_of_prometheus() {
    let samples: Vec<(i64, Arc<Histogram>)> = (0..8i64)
        .map(|i| {
            let n = (i + 1) as f64;
            let histogram = Histogram {
                schema: 1,
                zero_threshold: 2f64.powi(-128),
                zero_count: n,
                count: 5.0 * n,
                sum: 12.5 * n,
                positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
                positive_buckets: vec![1.5 * n, 2.25 * n, 0.25 * n],
                negative_spans: vec![Span { offset: -3, length: 1 }],
                negative_buckets: vec![n / 3.0],
                ..Histogram::default()
            };
            (1_795_712_196_000 + i * 1000 + i * i % 7, Arc::new(histogram))
        })
        .collect();
    let streamed = "\
            000800748ca48c631aff0000d10c64ced0200a0000000000001ff800000000000020148000000000\
            001ffc00000000000020010000000000001fe80000000000001feaaaaaaaaaaaaaf8fa7505e12fff\
            eb0784bfffac1ea0bd4172d81dd80f493efd626ec127603d7ad555555555555777ac4dd6170be5d4\
            373ac2e2aaaaaaaaaaaacb609bb41c198f6893b41cffffffffffffe94fb02e3b6a13f60bbd81787f\
            fff5555555555557bbd247fced1b9da1f9330002aaaaaaaaaaab9417a84fd83e7d826eb1bbc26fff\
            e000ffffffffffffc0";
    assert_eq!(hex(&encode(&samples)), streamed);
}

#[test]
fn a_chunk_ends_where_the_layout_or_the_counting_does() {
    let cut_after = |second: Histogram| chunk_len(&timed(&[histogram(2.0), second, histogram(4.0)]));
    assert_eq!(cut_after(histogram(3.0)), 3);
    assert_eq!(cut_after(histogram(1.0)), 1, "counts fell");
    assert_eq!(cut_after(Histogram { schema: 2, ..histogram(3.0) }), 1);
    let wider = Histogram {
        negative_spans: vec![Span { offset: 0, length: 2 }],
        negative_buckets: vec![6.0, 1.0],
        ..histogram(3.0)
    };
    assert_eq!(cut_after(wider), 1, "another layout");
    let stale = f64::from_bits(barograph::STALE_NAN_BITS);
    assert_eq!(cut_after(Histogram { sum: stale, ..histogram(3.0) }), 1);
    assert_eq!(chunk_len(&timed(&vec![histogram(1.0); 500])), SAMPLES_MAX);
}

proptest! {
    #[test]
    fn any_counts_read_back(scales in proptest::collection::vec(0.0f64..1e12, 1..40), step in 1i64..100_000_000) {
        let mut total = 0.0;
        let samples: Vec<(i64, Arc<Histogram>)> = (0..)
            .zip(scales)
            .map(|(i, scale)| {
                total += scale;
                (i * step + i * i * 7, Arc::new(histogram(total)))
            })
            .collect();
        let found = decode(&encode(&samples));
        prop_assert_eq!(found.len(), samples.len());
        for (found, expected) in found.iter().zip(&samples) {
            prop_assert_eq!((found.0, &found.1), (expected.0, &*expected.1));
        }
    }
}
