//! Verification: reads all stored data and compares it with the catalogue.

use std::sync::Arc;

use roaring::RoaringTreemap;

use crate::budget::Work;
use crate::chunk::{Run, Scratch};
use crate::engine::Engine;
use crate::index::{PostingsSource, PostingsUnion, encoding};
use crate::model::{SeriesId, TimeRange};
use crate::rollup::{BucketColumns, Columns};
use crate::store::catalogue::{Catalogue, Generation};
use crate::store::cursors::decode_chunk;
use crate::store::generation::GenerationReader;
use crate::store::keys::Prefix;
use crate::store::kv::{Bulk, Family};
use crate::store::times::{Times, stretch_of};
use crate::store::{keys, notes};
use crate::{Error, Result};

/// The findings of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Number of generations read.
    pub generations: u64,
    /// Number of chunks decoded.
    pub chunks: u64,
    /// Number of samples in them.
    pub samples: u64,
    /// Number of series records read.
    pub series: u64,
    /// Number of WAL records read; 0 if only the store was verified.
    pub wal_records: u64,
    /// The problems, each with its location. Empty if there are none.
    pub problems: Vec<String>,
    /// The damaged generations, each with its first problem.
    pub(in crate::engine) damaged: Vec<(Prefix, String)>,
}

impl VerifyReport {
    /// Whether there are no problems.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    pub(in crate::engine) fn add(&mut self, other: VerifyReport) {
        let VerifyReport { generations, chunks, samples, series, wal_records, problems, damaged } = other;
        self.damaged.extend(damaged);
        self.generations += generations;
        self.chunks += chunks;
        self.samples += samples;
        self.series += series;
        self.wal_records += wal_records;
        self.problems.extend(problems);
    }

    fn compare(&mut self, place: &str, what: &str, found: u64, expected: u64) {
        if found != expected {
            self.problems.push(format!("{place}: {found} {what}, the catalogue says {expected}"));
        }
    }
}

/// Observes reading, so that a scrub can limit its rate and stop early.
pub(in crate::engine) trait Reading {
    /// Called after `bytes` were read.
    ///
    /// # Errors
    /// [`Error::Stopped`]: reading must stop, and the findings so far do not count.
    fn read(&mut self, bytes: usize) -> Result<()>;

    /// Whether [`Reading::read`] has stopped the reading.
    fn is_over(&self) -> bool {
        false
    }
}

/// Reads to the end without a limit on the rate.
struct AtOnce;

impl Reading for AtOnce {
    fn read(&mut self, _bytes: usize) -> Result<()> {
        Ok(())
    }
}

impl Engine {
    /// Reads everything in the store of the running database and compares it with the
    /// catalogue. Damage is in the report, and damaged generations are set aside.
    ///
    /// # Errors
    /// The store could not be read at all.
    pub fn verify(&self) -> Result<VerifyReport> {
        let _call = self.shared.lifecycle.enter()?;
        let _merging = self.shared.merger.lock();
        let catalogue = self.shared.versions.current_owned();
        let mut report = verify_store(self.shared.versions.kv(), &catalogue)?;
        report.damaged.iter().for_each(|(prefix, why)| self.shared.versions.set_aside(*prefix, why));
        // It could not be read earlier, but can be read now.
        for (prefix, damage) in self.shared.versions.current().damage_in(TimeRange::ALL) {
            if report.damaged.iter().all(|(damaged, _)| *damaged != prefix) {
                report.problems.push(damage.to_string());
            }
        }
        Ok(report)
    }
}

/// Reads everything in a store.
///
/// # Errors
/// It could not be read at all.
pub(in crate::engine) fn verify_store(kv: &dyn Bulk, catalogue: &Catalogue) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    if let Err(e) = notes::load(kv, |_| ()) {
        report.problems.push(e.to_string());
    }
    for partition in catalogue.generations.partitions() {
        let all: Vec<_> = partition.all().cloned().collect();
        verify_partition(kv, &all, &mut AtOnce, &mut report);
    }
    Ok(report)
}

