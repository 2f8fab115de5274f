//! Writing a generation, and finding series and chunks in one.
//!
//! Series are added to a writer in ascending order of id, then the writer is finished. The result becomes visible when
//! its tables are ingested and its record is committed to the catalogue.

mod buckets;

use std::ops::{ControlFlow, Range};

use roaring::RoaringTreemap;

use crate::budget::Work;
use crate::chunk::{ChunkKind, Run, Sealing};
use crate::index::pairs::PairTable;
use crate::index::{PostingsSource, PostingsUnion, Step, TermWalk, encoding};
use crate::model::{Labels, SeriesId, TimeRange, Timestamp};
use crate::store::catalogue::{Generation, GenerationRecord};
use crate::store::iterators::{LabelsById, StoredEvents, StoredPairs, StoredSeries, Terms, damaged_at};
use crate::store::keys::{self, Prefix};
use crate::store::kv::{Bulk, Family, Table, TableWriter};
use crate::store::records::{damaged, decode_event, decode_labels};
use crate::store::times::{Times, TimesWriter};
use crate::{Error, Result};

pub(crate) use buckets::fold_run;

/// A table is closed at this size, so that dropping a partition drops whole files.
const TABLE_BYTES_MAX: u64 = 64 << 20;
/// The number of records read between two checks whether to stop.
const RECORDS_PER_CHECK: u64 = 1024;
/// A label with more values than this also has postings of all series that have the label.
const VALUES_MIN: usize = 64;
/// A table larger than this is closed when its partition ends.
const TABLE_BYTES_SPLIT: u64 = 1 << 20;

/// The tables of one family that one flush or merge writes, in ascending key order.
pub struct TableSet<'a> {
    kv: &'a dyn Bulk,
    family: Family,
    current: Option<Box<dyn TableWriter + 'a>>,
    done: Vec<Table>,
}

impl<'a> TableSet<'a> {
    /// Creates a set without tables.
    pub fn new(kv: &'a dyn Bulk, family: Family) -> Self {
        TableSet { kv, family, current: None, done: Vec::new() }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.current.as_ref().is_some_and(|t| t.size_bytes() > TABLE_BYTES_MAX) {
            self.close_table()?;
        }
        let table = match &mut self.current {
            Some(table) => table,
            None => self.current.insert(self.kv.table(self.family)?),
        };
        table.put(key, value)
    }

    fn end_partition(&mut self) -> Result<()> {
        if self.current.as_ref().is_some_and(|t| t.size_bytes() > TABLE_BYTES_SPLIT) {
            self.close_table()?;
        }
        Ok(())
    }

    fn close_table(&mut self) -> Result<()> {
        if let Some(table) = self.current.take() {
            self.done.push(table.finish()?);
        }
        Ok(())
    }

    /// Makes everything written durable in the store.
    ///
    /// # Errors
    /// The store refused them.
    pub fn ingest(mut self) -> Result<()> {
        self.close_table()?;
        self.kv.ingest(self.family, self.done)
    }
}

/// The tables of all bulk families.
pub struct Tables<'a> {
    chunks: TableSet<'a>,
    index: TableSet<'a>,
    events: TableSet<'a>,
}

impl<'a> Tables<'a> {
    /// Creates a set without tables.
    pub fn new(kv: &'a dyn Bulk) -> Self {
        let set = |family| TableSet::new(kv, family);
        Tables { chunks: set(Family::Chunks), index: set(Family::Index), events: set(Family::Events) }
    }

    /// Makes everything written durable in the store.
    ///
    /// # Errors
    /// The store refused them. Tables ingested before stay invisible, since no catalogue record names them.
    pub fn ingest(self) -> Result<()> {
        self.index.ingest()?;
        fail_point!("ingest.index");
        self.events.ingest()?;
        fail_point!("ingest.events");
        self.chunks.ingest()
    }
}

impl GenerationRecord {
    /// The keys that the generation has in a family, of the index the series records; 0 if they are not counted.
    pub fn keys_in(&self, family: Family) -> u64 {
        match family {
            Family::Chunks => self.chunks,
            Family::Index => self.series,
            Family::Events => self.events,
            Family::Meta => 0,
        }
    }
}

