//! The form of a batch in the WAL.
//!
//! # Format
//! Payloads by record kind; varints are LEB128, "signed" ones zigzag. The WAL's own frame
//! carries length, checksum and sequence.
//!
//! ```text
//! 1 samples   varint definitions, then for each: varint id, varint length, labels
//!             varint samples, then for each:
//!               u8 header: bits 0-2 value form, bit 3 same time, bit 4 next id, bit 5 started
//!               [signed varint: id minus the id before]            unless bit 4 (then +1)
//!               [signed varint: time minus the time before, ns]    unless bit 3
//!               [signed varint: start minus the start before, ns]  with bit 5, else unknown
//!               value: form 0 eight bytes of a float, little-endian
//!                      form 1 signed varint, a float that is this integer
//!                      form 2 signed varint, an integer
//!                      form 3 a histogram, the next of the record's (codec/histogram.rs)
//! 2 delete    a tombstone as in the catalogue
//! 3 events    varint events, then for each: varint length, labels, time i64 LE,
//!             varint length, text
//! 4 metadata  varint entries, then for each: varint length, family, type u8,
//!             varint length, help, varint length, unit; behind the family of a tenant's
//!             writer NUL, the label of tenants, NUL, the tenant
//! 5 exemplars varint exemplars, then for each: varint length, the series' labels,
//!             time i64 LE, value f64 LE, varint length, the exemplar's labels
//! 6 databases varint names, then for each: varint length, the name of a database that was created
//! 7 dropped   the same of databases whose names were taken away again
//! ```
//! Id, time and start before the first sample are 0; differences wrap. The samples of one scrape or one line are mostly
//! "next id, same time", so a small integer costs two bytes. The counters of one process mostly began at the same time,
//! so a start costs one more. Builds from before histograms and start timestamps refuse a record that has them.

use std::sync::Arc;

mod notes;

pub use notes::{encode_databases, encode_exemplars, encode_metadata};

use crate::chunk::run::as_integer;
use crate::codec::histogram::{HistogramReader, HistogramWriter};
use crate::codec::varint;
use crate::head::Event;
use crate::model::{Labels, Timestamp, Value};

/// Record kind of samples.
pub const KIND_SAMPLES: u8 = 1;
/// Record kind of a delete.
pub const KIND_DELETE: u8 = 2;
/// Record kind of events.
pub const KIND_EVENTS: u8 = 3;
/// Record kind of metadata.
pub const KIND_METADATA: u8 = 4;
/// Record kind of exemplars.
pub const KIND_EXEMPLARS: u8 = 5;
/// Record kind of created databases.
pub const KIND_DATABASES: u8 = 6;
/// Record kind of created databases that were dropped.
pub const KIND_DROPPED: u8 = 7;

const FORM_FLOAT: u8 = 0;
const FORM_INTEGRAL_FLOAT: u8 = 1;
const FORM_INT: u8 = 2;
const FORM_HISTOGRAM: u8 = 3;
const FORM_MASK: u8 = 7;
const SAME_TIME: u8 = 1 << 3;
const NEXT_ID: u8 = 1 << 4;
const STARTED: u8 = 1 << 5;

/// Writes the sample part of a payload, one sample at a time.
#[derive(Debug, Default)]
pub struct SampleEncoder {
    id: u64,
    timestamp: Timestamp,
    start: Timestamp,
    histograms: HistogramWriter,
}

impl SampleEncoder {
    /// Appends one sample; a start timestamp of 0 is unknown.
    pub fn push(
        &mut self,
        out: &mut Vec<u8>,
        id: u64,
        timestamp: Timestamp,
        start: Timestamp,
        value: &Value,
    ) {
        let at = out.len();
        out.push(0);
        let mut header = 0;
        if id == self.id.wrapping_add(1) {
            header |= NEXT_ID;
        } else {
            varint::write(out, zigzag(id.wrapping_sub(self.id) as i64));
        }
        if timestamp == self.timestamp {
            header |= SAME_TIME;
        } else {
            varint::write(out, zigzag(timestamp.wrapping_sub(self.timestamp)));
        }
        (self.id, self.timestamp) = (id, timestamp);
        if start != 0 {
            header |= STARTED;
            varint::write(out, zigzag(start.wrapping_sub(self.start)));
            self.start = start;
        }
        match value {
            Value::Int(v) => {
                header |= FORM_INT;
                varint::write(out, zigzag(*v));
            }
            // Beyond 2^48 the varint is not shorter than the float.
            Value::Float(v) => match as_integer(*v).filter(|i| i.unsigned_abs() < 1 << 48) {
                Some(integer) => {
                    header |= FORM_INTEGRAL_FLOAT;
                    varint::write(out, zigzag(integer));
                }
                None => out.extend_from_slice(&v.to_bits().to_le_bytes()),
            },
            Value::Histogram(histogram) => {
                header |= FORM_HISTOGRAM;
                self.histograms.write(histogram, out);
            }
        }
        out[at] = header;
    }
}

