//! The databases that were created by name.
//!
//! A database is a value of the label `db` and need not be created. However, clients of InfluxDB create databases, look
//! for them in the list, and write nothing if they do not find them. So the created names are kept, with or without
//! samples.

use std::collections::BTreeSet;

use crate::sync::Mutex;
use crate::{Error, Result};

/// Maximum length of a name, bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Maximum number of names; further ones are refused.
pub const NAMES_MAX: usize = 10_000;

/// The names of all databases that were created.
#[derive(Debug, Default)]
pub struct HeadDatabases {
    inner: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    all: BTreeSet<String>,
    /// Names to be added to or removed from the store.
    dirty: BTreeSet<String>,
}

impl HeadDatabases {
    /// Whether a name is new. A known name costs no log record.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the name is empty, contains a NUL or is too long; [`Error::Limit`] if there are
    /// [`NAMES_MAX`] already.
    pub fn is_new(&self, name: &str) -> Result<bool> {
        if name.is_empty() || name.contains('\0') || name.len() > NAME_BYTES_MAX {
            let shown: String = name.chars().take(100).collect();
            return Err(Error::Invalid(format!(
                "database {shown:?}: a name has 1 to {NAME_BYTES_MAX} bytes and no NUL"
            )));
        }
        let names = self.inner.lock();
        if names.all.contains(name) {
            return Ok(false);
        }
        if names.all.len() >= NAMES_MAX {
            return Err(Error::Limit(format!(
                "{NAMES_MAX} databases are created, the limit; {name:?} is not. Writing to it does not require creating it"
            )));
        }
        Ok(true)
    }

    /// Adds a name, unless it is known.
    pub fn insert(&self, name: &str) {
        let mut names = self.inner.lock();
        if names.all.insert(name.to_owned()) {
            names.dirty.insert(name.to_owned());
        }
    }

    /// Whether a name is known.
    pub fn contains(&self, name: &str) -> bool {
        self.inner.lock().all.contains(name)
    }

    /// Removes a name.
    pub fn remove(&self, name: &str) {
        let mut names = self.inner.lock();
        if names.all.remove(name) {
            names.dirty.insert(name.to_owned());
        }
    }

    /// Adds a name that the store contains.
    pub fn adopt(&self, name: &str) {
        self.inner.lock().all.insert(name.to_owned());
    }

    /// All names, ascending.
    pub fn names(&self) -> Vec<String> {
        self.inner.lock().all.iter().cloned().collect()
    }

    /// The names that a flush must write, and whether each was added or removed. They count as written;
    /// [`HeadDatabases::mark_dirty`] undoes that.
    pub fn take_dirty(&self) -> Vec<(String, bool)> {
        let mut names = self.inner.lock();
        let dirty = std::mem::take(&mut names.dirty);
        dirty
            .into_iter()
            .map(|name| {
                let is_there = names.all.contains(&name);
                (name, is_there)
            })
            .collect()
    }

    /// Marks names that did not reach the store.
    pub fn mark_dirty(&self, names: impl IntoIterator<Item = String>) {
        self.inner.lock().dirty.extend(names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_limits() {
        let databases = HeadDatabases::default();
        for bad in ["", "a\0b", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(matches!(databases.is_new(bad), Err(Error::Invalid(_))), "{bad:?}");
        }
        assert!(databases.is_new(&"x".repeat(NAME_BYTES_MAX)).unwrap());
        for i in 0..NAMES_MAX {
            databases.insert(&format!("d{i}"));
        }
        let refused = databases.is_new("one more").unwrap_err();
        assert!(matches!(refused, Error::Limit(_)) && refused.to_string().contains("10000"), "{refused}");
        assert!(!databases.is_new("d7").unwrap(), "known");
    }

    #[test]
    fn only_new_names_are_written() {
        let databases = HeadDatabases::default();
        databases.adopt("stored");
        databases.insert("stored");
        databases.insert("new");
        assert_eq!(databases.take_dirty(), [("new".to_owned(), true)]);
        assert!(databases.take_dirty().is_empty());
        databases.mark_dirty(["new".to_owned()]);
        assert_eq!(databases.take_dirty().len(), 1, "a failed flush tries again");
        assert_eq!(databases.names(), ["new", "stored"]);
    }

    #[test]
    fn what_was_taken_away_is_taken_from_the_store_too() {
        let databases = HeadDatabases::default();
        databases.adopt("stored");
        databases.remove("stored");
        databases.remove("unknown");
        assert_eq!(databases.take_dirty(), [("stored".to_owned(), false)]);
        databases.mark_dirty(["stored".to_owned()]);
        databases.insert("stored");
        assert_eq!(
            databases.take_dirty(),
            [("stored".to_owned(), true)],
            "created again before it was flushed"
        );
    }
}
