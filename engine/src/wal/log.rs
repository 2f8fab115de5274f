//! The open log, and how threads wait for syncs.
//!
//! # Concurrency
//! `state` is held briefly, never across I/O. One of the threads that wait for a sync becomes the *leader*: it takes
//! all waiting records, writes and syncs them without holding `state`, and wakes the others, who usually find their
//! records durable and return. Records appended meanwhile are left to the next leader. `writer` is locked by the
//! leader, or under `state` while there is no leader, so no thread ever waits for it. A thread that removes or restores
//! the reserve also becomes the leader. Lock order: `files`, `state`, `writer`; a leader holds `writer` without
//! `state`.

mod closing;
mod loan;
mod removals;
mod state;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::buffer::Buffer;
use super::copy::LogCopy;
use super::directory::{Segment, make_dir, segment_name};
use super::format::Mark;
use super::fs::{RealFs, WalFs};
use super::mark::MarkFile;
use super::recover::recover;
use super::ticket::{Fate, NewRecord, Ticket};
use super::writer::{Progress, Writer};
use super::{Record, Recovery, ReplayReport, SyncPolicy, WalOptions, WalStats, reserve_for};
use crate::error::{Error, Result};
use crate::process::Process;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::workers::Job;

use removals::Removals;
use state::State;

pub use loan::Loan;

/// A write-ahead log, open for appending. All methods may be called concurrently.
///
/// Dropping it without [`Wal::close`] is safe, but loses data not covered by a `sync` call.
pub struct Wal {
    shared: Arc<Shared>,
    ticker: Mutex<Option<Job>>,
}

/// How a record is treated on a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnFullDisk {
    Refuse,
    Append,
}

struct Shared {
    process: Process,
    dir: PathBuf,
    database_id: u64,
    fs: Arc<dyn WalFs>,
    options: WalOptions,
    state: Mutex<State>,
    /// Signalled when a leader is done.
    done: Condvar,
    writer: Mutex<Writer>,
    /// Held while segments are deleted or copied.
    files: Mutex<()>,
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal")
            .field("dir", &self.shared.dir)
            .field("last_seq", &self.last_seq())
            .finish_non_exhaustive()
    }
}