/// Reads the generations of one partition and adds their problems to the report.
pub(in crate::engine) fn verify_partition(
    kv: &dyn Bulk,
    generations: &[Arc<Generation>],
    reading: &mut dyn Reading,
    report: &mut VerifyReport,
) {
    let mut found = Found::default();
    for generation in generations {
        report.generations += 1;
        let before = report.problems.len();
        verify_chunks(kv, generation, reading, &mut found, report);
        verify_index(kv, generation, reading, &mut found, report);
        for family in Family::BULK {
            if !matches!(family, Family::Chunks | Family::Index) {
                verify_values(kv, generation, family, reading, report);
            }
        }
        if reading.is_over() {
            return;
        }
        if let Some(first) = report.problems.get(before).cloned() {
            report.damaged.push((generation.prefix, first));
        }
    }
    let lost = found.with_chunks - found.with_record;
    if let (Some(first), Some(generation)) = (lost.min(), generations.first()) {
        report.problems.push(format!(
            "partition {}: {} series have chunks and no series record, so no query finds them; the first is {first}",
            generation.prefix.partition,
            lost.len()
        ));
    }
}

/// The series of a partition: a generation may leave the record of a series to another one.
#[derive(Default)]
struct Found {
    with_chunks: RoaringTreemap,
    with_record: RoaringTreemap,
}

fn place_of(family: Family, generation: &Generation) -> String {
    let prefix = generation.prefix;
    format!("{}, partition {}, generation {}", family.name(), prefix.partition, prefix.generation)
}

fn verify_chunks(
    kv: &dyn Bulk,
    generation: &Generation,
    reading: &mut dyn Reading,
    found: &mut Found,
    report: &mut VerifyReport,
) {
    let place = place_of(Family::Chunks, generation);
    let prefix = generation.prefix.encode();
    let (mut chunks, mut samples, mut crc_sum, mut untold) = (0u64, 0u64, 0u64, 0u64);
    let times = GenerationReader::new(kv, generation).times().unwrap_or_else(|e| {
        report.problems.push(format!("{place}: {e}"));
        None
    });
    let mut cursor = kv.scan(Family::Chunks);
    let mut scratch = Scratch::default();
    let mut step = cursor.seek(&prefix);
    while let (Ok(()), Some((key, value))) = (&step, cursor.entry()) {
        if !key.starts_with(&prefix) {
            break;
        }
        chunks += 1;
        let bytes = key.len() + value.len();
        let id = keys::decode_chunk(key).map(|(id, _)| id);
        found.with_chunks.extend(id.map(|id| id.0));
        crc_sum = crc_sum.wrapping_add(u64::from(crc32fast::hash(value)));
        let is_raw = generation.prefix.partition.tier.is_raw();
        match if is_raw { samples_of(key, value, &mut scratch) } else { buckets_of(key, value) } {
            Ok((count, ends)) => {
                samples += count;
                let is_untold = |(id, times): (SeriesId, &Times)| !are_recorded(times, id, &ends);
                untold += u64::from(id.zip(times.as_ref()).is_some_and(is_untold));
            }
            Err(e) => report.problems.push(e.to_string()),
        }
        step = reading.read(bytes).and_then(|()| cursor.advance());
    }
    if let Err(e) = step {
        report.problems.push(format!("{place}: {e}"));
    }
    report.compare(&place, "chunks", chunks, generation.record.chunks);
    report.compare(&place, "samples", samples, generation.record.samples);
    if untold > 0 {
        report.problems.push(format!("{place}: {untold} chunks at times that the index does not list"));
    }
    report.compare(&place, "is the sum of checksums", crc_sum, generation.record.crc_sum);
    report.chunks += chunks;
    report.samples += samples;
}

/// The number of samples of a chunk, and the spans that a query for the first and for the last one asks for.
type Decoded = (u64, Vec<TimeRange>);

fn samples_of(key: &[u8], value: &[u8], scratch: &mut Scratch) -> Result<Decoded> {
    let mut run = Run::default();
    run.extend_from_chunk(key, value, i64::MIN, scratch, &mut |_, _| Ok(()))?;
    let ends = run.bounds().into_iter().flat_map(|(first, last)| [first, last]);
    Ok((run.len() as u64, ends.map(|t| TimeRange::inclusive(t, t)).collect()))
}

/// The same for a chunk of buckets, each of which is asked for as a whole.
fn buckets_of(key: &[u8], value: &[u8]) -> Result<Decoded> {
    let mut buckets = BucketColumns::new(Columns::ALL);
    decode_chunk(key, value, Columns::ALL, &mut buckets)?;
    let ends = buckets.ends.first().into_iter().chain(buckets.ends.last());
    let width = Prefix::decode(key).and_then(|prefix| prefix.partition.tier.resolution());
    let width = width.map_or(1, |resolution| resolution.width_ns());
    let spans = ends.map(|end| TimeRange::new(end.saturating_sub(width), *end));
    Ok((buckets.len() as u64, spans.collect()))
}

