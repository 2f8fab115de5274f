//! A named part of the memory of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::bytes_text;
use super::line::Line;

/// A named part of the memory of the process.
///
/// ```
/// use barograph_engine::budget::Share;
///
/// let bodies = Share::new("bodies", 100);
/// let first = bodies.take(60)?;
/// assert!(bodies.take(60).is_err(), "refused, and nothing of it stays counted");
/// drop(first);
/// assert_eq!(bodies.take(100)?.bytes(), 100);
/// # Ok::<(), barograph_engine::budget::Full>(())
/// ```
#[derive(Debug)]
pub struct Share {
    name: &'static str,
    limit: AtomicU64,
    reserve: AtomicU64,
    light: AtomicU64,
    line: Line,
    /// Bytes held, excluding `lent`.
    used: AtomicU64,
    /// Bytes of the reserve held by the work whose turn it is.
    lent: AtomicU64,
    peak: AtomicU64,
    refused: AtomicU64,
}

/// A take was refused because the share has too little left. It can succeed once others release memory, unless it
/// exceeds the whole share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} more do not fit into the memory for {share}: {} of {} are in use",
    bytes_text(*asked), bytes_text(*used), bytes_text(*limit)
)]
pub struct Full {
    /// The name of the share.
    pub share: &'static str,
    /// Bytes requested.
    pub asked: u64,
    /// Bytes held, excluding the reserve for one piece of work.
    pub used: u64,
    /// Maximum bytes held at once, excluding the reserve.
    pub limit: u64,
}

impl Full {
    /// Whether the same take can never succeed.
    pub fn is_permanent(&self) -> bool {
        self.asked > self.limit
    }
}

impl Share {
    /// A share of `limit` bytes. The name appears in messages and metrics.
    pub fn new(name: &'static str, limit: u64) -> Arc<Share> {
        Arc::new(Share {
            name,
            limit: AtomicU64::new(limit),
            reserve: AtomicU64::new(0),
            light: AtomicU64::new(0),
            line: Line::default(),
            used: AtomicU64::new(0),
            lent: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Takes `bytes` until the hold is dropped.
    ///
    /// # Errors
    /// [`Full`]; it never waits.
    pub fn take(self: &Arc<Self>, bytes: u64) -> Result<Hold, Full> {
        self.add(bytes)?;
        Ok(Hold { share: Arc::clone(self), bytes })
    }

    pub(super) fn add(&self, asked: u64) -> Result<(), Full> {
        self.add_to(&self.used, self.common_to_all(), asked)
    }

    /// Like [`Share::add`], for light work.
    pub(super) fn add_light(&self, asked: u64) -> Result<(), Full> {
        self.add_to(&self.used, self.common_to_light(), asked)
    }

    /// Like [`Share::take`], for memory that work needs before it can begin, such as its text. A small part is reserved
    /// for that.
    ///
    /// # Errors
    /// Same as [`Share::take`].
    pub fn take_to_begin(self: &Arc<Self>, bytes: u64) -> Result<Hold, Full> {
        self.add_to(&self.used, self.common(), bytes)?;
        Ok(Hold { share: Arc::clone(self), bytes })
    }

    /// Like [`Share::add`], from the reserve.
    pub(super) fn add_in_turn(&self, asked: u64) -> Result<(), Full> {
        self.add_to(&self.lent, self.reserve(), asked)
    }

    fn add_to(&self, counter: &AtomicU64, limit: u64, asked: u64) -> Result<(), Full> {
        let taken = counter
            .fetch_update(Relaxed, Relaxed, |used| used.checked_add(asked).filter(|&after| after <= limit));
        match taken {
            Ok(_) => {
                self.peak.fetch_max(self.used(), Relaxed);
                Ok(())
            }
            Err(used) => {
                self.refused.fetch_add(1, Relaxed);
                Err(Full { share: self.name, asked, used, limit })
            }
        }
    }

    /// Counts existing memory, even beyond the limit.
    pub(super) fn add_anyway(&self, bytes: u64) {
        self.used.fetch_add(bytes, Relaxed);
        self.peak.fetch_max(self.used(), Relaxed);
    }

    pub(super) fn sub(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "{}: gave back {bytes} of {before}", self.name);
    }

    /// Like [`Share::sub`], for the work whose turn it is: releases lent bytes first, then earlier ones.
    pub(super) fn sub_in_turn(&self, bytes: u64) {
        let lent = self.lent.fetch_update(Relaxed, Relaxed, |lent| Some(lent.saturating_sub(bytes)));
        let lent = lent.unwrap_or_else(|unchanged| unchanged);
        self.sub(bytes.saturating_sub(lent));
    }

    /// Ends a turn: memory that its work still holds counts against the common part.
    pub(super) fn end_turn(&self) {
        self.used.fetch_add(self.lent.swap(0, Relaxed), Relaxed);
    }

    /// Changes the limit. Existing holds are kept; nothing more is granted until it fits again.
    pub fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Relaxed);
    }

