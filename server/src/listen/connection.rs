//! One HTTP connection: it idles until a head arrives, its request waits for memory and is answered, and it idles
//! again.
//!
//! The HTTP library gets one request at a time, and a connection without a request holds none of its buffers. Thousands
//! of connections can therefore stay open, and the memory of requests is bounded by those being answered, not by those
//! that wait.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::api::dispatch::{Refused, dispatch};
use crate::http::origin::OnLoopback;
use crate::listen::exchange::Exchange;
use crate::listen::head::{FIELDS_MAX, HeadLimits};
use crate::listen::requests::{Asked, Requests};
use crate::listen::stream::{Activity, TimedStream, Timeouts};
use crate::memory::connections::{Place, Purpose};
use crate::runtime;
use crate::state::State;

/// Minimum size of the HTTP library's buffer, bytes.
const BUFFER_MIN: usize = 16 * 1024;

/// Time that a refused connection has for its first header, and then to read the answer.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) const NO_MEMORY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 82\r\n\r\n\
    the memory for connections is used up (memory); retry later, or raise the setting\n";
const NOT_HTTP_2: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    connection: close\r\ncontent-length: 30\r\n\r\nthis port speaks HTTP/1.1 only";

/// The stream of a connection.
type Stream = Requests<TimedStream<TcpStream>>;

/// An open connection.
pub(super) struct Connection {
    state: Arc<State>,
    exchange: Arc<Exchange>,
    activity: Arc<Activity>,
    limits: HeadLimits,
    client: Option<SocketAddr>,
    on_loopback: bool,
    /// Whether the connection ends after its first answer.
    is_refused: bool,
}

