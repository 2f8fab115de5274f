//! Recovery: processes a log's directory segment by segment, replays valid records, distinguishes a torn tail from
//! damage, and leaves every segment sealed, so that an open log only ever adds new ones.

use std::fs;
use std::path::Path;

use super::directory::{Head, Listing, MARK_NAME, Segment, corrupt, list};
use super::format::{Entry, Fault, HEADER_BYTES, Header, Role, segment_seed};
use super::fs::{RealFs, WalFs};
use super::mark::Marks;
use super::mmap::SegmentMap;
use super::repair::{Rebuild, Unsealed, quarantine, with_reserve};
use super::replay::{BadRange, Scan};
use super::{Damage, Record, Recovery, ReplayReport, TornTail};
use crate::error::{Error, Result};

/// A log to which records can be appended.
#[derive(Debug)]
pub(super) struct Recovered {
    /// `None` if no file in the directory contains one.
    pub database_id: Option<u64>,
    pub next_number: u64,
    pub next_seq: u64,
    pub segments: Vec<Segment>,
    /// The slot of the file `durable` that is written next; `None` if the file must be created again.
    pub mark_slot: Option<usize>,
}

/// Replays the log in `dir` and prepares it for appends. See [`super::Wal::open`].
pub(super) fn recover(
    fs: &dyn WalFs,
    dir: &Path,
    recovery: Recovery,
    after_seq: u64,
    replay: &mut dyn FnMut(Record<'_>) -> Result<()>,
) -> Result<(Recovered, ReplayReport)> {
    let mode = match recovery {
        Recovery::Refuse => Mode::Refuse,
        Recovery::Skip => Mode::Skip,
    };
    let listing = list(dir)?;
    for path in &listing.unfinished {
        fs.remove(path).map_err(|error| Error::io("remove", path, error))?;
    }
    fail_point!("replay.begun");
    Pass::new(fs, dir, mode, Some(after_seq), listing)?.run(replay)
}

/// Verifies every record of the log in `dir` without changing anything. Damage is in the report. The caller ensures
/// that the log is not opened at the same time.
///
/// # Errors
/// [`Error::FutureVersion`], [`Error::Io`], and [`Error::Corrupt`] if something other than a file has a segment's name.
/// The newest records of a log that is open for writing may appear as a torn tail.
pub fn verify(dir: &Path) -> Result<ReplayReport> {
    let listing = list(dir)?;
    let (_, report) = Pass::new(&RealFs, dir, Mode::Verify, None, listing)?.run(&mut |_| Ok(()))?;
    Ok(report)
}

/// Replays the records after `after_seq` of the log in `dir` without changing anything, for a reader of a database that
/// is not open and is not opened at the same time. Damage is in the report.
///
/// # Errors
/// Same as [`verify`], and the errors of `replay`; with [`Recovery::Refuse`] all errors of opening for writing.
pub fn read(
    dir: &Path,
    recovery: Recovery,
    after_seq: u64,
    replay: &mut dyn FnMut(Record<'_>) -> Result<()>,
) -> Result<ReplayReport> {
    let listing = list(dir)?;
    let mode = match recovery {
        Recovery::Refuse => Mode::ReadOrRefuse,
        Recovery::Skip => Mode::Verify,
    };
    let (_, report) = Pass::new(&RealFs, dir, mode, Some(after_seq), listing)?.run(replay)?;
    Ok(report)
}

/// The remedies for a refused log.
const WAY_OUT: &str =
    "restore a snapshot, or set recover_damaged_wal to set the damaged part aside and open without it";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Changes nothing and reports damage.
    Verify,
    /// Changes nothing and stops at damage.
    ReadOrRefuse,
    Refuse,
    Skip,
}

impl Mode {
    fn changes_nothing(self) -> bool {
        matches!(self, Mode::Verify | Mode::ReadOrRefuse)
    }
}

/// One pass over all segments.
struct Pass<'a> {
    fs: &'a dyn WalFs,
    dir: &'a Path,
    mode: Mode,
    /// The caller needs only newer records. `None` if everything is to be verified.
    after_seq: Option<u64>,
    heads: Vec<Head>,
    database_id: Option<u64>,
    /// The mark in the file `durable`; `None` if the file is missing or not trustworthy.
    mark: Option<u64>,
    /// See [`Recovered::mark_slot`].
    mark_slot: Option<usize>,
    /// The next sequence number; `None` before the first segment.
    next: Option<u64>,
    segments: Vec<Segment>,
    report: ReplayReport,
}

