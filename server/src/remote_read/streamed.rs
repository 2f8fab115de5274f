//! The response form that streams chunks in frames.

use std::sync::Arc;

use barograph::internals::Samples;
use barograph::internals::remote::wire;
use barograph::{Histogram, Labels};

use crate::json::Sink;
use crate::remote_read::bits::crc32c;
use crate::remote_read::{Reading, float_histogram, put_labels, readings, xor};

/// Bytes of chunks at which a frame ends, so that it fits into a piece of a stream. Clients accept up to 50 MB.
const FRAME_BYTES: usize = 48 << 10;

const XOR: u64 = 1;
const FLOAT_HISTOGRAM: u64 = 3;

/// Appends the frames of one series, which may be several.
///
/// # Errors
/// The errors of the sink.
pub fn put_series<S: Sink>(
    sink: &mut S,
    query: usize,
    labels: &Labels,
    samples: &Samples,
) -> Result<(), S::Error> {
    let mut send = |chunks: &mut Vec<u8>| {
        let room = chunks.len() + labels.as_bytes().len() + 16 * labels.len() + 64;
        sink.put(room, |out| put_frame(out, query, labels, chunks))?;
        chunks.clear();
        Ok(())
    };
    let mut readings = readings(samples);
    let (mut next, mut chunks) = (Vec::with_capacity(xor::SAMPLES_MAX), Vec::new());
    loop {
        next.extend(readings.by_ref().take(xor::SAMPLES_MAX - next.len()));
        if next.is_empty() {
            break;
        }
        let count = put_chunk(&mut chunks, &next);
        next.drain(..count);
        if chunks.len() >= FRAME_BYTES {
            send(&mut chunks)?;
        }
    }
    if chunks.is_empty() { Ok(()) } else { send(&mut chunks) }
}

/// Appends a chunk with the first readings. Returns how many it contains.
fn put_chunk(out: &mut Vec<u8>, readings: &[(i64, Reading)]) -> usize {
    let floats: Vec<(i64, f64)> = readings
        .iter()
        .take(xor::SAMPLES_MAX)
        .map_while(|(t, reading)| match reading {
            Reading::Float(value) => Some((*t, *value)),
            Reading::Histogram(_) => None,
        })
        .collect();
    let (count, kind, data) = if floats.is_empty() {
        let histograms: Vec<(i64, Arc<Histogram>)> = readings
            .iter()
            .take(xor::SAMPLES_MAX)
            .map_while(|(t, reading)| match reading {
                Reading::Histogram(histogram) => Some((*t, histogram.clone())),
                Reading::Float(_) => None,
            })
            .collect();
        let count = float_histogram::chunk_len(&histograms);
        (count, FLOAT_HISTOGRAM, float_histogram::encode(&histograms[..count]))
    } else {
        (floats.len(), XOR, xor::encode(&floats))
    };
    wire::put_message(out, 2, |out| {
        wire::put_integer(out, 1, readings[0].0 as u64);
        wire::put_integer(out, 2, readings[count - 1].0 as u64);
        wire::put_integer(out, 3, kind);
        wire::put_bytes(out, 4, &data);
    });
    count
}

fn put_frame(out: &mut Vec<u8>, query: usize, labels: &Labels, chunks: &[u8]) {
    let mut message = Vec::with_capacity(chunks.len() + labels.as_bytes().len() + 64);
    wire::put_message(&mut message, 1, |out| {
        put_labels(out, labels);
        out.extend_from_slice(chunks);
    });
    wire::put_integer(&mut message, 2, query as u64);
    wire::put_varint(out, message.len() as u64);
    out.extend_from_slice(&crc32c(&message).to_be_bytes());
    out.extend_from_slice(&message);
}
