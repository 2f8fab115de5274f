//! An answer on its way to the socket: status, type, headers, and a body that is empty, whole, in pieces, or streamed
//! from a blocking thread.

use std::collections::VecDeque;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use crate::admission::{Broken, Outgoing};
use crate::error::{ApiError, Dialect};
use crate::telemetry::exposition;

/// The media type of JSON, as Prometheus sends it.
pub const JSON: &str = "application/json";
/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// A value that must live until the last byte has been sent. It marks the connection as busy.
pub type Guard = Box<dyn std::any::Any + Send + Sync>;

/// The body of every response.
pub struct ReplyBody {
    kind: BodyKind,
    guards: [Option<Guard>; 2],
}

enum BodyKind {
    Full(Option<Bytes>),
    /// No piece is empty.
    Pieces(VecDeque<Bytes>),
    Stream(mpsc::Receiver<Result<Bytes, Broken>>),
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let next = match &mut self.kind {
            BodyKind::Full(bytes) => Poll::Ready(bytes.take().map(Ok)),
            BodyKind::Pieces(pieces) => Poll::Ready(pieces.pop_front().map(Ok)),
            BodyKind::Stream(receiver) => receiver.poll_recv(cx),
        };
        if let Poll::Ready(None) = next {
            self.guards = [None, None];
        }
        next.map(|item| item.map(|result| result.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Full(bytes) => bytes.is_none(),
            BodyKind::Pieces(pieces) => pieces.is_empty(),
            BodyKind::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyKind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            BodyKind::Pieces(pieces) => SizeHint::with_exact(pieces.iter().map(|p| p.len() as u64).sum()),
            BodyKind::Stream(_) => SizeHint::default(),
        }
    }
}

/// An answer before it becomes a response.
pub struct Reply {
    status: StatusCode,
    content_type: Option<&'static str>,
    headers: Vec<(HeaderName, HeaderValue)>,
    kind: BodyKind,
    guard: Option<Guard>,
}

impl Reply {
    /// An empty reply with status 204.
    pub fn no_content() -> Self {
        Self::with(StatusCode::NO_CONTENT, None, BodyKind::Full(None))
    }

    /// 200 with a whole body.
    pub fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::with(StatusCode::OK, Some(content_type), full(body.into()))
    }

    /// 200 with a written answer, whose pieces hold their memory until each is sent.
    pub fn answer(content_type: &'static str, answer: Outgoing) -> Self {
        let mut pieces = VecDeque::from(answer.pieces);
        pieces.retain(|piece| !piece.is_empty());
        let kind = match pieces.len() {
            0 | 1 => BodyKind::Full(pieces.pop_front()),
            _ => BodyKind::Pieces(pieces),
        };
        let reply = Self::with(StatusCode::OK, Some(content_type), kind);
        if answer.gzip { reply.gzipped() } else { reply }
    }

    /// 200 with a body that a blocking thread sends piece by piece.
    pub fn stream(content_type: &'static str, pieces: mpsc::Receiver<Result<Bytes, Broken>>) -> Self {
        Self::with(StatusCode::OK, Some(content_type), BodyKind::Stream(pieces))
    }

    /// An error in the format that its client expects.
    pub fn error(error: &ApiError, dialect: Dialect) -> Self {
        let content_type = if dialect == Dialect::Text { TEXT } else { JSON };
        let status = error.status_in(dialect);
        let mut reply = Self::with(status, Some(content_type), full(error.body(dialect).into()));
        if let Some(seconds) = error.retry_after {
            reply = reply.header(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(Ok(allow)) = error.allow.as_deref().map(HeaderValue::from_str) {
            reply = reply.header(header::ALLOW, allow);
        }
        if error.status == StatusCode::UNAUTHORIZED {
            reply = reply.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        reply
    }

    fn with(status: StatusCode, content_type: Option<&'static str>, kind: BodyKind) -> Self {
        Reply { status, content_type, headers: Vec::new(), kind, guard: None }
    }

    /// Sets a different status.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Keeps something until the last piece of the body has been handed over, or the body is dropped.
    pub fn guarded(mut self, guard: Guard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// The answer to every request except `/-/healthy` while the database is not open.
    pub fn not_ready() -> Self {
        Self::ok(TEXT, "Service Unavailable")
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .header(header::RETRY_AFTER, HeaderValue::from(1))
    }

    /// Compresses a whole JSON answer if it is not compressed yet and compression is worthwhile. Large answers were
    /// compressed where they were produced, away from the threads that drive sockets.
    pub fn compressed(mut self) -> Self {
        const WORTH: std::ops::Range<usize> = 1024..256 * 1024;
        let plain = !self.headers.iter().any(|(name, _)| name == header::CONTENT_ENCODING);
        if plain
            && matches!(self.content_type, Some(JSON | exposition::CONTENT_TYPE))
            && let BodyKind::Full(Some(bytes)) = &self.kind
            && WORTH.contains(&bytes.len())
            && let Some(compressed) = gzip(bytes)
        {
            self.kind = full(compressed.into());
            return self.gzipped();
        }
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Marks the body as gzip.
    pub fn gzipped(self) -> Self {
        self.header(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))
            .header(header::VARY, HeaderValue::from_static("Accept-Encoding"))
    }

    /// The status of the reply.
    pub fn code(&self) -> StatusCode {
        self.status
    }

    /// Converts to a response. `guard` lives until the body has been sent or dropped.
    pub fn into_response(self, guard: Option<Guard>) -> Response<ReplyBody> {
        let mut response = Response::new(ReplyBody { kind: self.kind, guards: [guard, self.guard] });
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(content_type) = self.content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}

fn full(bytes: Bytes) -> BodyKind {
    BodyKind::Full((!bytes.is_empty()).then_some(bytes))
}

/// The gzip form of `bytes`.
pub fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let sink = Vec::with_capacity(bytes.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(sink, flate2::Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}
