//! Records that have been appended but not written: encoded at once, in batches by segment.
//!
//! The buffer decides where segments end, so that closing one requires no I/O from the caller; the writer follows.

use std::collections::VecDeque;

use super::format::{
    HEADER_BYTES, KIND_COMMIT, KIND_SEAL, RECORD_BYTES, Tally, encode_record, encode_seal, segment_seed,
};

/// Maximum capacity of a written batch that is reused for the next one, bytes.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// Bytes for one segment.
#[derive(Debug)]
pub(super) struct WriteGroup {
    pub segment: u64,
    /// The first sequence number of the segment.
    pub first_seq: u64,
    /// The last sequence number in the batch.
    pub last_seq: u64,
    pub bytes: Vec<u8>,
    /// The number of bytes that have been written.
    pub written: usize,
    /// The batch ends with the segment's seal.
    pub seals: bool,
}

/// A position in the log: records appended after it can be removed again.
#[derive(Debug, Clone)]
pub(super) struct Position {
    open: OpenSegment,
    next_seq: u64,
}

impl Position {
    /// The last sequence number before it.
    pub fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// The number of its segment, and its offset in it.
    pub fn place(&self) -> (u64, u64) {
        (self.open.number, self.open.bytes)
    }
}

/// The segment that records are appended to; it may not exist on the disk yet.
#[derive(Debug, Clone)]
struct OpenSegment {
    number: u64,
    first_seq: u64,
    seed: u32,
    tally: Tally,
    bytes: u64,
    /// Everything up to here has a commit.
    committed: u64,
}

/// The data that has not been written yet.
#[derive(Debug)]
pub(super) struct Buffer {
    database_id: u64,
    next_seq: u64,
    open: OpenSegment,
    batches: VecDeque<WriteGroup>,
    bytes: usize,
    /// Size of the closed segments whose seal is not written yet.
    closed_bytes: u64,
    spare: Vec<u8>,
}

impl Buffer {
    pub fn new(database_id: u64, number: u64, next_seq: u64) -> Self {
        let open = OpenSegment::new(database_id, number, next_seq);
        Buffer {
            database_id,
            next_seq,
            open,
            batches: VecDeque::new(),
            bytes: 0,
            closed_bytes: 0,
            spare: Vec::new(),
        }
    }

    pub fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Bytes that have not been written.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Size of the open segment, including data that has not been written; 0 if nothing was appended to it.
    pub fn open_bytes(&self) -> u64 {
        if self.open.tally.entries == 0 { 0 } else { self.open.bytes }
    }

    /// Size of the segments that were closed and are not sealed on the disk yet.
    pub fn closed_bytes(&self) -> u64 {
        self.closed_bytes
    }

    /// Records that a closed segment of this size has been sealed on the disk.
    pub fn forget_closed(&mut self, bytes: u64) {
        self.closed_bytes -= bytes;
    }

    /// Whether a segment's seal has not been written yet.
    pub fn seal_waits(&self) -> bool {
        self.batches.iter().any(|batch| batch.seals)
    }

