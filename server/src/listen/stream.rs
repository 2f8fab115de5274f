//! A TCP stream that disconnects slow peers.
//!
//! There are three timers, of which one is active at a time: for the next request (idle), for its header (header), and
//! while it is answered (busy; the code that reads a body has a separate timer). Writing has timers too: a peer that
//! reads no byte for `body_timeout` is disconnected, and so is one that reads fewer than `answer_rate` bytes a second
//! (`pace.rs`). The service and the stream share [`Activity`], which tracks running requests.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::listen::pace::{LeastRate, Pace};

/// The time limit of each phase.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the first byte of a header to its last.
    pub header: Duration,
    /// While there is no request.
    pub idle: Duration,
    /// While the peer reads no byte of the answer.
    pub write: Duration,
    /// Minimum bytes of an answer that the peer must read per second, averaged over `write`; 0 means no minimum.
    pub rate: u64,
}

/// The activity of one connection, which the service reports to the stream: how many requests have begun and how many
/// have ended. The HTTP library does not always read while it answers, so the end of an answer wakes the stream, which
/// then starts the idle timer.
#[derive(Debug, Default)]
pub struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
    was_cut: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Activity {
    /// Marks a request as running until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> Running {
        self.begun.fetch_add(1, Ordering::AcqRel);
        Running { activity: self.clone() }
    }

    /// Whether the connection was closed because its peer read an answer too slowly.
    pub fn was_cut(&self) -> bool {
        self.was_cut.load(Ordering::Relaxed)
    }

    /// Whether a request is being answered.
    pub fn is_busy(&self) -> bool {
        self.begun.load(Ordering::Acquire) > self.ended()
    }

    /// Wakes the reader when a request has been answered.
    pub fn wake_at_end(&self, cx: &Context<'_>) {
        *self.reader.lock() = Some(cx.waker().clone());
    }

    fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }
}

/// A running request.
pub struct Running {
    activity: Arc<Activity>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.activity.ended.fetch_add(1, Ordering::AcqRel);
        let reader = self.activity.reader.lock().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Header,
}

/// A stream with timeouts; see the module's documentation.
pub struct TimedStream<S> {
    inner: S,
    activity: Arc<Activity>,
    timeouts: Timeouts,
    phase: Phase,
    /// The number of requests that had ended when the phase began.
    ended: u64,
    reading: Pin<Box<Sleep>>,
    writing: Pin<Box<Sleep>>,
    /// Since when the peer has read nothing, if that is so.
    stalled: Option<Instant>,
    pace: Pace,
}

impl<S> TimedStream<S> {
    /// Wraps a new connection, whose first header must arrive within the header timeout.
    pub fn new(inner: S, activity: Arc<Activity>, timeouts: Timeouts) -> Self {
        let now = Instant::now();
        TimedStream {
            inner,
            activity,
            timeouts,
            phase: Phase::Header,
            ended: 0,
            reading: Box::pin(sleep_until(now + timeouts.header)),
            writing: Box::pin(sleep_until(now)),
            stalled: None,
            pace: Pace::new(LeastRate { bytes_per_second: timeouts.rate, window: timeouts.write }),
        }
    }

    fn enter(&mut self, phase: Phase, limit: Duration) {
        self.phase = phase;
        self.ended = self.activity.ended();
        self.reading.as_mut().reset(Instant::now() + limit);
    }

    /// Called when nothing could be read. Ready with an error when the time is up.
    fn poll_read_clock(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.wake_at_end(cx);
        if self.activity.is_busy() {
            return Poll::Pending;
        }
        if self.ended != self.activity.ended() {
            self.enter(Phase::Idle, self.timeouts.idle);
        }
        match self.reading.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn after_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = written {
            self.stalled = None;
            self.pace.took(*result.as_ref().unwrap_or(&0), Instant::now());
            return Poll::Ready(result);
        }
        if self.stalled.is_none() {
            self.stalled = Some(Instant::now());
            self.watch_writing();
        }
        while self.writing.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let silent = self.stalled.is_some_and(|since| now.duration_since(since) >= self.timeouts.write);
            if self.pace.is_too_slow(now) || silent {
                self.activity.was_cut.store(true, Ordering::Relaxed);
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.watch_writing();
        }
        Poll::Pending
    }

    /// Sets the write timer to the earliest time at which a limit may be exceeded.
    fn watch_writing(&mut self) {
        let now = Instant::now();
        let silent = self.stalled.unwrap_or(now) + self.timeouts.write;
        let slow = self.pace.blocked(now).unwrap_or(silent);
        self.writing.as_mut().reset(silent.min(slow));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Pending => this.poll_read_clock(cx),
            ready => {
                let fresh = this.phase != Phase::Header || this.ended != this.activity.ended();
                if fresh && !this.activity.is_busy() {
                    this.enter(Phase::Header, this.timeouts.header);
                }
                ready
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.after_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.after_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const SHORT: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_secs(600);

    fn timeouts(header: Duration, idle: Duration, write: Duration) -> Timeouts {
        Timeouts { header, idle, write, rate: 0 }
    }

    #[tokio::test]
    async fn a_silent_or_slow_header_is_cut() {
        let (near, mut far) = duplex(64);
        let mut stream = TimedStream::new(near, Arc::default(), timeouts(SHORT, LONG, LONG));
        far.write_all(b"G").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 1);
        assert_eq!(stream.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_running_request_stops_the_clock_and_idleness_starts_it() {
        let (near, mut far) = duplex(64);
        let activity = Arc::new(Activity::default());
        let mut stream = TimedStream::new(near, activity.clone(), timeouts(SHORT, SHORT, LONG));
        let running = activity.begin();
        let mut buffer = [0; 8];
        let waited = tokio::time::timeout(SHORT * 4, stream.read(&mut buffer)).await;
        assert!(waited.is_err(), "busy connections are not cut");
        drop(running);
        assert_eq!(stream.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        far.write_all(b"x").await.unwrap();
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 1, "the next header has its own clock");
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_cut() {
        let (near, _far) = duplex(4);
        let mut stream = TimedStream::new(near, Arc::default(), timeouts(LONG, LONG, SHORT));
        let error = stream.write_all(b"too long for the pipe").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// A peer that reads a byte now and then, and so is never silent for the whole timeout.
    #[tokio::test]
    async fn a_peer_that_drips_is_cut_where_there_is_a_rate() {
        let (near, mut far) = duplex(4);
        let activity = Arc::new(Activity::default());
        let limits = Timeouts { rate: 1 << 30, ..timeouts(LONG, LONG, SHORT) };
        let mut stream = TimedStream::new(near, activity.clone(), limits);
        let dripping = tokio::spawn(async move {
            let mut byte = [0];
            while far.read(&mut byte).await.is_ok_and(|count| count > 0) {
                tokio::time::sleep(SHORT / 5).await;
            }
        });
        let error = stream.write_all(&vec![0; 1 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(activity.was_cut());
        drop(stream);
        dripping.await.unwrap();
    }
}
