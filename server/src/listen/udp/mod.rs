//! Line protocol over UDP. A datagram contains whole lines. There is no answer; errors are counted and logged.
//!
//! A dedicated thread reads datagrams from the socket into a bounded queue, so that neither a sync nor a busy runtime
//! delays it. A task stores the queued datagrams, many with one sync. It waits while a condition is temporary, such as
//! full memory; the queue holds datagrams in the meantime. When the server stops, the datagrams in the socket and in
//! the queue are stored first.
//!
//! Every datagram is counted once: see `telemetry/udp.rs`.
//!
//! Next: `ingest/mod.rs`.

mod queue;
mod socket;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::clock;
use crate::config::values::show_size;
use crate::error::ApiError;
use crate::ingest;
use crate::runtime;
use crate::state::State;
use crate::telemetry::Origin;
use crate::telemetry::log::Throttle;
use crate::telemetry::udp::UdpCounters;
use queue::{Block, Queue};
pub use socket::DatagramSocket;

/// Maximum size of a datagram in bytes: the length field has 16 bits.
const DATAGRAM_MAX: usize = 65_536;
/// Number of datagrams that are received between checks whether the server stops.
const RUN: usize = 1024;
/// Minimum size of a datagram in the receive buffer, including the kernel's headers.
const KERNEL_BYTES: u64 = 512;
/// Interval of reads of the kernel's drop counter, and pause after an error of storage.
const PAUSE: Duration = Duration::from_secs(1);
/// Pause after an error of the socket.
const FAILURE_PAUSE: Duration = Duration::from_millis(20);
/// Number of consecutive errors of the socket after which the server checks whether it is stopping; if so, it gives up
/// on the socket.
const FAILURES_MAX: u32 = 5;
/// How often to check whether the database is open.
const OPENING: Duration = Duration::from_millis(20);

static SOCKET_FAILED: Throttle = Throttle::new();
static QUEUE_FULL: Throttle = Throttle::new();
static FAILED: Throttle = Throttle::new();
static KERNEL_DROPPED: Throttle = Throttle::new();

/// Receives until `stop` is true, then stores the waiting datagrams.
pub async fn serve(state: Arc<State>, socket: DatagramSocket, mut stop: watch::Receiver<bool>) {
    let queue = Arc::new(Queue::new(state.memory.datagrams.clone()));
    let (socket, granted) = socket.into_parts();
    state.telemetry.udp.watch(&socket, granted, state.memory.datagrams.clone());
    let receiver = Receiver {
        queue: queue.clone(),
        state: state.clone(),
        stop: stop.clone(),
        datagrams_max: usize::try_from(granted * 2 / KERNEL_BYTES).unwrap_or(usize::MAX),
        last: i64::MIN,
    };
    let (ended, receiving) = oneshot::channel();
    let thread = std::thread::Builder::new().name("barograph-udp".to_owned()).spawn(move || {
        receiver.run(socket);
        let _ = ended.send(());
    });
    if let Err(e) = thread {
        return tracing::error!("no datagrams are received, a thread could not be started: {e}");
    }
    let mut storing = tokio::spawn(store_all(state.clone(), queue.clone(), stop.clone()));
    // An error means that the thread panicked, which the log shows; the queue is closed in any case.
    let _ = receiving.await;
    queue.close();
    runtime::stopped(&mut stop).await;
    if tokio::time::timeout(state.config.load().shutdown_timeout, &mut storing).await.is_err() {
        let lost = queue.abandon();
        state.telemetry.udp.dropped_storage.add(lost as u64);
        tracing::warn!("{lost} datagrams were not stored within shutdown_timeout and are lost");
    }
}

/// The state of the thread at the socket.
struct Receiver {
    queue: Arc<Queue>,
    state: Arc<State>,
    stop: watch::Receiver<bool>,
    /// Maximum number of datagrams in the receive buffer.
    datagrams_max: usize,
    /// The time of the last datagram.
    last: i64,
}

impl Receiver {
    /// Receives until the server stops, and then everything that waits in the socket.
    fn run(mut self, socket: UdpSocket) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let ended = runtime.and_then(|runtime| runtime.block_on(self.receive(socket)));
        if let Err(e) = ended {
            tracing::error!("no more datagrams are received: {e}");
        }
        self.state.telemetry.udp.unwatch();
    }

    async fn receive(&mut self, socket: UdpSocket) -> io::Result<()> {
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        let mut stop = self.stop.clone();
        let mut datagram = vec![0; DATAGRAM_MAX];
        loop {
            tokio::select! {
                biased;
                _ = runtime::stopped(&mut stop) => break,
                ready = socket.readable() => ready?,
            }
            let receive = |datagram: &mut [u8]| socket.try_recv_from(datagram);
            take(receive, &mut datagram, RUN, |datagram, sender| self.enqueue(datagram, sender));
        }
        // This asks the socket itself, since the runtime may not know of the newest datagrams yet.
        let socket = socket.into_std()?;
        let receive = |datagram: &mut [u8]| socket.recv_from(datagram);
        take(receive, &mut datagram, self.datagrams_max, |datagram, sender| self.enqueue(datagram, sender));
        // Counted while the socket is open, because its drops are known only until it is closed.
        self.state.telemetry.udp.unwatch();
        Ok(())
    }

    fn enqueue(&mut self, datagram: &[u8], sender: SocketAddr) {
        let counters = &self.state.telemetry.udp;
        counters.received.add(1);
        self.state.telemetry.ingest(Origin::Udp).bytes.add(datagram.len() as u64);
        // No two datagrams have the same time, so that of two values of a series without timestamps both are kept.
        self.last = clock::now_ns().max(self.last.saturating_add(1));
        if !self.queue.push(datagram, self.last, sender) {
            counters.dropped_queue.add(1);
            if let Some(held_back) = QUEUE_FULL.pass() {
                let limit = show_size(self.queue.bytes_max());
                tracing::warn!(
                    held_back,
                    "a datagram is dropped: {limit} wait to be stored, the limit (udp_queue); senders are faster than \
                     the disk"
                );
            }
        }
    }
}

