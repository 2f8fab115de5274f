//! Reads of the HTTP library from a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::{PIECE_BYTES, Requests, State};

impl<S: AsyncRead + Unpin> AsyncRead for Requests<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.state {
                State::Head { .. } => return this.poll_park(cx),
                State::Handing { left, framing } => {
                    if this.give_replaced(buf) {
                        return Poll::Ready(Ok(()));
                    }
                    if left == 0 {
                        this.after_head(framing)?;
                        continue;
                    }
                    let given = this.give(buf, left);
                    this.state = State::Handing { left: left - given, framing };
                    return Poll::Ready(Ok(()));
                }
                State::Body { left } => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX);
                    let count = match this.start < this.end {
                        true => this.give(buf, most),
                        false => ready!(this.poll_direct(cx, buf, this.piece(left)))?,
                    } as u64;
                    this.state = match left - count {
                        0 => State::Head { scanned: 0 },
                        left => State::Body { left },
                    };
                    return Poll::Ready(Ok(()));
                }
                State::Chunks(ref mut follower) => {
                    let data_left = follower.data_left();
                    if this.give_chunks(buf) {
                        return Poll::Ready(Ok(()));
                    }
                    if data_left > 0 {
                        let count = ready!(this.poll_direct(cx, buf, data_left.min(PIECE_BYTES as u64)))?;
                        if let State::Chunks(follower) = &mut this.state {
                            let filled = buf.filled();
                            follower.follow(&filled[filled.len() - count..]);
                        }
                        return Poll::Ready(Ok(()));
                    }
                    if ready!(this.poll_fill(cx))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                State::Refused => {
                    return match this.give_replaced(buf) {
                        true => Poll::Ready(Ok(())),
                        false => this.poll_drop(cx),
                    };
                }
                State::Opaque => return this.poll_opaque(cx, buf),
            }
        }
    }
}
