//! Series to fold, and exact arithmetic to compare with.

use proptest::prelude::*;

use super::{Bucket, Builder, Edge, Extras};
use crate::model::STALE_NAN_BITS;

/// A sum of floats as one long integer, in units of 2^-1074.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fixed {
    /// Digits of 32 bits, the lowest first, with carries not yet propagated.
    digits: Vec<i64>,
}

const DIGITS: usize = 72;

impl Fixed {
    pub fn of(values: &[f64]) -> Self {
        let mut sum = Fixed { digits: vec![0; DIGITS] };
        values.iter().for_each(|&value| sum.add(value));
        sum
    }

    fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let mantissa = bits & ((1 << 52) - 1) | u64::from(exponent > 0) << 52;
        let shift = exponent.max(1) - 1;
        let wide = u128::from(mantissa) << (shift % 32);
        for (i, digit) in self.digits[shift / 32..].iter_mut().take(3).enumerate() {
            let part = (wide >> (32 * i)) as u32;
            *digit += if value < 0.0 { -i64::from(part) } else { i64::from(part) };
        }
        self.carry();
    }

    fn carry(&mut self) {
        let mut carry = 0;
        for digit in &mut self.digits[..DIGITS - 1] {
            let sum = *digit + carry;
            *digit = sum.rem_euclid(1 << 32);
            carry = sum.div_euclid(1 << 32);
        }
        self.digits[DIGITS - 1] += carry;
    }

    /// The nearest float, ties to even.
    pub fn rounded(&self) -> f64 {
        let is_negative = self.digits[DIGITS - 1] < 0;
        let mut magnitude = self.clone();
        if is_negative {
            magnitude.digits.iter_mut().for_each(|digit| *digit = -*digit);
            magnitude.carry();
        }
        let bit = |i: usize| magnitude.digits[i / 32] >> (i % 32) & 1 == 1;
        let Some(top) = (0..DIGITS * 32).rev().find(|&i| bit(i)) else { return 0.0 };
        let low = top.saturating_sub(52);
        let mut mantissa = (low..=top).rev().fold(0u64, |all, i| all << 1 | u64::from(bit(i)));
        let half = low > 0 && bit(low - 1);
        let below = low > 1 && (0..low - 1).any(bit);
        mantissa += u64::from(half && (below || mantissa & 1 == 1));
        // The leading bit adds one to the exponent.
        let bits = ((low as u64) << 52) + mantissa;
        f64::from_bits(bits | u64::from(is_negative) << 63)
    }
}

/// Samples of one series, in time order: time, value, start timestamp.
pub type Series = Vec<(i64, f64, i64)>;

/// The width of fine buckets in tests; coarse ones are [`COARSE`] of them wide.
pub const WIDTH: i64 = 60;
pub const COARSE: i64 = 6;

fn values(count: usize) -> impl Strategy<Value = Vec<f64>> {
    let steps = || prop::collection::vec(-3i64..4, count);
    let walk = |steps: &[i64], from: i64| -> Vec<i64> {
        let mut at = from;
        let next = |step: &i64| {
            at += step;
            at
        };
        steps.iter().map(next).collect()
    };
    let counter = |steps: Vec<u32>, scale: f64| {
        let mut total = 0.0;
        let next = |step: u32| {
            total = if step.is_multiple_of(13) { 0.0 } else { total + f64::from(step) * scale };
            total
        };
        steps.into_iter().map(next).collect::<Vec<f64>>()
    };
    let rare = prop::sample::select(
        &[
            STALE_NAN_BITS,
            STALE_NAN_BITS,
            0x7ff8_0000_0000_0000,
            0xfff8_dead_beef_0001,
            0x7ff0_0000_0000_0000,
            0xfff0_0000_0000_0000,
            0x8000_0000_0000_0000,
            0,
            1,
            0x7fef_ffff_ffff_ffff,
        ][..],
    );
    let cancels = &[1e200, -1e200, 1e100, -1e100, 1.0, -1.0, 0.1, 1e-300][..];
    let plain = prop_oneof![
        3 => (steps(), -20i64..20).prop_map(move |(steps, from)| {
            walk(&steps, from).into_iter().map(|k| k as f64).collect::<Vec<_>>()
        }),
        2 => (steps(), -20i64..20, 1i32..4).prop_map(move |(steps, from, digits)| {
            walk(&steps, from).into_iter().map(|k| k as f64 / 10f64.powi(digits)).collect()
        }),
        1 => (steps(), 0i64..50).prop_map(move |(steps, from)| {
            walk(&steps, from).into_iter().map(|pages| (pages * 4096) as f64).collect()
        }),
        1 => (steps(), 53u32..62).prop_map(move |(steps, bits)| {
            walk(&steps, 1 << bits).into_iter().map(|k| k as f64).collect()
        }),
        2 => (prop::collection::vec(0u32..200, count), prop::sample::select(&[1.0, 0.37][..]))
            .prop_map(move |(steps, scale)| counter(steps, scale)),
        2 => prop::collection::vec(prop::sample::select(cancels), count),
        1 => prop::collection::vec((-1e3..1e3f64, 0u32..2).prop_map(|(v, e)| 1e9 * f64::from(e) + v), count),
        1 => any::<f64>().prop_map(move |value| vec![value; count]),
        1 => prop::collection::vec(any::<u64>().prop_map(f64::from_bits), count),
    ];
    let strays = prop::collection::vec((any::<prop::sample::Index>(), rare), 0..6);
    (plain, prop_oneof![1 => Just(Vec::new()), 1 => strays]).prop_map(|(mut values, strays)| {
        for (at, bits) in strays {
            let at = at.index(values.len());
            values[at] = f64::from_bits(bits);
        }
        values
    })
}