/// Calls `enqueue` with the datagrams waiting in the socket, at most `count`. Gives up when [`FAILURES_MAX`]
/// consecutive calls of `receive` have failed.
fn take(
    receive: impl Fn(&mut [u8]) -> io::Result<(usize, SocketAddr)>,
    datagram: &mut [u8],
    count: usize,
    mut enqueue: impl FnMut(&[u8], SocketAddr),
) {
    let mut failures = 0;
    for _ in 0..count {
        match receive(datagram) {
            Ok((length, sender)) => {
                failures = 0;
                enqueue(&datagram[..length], sender);
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => return,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => {
                if let Some(held_back) = SOCKET_FAILED.pass() {
                    tracing::warn!(held_back, "cannot receive datagrams: {e}");
                }
                std::thread::sleep(FAILURE_PAUSE);
                failures += 1;
                if failures == FAILURES_MAX {
                    return;
                }
            }
        }
    }
}

/// Stores queued datagrams until the queue is closed and empty.
async fn store_all(state: Arc<State>, queue: Arc<Queue>, stop: watch::Receiver<bool>) {
    let mut looked = Instant::now();
    let mut dropped = 0;
    while let Some(block) = queue.next().await {
        let counters = &state.telemetry.udp;
        let block = Arc::new(block);
        match store(&state, &block, &stop).await {
            Ok(()) => counters.stored.add(block.len() as u64),
            Err(e) => {
                counters.dropped_storage.add(block.len() as u64);
                if let Some(held_back) = FAILED.pass() {
                    tracing::warn!(held_back, datagrams = block.len(), "datagrams were lost: {e}");
                }
            }
        }
        queue.release(&block);
        if looked.elapsed() >= PAUSE {
            looked = Instant::now();
            warn_of_drops(counters, &mut dropped);
        }
    }
    warn_of_drops(&state.telemetry.udp, &mut dropped);
}

/// Logs the datagrams that the kernel has dropped since the last time.
fn warn_of_drops(counters: &UdpCounters, before: &mut u64) {
    let now = counters.kernel_drops();
    if now > *before
        && let Some(held_back) = KERNEL_DROPPED.pass()
    {
        tracing::warn!(
            held_back,
            "the kernel dropped {} datagrams, since the receive buffer of {} bytes was full (udp_buffer)",
            now - *before,
            counters.buffer_bytes()
        );
        *before = now;
    }
}

/// Stores a block; waits while the database is opening, and retries while storage is at a temporary limit.
async fn store(state: &Arc<State>, block: &Arc<Block>, stop: &watch::Receiver<bool>) -> Result<(), ApiError> {
    loop {
        let is_last = *stop.borrow();
        let (error, pause) = match state.database() {
            Err(opening) => (opening, OPENING),
            Ok(_) => match store_once(state, block).await {
                Ok(()) => return Ok(()),
                Err(e) => (e, PAUSE),
            },
        };
        if is_last || error.retry_after.is_none() {
            return Err(error);
        }
        let mut stop = stop.clone();
        let _ = tokio::time::timeout(pause, runtime::stopped(&mut stop)).await;
    }
}

async fn store_once(state: &Arc<State>, block: &Arc<Block>) -> Result<(), ApiError> {
    let database = state.database()?.clone();
    let (state, block) = (state.clone(), block.clone());
    runtime::blocking(move || {
        let config = state.config.load();
        let options =
            ingest::options::line_options(&config, config.line_precision, config.line_db.as_deref());
        let report =
            ingest::store_bodies(&database, &state.telemetry, Origin::Udp, block.bodies(), &options)?;
        ingest::log_bad_lines(&report, Origin::Udp, |body| block.sender(body));
        ingest::far::warn(&report, options.precision, Origin::Udp, |body| block.sender(body));
        Ok(())
    })
    .await?
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[test]
    fn a_socket_that_keeps_failing_is_left_alone() {
        let calls = Cell::new(0);
        let fail = |_: &mut [u8]| {
            calls.set(calls.get() + 1);
            Err(io::Error::other("down"))
        };
        take(fail, &mut [0; 8], usize::MAX, |_, _| panic!("nothing came"));
        assert_eq!(calls.get(), FAILURES_MAX);
    }

    #[test]
    fn what_comes_between_failures_is_taken() {
        let sender = SocketAddr::from(([127, 0, 0, 1], 1));
        let outcomes = RefCell::new([true, false].repeat(FAILURES_MAX as usize + 1));
        let receive = |_: &mut [u8]| match outcomes.borrow_mut().pop() {
            None => Err(ErrorKind::WouldBlock.into()),
            Some(true) => Ok((3, sender)),
            Some(false) => Err(io::Error::other("down")),
        };
        let mut taken = 0;
        take(receive, &mut [0; 8], usize::MAX, |datagram, _| taken += datagram.len());
        assert_eq!(taken, 3 * (FAILURES_MAX as usize + 1));
    }
}
