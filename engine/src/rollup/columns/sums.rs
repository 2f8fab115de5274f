//! A column of exact sums.

use super::mostly::Mostly;
use crate::rollup::ExactSum;

/// A column of normalized [`ExactSum`]s: their first two components, and the few sums that these do not describe.
#[derive(Debug, Clone)]
pub struct Sums {
    /// The first components; for a sum that is not finite, its value.
    pub first: Mostly<f64>,
    /// The second components.
    pub second: Mostly<f64>,
    /// Whether a sum is huge: its value is unknown.
    pub huge: Mostly<bool>,
    /// Rows with more components, ascending, and their sums.
    pub longer: Vec<(usize, ExactSum)>,
}

impl Sums {
    pub(super) fn new() -> Self {
        let (first, second, huge) = (Mostly::of(0.0), Mostly::of(0.0), Mostly::of(false));
        Sums { first, second, huge, longer: Vec::new() }
    }

    /// The sum of a row.
    pub fn get(&self, row: usize) -> ExactSum {
        if self.huge.at(row) {
            return ExactSum::huge();
        }
        match self.longer_at(row) {
            Some(sum) => sum.clone(),
            None => ExactSum::from_components(&[self.first.at(row), self.second.at(row)]),
        }
    }

    pub(super) fn longer_at(&self, row: usize) -> Option<&ExactSum> {
        if self.longer.is_empty() {
            return None;
        }
        let at = self.longer.binary_search_by_key(&row, |(row, _)| *row).ok()?;
        Some(&self.longer[at].1)
    }

    /// Whether all values of a row were finite and none was huge.
    #[inline]
    pub fn is_exact(&self, row: usize) -> bool {
        self.first.at(row).is_finite() && !self.huge.at(row)
    }

    /// The sum of a row, correctly rounded; not finite if a value is not; NaN if it is huge.
    #[inline]
    pub fn value(&self, row: usize) -> f64 {
        if self.huge.at(row) { f64::NAN } else { self.first.at(row) }
    }

    /// Whether no sum from row `first` on is unknown or NaN.
    pub fn are_known(&self, first: usize) -> bool {
        let huge = self.huge.stored().get(first..).unwrap_or_default();
        let values = self.first.stored().get(first..).unwrap_or_default();
        !huge.contains(&true) && !values.iter().any(|value| value.is_nan())
    }

    /// The column of these sums, which need not be normalized.
    pub fn of(sums: impl Iterator<Item = ExactSum>) -> Self {
        let mut column = Sums::new();
        for (row, mut sum) in sums.enumerate() {
            sum.normalize();
            column.push(row, &sum);
        }
        column
    }

    /// Sets row `row`, after which none is set.
    pub(super) fn push(&mut self, row: usize, sum: &ExactSum) {
        if sum.is_huge() {
            return self.huge.push(row, true, false);
        }
        let mut components = sum.components();
        let (first, second) = (components.next().unwrap_or(0.0), components.next().unwrap_or(0.0));
        if components.next().is_some() {
            self.longer.push((row, sum.clone()));
        }
        drop(components);
        self.first.push(row, first, first.to_bits() == 0);
        self.second.push(row, second, second.to_bits() == 0);
    }

    /// Replaces row `row`, which has at most two components, as all rows after it have.
    pub(crate) fn lengthen(&mut self, row: usize, sum: &ExactSum) {
        let mut components = sum.components();
        let (first, second) = (components.next().unwrap_or(0.0), components.next().unwrap_or(0.0));
        let is_longer = components.next().is_some();
        drop(components);
        self.first.set(row, first);
        self.second.set(row, second);
        self.huge.set(row, sum.is_huge());
        if is_longer {
            self.longer.push((row, sum.clone()));
        }
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.first.truncate(rows);
        self.second.truncate(rows);
        self.huge.truncate(rows);
        self.longer.retain(|(row, _)| *row < rows);
    }

    pub(super) fn choose(&mut self, first: usize, rows: &[usize]) {
        self.first.choose(first, rows);
        self.second.choose(first, rows);
        self.huge.choose(first, rows);
        if self.longer.last().is_some_and(|(row, _)| *row >= first) {
            let longer = |(at, &row): (usize, &usize)| Some((first + at, self.longer_at(row)?.clone()));
            let chosen: Vec<_> = rows.iter().enumerate().filter_map(longer).collect();
            self.longer.retain(|(row, _)| *row < first);
            self.longer.extend(chosen);
        }
    }

    /// The memory of the columns, bytes.
    pub(super) fn column_bytes(&self) -> usize {
        let columns = self.first.memory_bytes() + self.second.memory_bytes() + self.huge.memory_bytes();
        columns + self.longer.capacity() * size_of::<(usize, ExactSum)>()
    }

    /// What the sums from row `first` on hold beside them, bytes.
    pub(super) fn detail_bytes(&self, first: usize) -> usize {
        let from = self.longer.partition_point(|(row, _)| *row < first);
        self.longer[from..].iter().map(|(_, sum)| sum.memory_bytes()).sum()
    }
}
