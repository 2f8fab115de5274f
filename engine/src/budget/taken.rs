//! Memory that a piece of work holds temporarily.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Denied, Work};

/// Bytes that a piece of work has taken. They are released when this is dropped.
///
/// ```
/// use barograph_engine::budget::{Taken, Work};
///
/// let work = Work::unbounded().holding(100);
/// let copies = Taken::of(&work);
/// copies.more(60)?;
/// assert!(copies.more(60).is_err());
/// assert_eq!((copies.bytes(), work.account().bytes()), (60, 60));
/// drop(copies);
/// assert_eq!(work.account().bytes(), 0);
/// # Ok::<(), barograph_engine::budget::Denied>(())
/// ```
#[derive(Debug)]
pub struct Taken {
    work: Work,
    bytes: AtomicU64,
}

impl Taken {
    /// Holds nothing yet.
    pub fn of(work: &Work) -> Self {
        Taken { work: work.clone(), bytes: AtomicU64::new(0) }
    }

    /// Takes `bytes` more, before they are allocated.
    ///
    /// # Errors
    /// [`Denied`]; nothing more is taken in that case.
    pub fn more(&self, bytes: usize) -> Result<(), Denied> {
        self.work.take(bytes as u64)?;
        self.bytes.fetch_add(bytes as u64, Relaxed);
        Ok(())
    }

    /// Takes the bytes that are missing to hold `bytes`. Bytes held beyond that are kept, for memory that is reused.
    ///
    /// # Errors
    /// Same as [`Taken::more`].
    pub fn at_least(&self, bytes: usize) -> Result<(), Denied> {
        let missing = (bytes as u64).saturating_sub(self.bytes());
        self.more(missing as usize)
    }

    /// Releases `bytes` of them.
    pub fn less(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes as u64, Relaxed);
        self.work.give(bytes as u64);
    }

    /// Bytes that are taken.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Leaves the bytes with the work, for a result that outlives this.
    pub fn leave(mut self) {
        *self.bytes.get_mut() = 0;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.work.give(*self.bytes.get_mut());
    }
}

/// Maximum bytes of a hash map with `entries` entries of `entry` bytes: its capacity is a power of two, at least four,
/// of which an eighth stays free, and each entry has an additional byte.
pub fn map_bytes(entries: usize, entry: usize) -> usize {
    match entries {
        0 => 0,
        entries => {
            (entries.saturating_mul(8) / 7 + 1).next_power_of_two().max(4).saturating_mul(entry + 1) + 16
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_stays_taken() {
        let work = Work::unbounded();
        let result = Taken::of(&work);
        result.more(10).unwrap();
        result.at_least(15).unwrap();
        result.at_least(5).unwrap();
        result.more(2).unwrap();
        result.less(2);
        assert_eq!(result.bytes(), 15);
        result.leave();
        assert_eq!(work.account().bytes(), 15);
    }

    #[test]
    fn a_map_takes_no_more() {
        for entries in [0, 1, 3, 7, 8, 1000, 100_000] {
            let map: std::collections::HashMap<u64, u64> = (0..entries as u64).map(|n| (n, n)).collect();
            assert!(map_bytes(entries, 16) >= map.capacity() * 17, "{entries}: {}", map.capacity());
        }
    }
}