/// Writes one generation into a set of tables.
pub struct GenerationWriter<'t, 'a> {
    tables: &'t mut Tables<'a>,
    prefix: Prefix,
    sealing: Sealing,
    record: GenerationRecord,
    postings: PairTable,
    times: TimesWriter,
    buffer: Vec<u8>,
}

impl<'t, 'a> GenerationWriter<'t, 'a> {
    /// Starts a generation under `prefix`, which must never have been used.
    pub fn new(tables: &'t mut Tables<'a>, prefix: Prefix, cut: u64, sealing: Sealing) -> Self {
        let record = GenerationRecord {
            cut,
            deletes_applied: 0,
            chunks: 0,
            samples: 0,
            series: 0,
            events: 0,
            crc_sum: 0,
            bytes: 0,
            first: Timestamp::MAX,
            last: Timestamp::MIN,
            merged: false,
        };
        GenerationWriter {
            tables,
            prefix,
            sealing,
            record,
            postings: PairTable::default(),
            times: TimesWriter::default(),
            buffer: Vec::new(),
        }
    }

    /// Writes a series' record and collects its postings. Ids must ascend.
    ///
    /// # Errors
    /// The table could not be written.
    pub fn add_labels(&mut self, id: SeriesId, labels: &Labels) -> Result<()> {
        self.add_record(id, labels)?;
        for pair in labels.encoded_pairs() {
            self.postings.insert(pair, id.0);
        }
        Ok(())
    }

    /// Writes a series' record. Its postings are added with [`GenerationWriter::add_postings`] after all records are
    /// written. Ids must ascend.
    ///
    /// # Errors
    /// The table could not be written.
    pub fn add_record(&mut self, id: SeriesId, labels: &Labels) -> Result<()> {
        self.tables.index.put(&self.prefix.series(id), labels.as_bytes())?;
        self.record.series += 1;
        Ok(())
    }

    /// Writes the postings of a pair, or, if the value is empty, those of the label. Pairs must ascend.
    ///
    /// # Errors
    /// The table could not be written.
    pub fn add_postings(&mut self, name: &str, value: &str, ids: &RoaringTreemap) -> Result<()> {
        self.buffer.clear();
        encoding::encode_ids(ids, &mut self.buffer);
        self.tables.index.put(&self.prefix.postings(name, value), &self.buffer)
    }

    /// Writes those chunks of a series that later samples cannot change; the rest stays in `run`. Ids must ascend, and
    /// so must the times of a series.
    ///
    /// # Errors
    /// The table could not be written.
    pub fn add_samples(&mut self, id: SeriesId, run: &mut Run) -> Result<()> {
        let least = self.sealing.samples_max;
        if run.len() < least { Ok(()) } else { self.write_chunks(id, run, least) }
    }

    /// Writes all samples of a series that remain in `run`.
    ///
    /// # Errors
    /// The table could not be written.
    pub fn end_samples(&mut self, id: SeriesId, run: &mut Run) -> Result<()> {
        self.write_chunks(id, run, 1)
    }

    /// Writes chunks until fewer than `least` samples are left.
    fn write_chunks(&mut self, id: SeriesId, run: &mut Run, least: usize) -> Result<()> {
        let mut start = 0;
        while run.len() - start >= least {
            let (kind, end) = run.span_from(start, self.sealing.samples_max);
            self.write_chunk(id, run, kind, start..end)?;
            start = end;
        }
        run.drop_first(start);
        Ok(())
    }