    /// Appends a record whose size was checked and returns its sequence number.
    pub fn append(&mut self, kind: u8, mark: u64, parts: &[&[u8]]) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.push(kind, seq, mark, parts);
        seq
    }

    /// Appends a commit, for a write that will be synced.
    pub fn commit(&mut self, mark: u64) {
        if self.open.tally.entries > 0 && self.open.committed < self.last_seq() {
            self.open.committed = self.last_seq();
            self.push(KIND_COMMIT, self.last_seq(), mark, &[]);
        }
    }

    /// Closes the open segment, if it is not empty.
    pub fn seal(&mut self, mark: u64) {
        if self.open.tally.entries == 0 {
            return;
        }
        let payload = encode_seal(self.open.tally.entries, self.open.tally.crc_of_crcs());
        self.push(KIND_SEAL, self.last_seq(), mark, &[&payload]);
        self.batches.back_mut().expect("the seal was pushed to it").seals = true;
        self.closed_bytes += self.open.bytes;
        self.open = OpenSegment::new(self.database_id, self.open.number + 1, self.next_seq);
    }

    fn push(&mut self, kind: u8, seq: u64, mark: u64, parts: &[&[u8]]) {
        let number = self.open.number;
        if self.batches.back().is_none_or(|batch| batch.segment != number) {
            self.batches.push_back(WriteGroup {
                segment: number,
                first_seq: self.open.first_seq,
                last_seq: seq,
                bytes: std::mem::take(&mut self.spare),
                written: 0,
                seals: false,
            });
        }
        let batch = self.batches.back_mut().expect("one was pushed if there was none");
        let before = batch.bytes.len();
        let crc = encode_record(&mut batch.bytes, self.open.seed, kind, seq, mark, parts);
        batch.last_seq = seq;
        let added = batch.bytes.len() - before;
        self.bytes += added;
        self.open.bytes += added as u64;
        self.open.tally.add(crc);
    }

    /// The position after everything appended so far.
    pub fn position(&self) -> Position {
        Position { open: self.open.clone(), next_seq: self.next_seq }
    }

    /// The position at which a segment begins.
    pub fn start_of(&self, number: u64, first_seq: u64) -> Position {
        Position { open: OpenSegment::new(self.database_id, number, first_seq), next_seq: first_seq }
    }

    /// Whether anything was appended after `position`.
    pub fn is_behind(&self, position: &Position) -> bool {
        self.next_seq > position.next_seq || !self.batches.is_empty()
    }

    /// Removes everything that was appended after `position`, including unwritten records and seals.
    pub fn go_back(&mut self, position: &Position) {
        self.batches.clear();
        (self.bytes, self.closed_bytes) = (0, 0);
        self.open = position.open.clone();
        self.next_seq = position.next_seq;
    }

    /// Takes all data that has not been written.
    pub fn take(&mut self) -> VecDeque<WriteGroup> {
        self.bytes = 0;
        std::mem::take(&mut self.batches)
    }

    /// Puts data that could not be written back, before newer data.
    pub fn put_back(&mut self, mut unwritten: VecDeque<WriteGroup>) {
        self.bytes += unwritten.iter().map(|batch| batch.bytes.len()).sum::<usize>();
        unwritten.append(&mut self.batches);
        self.batches = unwritten;
    }

    /// Keeps the memory of a written batch for the next one.
    pub fn recycle(&mut self, mut bytes: Vec<u8>) {
        if bytes.capacity() <= SPARE_BYTES_MAX && bytes.capacity() > self.spare.capacity() {
            bytes.clear();
            self.spare = bytes;
        }
    }
}

impl OpenSegment {
    fn new(database_id: u64, number: u64, first_seq: u64) -> Self {
        OpenSegment {
            number,
            first_seq,
            seed: segment_seed(database_id, number),
            tally: Tally::default(),
            bytes: HEADER_BYTES as u64,
            committed: first_seq - 1,
        }
    }
}

/// The size of a record with this payload, bytes.
pub(super) fn record_bytes(payload_bytes: usize) -> usize {
    RECORD_BYTES + payload_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_comes_first() {
        let mut buffer = Buffer::new(1, 1, 1);
        buffer.append(0, 0, &[b"a"]);
        buffer.seal(0);
        let unwritten = buffer.take();
        assert_eq!((buffer.bytes(), buffer.append(0, 0, &[b"b"])), (0, 2));
        buffer.put_back(unwritten);
        buffer.append(0, 0, &[b"c"]);
        let bytes = buffer.bytes();
        let batches = buffer.take();
        let shape: Vec<_> =
            batches.iter().map(|batch| (batch.segment, batch.last_seq, batch.seals)).collect();
        assert_eq!(shape, [(1, 1, true), (2, 3, false)]);
        assert_eq!(bytes, batches.iter().map(|batch| batch.bytes.len()).sum::<usize>());
    }

    #[test]
    fn a_commit_follows_records_once() {
        let mut buffer = Buffer::new(1, 1, 1);
        buffer.commit(0);
        buffer.seal(0);
        assert_eq!((buffer.bytes(), buffer.open_bytes()), (0, 0));
        buffer.append(0, 0, &[]);
        buffer.commit(0);
        buffer.commit(0);
        assert_eq!(buffer.bytes(), 2 * RECORD_BYTES);
    }
}
