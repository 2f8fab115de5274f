//! The catalogue: which generations are current, and how many records each must have.
//!
//! The store's bulk families may contain more than the catalogue names (an incomplete flush, a range whose removal a
//! crash undid) but never less. Opening removes the surplus and reports what is missing. A flush or merge takes effect
//! exactly when its change of the catalogue is committed.
//!
//! # Format
//! Records of [`Family::Meta`], each in the envelope of `values`, version 1:
//!
//! ```text
//! 'r'                          Root
//! 'g' | prefix (14 bytes)      GenerationRecord
//! 't' | sequence u64 BE        TombstoneRecord
//! 'c' | class | resolution     Coverage
//! 's' | number u32 BE          TrimRecord
//! 'e'                          EventTrim
//! 'k'                          KeptRecord
//! ```
//! Notes are next to them, see `notes`.
//!
//! # Invariants
//! C1. `flushed_seq` is the largest WAL sequence up to which all samples are in generations.
//! C2. A tombstone hides samples of a generation iff its sequence is larger than both the generation's `cut` and its
//!     `deletes_applied`, and samples in the head that are from earlier records. A flush leaves out samples hidden by
//!     tombstones up to its cut.
//! C3. Generation numbers and series ids are never used twice.
//! C4. A tier of buckets is complete where its coverage says so, see `coverage`.
//! C5. Series may have lost data that others still have, see `trims`.
//! C6. Events may have been dropped although samples of their time are kept, see `event_trim`.
//!
//! # Cost
//! A database may have very many partitions. The cost of a change of the catalogue (see `edit`) depends on the size of
//! the change, in memory (`blocks`) and in the store; opening reads each record once.

mod choices;
mod coverage;
mod event_trim;
mod kept;
mod trims;

use std::collections::BTreeMap;
use std::sync::Arc;

use bincode::{Decode, Encode};

use crate::model::matcher::meets_all;
use crate::model::{Labels, Layout, MatchOp, Matcher, TierId, TimeRange, Timestamp};
use crate::store::blocks::{Blocks, Entry};
pub use crate::store::catalogue::choices::{CHOICES_KEY, Choices, SeriesClass};
pub use crate::store::catalogue::coverage::{Coverage, Coverages, coverage_key, coverage_value};
pub use crate::store::catalogue::event_trim::{EVENT_TRIM_KEY, EventTrim};
pub use crate::store::catalogue::kept::{KEPT_KEY, KeptRecord};
pub use crate::store::catalogue::trims::{Trim, Trims, trim_key};
use crate::store::generations::Generations;
use crate::store::keys::Prefix;
use crate::store::kv::{Bulk, Family};
pub use crate::store::lifetime::{Generation, GenerationRecord, Obsolete};
use crate::store::{notes, values};
use crate::{Error, Result};

/// Version of the catalogue's records.
pub const CATALOGUE_VERSION: u32 = 1;

/// Data that exists once per database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Root {
    /// Identifies the database in its WAL segments.
    pub database_id: u64,
    /// Width of a partition, fixed at creation.
    pub partition_width_ns: i64,
    /// Largest WAL sequence that is completely in generations.
    pub flushed_seq: u64,
    /// The next generation number.
    pub next_generation: u64,
    /// No id at or above this one was ever written to the store.
    pub next_series: u64,
    /// Newest timestamp ever flushed among those that count (`engine/retention/`); `i64::MIN` before the first
    /// flush.
    pub newest: Timestamp,
}

#[derive(Encode, Decode)]
struct TombstoneRecord {
    matchers: Vec<(String, u8, String)>,
    start: i64,
    end: i64,
}

/// A delete that has not been applied physically everywhere yet.
#[derive(Debug, Clone)]
pub struct Tombstone {
    /// WAL sequence of the delete.
    pub seq: u64,
    /// The series that it deletes from.
    pub matchers: Vec<Matcher>,
    /// The time range that it deletes.
    pub range: TimeRange,
}

impl Tombstone {
    /// Whether it deletes samples of this series.
    pub fn matches(&self, labels: &Labels) -> bool {
        meets_all(&self.matchers, labels)
    }

    /// Whether it may hide samples of `generation` (C2), judged by the bounds of the record.
    pub fn concerns(&self, record: &GenerationRecord) -> bool {
        self.seq > record.applied() && self.range.overlaps(record.first, record.last)
    }

    /// Whether it may hide samples in `range`.
    pub fn overlaps(&self, range: TimeRange) -> bool {
        !range.is_empty() && self.range.overlaps(range.start.saturating_add(1), range.end)
    }

