//! The response form with all samples in one message.

use barograph::Labels;
use barograph::internals::Samples;
use barograph::internals::remote::{histogram, wire};

use crate::remote_read::{Reading, put_labels, readings};

/// An upper estimate of the bytes that [`put_series`] writes.
pub fn room(labels: &Labels, samples: &Samples) -> usize {
    const SAMPLE: usize = 24;
    const BUCKET: usize = 20;
    let buckets: usize = samples
        .histograms
        .iter()
        .map(|(_, h)| {
            4 + h.positive_buckets.len()
                + h.negative_buckets.len()
                + h.positive_spans.len()
                + h.negative_spans.len()
        })
        .sum();
    labels.as_bytes().len() + 16 * labels.len() + SAMPLE * samples.len() + BUCKET * buckets + 32
}

/// Appends one series to a result.
pub fn put_series(out: &mut Vec<u8>, labels: &Labels, samples: &Samples) {
    wire::put_message(out, 1, |out| {
        put_labels(out, labels);
        for (timestamp_ms, reading) in readings(samples) {
            match reading {
                Reading::Float(value) => wire::put_message(out, 2, |out| {
                    wire::put_double(out, 1, value);
                    wire::put_integer(out, 2, timestamp_ms as u64);
                }),
                Reading::Histogram(h) => {
                    wire::put_message(out, 4, |out| histogram::encode(out, &h, timestamp_ms));
                }
            }
        }
    });
}

/// Appends the result of a query.
pub fn put_result(out: &mut Vec<u8>, result: &[u8]) {
    wire::put_bytes(out, 1, result);
}
