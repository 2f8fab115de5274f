//! Reads a chunk: the header at once, columns when they are asked for.

use super::columns::{Column, Columns};
use super::predict::{self, full, keeps_lost, several};
use super::section::{BucketChunkError, BucketChunkFault, Cursor, Section, verified};
use super::writer::{UNITS, extent};
use super::{BUCKETS_MAX, CLASS_MASK, Class, HAS_BOUNDS, MULTIPLES, Shape, floats, intervals, squares, sums};
use crate::codec::Fault;
use crate::codec::varint::unzigzag;
use crate::model::Timestamp;
use crate::rollup::sketch::coding;
use crate::rollup::{Bucket, ExactSum};

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
    sections: [Option<Section<'a>>; Column::COUNT],
}

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
        let sections = sections(&mut cursor)?;
        Ok(BucketChunk { shape, count: less_one as usize + 1, first, unit, sections })
    }

    /// What all buckets have in common.
    pub fn shape(&self) -> Shape {
        self.shape
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
        let sizes = self.sections.iter().map(|section| section.map(|section| section.bytes.len()));
        Column::NAMES.into_iter().zip(sizes).filter_map(|(name, bytes)| Some((name, bytes?)))
    }

    /// Appends all buckets, with the columns that are asked for and those from which they follow. The others are
    /// unknown.
    ///
    /// # Errors
    /// The fault of a section. `out` is then unchanged.
    pub fn decode(&self, columns: Columns, out: &mut Vec<Bucket>) -> Result<(), BucketChunkError> {
        let start = out.len();
        self.decode_all(columns.with_sources(), start, out).inspect_err(|_| out.truncate(start))
    }

    fn decode_all(
        &self,
        columns: Columns,
        start: usize,
        out: &mut Vec<Bucket>,
    ) -> Result<(), BucketChunkError> {
        self.read_counts(columns, out)?;
        let buckets = &mut out[start..];
        if columns.contains(Columns::TIMES) {
            self.read_times(buckets)?;
        }
        if columns.contains(Columns::STARTS) && self.shape.class.counts() {
            self.read_starts(buckets)?;
        }
        if columns.contains(Columns::VALUES) {
            self.read_values(buckets)?;
        }
        if columns.contains(Columns::LOST) && self.shape.class.counts() {
            self.read_lost(buckets)?;
        }
        if columns.contains(Columns::CHANGES) {
            self.read_changes(buckets)?;
        }
        if columns.contains(Columns::EXTREMES) {
            self.read_extremes(buckets)?;
        }
        if columns.contains(Columns::SUM) && self.shape.class.measures() {
            self.read_sums(buckets)?;
        }
        if columns.contains(Columns::M2) && self.shape.class.measures() {
            self.read_m2(buckets)?;
        }
        if columns.contains(Columns::GAPS) && self.shape.bounds {
            self.read_gaps(buckets)?;
        }
        if columns.contains(Columns::STEP) && self.shape.bounds {
            self.read_steps(buckets)?;
        }
        if columns.contains(Columns::SKETCH) {
            self.read_sketches(buckets)?;
        }
        Ok(())
    }

    fn section(&self, column: Column) -> Option<&Section<'a>> {
        self.sections[column as usize].as_ref()
    }

    /// The fault of a column, at its section; of an absent one, at the start.
    fn at(&self, column: Column) -> impl Fn(Fault) -> BucketChunkError {
        let offset = self.section(column).map_or(0, |section| section.offset);
        move |what| BucketChunkError { offset, what: what.into() }
    }

    /// A column of integers that has one form; zeros if it is absent.
    fn ints(&self, column: Column, count: usize) -> Result<Vec<i64>, BucketChunkError> {
        match self.section(column) {
            None => Ok(vec![0; count]),
            Some(section) if section.form == 0 => {
                section.ints(0, count).map_err(|fault| section.fault(fault))
            }
            Some(section) => Err(section.fault(Fault::Field)),
        }
    }

    /// Passes a column of integers to the buckets with samples. If it is absent, they keep the zeros that they have.
    fn set(
        &self,
        column: Column,
        buckets: &mut [Bucket],
        set: fn(&mut Bucket, i64),
    ) -> Result<(), BucketChunkError> {
        if self.section(column).is_none() {
            return Ok(());
        }
        let ints = self.ints(column, full(buckets).count())?;
        with_samples(buckets).zip(ints).for_each(|(bucket, int)| set(bucket, int));
        Ok(())
    }

    fn floats(
        &self,
        column: Column,
        count: usize,
        predict: impl Fn(usize) -> Option<Vec<f64>>,
    ) -> Result<Vec<f64>, BucketChunkError> {
        floats::read(self.section(column), count, predict).map_err(self.at(column))
    }

    fn ends(&self) -> Result<Vec<Timestamp>, BucketChunkError> {
        let out_of_range = BucketChunkError { offset: 0, what: BucketChunkFault::Range };
        let mut next = self.first;
        let mut ends = Vec::with_capacity(self.count);
        ends.push(next.checked_mul(self.unit).ok_or(out_of_range)?);
        for less_one in self.ints(Column::Ends, self.count - 1)? {
            let distance = (less_one as u64).checked_add(1);
            next = distance.and_then(|distance| next.checked_add_unsigned(distance)).ok_or(out_of_range)?;
            ends.push(next.checked_mul(self.unit).ok_or(out_of_range)?);
        }
        Ok(ends)
    }

    /// Appends the buckets, of which all other columns are unknown.
    fn read_counts(&self, columns: Columns, out: &mut Vec<Bucket>) -> Result<(), BucketChunkError> {
        let start = out.len();
        let ends = self.ends()?;
        let counts = self.ints(Column::Counts, self.count)?;
        let markers = self.ints(Column::Markers, self.count)?;
        let states = self.ints(Column::States, self.count)?;
        // The products of two counts must fit.
        let is_count = |count: &i64| (0..1 << 53).contains(count);
        if !(counts.iter().all(is_count) && states.iter().all(|state| (0..8).contains(state))) {
            return Err(self.at(Column::Counts)(Fault::Field));
        }
        // Without resets, nothing is lost.
        let knows_lost = columns.contains(Columns::LOST) && self.shape.class.counts();
        out.reserve(self.count);
        out.extend(ends.into_iter().zip(counts).zip(markers).zip(states).map(
            |(((end, count), markers), state)| {
                let mut bucket = Bucket::empty(end);
                (bucket.count, bucket.markers) = (count as u64, markers as u64);
                (bucket.ended, bucket.overlap) = (state & 1 != 0, state & 2 != 0);
                bucket.has_histograms = state & 4 != 0;
                if count > 0 {
                    bucket.make_unknown(knows_lost);
                }
                bucket
            },
        ));
        self.set(Column::Nans, &mut out[start..], |bucket, nans| bucket.nans = nans as u64)
    }

    fn read_times(&self, buckets: &mut [Bucket]) -> Result<(), BucketChunkError> {
        let column = Column::LastTimes;
        intervals::read_last_times(self.section(column), buckets).map_err(self.at(column))?;
        let column = Column::FirstTimes;
        intervals::read_first_times(self.section(column), buckets, self.shape.width).map_err(self.at(column))
    }

    fn read_starts(&self, buckets: &mut [Bucket]) -> Result<(), BucketChunkError> {
        let column = Column::LastStarts;
        intervals::read_last_starts(self.section(column), buckets).map_err(self.at(column))?;
        let column = Column::FirstStarts;
        intervals::read_first_starts(self.section(column), buckets).map_err(self.at(column))
    }

    fn read_values(&self, buckets: &mut [Bucket]) -> Result<(), BucketChunkError> {
        let count = full(buckets).count();
        let last = self.floats(Column::LastValues, count, |number| predict::zeros(count, number))?;
        with_samples(buckets).zip(last).for_each(|(bucket, value)| {
            (bucket.first.value, bucket.last.value) = (value, value);
        });
        let count = several(buckets).count();
        let first =
            self.floats(Column::FirstValues, count, |number| predict::first_values(buckets, number))?;
        let several = buckets.iter_mut().filter(|bucket| bucket.count > 1);
        several.zip(first).for_each(|(bucket, value)| bucket.first.value = value);
        Ok(())
    }

    fn read_lost(&self, buckets: &mut [Bucket]) -> Result<(), BucketChunkError> {
        self.set(Column::Resets, buckets, |bucket, resets| {
            bucket.resets = resets as u64;
            if bucket.resets != 0 {
                bucket.lost = ExactSum::huge();
            }
        })?;
        let class = self.shape.class;
        let count = full(buckets).filter(|bucket| keeps_lost(bucket, class)).count();
        if count == 0 && self.section(Column::Lost).is_none() && self.section(Column::LostMore).is_none() {
            return Ok(());
        }
        let firsts = self.floats(Column::Lost, count, |number| predict::zeros(count, number))?;
        let lost =
            sums::read_lost(&firsts, self.section(Column::LostMore)).map_err(self.at(Column::LostMore))?;
        let kept = with_samples(buckets).filter(|bucket| keeps_lost(bucket, class));
        kept.zip(lost).for_each(|(bucket, lost)| bucket.lost = lost);
        Ok(())
    }

    fn read_changes(&self, buckets: &mut [Bucket]) -> Result<(), BucketChunkError> {
        let Some(section) = self.section(Column::Changes) else { return Ok(()) };
        let ints = section.ints(0, full(buckets).count()).map_err(|fault| section.fault(fault))?;
        for (bucket, int) in with_samples(buckets).zip(ints) {
            bucket.changes = match section.form {
                0 => int as u64,
                1 => bucket.count.wrapping_sub(1).wrapping_sub(int as u64),
                _ => return Err(section.fault(Fault::Field)),
            };
        }
        Ok(())
    }

    fn read_extremes(&self, buckets: &mut [Bucket]) -> Result<(), BucketChunkError> {
        let (count, class) = (full(buckets).count(), self.shape.class);
        let predict = |number: usize| (number == 0).then(|| predict::minima(buckets));
        let minima = self.floats(Column::Minima, count, predict)?;
        let predict = |number: usize| (number == 0).then(|| predict::maxima(buckets, class));
        let maxima = self.floats(Column::Maxima, count, predict)?;
        for (bucket, (min, max)) in with_samples(buckets).zip(minima.into_iter().zip(maxima)) {
            (bucket.min, bucket.max) = (min, max);
        }
        Ok(())
    }

    fn read_sums(&self, buckets: &mut [Bucket]) -> Result<(), BucketChunkError> {
        let rows: Vec<&Bucket> = full(buckets).collect();
        let firsts = self.floats(Column::Sums, rows.len(), |number| predict::sums(buckets, number))?;
        let (rest, more) = (self.section(Column::SumsRest), self.section(Column::SumsMore));
        let sums = sums::read_sums(&firsts, rest, more, &rows).map_err(self.at(Column::SumsRest))?;
        with_samples(buckets).zip(sums).for_each(|(bucket, sum)| bucket.sum = sum);
        Ok(())
    }

    fn read_m2(&self, buckets: &mut [Bucket]) -> Result<(), BucketChunkError> {
        let values = squares::read(self.section(Column::M2), buckets).map_err(self.at(Column::M2))?;
        let rows = with_samples(buckets).filter(|bucket| bucket.sum.is_exact());
        rows.zip(values).for_each(|(bucket, m2)| bucket.m2 = m2);
        Ok(())
    }

    fn read_gaps(&self, buckets: &mut [Bucket]) -> Result<(), BucketChunkError> {
        let count = full(buckets).count();
        let columns = [Column::Irregular, Column::LeastGaps, Column::GreatestGaps];
        let [irregular, least, greatest] = columns.map(|column| self.ints(column, count));
        intervals::set_gaps(buckets, [irregular?, least?, greatest?]);
        Ok(())
    }

    fn read_steps(&self, buckets: &mut [Bucket]) -> Result<(), BucketChunkError> {
        let ints = self.ints(Column::Steps, full(buckets).count())?;
        with_samples(buckets)
            .zip(ints)
            .for_each(|(bucket, bits)| bucket.step = f64::from_bits((bits as u64).rotate_right(15)));
        Ok(())
    }

    fn read_sketches(&self, buckets: &mut [Bucket]) -> Result<(), BucketChunkError> {
        let Some(section) = self.section(Column::Sketches) else { return Ok(()) };
        let extents: Vec<coding::Extent> = full(buckets).map(extent).collect();
        let sketches = coding::decode(&extents, section.bytes).map_err(|fault| section.fault(fault))?;
        with_samples(buckets).zip(sketches).for_each(|(bucket, sketch)| bucket.sketch = sketch);
        Ok(())
    }
}

fn with_samples(buckets: &mut [Bucket]) -> impl Iterator<Item = &mut Bucket> {
    buckets.iter_mut().filter(|bucket| bucket.count > 0)
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

fn sections<'a>(cursor: &mut Cursor<'a>) -> Result<[Option<Section<'a>>; Column::COUNT], BucketChunkError> {
    let (offset, present) = (cursor.position, cursor.varint()?);
    if present >> Column::COUNT != 0 {
        return Err(BucketChunkError { offset, what: BucketChunkFault::Unknown(present) });
    }
    let mut sections = [None; Column::COUNT];
    for (number, section) in sections.iter_mut().enumerate() {
        if present >> number & 1 == 1 {
            *section = Some(cursor.section()?);
        }
    }
    if cursor.position < cursor.body.len() {
        return Err(cursor.fault(Fault::Trailing));
    }
    Ok(sections)
}
