//! Reads a chunk: the header at once, columns when they are asked for.

use smallvec::SmallVec;

use super::columns::Column;
use super::section::{BucketChunkError, BucketChunkFault, Cursor, Section, verified};
use super::writer::UNITS;
use super::{BUCKETS_MAX, CLASS_MASK, Class, HAS_BOUNDS, MULTIPLES, Shape, natives};
use crate::codec::Fault;
use crate::codec::varint::unzigzag;
use crate::model::Timestamp;
use crate::rollup::columns::{self, Scratch};
use crate::rollup::{Bucket, BucketColumns, Columns};

mod rows;

/// The bits of a state that say that the native histograms of a bucket are described, and that a bucket is omitted.
const DESCRIBED: i64 = 1 << 3;
const OMITTED: i64 = 1 << 4;

/// A stored chunk of buckets whose header and checksum have been verified.
///
/// ```
/// use barograph_engine::codec::CompressionLevel;
/// use barograph_engine::rollup::{BucketChunk, Builder, Class, Columns, Extras, Shape, encode};
///
/// let mut buckets = Vec::new();
/// let mut builder = Builder::new(60, Extras::default());
/// builder.extend(&[10, 70, 80], &[1.0, 2.0, 4.0], &[], &mut buckets);
/// builder.finish(&mut buckets);
///
/// let shape = Shape { width: 60, source: 0, class: Class::Gauge, bounds: false };
/// let mut bytes = Vec::new();
/// encode::encode(b"key", &shape, &buckets, CompressionLevel::Best, &mut bytes);
///
/// let chunk = BucketChunk::open(b"key", &bytes)?;
/// assert_eq!((chunk.shape(), chunk.count()), (shape, 2));
/// let mut found = Vec::new();
/// chunk.decode(Columns::SUM, &mut found)?;
/// assert_eq!(found.iter().map(|b| (b.end, b.sum.value())).collect::<Vec<_>>(), [(60, 1.0), (120, 6.0)]);
/// # Ok::<(), encode::BucketChunkError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BucketChunk<'a> {
    shape: Shape,
    count: usize,
    /// The first end, and what ends are multiples of.
    first: i64,
    unit: i64,
    /// Bit `i` for column number `i`.
    present: u64,
    /// Those of the columns that are present, in the order of their numbers.
    sections: Sections<'a>,
}

/// As many as most chunks have are moved without an allocation.
type Sections<'a> = SmallVec<[Section<'a>; 10]>;

impl<'a> BucketChunk<'a> {
    /// Verifies the version, checksum and header of the chunk stored under `key`, and that its sections fill it.
    ///
    /// # Errors
    /// The fault and its position. Sections are checked when they are decoded.
    pub fn open(key: &[u8], bytes: &'a [u8]) -> Result<Self, BucketChunkError> {
        let mut cursor = Cursor { body: verified(key, bytes)?, position: 1 };
        let (offset, head) = (cursor.position, cursor.byte()?);
        let class = match head & CLASS_MASK {
            0 => Class::Gauge,
            1 => Class::Counter,
            2 => Class::Unclear,
            _ => return Err(BucketChunkError { offset, what: BucketChunkFault::Unknown(head.into()) }),
        };
        if head & !(CLASS_MASK | HAS_BOUNDS | MULTIPLES) != 0 {
            return Err(BucketChunkError { offset, what: BucketChunkFault::Unknown(head.into()) });
        }
        let (offset, less_one) = (cursor.position, cursor.varint()?);
        if less_one >= BUCKETS_MAX as u64 {
            let what = BucketChunkFault::Count(less_one.saturating_add(1));
            return Err(BucketChunkError { offset, what });
        }
        let (width, source) = widths(&mut cursor)?;
        let shape = Shape { width, source, class, bounds: head & HAS_BOUNDS != 0 };
        let unit = if head & MULTIPLES != 0 { width } else { 1 };
        let first = unzigzag(cursor.varint()?);
        let (present, sections) = sections(&mut cursor)?;
        Ok(BucketChunk { shape, count: less_one as usize + 1, first, unit, present, sections })
    }

    /// What all buckets have in common.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The end of the last bucket, if it follows from the header: no bucket is missing.
    pub(crate) fn last_end(&self) -> Option<Timestamp> {
        let is_regular = self.section(Column::Ends).is_none();
        let last = self.first.checked_add(self.count as i64 - 1).filter(|_| is_regular)?;
        last.checked_mul(self.unit)
    }