impl<'a> Pass<'a> {
    fn new(
        fs: &'a dyn WalFs,
        dir: &'a Path,
        mode: Mode,
        after_seq: Option<u64>,
        listing: Listing,
    ) -> Result<Self> {
        let mut heads = Vec::with_capacity(listing.segments.len());
        for (number, path) in listing.segments {
            heads.push(Head::read(number, path)?);
        }
        let report = ReplayReport { strays: listing.strays, ..ReplayReport::default() };
        let mut pass = Pass {
            fs,
            dir,
            mode,
            after_seq,
            heads,
            database_id: None,
            mark: None,
            mark_slot: None,
            next: None,
            segments: Vec::new(),
            report,
        };
        pass.identify()?;
        Ok(pass)
    }

    /// Reads the file `durable` and determines which database the log belongs to.
    fn identify(&mut self) -> Result<()> {
        let path = self.dir.join(MARK_NAME);
        let ids: Vec<u64> =
            self.heads.iter().filter_map(|head| Some(head.header.as_ref().ok()?.database_id)).collect();
        self.database_id = ids.first().copied();
        let mut note = |offset: u64, what: String| {
            let file = path.clone();
            self.report.damage.push(Damage { file, offset, what, quarantined_to: None });
        };
        let Some(marks) = Marks::read(&path)? else {
            if !self.heads.is_empty() {
                note(0, "the file is missing".to_owned());
            }
            return Ok(());
        };
        for (offset, fault) in marks.faults(&ids) {
            note(offset, fault.to_string());
        }
        if let Some((slot, mark)) = marks.newest(&ids) {
            self.database_id = Some(mark.database_id);
            self.mark = Some(mark.seq);
            self.mark_slot = marks.slot_after(slot);
        }
        Ok(())
    }

