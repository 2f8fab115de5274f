//! Datagrams between the socket and the storage: in order of arrival, bounded in bytes.
//!
//! The receiver must return to the socket at once, but storing waits for the disk. Datagrams therefore wait here,
//! packed into blocks, each of which is stored with one sync. A block grows while the previous one is being stored.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use barograph::LineBody;
use barograph::Timestamp;
use barograph::budget::{Hold, Share};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A block accepts datagrams until it has this many bytes.
const BLOCK_BYTES: usize = 1 << 20;

/// One datagram of a block.
#[derive(Debug, Clone, Copy)]
struct Datagram {
    /// Where it ends in the bytes of the block.
    end: usize,
    /// The time of its lines without a timestamp.
    arrived: i64,
    sender: SocketAddr,
}

/// Datagrams that are stored together.
#[derive(Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    datagrams: Vec<Datagram>,
}

impl Block {
    /// The number of datagrams.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// The lines of the block, one body per datagram.
    pub fn bodies(&self) -> impl Iterator<Item = LineBody<'_>> {
        let mut start = 0;
        self.datagrams.iter().map(move |datagram| {
            let bytes = &self.bytes[start..datagram.end];
            start = datagram.end;
            LineBody { bytes, default_timestamp: Some(Timestamp::from_nanos(datagram.arrived)) }
        })
    }

    /// The sender of the datagram with this number.
    pub fn sender(&self, number: usize) -> Option<SocketAddr> {
        self.datagrams.get(number).map(|datagram| datagram.sender)
    }

    /// The bytes that it counts against the limit of the queue.
    fn cost(&self) -> usize {
        self.bytes.len() + self.len() * size_of::<Datagram>()
    }
}

/// The queue; see the module's documentation. One task takes blocks, and any thread may add datagrams.
#[derive(Debug)]
pub struct Queue {
    share: Arc<Share>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    blocks: VecDeque<Block>,
    /// The memory of waiting datagrams, and of those taken but not released. There is none before the first datagram.
    hold: Option<Hold>,
    closed: bool,
}

impl State {
    fn give_back(&mut self, bytes: usize) {
        if let Some(hold) = &mut self.hold {
            // Shrinking is never refused.
            let _ = hold.resize(hold.bytes().saturating_sub(bytes as u64));
        }
    }
}

impl Queue {
    /// An empty queue whose datagrams, each with a few bytes of overhead, take their memory from `share`.
    pub fn new(share: Arc<Share>) -> Self {
        Queue { share, state: Mutex::default(), changed: Notify::new() }
    }

    /// Takes memory. Returns false if there is not enough.
    fn take(&self, state: &mut State, bytes: usize) -> bool {
        let taken = match &mut state.hold {
            Some(hold) => hold.grow(bytes as u64),
            none => self.share.take(bytes as u64).map(|hold| *none = Some(hold)),
        };
        taken.is_ok()
    }

    /// Adds a datagram. Returns false if it does not fit.
    pub fn push(&self, datagram: &[u8], arrived: i64, sender: SocketAddr) -> bool {
        let cost = datagram.len() + size_of::<Datagram>();
        let mut state = self.state.lock();
        if state.closed || !self.take(&mut state, cost) {
            return false;
        }
        match state.blocks.back() {
            Some(last) if last.bytes.len() + datagram.len() <= BLOCK_BYTES => {}
            _ => state.blocks.push_back(Block::default()),
        }
        if let Some(last) = state.blocks.back_mut() {
            last.bytes.extend_from_slice(datagram);
            last.datagrams.push(Datagram { end: last.bytes.len(), arrived, sender });
        }
        drop(state);
        self.changed.notify_one();
        true
    }

