//! Notes: data without a partition that is stored next to samples: metadata, exemplars and the names of created
//! databases. All are small, bounded, and kept completely in memory, so they are in the meta family: a flush commits
//! those that changed together with its catalogue, and opening reads them all.
//!
//! # Format
//! Records of [`Family::Meta`], each in the envelope of `values`, version 1:
//!
//! ```text
//! 'm' | family name            entries of one metric family: type, help, unit; behind the name of what a tenant wrote
//!                              NUL, the label of tenants, NUL, the tenant
//! 'x' | labels of a series     its exemplars: labels, time, bits of the value
//! 'd' | name of a database     nothing: it was created
//! ```

use bincode::{Decode, Encode};

use crate::model::{Exemplar, Labels, Metadata, MetricType};
use crate::store::kv::{Bulk, Change, Family};
use crate::store::values;
use crate::{Error, Result};

/// Version of the records.
const NOTES_VERSION: u32 = 1;
const KIND_METADATA: u8 = b'm';
const KIND_EXEMPLARS: u8 = b'x';
const KIND_DATABASE: u8 = b'd';

#[derive(Encode, Decode)]
struct MetadataRecord {
    entries: Vec<(u8, String, String)>,
}

#[derive(Encode, Decode)]
struct ExemplarsRecord {
    exemplars: Vec<(Vec<u8>, i64, u64)>,
}

#[derive(Encode, Decode)]
struct DatabaseRecord {}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// The metadata of a metric family by one tenant, or by writers without a tenant; oldest description first.
    Metadata(String, Vec<Metadata>),
    /// The exemplars of a series, ascending by time.
    Exemplars(Labels, Vec<Exemplar>),
    /// The name of a database, and whether it was created or dropped again.
    Database(String, bool),
}

/// Whether a key of [`Family::Meta`] is that of a note.
pub fn is_key(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(KIND_METADATA | KIND_EXEMPLARS | KIND_DATABASE)))
}

fn keyed(kind: u8, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(kind);
    key.extend_from_slice(name);
    key
}

