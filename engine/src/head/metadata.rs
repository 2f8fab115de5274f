//! Metric metadata: type, help and unit by metric family.
//!
//! All metadata is kept in memory, bounded; each flush writes the families that changed to the store. A family can have
//! several descriptions, because writers may disagree or change their text; the newest [`ENTRIES_MAX`] stay.
//!
//! A tenant's descriptions of a family are kept separately, under a key that contains the tenant
//! ([`Tenant::family_key`]): other tenants do not see them, and they do not displace descriptions of others.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;

use ahash::RandomState;

use crate::budget::{Taken, Work};
use crate::model::{Metadata, MetricType, Tenant};
use crate::sync::RwLock;
use crate::{Error, Result};

/// Maximum descriptions of one family by one tenant, or by writers without a tenant; a further one replaces the oldest.
pub const ENTRIES_MAX: usize = 8;
/// Maximum length of a family name, bytes.
pub const NAME_BYTES_MAX: usize = 1024;
/// Maximum length of a help text, bytes.
pub const HELP_BYTES_MAX: usize = 8192;
/// Maximum length of a unit, bytes.
pub const UNIT_BYTES_MAX: usize = 256;
/// Maximum size of all descriptions together, bytes; beyond it new ones are refused.
pub const TOTAL_BYTES_MAX: u64 = 32 << 20;
/// The number of families copied between two checks whether to stop.
const FAMILIES_PER_CHECK: usize = 1024;
/// Cost of a description without its texts, bytes.
const ENTRY_BYTES: u64 = 120;

/// The descriptions of all families.
#[derive(Debug)]
pub struct HeadMetadata {
    bytes_max: u64,
    /// Read for each series of an analytic query, by several threads.
    inner: RwLock<Book>,
}

impl Default for HeadMetadata {
    fn default() -> Self {
        HeadMetadata::new(TOTAL_BYTES_MAX)
    }
}

#[derive(Debug, Default)]
struct Book {
    /// By the name of the family, or the tenant's key.
    families: BTreeMap<String, Vec<Metadata>>,
    bytes: u64,
    /// Families whose descriptions differ from those in the store.
    dirty: BTreeSet<String>,
}

/// The family of a key.
fn family_of(key: &str) -> &str {
    key.split_once('\0').map_or(key, |(family, _)| family)
}