    fn write_chunk(&mut self, id: SeriesId, run: &Run, kind: ChunkKind, span: Range<usize>) -> Result<()> {
        let (first, last) = (run.timestamps[span.start], run.timestamps[span.end - 1]);
        let key = self.prefix.chunk(id, first);
        self.buffer.clear();
        let samples = span.len() as u64;
        run.encode_span(&key, kind, span, self.sealing.level, &mut self.buffer);
        self.tables.chunks.put(&key, &self.buffer)?;
        self.count_span(first, last);
        self.times.add(id, first, last);
        self.record.chunks += 1;
        self.record.samples += samples;
        self.record.bytes += self.buffer.len() as u64;
        self.record.crc_sum = self.record.crc_sum.wrapping_add(u64::from(crc32fast::hash(&self.buffer)));
        Ok(())
    }

    /// Writes an event; times must not descend.
    ///
    /// # Errors
    /// The table could not be written.
    pub fn add_event(&mut self, timestamp: Timestamp, labels: &Labels, text: &str) -> Result<()> {
        let key = self.prefix.event(timestamp, self.record.events as u32);
        self.tables.events.put(&key, &encode_event(labels, text))?;
        self.record.events += 1;
        self.count_span(timestamp, timestamp);
        Ok(())
    }

    fn count_span(&mut self, first: Timestamp, last: Timestamp) {
        self.record.first = self.record.first.min(first);
        self.record.last = self.record.last.max(last);
    }

    /// Writes the postings and the times, and returns the record for the catalogue.
    ///
    /// # Errors
    /// The table could not be written.
    pub fn finish(mut self) -> Result<(Prefix, GenerationRecord)> {
        // Keys are ordered by name and value.
        let postings = std::mem::take(&mut self.postings);
        let sorted = postings.sorted();
        for of_name in sorted.chunk_by(|&a, &b| postings.get(a).name == postings.get(b).name) {
            let name = postings.get(of_name[0]).name;
            if of_name.len() > VALUES_MIN {
                let mut having = PostingsUnion::default();
                of_name.iter().for_each(|&at| having.add_list(postings.get(at).ids));
                self.add_postings(name, "", &having.finish())?;
            }
            for &at in of_name {
                let pair = postings.get(at);
                self.buffer.clear();
                encoding::encode(pair.ids, &mut self.buffer);
                self.tables.index.put(&self.prefix.postings(name, pair.value), &self.buffer)?;
            }
        }
        if let Some(times) = self.times.encode() {
            self.tables.index.put(&self.prefix.times(), &times)?;
        }
        self.tables.chunks.end_partition()?;
        self.tables.index.end_partition()?;
        self.tables.events.end_partition()?;
        Ok((self.prefix, self.record))
    }
}

/// An event's value: `labels length u32 LE | labels | text | CRC-32 of all before, u32 LE`.
fn encode_event(labels: &Labels, text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + labels.as_bytes().len() + text.len());
    out.extend_from_slice(&(labels.as_bytes().len() as u32).to_le_bytes());
    out.extend_from_slice(labels.as_bytes());
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

/// Reads one generation. Cheap to create.
pub struct GenerationReader<'a> {
    kv: &'a dyn Bulk,
    /// Which generation.
    pub generation: &'a Generation,
}

impl<'a> GenerationReader<'a> {
    /// A reader of `generation`.
    pub fn new(kv: &'a dyn Bulk, generation: &'a Generation) -> Self {
        GenerationReader { kv, generation }
    }

    /// The error of a damaged value, which is also reported to the store.
    fn damaged(&self, key: &[u8], what: &str) -> Error {
        let error = damaged(key, what);
        self.kv.note_damage(key, &error);
        error
    }

