//! Writes of the HTTP library to a connection, and the end of the connection.
//!
//! Closing a connection while its peer still sends would reset it, and the peer might lose the answer. Closing
//! therefore first reads and drops incoming data for a moment.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep};

use super::{Requests, State};

/// Maximum time in total for which a closing connection reads what its peer still sends.
const LINGER: Duration = Duration::from_secs(30);
/// Maximum time for which it waits for more.
const LINGER_SILENT: Duration = Duration::from_secs(2);
/// Number of bytes that are dropped before others get a turn.
const DROPPED_AT_ONCE: usize = 1 << 20;

/// The timers of a closing connection.
pub(super) struct Linger {
    silent: Pin<Box<Sleep>>,
    until: Instant,
}

impl<S: AsyncRead + Unpin> Requests<S> {
    /// Ends a connection whose last request is answered. Data that the peer still sends is dropped for a moment.
    pub async fn end(mut self)
    where
        S: AsyncWrite,
    {
        self.room = None;
        // An error ends the connection as well.
        let _ = self.shutdown().await;
    }

    /// Reads and drops data. Ready at the end of the stream.
    pub(super) fn poll_drop(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut dropped = 0;
        while dropped < DROPPED_AT_ONCE {
            (self.start, self.end) = (0, 0);
            match ready!(self.poll_fill(cx))? {
                0 => return Poll::Ready(Ok(())),
                count => dropped += count,
            }
            self.dropped += (self.end - self.start) as u64;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether the peer may be sending data that is no longer read.
    fn is_unread(&self) -> bool {
        self.start < self.end || !matches!(self.state, State::Head { .. })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Requests<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.is_flushed = false;
        Pin::new(this.inner.get_mut()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.is_flushed = false;
        Pin::new(this.inner.get_mut()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.get_ref().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(this.inner.get_mut()).poll_flush(cx))?;
        if !this.is_flushed {
            this.is_flushed = true;
            // A read that was pending until now is tried again, see `poll_park`.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_parked {
            return Poll::Ready(Ok(()));
        }
        if !this.shut_down {
            ready!(Pin::new(this.inner.get_mut()).poll_shutdown(cx))?;
            this.shut_down = true;
        }
        // The HTTP library keeps its buffers until this is done, so remaining data is dropped without it.
        if this.room.is_some() || !this.is_unread() {
            return Poll::Ready(Ok(()));
        }
        let before = this.dropped;
        // An error ends the connection as well.
        if this.poll_drop(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let now = Instant::now();
        let linger = this
            .linger
            .get_or_insert_with(|| Linger { silent: Box::pin(sleep(LINGER_SILENT)), until: now + LINGER });
        if this.dropped != before {
            linger.silent.as_mut().reset((now + LINGER_SILENT).min(linger.until));
        }
        linger.silent.as_mut().poll(cx).map(Ok)
    }
}
