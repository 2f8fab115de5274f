//! Line protocol over plain TCP: lines are separated by line feeds, and good ones get no answer.
//!
//! Received lines are stored in batches that end at a line feed. Bad lines are counted and logged, and the first one of
//! a batch is reported to the sender in one line of text. A line that is too long, or a database that accepts no
//! samples, ends the connection, so that the sender notices and can reconnect. The rest of a line must keep arriving
//! like the body of a request.
//!
//! The last line needs no line feed if the sender closes the connection. If the connection breaks or the server stops,
//! an unterminated line is refused and counted, because it may be incomplete, with a truncated number or timestamp.
//!
//! Next: `ingest/mod.rs`.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::error::ApiError;
use crate::http::body::{Pace, PaceLimits};
use crate::ingest;
use crate::listen::lines::LineBuffer;
use crate::runtime;
use crate::state::State;
use crate::telemetry::Origin;
use crate::telemetry::log::Throttle;
use barograph::LineReport;

/// A sender that is silent for this long is considered gone.
const SILENCE: Duration = Duration::from_secs(900);
/// Maximum bytes that are still read from a connection when the server stops: more than the kernel holds.
const AT_STOP_BYTES: usize = 16 << 20;

static UNFINISHED: Throttle = Throttle::new();
static FAILED: Throttle = Throttle::new();

/// Accepts connections until `stop` is true, then lets connections store what they have received.
pub async fn serve(state: Arc<State>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let connections_max = state.connections_max;
    let slots = Arc::new(Semaphore::new(connections_max));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = runtime::stopped(&mut stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) => {
                super::http::accept_failed(&e).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            state.telemetry.line_connections.refused.add(1);
            let _ = stream.try_write(b"error: too many connections (max_connections)\n");
            continue;
        };
        let (state, stop) = (state.clone(), stop.clone());
        tokio::spawn(async move {
            let _slot = slot;
            let _open = state.telemetry.line_connections.open.guard();
            if let Err(e) = connection(&state, stream, stop).await {
                log_failure(&e);
            }
        });
    }
    drop(listener);
    let patience = state.config.load().shutdown_timeout;
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(patience, slots.acquire_many(all)).await;
}

fn log_failure(error: &ApiError) {
    if let Some(held_back) = FAILED.pass() {
        tracing::warn!(held_back, "a line connection was closed: {error}");
    }
}

/// How a wait for bytes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// There are more bytes.
    Bytes,
    /// The sender has sent everything.
    End,
    /// The connection broke, or nothing arrived for too long.
    Gone,
    /// The server stops, and nothing more waits in the socket.
    Stopped,
}

