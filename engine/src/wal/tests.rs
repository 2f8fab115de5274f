//! Tests of the whole log; each file of `tests/` asks one question.

mod damage;
mod faults;
mod format;
mod life;
mod mark;
mod model;

use std::path::Path;
use std::sync::Arc;

use super::format::{HEADER_BYTES, Header, Mark, segment_seed};
use super::fs::WalFs;
use super::fs::faulty::FaultyFs;
use super::fs::simulated::Disk;
use super::mark::{Marks, file_of};
use super::replay::Scan;
use super::*;
use crate::sync::turns::Dice;

/// One record at a time, by its number alone.
impl Wal {
    fn append(&self, kind: u8, parts: &[&[u8]]) -> Result<u64> {
        self.append_call(&[record(kind, parts)]).map(|ticket| ticket.seq)
    }

    fn append_call(&self, records: &[NewRecord<'_>]) -> Result<Ticket> {
        loop {
            if let Some(ticket) = self.append_all(records, self.term())? {
                return Ok(ticket);
            }
        }
    }

    fn sync_to(&self, seq: u64) -> Result<()> {
        self.wait_for(self.ticket_of(seq))
    }
}

fn record<'a>(kind: u8, some: &[&'a [u8]]) -> NewRecord<'a> {
    let mut parts = [&[][..]; 4];
    parts[..some.len()].copy_from_slice(some);
    NewRecord { kind, parts }
}

/// A record with its bytes.
type Owned = (u64, u8, Vec<u8>);

fn options(segment_bytes: u64) -> WalOptions {
    WalOptions { segment_bytes, reserve_bytes: 0, ..WalOptions::default() }
}

/// Opens a log on files that are never really synced.
fn try_open(dir: &Path, recovery: Recovery, after_seq: u64) -> Result<(Wal, Vec<Owned>, ReplayReport)> {
    open_on(Arc::new(FaultyFs::sound()), dir, options(1 << 20), recovery, after_seq)
}

fn open_on(
    fs: Arc<dyn WalFs>,
    dir: &Path,
    options: WalOptions,
    recovery: Recovery,
    after_seq: u64,
) -> Result<(Wal, Vec<Owned>, ReplayReport)> {
    let mut records = Vec::new();
    let (wal, report) = Wal::open_on(fs, dir, options, recovery, after_seq, &mut |record| {
        records.push((record.seq, record.kind, record.payload.to_vec()));
        Ok(())
    })?;
    assert_eq!(report.records, records.len() as u64);
    Ok((wal, records, report))
}

fn open(dir: &Path) -> (Wal, Vec<Owned>) {
    let (wal, records, report) = try_open(dir, Recovery::Refuse, 0).unwrap();
    assert_eq!((report.torn_tail, report.damage), (None, vec![]));
    (wal, records)
}

/// Appends and syncs one record with its number as payload.
fn put(wal: &Wal, kind: u8, payload: &[u8]) -> u64 {
    let seq = wal.append(kind, &[payload]).unwrap();
    wal.sync_to(seq).unwrap();
    seq
}

/// Gives a log that is about to be made a known database id.
fn name_database(dir: &Path, database_id: u64) {
    std::fs::write(dir.join("durable"), file_of(Mark { database_id, seq: 0 })).unwrap();
}

/// Where a segment's records end: zeros may follow.
fn records_end(segment: &Path) -> usize {
    let bytes = std::fs::read(segment).unwrap();
    let header = Header::decode(&bytes).unwrap();
    let scan = Scan::new(&bytes, segment_seed(header.database_id, header.number), header.first_seq);
    scan.runs.last().map_or(HEADER_BYTES, |run| run.range.end)
}

/// Copies a directory's files.
fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