impl Note {
    /// The change that sets the record to this state; an empty list removes the record.
    ///
    /// # Errors
    /// The record is larger than one may be.
    pub fn change(&self) -> Result<Change> {
        match self {
            Note::Metadata(family, entries) => {
                let entries = entries.iter().map(|m| (m.kind.code(), m.help.clone(), m.unit.clone()));
                let record = MetadataRecord { entries: entries.collect() };
                let value = (!record.entries.is_empty()).then(|| values::encode(NOTES_VERSION, &record));
                Ok((keyed(KIND_METADATA, family.as_bytes()), value.transpose()?))
            }
            Note::Exemplars(series, exemplars) => {
                let exemplars = exemplars
                    .iter()
                    .map(|e| (e.labels.as_bytes().to_vec(), e.timestamp.as_nanos(), e.value.to_bits()));
                let record = ExemplarsRecord { exemplars: exemplars.collect() };
                let value = (!record.exemplars.is_empty()).then(|| values::encode(NOTES_VERSION, &record));
                Ok((keyed(KIND_EXEMPLARS, series.as_bytes()), value.transpose()?))
            }
            Note::Database(name, is_there) => {
                let value = is_there.then(|| values::encode(NOTES_VERSION, &DatabaseRecord {}));
                Ok((keyed(KIND_DATABASE, name.as_bytes()), value.transpose()?))
            }
        }
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Option<Note>> {
        let place = format!("meta/{}", key.escape_ascii());
        let corrupt = |what: &str| Error::Corrupt { file: place.clone(), offset: 0, what: what.to_owned() };
        let labels = |bytes: &[u8]| Labels::from_bytes(bytes).map_err(|e| corrupt(&e.to_string()));
        Ok(match key.split_first() {
            Some((&KIND_METADATA, name)) => {
                let family = std::str::from_utf8(name).map_err(|_| corrupt("a family that is not UTF-8"))?;
                let record: MetadataRecord = values::decode(&place, NOTES_VERSION, value)?;
                let entries = record.entries.into_iter().map(|(code, help, unit)| {
                    let kind =
                        MetricType::from_code(code).ok_or_else(|| corrupt("an unknown metric type"))?;
                    Ok(Metadata { kind, help, unit })
                });
                Some(Note::Metadata(family.to_owned(), entries.collect::<Result<_>>()?))
            }
            Some((&KIND_EXEMPLARS, name)) => {
                let series = labels(name)?;
                let record: ExemplarsRecord = values::decode(&place, NOTES_VERSION, value)?;
                let exemplars = record.exemplars.into_iter().map(|(bytes, timestamp, bits)| {
                    Ok(Exemplar {
                        labels: labels(&bytes)?,
                        timestamp: crate::Timestamp::from_nanos(timestamp),
                        value: f64::from_bits(bits),
                    })
                });
                Some(Note::Exemplars(series, exemplars.collect::<Result<_>>()?))
            }
            Some((&KIND_DATABASE, name)) => {
                let name = std::str::from_utf8(name).map_err(|_| corrupt("a database that is not UTF-8"))?;
                let DatabaseRecord {} = values::decode(&place, NOTES_VERSION, value)?;
                Some(Note::Database(name.to_owned(), true))
            }
            _ => None,
        })
    }
}

/// Calls `visit` with every note of the store.
///
/// # Errors
/// A record is damaged or from a newer version, or the store could not be read.
pub fn load(kv: &dyn Bulk, mut visit: impl FnMut(Note)) -> Result<()> {
    let mut cursor = kv.cursor(Family::Meta);
    for kind in [KIND_METADATA, KIND_EXEMPLARS, KIND_DATABASE] {
        cursor.seek(&[kind])?;
        while let Some((key, value)) = cursor.entry() {
            if key.first() != Some(&kind) {
                break;
            }
            if let Some(note) = Note::decode(key, value)? {
                visit(note);
            }
            cursor.advance()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::kv::Kv as _;
    use crate::store::memory::MemoryKv;

    fn notes() -> [Note; 2] {
        let metadata =
            Metadata { kind: MetricType::Gauge, help: "How warm.".to_owned(), unit: "celsius".to_owned() };
        let labels = |value| Labels::from_pairs([("a", value)]).unwrap();
        let exemplar =
            Exemplar { labels: labels("t"), timestamp: crate::Timestamp::from_nanos(7), value: -0.0 };
        [Note::Metadata("temp".to_owned(), vec![metadata]), Note::Exemplars(labels("s"), vec![exemplar])]
    }

    fn loaded(kv: &MemoryKv) -> Result<Vec<Note>> {
        let mut found = Vec::new();
        load(kv, |note| found.push(note))?;
        Ok(found)
    }

    #[test]
    fn notes_come_back_and_go() {
        let kv = MemoryKv::default();
        kv.commit(notes().iter().map(|n| n.change().unwrap()).collect()).unwrap();
        assert_eq!(loaded(&kv).unwrap(), notes());
        let gone =
            [Note::Metadata("temp".to_owned(), vec![]), Note::Exemplars(labels_of(&notes()[1]), vec![])];
        kv.commit(gone.iter().map(|n| n.change().unwrap()).collect()).unwrap();
        assert!(loaded(&kv).unwrap().is_empty());
    }

    fn labels_of(note: &Note) -> Labels {
        match note {
            Note::Exemplars(series, _) => series.clone(),
            Note::Metadata(..) | Note::Database(..) => panic!("{note:?}"),
        }
    }

    #[test]
    fn golden_records() {
        let [metadata, exemplars] = notes().map(|n| n.change().unwrap());
        assert_eq!(metadata.0, b"mtemp");
        assert_eq!(metadata.1.unwrap()[12..], *b"\x01\x02\x09How warm.\x07celsius");
        assert_eq!(exemplars.0, b"x\x01a\x01s");
        assert_eq!(exemplars.1.unwrap()[12..], *b"\x01\x04\x01a\x01t\x0e\xfd\0\0\0\0\0\0\0\x80");
    }

    #[test]
    fn a_created_database_comes_back() {
        let note = Note::Database("telegraf".to_owned(), true);
        let (key, value) = note.change().unwrap();
        assert_eq!((&*key, value.as_ref().unwrap().len()), (&b"dtelegraf"[..], 12));
        let kv = MemoryKv::default();
        kv.commit(vec![(key.clone(), value)]).unwrap();
        assert_eq!(loaded(&kv).unwrap(), [note]);
        kv.commit(vec![(key, Some(vec![0; 12]))]).unwrap();
        assert!(loaded(&kv).is_err());
        kv.commit(vec![Note::Database("telegraf".to_owned(), false).change().unwrap()]).unwrap();
        assert_eq!(loaded(&kv).unwrap(), []);
    }

    #[test]
    fn damage_is_reported() {
        for note in notes() {
            let (key, value) = note.change().unwrap();
            let mut value = value.unwrap();
            *value.last_mut().unwrap() ^= 1;
            let kv = MemoryKv::default();
            kv.commit(vec![(key, Some(value))]).unwrap();
            let text = loaded(&kv).unwrap_err().to_string();
            assert!(text.contains("checksum"), "{text}");
        }
        let unknown = MetadataRecord { entries: vec![(8, String::new(), String::new())] };
        let kv = MemoryKv::default();
        kv.commit(vec![(b"mtemp".to_vec(), Some(values::encode(1, &unknown).unwrap()))]).unwrap();
        assert!(loaded(&kv).unwrap_err().to_string().contains("unknown metric type"));
    }
}
