//! A simulated disk: a seed decides which parts of a log survive a power loss.
//!
//! Files are real, in a file system in memory, and contain what a process would see, which is the page cache. In
//! addition, the disk tracks what a sync has made durable and every change since. A power loss replaces the files by a
//! state that a file system may leave: each page has a prefix of its changes; a file has any length between the durable
//! and the last one, with zeros where nothing arrived; and of the changes of names, a prefix has happened. A failed
//! sync decides for good whether each change is on the disk: like the kernel's, the next sync does not try again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{RealFs, WalFile, WalFs};
use crate::sync::turns::{self, Dice};

/// The unit in which data reaches the disk.
const PAGE_BYTES: usize = 512;

/// The failure of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An I/O error of any call, once.
    Error,
    /// An I/O error of this call and all later ones.
    ErrorForever,
    /// An I/O error of a sync, once.
    SyncError,
    /// There is space for this many bytes, then none.
    Full(u64),
    /// A signal interrupts a write.
    Interrupted,
}

/// The disk of one simulation.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    dice: Dice,
    /// The files as processes see them, and as they are on the disk.
    names: BTreeMap<PathBuf, usize>,
    stored_names: BTreeMap<PathBuf, usize>,
    renames: Vec<Naming>,
    files: Vec<Content>,
    fault: Option<(Fault, u64)>,
    room: Option<u64>,
    reserved: u64,
    is_off: bool,
    /// The number of calls until the power fails.
    off_after: Option<u64>,
    faults_met: u64,
    trace: u64,
}

/// A change of names.
#[derive(Debug, Clone)]
enum Naming {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Debug, Default)]
struct Content {
    stored: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// The kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Write,
    Sync,
    Other,
}

