//! Reads the bytes of one segment: finds valid records and bad ranges, and determines which of these are a torn tail.
//!
//! Works only on `&[u8]`. [`Scan::new`] verifies everything once and keeps only ranges; the records are then returned
//! by a second pass that need not compute checksums again. The whole segment is known before the first record is
//! replayed, so a later durable mark can prove that an earlier bad range is damage.
//!
//! # Resynchronising
//! After a bad range, the next valid entry is searched for byte by byte. Damaged bytes may be chosen by an attacker, so
//! the work is bounded: candidates must have a plausible sequence number, and after hashing [`SEARCH_FACTOR`] times the
//! segment's length, the rest of the segment counts as bad.

use std::ops::Range;

use super::Record;
use super::format::{Checked, Entry, Fault, HEADER_BYTES, RECORD_BYTES, Role, Tally};

/// The smallest unit that a disk writes atomically.
const SECTOR_BYTES: usize = 512;
/// Bound on the search for the next valid entry, in segment lengths.
const SEARCH_FACTOR: usize = 16;

/// Contiguous valid entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ValidRun {
    pub range: Range<usize>,
    /// The sequence number that was next when the run began.
    pub first: u64,
    /// The next sequence number after the run.
    pub next: u64,
}

/// A range of invalid bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadRange {
    pub range: Range<usize>,
    /// The sequence number that was expected here.
    pub expected: u64,
    pub fault: Fault,
    /// The last sequence number of the newest sync that valid bytes before this range prove to precede it.
    committed: u64,
    /// Part of the range may never have reached the disk.
    unwritten: bool,
    /// There is a commit or seal between this range and the next bad one.
    commit_follows: bool,
}

/// The result of a scan of a segment.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub runs: Vec<ValidRun>,
    pub bad: Vec<BadRange>,
    /// The next sequence number after this segment.
    pub next: u64,
    pub sealed: bool,
    /// Bytes before this offset are proven to be on the disk by a durable mark after them.
    pub proven_end: usize,
    /// The largest durable mark of a valid entry.
    mark_max: u64,
}

impl Scan {
    /// Checks a segment's bytes after its header; `first` is the number that its first record must have.
    pub fn new(bytes: &[u8], seed: u32, first: u64) -> Scan {
        let mut walk = SegmentScan::new(bytes, seed, first);
        walk.run();
        walk.scan
    }

    /// The index of the bad range at which the torn tail begins, given the mark in the file `durable`. Must only be
    /// called for the last segment.
    pub fn torn_at(&self, mark: u64) -> Option<usize> {
        let mark = mark.max(self.mark_max);
        // A log never writes anything after a seal.
        let may_be_torn = |bad: &BadRange| mark <= bad.committed && bad.fault != Fault::AfterSeal;
        (0..self.bad.len()).find(|&at| may_be_torn(&self.bad[at]) && !self.commit_proves(at))
    }

    /// Whether an intact commit or seal after the bad range shows that a sync had covered it.
    fn commit_proves(&self, at: usize) -> bool {
        for bad in &self.bad[at..] {
            if bad.unwritten {
                return false;
            }
            if bad.commit_follows {
                return true;
            }
        }
        false
    }

    /// Removes everything from a bad range on and returns that range.
    pub fn cut(&mut self, at: usize) -> BadRange {
        let torn = self.bad[at].clone();
        self.bad.truncate(at);
        self.runs.retain(|run| run.range.start < torn.range.start);
        self.next = torn.expected;
        self.sealed = false;
        self.proven_end = self.proven_end.min(torn.range.start);
        torn
    }

    /// The callers' records of the valid runs, each with its range.
    pub fn records<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (Range<usize>, Record<'a>)> {
        self.runs.iter().flat_map(|run| {
            let mut offset = run.range.start;
            entries(&bytes[run.range.clone()]).filter_map(move |entry| {
                let start = offset;
                offset += entry.encoded_bytes();
                let record = Record { seq: entry.seq, kind: entry.kind, payload: entry.payload };
                matches!(entry.role(), Ok(Role::Record)).then_some((start..offset, record))
            })
        })
    }

    /// Removes the record `seq`, which occupies `range` of a valid run.
    pub fn take_out(&mut self, range: &Range<usize>, seq: u64) {
        let holds = |run: &ValidRun| run.range.start <= range.start && range.end <= run.range.end;
        let Some(at) = self.runs.iter().position(holds) else { return };
        let ValidRun { range: Range { start, end }, first, next } = self.runs[at].clone();
        let parts = [
            ValidRun { range: start..range.start, first, next: seq },
            ValidRun { range: range.end..end, first: seq.saturating_add(1), next },
        ];
        self.runs.splice(at..=at, parts.into_iter().filter(|run| !run.range.is_empty()));
    }
}

/// The entries of bytes that were verified before.
pub(super) fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let entry = Entry::peek(rest).ok()?;
        rest = &rest[entry.encoded_bytes()..];
        Some(entry)
    })
}

struct SegmentScan<'a> {
    bytes: &'a [u8],
    seed: u32,
    offset: usize,
    tally: Tally,
    committed: u64,
    /// The sequence number of the last commit read, and the offset of its end.
    commit: (u64, usize),
    /// The number of bytes that the search may still hash.
    search_budget: usize,
    scan: Scan,
}

