//! Walking a generation: its series records, its label pairs, one label's values, its events.

use crate::index::merge::{Pair, PairIds, PairSource};
use crate::model::{Labels, SeriesId, TimeRange, Timestamp};
use crate::store::generation::{damaged, decode_event, decode_labels};
use crate::store::keys::{self, Prefix};
use crate::store::kv::Cursor;
use crate::{Error, Result};

/// So many values are passed one by one before the way is looked up.
const NEAR: usize = 8;

/// The series records of a generation, ascending by id.
pub struct StoredSeries<'a> {
    cursor: Box<dyn Cursor + 'a>,
    prefix: Prefix,
}

impl<'a> StoredSeries<'a> {
    /// The records below `prefix`.
    pub(super) fn new(mut cursor: Box<dyn Cursor + 'a>, prefix: Prefix) -> Result<Self> {
        cursor.seek(&prefix.series(SeriesId(0)))?;
        Ok(StoredSeries { cursor, prefix })
    }

    /// The next one.
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

/// The label pairs of a generation, in the order of names and values.
pub struct StoredPairs<'a> {
    cursor: Box<dyn Cursor + 'a>,
    within: Vec<u8>,
}

impl<'a> StoredPairs<'a> {
    /// The pairs whose keys begin with `within`.
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
    /// None where there are no events.
    cursor: Option<Box<dyn Cursor + 'a>>,
    prefix: Prefix,
    range: TimeRange,
}

impl<'a> StoredEvents<'a> {
    /// The events below `prefix`.
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

    /// The next one.
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
    /// The value; empty where the postings are those of the label.
    pub value: &'c [u8],
    /// Encoded.
    pub postings: &'c [u8],
}

/// The values of one label, in order.
pub(super) struct Terms<'a> {
    cursor: Box<dyn Cursor + 'a>,
    /// What their keys begin with.
    within: Vec<u8>,
}

impl<'a> Terms<'a> {
    /// The values whose keys begin with `within`.
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

    /// Goes to the next value.
    pub fn advance(&mut self) -> Result<()> {
        self.cursor.advance()
    }

    /// Stands on the first value at or after `value`.
    pub fn seek(&mut self, value: &str) -> Result<()> {
        let key = [&self.within, value.as_bytes()].concat();
        self.cursor.seek(&key)
    }

    /// The same from a value that is before it; mostly it is near.
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
