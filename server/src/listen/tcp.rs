//! Line protocol over plain TCP: lines follow each other, nothing is answered for good
//! ones.
//!
//! What has arrived is stored in batches that end at a line feed. Bad lines are counted
//! and logged, and the first one of a batch is told to the sender in one line of text, if
//! it is listening. A line that never ends and a database that does not take samples end
//! the connection: the sender then knows where it stands and can come again.
//!
//! The last line needs no line feed where the sender ends the connection. Where it breaks
//! off instead, and when the server stops, a line without an end may be half a line, whose
//! number or timestamp would be another one: it is refused and counted.
//!
//! Next: `ingest/mod.rs`.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::app::App;
use crate::error::ApiError;
use crate::ingest;
use crate::storage;
use crate::telemetry::Origin;
use crate::telemetry::log::Throttle;
use barograph::LineReport;

/// Lines are stored when this many bytes are waiting, at the latest.
const BATCH_BYTES: usize = 1 << 20;
/// A sender that is silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(900);
/// Bytes that have arrived on a connection and are still read when the server stops: more than the kernel holds.
const AT_STOP_BYTES: usize = 16 << 20;

static UNFINISHED: Throttle = Throttle::new();
static FAILED: Throttle = Throttle::new();

/// Accepts until `stop` turns true, then lets connections store what they hold.
pub async fn serve(app: Arc<App>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let connections_max = app.config.load().max_connections;
    let slots = Arc::new(Semaphore::new(connections_max));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = super::stopped(&mut stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) => {
                super::http::accept_failed(&e).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            app.telemetry.line_connections_refused.add(1);
            let _ = stream.try_write(b"error: too many connections (max_connections)\n");
            continue;
        };
        let (app, stop) = (app.clone(), stop.clone());
        tokio::spawn(async move {
            app.telemetry.line_connections.add(1);
            if let Err(e) = connection(&app, stream, stop).await {
                log_failure(&e);
            }
            app.telemetry.line_connections.sub(1);
            drop(slot);
        });
    }
    drop(listener);
    let patience = app.config.load().shutdown_timeout;
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
    /// The connection broke off, or nothing came for too long.
    Gone,
    /// The server stops, and nothing more waits in the socket.
    Stopped,
}

async fn connection(
    app: &Arc<App>,
    mut stream: TcpStream,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ApiError> {
    let line_max = app.config.load().max_line;
    let sender = stream.peer_addr().ok();
    let mut pending = Vec::with_capacity(64 * 1024);
    let mut left_at_stop = AT_STOP_BYTES;
    loop {
        let arrival = arrive(&mut stream, &mut pending, &mut stop, &mut left_at_stop).await;
        let cut = match memchr::memrchr(b'\n', &pending) {
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
            let rest = pending.split_off(cut);
            let lines = std::mem::replace(&mut pending, rest);
            let report = match store(app, sender, lines).await {
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
                if !pending.is_empty() {
                    refuse_unfinished(app, &stream, pending.len());
                }
                return Ok(());
            }
        }
    }
}

/// Waits for bytes and takes what has arrived: larger batches share one sync.
async fn arrive(
    stream: &mut TcpStream,
    pending: &mut Vec<u8>,
    stop: &mut watch::Receiver<bool>,
    left_at_stop: &mut usize,
) -> Arrival {
    let read = tokio::select! {
        biased;
        _ = super::stopped(stop) => return arrived_already(stream, pending, left_at_stop),
        read = tokio::time::timeout(SILENCE, stream.read_buf(pending)) => read,
    };
    match read {
        Ok(Ok(0)) => return Arrival::End,
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return Arrival::Gone,
    }
    while pending.len() < BATCH_BYTES {
        match stream.try_read_buf(pending) {
            Ok(0) => return Arrival::End,
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            // A reset is told once: the read after it would look like the end.
            Err(_) => return Arrival::Gone,
        }
    }
    Arrival::Bytes
}

/// Takes what waits in the socket when the server stops: its sender takes it for sent. The socket itself is asked,
/// since the runtime may not have heard of the newest bytes.
fn arrived_already(stream: &TcpStream, pending: &mut Vec<u8>, left: &mut usize) -> Arrival {
    let mut piece = vec![0; 64 * 1024];
    let enough = pending.len() + BATCH_BYTES;
    while pending.len() < enough && *left > 0 {
        match rustix::net::recv(stream, &mut piece[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Arrival::End,
            Ok((count, _)) => {
                pending.extend_from_slice(&piece[..count]);
                *left = left.saturating_sub(count);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Arrival::Stopped,
            Err(_) => return Arrival::Gone,
        }
    }
    if *left > 0 { Arrival::Bytes } else { Arrival::Stopped }
}

fn refuse_unfinished(app: &App, stream: &TcpStream, bytes: usize) {
    let counters = app.telemetry.ingest(Origin::Tcp);
    counters.bytes.add(bytes as u64);
    counters.lines.add(1);
    counters.lines_bad.add(1);
    let message = format!("the last line ({bytes} bytes) has no end and is not stored");
    let _ = stream.try_write(format!("error: {message}\n").as_bytes());
    if let Some(held_back) = UNFINISHED.pass() {
        let sender = stream.peer_addr().ok().map(|address| address.to_string());
        tracing::warn!(held_back, sender, "a line connection broke off: {message}");
    }
}

/// Stores lines; bad ones are logged, since few senders listen.
async fn store(app: &Arc<App>, sender: Option<SocketAddr>, lines: Vec<u8>) -> Result<LineReport, ApiError> {
    let database = app.database()?.clone();
    let app = app.clone();
    storage::blocking(move || {
        let config = app.config.load();
        let options = storage::line_options(&config, config.line_precision, config.line_db.as_deref());
        let report = ingest::store_lines(&database, &app.telemetry, Origin::Tcp, sender, &lines, &options)?;
        ingest::log_bad_lines(&report, Origin::Tcp, |_| sender);
        Ok(report)
    })
    .await?
}
