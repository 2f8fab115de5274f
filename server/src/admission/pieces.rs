//! An answer that is sent while it is made, piece by piece.
//!
//! A bounded number of pieces is in flight. Their memory is taken before the first one, so that a stream that has begun
//! does not fail because others have taken the memory in the meantime. A larger piece takes the difference in addition.

use std::sync::Arc;

use barograph::budget::{Taken, Work};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::buffer::{Buffer, PIECE_BYTES};
use crate::error::ApiError;
use crate::json::Sink;
use barograph::QueryError;

/// Pieces that may wait for a slow client.
const WAITING_MAX: usize = 4;
/// Pieces in flight: the waiting ones, the one being written, and those in the connection.
const IN_FLIGHT: usize = WAITING_MAX + 4;

/// The producer of a stream failed or ended. The connection is closed, so that the client does not mistake half an
/// answer for a complete one.
#[derive(Debug, thiserror::Error)]
#[error("the answer was interrupted: {0}")]
pub struct Broken(pub String);

/// The end of a stream into which pieces are written.
pub struct Pieces {
    work: Work,
    buffer: Buffer,
    sender: mpsc::Sender<Result<Bytes, Broken>>,
    /// Receives the outcome of everything before the first piece.
    started: Option<oneshot::Sender<Result<(), ApiError>>>,
    is_finished: bool,
    _in_flight: Arc<Taken>,
}

/// The end of a stream from which pieces are sent.
pub struct Source {
    /// The pieces.
    pub receiver: mpsc::Receiver<Result<Bytes, Broken>>,
    /// Whether there is something to send, or why not.
    pub starting: oneshot::Receiver<Result<(), ApiError>>,
    /// The memory of the pieces.
    pub in_flight: Arc<Taken>,
}

impl Pieces {
    /// Both ends of a stream.
    ///
    /// # Errors
    /// There is no memory for the first piece.
    pub fn new(work: &Work) -> Result<(Pieces, Source), ApiError> {
        let taken = Taken::of(work);
        taken.at_least(IN_FLIGHT * PIECE_BYTES)?;
        let in_flight = Arc::new(taken);
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let (started, starting) = oneshot::channel();
        let pieces = Pieces {
            buffer: Buffer::new(work, PIECE_BYTES),
            work: work.clone(),
            sender,
            started: Some(started),
            is_finished: false,
            _in_flight: in_flight.clone(),
        };
        Ok((pieces, Source { receiver, starting, in_flight }))
    }

    fn send(&mut self) -> Result<(), ApiError> {
        self.work.check()?;
        if let Some(started) = self.started.take() {
            let _ = started.send(Ok(()));
        }
        if self.buffer.bytes.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Buffer::new(&self.work, PIECE_BYTES));
        self.sender.blocking_send(Ok(full.into_held().into_bytes())).map_err(|_| QueryError::Canceled.into())
    }

    /// Sends the rest, or ends the stream early with an error.
    pub fn finish(mut self, path: &str, done: Result<(), ApiError>) {
        self.is_finished = true;
        match (done.and_then(|()| self.send()), self.started.take()) {
            (Ok(()), _) => {}
            (Err(error), Some(started)) => {
                let _ = started.send(Err(error));
            }
            (Err(error), None) => {
                tracing::info!("an answer of {path} was interrupted: {error}");
                let _ = self.sender.blocking_send(Err(Broken(error.to_string())));
            }
        }
    }
}

impl Drop for Pieces {
    /// If the thread panics, half an answer must not look complete.
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = self.sender.blocking_send(Err(Broken("an internal call failed".to_owned())));
        }
    }
}

impl Sink for Pieces {
    type Error = ApiError;

    /// Appends about `room` bytes written by `write`. Waits while the client is slow.
    ///
    /// # Errors
    /// There is no memory for them, or the work has to stop.
    fn put(&mut self, room: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), ApiError> {
        let length = self.buffer.bytes.len();
        if length > 0 && length + room > PIECE_BYTES {
            self.send()?;
        }
        self.buffer.reserve(room)?;
        write(&mut self.buffer.bytes);
        self.buffer.settle()
    }
}