impl Disk {
    pub fn new(dice: Dice) -> Self {
        let inner = Inner {
            dice,
            names: BTreeMap::new(),
            stored_names: BTreeMap::new(),
            renames: Vec::new(),
            files: Vec::new(),
            fault: None,
            room: None,
            reserved: 0,
            is_off: false,
            off_after: None,
            faults_met: 0,
            trace: 0,
        };
        Disk { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Makes the log that this thread opens next use this disk.
    pub fn take_next_log(&self) {
        super::set_next(Arc::new(self.clone()));
    }

    /// The call with this number, counted from now on, has the fault `fault`.
    pub fn fail(&self, fault: Fault, after: u64) {
        self.inner.lock().fault = Some((fault, after));
    }

    /// Removes the fault.
    pub fn mend(&self) {
        let mut inner = self.inner.lock();
        (inner.fault, inner.room) = (None, None);
    }

    /// The number of calls that failed so far.
    pub fn faults_met(&self) -> u64 {
        self.inner.lock().faults_met
    }

    /// From now on, no call changes anything.
    pub fn switch_off(&self) {
        self.inner.lock().is_off = true;
    }

    /// Same as [`Disk::switch_off`], after some calls.
    pub fn switch_off_after(&self, calls: u64) {
        self.inner.lock().off_after = Some(calls);
    }

    pub fn is_off(&self) -> bool {
        self.inner.lock().is_off
    }

    /// A hash of all calls.
    pub fn trace(&self) -> u64 {
        self.inner.lock().trace
    }

    /// Simulates the end of a process: what it wrote is with the operating system.
    pub fn restart(&self) {
        let mut inner = self.inner.lock();
        (inner.is_off, inner.off_after) = (false, None);
    }

    /// Simulates a power loss: replaces the files by those on the disk.
    pub fn lose_power(&self) {
        let mut inner = self.inner.lock();
        // The directory of an unfinished snapshot is removed without this disk.
        let is_there = |path: &PathBuf| path.parent().is_some_and(Path::exists);
        for path in inner.names.keys().filter(|path| is_there(path)) {
            fs::remove_file(path).expect("a file of the log");
        }
        let kept = inner.kept_namings();
        for naming in std::mem::take(&mut inner.renames).into_iter().take(kept) {
            apply(&mut inner.stored_names, naming);
        }
        inner.stored_names.retain(|path, _| is_there(path));
        inner.names = inner.stored_names.clone();
        let Inner { dice, files, names, .. } = &mut *inner;
        for (path, number) in names.iter() {
            let content = &mut files[*number];
            content.settle(dice);
            fs::write(path, &content.stored).expect("there is room in memory");
        }
        drop(inner);
        self.restart();
    }

    /// Forgets the files in a directory that is about to be removed.
    pub fn forget(&self, dir: &Path) {
        let mut inner = self.inner.lock();
        let Inner { names, stored_names, renames, .. } = &mut *inner;
        names.retain(|path, _| !path.starts_with(dir));
        stored_names.retain(|path, _| !path.starts_with(dir));
        renames.retain(|naming| !naming.path().starts_with(dir));
    }

    /// Enters a call: passes the turn to other threads, and fails if a fault is due. Returns how many of `bytes` fit.
    fn enter(&self, call: Call, bytes: usize) -> io::Result<usize> {
        turns::point();
        let mut inner = self.inner.lock();
        inner.enter(call, bytes)
    }

    fn change(&self, change: impl FnOnce(&mut Inner) -> io::Result<()>) -> io::Result<()> {
        change(&mut self.inner.lock())?;
        turns::point();
        Ok(())
    }
}

fn broken() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl Inner {
    fn enter(&mut self, call: Call, bytes: usize) -> io::Result<usize> {
        if let Some(calls) = &mut self.off_after {
            *calls = calls.saturating_sub(1);
            self.is_off |= *calls == 0;
        }
        // After a crash, dropping values has no effect.
        if self.is_off || std::thread::panicking() {
            return Err(broken());
        }
        self.trace = (self.trace ^ (call as u64) ^ ((bytes as u64) << 2)).wrapping_mul(0x0100_0000_01b3);
        match self.meet(call) {
            Some(Fault::Full(room)) => self.room = Some(room),
            Some(Fault::Interrupted) => return Err(io::ErrorKind::Interrupted.into()),
            Some(_) => return Err(broken()),
            None => {}
        }
        match self.room {
            Some(0) if call == Call::Write => {
                self.faults_met += 1;
                Err(io::ErrorKind::StorageFull.into())
            }
            Some(room) if call == Call::Write => {
                let fits = bytes.min(usize::try_from(room).unwrap_or(usize::MAX));
                self.room = Some(room - fits as u64);
                Ok(fits)
            }
            _ => Ok(bytes),
        }
    }

    /// The fault of this call.
    fn meet(&mut self, call: Call) -> Option<Fault> {
        let (fault, after) = self.fault.as_mut()?;
        let counts = match fault {
            Fault::SyncError => call == Call::Sync,
            Fault::Full(_) | Fault::Interrupted => call == Call::Write,
            Fault::Error | Fault::ErrorForever => true,
        };
        if !counts {
            return None;
        }
        if *after > 0 {
            *after -= 1;
            return None;
        }
        let met = *fault;
        if met != Fault::ErrorForever {
            self.fault = None;
        }
        self.faults_met += 1;
        Some(met)
    }

    /// The number of changes of names that reach the disk.
    fn kept_namings(&mut self) -> usize {
        let all = self.renames.len();
        match self.dice.below(4) {
            0 => 0,
            1 => all,
            _ => self.dice.below(all as u64 + 1) as usize,
        }
    }

    fn name(&mut self, naming: Naming) {
        apply(&mut self.names, naming.clone());
        self.renames.push(naming);
    }

    /// A sync of a directory: names become durable. One journal contains all of them, in order.
    fn sync_names(&mut self) {
        for naming in std::mem::take(&mut self.renames) {
            apply(&mut self.stored_names, naming);
        }
    }
}

impl Naming {
    fn path(&self) -> &Path {
        let (Naming::Create(path, _) | Naming::Rename(path, _) | Naming::Remove(path)) = self;
        path
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, naming: Naming) {
    match naming {
        Naming::Create(path, number) => drop(names.insert(path, number)),
        Naming::Rename(from, to) => {
            if let Some(number) = names.remove(&from) {
                names.insert(to, number);
            }
        }
        Naming::Remove(path) => drop(names.remove(&path)),
    }
}

impl Content {
    /// A sync of a file.
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write(at, bytes) => write(&mut self.stored, at, &bytes),
                Change::Length(length) => self.stored.resize(length, 0),
            }
        }
    }

    /// Decides what a power loss or a failed sync leaves on the disk.
    fn settle(&mut self, dice: &mut Dice) {
        let pending = std::mem::take(&mut self.pending);
        let chance = match dice.below(4) {
            0 => return,
            1 => Chance::All,
            _ => Chance::Some,
        };
        // A page reaches the disk with all of its changes up to some moment.
        let mut lost = BTreeSet::new();
        for change in pending {
            match change {
                Change::Write(at, bytes) => self.settle_write(at, &bytes, chance, &mut lost, dice),
                Change::Length(length) if chance.is_met(dice) => self.stored.resize(length, 0),
                Change::Length(_) => return,
            }
        }
    }