/// Appends the definition of a series.
pub fn push_definition(out: &mut Vec<u8>, id: u64, labels: &Labels) {
    varint::write(out, id);
    push_bytes(out, labels.as_bytes());
}

/// Encodes events.
pub fn encode_events(events: &[Event], out: &mut Vec<u8>) {
    varint::write(out, events.len() as u64);
    for event in events {
        push_bytes(out, event.labels.as_bytes());
        out.extend_from_slice(&event.timestamp.as_nanos().to_le_bytes());
        push_bytes(out, event.text.as_bytes());
    }
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::write(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

fn unzigzag(v: u64) -> i64 {
    ((v >> 1) as i64) ^ -((v & 1) as i64)
}

/// Reads payloads.
#[derive(Debug)]
pub struct RecordReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> RecordReader<'a> {
    /// A reader of one payload.
    pub fn new(bytes: &'a [u8]) -> Self {
        RecordReader { bytes, position: 0 }
    }

    fn varint(&mut self) -> Option<u64> {
        varint::read(self.bytes, &mut self.position).ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.position.checked_add(length)?;
        let taken = self.bytes.get(self.position..end)?;
        self.position = end;
        Some(taken)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }

    fn is_at_end(&self) -> bool {
        self.position == self.bytes.len()
    }

    /// Reads a samples payload. Calls `define` with each definition, and `sample` with the id, timestamp, start
    /// timestamp (0 is unknown) and value of each sample. `None` if the payload is malformed; the calls made before
    /// then remain in effect.
    pub fn samples(
        mut self,
        mut define: impl FnMut(u64, Labels),
        mut sample: impl FnMut(u64, Timestamp, Timestamp, Value) -> Option<()>,
    ) -> Option<()> {
        for _ in 0..self.varint()? {
            let id = self.varint()?;
            define(id, Labels::from_bytes(self.text()?).ok()?);
        }
        let (mut id, mut timestamp, mut started) = (0u64, 0i64, 0i64);
        let mut histograms = HistogramReader::default();
        for _ in 0..self.varint()? {
            let header = *self.take(1)?.first()?;
            if header & !(FORM_MASK | SAME_TIME | NEXT_ID | STARTED) != 0 {
                return None;
            }
            let step = if header & NEXT_ID != 0 { 1 } else { unzigzag(self.varint()?) };
            id = id.wrapping_add(step as u64);
            if header & SAME_TIME == 0 {
                timestamp = timestamp.wrapping_add(unzigzag(self.varint()?));
            }
            let mut start = 0;
            if header & STARTED != 0 {
                started = started.wrapping_add(unzigzag(self.varint()?));
                start = started;
            }
            let value = match header & FORM_MASK {
                FORM_FLOAT => {
                    Value::Float(f64::from_bits(u64::from_le_bytes(self.take(8)?.try_into().ok()?)))
                }
                FORM_INTEGRAL_FLOAT => Value::Float(unzigzag(self.varint()?) as f64),
                FORM_INT => Value::Int(unzigzag(self.varint()?)),
                FORM_HISTOGRAM => {
                    Value::Histogram(Arc::new(histograms.read(self.bytes, &mut self.position).ok()?))
                }
                _ => return None,
            };
            sample(id, timestamp, start, value)?;
        }
        (self.position == self.bytes.len()).then_some(())
    }

    /// Reads an events payload. `None` if it is malformed.
    pub fn events(mut self, mut event: impl FnMut(Event)) -> Option<()> {
        for _ in 0..self.varint()? {
            let labels = Labels::from_bytes(self.text()?).ok()?;
            let timestamp = i64::from_le_bytes(self.take(8)?.try_into().ok()?);
            let text = String::from_utf8(self.text()?.to_vec()).ok()?;
            event(Event { labels, timestamp: crate::Timestamp::from_nanos(timestamp), text });
        }
        (self.position == self.bytes.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::test_data::histogram;
    use crate::model::Histogram;
    use proptest::prelude::*;

    type Sample = (u64, i64, i64, Value);

    fn payload(samples: &[Sample]) -> Vec<u8> {
        let mut out = Vec::new();
        varint::write(&mut out, 1);
        push_definition(&mut out, 7, &Labels::from_pairs([("__name__", "up")]).unwrap());
        varint::write(&mut out, samples.len() as u64);
        let mut encoder = SampleEncoder::default();
        for (id, t, start, value) in samples {
            encoder.push(&mut out, *id, *t, *start, value);
        }
        out
    }

    fn read(bytes: &[u8]) -> Option<Vec<Sample>> {
        let mut got = Vec::new();
        RecordReader::new(bytes).samples(
            |id, labels| assert_eq!((id, labels.to_string().as_str()), (7, "up")),
            |id, t, start, value| {
                got.push((id, t, start, value));
                Some(())
            },
        )?;
        Some(got)
    }

    #[test]
    fn golden_bytes() {
        let bytes = payload(&[
            (7, 100, 0, Value::Float(3.0)),
            (8, 100, 0, Value::Int(-1)),
            (8, 90, 0, Value::Float(0.5)),
        ]);
        let expected =
            b"\x01\x07\x0c\x08__name__\x02up\x03\x01\x0e\xc8\x01\x06\x1a\x01\x00\x00\x13\0\0\0\0\0\0\xe0\x3f";
        assert_eq!(bytes, expected, "{bytes:02x?}");
    }

    #[test]
    fn golden_bytes_of_histograms_and_starts() {
        let histogram = Arc::new(Histogram { count: 3.0, zero_count: 3.0, sum: 0.5, ..Histogram::default() });
        let bytes = payload(&[
            (7, 100, 60, Value::Float(3.0)),
            (8, 100, 60, Value::Histogram(histogram.clone())),
            (9, 100, 0, Value::Histogram(histogram)),
        ]);
        let expected = b"\x01\x07\x0c\x08__name__\x02up\x03\
            \x21\x0e\xc8\x01\x78\x06\
            \x3b\x00\x02\x03\x00\x00\x00\0\0\0\0\0\0\xe0\x3f\x03\x03\
            \x1b\x03\0\0\0\0\0\0\xe0\x3f\x03\x03";
        assert_eq!(bytes, expected, "{bytes:02x?}");
        assert_eq!(read(&bytes).unwrap().len(), 3);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<u64>().prop_map(|b| Value::Float(f64::from_bits(b))),
            any::<i64>().prop_map(Value::Int),
            (-1000i64..1000).prop_map(|v| Value::Float(v as f64)),
            histogram().prop_map(|h| Value::Histogram(Arc::new(h))),
        ]
    }

    fn any_sample() -> impl Strategy<Value = Sample> {
        (any::<u64>(), any::<i64>(), prop_oneof![Just(0i64), Just(5), any::<i64>()], any_value())
    }

    /// A text that differs for different values; bits of a histogram are tested where it is encoded.
    fn shown(v: &Value) -> String {
        match v {
            Value::Float(f) => format!("{:x}", f.to_bits()),
            other => format!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn samples_round_trip(samples in proptest::collection::vec(any_sample(), 0..50)) {
            let got = read(&payload(&samples)).unwrap();
            prop_assert_eq!(got.len(), samples.len());
            for (a, b) in got.iter().zip(&samples) {
                prop_assert_eq!((a.0, a.1, a.2, shown(&a.3)), (b.0, b.1, b.2, shown(&b.3)));
            }
        }

        #[test]
        fn a_cut_payload_is_noticed(samples in proptest::collection::vec(any_sample(), 1..5), cut in 1usize..8) {
            let bytes = payload(&samples);
            prop_assert!(read(&bytes[..bytes.len() - cut]).is_none());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = RecordReader::new(&bytes).samples(|_, _| (), |_, _, _, _| Some(()));
            let _ = RecordReader::new(&bytes).events(|_| ());
        }

        #[test]
        fn events_round_trip(text in ".{0,30}", t: i64) {
            let event = Event { labels: Labels::from_pairs([("__name__", "deploy")]).unwrap(), timestamp: crate::Timestamp::from_nanos(t), text };
            let mut bytes = Vec::new();
            encode_events(std::slice::from_ref(&event), &mut bytes);
            let mut got = Vec::new();
            RecordReader::new(&bytes).events(|e| got.push(e)).unwrap();
            prop_assert_eq!(got, vec![event]);
        }
    }
}
