//! Accepts HTTP connections: HTTP/1.1 only, a bounded number, with timeouts.
//!
//! Two streams are between the socket and the HTTP library: `stream.rs` disconnects slow peers, and `requests.rs`
//! checks each head and escapes addresses.
//!
//! Next: `connection.rs`, then `api/dispatch.rs`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::listen::connection::{Connection, NO_MEMORY};
use crate::memory::connections::{Connections, REST_BYTES};
use crate::runtime;
use crate::state::State;
use crate::telemetry::log::Throttle;
use barograph::budget::Share;

/// Maximum number of refused connections at a time whose first request is read; requests that can be answered at once
/// are answered.
const FAREWELLS_MAX: u64 = 64;

const REFUSED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 71\r\n\r\n\
    too many connections (max_connections); retry later, or raise the limit";

static ACCEPT_FAILED: Throttle = Throttle::new();

/// Accepts connections until `stop` is true, then waits for running requests.
pub async fn serve(state: Arc<State>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let connections_max = state.connections_max;
    let on_loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let slots = Arc::new(Semaphore::new(connections_max));
    // Idle connections get at most three quarters of their share.
    let farewells =
        Connections::new(Share::new("refused connections", (FAREWELLS_MAX * REST_BYTES).div_ceil(3) * 4));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = runtime::stopped(&mut stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) => {
                accept_failed(&e).await;
                continue;
            }
        };
        let (slot, rest) = match (slots.clone().try_acquire_owned(), state.connections.rest()) {
            (Ok(slot), Ok(rest)) => (slot, rest),
            (slot, _) => {
                state.telemetry.connections.refused.add(1);
                let why = if slot.is_ok() { NO_MEMORY } else { REFUSED };
                refuse(&state, stream, why, &farewells, on_loopback, stop.clone());
                continue;
            }
        };
        let (state, stop) = (state.clone(), stop.clone());
        tokio::spawn(async move {
            let _slot = slot;
            let _open = state.telemetry.connections.open.guard();
            Connection::run(&state, stream, rest, on_loopback, stop).await;
        });
    }
    drop(listener);
    let patience = state.config.load().shutdown_timeout;
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    if tokio::time::timeout(patience, slots.acquire_many(all)).await.is_err() {
        tracing::warn!("requests still ran after {} s and were cut off", patience.as_secs_f64());
    }
}

/// The usual cause is the limit of open files. Waits a moment, because the next attempt would fail too.
pub(super) async fn accept_failed(error: &io::Error) {
    if let Some(held_back) = ACCEPT_FAILED.pass() {
        tracing::warn!(held_back, "cannot accept a connection: {error}");
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Refuses a connection with `why`, except for requests that can be answered at once. If there is no memory for that,
/// it sends as much as the socket accepts without waiting.
fn refuse(
    state: &Arc<State>,
    stream: TcpStream,
    why: &'static [u8],
    farewells: &Arc<Connections>,
    on_loopback: bool,
    stop: watch::Receiver<bool>,
) {
    let Ok(rest) = farewells.rest() else {
        let _ = stream.try_write(why);
        return;
    };
    let state = state.clone();
    tokio::spawn(async move { Connection::run_instant(&state, stream, rest, on_loopback, stop, why).await });
}