/// Ascending times. In half of the cases they divide the width, so that samples are on the bounds of buckets.
fn times(count: usize) -> impl Strategy<Value = Vec<i64>> {
    let grid = prop::sample::select(&[5i64, 10, 15, 20, 30, 60][..]);
    prop_oneof![
        (grid, -3i64..40, prop::collection::vec(0u32..30, count)).prop_map(|(step, from, skips)| {
            let mut at = from * WIDTH;
            let next = |skip: u32| {
                at += step * i64::from(if skip == 0 { 9 } else { 1 });
                at
            };
            skips.into_iter().map(next).collect()
        }),
        (prop::collection::vec(1i64..40, count), -500i64..500).prop_map(|(gaps, from)| {
            let mut at = from;
            let next = |gap: i64| {
                at += gap;
                at
            };
            gaps.into_iter().map(next).collect()
        }),
    ]
}

/// Start timestamps as writers send them (constant, new after a reset, one for each interval), and any.
fn starts(times: &[i64], kind: u8, seeds: &[u8]) -> Vec<i64> {
    let mut start = times.first().map_or(1, |time| time - 7);
    let start_of = |(i, (&time, &seed)): (usize, (&i64, &u8))| match kind {
        0 => 0,
        1 => {
            if seed < 20 && i > 0 {
                start = times[i - 1] + i64::from(seed % 3);
            }
            start
        }
        2 => times[i.saturating_sub(1)],
        _ => time - 30 + i64::from(seed / 4),
    };
    times.iter().zip(seeds).enumerate().map(start_of).collect()
}

/// Up to `most` samples of one series of any kind.
pub fn series(most: usize) -> impl Strategy<Value = Series> {
    (1..=most).prop_flat_map(|count| {
        let seeds = prop::collection::vec(any::<u8>(), count);
        (times(count), values(count), prop_oneof![2 => Just(0u8), 3 => 1u8..4], seeds).prop_map(
            |(times, values, kind, seeds)| {
                let starts = starts(&times, kind, &seeds);
                times.into_iter().zip(values).zip(starts).map(|((t, v), s)| (t, v, s)).collect()
            },
        )
    })
}

/// The buckets of a series, which is passed in chunks that end at `cuts`.
pub fn built_in_chunks(series: &[(i64, f64, i64)], width: i64, cuts: &[usize]) -> Vec<Bucket> {
    let mut out = Vec::new();
    let mut builder = Builder::new(width, Extras::ALL);
    let mut at = 0;
    for &cut in cuts.iter().chain([&series.len()]).filter(|cut| **cut <= series.len()) {
        let part = &series[at..cut.max(at)];
        at = cut.max(at);
        let times: Vec<i64> = part.iter().map(|sample| sample.0).collect();
        let values: Vec<f64> = part.iter().map(|sample| sample.1).collect();
        let starts: Vec<i64> = part.iter().map(|sample| sample.2).collect();
        let has_starts = starts.iter().any(|&start| start != 0);
        builder.extend(&times, &values, if has_starts { &starts } else { &[] }, &mut out);
    }
    builder.finish(&mut out);
    out
}

/// The buckets of a series.
pub fn built(series: &[(i64, f64, i64)], width: i64) -> Vec<Bucket> {
    built_in_chunks(series, width, &[])
}

/// The columns in which two buckets differ in any bit.
pub fn differences(a: &Bucket, b: &Bucket) -> Vec<&'static str> {
    let edge = |edge: &Edge| (edge.time, edge.value.to_bits(), edge.start);
    let columns = [
        ("end", a.end == b.end),
        ("count", a.count == b.count),
        ("first", edge(&a.first) == edge(&b.first)),
        ("last", edge(&a.last) == edge(&b.last)),
        ("nans", a.nans == b.nans),
        ("markers", a.markers == b.markers),
        ("ended", a.ended == b.ended),
        ("overlap", a.overlap == b.overlap),
        ("histograms", a.has_histograms == b.has_histograms),
        ("omitted", a.omitted == b.omitted),
        ("lost", a.lost.same_bits(&b.lost)),
        ("resets", a.resets == b.resets),
        ("changes", a.changes == b.changes),
        ("sum", a.sum.same_bits(&b.sum)),
        ("m2", a.m2.to_bits() == b.m2.to_bits()),
        ("min", a.min.to_bits() == b.min.to_bits()),
        ("max", a.max.to_bits() == b.max.to_bits()),
        ("gaps", a.gaps == b.gaps),
        ("step", a.step.to_bits() == b.step.to_bits()),
        ("sketch", a.sketch == b.sketch),
    ];
    columns.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

/// Whether two values of `m2` agree within 2^-50, or as subnormal squares do.
pub fn m2_agrees(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a - b).abs() <= 2f64.powi(-50) * a.abs().max(b.abs()) + 1e-315
}
