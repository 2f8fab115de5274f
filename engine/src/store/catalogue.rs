//! The catalogue: which generations count, and what each of them must hold.
//!
//! The store's bulk families may contain more than the catalogue names (a flush that did
//! not come to its end, a range whose removal a crash undid); they may never contain less.
//! Opening removes the surplus and reports what is missing. A flush or merge is done when,
//! and only when, its catalogue change is committed.
//!
//! # Format
//! Records of [`Family::Meta`], each in the envelope of `values`, version 1:
//!
//! ```text
//! 'r'                          Root
//! 'g' | prefix (14 bytes)      GenerationRecord
//! 't' | sequence u64 BE        TombstoneRecord
//! ```
//! Notes lie beside them, see `notes`.
//!
//! # Invariants
//! C1. `flushed_seq` is the largest WAL sequence whose samples are all in generations.
//! C2. A tombstone hides samples of a generation iff its sequence is larger than both the
//!     generation's `cut` and its `deletes_applied`. The head needs no tombstones: a delete
//!     edits it at once.
//! C3. Generation numbers and series ids are never used twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bincode::{Decode, Encode};
use parking_lot::Mutex;

use crate::model::matcher::meets_all;
use crate::model::{Labels, MatchOp, Matcher, PartitionId, TimeRange, Timestamp};
use crate::store::keys::Prefix;
use crate::store::kv::{Change, Family, Kv};
use crate::store::{notes, values};
use crate::{Error, Result};

/// Version of the catalogue's records.
pub const CATALOGUE_VERSION: u32 = 1;

/// What the whole database has one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Root {
    /// Names the database in its WAL segments.
    pub database_id: u64,
    /// Width of a partition, fixed at creation.
    pub partition_width_ns: i64,
    /// Largest WAL sequence that is completely in generations.
    pub flushed_seq: u64,
    /// The next generation number.
    pub next_generation: u64,
    /// No id at or above this one was ever written to the store.
    pub next_series: u64,
    /// Newest timestamp ever flushed of those that counted (`engine/retention/`); `i64::MIN` before the first flush.
    pub newest: Timestamp,
}

/// What one generation must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct GenerationRecord {
    /// Every sample in it has a WAL sequence at or below this one.
    pub cut: u64,
    /// Deletes up to this sequence were applied when it was written.
    pub deletes_applied: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// Number of samples.
    pub samples: u64,
    /// Number of series records.
    pub series: u64,
    /// Number of events.
    pub events: u64,
    /// Sum of the CRC-32 of all chunk values, wrapping.
    pub crc_sum: u64,
    /// Bytes of chunk values.
    pub bytes: u64,
    /// Smallest timestamp.
    pub first: Timestamp,
    /// Largest timestamp.
    pub last: Timestamp,
    /// Whether a merge wrote it.
    pub merged: bool,
}

#[derive(Encode, Decode)]
struct TombstoneRecord {
    matchers: Vec<(String, u8, String)>,
    start: i64,
    end: i64,
}

/// A deletion that is not yet carried out physically everywhere.
#[derive(Debug, Clone)]
pub struct Tombstone {
    /// WAL sequence of the delete.
    pub seq: u64,
    /// The series it is about.
    pub matchers: Vec<Matcher>,
    /// The span it is about.
    pub range: TimeRange,
}

impl Tombstone {
    /// Whether it is about this series.
    pub fn matches(&self, labels: &Labels) -> bool {
        meets_all(&self.matchers, labels)
    }

    /// Whether it hides something of `generation` (C2), as far as bounds tell.
    pub fn concerns(&self, record: &GenerationRecord) -> bool {
        self.seq > record.cut.max(record.deletes_applied) && self.range.overlaps(record.first, record.last)
    }

