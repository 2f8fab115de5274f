//! Metadata, exemplars and created databases: checked when they are written, stored with each flush, and returned.
//!
//! Next: `head/metadata.rs`, `head/exemplars.rs` and `head/databases.rs` hold them, `store/notes.rs` stores them.

use crate::budget::Work;
use crate::engine::admit::Admission;
use crate::engine::shortened::shown;
use crate::engine::{Engine, Shared};
use crate::head::batch::{exemplar_bytes, metadata_bytes};
use crate::head::{Head, ResolvedBatch, SeriesExemplars, metadata};
use crate::model::{Exemplar, Labels, Matcher, Metadata, Tenant, TimeRange, Timestamp};
use crate::store::kv::{Bulk, Change};
use crate::store::notes::{self, Note};
use crate::{Error, Result};

impl Engine {
    /// The descriptions of one metric family or of all, ascending by name; within a family, the oldest description
    /// first.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn metadata(&self, family: Option<&str>) -> Result<Vec<(String, Vec<Metadata>)>> {
        self.metadata_within(family, usize::MAX, &Work::unbounded())
    }

    /// Like [`Engine::metadata`], for the first `limit` of all families. The memory of the result stays taken from
    /// `work`.
    ///
    /// # Errors
    /// `work` has no memory for it, or was stopped.
    pub fn metadata_within(
        &self,
        family: Option<&str>,
        limit: usize,
        work: &Work,
    ) -> Result<Vec<(String, Vec<Metadata>)>> {
        self.shared.lifecycle.check_open()?;
        self.shared.head.metadata.select(family, limit, work)
    }

    /// The descriptions of one metric family that a tenant may see: those written without a tenant, then its own, each
    /// oldest first. The memory of the result stays taken from `work`.
    ///
    /// # Errors
    /// `work` has no memory for it.
    pub fn metadata_of(&self, tenant: &Tenant, family: &str, work: &Work) -> Result<Vec<Metadata>> {
        self.shared.lifecycle.check_open()?;
        self.shared.head.metadata.select_of(tenant, family, work)
    }

    /// The exemplars in `range` of the series that match all matchers of any of `selectors`, ascending by labels, then
    /// by time.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn exemplars(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<Vec<SeriesExemplars>> {
        self.exemplars_within(selectors, range, &Work::unbounded())
    }

    /// Like [`Engine::exemplars`]. The memory of the result stays taken from `work`.
    ///
    /// # Errors
    /// `work` has no memory for it, or was stopped.
    pub fn exemplars_within(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        work: &Work,
    ) -> Result<Vec<SeriesExemplars>> {
        self.shared.lifecycle.check_open()?;
        self.shared.head.exemplars.select(selectors, range, work)
    }

    /// Adds a name to the databases that [`Engine::databases`] lists. Returns false if it is already listed. Durable
    /// when it returns, according to the durability option. Writing to a database does not require creating it: it is a
    /// value of the label `db`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the name is empty, contains a NUL or exceeds 256 bytes; [`Error::Limit`] if 10,000 were
    /// created; an I/O error.
    pub fn create_database(&self, name: &str) -> Result<bool> {
        let shared = &self.shared;
        shared.check_writable()?;
        let is_new = shared.head.databases.is_new(name)?;
        let mut resolved = ResolvedBatch::default();
        resolved.databases.extend(is_new.then(|| name.to_owned()));
        shared.commit_durably(resolved)?;
        Ok(is_new)
    }

    /// Removes a created name from the list. Returns false if it is not listed. Durable when it returns, according to
    /// the durability option. No sample is deleted.
    ///
    /// # Errors
    /// An I/O error.
    pub fn drop_database(&self, name: &str) -> Result<bool> {
        let shared = &self.shared;
        shared.check_writable()?;
        let is_there = shared.head.databases.contains(name);
        let mut resolved = ResolvedBatch::default();
        resolved.dropped.extend(is_there.then(|| name.to_owned()));
        shared.commit_durably(resolved)?;
        Ok(is_there)
    }

    /// The databases that were created by name, ascending.
    pub fn databases(&self) -> Vec<String> {
        if self.is_usable() { self.shared.head.databases.names() } else { Vec::new() }
    }
}

