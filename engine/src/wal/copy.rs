//! Copies a log up to a record, for a backup.
//!
//! Reads files that may be written at the same time: only bytes that were synced before are read, and these never
//! change (I2). Every record is verified, so a copy never contains damaged ones.

use std::fs;
use std::path::Path;

use super::directory::{MARK_NAME, Segment, make_dir, segment_name};
use super::format::{HEADER_BYTES, Mark, Role, segment_seed};
use super::fs::WalFs;
use super::mark::file_of;
use super::repair::{Rebuild, replace};
use super::replay::{Scan, ValidRun, entries};
use crate::error::{Error, Result};

/// A copy of the log in `dir` up to record `seq`, which is synced.
pub(super) struct LogCopy<'a> {
    pub fs: &'a dyn WalFs,
    pub dir: &'a Path,
    /// A new or empty directory.
    pub dest: &'a Path,
    pub database_id: u64,
    pub seq: u64,
}

impl LogCopy<'_> {
    /// Makes the copy; `segments` are all segments of the log.
    pub fn write(&self, segments: &[Segment]) -> Result<()> {
        let LogCopy { fs, dest, database_id, seq, .. } = *self;
        make_dir(fs, dest)?;
        let mut there = fs::read_dir(dest).map_err(|error| Error::io("list", dest, error))?;
        if there.next().is_some() {
            return Err(Error::Invalid(format!("{}: a copy needs an empty directory", dest.display())));
        }
        for segment in segments.iter().filter(|segment| segment.first_seq <= seq) {
            self.segment(segment)?;
        }
        fail_point!("snapshot.segments");
        replace(fs, dest, &dest.join(MARK_NAME), &file_of(Mark { database_id, seq }))
    }

    /// Copies the records of one segment up to the given one and seals the copy.
    fn segment(&self, segment: &Segment) -> Result<()> {
        let Segment { number, first_seq: first, .. } = *segment;
        let database_id = self.database_id;
        let path = self.dir.join(segment_name(number));
        let bytes = fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
        let scan = Scan::new(&bytes, segment_seed(database_id, number), first);
        let next = segment.last_seq.min(self.seq) + 1;
        if let Some(bad) = scan.bad.first().filter(|bad| bad.expected < next) {
            let file = path.display().to_string();
            return Err(Error::Corrupt { file, offset: bad.range.start as u64, what: bad.fault.to_string() });
        }
        let mut run = ValidRun { range: HEADER_BYTES..HEADER_BYTES, first, next: first };
        let good = scan.runs.first().map_or(&[][..], |run| &bytes[run.range.clone()]);
        for entry in entries(good).take_while(|entry| entry.seq < next) {
            run.range.end += entry.encoded_bytes();
            if matches!(entry.role(), Ok(Role::Record | Role::Gap { .. })) {
                run.next = entry.seq + 1;
            }
        }
        Rebuild { database_id, number, first, next, bytes: &bytes, runs: &[run] }
            .write(self.fs, self.dest)?;
        Ok(())
    }
}
