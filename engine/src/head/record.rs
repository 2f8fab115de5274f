//! What a batch looks like in the WAL.
//!
//! # Format
//! Payloads by record kind; varints are LEB128, "signed" ones zigzag. The WAL's own frame
//! carries length, checksum and sequence.
//!
//! ```text
//! 1 samples   varint definitions, then for each: varint id, varint length, labels
//!             varint samples, then for each:
//!               u8 header: bits 0-2 value form, bit 3 same time, bit 4 next id
//!               [signed varint: id minus the id before]          unless bit 4 (then +1)
//!               [signed varint: time minus the time before, ns]  unless bit 3
//!               value: form 0 eight bytes of a float, little-endian
//!                      form 1 signed varint, a float that is this integer
//!                      form 2 signed varint, an integer
//! 2 delete    a tombstone as in the catalogue
//! 3 events    varint events, then for each: varint length, labels, time i64 LE,
//!             varint length, text
//! ```
//! Id and time before the first sample are 0; differences wrap. One scrape or one line is
//! mostly "next id, same time", so a small integer costs two bytes.

use crate::chunk::run::as_integer;
use crate::codec::varint;
use crate::head::Event;
use crate::model::{Labels, Timestamp, Value};

/// Record kind of samples.
pub const KIND_SAMPLES: u8 = 1;
/// Record kind of a delete.
pub const KIND_DELETE: u8 = 2;
/// Record kind of events.
pub const KIND_EVENTS: u8 = 3;

const FORM_FLOAT: u8 = 0;
const FORM_INTEGRAL_FLOAT: u8 = 1;
const FORM_INT: u8 = 2;
const FORM_MASK: u8 = 7;
const SAME_TIME: u8 = 1 << 3;
const NEXT_ID: u8 = 1 << 4;

/// Writes the sample part of a payload, one sample at a time.
#[derive(Debug, Default)]
pub struct SampleEncoder {
    id: u64,
    timestamp: Timestamp,
}