    /// The labels of series that are requested by ascending id.
    pub fn labels_by_id(&self) -> LabelsById<'a> {
        LabelsById::new(self.kv, self.generation.prefix)
    }

    /// Calls `visit` with every series record, ascending by id.
    ///
    /// # Errors
    /// A record is damaged, or the store could not be read.
    pub fn for_each_series(&self, visit: &mut dyn FnMut(SeriesId, Labels) -> Result<()>) -> Result<()> {
        let mut records = self.records()?;
        while let Some((id, labels)) = records.next()? {
            visit(id, labels)?;
        }
        Ok(())
    }

    /// All series records, ascending by id.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn records(&self) -> Result<StoredSeries<'a>> {
        StoredSeries::new(self.kv.scan(Family::Index), self.generation.prefix)
    }

    /// When series had samples, if the generation has that record.
    ///
    /// # Errors
    /// The record is damaged, or the store could not be read.
    pub fn times(&self) -> Result<Option<Times>> {
        let key = self.generation.prefix.times();
        let Some(record) = self.kv.get(Family::Index, &key)? else { return Ok(None) };
        Times::decode(record).ok_or_else(|| self.damaged(&key, "times of series"))
    }

    /// Calls `visit` with each label name, in order, until it breaks.
    ///
    /// # Errors
    /// Those of `visit`, or the store could not be read.
    pub fn each_label_name(&self, visit: &mut dyn FnMut(&str) -> Result<ControlFlow<()>>) -> Result<()> {
        let all = self.generation.prefix.all_postings();
        let mut cursor = self.kv.cursor(Family::Index);
        cursor.seek(&all)?;
        while let Some((key, _)) = cursor.entry() {
            if !key.starts_with(&all) {
                break;
            }
            let decoded = keys::decode_postings(key);
            let (name, _) = decoded.ok_or_else(|| damaged_at(&*cursor, "key of postings"))?;
            // The values of a name are one range: skip it.
            let next = keys::successor(&self.generation.prefix.postings_of_name(&name));
            if visit(&name)?.is_break() {
                break;
            }
            cursor.seek(&next)?;
        }
        Ok(())
    }

    /// Calls `visit` with each value of label `name` and the number of series that have it, in order, until it breaks.
    ///
    /// # Errors
    /// Those of `visit`, or the store could not be read.
    pub fn each_label_value(
        &self,
        name: &str,
        visit: &mut dyn FnMut(&str, u64) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut terms = self.terms(name);
        terms.seek("")?;
        while let Some(term) = terms.entry() {
            if !term.value.is_empty() {
                let count = encoding::count(term.postings).ok_or_else(|| terms.damaged("postings"))?;
                let text = std::str::from_utf8(term.value).map_err(|_| terms.damaged("key of postings"))?;
                if visit(text, count)?.is_break() {
                    break;
                }
            }
            terms.advance()?;
        }
        Ok(())
    }

    /// All label pairs with their encoded postings, in order.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn pairs(&self) -> Result<StoredPairs<'a>> {
        let within = self.generation.prefix.all_postings();
        StoredPairs::new(self.kv.scan(Family::Index), within)
    }

    fn terms(&self, name: &str) -> Terms<'a> {
        let within = self.generation.prefix.postings_of_name(name);
        Terms::new(self.kv.cursor(Family::Index), within)
    }

    /// The events in `range`, ascending in time.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn events(&self, range: TimeRange) -> Result<StoredEvents<'a>> {
        let prefix = self.generation.prefix;
        let cursor = (self.generation.record.events > 0).then(|| self.kv.cursor(Family::Events));
        StoredEvents::new(cursor, prefix, range)
    }

    /// Calls `visit` with each event in `range`, ascending in time.
    ///
    /// # Errors
    /// An event is damaged, or the store could not be read.
    pub fn for_each_event(
        &self,
        range: TimeRange,
        visit: &mut dyn FnMut(Timestamp, Labels, String) -> Result<()>,
    ) -> Result<()> {
        let mut events = self.events(range)?;
        while let Some((timestamp, labels, text)) = events.next()? {
            visit(timestamp, labels, text)?;
        }
        Ok(())
    }

    /// Reads everything in a family, calls `visit` with the bytes of each key and its value, and checks the values
    /// whose checksum is their own. `verify` checks chunks and index with what they refer to.
    ///
    /// # Errors
    /// A value is damaged, or the store could not be read.
    pub fn check(&self, family: Family, visit: &mut dyn FnMut(usize) -> Result<()>) -> Result<()> {
        let prefix = self.generation.prefix.encode();
        let mut cursor = self.kv.scan(family);
        cursor.seek(&prefix)?;
        while let Some((key, value)) = cursor.entry().filter(|(key, _)| key.starts_with(&prefix)) {
            let is_whole = match family {
                Family::Events => keys::decode_event(key).is_some() && decode_event(value).is_some(),
                Family::Chunks | Family::Index | Family::Meta => true,
            };
            if !is_whole {
                return Err(damaged_at(&*cursor, "value"));
            }
            visit(key.len() + value.len())?;
            cursor.advance()?;
        }
        Ok(())
    }
}

