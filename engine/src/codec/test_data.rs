//! Columns for property tests: typical metrics, and columns that no metric should have.

use proptest::prelude::*;

use crate::model::{Histogram, ResetHint, STALE_NAN_BITS, Span};

/// Bit patterns that are difficult for codecs.
pub const NASTY_BITS: [u64; 16] = [
    STALE_NAN_BITS,
    0x7ff8_0000_0000_0000,
    0x7ff8_0000_0000_0001,
    0xfff8_dead_beef_0001,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x8000_0000_0000_0000,
    0,
    1,
    0x000f_ffff_ffff_ffff,
    0x0010_0000_0000_0000,
    0x7fef_ffff_ffff_ffff,
    0x4340_0000_0000_0001,
    0x4340_0000_0000_0000,
    0x3ff0_0000_0000_0001,
    u64::MAX,
];

/// Compares floats by their bits.
#[track_caller]
pub fn assert_same_bits(found: &[f64], expected: &[f64]) {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(found), bits(expected));
}

/// Floats: arbitrary bits, difficult bits, constants, walks, decimals, counters with resets, and each of these mixed
/// with difficult ones.
pub fn floats(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    let nasty = || prop::sample::select(&NASTY_BITS[..]).prop_map(f64::from_bits);
    let one = prop_oneof![any::<u64>().prop_map(f64::from_bits), nasty(), (-50i32..50).prop_map(f64::from)];
    let plain = prop_oneof![
        prop::collection::vec(one, count.clone()),
        (any::<u64>().prop_map(f64::from_bits), count.clone()).prop_map(|(value, n)| vec![value; n]),
        (prop::collection::vec(-4i64..5, count.clone()), 0u32..6).prop_map(|(steps, digits)| {
            let scale = 10f64.powi(digits as i32);
            walk(&steps).into_iter().map(|k| k as f64 / scale).collect()
        }),
        prop::collection::vec(0u32..5000, count.clone()).prop_map(|steps| {
            let mut total = 0u64;
            let reset = |step: u32| step.is_multiple_of(97);
            let mut next = |step: u32| {
                total = if reset(step) { 0 } else { total + u64::from(step) };
                total as f64
            };
            steps.into_iter().map(&mut next).collect()
        }),
        prop::collection::vec(any::<f64>(), count),
    ];
    (plain, prop::collection::vec((any::<prop::sample::Index>(), nasty()), 0..4)).prop_map(
        |(mut values, strays)| {
            for (at, stray) in strays {
                let at = at.index(values.len());
                values[at] = stray;
            }
            values
        },
    )
}

/// Integers: any, constants, walks of all strides.
pub fn integers(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<i64>> {
    prop_oneof![
        prop::collection::vec(any::<i64>(), count.clone()),
        prop::collection::vec(
            prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), Just(-1), Just(1 << 53)],
            count.clone()
        ),
        (any::<i64>(), count.clone()).prop_map(|(value, n)| vec![value; n]),
        (prop::collection::vec(any::<i64>(), count), 0u32..64).prop_map(|(steps, shift)| walk(
            &steps.into_iter().map(|step| step >> shift).collect::<Vec<_>>()
        )),
    ]
}