impl Connection {
    /// Answers the requests of a connection until one side ends it.
    ///
    /// `rest` is the memory of the connection between requests; `on_loopback` is true if a loopback listener accepted
    /// it.
    pub(super) async fn run(
        state: &Arc<State>,
        mut stream: TcpStream,
        rest: Place,
        on_loopback: bool,
        mut stop: watch::Receiver<bool>,
    ) {
        let _ = stream.set_nodelay(true);
        let config = state.config.load_full();
        match tokio::time::timeout(config.header_timeout, speaks_http_2(&stream)).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => {
                let _ = stream.write_all(NOT_HTTP_2).await;
                return;
            }
            Ok(Err(_)) | Err(_) => return,
        }
        let (connection, mut requests) = Self::new(state, stream, rest, on_loopback);
        loop {
            let asked = tokio::select! {
                asked = requests.next() => asked,
                _ = runtime::stopped(&mut stop) => break,
            };
            let Ok(Some(asked)) = asked else { break };
            let Some(room) = connection.room(&mut requests, asked, config.body_timeout).await else { break };
            requests.begin(room);
            match Box::pin(connection.answer(requests, &mut stop)).await {
                Some(parked) => requests = parked,
                None => break,
            }
        }
        if connection.activity.was_cut() {
            state.telemetry.answers_cut.add(1);
        }
    }

    /// Answers one request if it can be answered at once, and refuses all others with `refusal`.
    pub(super) async fn run_instant(
        state: &Arc<State>,
        stream: TcpStream,
        rest: Place,
        on_loopback: bool,
        mut stop: watch::Receiver<bool>,
        refusal: &[u8],
    ) {
        let (mut connection, mut requests) = Self::new(state, stream, rest, on_loopback);
        connection.is_refused = true;
        let room = match tokio::time::timeout(FAREWELL, requests.next()).await {
            Ok(Ok(Some(Asked { purpose: Purpose::Instant, bytes }))) => {
                state.connections.take(Purpose::Instant, bytes, FAREWELL).await.ok()
            }
            _ => None,
        };
        match room {
            Some(room) => {
                requests.begin(room);
                let _ = connection.answer(requests, &mut stop).await;
            }
            None => {
                let _ = tokio::time::timeout(FAREWELL, refuse(&mut requests, refusal)).await;
            }
        }
    }

    fn new(state: &Arc<State>, stream: TcpStream, rest: Place, on_loopback: bool) -> (Self, Stream) {
        let config = state.config.load_full();
        let timeouts = Timeouts {
            header: config.header_timeout,
            idle: config.idle_timeout,
            write: config.body_timeout,
            rate: config.answer_rate,
        };
        let connection = Connection {
            state: state.clone(),
            exchange: Arc::default(),
            activity: Arc::default(),
            limits: HeadLimits { target: config.max_url, fields: config.max_header },
            client: stream.peer_addr().ok(),
            on_loopback,
            is_refused: false,
        };
        let (exchange, activity) = (connection.exchange.clone(), connection.activity.clone());
        let timed = TimedStream::new(stream, activity.clone(), timeouts);
        let requests = Requests::new(timed, exchange, activity, connection.limits, rest);
        (connection, requests)
    }

    /// Waits for the memory of a request. `None` if the connection has ended, or is ended now with the reason.
    async fn room(&self, requests: &mut Stream, asked: Asked, patience: Duration) -> Option<Place> {
        let taken = {
            // The header timeout is suspended.
            let _waiting = self.activity.begin();
            let taking = self.state.connections.take(asked.purpose, asked.bytes, patience);
            tokio::select! {
                biased;
                taken = taking => taken,
                () = requests.left() => return None,
            }
        };
        if taken.is_err() {
            self.state.telemetry.connections.refused.add(1);
            refuse(requests, NO_MEMORY).await;
        }
        taken.ok()
    }

    /// Lets the HTTP library read and answer one request; returns the stream if the connection stays open.
    async fn answer(&self, requests: Stream, stop: &mut watch::Receiver<bool>) -> Option<Stream> {
        let service = service_fn(|mut request: Request<Incoming>| {
            if let Some(error) = self.exchange.begin(request.body().size_hint().exact()) {
                request.extensions_mut().insert(Refused(error));
            }
            if self.on_loopback {
                request.extensions_mut().insert(OnLoopback);
            }
            if let Some(client) = self.client {
                request.extensions_mut().insert(client);
            }
            let running = self.activity.begin();
            let state = self.state.clone();
            async move {
                let mut response = dispatch(state, request, Box::new(running)).await;
                if self.is_refused || self.exchange.is_last() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let mut answering = http1::Builder::new()
            .timer(TokioTimer::new())
            // The stream has its own timeouts, which distinguish an idle connection from a slow header.
            .header_read_timeout(None)
            .max_buf_size(self.limits.head().max(BUFFER_MIN))
            .max_headers(FIELDS_MAX)
            .serve_connection(TokioIo::new(requests), service);
        let ended = tokio::select! {
            // A request that was waiting for memory when the server began to stop is still answered.
            biased;
            ended = &mut answering => ended,
            _ = runtime::stopped(stop) => {
                std::pin::Pin::new(&mut answering).graceful_shutdown();
                (&mut answering).await
            }
        };
        if let Err(e) = ended {
            tracing::debug!("connection ended: {e}");
            return None;
        }
        let parts = answering.into_parts();
        let requests = parts.io.into_inner();
        // Bytes of the next request never reach the HTTP library.
        if requests.is_parked() && parts.read_buf.is_empty() {
            return Some(requests);
        }
        requests.end().await;
        None
    }
}

/// Answers a head with `answer`, and reads for a moment what the peer still sends: closing a connection with unread
/// bytes would reset it, and the peer might never see the answer.
async fn refuse(requests: &mut Stream, answer: &[u8]) {
    if requests.write_all(answer).await.is_ok() {
        let _ = requests.shutdown().await;
    }
}

/// Whether the first bytes are those of an HTTP/2 connection. They stay unread.
async fn speaks_http_2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 4];
    let count = stream.peek(&mut first).await?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(&first[..count] == b"PRI ")
}