    /// The number of buckets, 1 to [`BUCKETS_MAX`].
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether there are distributions.
    pub fn has_sketches(&self) -> bool {
        self.section(Column::Sketches).is_some()
    }

    /// The names of the columns that are stored, and the bytes that they take.
    pub fn sizes(&self) -> impl Iterator<Item = (&'static str, usize)> + '_ {
        let names = Column::NAMES.into_iter().enumerate();
        let names = names.filter(|(number, _)| self.present >> number & 1 == 1).map(|(_, name)| name);
        names.zip(self.sections.iter().map(|section| section.bytes.len()))
    }

    /// Appends all buckets, with the columns that are asked for and those from which they follow. The others are
    /// unknown.
    ///
    /// # Errors
    /// The fault of a section. `out` is then unchanged.
    pub fn decode(&self, columns: Columns, out: &mut Vec<Bucket>) -> Result<(), BucketChunkError> {
        let mut all = BucketColumns::new(columns);
        self.decode_columns(&mut all)?;
        out.extend(all.buckets());
        Ok(())
    }

    /// Appends all buckets, with the columns that `out` holds.
    ///
    /// # Errors
    /// The fault of a section. `out` is then unchanged.
    pub fn decode_columns(&self, out: &mut BucketColumns) -> Result<(), BucketChunkError> {
        let start = out.len();
        let mut scratch = std::mem::take(&mut out.scratch);
        let decoded = self.decode_all(start, &mut scratch, out);
        out.scratch = scratch;
        decoded.inspect_err(|_| out.truncate(start))
    }

    fn decode_all(
        &self,
        start: usize,
        scratch: &mut Scratch,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        let has_empty = self.read_all_rows(start, &mut scratch.ints, out)?;
        self.read_natives(start, &mut scratch.ints, out)?;
        if !has_empty {
            return self.decode_rows(start, scratch, out);
        }
        let mut sampled = BucketColumns::new(out.held());
        for row in (start..out.len()).filter(|&row| out.counts[row] > 0) {
            sampled.ends.push(out.ends[row]);
            sampled.counts.push(out.counts[row]);
        }
        self.decode_rows(0, scratch, &mut sampled)?;
        out.fill_sampled(start, &sampled);
        Ok(())
    }

    fn section(&self, column: Column) -> Option<&Section<'a>> {
        let bit = 1u64 << column as u32;
        let before = (self.present & (bit - 1)).count_ones() as usize;
        self.sections.get(before).filter(|_| self.present & bit != 0)
    }

    /// Replaces `out` by a column of integers that has one form.
    fn ints(&self, section: &Section<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), BucketChunkError> {
        if section.form != 0 {
            return Err(section.fault(Fault::Field));
        }
        section.ints(0, count, out).map_err(|fault| section.fault(fault))
    }

    /// Appends the ends.
    fn read_ends(&self, ints: &mut Vec<i64>, out: &mut Vec<Timestamp>) -> Result<(), BucketChunkError> {
        let out_of_range = BucketChunkError { offset: 0, what: BucketChunkFault::Range };
        let mut next = self.first;
        let first = next.checked_mul(self.unit).ok_or(out_of_range)?;
        let Some(section) = self.section(Column::Ends) else {
            let last = next.checked_add(self.count as i64 - 1).and_then(|last| last.checked_mul(self.unit));
            last.ok_or(out_of_range)?;
            let mut end = first.wrapping_sub(self.unit);
            out.extend((0..self.count).map(|_| {
                end = end.wrapping_add(self.unit);
                end
            }));
            return Ok(());
        };
        self.ints(section, self.count - 1, ints)?;
        out.push(first);
        for &less_one in ints.iter() {
            let distance = (less_one as u64).checked_add(1);
            next = distance.and_then(|distance| next.checked_add_unsigned(distance)).ok_or(out_of_range)?;
            out.push(next.checked_mul(self.unit).ok_or(out_of_range)?);
        }
        Ok(())
    }