impl PostingsSource for GenerationReader<'_> {
    fn postings(&self, name: &str, value: &str) -> Result<RoaringTreemap> {
        let key = self.generation.prefix.postings(name, value);
        match self.kv.get(Family::Index, &key)? {
            Some(bytes) => encoding::decode(&bytes).ok_or_else(|| self.damaged(&key, "postings")),
            None => Ok(RoaringTreemap::new()),
        }
    }

    fn postings_len(&self, _name: &str, _value: &str) -> Option<u64> {
        None
    }

    fn with_all(&self, pairs: &[(&str, &str)]) -> Result<Option<RoaringTreemap>> {
        let mut found = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let key = self.generation.prefix.postings(name, value);
            let Some(bytes) = self.kv.get(Family::Index, &key)? else {
                return Ok(Some(RoaringTreemap::new()));
            };
            found.push((key, bytes));
        }
        // Short ones first: a few ids are looked up in a long one without decoding it.
        found.sort_by_key(|(_, bytes)| bytes.len());
        let mut kept: Option<RoaringTreemap> = None;
        for (key, bytes) in &found {
            let ids = match &kept {
                Some(ids) => encoding::keep(bytes, ids),
                None => encoding::decode(bytes),
            };
            kept = Some(ids.ok_or_else(|| self.damaged(key, "postings"))?);
        }
        Ok(kept)
    }

    fn walk(&self, name: &str, walk: &mut TermWalk<'_>, into: &mut PostingsUnion) -> Result<()> {
        let mut terms = self.terms(name);
        terms.seek(walk.target())?;
        while let Some(term) = terms.entry() {
            let step = if term.value.is_empty() { Step::Leave } else { walk.step(term.value) };
            match step {
                Step::Take => {
                    let taken = encoding::decode_into(term.postings, into);
                    taken.ok_or_else(|| terms.damaged("postings"))?;
                }
                Step::Leave => {}
                Step::Seek => {
                    terms.skip_to(walk.target())?;
                    continue;
                }
                Step::Stop => break,
            }
            terms.advance()?;
        }
        Ok(())
    }

    fn having(&self, name: &str) -> Result<Option<RoaringTreemap>> {
        let key = self.generation.prefix.postings_of_name(name);
        let Some(bytes) = self.kv.get(Family::Index, &key)? else { return Ok(None) };
        encoding::decode(&bytes).map(Some).ok_or_else(|| self.damaged(&key, "postings"))
    }

    fn all(&self, work: &Work) -> Result<RoaringTreemap> {
        let (mut all, mut read) = (RoaringTreemap::new(), 0_u64);
        let prefix = self.generation.prefix;
        let mut cursor = self.kv.cursor(Family::Index);
        cursor.seek(&prefix.series(SeriesId(0)))?;
        while let Some((key, _)) = cursor.entry() {
            let Some(id) = keys::decode_series(key).filter(|_| key.starts_with(&prefix.encode())) else {
                break;
            };
            if read.is_multiple_of(RECORDS_PER_CHECK) {
                work.check()?;
            }
            read += 1;
            all.insert(id.0);
            cursor.advance()?;
        }
        Ok(all)
    }

    fn labels_price(&self) -> u64 {
        8
    }

    fn labels(&self, id: u64) -> Result<Option<Labels>> {
        let prefix = self.generation.prefix;
        match self.kv.get(Family::Index, &prefix.series(SeriesId(id)))? {
            Some(bytes) => {
                let labels = decode_labels(prefix, id, &bytes);
                labels.map(Some).inspect_err(|error| self.kv.note_damage(&prefix.encode(), error))
            }
            None => Ok(None),
        }
    }
}
