//! Iterators over a generation: its series records, its label pairs, one label's values, its events.

use crate::index::merge::{Pair, PairIds, PairSource};
use crate::model::{Labels, SeriesId, TimeRange, Timestamp};
use crate::store::keys::{self, Prefix};
use crate::store::kv::{Bulk, Cursor, Family};
use crate::store::records::{damaged, decode_event, decode_labels};
use crate::{Error, Result};

/// The number of records that are stepped over before a search is cheaper.
const STEPS_MAX: u64 = 6;
/// The number of values that are stepped over before a search is made.
const NEAR: usize = 8;

/// The series records of a generation, ascending by id.
pub struct StoredSeries<'a> {
    cursor: Box<dyn Cursor + 'a>,
    prefix: Prefix,
}

impl<'a> StoredSeries<'a> {
    /// Iterates over the records below `prefix`.
    pub(super) fn new(mut cursor: Box<dyn Cursor + 'a>, prefix: Prefix) -> Result<Self> {
        cursor.seek(&prefix.series(SeriesId(0)))?;
        Ok(StoredSeries { cursor, prefix })
    }

    /// The next record.
    ///
    /// # Errors
    /// It is damaged, or the store could not be read.
    #[expect(clippy::should_implement_trait, reason = "reading may fail")]
    pub fn next(&mut self) -> Result<Option<(SeriesId, Labels)>> {
        let prefix = self.prefix;
        let Some((key, value)) = self.cursor.entry() else { return Ok(None) };
        let Some(id) = keys::decode_series(key).filter(|_| key.starts_with(&prefix.encode())) else {
            return Ok(None);
        };
        let labels =
            decode_labels(prefix, id.0, value).inspect_err(|error| self.cursor.note_damage(error))?;
        self.cursor.advance()?;
        Ok(Some((id, labels)))
    }
}

/// The labels of some series of a generation, in one pass over its records.
pub struct LabelsById<'a> {
    kv: &'a dyn Bulk,
    prefix: Prefix,
    /// At the record of the id requested last; `None` before the first.
    at: Option<(u64, Box<dyn Cursor + 'a>)>,
}

impl<'a> LabelsById<'a> {
    pub(super) fn new(kv: &'a dyn Bulk, prefix: Prefix) -> Self {
        LabelsById { kv, prefix, at: None }
    }

    /// The labels of `id`, which must be larger than the previous one.
    ///
    /// # Errors
    /// The record is missing or damaged, or the store could not be read.
    pub fn next(&mut self, id: SeriesId) -> Result<Labels> {
        let (kv, prefix) = (self.kv, self.prefix);
        let key = prefix.series(id);
        let before = self.at.as_ref().map(|(before, _)| *before);
        let (last, cursor) = self.at.get_or_insert_with(|| (id.0, kv.cursor(Family::Index)));
        *last = id.0;
        // Most ids in between have a record.
        if before.is_some_and(|before| before < id.0 && id.0 - before <= STEPS_MAX) {
            cursor.advance()?;
            while cursor.entry().is_some_and(|(at, _)| at < &key[..]) {
                cursor.advance()?;
            }
        } else {
            cursor.seek(&key)?;
        }
        match cursor.entry() {
            Some((at, value)) if at == key => {
                decode_labels(prefix, id.0, value).inspect_err(|error| cursor.note_damage(error))
            }
            _ => {
                let error = missing_series(&key);
                kv.note_damage(&key, &error);
                Err(error)
            }
        }
    }
}

fn missing_series(key: &[u8]) -> Error {
    Error::Corrupt {
        file: format!("index/{}", key.escape_ascii()),
        offset: 0,
        what: "the series record that postings name is missing".to_owned(),
    }
}

/// The label pairs of a generation, in the order of names and values.
pub struct StoredPairs<'a> {
    cursor: Box<dyn Cursor + 'a>,
    within: Vec<u8>,
}

impl<'a> StoredPairs<'a> {
    /// Iterates over the pairs whose keys begin with `within`.
    pub(super) fn new(mut cursor: Box<dyn Cursor + 'a>, within: Vec<u8>) -> Result<Self> {
        cursor.seek(&within)?;
        Ok(StoredPairs { cursor, within })
    }
}

impl PairSource for StoredPairs<'_> {
    fn next(&mut self) -> Result<Option<Pair>> {
        while let Some((key, postings)) = self.cursor.entry().filter(|(key, _)| key.starts_with(&self.within))
        {
            let decoded = keys::decode_postings(key);
            let (name, value) = decoded.ok_or_else(|| damaged_at(&*self.cursor, "key of postings"))?;
            let postings = postings.to_vec();
            self.cursor.advance()?;
            if !value.is_empty() {
                return Ok(Some(Pair { name, value, ids: PairIds::Encoded(postings) }));
            }
        }
        Ok(None)
    }
}

/// The events of a generation in a range, ascending in time.
pub struct StoredEvents<'a> {
    /// `None` if there are no events.
    cursor: Option<Box<dyn Cursor + 'a>>,
    prefix: Prefix,
    range: TimeRange,
}