    /// Each page of a write arrives or not.
    fn settle_write(
        &mut self,
        at: usize,
        bytes: &[u8],
        chance: Chance,
        lost: &mut BTreeSet<usize>,
        dice: &mut Dice,
    ) {
        let mut from = 0;
        while from < bytes.len() {
            let page = (at + from) / PAGE_BYTES;
            let to = bytes.len().min((page + 1) * PAGE_BYTES - at);
            if !lost.contains(&page) && chance.is_met(dice) {
                write(&mut self.stored, at + from, &bytes[from..to]);
            } else {
                lost.insert(page);
                if dice.once_in(2) && self.stored.len() < at + to {
                    // The length arrives without the content.
                    self.stored.resize(at + to, 0);
                }
            }
            from = to;
        }
    }
}

/// How much arrives of changes that no sync has covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chance {
    All,
    Some,
}

impl Chance {
    fn is_met(self, dice: &mut Dice) -> bool {
        self == Chance::All || dice.once_in(2)
    }
}

fn write(stored: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if stored.len() < at + bytes.len() {
        stored.resize(at + bytes.len(), 0);
    }
    stored[at..at + bytes.len()].copy_from_slice(bytes);
}

#[derive(Debug)]
struct DiskFile {
    disk: Disk,
    number: usize,
    file: Box<dyn WalFile>,
}

impl WalFile for DiskFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let fits = self.disk.enter(Call::Write, bytes.len())?;
        self.disk.change(|inner| {
            self.file.write_at(&bytes[..fits], offset)?;
            let change = Change::Write(offset as usize, bytes[..fits].to_vec());
            inner.files[self.number].pending.push(change);
            Ok(())
        })?;
        Ok(fits)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.enter(Call::Other, 0)?;
        self.disk.change(|inner| {
            self.file.set_len(length)?;
            inner.files[self.number].pending.push(Change::Length(length as usize));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let entered = self.disk.enter(Call::Sync, 0);
        self.disk.change(|inner| {
            let Inner { dice, files, is_off, .. } = inner;
            match entered {
                Ok(_) => files[self.number].sync(),
                Err(_) if !*is_off => files[self.number].settle(dice),
                Err(_) => {}
            }
            entered.map(drop)
        })
    }

    fn is_at(&self, path: &Path) -> bool {
        self.file.is_at(path)
    }
}

impl Disk {
    fn file(&self, number: usize, file: Box<dyn WalFile>) -> Box<dyn WalFile> {
        Box::new(DiskFile { disk: self.clone(), number, file })
    }
}

impl WalFs for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WalFile>> {
        self.enter(Call::Write, 0)?;
        let (mut created, mut number) = (None, 0);
        self.change(|inner| {
            created = Some(RealFs.create(path)?);
            number = inner.files.len();
            inner.files.push(Content::default());
            inner.name(Naming::Create(path.to_owned(), number));
            Ok(())
        })?;
        created.map(|file| self.file(number, file)).ok_or_else(broken)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn WalFile>> {
        self.enter(Call::Other, 0)?;
        let number = self.inner.lock().names.get(path).copied();
        let number = number.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(self.file(number, RealFs.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter(Call::Other, 0)?;
        self.change(|inner| {
            RealFs.rename(from, to)?;
            inner.name(Naming::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.enter(Call::Other, 0)?;
        self.change(|inner| {
            RealFs.remove(path)?;
            if path.ends_with("reserve") {
                inner.room = inner.room.map(|room| room + inner.reserved);
            }
            inner.name(Naming::Remove(path.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.enter(Call::Sync, 0)?;
        self.change(|inner| {
            inner.sync_names();
            Ok(())
        })
    }

    fn reserve(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.enter(Call::Other, 0)?;
        self.change(|inner| {
            if inner.room.is_some() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            RealFs.reserve(path, bytes)?;
            let number = inner.files.len();
            inner.files.push(Content { stored: vec![0; bytes as usize], pending: Vec::new() });
            inner.reserved = bytes;
            inner.name(Naming::Create(path.to_owned(), number));
            Ok(())
        })
    }
}