    /// Appends the columns that have a row for each bucket, with samples or without. Returns whether there are some without.
    fn read_all_rows(
        &self,
        start: usize,
        ints: &mut Vec<i64>,
        out: &mut BucketColumns,
    ) -> Result<bool, BucketChunkError> {
        self.read_ends(ints, &mut out.ends)?;
        let has_empty = self.read_counts(start, ints, out)?;
        if let Some(section) = self.section(Column::Markers) {
            self.ints(section, self.count, ints)?;
            out.markers.extend(start, ints.iter().map(|&markers| markers as u64));
        }
        if let Some(section) = self.section(Column::States) {
            self.ints(section, self.count, ints)?;
            if !ints.iter().all(|state| (0..2 * OMITTED).contains(state)) {
                return Err(section.fault(Fault::Field));
            }
            let held = |state: i64| {
                let omitted = if state & OMITTED != 0 { columns::OMITTED } else { 0 };
                (state % DESCRIBED) as u8 | omitted
            };
            out.states.extend(start, ints.iter().map(|&state| held(state)));
        }
        Ok(has_empty)
    }

    /// Appends the numbers of samples. Returns whether some are zero.
    fn read_counts(
        &self,
        start: usize,
        ints: &mut Vec<i64>,
        out: &mut BucketColumns,
    ) -> Result<bool, BucketChunkError> {
        let Some(section) = self.section(Column::Counts) else {
            out.counts.resize(start + self.count, 0);
            return Ok(true);
        };
        // The products of two counts must fit.
        let is_count = |count: &i64| (0..1 << 53).contains(count);
        // Where samples have one interval, most are.
        let constant = section.constant().map_err(|fault| section.fault(fault))?;
        if let Some(count) = constant.filter(|count| section.form == 0 && is_count(count)) {
            out.counts.resize(start + self.count, count as u64);
            return Ok(count == 0);
        }
        self.ints(section, self.count, ints)?;
        if !ints.iter().fold(true, |all, count| all & is_count(count)) {
            return Err(section.fault(Fault::Field));
        }
        out.counts.extend(ints.iter().map(|&count| count as u64));
        Ok(out.has_empty(start))
    }
}

impl BucketChunk<'_> {
    /// Reads the native histograms of the rows from `start` on, whose ends are there, if they are held.
    fn read_natives(
        &self,
        start: usize,
        states: &mut Vec<i64>,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        let Some(section) =
            self.section(Column::Natives).filter(|_| out.held().contains(Columns::HISTOGRAMS))
        else {
            return Ok(());
        };
        states.clear();
        if let Some(section) = self.section(Column::States) {
            self.ints(section, self.count, states)?;
        }
        let rows = (start..).zip(states.iter()).filter(|(_, state)| *state & DESCRIBED != 0);
        let rows: Vec<usize> = rows.map(|(row, _)| row).collect();
        let ends: Vec<Timestamp> = rows.iter().map(|&row| out.ends[row]).collect();
        let found = natives::read(section.bytes, &ends).map_err(|fault| section.fault(fault))?;
        let mut found = rows.into_iter().zip(found).peekable();
        let each = (start..out.len()).map(|row| Some(found.next_if(|(at, _)| *at == row)?.1));
        out.natives.extend(start, each.collect::<Vec<_>>().into_iter());
        Ok(())
    }
}

/// The width of the buckets, and that of their source.
fn widths(cursor: &mut Cursor<'_>) -> Result<(i64, i64), BucketChunkError> {
    let offset = cursor.position;
    let out_of_range = BucketChunkError { offset, what: BucketChunkFault::Range };
    let unit = usize::try_from(cursor.varint()?).ok().and_then(|number| UNITS.get(number));
    let width =
        i64::try_from(cursor.varint()?).ok().zip(unit).and_then(|(width, unit)| width.checked_mul(*unit));
    let width = width.filter(|width| *width > 0).ok_or(out_of_range)?;
    let ratio = i64::try_from(cursor.varint()?).map_err(|_| out_of_range)?;
    let source = width.checked_div(ratio).unwrap_or(0);
    if source.checked_mul(ratio).is_none_or(|whole| ratio > 0 && whole != width) {
        return Err(out_of_range);
    }
    Ok((width, source))
}

/// The columns that are present, as bits, and their sections.
fn sections<'a>(cursor: &mut Cursor<'a>) -> Result<(u64, Sections<'a>), BucketChunkError> {
    let (offset, present) = (cursor.position, cursor.varint()?);
    if present >> Column::COUNT != 0 {
        return Err(BucketChunkError { offset, what: BucketChunkFault::Unknown(present) });
    }
    let mut sections = Sections::new();
    for _ in 0..present.count_ones() {
        sections.push(cursor.section()?);
    }
    if cursor.position < cursor.body.len() {
        return Err(cursor.fault(Fault::Trailing));
    }
    Ok((present, sections))
}