impl SampleEncoder {
    /// Appends one sample.
    pub fn push(&mut self, out: &mut Vec<u8>, id: u64, timestamp: Timestamp, value: &Value) {
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
        match value {
            Value::Int(v) => {
                header |= FORM_INT;
                varint::write(out, zigzag(*v));
            }
            // Beyond 2^48 the varint is no shorter than the float.
            Value::Float(v) => match as_integer(*v).filter(|i| i.unsigned_abs() < 1 << 48) {
                Some(integer) => {
                    header |= FORM_INTEGRAL_FLOAT;
                    varint::write(out, zigzag(integer));
                }
                None => out.extend_from_slice(&v.to_bits().to_le_bytes()),
            },
            Value::Histogram(_) => unreachable!("refused before it reaches the WAL"),
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
        out.extend_from_slice(&event.timestamp.to_le_bytes());
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

    /// Reads a samples payload: each definition goes to `define`, each sample to `sample`.
    /// `None` if it is malformed; what was handed out before stays handed out.
    pub fn samples(
        mut self,
        mut define: impl FnMut(u64, Labels),
        mut sample: impl FnMut(u64, Timestamp, Value) -> Option<()>,
    ) -> Option<()> {
        for _ in 0..self.varint()? {
            let id = self.varint()?;
            define(id, Labels::from_bytes(self.text()?).ok()?);
        }
        let (mut id, mut timestamp) = (0u64, 0i64);
        for _ in 0..self.varint()? {
            let header = *self.take(1)?.first()?;
            if header & !(FORM_MASK | SAME_TIME | NEXT_ID) != 0 {
                return None;
            }
            let step = if header & NEXT_ID != 0 { 1 } else { unzigzag(self.varint()?) };
            id = id.wrapping_add(step as u64);
            if header & SAME_TIME == 0 {
                timestamp = timestamp.wrapping_add(unzigzag(self.varint()?));
            }
            let value = match header & FORM_MASK {
                FORM_FLOAT => {
                    Value::Float(f64::from_bits(u64::from_le_bytes(self.take(8)?.try_into().ok()?)))
                }
                FORM_INTEGRAL_FLOAT => Value::Float(unzigzag(self.varint()?) as f64),
                FORM_INT => Value::Int(unzigzag(self.varint()?)),
                _ => return None,
            };
            sample(id, timestamp, value)?;
        }
        (self.position == self.bytes.len()).then_some(())
    }

    /// Reads an events payload. `None` if it is malformed.
    pub fn events(mut self, mut event: impl FnMut(Event)) -> Option<()> {
        for _ in 0..self.varint()? {
            let labels = Labels::from_bytes(self.text()?).ok()?;
            let timestamp = i64::from_le_bytes(self.take(8)?.try_into().ok()?);
            let text = String::from_utf8(self.text()?.to_vec()).ok()?;
            event(Event { labels, timestamp, text });
        }
        (self.position == self.bytes.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(samples: &[(u64, i64, Value)]) -> Vec<u8> {
        let mut out = Vec::new();
        varint::write(&mut out, 1);
        push_definition(&mut out, 7, &Labels::from_pairs([("__name__", "up")]).unwrap());
        varint::write(&mut out, samples.len() as u64);
        let mut encoder = SampleEncoder::default();
        for (id, t, value) in samples {
            encoder.push(&mut out, *id, *t, value);
        }
        out
    }

    fn read(bytes: &[u8]) -> Option<Vec<(u64, i64, Value)>> {
        let mut got = Vec::new();
        RecordReader::new(bytes).samples(
            |id, labels| assert_eq!((id, labels.to_string().as_str()), (7, "up")),
            |id, t, value| {
                got.push((id, t, value));
                Some(())
            },
        )?;
        Some(got)
    }

    #[test]
    fn golden_bytes() {
        let bytes =
            payload(&[(7, 100, Value::Float(3.0)), (8, 100, Value::Int(-1)), (8, 90, Value::Float(0.5))]);
        let expected =
            b"\x01\x07\x0c\x08__name__\x02up\x03\x01\x0e\xc8\x01\x06\x1a\x01\x00\x00\x13\0\0\0\0\0\0\xe0\x3f";
        assert_eq!(bytes, expected, "{bytes:02x?}");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<u64>().prop_map(|b| Value::Float(f64::from_bits(b))),
            any::<i64>().prop_map(Value::Int),
            (-1000i64..1000).prop_map(|v| Value::Float(v as f64)),
        ]
    }

    fn bits(v: &Value) -> (bool, u64) {
        match v {
            Value::Float(f) => (false, f.to_bits()),
            Value::Int(i) => (true, *i as u64),
            Value::Histogram(_) => unreachable!(),
        }
    }

    proptest! {
        #[test]
        fn samples_round_trip(samples in proptest::collection::vec((any::<u64>(), any::<i64>(), any_value()), 0..50)) {
            let got = read(&payload(&samples)).unwrap();
            prop_assert_eq!(got.len(), samples.len());
            for (a, b) in got.iter().zip(&samples) {
                prop_assert_eq!((a.0, a.1, bits(&a.2)), (b.0, b.1, bits(&b.2)));
            }
        }

        #[test]
        fn a_cut_payload_is_noticed(samples in proptest::collection::vec((any::<u64>(), any::<i64>(), any_value()), 1..5), cut in 1usize..8) {
            let bytes = payload(&samples);
            prop_assert_eq!(read(&bytes[..bytes.len() - cut]), None);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = RecordReader::new(&bytes).samples(|_, _| (), |_, _, _| Some(()));
            let _ = RecordReader::new(&bytes).events(|_| ());
        }

        #[test]
        fn events_round_trip(text in ".{0,30}", t: i64) {
            let event = Event { labels: Labels::from_pairs([("__name__", "deploy")]).unwrap(), timestamp: t, text };
            let mut bytes = Vec::new();
            encode_events(std::slice::from_ref(&event), &mut bytes);
            let mut got = Vec::new();
            RecordReader::new(&bytes).events(|e| got.push(e)).unwrap();
            prop_assert_eq!(got, vec![event]);
        }
    }
}
