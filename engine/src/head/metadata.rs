//! What metrics are: type, help and unit by metric family.
//!
//! All of it is kept in memory, bounded, and written to the store with each flush: only
//! the families that changed. A family can have several descriptions, since writers may
//! disagree or change their words; the newest [`ENTRIES_MAX`] stay.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use crate::budget::{Taken, Work};
use crate::model::Metadata;
use crate::{Error, Result};

/// Most descriptions of one family; a further one takes the place of the oldest.
pub const ENTRIES_MAX: usize = 8;
/// Longest family name, bytes.
pub const NAME_BYTES_MAX: usize = 1024;
/// Longest help text, bytes.
pub const HELP_BYTES_MAX: usize = 8192;
/// Longest unit, bytes.
pub const UNIT_BYTES_MAX: usize = 256;
/// Most bytes of all descriptions together; beyond it new ones are refused.
pub const TOTAL_BYTES_MAX: u64 = 32 << 20;
/// Families that are copied between two looks at whether to stop.
const FAMILIES_PER_CHECK: usize = 1024;
/// Cost of a description beside its texts, bytes.
const ENTRY_BYTES: u64 = 120;

/// The descriptions of all families.
#[derive(Debug)]
pub struct HeadMetadata {
    bytes_max: u64,
    inner: Mutex<Book>,
}

impl Default for HeadMetadata {
    fn default() -> Self {
        HeadMetadata::new(TOTAL_BYTES_MAX)
    }
}

#[derive(Debug, Default)]
struct Book {
    families: BTreeMap<String, Vec<Metadata>>,
    bytes: u64,
    /// Families that the store does not have as they are here.
    dirty: BTreeSet<String>,
}

fn bytes_of(family: &str, metadata: &Metadata) -> u64 {
    ENTRY_BYTES + (family.len() + metadata.help.len() + metadata.unit.len()) as u64
}

fn check_text(family: &str, what: &str, text: &str, limit: usize) -> Result<()> {
    if text.len() <= limit {
        return Ok(());
    }
    let shown: String = family.chars().take(100).collect();
    Err(Error::Limit(format!(
        "metadata of {shown:?}: {what} of {} bytes, the limit is {limit}; shorten it",
        text.len()
    )))
}

impl HeadMetadata {
    /// No descriptions, of at most `bytes_max` bytes and [`TOTAL_BYTES_MAX`].
    pub fn new(bytes_max: u64) -> Self {
        HeadMetadata { bytes_max: bytes_max.min(TOTAL_BYTES_MAX), inner: Mutex::default() }
    }

    /// Bytes of all descriptions.
    pub fn bytes(&self) -> u64 {
        self.inner.lock().bytes
    }

    /// Whether a description is new. One that is known already costs no log record.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a name, [`Error::Limit`] where a text is too long or
    /// descriptions take up all the memory they may.
    pub fn is_new(&self, family: &str, metadata: &Metadata) -> Result<bool> {
        if family.is_empty() {
            return Err(Error::Invalid("metadata without a metric name".to_owned()));
        }
        check_text(family, "a name", family, NAME_BYTES_MAX)?;
        check_text(family, "a help text", &metadata.help, HELP_BYTES_MAX)?;
        check_text(family, "a unit", &metadata.unit, UNIT_BYTES_MAX)?;
        let book = self.inner.lock();
        if book.families.get(family).is_some_and(|entries| entries.contains(metadata)) {
            return Ok(false);
        }
        if book.bytes + bytes_of(family, metadata) > self.bytes_max {
            return Err(Error::Limit(format!(
                "metadata of all metrics takes {} bytes, the limit is {}; {family:?} is not stored: shorten help texts, or \
                 raise memory (Options::memory_bytes)",
                book.bytes, self.bytes_max
            )));
        }
        Ok(true)
    }

    /// Adds a description; one that is known stays where it is.
    pub fn insert(&self, family: &str, metadata: &Metadata) {
        let mut book = self.inner.lock();
        if book.insert(family, metadata) {
            book.dirty.insert(family.to_owned());
        }
    }

    /// Takes over what the store has.
    pub fn adopt(&self, family: &str, entries: &[Metadata]) {
        let mut book = self.inner.lock();
        for metadata in entries {
            book.insert(family, metadata);
        }
    }

