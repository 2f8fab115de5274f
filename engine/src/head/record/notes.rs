//! Metadata, exemplars and created databases in the WAL; the format is in `head/record.rs`, with the others.

use super::{RecordReader, push_bytes};
use crate::codec::varint;
use crate::model::{Exemplar, Labels, Metadata, MetricType};

/// Encodes descriptions of metric families.
pub fn encode_metadata(entries: &[(String, Metadata)], out: &mut Vec<u8>) {
    varint::write(out, entries.len() as u64);
    for (family, metadata) in entries {
        push_bytes(out, family.as_bytes());
        out.push(metadata.kind.code());
        push_bytes(out, metadata.help.as_bytes());
        push_bytes(out, metadata.unit.as_bytes());
    }
}

/// Encodes exemplars, each with the labels of its series.
pub fn encode_exemplars(exemplars: &[(Labels, Exemplar)], out: &mut Vec<u8>) {
    varint::write(out, exemplars.len() as u64);
    for (series, exemplar) in exemplars {
        push_bytes(out, series.as_bytes());
        out.extend_from_slice(&exemplar.timestamp.as_nanos().to_le_bytes());
        out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
        push_bytes(out, exemplar.labels.as_bytes());
    }
}

/// Encodes names of databases: created ones, or dropped ones.
pub fn encode_databases(names: &[String], out: &mut Vec<u8>) {
    varint::write(out, names.len() as u64);
    for name in names {
        push_bytes(out, name.as_bytes());
    }
}

impl RecordReader<'_> {
    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?.to_vec()).ok()
    }

    fn word(&mut self) -> Option<[u8; 8]> {
        self.take(8)?.try_into().ok()
    }

    /// Reads a metadata payload. `None` if it is malformed.
    pub fn metadata(mut self, mut entry: impl FnMut(String, Metadata)) -> Option<()> {
        for _ in 0..self.varint()? {
            let family = self.string()?;
            let kind = MetricType::from_code(*self.take(1)?.first()?)?;
            entry(family, Metadata { kind, help: self.string()?, unit: self.string()? });
        }
        self.is_at_end().then_some(())
    }

    /// Reads a payload of databases, created or dropped. `None` if it is malformed.
    pub fn databases(mut self, mut visit: impl FnMut(String)) -> Option<()> {
        for _ in 0..self.varint()? {
            visit(self.string()?);
        }
        self.is_at_end().then_some(())
    }

    /// Reads an exemplars payload. `None` if it is malformed.
    pub fn exemplars(mut self, mut visit: impl FnMut(Labels, Exemplar)) -> Option<()> {
        for _ in 0..self.varint()? {
            let series = Labels::from_bytes(self.text()?).ok()?;
            let timestamp = i64::from_le_bytes(self.word()?);
            let value = f64::from_bits(u64::from_le_bytes(self.word()?));
            let labels = Labels::from_bytes(self.text()?).ok()?;
            visit(series, Exemplar { labels, timestamp: crate::Timestamp::from_nanos(timestamp), value });
        }
        self.is_at_end().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(name: &str, value: &str) -> Labels {
        Labels::from_pairs([(name, value)]).unwrap()
    }

    #[test]
    fn golden_bytes() {
        let metadata = Metadata { kind: MetricType::Counter, help: "Good.".to_owned(), unit: "s".to_owned() };
        let mut bytes = Vec::new();
        encode_metadata(&[("up".to_owned(), metadata)], &mut bytes);
        assert_eq!(bytes, b"\x01\x02up\x01\x05Good.\x01s");

        let exemplar =
            Exemplar { labels: labels("t", "a"), timestamp: crate::Timestamp::from_nanos(258), value: 0.5 };
        let mut bytes = Vec::new();
        encode_exemplars(&[(labels("j", "x"), exemplar)], &mut bytes);
        assert_eq!(bytes, b"\x01\x04\x01j\x01x\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\xe0\x3f\x04\x01t\x01a");

        let mut bytes = Vec::new();
        encode_databases(&["a".to_owned(), "bc".to_owned()], &mut bytes);
        assert_eq!(bytes, b"\x02\x01a\x02bc");
        let mut names = Vec::new();
        RecordReader::new(&bytes).databases(|name| names.push(name)).unwrap();
        assert_eq!(names, ["a", "bc"]);
        assert_eq!(RecordReader::new(&bytes[..5]).databases(|_| ()), None);
    }

    proptest! {
        #[test]
        fn notes_round_trip(
            entries in proptest::collection::vec(("[a-z_]{1,9}", 0u8..8, ".{0,20}", "[a-z]{0,4}"), 0..6),
            exemplars in proptest::collection::vec(("[a-z]{1,5}", any::<i64>(), any::<u64>(), "[a-z]{1,5}"), 0..6),
            cut in 1usize..6,
        ) {
            let entries: Vec<(String, Metadata)> = entries
                .into_iter()
                .map(|(family, code, help, unit)| {
                    (family, Metadata { kind: MetricType::from_code(code).unwrap(), help, unit })
                })
                .collect();
            let mut bytes = Vec::new();
            encode_metadata(&entries, &mut bytes);
            let mut got = Vec::new();
            RecordReader::new(&bytes).metadata(|family, metadata| got.push((family, metadata))).unwrap();
            prop_assert_eq!(&got, &entries);
            let shorter = &bytes[..bytes.len().saturating_sub(cut)];
            prop_assert_eq!(RecordReader::new(shorter).metadata(|_, _| ()), None);

            let mut bytes = Vec::new();
            let exemplars: Vec<(Labels, Exemplar)> = exemplars
                .iter()
                .map(|(job, timestamp, bits, trace)| {
                    let exemplar = Exemplar {
                        labels: labels("trace", trace), timestamp: crate::Timestamp::from_nanos(*timestamp), value: f64::from_bits(*bits),
                    };
                    (labels("job", job), exemplar)
                })
                .collect();
            encode_exemplars(&exemplars, &mut bytes);
            let mut got = Vec::new();
            RecordReader::new(&bytes).exemplars(|series, exemplar| got.push((series, exemplar))).unwrap();
            prop_assert_eq!(got.len(), exemplars.len());
            for (a, b) in got.iter().zip(&exemplars) {
                prop_assert_eq!((&a.0, &a.1.labels, a.1.timestamp), (&b.0, &b.1.labels, b.1.timestamp));
                prop_assert_eq!(a.1.value.to_bits(), b.1.value.to_bits());
            }
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = RecordReader::new(&bytes).metadata(|_, _| ());
            let _ = RecordReader::new(&bytes).exemplars(|_, _| ());
            let _ = RecordReader::new(&bytes).databases(|_| ());
        }
    }
}