impl Wal {
    /// Opens the log in `dir`, creating the directory if necessary. Passes every record with a number above `after_seq`
    /// to `replay`, in order; then records can be appended. The caller holds the directory's lock and has the effects
    /// of the records up to `after_seq`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for damage under [`Recovery::Refuse`], and in any case if something other than a file has a
    /// segment's name; [`Error::FutureVersion`]; [`Error::Option`]; [`Error::Io`]; the errors of `replay`.
    pub fn open(
        dir: &Path,
        options: WalOptions,
        recovery: Recovery,
        after_seq: u64,
        replay: &mut dyn FnMut(Record<'_>) -> Result<()>,
    ) -> Result<(Wal, ReplayReport)> {
        #[cfg(test)]
        if let Some(fs) = super::fs::take_next() {
            return Wal::open_on(fs, dir, options, recovery, after_seq, replay);
        }
        Wal::open_on(Arc::new(RealFs), dir, options, recovery, after_seq, replay)
    }

    /// Same as [`Wal::open`], on the caller's file system.
    pub(super) fn open_on(
        fs: Arc<dyn WalFs>,
        dir: &Path,
        options: WalOptions,
        recovery: Recovery,
        after_seq: u64,
        replay: &mut dyn FnMut(Record<'_>) -> Result<()>,
    ) -> Result<(Wal, ReplayReport)> {
        options.check()?;
        make_dir(&*fs, dir)?;
        let (recovered, report) = recover(&*fs, dir, recovery, after_seq, replay)?;
        let database_id = recovered.database_id.unwrap_or_else(random_id);
        let durable = recovered.next_seq - 1;
        let mark = Mark { database_id, seq: durable };
        let mark = MarkFile::open(&*fs, dir, mark, recovered.mark_slot)?;
        let reserve = reserve_for(
            options.stored_bytes.saturating_add(recovered.segments.iter().map(|segment| segment.bytes).sum()),
            options.reserve_bytes,
        );
        let writer = Writer::open(Arc::clone(&fs), dir.to_owned(), database_id, mark, reserve)?;
        let buffer = Buffer::new(database_id, recovered.next_number, recovered.next_seq);
        let state = State {
            safe: buffer.position(),
            buffer,
            removals: Removals::default(),
            failing: None,
            is_led: false,
            is_ticking: false,
            is_closed: false,
            durable,
            written: durable,
            poisoned: None,
            disk_full: false,
            is_full_logged: false,
            stored_bytes: options.stored_bytes,
            reserve_bytes: reserve,
            segments: recovered.segments,
            stats: WalStats::default(),
        };
        let shared = Arc::new(Shared {
            process: Process::opening()?,
            dir: dir.to_owned(),
            database_id,
            fs,
            options,
            state: Mutex::new(state),
            done: Condvar::new(),
            writer: Mutex::new(writer),
            files: Mutex::new(()),
        });
        // Creates the reserve. A full disk is recorded and is not an error, because stored data must stay readable.
        shared.turn(shared.state.lock(), false).1?;
        let wal = Wal { shared, ticker: Mutex::default() };
        if let SyncPolicy::Interval(every) = wal.shared.options.sync {
            wal.start_ticker(every)?;
        }
        Ok((wal, report))
    }

    /// Appends all of the records or none, and returns the ticket of the last one. Their sequence numbers are
    /// consecutive and follow the last one assigned. `None` if records were removed since the log was in `term`
    /// ([`Wal::term`]): the caller's records may depend on those, so it must build them again. The records are only
    /// copied into memory, unless that would leave more than [`WalOptions::buffer_bytes`] unwritten; in that case
    /// unwritten records are written first. The records are durable after [`Wal::wait_for`].
    ///
    /// # Errors
    /// [`Error::Limit`] for a payload above 64 MiB, [`Error::Invalid`] for a kind above
    /// [`KIND_MAX`](crate::wal::KIND_MAX), [`Error::DiskFull`] until there is space again (each call checks),
    /// [`Error::Poisoned`] after a failed sync. In these cases nothing is appended.
    pub fn append_all(&self, records: &[NewRecord<'_>], term: usize) -> Result<Option<Ticket>> {
        self.append_if(records, OnFullDisk::Refuse, |now| now == term)
    }

    /// Same as [`Wal::append_all`], for a record that leads to freed space: it is not refused on a full disk, but uses
    /// the space of the reserve.
    ///
    /// # Errors
    /// Same as [`Wal::append_all`], without [`Error::DiskFull`].
    pub fn append_to_free(&self, record: NewRecord<'_>) -> Result<Ticket> {
        let appended = self.append_if(&[record], OnFullDisk::Append, |_| true)?;
        Ok(appended.expect("it is appended in any term"))
    }

    fn append_if(
        &self,
        records: &[NewRecord<'_>],
        on_full_disk: OnFullDisk,
        is_its_term: impl Fn(usize) -> bool,
    ) -> Result<Option<Ticket>> {
        let mut bytes = 0_usize;
        for record in records {
            bytes = bytes.saturating_add(record.checked_bytes()?);
        }
        let shared = &*self.shared;
        let mut state = shared.with_room(bytes, on_full_disk)?;
        if !is_its_term(state.removals.terms()) {
            return Ok(None);
        }
        let mark = state.durable;
        let open_bytes = state.buffer.open_bytes();
        // A finished segment is synced, so it must not end between records that may be removed together.
        if open_bytes > 0 && open_bytes + bytes as u64 > shared.options.segment_bytes {
            state.buffer.seal(mark);
        }
        for record in records {
            state.buffer.append(record.kind, mark, &record.parts);
        }
        state.stats.records += records.len() as u64;
        state.stats.bytes += bytes as u64;
        crate::sync::logged(state.buffer.last_seq() + 1 - records.len() as u64, state.buffer.last_seq());
        let ticket = Ticket { seq: state.buffer.last_seq(), term: state.removals.terms() };
        if let SyncPolicy::Interval(every) = shared.options.sync
            && !std::mem::replace(&mut state.is_ticking, true)
        {
            drop(state);
            self.wake_ticker(every);
        }
        Ok(Some(ticket))
    }

    /// Returns when the records of `ticket` and all earlier ones are as safe as the [`SyncPolicy`] promises.
    ///
    /// # Errors
    /// [`Error::DiskFull`] or [`Error::Io`] if they could not be written, [`Error::Poisoned`] if they could not be
    /// synced: they are removed, and no replay finds them. [`Error::Invalid`] for an unknown sequence number.
    pub fn wait_for(&self, ticket: Ticket) -> Result<()> {
        let sync = self.shared.options.sync == SyncPolicy::Always;
        self.shared.drive(sync, |state| match state.fate(ticket) {
            Fate::Safe => Ok(true),
            Fate::Open if ticket.seq <= state.buffer.last_seq() => Ok(false),
            Fate::Open => state.refuse_poisoned().and(Err(not_given_out(ticket.seq, state))),
            Fate::Lost => Err(state.removals.reason(ticket)),
        })
    }

    /// Whether the records of `ticket` are as safe as the [`SyncPolicy`] promises. Does no I/O and does not wait.
    ///
    /// # Errors
    /// Same as [`Wal::wait_for`]; [`Error::Closed`] if they were not safe when the log was closed.
    pub fn is_safe(&self, ticket: Ticket) -> Result<bool> {
        self.shared.state.lock().is_safe(ticket)
    }

    /// The number of removals of records so far.
    pub fn term(&self) -> usize {
        self.shared.state.lock().removals.terms()
    }

    /// A ticket of a record that was appended after the last removal of records.
    #[cfg(test)]
    pub(super) fn ticket_of(&self, seq: u64) -> Ticket {
        Ticket { seq, term: self.term() }
    }

    /// The state of a ticket's records.
    pub fn fate(&self, ticket: Ticket) -> Fate {
        self.shared.state.lock().fate(ticket)
    }

    /// Makes everything appended so far durable, regardless of the policy.
    ///
    /// # Errors
    /// Same as [`Wal::wait_for`] if a part of it was removed.
    pub fn sync(&self) -> Result<()> {
        self.shared.sync()
    }

    /// Ends all waiting: everything appended so far becomes durable, or is removed because it could not be written, in
    /// which case its waiters get the reason.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; [`Error::Io`] or [`Error::DiskFull`] if there was nothing to remove.
    pub fn settle(&self) -> Result<()> {
        self.shared.settle()
    }

    /// Closes the current segment and returns the last sequence number in it. Once everything up to that number is
    /// stored elsewhere, [`Wal::truncate_to`] can delete the segment. Does no I/O: the seal is written with the next
    /// sync.
    ///
    /// # Errors
    /// [`Error::Poisoned`] after a failed sync.
    pub fn rotate(&self) -> Result<u64> {
        let mut state = self.shared.state.lock();
        state.refuse_poisoned()?;
        let mark = state.durable;
        state.buffer.seal(mark);
        Ok(state.buffer.last_seq())
    }

    /// Deletes the sealed segments that contain nothing above `seq`, oldest first. Works on a full disk.
    ///
    /// # Errors
    /// [`Error::Io`]; the next call tries again to delete the rest.
    pub fn truncate_to(&self, seq: u64) -> Result<()> {
        let shared = &*self.shared;
        // Writes the seal of a rotation. If that fails, its segment stays until the next call.
        let _ = shared.settle();
        let _files = shared.files.lock();
        let doomed: Vec<Segment> = shared
            .state
            .lock()
            .segments
            .iter()
            .copied()
            .take_while(|segment| segment.last_seq <= seq)
            .collect();
        if !doomed.is_empty() {
            shared.sync_mark();
        }
        for segment in &doomed {
            let path = shared.dir.join(segment_name(segment.number));
            shared.fs.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
            shared.state.lock().segments.remove(0);
            fail_point!("truncate.removed");
        }
        if doomed.is_empty() {
            return Ok(());
        }
        shared.fs.sync_dir(&shared.dir).map_err(|error| Error::io("sync", &shared.dir, error))
    }

    /// Copies the log up to the record `seq` into `dest`, a new or empty directory. Opened with the same `after_seq`,
    /// the copy replays exactly up to `seq`. Appending continues during the copy.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `seq` was not assigned or was truncated, or `dest` is not empty; the errors of
    /// [`Wal::wait_for`]; [`Error::Io`].
    pub fn copy_to(&self, dest: &Path, seq: u64) -> Result<()> {
        let shared = &*self.shared;
        shared.check_given_out(seq)?;
        shared.drive(true, |state| Ok(state.durable >= seq))?;
        let _files = shared.files.lock();
        let (first, segments) = shared.segments_on_disk();
        if seq < first - 1 {
            return Err(Error::Invalid(format!("log record {seq} is gone; the log begins at {first}")));
        }
        let database_id = shared.database_id;
        LogCopy { fs: &*shared.fs, dir: &shared.dir, dest, database_id, seq }.write(&segments)
    }

    /// The last sequence number that was assigned; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.shared.state.lock().buffer.last_seq()
    }

    /// Everything up to this sequence number is on the disk.
    pub fn durable_seq(&self) -> u64 {
        self.shared.state.lock().durable
    }

    /// Size of the log, including data that has not been written.
    pub fn size_bytes(&self) -> u64 {
        self.shared.state.lock().size_bytes()
    }

    /// Counters.
    pub fn stats(&self) -> WalStats {
        let state = self.shared.state.lock();
        let mut stats = state.stats;
        stats.segments = state.segments.len() as u64 + u64::from(state.buffer.open_bytes() > 0);
        stats.poisoned = state.poisoned.is_some();
        stats.disk_full = state.disk_full;
        stats
    }

    /// Why the last write or sync failed; `None` after a later one succeeded.
    pub fn failing(&self) -> Option<String> {
        self.shared.state.lock().failing.clone()
    }

    /// Bytes of records that have not been written.
    pub fn waiting_bytes(&self) -> u64 {
        self.shared.state.lock().buffer.bytes() as u64
    }
}

impl Shared {
    /// Refuses a sequence number that was not assigned.
    fn check_given_out(&self, seq: u64) -> Result<()> {
        let state = self.state.lock();
        if seq > state.buffer.last_seq() { Err(not_given_out(seq, &state)) } else { Ok(()) }
    }

    fn sync(&self) -> Result<()> {
        let newest = self.newest()?;
        self.drive(true, |state| {
            state.refuse_lost(newest)?;
            Ok(state.is_durable(newest.seq))
        })
    }

    fn settle(&self) -> Result<()> {
        let newest = self.newest()?;
        self.drive(true, |state| Ok(state.is_durable(newest.seq)))
    }

    /// The ticket of the last record so far.
    fn newest(&self) -> Result<Ticket> {
        let state = self.state.lock();
        state.refuse_poisoned()?;
        Ok(Ticket { seq: state.buffer.last_seq(), term: state.removals.terms() })
    }

    /// Makes the contents of the file `durable` durable. A failure weakens the verification of the log like a failed
    /// write of the file, and is counted as one.
    fn sync_mark(&self) {
        let mark = {
            let _state = self.idle(self.state.lock());
            self.writer.lock().mark_file()
        };
        if mark.is_some_and(|mark| mark.sync().is_err()) {
            self.state.lock().stats.mark_failures += 1;
        }
    }

    /// Ensures that the buffer has space for a record of `bytes`.
    fn with_room(&self, bytes: usize, on_full_disk: OnFullDisk) -> Result<MutexGuard<'_, State>> {
        loop {
            let mut state = self.state.lock();
            state.refuse_poisoned()?;
            if state.disk_full && on_full_disk == OnFullDisk::Refuse {
                state = self.resume(state)?;
            }
            if state.buffer.bytes() == 0 || state.buffer.bytes() + bytes <= self.options.buffer_bytes {
                return Ok(state);
            }
            let last = state.buffer.last_seq();
            drop(state);
            self.drive(false, |state| Ok(state.written >= state.still(last)))?;
        }
    }

    /// Becomes the leader or waits for the current one, until `is_done`.
    fn drive(&self, sync: bool, is_done: impl Fn(&State) -> Result<bool>) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if is_done(&state)? {
                return Ok(());
            }
            state.refuse_poisoned()?;
            if state.is_led {
                self.done.wait(&mut state);
                continue;
            }
            // A child would write over its parent's records.
            self.process.check_thoroughly()?;
            let result;
            (state, result) = self.turn(state, sync);
            // It may have failed after the record that this call waits for.
            if let Err(error) = result {
                return if matches!(is_done(&state), Ok(true)) { Ok(()) } else { Err(error) };
            }
        }
    }

