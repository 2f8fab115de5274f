//! Appending in pieces: what the decoder of a wire format needs of the engine.
//!
//! A request becomes rows ([`ResolvedBatch`]). When they have used up the memory that they were granted, they are
//! committed and the next piece begins. When no memory is free, the request waits without holding any. Series that a
//! request has created without storing anything of them are removed again.
//!
//! Next: `admit/batches.rs` grants the memory, `append.rs` commits, `lines.rs` and `remote.rs` decode.

use std::sync::Arc;

use crate::Result;
use crate::engine::Shared;
use crate::engine::admit::batches::PIECE_SAMPLES;
use crate::engine::admit::newcomers::Newcomers;
use crate::engine::admit::spread::Spread;
use crate::engine::retention::Horizon;
use crate::head::{HeadSeries, ResolvedBatch};
use crate::model::Labels;
use crate::wal::Ticket;

/// The rows of one request.
pub(in crate::engine) struct Appender<'e> {
    pub shared: &'e Shared,
    /// The rows of the current piece.
    pub rows: ResolvedBatch,
    /// What the rows cost beyond their samples, in samples.
    pub weight: usize,
    /// Samples that were committed.
    pub samples: u64,
    /// String fields that were committed.
    pub events: u64,
    /// Which samples are too old.
    pub horizon: Horizon,
    spread: Spread,
    newcomers: Newcomers,
    /// What was logged last.
    ticket: Option<Ticket>,
}

impl<'e> Appender<'e> {
    /// An appender without rows.
    ///
    /// # Errors
    /// The database takes no writes.
    pub fn new(shared: &'e Shared) -> Result<Self> {
        shared.check_writable()?;
        Ok(Appender {
            shared,
            rows: ResolvedBatch::default(),
            weight: 0,
            samples: 0,
            events: 0,
            horizon: shared.retention.horizon(),
            spread: shared.spread(),
            newcomers: Newcomers::default(),
            ticket: None,
        })
    }

    /// The series of a label set; a new one if the limits admit it.
    ///
    /// # Errors
    /// A limit.
    pub fn series(&mut self, labels: &Labels) -> Result<Arc<HeadSeries>> {
        self.shared.admission.resolve(labels, &mut self.newcomers)
    }

    /// The number of series that the request has created.
    pub fn created(&self) -> usize {
        self.newcomers.len()
    }

    /// Removes the series from number `first` on that nothing was stored of. Returns whether there were any: a cache
    /// may still name them.
    pub fn take_back(&mut self, first: usize) -> bool {
        self.shared.writer.take_back(&mut self.newcomers, first)
    }

    /// Counts samples that are too old.
    pub fn too_old(&self, samples: u64) {
        self.shared.admission.count_too_old(samples);
    }

    /// Whether [`Appender::make_room`] must be called before more is added.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.rows.is_full() || self.weight >= PIECE_SAMPLES
    }

    /// Takes memory for one more sample and `more` bytes of string fields. Commits the piece if it is whole or memory
    /// is scarce.
    ///
    /// # Errors
    /// As [`Appender::commit`], or memory stays full.
    #[cold]
    pub fn make_room(&mut self, more: u64) -> Result<()> {
        let Shared { writer, options, admission, .. } = self.shared;
        let batches = admission.batches();
        if self.weight < PIECE_SAMPLES && batches.grow(&mut self.rows, more) {
            return Ok(());
        }
        if !self.rows.is_empty() {
            self.commit()?;
            if batches.grow(&mut self.rows, more) {
                return Ok(());
            }
        }
        // No memory is held while waiting for others.
        self.wait()?;
        batches.wait(&mut self.rows, more, options.write_wait, || writer.settle_deferred())
    }

    /// Logs the rows, if there are any.
    ///
    /// # Errors
    /// The piece before could not be made durable, or this one cannot be logged: nothing of it is stored.
    pub fn commit(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        // Waits for the previous piece: no more than two are in memory.
        self.wait()?;
        self.spread.admit(&self.rows)?;
        self.samples += self.rows.samples() as u64;
        self.events += self.rows.events.len() as u64;
        self.ticket = self.shared.commit(&mut self.rows)?;
        self.weight = 0;
        Ok(())
    }

    /// Waits until all that was committed is durable.
    ///
    /// # Errors
    /// The log could not be written or synced.
    pub fn wait(&mut self) -> Result<()> {
        self.shared.writer.wait_durable(self.ticket.take())
    }
}