async fn connection(
    state: &Arc<State>,
    mut stream: TcpStream,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ApiError> {
    let line_max = state.config.load().max_line;
    let sender = stream.peer_addr().ok();
    let mut lines = Lines { buffer: LineBuffer::default(), pace: None, left_at_stop: AT_STOP_BYTES };
    loop {
        let arrival = lines.arrive(state, &mut stream, &mut stop).await?;
        let pending = lines.buffer.bytes();
        let cut = match memchr::memrchr(b'\n', pending) {
            _ if arrival == Arrival::End => pending.len(),
            Some(last) => last + 1,
            None if pending.len() > line_max => {
                let message = format!("a line is longer than {line_max} bytes (max_line)");
                let _ = stream.try_write(format!("error: {message}\n").as_bytes());
                return Err(ApiError::bad_data(message));
            }
            None => 0,
        };
        if cut > 0 {
            let stored;
            (lines.buffer, stored) = store(state, sender, lines.buffer, cut).await?;
            lines.pace = None;
            let report = match stored {
                Ok(report) => report,
                Err(e) => {
                    let _ = stream.try_write(format!("error: {e}\n").as_bytes());
                    return Err(e);
                }
            };
            if let Some(first) = report.errors.first() {
                let _ = stream.try_write(format!("error: {first}\n").as_bytes());
            }
        }
        match arrival {
            Arrival::Bytes => {}
            Arrival::End => return Ok(()),
            Arrival::Gone | Arrival::Stopped => {
                if !lines.buffer.bytes().is_empty() {
                    refuse_unfinished(state, &stream, lines.buffer.bytes().len());
                }
                return Ok(());
            }
        }
    }
}

/// The received lines of a connection that are not stored yet.
struct Lines {
    buffer: LineBuffer,
    /// The pace of the current line, if there is one.
    pace: Option<Pace>,
    left_at_stop: usize,
}

impl Lines {
    /// Waits for bytes and reads what has arrived, so that larger batches share one sync. Without memory nothing is
    /// read, and the sender waits.
    async fn arrive(
        &mut self,
        state: &State,
        stream: &mut TcpStream,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Arrival, ApiError> {
        self.buffer.rest();
        tokio::select! {
            biased;
            _ = runtime::stopped(stop) => return self.arrived_already(state, stream).await,
            there = self.readable(state, stream) => if !there {
                return Ok(Arrival::Gone);
            },
        }
        self.make_room(state, stream).await?;
        let mut came = 0;
        let arrival = loop {
            match stream.try_read_buf(self.buffer.spare()) {
                Ok(0) => break Arrival::End,
                Ok(count) => came += count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break Arrival::Bytes,
                // A reset is reported only once: the next read would look like the end.
                Err(_) => break Arrival::Gone,
            }
            // If there is no memory for a larger batch, the current one is stored.
            if self.buffer.is_batch() || self.buffer.is_full() && !self.buffer.try_grow(&state.bodies) {
                break Arrival::Bytes;
            }
        };
        if let Some(pace) = &mut self.pace {
            pace.came(came);
        }
        Ok(arrival)
    }

    /// Waits until something can be read. Returns false if the sender is silent for too long. Within a line, the same
    /// limits apply as within a body.
    async fn readable(&mut self, state: &State, stream: &TcpStream) -> bool {
        let contended = || state.bodies.small.waiting() > 0;
        loop {
            let within_line = !self.buffer.bytes().is_empty();
            if !within_line {
                return tokio::time::timeout(SILENCE, stream.readable())
                    .await
                    .is_ok_and(|ready| ready.is_ok());
            }
            let pace = self.pace.get_or_insert_with(|| Pace::new(PaceLimits::new(&state.config.load())));
            match tokio::time::timeout_at(pace.deadline(), stream.readable()).await {
                Ok(ready) => return ready.is_ok(),
                Err(_) if pace.judge(self.buffer.memory_bytes(), None, contended()).is_err() => return false,
                Err(_) => {}
            }
        }
    }

    /// Ensures that there is room for a byte.
    async fn make_room(&mut self, state: &State, stream: &TcpStream) -> Result<(), ApiError> {
        if !self.buffer.is_full() {
            return Ok(());
        }
        self.buffer.grow(&state.bodies, SILENCE).await.map_err(|full| {
            let message = format!("{full} (max_body_total, memory); retry later");
            let _ = stream.try_write(format!("error: {message}\n").as_bytes());
            ApiError::too_many(message, 1)
        })
    }

    /// Reads what waits in the socket when the server stops, because the sender considers it sent. This asks the socket
    /// itself, since the runtime may not know of the newest bytes yet.
    async fn arrived_already(&mut self, state: &State, stream: &TcpStream) -> Result<Arrival, ApiError> {
        while self.left_at_stop > 0 {
            let is_batch =
                self.buffer.is_batch() || self.buffer.is_full() && !self.buffer.try_grow(&state.bodies);
            if is_batch && self.buffer.has_line() {
                return Ok(Arrival::Bytes);
            }
            self.make_room(state, stream).await?;
            let spare = rustix::buffer::spare_capacity(self.buffer.spare());
            match rustix::net::recv(stream, spare, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Ok(Arrival::End),
                Ok((count, _)) => self.left_at_stop = self.left_at_stop.saturating_sub(count),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(Arrival::Stopped),
                Err(_) => return Ok(Arrival::Gone),
            }
        }
        Ok(Arrival::Stopped)
    }
}

fn refuse_unfinished(state: &State, stream: &TcpStream, bytes: usize) {
    let counters = state.telemetry.ingest(Origin::Tcp);
    counters.bytes.add(bytes as u64);
    counters.lines.add(1);
    counters.lines_bad.add(1);
    let message = format!("the last line ({bytes} bytes) has no end and is not stored");
    let _ = stream.try_write(format!("error: {message}\n").as_bytes());
    if let Some(held_back) = UNFINISHED.pass() {
        let sender = stream.peer_addr().ok().map(|address| address.to_string());
        tracing::warn!(held_back, sender, "a TCP connection was interrupted: {message}");
    }
}

/// Stores the first `cut` bytes and removes them. Bad lines are logged, because few senders read the answer.
async fn store(
    state: &Arc<State>,
    sender: Option<SocketAddr>,
    mut buffer: LineBuffer,
    cut: usize,
) -> Result<(LineBuffer, Result<LineReport, ApiError>), ApiError> {
    let state = state.clone();
    runtime::blocking(move || {
        let stored = store_now(&state, sender, &buffer.bytes()[..cut]);
        buffer.drop_first(cut);
        (buffer, stored)
    })
    .await
}

fn store_now(state: &State, sender: Option<SocketAddr>, lines: &[u8]) -> Result<LineReport, ApiError> {
    let database = state.database()?;
    let config = state.config.load();
    let options = ingest::options::line_options(&config, config.line_precision, config.line_db.as_deref());
    let report = ingest::store_lines(database, &state.telemetry, Origin::Tcp, sender, lines, &options)?;
    ingest::log_bad_lines(&report, Origin::Tcp, |_| sender);
    Ok(report)
}
