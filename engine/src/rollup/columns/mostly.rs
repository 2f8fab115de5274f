//! A column in which nearly all rows have one value.

/// A column in which nearly all rows have one value, as numbers of resets or stale markers are mostly zero. Rows at the end
/// that have the usual value are not stored, so that such a column usually costs nothing.
#[derive(Debug, Clone)]
pub struct Mostly<T> {
    usual: T,
    values: Vec<T>,
}

impl<T: Clone> Mostly<T> {
    /// An empty column.
    pub(super) fn of(usual: T) -> Self {
        Mostly { usual, values: Vec::new() }
    }

    /// The value of a row.
    #[inline]
    pub fn get(&self, row: usize) -> &T {
        self.values.get(row).unwrap_or(&self.usual)
    }

    /// Whether all rows certainly have the usual value.
    #[inline]
    pub fn is_usual(&self) -> bool {
        self.values.is_empty()
    }

    /// The values of the first rows. All others have the usual value.
    #[inline]
    pub fn stored(&self) -> &[T] {
        &self.values
    }

    /// Sets the values of the rows from `first` on, before which there are no unset rows other than usual ones.
    pub(crate) fn extend(&mut self, first: usize, values: impl Iterator<Item = T>) {
        self.values.resize(first, self.usual.clone());
        self.values.extend(values);
    }

    /// Appends row `row`.
    pub(super) fn push(&mut self, row: usize, value: T, is_usual: bool) {
        if !is_usual {
            self.extend(row, std::iter::once(value));
        }
    }

    /// Replaces the value of a row.
    pub(super) fn set(&mut self, row: usize, value: T) {
        if self.values.len() <= row {
            self.values.resize(row.saturating_add(1), self.usual.clone());
        }
        self.values[row] = value;
    }

    /// Changes the value of a row that is stored.
    pub(super) fn change(&mut self, row: usize, change: impl FnOnce(&mut T)) {
        if let Some(value) = self.values.get_mut(row) {
            change(value);
        }
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
    }

    /// Replaces the rows from `first` on by these.
    pub(super) fn choose(&mut self, first: usize, rows: &[usize]) {
        if self.values.len() > first {
            let chosen: Vec<T> = rows.iter().map(|&row| self.get(row).clone()).collect();
            self.values.truncate(first);
            self.values.extend(chosen);
        }
    }

    /// The memory of the column itself, bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.values.capacity() * size_of::<T>()
    }
}

impl<T: Copy> Mostly<T> {
    /// The value of a row.
    #[inline]
    pub fn at(&self, row: usize) -> T {
        *self.get(row)
    }
}
