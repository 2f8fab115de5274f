//! The memory of batches between their writers and the head.
//!
//! A batch has memory granted before it grows: for samples and for texts, each with its place in a record of the log. It
//! returns the memory when it is in the head, or dropped. A writer whose batch cannot grow commits what it has, waits until
//! that is safe, and then waits for memory with an empty batch. So no call keeps memory while it waits for others, and under
//! pressure batches are smaller.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::budget::{Share, bytes_text};
use crate::head::Resolved;
use crate::head::batch::{Granted, SAMPLE_BYTES, TEXT_FACTOR};
use crate::{Error, Result};

/// Samples after which a body is committed in pieces, however much memory there is.
pub(super) const PIECE_SAMPLES: usize = 100_000;
/// Bytes of string fields after which it is, too.
const PIECE_TEXT_BYTES: u64 = 16 << 20;
/// What a batch may hold at first.
const FIRST: Granted = Granted { samples: 64, text_bytes: 2 << 10 };
/// How often a writer looks whether there is memory.
const LOOK: Duration = Duration::from_millis(5);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct BatchMemory {
    share: Arc<Share>,
    /// The most that one batch may have; at most a quarter of the share for samples, and one for texts.
    most: Granted,
}

impl BatchMemory {
    /// Divides `bytes` among batches.
    pub(crate) fn new(bytes: u64) -> Self {
        let share = Share::new("batches", bytes);
        let samples = usize::try_from(bytes / 4 / SAMPLE_BYTES).unwrap_or(usize::MAX);
        let most = Granted {
            samples: samples.clamp(FIRST.samples, PIECE_SAMPLES),
            text_bytes: (bytes / 4 / TEXT_FACTOR).clamp(FIRST.text_bytes, PIECE_TEXT_BYTES),
        };
        BatchMemory { share, most }
    }

    #[cfg(test)]
    pub(super) fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// Bytes granted now.
    pub(crate) fn used(&self) -> u64 {
        self.share.used()
    }

    /// Whether texts of one line are more than there will ever be memory for; the most, bytes.
    pub(super) fn too_large(&self, text_bytes: u64) -> Option<u64> {
        let most = self.share.limit() / TEXT_FACTOR / 2;
        (text_bytes > most).then_some(most)
    }

    /// Grants more, so that the batch can take a sample and `more` bytes of texts. False if its writer has to commit it.
    pub(super) fn grow(&self, batch: &mut Resolved, more: u64) -> bool {
        let has = batch.granted();
        let wanted_bytes = batch.text_bytes() + more + 1;
        let is_whole = batch.samples() >= self.most.samples || wanted_bytes > self.most.text_bytes;
        if is_whole && !batch.is_empty() {
            return false;
        }
        let samples = match batch.samples() >= has.samples {
            true => (2 * has.samples).clamp(FIRST.samples, self.most.samples),
            false => has.samples,
        };
        let text_bytes = match wanted_bytes > has.text_bytes {
            true => (2 * has.text_bytes).clamp(FIRST.text_bytes, self.most.text_bytes).max(wanted_bytes),
            false => has.text_bytes,
        };
        batch.grant(&self.share, Granted { samples, text_bytes }).is_ok()
    }

    /// Waits until an empty batch can take a sample and `more` bytes of texts.
    ///
    /// # Errors
    /// There is no memory for as long as `patience`.
    pub(super) fn wait(&self, batch: &mut Resolved, more: u64, patience: Duration) -> Result<()> {
        batch.release();
        let text_bytes = FIRST.text_bytes.max(more + 1);
        self.wait_for(batch, Granted { samples: FIRST.samples, text_bytes }, patience)
    }

    /// Waits for the memory of a batch that is stored whole. One that is larger than all of it gets all of it.
    ///
    /// # Errors
    /// As [`BatchMemory::wait`].
    pub(super) fn wait_whole(
        &self,
        batch: &mut Resolved,
        samples: usize,
        text_bytes: u64,
        patience: Duration,
    ) -> Result<()> {
        let limit = self.share.limit();
        let samples = samples.min(usize::try_from(limit / 2 / SAMPLE_BYTES).unwrap_or(usize::MAX));
        let text_bytes = text_bytes.min(limit / 2 / TEXT_FACTOR);
        self.wait_for(batch, Granted { samples, text_bytes }, patience)
    }

    fn wait_for(&self, batch: &mut Resolved, wanted: Granted, patience: Duration) -> Result<()> {
        let started = Instant::now();
        while batch.grant(&self.share, wanted).is_err() {
            let waited = started.elapsed();
            if waited >= patience {
                return Err(Error::Throttled(format!(
                    "the memory for batches of samples ({}, a part of memory) is in use for {} ms; retry later or raise \
                     memory",
                    bytes_text(self.share.limit()),
                    waited.as_millis()
                )));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}