/// Loads the notes of the store into the head, before the WAL is replayed over them.
pub(super) fn load(kv: &dyn Bulk, head: &Head) -> Result<()> {
    notes::load(kv, |note| match note {
        Note::Metadata(family, entries) => head.metadata.adopt(&family, &entries),
        Note::Exemplars(series, exemplars) => head.exemplars.adopt(&series, &exemplars),
        Note::Database(name, _) => head.databases.adopt(&name),
    })
}

/// Notes that are being written to the store. If that fails, they are marked as dirty again.
pub(super) struct NotesTaken<'h> {
    head: &'h Head,
    taken: Vec<Note>,
}

impl<'h> NotesTaken<'h> {
    /// Takes the notes that changed since the last flush, without exemplars at or before `horizon`.
    pub fn take(head: &'h Head, horizon: Timestamp) -> Self {
        head.exemplars.expire(horizon);
        let metadata = head.metadata.take_dirty().into_iter().map(|(f, entries)| Note::Metadata(f, entries));
        let exemplars = head.exemplars.take_dirty().into_iter().map(|(s, list)| Note::Exemplars(s, list));
        let databases = head.databases.take_dirty().into_iter();
        let databases = databases.map(|(name, is_there)| Note::Database(name, is_there));
        NotesTaken { head, taken: metadata.chain(exemplars).chain(databases).collect() }
    }

    /// The changes to commit.
    pub fn changes(&self) -> Result<Vec<Change>> {
        self.taken.iter().map(Note::change).collect()
    }

    /// Records that they were committed.
    pub fn settle(&mut self) {
        self.taken.clear();
    }
}

impl Drop for NotesTaken<'_> {
    fn drop(&mut self) {
        for note in self.taken.drain(..) {
            match note {
                Note::Metadata(family, _) => self.head.metadata.mark_dirty([family]),
                Note::Exemplars(series, _) => self.head.exemplars.mark_dirty([series]),
                Note::Database(name, _) => self.head.databases.mark_dirty([name]),
            }
        }
    }
}

impl Shared {
    /// Commits notes and waits until they are durable. Notes that are already known are durable.
    fn commit_durably(&self, mut resolved: ResolvedBatch) -> Result<()> {
        let ticket = self.commit(&mut resolved)?;
        self.writer.wait_durable(ticket)
    }
}

impl Admission {
    /// Checks a description by `tenant`, or one written without a tenant, and adds it to `resolved` unless it is known.
    pub fn note_metadata(
        &self,
        resolved: &mut ResolvedBatch,
        tenant: Option<&Tenant>,
        family: &str,
        metadata: &Metadata,
    ) -> Result<()> {
        if self.head().metadata.is_new(tenant, family, metadata)? {
            let key = metadata::key_of(tenant, family);
            resolved.add_text_bytes(metadata_bytes(&key, metadata));
            resolved.metadata.push((key, metadata.clone()));
        }
        Ok(())
    }

    /// Checks an exemplar and adds it to `resolved`. Returns false if it is past the retention.
    pub fn note_exemplar(
        &self,
        resolved: &mut ResolvedBatch,
        series: &Labels,
        exemplar: Exemplar,
        horizon: Timestamp,
    ) -> Result<bool> {
        if series.is_empty() {
            return Err(Error::Invalid("an exemplar of a series without labels".to_owned()));
        }
        self.check_labels(series)?;
        let (chars, limit) = (exemplar.label_chars(), Exemplar::LABEL_CHARS_MAX);
        if chars > limit {
            return Err(Error::Limit(format!(
                "series {}: an exemplar with labels of {chars} characters, the limit is {limit} (that of OpenMetrics)",
                shown(series)
            )));
        }
        if exemplar.timestamp.as_nanos() <= horizon {
            return Ok(false);
        }
        resolved.add_text_bytes(exemplar_bytes(series, &exemplar));
        resolved.exemplars.push((series.clone(), exemplar));
        Ok(true)
    }
}