impl<'a> SegmentScan<'a> {
    fn new(bytes: &'a [u8], seed: u32, first: u64) -> Self {
        let scan = Scan {
            runs: Vec::new(),
            bad: Vec::new(),
            next: first,
            sealed: false,
            proven_end: HEADER_BYTES,
            mark_max: 0,
        };
        SegmentScan {
            bytes,
            seed,
            offset: HEADER_BYTES,
            tally: Tally::default(),
            // Everything before a segment is synced before the segment exists.
            committed: first.saturating_sub(1),
            commit: (0, HEADER_BYTES),
            search_budget: bytes.len().saturating_mul(SEARCH_FACTOR),
            scan,
        }
    }

    fn run(&mut self) {
        while self.offset < self.bytes.len() {
            match self.entry_at(self.offset) {
                Ok((entry, role)) => self.accept(entry, role),
                Err(fault) => self.skip_bad(fault),
            }
        }
    }

    /// The entry at an offset, if it is valid and the next in sequence.
    fn entry_at(&self, offset: usize) -> Checked<(Entry<'a>, Role)> {
        if self.scan.sealed {
            return Err(Fault::AfterSeal);
        }
        let entry = Entry::decode(&self.bytes[offset..], self.seed)?;
        let role = entry.role()?;
        let next = self.scan.next;
        let (expected, found) = match role {
            Role::Record => (next, entry.seq),
            Role::Commit | Role::Seal { .. } => (next - 1, entry.seq),
            Role::Gap { first } => (next, first),
        };
        if expected != found {
            return Err(Fault::Seq { expected, found });
        }
        if let Role::Seal { entries, crc_of_crcs } = role {
            let agrees = entries == self.tally.entries && crc_of_crcs == self.tally.crc_of_crcs();
            // After a bad range the seal cannot match; the fault is reported there.
            if !agrees && self.scan.bad.is_empty() {
                return Err(Fault::Seal);
            }
        }
        Ok((entry, role))
    }

    fn accept(&mut self, entry: Entry<'a>, role: Role) {
        let start = self.offset;
        self.offset += entry.encoded_bytes();
        let before = self.scan.next;
        match role {
            Role::Record | Role::Gap { .. } => self.scan.next = entry.seq.saturating_add(1),
            Role::Commit | Role::Seal { .. } => {
                self.committed = self.committed.max(entry.seq);
                if let Some(bad) = self.scan.bad.last_mut() {
                    bad.commit_follows = true;
                }
            }
        }
        if entry.mark >= self.commit.0 {
            self.scan.proven_end = self.commit.1;
        }
        if role == Role::Commit {
            self.commit = (entry.seq, self.offset);
        }
        self.scan.sealed = matches!(role, Role::Seal { .. });
        self.committed = self.committed.max(entry.mark);
        self.scan.mark_max = self.scan.mark_max.max(entry.mark);
        self.tally.add(entry.crc);
        match self.scan.runs.last_mut() {
            Some(run) if run.range.end == start => {
                run.range.end = self.offset;
                run.next = self.scan.next;
            }
            _ => self.scan.runs.push(ValidRun {
                range: start..self.offset,
                first: before,
                next: self.scan.next,
            }),
        }
    }

    fn skip_bad(&mut self, fault: Fault) {
        let start = self.offset;
        if self.bytes[start..].iter().all(|&byte| byte == 0) {
            // Zeros ahead of the next write.
            self.offset = self.bytes.len();
            return;
        }
        let expected = self.scan.next;
        self.offset = if self.scan.sealed { self.bytes.len() } else { self.search() };
        let range = start..self.offset;
        let unwritten = has_unwritten_sector(self.bytes, &range);
        self.scan.bad.push(BadRange {
            range,
            expected,
            fault,
            committed: self.committed,
            unwritten,
            commit_follows: false,
        });
    }

    /// Finds the next valid entry after the bad one at this offset and makes its sequence number the next one. Returns
    /// the end if there is none.
    fn search(&mut self) -> usize {
        let last = self.bytes.len().saturating_sub(RECORD_BYTES);
        for offset in self.offset + 1..=last {
            let rest = &self.bytes[offset..];
            let Some(next) = self.plausible(rest) else { continue };
            let Ok(peeked) = Entry::peek(rest) else { continue };
            let cost = peeked.encoded_bytes();
            if cost > self.search_budget {
                return self.bytes.len();
            }
            self.search_budget -= cost;
            if Entry::decode(rest, self.seed).is_ok() {
                self.scan.next = next;
                return offset;
            }
        }
        self.bytes.len()
    }

    /// The next sequence number before an entry found in the search; `None` if the entry cannot belong to this segment
    /// after this offset.
    fn plausible(&self, rest: &[u8]) -> Option<u64> {
        let entry = Entry::peek(rest).ok()?;
        let next = match entry.role().ok()? {
            Role::Record => entry.seq,
            Role::Commit | Role::Seal { .. } => entry.seq.checked_add(1)?,
            Role::Gap { first } => first,
        };
        let distance_max = (self.bytes.len() - self.offset) / RECORD_BYTES;
        let distance = next.checked_sub(self.scan.next)?;
        (distance <= distance_max as u64 && entry.mark <= entry.seq).then_some(next)
    }
}

/// Whether a range, which begins where a write may have begun, contains a sector of only zeros, or begins with the rest
/// of one: data that did not reach the disk.
fn has_unwritten_sector(bytes: &[u8], range: &Range<usize>) -> bool {
    let first = range.start - range.start % SECTOR_BYTES;
    (first..range.end).step_by(SECTOR_BYTES).any(|sector| {
        let window = sector.max(range.start)..(sector + SECTOR_BYTES).min(bytes.len());
        bytes[window].iter().all(|&byte| byte == 0)
    })
}
