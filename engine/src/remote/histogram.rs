//! Native histograms on the wire: from bucket deltas to counts, checked, and back.
//!
//! # Format
//! ```text
//! 1 count (varint) | 2 count (double)        9 negative deltas (sint64, packed)
//! 3 sum            4 schema (sint32)        10 negative counts (double, packed)
//! 5 zero threshold                          11, 12, 13 the same for positive buckets
//! 6 zero count (varint) | 7 (double)        14 reset hint   15 time, ms
//! 8 negative spans                          16 custom bounds   17 start time, ms (version 2)
//! span: 1 offset (sint32), 2 length
//! ```
//! Integer histograms (field 1) count in deltas: each bucket is the difference from the previous one, and the first is
//! absolute. Float histograms (field 2) have absolute counts.

mod resolution;

use crate::codec::varint::unzigzag;
use crate::model::{Histogram, HistogramError, ResetHint, Span};
use crate::remote::wire::{self, Fields, WireError};

/// A histogram with its times, as sent; not yet checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WireHistogram {
    /// The histogram, counts absolute.
    pub histogram: Histogram,
    /// Whether its counts are floats; integer counts must add up exactly.
    pub is_float: bool,
    /// Its time.
    pub timestamp_ms: i64,
    /// When its counting began, milliseconds; 0 if unknown.
    pub start_ms: i64,
}

/// One side of zero while it is read: deltas and counts may both be present.
#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<f64>,
    total: i64,
    counts: Vec<f64>,
}

/// Appends to a list. Each byte of the request adds eight bytes to it, so it stops one item past the maximum, which
/// causes the histogram to be refused.
fn push<T>(list: &mut Vec<T>, item: T, max: usize) {
    if list.len() <= max {
        list.push(item);
    }
}

impl Side {
    fn push_delta(&mut self, delta: u64) {
        self.total = self.total.wrapping_add(unzigzag(delta));
        push(&mut self.deltas, self.total as f64, Histogram::BUCKETS_MAX);
    }

    fn push_count(&mut self, count: f64) {
        push(&mut self.counts, count, Histogram::BUCKETS_MAX);
    }

    fn push_span(&mut self, span: Span) {
        push(&mut self.spans, span, Histogram::SPANS_MAX);
    }

    fn finish(self, is_float: bool) -> (Vec<Span>, Vec<f64>) {
        (self.spans, if is_float { self.counts } else { self.deltas })
    }
}

/// Reads one histogram message.
///
/// # Errors
/// The message is broken.
pub fn decode(fields: Fields<'_>) -> Result<WireHistogram, WireError> {
    let mut read = WireHistogram::default();
    let (mut negative, mut positive) = (Side::default(), Side::default());
    for field in fields {
        let field = field?;
        let h = &mut read.histogram;
        match field.number {
            1 => (read.is_float, h.count) = (false, field.varint()? as f64),
            2 => (read.is_float, h.count) = (true, field.double()?),
            3 => h.sum = field.double()?,
            4 => h.schema = unzigzag(field.varint()?) as i32,
            5 => h.zero_threshold = field.double()?,
            6 => h.zero_count = field.varint()? as f64,
            7 => h.zero_count = field.double()?,
            8 => negative.push_span(span(field.message()?)?),
            9 => field.varints(|delta| negative.push_delta(delta))?,
            10 => field.doubles(|count| negative.push_count(count))?,
            11 => positive.push_span(span(field.message()?)?),
            12 => field.varints(|delta| positive.push_delta(delta))?,
            13 => field.doubles(|count| positive.push_count(count))?,
            14 => h.reset_hint = hint(field.varint()?),
            15 => read.timestamp_ms = field.varint()? as i64,
            16 => field.doubles(|bound| push(&mut h.custom_values, bound, Histogram::BUCKETS_MAX))?,
            17 => read.start_ms = field.varint()? as i64,
            _ => {}
        }
    }
    let h = &mut read.histogram;
    (h.negative_spans, h.negative_buckets) = negative.finish(read.is_float);
    (h.positive_spans, h.positive_buckets) = positive.finish(read.is_float);
    Ok(read)
}

fn span(fields: Fields<'_>) -> Result<Span, WireError> {
    let mut span = Span { offset: 0, length: 0 };
    for field in fields {
        let field = field?;
        match field.number {
            1 => span.offset = unzigzag(field.varint()?) as i32,
            2 => span.length = field.varint()? as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// A hint added by a later version counts as unknown.
fn hint(code: u64) -> ResetHint {
    match code {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

impl WireHistogram {
    /// Checks the rules for histograms, and for integer counts also that they add up.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(&self) -> Result<(), HistogramError> {
        self.histogram.validate()?;
        if self.is_float { Ok(()) } else { self.histogram.validate_total() }
    }

    /// The histogram as it is stored: checked, and no finer than the finest stored schema.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn into_stored(mut self) -> Result<Histogram, HistogramError> {
        resolution::coarsen(&mut self.histogram)?;
        self.check()?;
        Ok(self.histogram)
    }
}

/// Appends the fields of a histogram in the float form, which can represent every histogram.
pub fn encode(out: &mut Vec<u8>, h: &Histogram, timestamp_ms: i64) {
    // The member of a `oneof` determines the form, so it is written even when it is 0.
    wire::put_any_double(out, 2, h.count);
    wire::put_double(out, 3, h.sum);
    wire::put_zigzag(out, 4, i64::from(h.schema));
    wire::put_double(out, 5, h.zero_threshold);
    wire::put_any_double(out, 7, h.zero_count);
    put_spans(out, 8, &h.negative_spans);
    wire::put_doubles(out, 10, &h.negative_buckets);
    put_spans(out, 11, &h.positive_spans);
    wire::put_doubles(out, 13, &h.positive_buckets);
    let hint = match h.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    };
    wire::put_integer(out, 14, hint);
    wire::put_integer(out, 15, timestamp_ms as u64);
    wire::put_doubles(out, 16, &h.custom_values);
}

fn put_spans(out: &mut Vec<u8>, number: u32, spans: &[Span]) {
    for span in spans {
        wire::put_message(out, number, |out| {
            wire::put_zigzag(out, 1, i64::from(span.offset));
            wire::put_integer(out, 2, u64::from(span.length));
        });
    }
}

#[cfg(test)]
mod tests;