/// Whether a query for the first or the last sample of a chunk would find the chunk.
fn are_recorded(times: &Times, id: SeriesId, ends: &[TimeRange]) -> bool {
    ends.iter().all(|span| times.may_hold(stretch_of(id), *span))
}

/// Checks that every series record is readable, and that the postings of its labels contain it.
fn verify_index(
    kv: &dyn Bulk,
    generation: &Generation,
    reading: &mut dyn Reading,
    found: &mut Found,
    report: &mut VerifyReport,
) {
    let place = place_of(Family::Index, generation);
    let reader = GenerationReader::new(kv, generation);
    let mut ids = RoaringTreemap::new();
    let mut pairs = 0u64;
    let read = reader.for_each_series(&mut |id, labels| {
        ids.insert(id.0);
        pairs += labels.len() as u64;
        reading.read(labels.as_bytes().len())
    });
    if let Err(e) = read {
        report.problems.push(format!("{place}: {e}"));
    }
    report.compare(&place, "series records", ids.len(), generation.record.series);
    report.series += ids.len();
    found.with_record |= &ids;
    match count_postings(kv, generation, reading, &ids) {
        Ok(named) => report.compare(&place, "entries of postings that name a series record", named, pairs),
        Err(e) => report.problems.push(format!("{place}: {e}")),
    }
    if let Err(e) = reader.all(&Work::unbounded()) {
        report.problems.push(format!("{place}: {e}"));
    }
}

/// Counts the entries of postings that contain one of `ids`. Postings of all series that have a label are compared with
/// the postings of its values.
fn count_postings(
    kv: &dyn Bulk,
    generation: &Generation,
    reading: &mut dyn Reading,
    ids: &RoaringTreemap,
) -> Result<u64> {
    let within = generation.prefix.all_postings();
    let mut named = 0;
    let mut having: Option<Having> = None;
    let mut cursor = kv.scan(Family::Index);
    cursor.seek(&within)?;
    while let Some((key, value)) = cursor.entry() {
        if !key.starts_with(&within) {
            break;
        }
        reading.read(key.len() + value.len())?;
        let pair = keys::decode_postings(key).zip(encoding::decode(value));
        let ((name, value), postings) = pair.ok_or_else(|| damaged(key, "damaged postings"))?;
        if value.is_empty() {
            if let Some(before) = having.replace(Having {
                key: key.to_vec(),
                name,
                said: postings,
                seen: PostingsUnion::default(),
            }) {
                before.check()?;
            }
        } else {
            named += postings.intersection_len(ids);
            if let Some(having) = having.as_mut().filter(|having| having.name == name) {
                having.seen.extend(postings);
            }
        }
        cursor.advance()?;
    }
    having.map_or(Ok(()), Having::check)?;
    Ok(named)
}

/// The series that have a label, according to its own postings and to those of its values.
struct Having {
    key: Vec<u8>,
    name: String,
    said: RoaringTreemap,
    seen: PostingsUnion,
}

impl Having {
    fn check(self) -> Result<()> {
        let seen = self.seen.finish();
        if seen == self.said {
            return Ok(());
        }
        let (said, seen) = (self.said.len(), seen.len());
        Err(damaged(
            &self.key,
            &format!("{said} series are said to have the label, {seen} have a value of it"),
        ))
    }
}

fn damaged(key: &[u8], what: &str) -> Error {
    Error::Corrupt { file: format!("index/{}", key.escape_ascii()), offset: 0, what: what.to_owned() }
}

/// Each value of a family is whole, and there are as many as the catalogue says.
fn verify_values(
    kv: &dyn Bulk,
    generation: &Generation,
    family: Family,
    reading: &mut dyn Reading,
    report: &mut VerifyReport,
) {
    let place = place_of(family, generation);
    let mut values = 0;
    let read = GenerationReader::new(kv, generation).check(family, &mut |bytes| {
        values += 1;
        reading.read(bytes)
    });
    if let Err(e) = read {
        report.problems.push(format!("{place}: {e}"));
    }
    report.compare(&place, family.name(), values, generation.record.keys_in(family));
}