    /// The descriptions of one family or of all, ascending by name; of one family oldest
    /// first; at most `limit` families. What is returned stays taken from `work`.
    ///
    /// # Errors
    /// `work` may not hold it, or is over.
    pub fn select(
        &self,
        family: Option<&str>,
        limit: usize,
        work: &Work,
    ) -> Result<Vec<(String, Vec<Metadata>)>> {
        let (book, taken) = (self.inner.lock(), Taken::of(work));
        let named = family.and_then(|name| book.families.get_key_value(name));
        let all = book.families.iter().filter(|_| family.is_none());
        let mut found = Vec::new();
        for (at, (family, entries)) in all.chain(named).take(limit).enumerate() {
            if at.is_multiple_of(FAMILIES_PER_CHECK) {
                work.check()?;
            }
            let bytes: u64 = entries.iter().map(|entry| bytes_of(family, entry)).sum();
            taken.more(bytes as usize + size_of::<(String, Vec<Metadata>)>())?;
            found.push((family.clone(), entries.clone()));
        }
        taken.leave();
        Ok(found)
    }

    /// The families that a flush has to write, as they are now. They count as written;
    /// [`HeadMetadata::mark_dirty`] takes that back.
    pub fn take_dirty(&self) -> Vec<(String, Vec<Metadata>)> {
        let mut book = self.inner.lock();
        let dirty = std::mem::take(&mut book.dirty);
        dirty.into_iter().filter_map(|f| book.families.get(&f).cloned().map(|entries| (f, entries))).collect()
    }

    /// Says that families did not reach the store.
    pub fn mark_dirty(&self, families: impl IntoIterator<Item = String>) {
        self.inner.lock().dirty.extend(families);
    }
}

impl Book {
    fn insert(&mut self, family: &str, metadata: &Metadata) -> bool {
        let entries = match self.families.get_mut(family) {
            Some(entries) => entries,
            None => self.families.entry(family.to_owned()).or_default(),
        };
        if entries.contains(metadata) {
            return false;
        }
        self.bytes += bytes_of(family, metadata);
        entries.push(metadata.clone());
        if entries.len() > ENTRIES_MAX {
            let oldest = entries.remove(0);
            self.bytes -= bytes_of(family, &oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MetricType;

    fn described(help: &str) -> Metadata {
        Metadata { kind: MetricType::Counter, help: help.to_owned(), unit: String::new() }
    }

    #[test]
    fn a_family_keeps_its_newest_descriptions() {
        let book = HeadMetadata::default();
        for i in 0..=ENTRIES_MAX {
            let entry = described(&format!("help {i}"));
            assert!(book.is_new("m", &entry).unwrap());
            book.insert("m", &entry);
            assert!(!book.is_new("m", &entry).unwrap(), "known by now");
            book.insert("m", &entry);
        }
        let work = Work::unbounded();
        let kept = &book.select(Some("m"), 9, &work).unwrap()[0].1;
        assert_eq!(kept.len(), ENTRIES_MAX);
        assert_eq!((&*kept[0].help, &*kept[ENTRIES_MAX - 1].help), ("help 1", "help 8"));
        assert!(book.select(Some("n"), 9, &work).unwrap().is_empty());
    }

    #[test]
    fn limits_are_told() {
        let book = HeadMetadata::default();
        let text = |result: Result<bool>| result.unwrap_err().to_string();
        assert_eq!(text(book.is_new("", &described("x"))), "metadata without a metric name");
        let long = described(&"x".repeat(HELP_BYTES_MAX + 1));
        assert_eq!(
            text(book.is_new("m", &long)),
            "metadata of \"m\": a help text of 8193 bytes, the limit is 8192; shorten it"
        );
        assert!(text(book.is_new(&"m".repeat(2000), &described("x"))).contains("a name of 2000 bytes"));
        let help = "x".repeat(HELP_BYTES_MAX);
        let refused = (0..10_000).find(|i| {
            let family = format!("m{i}");
            let refused = book.is_new(&family, &described(&help)).is_err();
            book.insert(&family, &described(&help));
            refused
        });
        assert!(refused.is_some_and(|i| i > 3_900 && i < 4_100), "{refused:?} families fill 32 MiB");
    }

    #[test]
    fn only_what_changed_is_written() {
        let book = HeadMetadata::default();
        book.adopt("old", &[described("from the store")]);
        book.insert("new", &described("x"));
        let dirty = book.take_dirty();
        assert_eq!(dirty, [("new".to_owned(), vec![described("x")])]);
        assert!(book.take_dirty().is_empty());
        book.mark_dirty(dirty.into_iter().map(|d| d.0));
        assert_eq!(book.take_dirty().len(), 1, "a failed flush tries again");
    }
}