    /// Its encoding in the catalogue and in the WAL.
    ///
    /// # Errors
    /// The matchers are larger than a record may be.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let matchers = encode_matchers(&self.matchers);
        values::encode(
            CATALOGUE_VERSION,
            &TombstoneRecord { matchers, start: self.range.start, end: self.range.end },
        )
    }

    /// Decodes the result of [`Tombstone::encode`].
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(place: &str, seq: u64, bytes: &[u8]) -> Result<Tombstone> {
        let record: TombstoneRecord = values::decode(place, CATALOGUE_VERSION, bytes)?;
        let matchers = decode_matchers(place, &record.matchers)?;
        Ok(Tombstone { seq, matchers, range: TimeRange::new(record.start, record.end) })
    }
}

/// Matchers as records have them: name, code of the comparison, text.
fn encode_matchers(matchers: &[Matcher]) -> Vec<(String, u8, String)> {
    matchers.iter().map(|m| (m.name.clone(), op_code(m.op), m.value.clone())).collect()
}

/// The opposite of [`encode_matchers`].
fn decode_matchers(place: &str, records: &[(String, u8, String)]) -> Result<Vec<Matcher>> {
    let corrupt = |what: String| Error::Corrupt { file: place.to_owned(), offset: 0, what };
    let decode = |(name, code, value): &(String, u8, String)| {
        let op = op_from_code(*code).ok_or_else(|| corrupt(format!("matcher code {code}")))?;
        Matcher::new(name, op, value).map_err(|e| corrupt(e.to_string()))
    };
    records.iter().map(decode).collect()
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

/// Deletes, ascending by sequence.
pub type Tombstones = Blocks<Arc<Tombstone>>;

impl Entry for Arc<Tombstone> {
    type Key = u64;
    type Sum = ();

    fn key(&self) -> u64 {
        self.seq
    }

    fn add_to(&self, (): &mut ()) {}
}

/// One immutable state of the catalogue. Each view holds one; a change creates a new one that shares the unchanged
/// parts. A clone is free.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// The data that exists once per database.
    pub root: Root,
    /// The stored generations.
    pub generations: Generations,
    /// Deletes whose data may still be stored.
    pub tombstones: Tombstones,
    /// The tiers of buckets, and the span for which each is complete.
    pub coverage: Coverages,
    /// Up to when the data of some series has been dropped.
    pub trims: Trims,
    /// Up to when events have been dropped where samples are kept.
    pub event_trim: Option<EventTrim>,
    /// What the database itself says is kept.
    pub kept: Option<Arc<KeptRecord>>,
    /// Of which series the tiers that were chosen hold buckets.
    pub choices: Arc<Choices>,
}

impl Catalogue {
    /// The catalogue of a new, empty database.
    pub fn new(database_id: u64, layout: Layout) -> Self {
        let root = Root {
            database_id,
            partition_width_ns: layout.width(TierId::RAW),
            flushed_seq: 0,
            next_generation: 1,
            next_series: 1,
            newest: i64::MIN,
        };
        Catalogue {
            root,
            generations: Generations::default(),
            tombstones: Tombstones::default(),
            coverage: Coverages::default(),
            trims: Trims::default(),
            event_trim: None,
            kept: None,
            choices: Arc::default(),
        }
    }

    /// How data is divided into partitions.
    pub fn layout(&self) -> Layout {
        Layout::new(self.root.partition_width_ns)
    }

    /// Reads the catalogue; `None` if the store has none yet.
    ///
    /// # Errors
    /// A record is damaged or from a newer version.
    pub fn load(kv: &dyn Bulk, obsolete: &Arc<Obsolete>) -> Result<Option<Self>> {
        let Some(bytes) = kv.get(Family::Meta, ROOT_KEY)? else { return Ok(None) };
        let root: Root = values::decode("meta/root", CATALOGUE_VERSION, &bytes)?;
        let (mut generations, mut tombstones) = (Vec::new(), Vec::new());
        let (mut coverage, mut trims) = (BTreeMap::new(), BTreeMap::new());
        let (mut event_trim, mut kept, mut choices) = (None, None, Arc::default());
        let mut cursor = kv.cursor(Family::Meta);
        cursor.seek(&[])?;
        while let Some((key, value)) = cursor.entry() {
            match key.split_first() {
                _ if notes::is_key(key) => {}
                Some((&KIND_ROOT, [])) => {}
                Some((&KIND_GENERATION, rest)) => {
                    let prefix = Prefix::decode(rest).ok_or_else(|| unknown(key))?;
                    let record = decode(key, value)?;
                    generations.push(Generation::new(prefix, record, obsolete));
                }
                Some((&KIND_TOMBSTONE, rest)) => {
                    let seq = u64::from_be_bytes(rest.try_into().map_err(|_| unknown(key))?);
                    tombstones.push(Arc::new(Tombstone::decode(&place_of(key), seq, value)?));
                }
                Some((&coverage::KIND_COVERAGE, rest)) => {
                    let known = coverage::tier_of(rest).filter(|tier| tier.is_known());
                    let tier = known.ok_or_else(|| unknown(key))?;
                    coverage.insert(tier, coverage::decode(&place_of(key), value)?);
                }
                Some((&trims::KIND_TRIM, rest)) => {
                    let number = trims::number_of(rest).ok_or_else(|| unknown(key))?;
                    trims.insert(number, Arc::new(Trim::decode(&place_of(key), value)?));
                }
                Some((&event_trim::KIND_EVENT_TRIM, [])) => {
                    event_trim = Some(EventTrim::decode(&place_of(key), value)?);
                }
                Some((&kept::KIND_KEPT, [])) => kept = Some(Arc::new(KeptRecord::decode(value)?)),
                Some((&choices::KIND_CHOICES, [])) => choices = Arc::new(Choices::decode(value)?),
                _ => return Err(unknown(key)),
            }
            cursor.advance()?;
        }
        let generations = Generations::of(generations);
        // Keys sort by sequence.
        let tombstones = Tombstones::of_sorted(tombstones);
        Ok(Some(Catalogue {
            root,
            generations,
            tombstones,
            coverage: Arc::new(coverage),
            trims: Arc::new(trims),
            event_trim,
            kept,
            choices,
        }))
    }

