//! Remote read: the requests of a Prometheus that reads from another storage, and the two forms of an answer.
//!
//! ```text
//! request.rs      ReadRequest -> queries           xor.rs              floats -> XOR chunks
//! sampled.rs      series -> ReadResponse           float_histogram.rs  histograms -> chunks
//! streamed.rs     series -> ChunkedReadResponse    bits.rs             bit streams, checksum
//! ```
//! This module contains no socket code; `api/prometheus/remote_read.rs` serves the requests.
//!
//! # Format
//! ```text
//! ReadRequest   1 queries   2 accepted forms (0 sampled, 1 streamed)
//! query         1 start ms  2 end ms, both included  3 matchers  4 hints (unused)
//! matcher       1 type (0 =, 1 !=, 2 =~, 3 !~)  2 name  3 value
//! ReadResponse  1 results;  result 1 series;  series 1 labels  2 samples  4 histograms
//! ChunkedReadResponse  1 series (1 labels  2 chunks)  2 index of the query
//! chunk         1 first ms  2 last ms  3 type (1 XOR, 3 float histogram)  4 data
//! frame         varint length, CRC-32C u32 big-endian, ChunkedReadResponse
//! ```

pub mod bits;
pub mod float_histogram;
pub mod request;
pub mod sampled;
pub mod streamed;
pub mod xor;

use barograph::internals::Samples;
use barograph::internals::remote::wire;
use barograph::{Histogram, Labels};
use std::sync::Arc;

/// The value of a sample.
#[derive(Debug, Clone)]
pub enum Reading {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// The samples of a series by whole milliseconds. Of several samples within one millisecond, the last one is kept,
/// because the protocol cannot distinguish them.
pub fn readings(samples: &Samples) -> impl Iterator<Item = (i64, Reading)> {
    let mut histograms = samples.histograms.iter().peekable();
    let ms = |index: usize| samples.timestamps.get(index).map(|timestamp| timestamp.div_euclid(1_000_000));
    samples.values.iter().enumerate().filter_map(move |(index, value)| {
        let histogram = histograms.next_if(|(at, _)| *at as usize == index);
        let at = ms(index).filter(|&at| ms(index + 1) != Some(at))?;
        let reading = match histogram {
            Some((_, histogram)) => Reading::Histogram(histogram.clone()),
            None => Reading::Float(*value),
        };
        Some((at, reading))
    })
}

fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    for (name, value) in labels {
        wire::put_message(out, 1, |out| {
            wire::put_bytes(out, 1, name.as_bytes());
            wire::put_bytes(out, 2, value.as_bytes());
        });
    }
}
