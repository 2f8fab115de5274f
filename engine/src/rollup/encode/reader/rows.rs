//! Reads the columns that have a row for each bucket with samples.

use super::BucketChunk;
use crate::codec::Fault;
use crate::rollup::columns::Scratch;
use crate::rollup::encode::columns::Column;
use crate::rollup::encode::predict::{self, Predict, Rows};
use crate::rollup::encode::section::BucketChunkError;
use crate::rollup::encode::writer::extent;
use crate::rollup::encode::{floats, intervals, squares, sums};
use crate::rollup::sketch::coding;
use crate::rollup::{BucketColumns, Columns, Gaps};

impl BucketChunk<'_> {
    /// Appends the columns that have a row for each bucket with samples. `out` has their ends, counts, markers and states
    /// from row `start` on, and all of them have samples.
    pub(super) fn decode_rows(
        &self,
        start: usize,
        scratch: &mut Scratch,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        let holds = |out: &BucketColumns, column: Columns| out.held().contains(column);
        if let Some(section) = self.section(Column::Nans) {
            self.ints(section, out.len() - start, &mut scratch.ints)?;
            out.nans.extend(start, scratch.ints.iter().map(|&nans| nans as u64));
        }
        if holds(out, Columns::TIMES) {
            self.read_times(start, &mut scratch.ints, out)?;
        }
        if holds(out, Columns::STARTS) && self.shape.class.counts() {
            self.read_starts(start, &mut scratch.ints, out)?;
        }
        if holds(out, Columns::VALUES) {
            self.read_values(start, scratch, out)?;
        }
        if holds(out, Columns::LOST) {
            self.read_lost(start, scratch, out)?;
        }
        if holds(out, Columns::CHANGES) {
            self.read_changes(start, &mut scratch.ints, out)?;
        }
        self.read_extremes(start, scratch, out)?;
        if holds(out, Columns::SUM) {
            self.read_sums(start, scratch, out)?;
        }
        if holds(out, Columns::M2) {
            self.read_m2(start, scratch, out)?;
        }
        if holds(out, Columns::GAPS) {
            self.read_gaps(start, out)?;
        }
        if holds(out, Columns::STEP) {
            self.read_steps(start, &mut scratch.ints, out)?;
        }
        if holds(out, Columns::SKETCH) {
            self.read_sketches(start, out)?;
        }
        Ok(())
    }

    /// The fault of a column, at its section; of an absent one, at the start.
    fn at(&self, column: Column) -> impl Fn(Fault) -> BucketChunkError {
        let offset = self.section(column).map_or(0, |section| section.offset);
        move |what| BucketChunkError { offset, what: what.into() }
    }

    /// Replaces `scratch.floats` by the floats of a column.
    fn floats(
        &self,
        column: Column,
        count: usize,
        predict: &Predict<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), BucketChunkError> {
        let Scratch { ints, floats } = scratch;
        floats.clear();
        floats::read(self.section(column), count, predict, ints, floats).map_err(self.at(column))
    }

    /// Appends the floats of the rows from `start` on to the column at `place`. It must not predict itself.
    fn append_floats(
        &self,
        column: Column,
        predict: impl Fn(Rows<'_>, usize, &mut Vec<f64>) -> bool,
        (start, ints): (usize, &mut Vec<i64>),
        out: &mut BucketColumns,
        place: fn(&mut BucketColumns) -> &mut Vec<f64>,
    ) -> Result<(), BucketChunkError> {
        let mut values = std::mem::take(place(out));
        let rows = Rows::new(out, start);
        let predict = |number: usize, values: &mut Vec<f64>| predict(rows, number, values);
        let read = floats::read(self.section(column), rows.len(), &predict, ints, &mut values);
        *place(out) = values;
        read.map_err(self.at(column))
    }

    fn read_times(
        &self,
        start: usize,
        ints: &mut Vec<i64>,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        let column = Column::LastTimes;
        intervals::read_last_times(self.section(column), start, ints, out).map_err(self.at(column))?;
        let (column, width) = (Column::FirstTimes, self.shape.width);
        intervals::read_first_times(self.section(column), width, start, ints, out).map_err(self.at(column))
    }

    fn read_starts(
        &self,
        start: usize,
        ints: &mut Vec<i64>,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        let column = Column::LastStarts;
        intervals::read_last_starts(self.section(column), start, ints, out).map_err(self.at(column))?;
        let column = Column::FirstStarts;
        intervals::read_first_starts(self.section(column), start, ints, out).map_err(self.at(column))
    }

    fn read_values(
        &self,
        start: usize,
        scratch: &mut Scratch,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        let count = out.len() - start;
        let zeros =
            |rows: Rows<'_>, number: usize, out: &mut Vec<f64>| predict::zeros(rows.len(), number, out);
        self.append_floats(Column::LastValues, zeros, (start, &mut scratch.ints), out, |out| {
            &mut out.last_values
        })?;
        let rows = Rows::new(out, start);
        let several = rows.count_several();
        if several == count {
            let at = (start, &mut scratch.ints);
            return self.append_floats(Column::FirstValues, predict::first_values, at, out, |out| {
                &mut out.first_values
            });
        }
        let predict = |number: usize, out: &mut Vec<f64>| predict::first_values(rows, number, out);
        self.floats(Column::FirstValues, several, &predict, scratch)?;
        let mut first = scratch.floats.iter();
        let values = out.last_values.len() - count;
        let rows = out.counts[start..].iter().zip(&out.last_values[values..]);
        out.first_values.extend(rows.map(|(&count, &last)| match count {
            1 => last,
            _ => first.next().copied().unwrap_or(last),
        }));
        Ok(())
    }

    fn read_lost(
        &self,
        start: usize,
        scratch: &mut Scratch,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        let (count, class) = (out.len() - start, self.shape.class);
        if !class.counts() {
            out.lost.huge.extend(start, std::iter::repeat_n(true, count));
            return Ok(());
        }
        if let Some(section) = self.section(Column::Resets) {
            self.ints(section, count, &mut scratch.ints)?;
            out.resets.extend(start, scratch.ints.iter().map(|&resets| resets as u64));
        }
        let losing: Vec<usize> = Rows::new(out, start).losing(class).collect();
        if losing.is_empty()
            && self.section(Column::Lost).is_none()
            && self.section(Column::LostMore).is_none()
        {
            Self::forget_lost(start, out);
            return Ok(());
        }
        let zeros = |number: usize, out: &mut Vec<f64>| predict::zeros(losing.len(), number, out);
        self.floats(Column::Lost, losing.len(), &zeros, scratch)?;
        let more = self.section(Column::LostMore);
        let lost = sums::read_lost(&scratch.floats, more).map_err(self.at(Column::LostMore))?;
        Self::forget_lost(start, out);
        losing.into_iter().zip(&lost).for_each(|(i, lost)| out.lost.lengthen(start + i, lost));
        Ok(())
    }

    /// Makes what resets took unknown: without resets, nothing is lost.
    fn forget_lost(start: usize, out: &mut BucketColumns) {
        if out.resets.stored().len() > start {
            let resets = out.resets.stored()[start..].iter();
            out.lost.huge.extend(start, resets.map(|&resets| resets != 0));
        }
    }

    fn read_changes(
        &self,
        start: usize,
        ints: &mut Vec<i64>,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        let Some(section) = self.section(Column::Changes) else { return Ok(()) };
        let counts = &out.counts[start..];
        section.ints(0, counts.len(), ints).map_err(|fault| section.fault(fault))?;
        match section.form {
            0 => out.changes.extend(start, ints.iter().map(|&changes| changes as u64)),
            1 => {
                let unchanged = counts.iter().zip(ints.iter());
                let changes = unchanged.map(|(n, &int)| n.wrapping_sub(1).wrapping_sub(int as u64));
                out.changes.extend(start, changes);
            }
            _ => return Err(section.fault(Fault::Field)),
        }
        Ok(())
    }

    /// Reads the extremes that are held. Where a prediction needs the first and the last values, which are not, these are read
    /// for the time being.
    fn read_extremes(
        &self,
        start: usize,
        scratch: &mut Scratch,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        let held = out.held();
        let is_predicted = |(columns, column): (Columns, Column)| {
            held.contains(columns) && !floats::is_plain(self.section(column))
        };
        let extremes = [(Columns::MIN, Column::Minima), (Columns::MAX, Column::Maxima)];
        if held.contains(Columns::VALUES) || !extremes.into_iter().any(is_predicted) {
            return self.read_held_extremes(start, scratch, out);
        }
        let read = self.read_values(start, scratch, out);
        let read = read.and_then(|()| self.read_held_extremes(start, scratch, out));
        out.first_values.clear();
        out.last_values.clear();
        read
    }

    fn read_held_extremes(
        &self,
        start: usize,
        scratch: &mut Scratch,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        let class = self.shape.class;
        if out.held().contains(Columns::MIN) {
            let at = (start, &mut scratch.ints);
            self.append_floats(Column::Minima, predict::minima, at, out, |out| &mut out.minima)?;
        }
        if !out.held().contains(Columns::MAX) {
            return Ok(());
        }
        let reads_lost = !out.held().contains(Columns::LOST) && self.maxima_follow_lost(start, out);
        let read = if reads_lost { self.read_lost(start, scratch, out) } else { Ok(()) };
        let read = read.and_then(|()| {
            let predict =
                |rows: Rows<'_>, number: usize, out: &mut Vec<f64>| predict::maxima(rows, class, number, out);
            self.append_floats(Column::Maxima, predict, (start, &mut scratch.ints), out, |out| {
                &mut out.maxima
            })
        });
        if reads_lost {
            out.resets.truncate(0);
            out.lost.truncate(0);
        }
        read
    }

    /// Whether maxima are predicted from what resets took. Where that is not stored, it is zero, which is greater than the
    /// first and the last value of a row only if both are negative or NaN.
    fn maxima_follow_lost(&self, start: usize, out: &BucketColumns) -> bool {
        if floats::is_plain(self.section(Column::Maxima)) {
            return false;
        }
        let is_stored = self.section(Column::Lost).is_some() || self.section(Column::LostMore).is_some();
        let rows = Rows::new(out, start);
        let ends = rows.first_values().iter().zip(rows.last_values());
        let is_above_zero = || ends.fold(true, |all, (first, last)| all & ((*first >= 0.0) | (*last >= 0.0)));
        self.shape.class.counts() && (is_stored || !is_above_zero())
    }

    fn read_sums(
        &self,
        start: usize,
        scratch: &mut Scratch,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        let rows = Rows::new(out, start);
        if !self.shape.class.measures() {
            let count = rows.len();
            out.sums.huge.extend(start, std::iter::repeat_n(true, count));
            return Ok(());
        }
        let predict = |number: usize, out: &mut Vec<f64>| predict::sums(rows, number, out);
        self.floats(Column::Sums, rows.len(), &predict, scratch)?;
        let rest = self.section(Column::SumsRest);
        let seconds = sums::read_rest(rows, rest, &mut scratch.ints).map_err(self.at(Column::SumsRest))?;
        let more = self.section(Column::SumsMore);
        sums::append(&scratch.floats, seconds.as_deref(), more, start, &mut out.sums)
            .map_err(self.at(Column::SumsMore))
    }

    fn read_m2(
        &self,
        start: usize,
        scratch: &mut Scratch,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        let rows = Rows::new(out, start);
        if !self.shape.class.measures() {
            let count = rows.len();
            out.squares.resize(start + count, f64::NAN);
            return Ok(());
        }
        squares::read(self.section(Column::M2), rows, scratch).map_err(self.at(Column::M2))?;
        if scratch.floats.len() == rows.len() {
            out.squares.extend_from_slice(&scratch.floats);
            return Ok(());
        }
        let stored: Vec<usize> = squares::stored(rows).collect();
        let count = rows.len();
        out.squares.resize(start + count, f64::NAN);
        stored.into_iter().zip(&scratch.floats).for_each(|(i, &m2)| out.squares[start + i] = m2);
        Ok(())
    }

    fn read_gaps(&self, start: usize, out: &mut BucketColumns) -> Result<(), BucketChunkError> {
        let count = out.len() - start;
        if !self.shape.bounds {
            let unknown = |&count: &u64| if count > 1 { Gaps::UNKNOWN } else { Gaps::NONE };
            out.gaps.extend(start, out.counts[start..].iter().map(unknown));
            return Ok(());
        }
        let column = |column: Column| -> Result<Vec<i64>, BucketChunkError> {
            let mut ints = Vec::new();
            match self.section(column) {
                Some(section) => self.ints(section, count, &mut ints)?,
                None => ints.resize(count, 0),
            }
            Ok(ints)
        };
        let [irregular, least, greatest] =
            [column(Column::Irregular)?, column(Column::LeastGaps)?, column(Column::GreatestGaps)?];
        intervals::set_gaps([&irregular, &least, &greatest], start, out);
        Ok(())
    }

    fn read_steps(
        &self,
        start: usize,
        ints: &mut Vec<i64>,
        out: &mut BucketColumns,
    ) -> Result<(), BucketChunkError> {
        if !self.shape.bounds {
            let unknown = |&count: &u64| if count > 1 { f64::INFINITY } else { 0.0 };
            out.steps.extend(start, out.counts[start..].iter().map(unknown));
        } else if let Some(section) = self.section(Column::Steps) {
            self.ints(section, out.len() - start, ints)?;
            let steps = ints.iter().map(|&bits| f64::from_bits((bits as u64).rotate_right(15)));
            out.steps.extend(start, steps);
        }
        Ok(())
    }

    fn read_sketches(&self, start: usize, out: &mut BucketColumns) -> Result<(), BucketChunkError> {
        let Some(section) = self.section(Column::Sketches) else { return Ok(()) };
        let rows = Rows::new(out, start);
        let extents: Vec<coding::Extent> = (0..rows.len()).map(|i| extent(rows, i)).collect();
        let sketches = coding::decode(&extents, section.bytes).map_err(|fault| section.fault(fault))?;
        out.sketches.extend(start, sketches.into_iter());
        Ok(())
    }
}