    /// The value that the store must have under a key of the catalogue; `None` if the key must be absent.
    ///
    /// # Errors
    /// The record is too large.
    pub fn value_of(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match key.split_first() {
            Some((&KIND_ROOT, [])) => values::encode(CATALOGUE_VERSION, &self.root).map(Some),
            Some((&KIND_GENERATION, rest)) => {
                let found = Prefix::decode(rest).and_then(|prefix| self.generations.get(prefix));
                found.map(|generation| values::encode(CATALOGUE_VERSION, &generation.record)).transpose()
            }
            Some((&KIND_TOMBSTONE, rest)) => {
                let seq = rest.try_into().ok().map(u64::from_be_bytes);
                let found = seq.and_then(|seq| self.tombstones.get(seq));
                found.map(|tombstone| tombstone.encode()).transpose()
            }
            Some((&coverage::KIND_COVERAGE, rest)) => {
                let found = coverage::tier_of(rest).and_then(|tier| self.coverage.get(&tier));
                found.map(coverage_value).transpose()
            }
            Some((&trims::KIND_TRIM, rest)) => {
                let found = trims::number_of(rest).and_then(|number| self.trims.get(&number));
                found.map(|trim| trim.encode()).transpose()
            }
            Some((&event_trim::KIND_EVENT_TRIM, [])) => self.event_trim.map(|trim| trim.encode()).transpose(),
            Some((&kept::KIND_KEPT, [])) => {
                self.kept.as_ref().map(|kept| KeptRecord::encode(kept)).transpose()
            }
            Some((&choices::KIND_CHOICES, [])) => self.choices.value(),
            _ => Ok(None),
        }
    }

    /// The deletes that no longer hide anything: no generation in their time range is older, the flush of the samples
    /// that they hid in memory has left these out, and no bucket of a tier summarizes what they hid.
    pub fn spent_tombstones(&self) -> Vec<Arc<Tombstone>> {
        let is_spent = |t: &&Arc<Tombstone>| {
            t.seq <= self.root.flushed_seq
                && !self.generations.any_before(t.seq, t.range, |record| t.concerns(record))
                && self
                    .coverage
                    .values()
                    .all(|tier| t.seq <= tier.deletes_applied || !t.overlaps(tier.range()))
        };
        self.tombstones.iter().filter(is_spent).cloned().collect()
    }
}

fn place_of(key: &[u8]) -> String {
    format!("meta/{}", key.escape_ascii())
}

fn unknown(key: &[u8]) -> Error {
    Error::Corrupt { file: place_of(key), offset: 0, what: "unknown kind of key".to_owned() }
}

/// Decodes a generation's record; builds the text of its place only on failure, because there may be very many.
fn decode(key: &[u8], value: &[u8]) -> Result<GenerationRecord> {
    values::decode("", CATALOGUE_VERSION, value)
        .or_else(|_| values::decode(&place_of(key), CATALOGUE_VERSION, value))
}

const KIND_ROOT: u8 = b'r';
const KIND_GENERATION: u8 = b'g';
const KIND_TOMBSTONE: u8 = b't';

/// The key of [`Root`].
pub const ROOT_KEY: &[u8] = &[KIND_ROOT];

/// The key of a generation's record.
pub fn generation_key(prefix: Prefix) -> Vec<u8> {
    [&[KIND_GENERATION], &prefix.encode()[..]].concat()
}

/// The key of a tombstone's record.
pub fn tombstone_key(seq: u64) -> Vec<u8> {
    [&[KIND_TOMBSTONE], &seq.to_be_bytes()[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(cut: u64) -> GenerationRecord {
        GenerationRecord { cut, first: 10, last: 20, ..GenerationRecord::default() }
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
}