impl<'a> StoredEvents<'a> {
    /// Iterates over the events below `prefix`.
    pub(super) fn new(
        mut cursor: Option<Box<dyn Cursor + 'a>>,
        prefix: Prefix,
        range: TimeRange,
    ) -> Result<Self> {
        if let Some(cursor) = &mut cursor {
            cursor.seek(&prefix.event(range.start.saturating_add(1), 0))?;
        }
        Ok(StoredEvents { cursor, prefix, range })
    }

    /// The next event.
    ///
    /// # Errors
    /// It is damaged, or the store could not be read.
    #[expect(clippy::should_implement_trait, reason = "reading may fail")]
    pub fn next(&mut self) -> Result<Option<(Timestamp, Labels, String)>> {
        let prefix = self.prefix;
        let Some(cursor) = &mut self.cursor else { return Ok(None) };
        let Some((key, value)) = cursor.entry() else { return Ok(None) };
        let time = keys::decode_event(key).filter(|_| key.starts_with(&prefix.encode()));
        let Some(timestamp) = time.filter(|time| *time <= self.range.end) else { return Ok(None) };
        let (labels, text) = decode_event(value).ok_or_else(|| damaged_at(&**cursor, "event"))?;
        cursor.advance()?;
        Ok(Some((timestamp, labels, text)))
    }
}

/// Reports that the current value of a cursor is damaged, and returns the error.
pub(super) fn damaged_at(cursor: &dyn Cursor, what: &str) -> Error {
    let error = damaged(cursor.entry().map_or(&[], |(key, _)| key), what);
    cursor.note_damage(&error);
    error
}

/// A value of a label.
pub(super) struct Term<'c> {
    /// The value; empty if the postings are those of the label.
    pub value: &'c [u8],
    /// In encoded form.
    pub postings: &'c [u8],
}

/// The values of one label, in order.
pub(super) struct Terms<'a> {
    cursor: Box<dyn Cursor + 'a>,
    /// The common beginning of their keys.
    within: Vec<u8>,
}

impl<'a> Terms<'a> {
    /// Iterates over the values whose keys begin with `within`.
    pub fn new(cursor: Box<dyn Cursor + 'a>, within: Vec<u8>) -> Self {
        Terms { cursor, within }
    }

    /// The current record.
    pub fn entry(&self) -> Option<Term<'_>> {
        let (key, postings) = self.cursor.entry()?;
        Some(Term { value: key.strip_prefix(&self.within[..])?, postings })
    }

    /// Reports that the current value is damaged, and returns the error.
    pub fn damaged(&self, what: &str) -> Error {
        damaged_at(&*self.cursor, what)
    }

    /// Moves to the next value.
    pub fn advance(&mut self) -> Result<()> {
        self.cursor.advance()
    }

    /// Moves to the first value at or after `value`.
    pub fn seek(&mut self, value: &str) -> Result<()> {
        let key = [&self.within, value.as_bytes()].concat();
        self.cursor.seek(&key)
    }

    /// The same, for a `value` after the current one; usually it is near.
    pub fn skip_to(&mut self, value: &str) -> Result<()> {
        for _ in 0..NEAR {
            self.cursor.advance()?;
            let rest = self.cursor.entry().and_then(|(key, _)| key.strip_prefix(&self.within[..]));
            if rest.is_none_or(|found| found >= value.as_bytes()) {
                return Ok(());
            }
        }
        self.seek(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chunk::Sealing;
    use crate::codec::CompressionLevel;
    use crate::model::PartitionId;
    use crate::store::catalogue::{Generation, Obsolete};
    use crate::store::generation::{GenerationReader, GenerationWriter, Tables};
    use crate::store::memory::MemoryKv;

    fn labels(id: u64) -> Labels {
        Labels::from_pairs([("id", &*id.to_string())]).unwrap()
    }

    fn written(kv: &MemoryKv, ids: impl Iterator<Item = u64>) -> Arc<Generation> {
        let prefix = Prefix { partition: PartitionId::raw(1), generation: 1 };
        let mut tables = Tables::new(kv);
        let sealing = Sealing { samples_max: 3, level: CompressionLevel::Fast };
        let mut writer = GenerationWriter::new(&mut tables, prefix, 1, sealing);
        ids.for_each(|id| writer.add_labels(SeriesId(id), &labels(id)).unwrap());
        let (prefix, record) = writer.finish().unwrap();
        tables.ingest().unwrap();
        Generation::new(prefix, record, &Arc::new(Obsolete::default()))
    }

    #[test]
    fn labels_are_found_by_steps_and_by_searches() {
        let kv = MemoryKv::default();
        let generation = written(&kv, (0..200).filter(|id| id % 3 != 1));
        let reader = GenerationReader::new(&kv, &generation);
        for stride in 1..=4 * STEPS_MAX as usize {
            for first in 0..5 {
                let mut found = reader.labels_by_id();
                for id in (first..200).step_by(stride).filter(|id| id % 3 != 1) {
                    assert_eq!(found.next(SeriesId(id)).unwrap(), labels(id), "stride {stride} from {first}");
                }
            }
        }
        for (before, missing) in [(0, 1), (0, 4), (0, 100), (198, 199), (198, 300)] {
            let mut found = reader.labels_by_id();
            found.next(SeriesId(before)).unwrap();
            let error = found.next(SeriesId(missing)).unwrap_err().to_string();
            assert!(error.contains("the series record that postings name is missing"), "{error}");
        }
    }
}