    /// The form it has in the catalogue and in the WAL.
    ///
    /// # Errors
    /// The matchers are larger than a record may be.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let matchers =
            self.matchers.iter().map(|m| (m.name.clone(), op_code(m.op), m.value.clone())).collect();
        values::encode(
            CATALOGUE_VERSION,
            &TombstoneRecord { matchers, start: self.range.start, end: self.range.end },
        )
    }

    /// Reads [`Tombstone::encode`]'s form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(place: &str, seq: u64, bytes: &[u8]) -> Result<Tombstone> {
        let record: TombstoneRecord = values::decode(place, CATALOGUE_VERSION, bytes)?;
        let corrupt = |what: String| Error::Corrupt { file: place.to_owned(), offset: 0, what };
        let mut matchers = Vec::with_capacity(record.matchers.len());
        for (name, code, value) in &record.matchers {
            let op = op_from_code(*code).ok_or_else(|| corrupt(format!("matcher code {code}")))?;
            matchers.push(Matcher::new(name, op, value).map_err(|e| corrupt(e.to_string()))?);
        }
        Ok(Tombstone { seq, matchers, range: TimeRange::new(record.start, record.end) })
    }
}

fn op_code(op: MatchOp) -> u8 {
    match op {
        MatchOp::Equal => 0,
        MatchOp::NotEqual => 1,
        MatchOp::Regex => 2,
        MatchOp::NotRegex => 3,
    }
}

fn op_from_code(code: u8) -> Option<MatchOp> {
    Some(match code {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        _ => return None,
    })
}

/// Collects the prefixes of generations that left the catalogue and that nobody reads any
/// more, until somebody removes their ranges.
#[derive(Debug, Default)]
pub struct Graveyard {
    dead: Mutex<Dead>,
}

#[derive(Debug, Default)]
struct Dead {
    prefixes: Vec<Prefix>,
    bytes: u64,
}

impl Graveyard {
    /// Takes out all prefixes whose ranges can be removed now.
    pub fn take(&self) -> Vec<Prefix> {
        std::mem::take(&mut *self.dead.lock()).prefixes
    }

    /// Adds prefixes under which nothing is named or read.
    pub fn add(&self, prefixes: Vec<Prefix>) {
        self.dead.lock().prefixes.extend(prefixes);
    }

    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.dead.lock().prefixes.is_empty()
    }

    /// Bytes of chunk values under the prefixes that [`Graveyard::take`] would take out.
    pub fn bytes(&self) -> u64 {
        self.dead.lock().bytes
    }
}

/// A generation that views hold on to. When it has left the catalogue and the last view
/// lets go, its prefix goes to the graveyard.
#[derive(Debug)]
pub struct Generation {
    /// Where its keys lie.
    pub prefix: Prefix,
    /// What it holds.
    pub record: GenerationRecord,
    obsolete: AtomicBool,
    graveyard: Arc<Graveyard>,
}

impl Generation {
    /// A generation that is, or is about to be, in the catalogue.
    pub fn new(prefix: Prefix, record: GenerationRecord, graveyard: &Arc<Graveyard>) -> Arc<Self> {
        Arc::new(Generation {
            prefix,
            record,
            obsolete: AtomicBool::new(false),
            graveyard: graveyard.clone(),
        })
    }

    /// Says that it has left the catalogue.
    pub fn retire(&self) {
        self.obsolete.store(true, Ordering::Release);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire) {
            let mut dead = self.graveyard.dead.lock();
            dead.prefixes.push(self.prefix);
            dead.bytes += self.record.bytes;
        }
    }
}

/// One immutable state of the catalogue. Views hold one; changes make a new one.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// What there is one of.
    pub root: Root,
    /// Ascending by partition, then by cut (K2).
    pub generations: Vec<Arc<Generation>>,
    /// Ascending by sequence.
    pub tombstones: Vec<Arc<Tombstone>>,
}

impl Catalogue {
    /// The catalogue of a new, empty database.
    pub fn new(database_id: u64, partition_width_ns: i64) -> Self {
        let root = Root {
            database_id,
            partition_width_ns,
            flushed_seq: 0,
            next_generation: 1,
            next_series: 1,
            newest: i64::MIN,
        };
        Catalogue { root, generations: Vec::new(), tombstones: Vec::new() }
    }

