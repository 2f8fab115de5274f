//! Accepts HTTP connections: HTTP/1.1 only, a bounded number, each with clocks.
//!
//! Between the socket and the HTTP library stand two streams: `stream.rs` gives up on slow
//! peers, `requests.rs` checks each head and escapes addresses.
//!
//! Next: `api/dispatch.rs`.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::api::dispatch::{Refused, dispatch};
use crate::api::origin::OnLoopback;
use crate::api::reply::ReplyBody;
use crate::app::App;
use crate::listen::head::{FIELDS_MAX, HeadLimits};
use crate::listen::requests::{Exchange, Requests};
use crate::listen::stream::{Activity, TimedStream, Timeouts};
use crate::telemetry::log::Throttle;
use barograph::budget::Hold;

/// Bytes that the HTTP library needs at least for its buffer.
const BUFFER_MIN: usize = 16 * 1024;
/// What a connection takes that does nothing: buffers of the HTTP library, clocks, its task.
pub const CONNECTION_BYTES: u64 = 24 << 10;
/// Refused connections that are closed gently at once.
const FAREWELLS_MAX: usize = 64;
/// How long that takes.
const FAREWELL: Duration = Duration::from_secs(1);

const REFUSED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 71\r\n\r\n\
    too many connections (max_connections); retry later, or raise the limit";
const NO_MEMORY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 82\r\n\r\n\
    the memory for connections is used up (memory); retry later, or raise the setting\n";
const NOT_HTTP_2: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    connection: close\r\ncontent-length: 30\r\n\r\nthis port speaks HTTP/1.1 only";

static ACCEPT_FAILED: Throttle = Throttle::new();

/// Accepts until `stop` turns true, then waits for running requests.
pub async fn serve(app: Arc<App>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let connections_max = app.connections_max;
    let on_loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let slots = Arc::new(Semaphore::new(connections_max));
    let farewells = Arc::new(Semaphore::new(FAREWELLS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = super::stopped(&mut stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) => {
                accept_failed(&e).await;
                continue;
            }
        };
        let room = room_for_connection(&app);
        let (slot, (room, resting)) = match (slots.clone().try_acquire_owned(), room) {
            (Ok(slot), Some(room)) => (slot, room),
            (slot, _) => {
                app.telemetry.connections_refused.add(1);
                refuse(stream, if slot.is_ok() { NO_MEMORY } else { REFUSED }, &farewells);
                continue;
            }
        };
        let (app, stop) = (app.clone(), stop.clone());
        tokio::spawn(async move {
            let _slot = slot;
            let _resting = resting;
            let _open = app.telemetry.connections.guard();
            connection(&app, stream, room, on_loopback, stop).await;
        });
    }
    drop(listener);
    let patience = app.config.load().shutdown_timeout;
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    if tokio::time::timeout(patience, slots.acquire_many(all)).await.is_err() {
        tracing::warn!("requests still ran after {} s and were cut off", patience.as_secs_f64());
    }
}

/// A connection that counts among those that are open, until this is dropped.
struct Resting(Arc<App>);

impl Drop for Resting {
    fn drop(&mut self) {
        self.0.connections_open.fetch_sub(1, Relaxed);
    }
}

/// The memory of a new connection. A quarter of the share is reserved for requests of open connections: idle
/// connections must not keep them from being served, nor requests, such as bodies that never end, new connections.
fn room_for_connection(app: &Arc<App>) -> Option<(Hold, Resting)> {
    let share = &app.memory.connections;
    let most = (share.limit() - share.limit() / 4) / CONNECTION_BYTES;
    let resting = Resting(app.clone());
    let before = app.connections_open.fetch_add(1, Relaxed);
    let room = if before < most { share.take(CONNECTION_BYTES).ok() } else { None };
    room.map(|room| (room, resting))
}

/// Running out of files is the usual cause: wait a moment, since it would fail again at once.
pub(super) async fn accept_failed(error: &io::Error) {
    if let Some(held_back) = ACCEPT_FAILED.pass() {
        tracing::warn!(held_back, "cannot accept a connection: {error}");
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Says why, as far as the socket takes it without waiting. A connection that is closed with bytes unread is reset,
/// and its peer may never see the answer: so what the peer sends is taken for a moment, where that is not
/// done for many already.
fn refuse(mut stream: TcpStream, why: &[u8], farewells: &Arc<Semaphore>) {
    let _ = stream.try_write(why);
    let Ok(slot) = farewells.clone().try_acquire_owned() else { return };
    tokio::spawn(async move {
        let _slot = slot;
        let farewell = async {
            stream.shutdown().await?;
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    });
}

async fn connection(
    app: &Arc<App>,
    mut stream: TcpStream,
    room: Hold,
    on_loopback: bool,
    mut stop: watch::Receiver<bool>,
) {
    let config = app.config.load_full();
    let _ = stream.set_nodelay(true);
    match tokio::time::timeout(config.header_timeout, speaks_http_2(&stream)).await {
        Ok(Ok(false)) => {}
        Ok(Ok(true)) => {
            let _ = stream.write_all(NOT_HTTP_2).await;
            return;
        }
        Ok(Err(_)) | Err(_) => return,
    }
    let timeouts = Timeouts {
        header: config.header_timeout,
        idle: config.idle_timeout,
        write: config.body_timeout,
        rate: config.answer_rate,
    };
    let activity = Arc::new(Activity::default());
    let exchange = Arc::new(Exchange::default());
    let limits = HeadLimits { target: config.max_url, fields: config.max_header };
    let client = stream.peer_addr().ok();
    let service = service_fn(|mut request: Request<Incoming>| {
        if let Some(error) = exchange.begin(request.body().size_hint().exact()) {
            request.extensions_mut().insert(Refused(error));
        }
        if on_loopback {
            request.extensions_mut().insert(OnLoopback);
        }
        if let Some(client) = client {
            request.extensions_mut().insert(client);
        }
        let running = activity.begin();
        let (app, is_last) = (app.clone(), exchange.is_last());
        async move {
            let response = dispatch(app, request, Box::new(running)).await;
            Ok::<_, Infallible>(if is_last { closing(response) } else { response })
        }
    });
    let timed = TimedStream::new(stream, activity.clone(), timeouts);
    let io = TokioIo::new(Requests::new(timed, exchange.clone(), activity.clone(), limits, room));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The stream has its own clocks, which know an idle connection from a slow header.
        .header_read_timeout(None)
        .max_buf_size(limits.head().max(BUFFER_MIN))
        .max_headers(FIELDS_MAX)
        .serve_connection(io, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = super::stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if activity.was_cut() {
        app.telemetry.answers_cut.add(1);
    }
    if let Err(e) = ended {
        tracing::debug!("connection ended: {e}");
    }
}

/// An answer that ends its connection.
fn closing(mut response: Response<ReplyBody>) -> Response<ReplyBody> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Whether the first bytes begin an HTTP/2 connection. They stay unread.
async fn speaks_http_2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 4];
    let count = stream.peek(&mut first).await?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(&first[..count] == b"PRI ")
}