    /// The oldest block; `None` once the queue is closed and empty.
    pub async fn next(&self) -> Option<Block> {
        loop {
            {
                let mut state = self.state.lock();
                if let Some(block) = state.blocks.pop_front() {
                    return Some(block);
                }
                if state.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Releases the memory of `block`, which was taken and is no longer needed.
    pub fn release(&self, block: &Block) {
        self.state.lock().give_back(block.cost());
    }

    /// Closes the queue: no more datagrams are accepted, but the waiting ones can still be taken.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }

    /// Closes the queue and drops the waiting datagrams. Returns their number.
    pub fn abandon(&self) -> usize {
        let mut state = self.state.lock();
        state.closed = true;
        let blocks = std::mem::take(&mut state.blocks);
        state.give_back(blocks.iter().map(Block::cost).sum());
        drop(state);
        self.changed.notify_one();
        blocks.iter().map(Block::len).sum()
    }

    /// The limit in bytes.
    pub fn bytes_max(&self) -> u64 {
        self.share.limit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: usize = size_of::<Datagram>();

    fn queue(bytes_max: usize) -> Queue {
        Queue::new(Share::new("datagrams", bytes_max as u64))
    }

    fn sender(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn texts(block: &Block) -> Vec<(String, Option<Timestamp>)> {
        let text = |body: LineBody<'_>| String::from_utf8(body.bytes.to_vec()).unwrap();
        block.bodies().map(|body| (text(body), body.default_timestamp)).collect()
    }

    #[tokio::test]
    async fn datagrams_come_out_as_they_went_in() {
        let queue = queue(1 << 20);
        assert!(queue.push(b"one", 1, sender(1)) && queue.push(b"two\n", 2, sender(2)));
        let block = queue.next().await.unwrap();
        assert_eq!(
            texts(&block),
            [
                ("one".to_owned(), Some(Timestamp::from_nanos(1))),
                ("two\n".to_owned(), Some(Timestamp::from_nanos(2)))
            ]
        );
        assert_eq!((block.len(), block.bytes.len(), block.sender(1)), (2, 7, Some(sender(2))));
        assert!(queue.push(b"three", 3, sender(3)));
        queue.close();
        assert!(!queue.push(b"late", 4, sender(4)), "a closed queue takes nothing");
        assert_eq!(texts(&queue.next().await.unwrap()).len(), 1, "what waits is still given");
        assert!(queue.next().await.is_none());
    }

    #[tokio::test]
    async fn bytes_are_bounded_until_they_are_released() {
        let queue = queue(2 * (100 + OWN));
        assert!(queue.push(&[b'x'; 100], 0, sender(1)) && queue.push(&[b'x'; 100], 0, sender(1)));
        assert!(!queue.push(b"", 0, sender(1)), "full to the byte");
        let block = queue.next().await.unwrap();
        assert!(!queue.push(b"x", 0, sender(1)), "what is being stored counts");
        queue.release(&block);
        assert_eq!(queue.share.used(), 0);
        assert!(queue.push(&[b'x'; 200], 0, sender(1)));
        assert_eq!(queue.abandon(), 1);
        assert_eq!((queue.share.used(), queue.next().await.is_none()), (0, true));
        drop(queue.share.take(queue.bytes_max()).expect("nothing is held"));
    }

    #[tokio::test]
    async fn blocks_end_before_they_are_too_large() {
        let queue = queue(1 << 30);
        let large = vec![b'x'; 60_000];
        for _ in 0..40 {
            assert!(queue.push(&large, 0, sender(1)));
        }
        queue.close();
        let mut counts = Vec::new();
        while let Some(block) = queue.next().await {
            assert!(block.bytes.len() <= BLOCK_BYTES);
            counts.push(block.len());
        }
        assert_eq!(counts, [17, 17, 6]);
    }

    #[tokio::test]
    async fn a_waiting_task_is_woken_from_another_thread() {
        let queue = Arc::new(queue(1 << 20));
        let other = queue.clone();
        let thread = std::thread::spawn(move || {
            other.push(b"x", 0, sender(1));
            other.close();
        });
        let mut datagrams = 0;
        while let Some(block) = queue.next().await {
            datagrams += block.len();
        }
        assert_eq!(datagrams, 1);
        thread.join().unwrap();
    }
}