    fn run(mut self, replay: &mut dyn FnMut(Record<'_>) -> Result<()>) -> Result<(Recovered, ReplayReport)> {
        let heads = std::mem::take(&mut self.heads);
        for (at, head) in heads.iter().enumerate() {
            let successor = heads.get(at + 1).and_then(|head| head.header.as_ref().ok());
            match (successor, self.after_seq) {
                (Some(successor), Some(after)) if successor.first_seq <= after.saturating_add(1) => {
                    self.pass_over(head, successor.first_seq)?;
                }
                _ => self.segment(head, at + 1 == heads.len(), replay)?,
            }
        }
        if heads.is_empty() {
            self.nothing_left()?;
        }
        let after_seq = self.after_seq.unwrap_or(0);
        let next_seq = self.next.unwrap_or(1).max(after_seq.saturating_add(1));
        self.report.last_seq = next_seq - 1;
        let recovered = Recovered {
            database_id: self.database_id,
            next_number: self.segments.last().map_or(1, |segment| segment.number + 1),
            next_seq,
            segments: self.segments,
            mark_slot: self.mark_slot,
        };
        Ok((recovered, self.report))
    }

    /// Records a segment whose records the caller does not need.
    fn pass_over(&mut self, head: &Head, next: u64) -> Result<()> {
        let bytes = fs::metadata(&head.path).map_err(|error| Error::io("inspect", &head.path, error))?.len();
        let first_seq = head.header.as_ref().map_or(next, |header| header.first_seq.min(next));
        self.segments.push(Segment { number: head.number, first_seq, last_seq: next - 1, bytes });
        self.next = Some(next);
        Ok(())
    }

    /// Damage ends a strict pass; others record it.
    fn damaged(&mut self, path: &Path, offset: usize, what: String, bytes: &[u8]) -> Result<()> {
        let quarantined_to = match self.mode {
            Mode::Refuse | Mode::ReadOrRefuse => {
                return Err(corrupt(path, offset, format!("{what}; {WAY_OUT}")));
            }
            Mode::Skip if !bytes.is_empty() => Some(quarantine(self.fs, path, offset, bytes)?),
            Mode::Skip | Mode::Verify => None,
        };
        self.report.damage.push(Damage {
            file: path.to_owned(),
            offset: offset as u64,
            what,
            quarantined_to,
        });
        Ok(())
    }

    fn segment(
        &mut self,
        head: &Head,
        is_last: bool,
        replay: &mut dyn FnMut(Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let map = SegmentMap::open(&head.path)?;
        let damage_before = self.report.damage.len();
        let database_id = self.database_id.ok_or_else(|| self.nameless(head))?;
        let seed = segment_seed(database_id, head.number);
        let (first, record_first) = self.first_seqs(head, &map, seed, database_id)?;
        let mut scan = Scan::new(&map, seed, record_first);
        self.report.segments += 1;
        self.report.bytes += map.len() as u64;
        if is_last {
            self.tear(head, &map, &mut scan);
        }
        self.judge(head, is_last, &map, &scan)?;
        let mut next = scan.next;
        if is_last {
            next = self.missing_at_end(head, &map, next)?;
        }
        self.hand_out(head, &map, &mut scan, replay)?;
        self.next = Some(next);
        if self.mode.changes_nothing() {
            return Ok(());
        }
        let is_damaged = self.report.damage.len() > damage_before;
        let segment = if is_damaged {
            let number = head.number;
            let rebuild = Rebuild { database_id, number, first, next, bytes: &map, runs: &scan.runs };
            with_reserve(self.fs, self.dir, || rebuild.write(self.fs, self.dir))?
        } else {
            let mut bytes = map.len() as u64;
            // A process may have ended between writing and syncing the seal of the last segment, or the sync may have
            // failed.
            if !scan.sealed || is_last {
                let end = scan.runs.last().map_or(HEADER_BYTES, |run| run.range.end);
                let unsealed = Unsealed::new(&head.path, &map, seed, scan.proven_end, end, next);
                drop(map);
                bytes = with_reserve(self.fs, self.dir, || unsealed.finish(self.fs))?;
            }
            Segment { number: head.number, first_seq: first, last_seq: next - 1, bytes }
        };
        self.segments.push(segment);
        Ok(())
    }

    fn nameless(&self, head: &Head) -> Error {
        let what = head.header.as_ref().err().map_or_else(String::new, Fault::to_string);
        corrupt(&head.path, 0, format!("{what}; and no other file says which database this is"))
    }

    /// The first sequence number that a segment accounts for, and that of its first record, which is larger if records
    /// are missing before it.
    fn first_seqs(&mut self, head: &Head, bytes: &[u8], seed: u32, database_id: u64) -> Result<(u64, u64)> {
        let floor = self.next.or(self.after_seq.map(|seq| seq.saturating_add(1)));
        let header = match head.header {
            Ok(Header { database_id: found, .. }) if found != database_id => {
                Err(Fault::Database { expected: database_id, found })
            }
            Ok(Header { first_seq: found, .. }) if self.next.is_some_and(|next| found < next) => {
                Err(Fault::FirstSeq { expected: self.next.unwrap_or_default(), found })
            }
            header => header,
        };
        let first = match header {
            Ok(header) => header.first_seq,
            Err(fault) => {
                let end = bytes.len().min(HEADER_BYTES);
                self.damaged(&head.path, 0, fault.to_string(), &bytes[..end])?;
                first_of_records(bytes, seed)
                    .filter(|&first| first >= self.next.unwrap_or(1))
                    .or(floor)
                    .unwrap_or(1)
            }
        };
        match floor {
            Some(floor) if floor < first && first - 1 > self.after_seq.unwrap_or(0) => {
                let what = format!("records {floor}..={} are missing before this segment", first - 1);
                self.damaged(&head.path, 0, what, &[])?;
                Ok((floor, first))
            }
            _ => Ok((first, first)),
        }
    }

    /// Truncates a torn tail and reports it.
    fn tear(&mut self, head: &Head, bytes: &[u8], scan: &mut Scan) {
        if let Some(at) = scan.torn_at(self.mark.unwrap_or(0)) {
            let offset = scan.cut(at).range.start;
            let bytes_dropped = (bytes.len() - offset) as u64;
            self.report.torn_tail =
                Some(TornTail { file: head.path.clone(), offset: offset as u64, bytes_dropped });
        }
    }

    /// Reports each bad range, and a missing seal.
    fn judge(&mut self, head: &Head, is_last: bool, bytes: &[u8], scan: &Scan) -> Result<()> {
        for bad in &scan.bad {
            let BadRange { range, expected, fault, .. } = bad;
            let next =
                scan.runs.iter().find(|run| run.range.start >= range.end).map_or(scan.next, |run| run.first);
            let lost = match next - expected {
                0 => "no record is known to be lost".to_owned(),
                _ => format!("records {expected}..={} are lost", next - 1),
            };
            self.damaged(&head.path, range.start, format!("{fault}; {lost}"), &bytes[range.clone()])?;
        }
        let reaches_end = scan.bad.last().is_some_and(|bad| bad.range.end == bytes.len());
        if !is_last && !scan.sealed && !reaches_end {
            self.damaged(&head.path, bytes.len(), Fault::NoSeal.to_string(), &[])?;
        }
        Ok(())
    }

    /// Compares the log's end with the mark in `durable`. Returns the next sequence number.
    fn missing_at_end(&mut self, head: &Head, bytes: &[u8], next: u64) -> Result<u64> {
        match self.mark {
            Some(mark) if mark >= next && mark > self.after_seq.unwrap_or(0) => {
                let what = format!("records {next}..={mark} were synced and are missing at the end");
                self.damaged(&head.path, bytes.len(), what, &[])?;
                Ok(mark.saturating_add(1))
            }
            _ => Ok(next),
        }
    }

    /// Passes the records to the caller. One that the caller finds damaged, although its checksum is right, is treated
    /// like other damage.
    fn hand_out(
        &mut self,
        head: &Head,
        bytes: &[u8],
        scan: &mut Scan,
        replay: &mut dyn FnMut(Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let after_seq = self.after_seq.unwrap_or(0);
        let mut unusable = Vec::new();
        for (range, record) in scan.records(bytes).filter(|(_, record)| record.seq > after_seq) {
            match replay(record) {
                Ok(()) => {}
                Err(Error::Corrupt { what, .. }) => {
                    let what = format!("record {}: {what}", record.seq);
                    self.damaged(&head.path, range.start, what, &bytes[range.clone()])?;
                    unusable.push((range, record.seq));
                    continue;
                }
                Err(error) => return Err(error),
            }
            if self.report.records == 0 {
                self.report.first_seq = record.seq;
            }
            self.report.records += 1;
        }
        for (range, seq) in unusable {
            scan.take_out(&range, seq);
        }
        Ok(())
    }

    /// Handles a log without segments: it is new, or everything was truncated, or the segments are lost.
    fn nothing_left(&mut self) -> Result<()> {
        let after_seq = self.after_seq.unwrap_or(0);
        let mark = self.mark.unwrap_or(0);
        let path = self.dir.to_owned();
        if mark > after_seq && self.after_seq.is_some() {
            let first = after_seq + 1;
            let what = format!("records {first}..={mark} were synced, but no segment is left");
            self.damaged(&path, 0, what, &[])?;
            self.stand_in(first, mark + 1)?;
        } else if self.mark.is_none() && after_seq > 0 {
            let what = format!("the log should continue after {after_seq}, but the rest of it is missing");
            self.damaged(&path, 0, what, &[])?;
        }
        self.next = Some(mark.max(after_seq).saturating_add(1));
        Ok(())
    }

    /// Writes a segment that records the loss of `first..next`, so that it is reported only once.
    fn stand_in(&mut self, first: u64, next: u64) -> Result<()> {
        if self.mode.changes_nothing() {
            return Ok(());
        }
        let database_id = self.database_id.expect("the mark that was read names one");
        let rebuild = Rebuild { database_id, number: 1, first, next, bytes: &[], runs: &[] };
        let segment = with_reserve(self.fs, self.dir, || rebuild.write(self.fs, self.dir))?;
        self.segments.push(segment);
        Ok(())
    }
}

/// The sequence number of a segment's first record, if the header is not readable.
fn first_of_records(bytes: &[u8], seed: u32) -> Option<u64> {
    let entry = Entry::decode(bytes.get(HEADER_BYTES..)?, seed).ok()?;
    match entry.role().ok()? {
        Role::Record => Some(entry.seq),
        Role::Gap { first } => Some(first),
        Role::Commit | Role::Seal { .. } => entry.seq.checked_add(1),
    }
}