    /// Reads the catalogue; `None` if the store has none yet.
    ///
    /// # Errors
    /// A record is damaged or from a newer version.
    pub fn load(kv: &dyn Kv, graveyard: &Arc<Graveyard>) -> Result<Option<Self>> {
        let Some(bytes) = kv.get(Family::Meta, ROOT_KEY)? else { return Ok(None) };
        let root: Root = values::decode("meta/root", CATALOGUE_VERSION, &bytes)?;
        let mut catalogue = Catalogue { root, generations: Vec::new(), tombstones: Vec::new() };
        let mut cursor = kv.cursor(Family::Meta);
        cursor.seek(&[])?;
        while let Some((key, value)) = cursor.entry() {
            catalogue.adopt(key, value, graveyard)?;
            cursor.advance()?;
        }
        catalogue.sort();
        Ok(Some(catalogue))
    }

    fn adopt(&mut self, key: &[u8], value: &[u8], graveyard: &Arc<Graveyard>) -> Result<()> {
        if notes::is_key(key) {
            return Ok(());
        }
        let place = format!("meta/{}", key.escape_ascii());
        let broken =
            || Error::Corrupt { file: place.clone(), offset: 0, what: "unknown kind of key".to_owned() };
        match key.split_first() {
            Some((b'r', [])) => {}
            Some((b'g', rest)) => {
                let prefix = Prefix::decode(rest).ok_or_else(broken)?;
                let record = values::decode(&place, CATALOGUE_VERSION, value)?;
                self.generations.push(Generation::new(prefix, record, graveyard));
            }
            Some((b't', rest)) => {
                let seq = u64::from_be_bytes(rest.try_into().map_err(|_| broken())?);
                self.tombstones.push(Arc::new(Tombstone::decode(&place, seq, value)?));
            }
            _ => return Err(broken()),
        }
        Ok(())
    }

    /// Restores the order of generations and tombstones.
    pub fn sort(&mut self) {
        self.generations.sort_by_key(|g| (g.prefix.partition, g.record.cut, g.prefix.generation));
        self.tombstones.sort_by_key(|t| t.seq);
    }

    /// The changes of [`Family::Meta`] that lead from `self` to `next`.
    ///
    /// # Errors
    /// A record is too large.
    pub fn changes_to(&self, next: &Catalogue) -> Result<Vec<Change>> {
        let mut changes = vec![(ROOT_KEY.to_vec(), Some(values::encode(CATALOGUE_VERSION, &next.root)?))];
        let is_in = |set: &[Arc<Generation>], prefix: Prefix| set.iter().any(|g| g.prefix == prefix);
        for old in self.generations.iter().filter(|g| !is_in(&next.generations, g.prefix)) {
            changes.push((generation_key(old.prefix), None));
        }
        for new in next.generations.iter().filter(|g| !is_in(&self.generations, g.prefix)) {
            changes.push((generation_key(new.prefix), Some(values::encode(CATALOGUE_VERSION, &new.record)?)));
        }
        // Tombstones are few, and after a delete the WAL alone may know them: write them all.
        for old in &self.tombstones {
            changes.push((tombstone_key(old.seq), None));
        }
        for tombstone in &next.tombstones {
            changes.push((tombstone_key(tombstone.seq), Some(tombstone.encode()?)));
        }
        Ok(changes)
    }

    /// All its records but the root's, as changes that put them.
    ///
    /// # Errors
    /// A record is too large.
    pub fn records(&self) -> Result<Vec<Change>> {
        let mut records = Vec::with_capacity(self.generations.len() + self.tombstones.len());
        for generation in &self.generations {
            let value = values::encode(CATALOGUE_VERSION, &generation.record)?;
            records.push((generation_key(generation.prefix), Some(value)));
        }
        for tombstone in &self.tombstones {
            records.push((tombstone_key(tombstone.seq), Some(tombstone.encode()?)));
        }
        Ok(records)
    }

    /// Drops tombstones that hide nothing any more: no generation is older than they are
    /// in their span. `unflushed_cut` is the cut of head data that is on its way into
    /// generations, which a later tombstone must still hide.
    pub fn forget_spent_tombstones(&mut self, unflushed_cut: Option<u64>) {
        let generations = &self.generations;
        self.tombstones.retain(|t| {
            unflushed_cut.is_some_and(|cut| t.seq > cut) || generations.iter().any(|g| t.concerns(&g.record))
        });
    }
}