    /// The work of one leader: writes all unwritten data.
    fn turn<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        sync: bool,
    ) -> (MutexGuard<'a, State>, Result<()>) {
        state.is_led = true;
        if sync {
            let mark = state.durable;
            state.buffer.commit(mark);
        }
        let reach = state.buffer.position();
        let mut batches = state.buffer.take();
        let mut progress = Progress::default();
        let result =
            MutexGuard::unlocked(&mut state, || self.writer.lock().run(&mut batches, sync, &mut progress));
        state.buffer.put_back(batches);
        let has_written = progress.written.or(progress.durable).is_some();
        match &result {
            Err(error) => state.failing = Some(error.to_string()),
            Ok(()) if has_written => state.failing = None,
            Ok(()) => {}
        }
        let sealed = progress.sealed.last().copied();
        state.absorb(progress);
        if let Some(sealed) = sealed.filter(|sealed| sealed.number >= state.safe.place().0) {
            state.safe = state.buffer.start_of(sealed.number + 1, sealed.last_seq + 1);
        }
        let result = match result {
            Ok(()) => {
                if sync || self.options.sync != SyncPolicy::Always {
                    state.safe = reach;
                }
                self.grow_reserve(&mut state);
                Ok(())
            }
            Err(error) => Err(self.take_back(&mut state, error)),
        };
        state.is_led = false;
        self.done.notify_all();
        self.log_space(&mut state, has_written);
        (state, result)
    }

    /// Removes all unacknowledged records after `error`: their waiters get an error, and no replay will find them.
    /// Returns that error. The caller is the leader.
    fn take_back(&self, state: &mut MutexGuard<'_, State>, error: Error) -> Error {
        if let Error::Poisoned(cause) = &error {
            state.poisoned = Some(cause.clone());
        }
        if !state.buffer.is_behind(&state.safe) {
            return error;
        }
        let (place, last) = (state.safe.place(), state.safe.last_seq());
        let is_poisoned = matches!(error, Error::Poisoned(_));
        let cut = MutexGuard::unlocked(state, || self.writer.lock().cut(place, last, !is_poisoned));
        let error = match cut {
            Err(cut) if !is_poisoned => Error::Poisoned(format!("{error}; then {cut}")),
            _ => error,
        };
        let State { buffer, safe, written, poisoned, .. } = &mut **state;
        buffer.go_back(safe);
        *written = last.min(*written);
        if let Error::Poisoned(cause) = &error {
            *poisoned = Some(cause.clone());
        }
        state.removals.push(last, &error);
        error
    }

    /// The first sequence number of the log on the disk, its sealed segments, and the one that is being written.
    fn segments_on_disk(&self) -> (u64, Vec<Segment>) {
        let state = self.idle(self.state.lock());
        let mut segments = state.segments.clone();
        segments.extend(self.writer.lock().current());
        let first = segments.first().map_or(state.durable + 1, |oldest| oldest.first_seq);
        (first, segments)
    }

    /// Waits until there is no leader.
    fn idle<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while state.is_led {
            self.done.wait(&mut state);
        }
        state
    }

    /// Checks whether there is space again.
    fn resume<'a>(&'a self, state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>> {
        let state = self.idle(state);
        state.refuse_poisoned()?;
        let (state, result) = self.turn(state, false);
        result?;
        if state.disk_full {
            return Err(Error::DiskFull { path: self.dir.clone() });
        }
        Ok(state)
    }
}

fn not_given_out(seq: u64, state: &State) -> Error {
    let last = state.buffer.last_seq();
    Error::Invalid(format!("log record {seq} was not appended; the last is {last}"))
}

/// An id for a new log. It only needs to differ from the ids of other logs.
fn random_id() -> u64 {
    RandomState::new().build_hasher().finish()
}