    /// Reserves `bytes` of the limit for one piece of work at a time, the one whose [turn](super::Work::turn) it is.
    /// That work can take them no matter what others hold, and others can take the rest no matter what it holds.
    pub fn set_reserve(&self, bytes: u64) {
        self.reserve.store(bytes, Relaxed);
    }

    /// The reserve, bytes.
    pub fn reserve(&self) -> u64 {
        self.reserve.load(Relaxed).min(self.limit())
    }

    /// Maximum bytes held without a turn.
    pub fn common(&self) -> u64 {
        let limit = self.limit();
        limit - self.reserve.load(Relaxed).min(limit)
    }

    /// Reserves `bytes` of the part without the reserve, at most a quarter of it, for light work
    /// ([`Account::begin_light`](super::Account::begin_light)). A quarter of these bytes are for memory that work needs
    /// before it begins.
    pub fn set_light(&self, bytes: u64) {
        self.light.store(bytes, Relaxed);
    }

    fn light(&self) -> u64 {
        self.light.load(Relaxed).min(self.common() / 4)
    }

    /// Maximum bytes that heavy work may hold without a turn.
    pub fn common_to_all(&self) -> u64 {
        self.common() - self.light()
    }

    /// Maximum bytes that light work may hold without a turn.
    pub fn common_to_light(&self) -> u64 {
        self.common() - self.light() / 4
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// The number of pieces of work that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.line.waiting()
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The limit, bytes.
    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// Bytes held now.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed) + self.lent.load(Relaxed)
    }

    /// Maximum bytes held at once.
    pub fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    /// The number of refused takes.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

/// Bytes of a share that are taken until this is dropped.
#[derive(Debug)]
pub struct Hold {
    share: Arc<Share>,
    bytes: u64,
}

impl Hold {
    /// Takes or releases the difference, so that `bytes` are held.
    ///
    /// # Errors
    /// [`Full`]; the bytes held before are kept.
    pub fn resize(&mut self, bytes: u64) -> Result<(), Full> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.share.add(more)?,
            None => self.share.sub(self.bytes - bytes),
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Takes `more` bytes in addition to those held.
    ///
    /// # Errors
    /// Same as [`Hold::resize`].
    pub fn grow(&mut self, more: u64) -> Result<(), Full> {
        self.resize(self.bytes.saturating_add(more))
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The share from which they are taken.
    pub fn share(&self) -> &Share {
        &self.share
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.share.sub(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_take_is_not_counted_and_a_hold_gives_back() {
        let share = Share::new("queries", 100);
        let mut hold = share.take(60).unwrap();
        let full = share.take(41).unwrap_err();
        assert_eq!(full, Full { share: "queries", asked: 41, used: 60, limit: 100 });
        assert!(!full.is_permanent() && share.take(101).unwrap_err().is_permanent());
        assert_eq!((share.used(), share.refused()), (60, 2));
        hold.grow(40).unwrap();
        assert!(hold.grow(1).is_err());
        assert_eq!((hold.bytes(), share.used()), (100, 100), "what was held stays held");
        hold.resize(10).unwrap();
        drop((hold, share.take(90).unwrap()));
        assert_eq!((share.used(), share.peak()), (0, 100));
        assert!(share.take(u64::MAX).is_err(), "no overflow");
    }
}
