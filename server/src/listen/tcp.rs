//! Line protocol over plain TCP: lines follow each other, nothing is answered for good
//! ones.
//!
//! What has arrived is stored in batches that end at a line feed. Bad lines are counted
//! and logged, and the first one of a batch is told to the sender in one line of text, if
//! it is listening. A line that never ends and a database that does not take samples end
//! the connection: the sender then knows where it stands and can come again.
//!
//! Next: `ingest/mod.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::app::App;
use crate::error::ApiError;
use crate::ingest;
use crate::storage;
use crate::telemetry::Origin;
use crate::telemetry::log::Throttle;
use barograph::{LineReport, Precision};

/// Lines are stored when this many bytes are waiting, at the latest.
const BATCH_BYTES: usize = 1 << 20;
/// A sender that is silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(900);

static BAD_LINES: Throttle = Throttle::new();
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
            let _ = stream.try_write(b"error: too many connections\n");
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

async fn connection(
    app: &Arc<App>,
    mut stream: TcpStream,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ApiError> {
    let line_max = app.config.load().max_line;
    let mut pending = Vec::with_capacity(64 * 1024);
    loop {
        let read = tokio::select! {
            read = tokio::time::timeout(SILENCE, stream.read_buf(&mut pending)) => read,
            _ = super::stopped(&mut stop) => Ok(Ok(0)),
        };
        let ended = !matches!(read, Ok(Ok(count)) if count > 0);
        // Take what has arrived already: larger batches share one fsync.
        while !ended && pending.len() < BATCH_BYTES {
            match stream.try_read_buf(&mut pending) {
                Ok(count) if count > 0 => {}
                _ => break,
            }
        }
        let cut = match memchr::memrchr(b'\n', &pending) {
            _ if ended => pending.len(),
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
            let report = match store(app, lines, Origin::Tcp).await {
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
        if ended {
            return Ok(());
        }
    }
}

/// Stores lines that nobody waits for; bad ones are logged.
pub(super) async fn store(app: &Arc<App>, lines: Vec<u8>, origin: Origin) -> Result<LineReport, ApiError> {
    let database = app.database()?.clone();
    let app = app.clone();
    let report = storage::blocking(move || {
        let config = app.config.load();
        let options = storage::line_options(&config, Precision::Nanosecond, config.line_db.as_deref());
        ingest::store_lines(&database, &app.telemetry, origin, &lines, &options)
    })
    .await??;
    if let (Some(first), Some(held_back)) =
        (report.errors.first(), (report.lines_bad > 0).then(|| BAD_LINES.pass()).flatten())
    {
        tracing::warn!(held_back, refused = report.lines_bad, ?origin, "bad lines: {first}");
    }
    Ok(report)
}