/// Strictly ascending timestamps: any, regular, jittered in ns to s, with gaps.
pub fn times(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<i64>> {
    let unit = || prop::sample::select(&[1i64, 1000, 1_000_000, 1_000_000_000][..]);
    prop_oneof![
        prop::collection::btree_set(any::<i64>(), count.clone()).prop_map(|set| set.into_iter().collect()),
        (-1i64 << 40..1 << 40, 1i64..100_000, unit(), count.clone())
            .prop_map(|(first, step, unit, n)| (0..n as i64)
                .map(|i| (first / 1000 + i * step) * unit)
                .collect()),
        (prop::collection::vec((-40i64..40, 0u32..60), count), unit(), 81i64..20_000).prop_map(
            |(jitter, unit, step)| {
                let mut now = 1_700_000_000_000 / unit.min(1000);
                let mut next = |(jitter, gap): (i64, u32)| {
                    now += if gap == 0 { step * 10 } else { step };
                    (now + jitter) * unit
                };
                let mut all: Vec<i64> = jitter.into_iter().map(&mut next).collect();
                all.sort_unstable();
                all.dedup();
                all
            }
        ),
    ]
}

fn walk(steps: &[i64]) -> Vec<i64> {
    let mut at = 0i64;
    steps
        .iter()
        .map(|step| {
            at = at.wrapping_add(*step);
            at
        })
        .collect()
}

/// All fields of a histogram, with floats as bits, so that NaN compares equal.
fn bits_of(h: &Histogram) -> (String, Vec<Vec<u64>>) {
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let layout = format!("{} {:?} {:?} {:?}", h.schema, h.reset_hint, h.positive_spans, h.negative_spans);
    let single = [h.zero_threshold, h.zero_count, h.count, h.sum];
    (layout, [&single[..], &h.positive_buckets, &h.negative_buckets, &h.custom_values].map(bits).to_vec())
}

/// Compares histograms by the bits of their floats.
#[track_caller]
pub fn assert_same_histograms<H: std::borrow::Borrow<Histogram>, I: std::borrow::Borrow<Histogram>>(
    found: &[H],
    expected: &[I],
) {
    let found: Vec<_> = found.iter().map(|h| bits_of(h.borrow())).collect();
    assert_eq!(found, expected.iter().map(|h| bits_of(h.borrow())).collect::<Vec<_>>());
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    let span = |offset| (offset, 0u32..5).prop_map(|(offset, length)| Span { offset, length });
    (span(-9..9), prop::collection::vec(span(0..4), 0..3), any::<bool>()).prop_map(
        |(first, mut rest, is_empty)| {
            rest.insert(0, first);
            if is_empty { Vec::new() } else { rest }
        },
    )
}

/// A layout that a writer may use, without counts.
fn layout() -> impl Strategy<Value = Histogram> {
    let hint = prop::sample::select(
        &[ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge][..],
    );
    let threshold = prop::sample::select(&[0.0, 0.001, 2.0, f64::MIN_POSITIVE][..]);
    let exponential = (-4i32..=8, threshold, spans(), spans()).prop_map(
        |(schema, zero_threshold, positive_spans, negative_spans)| Histogram {
            schema,
            zero_threshold,
            positive_spans,
            negative_spans,
            ..Histogram::default()
        },
    );
    let custom = (prop::collection::btree_set(-50i32..50, 0..6), 0u32..3).prop_map(|(bounds, offset)| {
        let length = (bounds.len() as u32 + 1).saturating_sub(offset);
        Histogram {
            schema: Histogram::CUSTOM,
            custom_values: bounds.into_iter().map(|b| f64::from(b) / 4.0).collect(),
            positive_spans: vec![Span { offset: if length > 0 { offset as i32 } else { 0 }, length }],
            ..Histogram::default()
        }
    });
    (prop_oneof![3 => exponential, 1 => custom], hint)
        .prop_map(|(layout, reset_hint)| Histogram { reset_hint, ..layout })
}

fn count() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0u32..5000).prop_map(f64::from),
        1 => (0u64..1 << 54).prop_map(|v| v as f64),
        1 => (0u32..500).prop_map(|v| f64::from(v) / 3.0),
        1 => prop::sample::select(&[0.0, -0.0, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE][..]),
    ]
}

/// One histogram of `layout`: whole counts or any.
fn filled(layout: Histogram) -> impl Strategy<Value = Histogram> {
    let buckets = |spans: &[Span]| spans.iter().map(|s| s.length as usize).sum::<usize>();
    let (positive, negative) = (buckets(&layout.positive_spans), buckets(&layout.negative_spans));
    let counts = move |n: usize| {
        prop_oneof![
            3 => prop::collection::vec((0u32..5000).prop_map(f64::from), n),
            1 => prop::collection::vec(count(), n),
        ]
    };
    let sum = prop_oneof![
        3 => any::<f64>(),
        1 => prop::sample::select(&NASTY_BITS[..]).prop_map(f64::from_bits),
    ];
    (counts(positive), counts(negative), counts(2), sum).prop_map(move |(positive, negative, both, sum)| {
        let zero_count = if layout.schema == Histogram::CUSTOM { 0.0 } else { both[1] };
        Histogram {
            count: both[0],
            zero_count,
            sum,
            positive_buckets: positive,
            negative_buckets: negative,
            ..layout.clone()
        }
    })
}

/// Valid histograms of a few layouts that come and go.
pub fn histograms(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Histogram>> {
    prop::collection::vec(layout(), 1..4).prop_flat_map(move |layouts| {
        let one = prop::sample::select(layouts).prop_flat_map(filled);
        prop::collection::vec(one, count.clone())
    })
}

/// One valid histogram.
pub fn histogram() -> impl Strategy<Value = Histogram> {
    layout().prop_flat_map(filled)
}
