//! Native histograms as Prometheus' float-histogram chunks. Integer histograms are sent in this form too, because
//! counts are stored as floats.
//!
//! # Format
//! u16 big-endian count, a byte whose two high bits describe the reset before the chunk (0 unknown, 2 reset, 1 no
//! reset, 3 gauge), then a bit stream:
//! ```text
//! layout         zero threshold (0: byte 0; 2^e: byte e + 244; else byte 255 and 64 bits),
//!                schema, positive spans, negative spans, with schema -53 custom bounds
//! spans          number, then for each length, offset
//! custom bounds  number, then for each: its thousandths plus one where it has no finer
//!                digits and they are at most 33554430 (this begins with a 1), else 0 and
//!                64 bits
//! first sample   time, then 64 bits each: count, zero count, sum, positive, negative buckets
//! second         time delta, the same columns in XOR form
//! others         delta of the delta, the columns in XOR form
//! ```
//! Integers are in the classes of `bits`. All samples of a chunk share one layout, and none
//! but the first follows a reset.

use std::sync::Arc;

use barograph::{Histogram, ResetHint, Span, is_stale};

use crate::remote_read::bits::{Bits, XorColumn};
use crate::remote_read::xor::SAMPLES_MAX;

/// Largest custom bound, in thousandths, that has the short form.
const SHORT_BOUND_MAX: f64 = 33_554_430.0;

/// The number of `samples` that fit into one chunk.
pub fn chunk_len(samples: &[(i64, Arc<Histogram>)]) -> usize {
    let fits = |pair: &[(i64, Arc<Histogram>)]| {
        let (before, after) = (&pair[0].1, &pair[1].1);
        if is_stale(before.sum) || is_stale(after.sum) {
            return false;
        }
        let is_gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
        let carries_on = (is_gauge(before) && is_gauge(after)) || after.continues(before);
        carries_on && same_layout(before, after)
    };
    let more = samples.windows(2).take(SAMPLES_MAX - 1).take_while(|pair| fits(pair)).count();
    samples.len().min(1 + more)
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.custom_values == b.custom_values
}

/// Encodes samples that [`chunk_len`] allows.
pub fn encode(samples: &[(i64, Arc<Histogram>)]) -> Vec<u8> {
    let mut bits = Bits::after((samples.len() as u16).to_be_bytes().to_vec());
    let Some(((first, histogram), rest)) = samples.split_first() else { return bits.into_bytes() };
    bits.push_byte(match histogram.reset_hint {
        ResetHint::Unknown => 0b0000_0000,
        ResetHint::Reset => 0b1000_0000,
        ResetHint::NotReset => 0b0100_0000,
        ResetHint::Gauge => 0b1100_0000,
    });
    push_layout(&mut bits, histogram);
    bits.push_classed_int(*first);
    let mut columns: Vec<XorColumn> =
        values(histogram).map(|value| XorColumn::begin(&mut bits, value)).collect();
    let (mut time, mut delta) = (*first, 0i64);
    for (index, (at, histogram)) in rest.iter().enumerate() {
        let step = at.wrapping_sub(time);
        match index {
            0 => bits.push_classed_uint(step as u64),
            _ => bits.push_classed_int(step.wrapping_sub(delta)),
        }
        (time, delta) = (*at, step);
        for (column, value) in columns.iter_mut().zip(values(histogram)) {
            column.push(&mut bits, value);
        }
    }
    bits.into_bytes()
}

/// The values of a sample; a stale marker has no values but its sum.
fn values(h: &Histogram) -> impl Iterator<Item = f64> + '_ {
    [h.count, h.zero_count, h.sum]
        .into_iter()
        .chain(h.positive_buckets.iter().copied())
        .chain(h.negative_buckets.iter().copied())
}

fn push_layout(bits: &mut Bits, h: &Histogram) {
    push_zero_threshold(bits, h.zero_threshold);
    bits.push_classed_int(i64::from(h.schema));
    push_spans(bits, &h.positive_spans);
    push_spans(bits, &h.negative_spans);
    if h.schema == Histogram::CUSTOM {
        bits.push_classed_uint(h.custom_values.len() as u64);
        h.custom_values.iter().for_each(|bound| push_bound(bits, *bound));
    }
}

/// A power of two between 2^-243 and 2^10, such as the default of 2^-128, fits into its byte.
fn push_zero_threshold(bits: &mut Bits, threshold: f64) {
    if threshold == 0.0 {
        return bits.push_byte(0);
    }
    let raw = threshold.to_bits();
    let is_power_of_two = raw << 12 == 0 && raw >> 63 == 0;
    let exponent = (raw >> 52) as i64 - 1023;
    if is_power_of_two && (-243..=10).contains(&exponent) {
        return bits.push_byte((exponent + 244) as u8);
    }
    bits.push_byte(255);
    bits.push(raw, 64);
}

fn push_spans(bits: &mut Bits, spans: &[Span]) {
    bits.push_classed_uint(spans.len() as u64);
    for span in spans {
        bits.push_classed_uint(u64::from(span.length));
        bits.push_classed_int(i64::from(span.offset));
    }
}

fn push_bound(bits: &mut Bits, bound: f64) {
    let thousandths = bound * 1000.0;
    let is_short = (0.0..=SHORT_BOUND_MAX).contains(&thousandths) && thousandths.round() / 1000.0 == bound;
    if is_short {
        bits.push_classed_uint(thousandths.round() as u64 + 1);
    } else {
        bits.push(0, 1);
        bits.push(bound.to_bits(), 64);
    }
}

#[cfg(test)]
mod tests;
