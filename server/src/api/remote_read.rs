//! Prometheus remote read: all samples in one message, or chunks in a stream.
//!
//! A sampled answer is built in memory and bounded; a streamed one holds one series at a
//! time. Both wait at the gate of queries, stop at the query timeout, and stop when the
//! client goes away. An error before the first frame of a stream is an answer with a status;
//! one after it cuts the connection.
//!
//! Next: `remote_read/` for the formats, `barograph::Database::read` for the samples.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use barograph_engine::model::{Labels, Samples};
use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use tokio::sync::{mpsc, oneshot};

use crate::api::body::BodyLimits;
use crate::api::call::Call;
use crate::api::reply::{Broken, Reply};
use crate::error::ApiError;
use crate::remote_read::request::{Form, ReadRequest};
use crate::remote_read::{request, sampled, streamed};
use crate::storage;
use barograph::Database;
use barograph::query::QueryError;

const SAMPLED: &str = "application/x-protobuf";
const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
/// Largest sampled answer before compression.
const SAMPLED_BYTES_MAX: usize = 128 << 20;
/// Bytes of a piece of a stream.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that may wait for a slow client.
const PIECES_WAITING: usize = 4;

/// `/api/v1/read`
///
/// # Errors
/// 415 for another compression, 400 for a broken request and for more samples than one
/// query may have, 422 for more series, 503 when the time is up.
pub async fn read(mut call: Call) -> Result<Reply, ApiError> {
    let held = call.read_snappy(BodyLimits::question(&call.config)).await?.decoded().await?;
    let request = request::decode(&held.bytes).map_err(|e| ApiError::bad_data(e.to_string()))?;
    drop(held);
    let database = call.database()?;
    let turn = call.turn().await?;
    let gone = Arc::new(AtomicBool::new(false));
    let reader = Reader {
        database,
        series_max: call.config.query_max_series,
        samples_left: call.config.query_max_samples,
        samples_max: call.config.query_max_samples,
        deadline: Instant::now() + call.config.query_timeout,
        timeout_seconds: call.config.query_timeout.as_secs_f64(),
        gone: gone.clone(),
    };
    match request.form {
        Form::Sampled => {
            let _raised_when_dropped = GoneOnDrop(gone);
            let body = storage::blocking(move || {
                let _turn = turn;
                reader.sampled(&request)
            });
            let reply = Reply::ok(SAMPLED, body.await??);
            Ok(reply.header(header::CONTENT_ENCODING, HeaderValue::from_static("snappy")))
        }
        Form::Streamed => {
            let (sender, receiver) = mpsc::channel(PIECES_WAITING);
            let (started, starting) = oneshot::channel();
            tokio::task::spawn_blocking(move || {
                let _turn = turn;
                reader.streamed(&request, Stream { sender, started: Some(started), piece: Vec::new() });
            });
            starting.await.map_err(|_| ApiError::internal("a remote read ended without a word"))??;
            Ok(Reply::stream(STREAMED, receiver))
        }
    }
}

/// Says that the client has gone: the request's future is dropped then.
struct GoneOnDrop(Arc<AtomicBool>);

impl Drop for GoneOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads series within the limits of one request.
struct Reader {
    database: Database,
    series_max: usize,
    samples_left: u64,
    samples_max: u64,
    deadline: Instant,
    timeout_seconds: f64,
    gone: Arc<AtomicBool>,
}

impl Reader {
    /// Calls `visit` with the index of the query and each of its series, until it fails.
    fn each(
        &mut self,
        request: &ReadRequest,
        mut visit: impl FnMut(usize, &Labels, &Samples) -> Result<(), ApiError>,
        mut after: impl FnMut(usize) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        for (index, query) in request.queries.iter().enumerate() {
            let database = self.database.clone();
            let mut outcome = Ok(());
            database.read(&query.matchers, query.range, self.series_max, |labels, samples| {
                outcome = self.admit(samples).and_then(|()| visit(index, labels, samples));
                outcome.is_ok()
            })?;
            outcome?;
            after(index)?;
        }
        Ok(())
    }

    fn admit(&mut self, samples: &Samples) -> Result<(), ApiError> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(QueryError::Canceled.into());
        }
        if Instant::now() >= self.deadline {
            return Err(QueryError::Timeout { seconds: self.timeout_seconds }.into());
        }
        match self.samples_left.checked_sub(samples.len() as u64) {
            Some(left) => self.samples_left = left,
            None => {
                let limit = self.samples_max;
                return Err(ApiError::bad_data(format!(
                    "the answer has more than {limit} samples (query_max_samples); ask for less, or raise it"
                )));
            }
        }
        Ok(())
    }

    fn sampled(mut self, request: &ReadRequest) -> Result<Vec<u8>, ApiError> {
        let mut message = Vec::new();
        // Both closures need the result at hand and the length of those before.
        let (result, message_length) = (RefCell::new(Vec::new()), Cell::new(0));
        self.each(
            request,
            |_, labels, samples| {
                let mut result = result.borrow_mut();
                sampled::put_series(&mut result, labels, samples);
                if result.len() + message_length.get() > SAMPLED_BYTES_MAX {
                    return Err(ApiError::bad_data(format!(
                        "the answer has more than {SAMPLED_BYTES_MAX} bytes, a fixed limit of answers in one \
                         message; ask for less, or accept STREAMED_XOR_CHUNKS"
                    )));
                }
                Ok(())
            },
            |_| {
                let mut result = result.borrow_mut();
                sampled::put_result(&mut message, &result);
                message_length.set(message.len());
                result.clear();
                Ok(())
            },
        )?;
        snap::raw::Encoder::new()
            .compress_vec(&message)
            .map_err(|e| ApiError::internal(format!("the answer cannot be compressed: {e}")))
    }

    fn streamed(mut self, request: &ReadRequest, mut stream: Stream) {
        let done = self.each(
            request,
            |index, labels, samples| {
                streamed::put_series(&mut stream.piece, index, labels, samples);
                stream.send_full()
            },
            |_| Ok(()),
        );
        stream.finish(done);
    }
}

/// The producer's end of a stream.
struct Stream {
    sender: mpsc::Sender<Result<Bytes, Broken>>,
    /// Gets the outcome of what comes before the first piece.
    started: Option<oneshot::Sender<Result<(), ApiError>>>,
    piece: Vec<u8>,
}

impl Stream {
    fn send_full(&mut self) -> Result<(), ApiError> {
        if self.piece.len() < PIECE_BYTES { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), ApiError> {
        if let Some(started) = self.started.take() {
            let _ = started.send(Ok(()));
        }
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        self.sender.blocking_send(Ok(piece)).map_err(|_| QueryError::Canceled.into())
    }

    fn finish(mut self, done: Result<(), ApiError>) {
        match (done, self.started.take()) {
            (Err(error), Some(started)) => {
                let _ = started.send(Err(error));
            }
            (Err(error), None) => {
                tracing::info!("a remote read broke off: {error}");
                let _ = self.sender.blocking_send(Err(Broken(error.to_string())));
            }
            (Ok(()), started) => {
                self.started = started;
                let _ = self.send();
            }
        }
    }
}
