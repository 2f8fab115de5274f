//! The memory of batches between their writers and the head.
//!
//! A batch is granted memory before it grows: for itself, for samples and for texts, including its log record. It
//! returns the memory when it is in the head or dropped. A writer whose batch cannot grow commits it, waits until it is
//! durable, and then waits for memory with an empty batch. So no call holds memory while it waits for others, and
//! batches are smaller under memory pressure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::budget::{Share, bytes_text};
use crate::head::ResolvedBatch;
use crate::head::batch::{BATCH_BYTES, Granted, SAMPLE_BYTES, TEXT_FACTOR};
use crate::{Error, Result};

/// A body is committed in pieces of this many samples, regardless of free memory.
pub(in crate::engine) const PIECE_SAMPLES: usize = 100_000;
/// The same for bytes of string fields.
const PIECE_TEXT_BYTES: u64 = 16 << 20;
/// The initial grant of a batch.
const FIRST: Granted = Granted { samples: 64, text_bytes: 2 << 10 };
/// The interval at which a waiting writer checks for memory.
const LOOK: Duration = Duration::from_millis(5);

/// The memory of batches, described in the module documentation.
#[derive(Debug)]
pub(crate) struct BatchMemory {
    share: Arc<Share>,
    /// The maximum grant of one batch: at most a quarter of the share for samples, and a quarter for texts.
    most: Granted,
}

impl BatchMemory {
    /// Creates the memory of batches with `bytes`.
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
    pub(in crate::engine) fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// The granted memory, bytes.
    pub(crate) fn used(&self) -> u64 {
        self.share.used()
    }

    /// If the texts of one line can never be granted memory, returns the maximum in bytes.
    pub(in crate::engine) fn too_large(&self, text_bytes: u64) -> Option<u64> {
        let most = self.share.limit() / TEXT_FACTOR / 2;
        (text_bytes > most).then_some(most)
    }

    /// Extends the grant so that the batch can take one more sample and `more` bytes of texts. Returns false if the
    /// writer must commit the batch first.
    pub(in crate::engine) fn grow(&self, batch: &mut ResolvedBatch, more: u64) -> bool {
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

    /// Waits until an empty batch can take one sample and `more` bytes of texts. While it waits, it calls `free`, which
    /// frees the memory of batches that no thread waits for.
    ///
    /// # Errors
    /// No memory became free within `patience`.
    pub(in crate::engine) fn wait(
        &self,
        batch: &mut ResolvedBatch,
        more: u64,
        patience: Duration,
        free: impl Fn(),
    ) -> Result<()> {
        batch.release();
        let text_bytes = FIRST.text_bytes.max(more + 1);
        self.wait_for(batch, Granted { samples: FIRST.samples, text_bytes }, patience, free)
    }

    /// Waits for the memory of a batch that is stored atomically. A batch larger than all of the memory is granted all
    /// of it.
    ///
    /// # Errors
    /// Same as [`BatchMemory::wait`].
    pub(in crate::engine) fn wait_whole(
        &self,
        batch: &mut ResolvedBatch,
        samples: usize,
        text_bytes: u64,
        patience: Duration,
        free: impl Fn(),
    ) -> Result<()> {
        let limit = self.share.limit().saturating_sub(BATCH_BYTES);
        let samples = samples.min(usize::try_from(limit / 2 / SAMPLE_BYTES).unwrap_or(usize::MAX));
        let text_bytes = text_bytes.min(limit / 2 / TEXT_FACTOR);
        self.wait_for(batch, Granted { samples, text_bytes }, patience, free)
    }

    fn wait_for(
        &self,
        batch: &mut ResolvedBatch,
        wanted: Granted,
        patience: Duration,
        free: impl Fn(),
    ) -> Result<()> {
        let started = Instant::now();
        while batch.grant(&self.share, wanted).is_err() {
            free();
            if batch.grant(&self.share, wanted).is_ok() {
                break;
            }
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