const ROOT_KEY: &[u8] = b"r";

fn generation_key(prefix: Prefix) -> Vec<u8> {
    [b"g", &prefix.encode()[..]].concat()
}

fn tombstone_key(seq: u64) -> Vec<u8> {
    [b"t", &seq.to_be_bytes()[..]].concat()
}

/// All generations of one partition, ascending by cut.
pub fn generations_of(generations: &[Arc<Generation>], partition: PartitionId) -> &[Arc<Generation>] {
    let start = generations.partition_point(|g| g.prefix.partition < partition);
    let end = generations.partition_point(|g| g.prefix.partition <= partition);
    &generations[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryKv;

    fn record(cut: u64) -> GenerationRecord {
        GenerationRecord {
            cut,
            deletes_applied: 0,
            chunks: 1,
            samples: 2,
            series: 1,
            events: 0,
            crc_sum: 5,
            bytes: 9,
            first: 10,
            last: 20,
            merged: false,
        }
    }

    fn prefix(partition: i32, generation: u64) -> Prefix {
        Prefix { class: 0, tier: 0, partition: PartitionId(partition), generation }
    }

    #[test]
    fn changes_bring_the_store_from_one_state_to_the_next() {
        let kv = MemoryKv::default();
        let graveyard = Arc::new(Graveyard::default());
        let first = Catalogue::new(42, 1000);
        let mut second = first.clone();
        second.root.flushed_seq = 7;
        second.generations.push(Generation::new(prefix(3, 1), record(7), &graveyard));
        second.generations.push(Generation::new(prefix(-3, 2), record(7), &graveyard));
        second.tombstones.push(Arc::new(Tombstone {
            seq: 9,
            matchers: vec![Matcher::new("job", MatchOp::NotRegex, "a.*").unwrap()],
            range: TimeRange::new(5, 15),
        }));
        second.sort();
        kv.commit(first.changes_to(&second).unwrap()).unwrap();
        let loaded = Catalogue::load(&kv, &graveyard).unwrap().unwrap();
        assert_eq!(loaded.root, second.root);
        assert_eq!(loaded.generations[0].prefix, prefix(-3, 2));
        assert_eq!(loaded.generations[1].record, record(7));
        assert_eq!(loaded.tombstones[0].matchers, second.tombstones[0].matchers);

        let mut third = loaded.clone();
        third.generations.remove(0);
        third.tombstones.clear();
        kv.commit(loaded.changes_to(&third).unwrap()).unwrap();
        let loaded = Catalogue::load(&kv, &graveyard).unwrap().unwrap();
        assert_eq!((loaded.generations.len(), loaded.tombstones.len()), (1, 0));
    }

    #[test]
    fn a_tombstone_hides_only_what_is_older() {
        let tombstone = Tombstone { seq: 8, matchers: vec![], range: TimeRange::new(0, 100) };
        assert!(tombstone.concerns(&record(7)));
        assert!(!tombstone.concerns(&record(8)), "written after the delete");
        assert!(
            !tombstone.concerns(&GenerationRecord { deletes_applied: 8, ..record(7) }),
            "already applied"
        );
        let elsewhere = Tombstone { range: TimeRange::new(20, 100), ..tombstone };
        assert!(!elsewhere.concerns(&record(7)), "the left end is open");
    }

    #[test]
    fn a_retired_generation_is_buried_when_the_last_reader_leaves() {
        let graveyard = Arc::new(Graveyard::default());
        let generation = Generation::new(prefix(1, 1), record(1), &graveyard);
        let reader = generation.clone();
        generation.retire();
        drop(generation);
        assert!(graveyard.take().is_empty());
        drop(reader);
        assert_eq!(graveyard.take(), [prefix(1, 1)]);
        drop(Generation::new(prefix(1, 2), record(1), &graveyard));
        assert!(graveyard.take().is_empty(), "a generation in the catalogue is not removed on exit");
    }
}