/// The key of the descriptions of a family by `tenant`, or by writers without a tenant.
pub fn key_of(tenant: Option<&Tenant>, family: &str) -> String {
    tenant.map_or_else(|| family.to_owned(), |tenant| tenant.family_key(family))
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
    /// Creates it without descriptions, for at most `bytes_max` bytes, and at most [`TOTAL_BYTES_MAX`].
    pub fn new(bytes_max: u64) -> Self {
        HeadMetadata { bytes_max: bytes_max.min(TOTAL_BYTES_MAX), inner: RwLock::default() }
    }

    /// Bytes of all descriptions.
    pub fn bytes(&self) -> u64 {
        self.inner.read().bytes
    }

    /// Whether a description by `tenant`, or by a writer without a tenant, is new. A known one needs no log record.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the name is missing or contains a NUL; [`Error::Limit`] if a text is too long or the
    /// memory for descriptions is full.
    pub fn is_new(&self, tenant: Option<&Tenant>, family: &str, metadata: &Metadata) -> Result<bool> {
        if family.is_empty() {
            return Err(Error::Invalid("metadata without a metric name".to_owned()));
        }
        if family.contains('\0') {
            return Err(Error::Invalid("metadata of a metric with a NUL in its name".to_owned()));
        }
        check_text(family, "a name", family, NAME_BYTES_MAX)?;
        check_text(family, "a help text", &metadata.help, HELP_BYTES_MAX)?;
        check_text(family, "a unit", &metadata.unit, UNIT_BYTES_MAX)?;
        let (book, key) = (self.inner.read(), key_of(tenant, family));
        if book.families.get(&key).is_some_and(|entries| entries.contains(metadata)) {
            return Ok(false);
        }
        if book.bytes + bytes_of(&key, metadata) > self.bytes_max {
            return Err(Error::Limit(format!(
                "metadata of all metrics takes {} bytes, the limit is {}; {family:?} is not stored: shorten help texts, or \
                 raise memory (Options::memory_bytes)",
                book.bytes, self.bytes_max
            )));
        }
        Ok(true)
    }

    /// Adds a description under a key ([`key_of`]); a known one keeps its position.
    pub fn insert(&self, key: &str, metadata: &Metadata) {
        let mut book = self.inner.write();
        if book.insert(key, metadata) {
            book.dirty.insert(key.to_owned());
        }
    }

    /// Adds descriptions that the store contains.
    pub fn adopt(&self, key: &str, entries: &[Metadata]) {
        let mut book = self.inner.write();
        for metadata in entries {
            book.insert(key, metadata);
        }
    }

    /// The descriptions of one family that a tenant may see: those written without a tenant, then its own, each oldest
    /// first. The memory of the result stays taken from `work`.
    ///
    /// # Errors
    /// `work` has no memory for it.
    pub fn select_of(&self, tenant: &Tenant, family: &str, work: &Work) -> Result<Vec<Metadata>> {
        let (book, taken) = (self.inner.read(), Taken::of(work));
        let mut found: Vec<Metadata> = Vec::new();
        for key in [family.to_owned(), tenant.family_key(family)] {
            for entry in book.families.get(&key).into_iter().flatten() {
                if !found.contains(entry) {
                    taken.more(bytes_of(family, entry) as usize)?;
                    found.push(entry.clone());
                }
            }
        }
        taken.leave();
        Ok(found)
    }

    /// The types in the descriptions of one family that were written without a tenant or by `tenant`. Those that say nothing
    /// are left out.
    pub fn types_of(&self, tenant: Option<&Tenant>, family: &str) -> Vec<MetricType> {
        let book = self.inner.read();
        let of_all = book.families.get(family);
        let own = tenant.and_then(|tenant| book.families.get(&tenant.family_key(family)));
        let kinds = of_all.into_iter().chain(own).flatten().map(|entry| entry.kind);
        kinds.filter(|kind| *kind != MetricType::Unknown).collect()
    }

    /// The descriptions of one family or of all, ascending by name; of one family, those written without a tenant, then
    /// those of each tenant, each oldest first; at most `limit` families. The memory of the result stays taken from
    /// `work`.
    ///
    /// # Errors
    /// `work` has no memory for it, or was stopped.
    pub fn select(
        &self,
        family: Option<&str>,
        limit: usize,
        work: &Work,
    ) -> Result<Vec<(String, Vec<Metadata>)>> {
        let (book, taken) = (self.inner.read(), Taken::of(work));
        let (from, is_wanted) =
            (family.unwrap_or_default(), |key: &str| family.is_none_or(|wanted| wanted == family_of(key)));
        let keys = book.families.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        let mut found: Vec<(String, Vec<Metadata>)> = Vec::new();
        let mut known: HashSet<&Metadata, RandomState> = HashSet::default();
        for (at, (key, entries)) in keys.take_while(|(key, _)| is_wanted(key)).enumerate() {
            if at.is_multiple_of(FAMILIES_PER_CHECK) {
                work.check()?;
            }
            let name = family_of(key);
            if found.last().is_none_or(|(last, _)| last != name) {
                if found.len() >= limit {
                    break;
                }
                taken.more(size_of::<(String, Vec<Metadata>)>())?;
                found.push((name.to_owned(), Vec::new()));
                known.clear();
            }
            let Some((_, all)) = found.last_mut() else { break };
            for entry in entries.iter().filter(|entry| known.insert(entry)) {
                taken.more(bytes_of(name, entry) as usize)?;
                all.push(entry.clone());
            }
        }
        taken.leave();
        Ok(found)
    }

    /// The families that a flush must write, in their current state. They count as written;
    /// [`HeadMetadata::mark_dirty`] undoes that.
    pub fn take_dirty(&self) -> Vec<(String, Vec<Metadata>)> {
        let mut book = self.inner.write();
        let dirty = std::mem::take(&mut book.dirty);
        dirty.into_iter().filter_map(|f| book.families.get(&f).cloned().map(|entries| (f, entries))).collect()
    }

    /// Marks families that did not reach the store.
    pub fn mark_dirty(&self, families: impl IntoIterator<Item = String>) {
        self.inner.write().dirty.extend(families);
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

    fn described(help: &str) -> Metadata {
        Metadata { kind: MetricType::Counter, help: help.to_owned(), unit: String::new() }
    }

    #[test]
    fn a_family_keeps_its_newest_descriptions() {
        let book = HeadMetadata::default();
        for i in 0..=ENTRIES_MAX {
            let entry = described(&format!("help {i}"));
            assert!(book.is_new(None, "m", &entry).unwrap());
            book.insert("m", &entry);
            assert!(!book.is_new(None, "m", &entry).unwrap(), "known by now");
            book.insert("m", &entry);
        }
        let work = Work::unbounded();
        let kept = &book.select(Some("m"), 9, &work).unwrap()[0].1;
        assert_eq!(kept.len(), ENTRIES_MAX);
        assert_eq!((&*kept[0].help, &*kept[ENTRIES_MAX - 1].help), ("help 1", "help 8"));
        assert!(book.select(Some("n"), 9, &work).unwrap().is_empty());
    }

    #[test]
    fn a_tenant_sees_and_replaces_its_own_descriptions() {
        let book = HeadMetadata::default();
        let (a, b) = (Tenant::new("db", "a").unwrap(), Tenant::new("db", "b").unwrap());
        book.insert("m", &described("shared"));
        book.insert("m_", &described("another family"));
        book.insert(&key_of(Some(&b), "m"), &described("of b"));
        for i in 0..2 * ENTRIES_MAX {
            assert!(book.is_new(Some(&a), "m", &described(&format!("of a {i}"))).unwrap());
            book.insert(&key_of(Some(&a), "m"), &described(&format!("of a {i}")));
        }
        book.insert(&key_of(Some(&a), "m"), &described("shared"));
        let work = Work::unbounded();
        let helps = |found: Vec<Metadata>| found.into_iter().map(|entry| entry.help).collect::<Vec<_>>();
        assert_eq!(helps(book.select_of(&b, "m", &work).unwrap()), ["shared", "of b"]);
        let of_a = helps(book.select_of(&a, "m", &work).unwrap());
        assert_eq!((of_a.len(), &*of_a[0], &*of_a[ENTRIES_MAX - 1]), (ENTRIES_MAX, "shared", "of a 15"));
        let all = book.select(None, 9, &work).unwrap();
        assert_eq!((all.len(), &*all[0].0, all[0].1.len(), &*all[1].0), (2, "m", ENTRIES_MAX + 1, "m_"));
        assert_eq!(book.select(Some("m"), 9, &work).unwrap(), all[..1]);
        assert_eq!(book.select(None, 1, &work).unwrap(), all[..1]);
        let refused = book.is_new(None, "m\0db\0b", &described("x")).unwrap_err();
        assert!(refused.to_string().contains("NUL"), "no name of a family is the key of a tenant: {refused}");
    }

    #[test]
    fn types_are_those_of_all_and_of_the_tenant() {
        let of = |kind| Metadata { kind, ..Metadata::default() };
        let (a, b) = (Tenant::new("db", "a").unwrap(), Tenant::new("db", "b").unwrap());
        let all = HeadMetadata::default();
        all.insert("m", &of(MetricType::Unknown));
        all.insert(&key_of(Some(&a), "m"), &of(MetricType::Gauge));
        assert_eq!((all.types_of(None, "m"), all.types_of(Some(&b), "m")), (vec![], vec![]));
        assert_eq!(all.types_of(Some(&a), "m"), [MetricType::Gauge]);
        all.insert("m", &of(MetricType::Counter));
        assert_eq!(all.types_of(Some(&a), "m"), [MetricType::Counter, MetricType::Gauge]);
        assert_eq!(all.types_of(Some(&b), "m"), [MetricType::Counter]);
    }

    #[test]
    fn limits_are_reported() {
        let book = HeadMetadata::default();
        let text = |result: Result<bool>| result.unwrap_err().to_string();
        assert_eq!(text(book.is_new(None, "", &described("x"))), "metadata without a metric name");
        let long = described(&"x".repeat(HELP_BYTES_MAX + 1));
        assert_eq!(
            text(book.is_new(None, "m", &long)),
            "metadata of \"m\": a help text of 8193 bytes, the limit is 8192; shorten it"
        );
        assert!(text(book.is_new(None, &"m".repeat(2000), &described("x"))).contains("a name of 2000 bytes"));
        let help = "x".repeat(HELP_BYTES_MAX);
        let refused = (0..10_000).find(|i| {
            let family = format!("m{i}");
            let refused = book.is_new(None, &family, &described(&help)).is_err();
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
