//! Locks, programs started by the process, and directories: relative, read-only, and deleted.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use barograph::{Database, Error, StorageError};

use crate::Outcome;
use crate::fork::Child;
use crate::process::{Skipped, count, finish, listing, open_files, options, part, part_of, run_part, write};

/// A user without any rights.
const NOBODY: u32 = 65534;

/// Programs started by the process inherit no file of the database, and closing unlocks the directory while they run.
pub fn started_programs_hold_nothing(dir: &Path) -> Outcome {
    let db = Database::open_with(dir, options())?;
    write(&db, 0..10)?;
    db.flush()?;
    write(&db, 10..20)?;
    assert_eq!(count(&db)?, 20);
    let mut program = Command::new("/bin/cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    // Once it answers, it no longer opens and closes its libraries.
    program.stdin.as_mut().ok_or("no pipe")?.write_all(b"x")?;
    program.stdout.as_mut().ok_or("no pipe")?.read_exact(&mut [0])?;
    for entry in std::fs::read_dir(format!("/proc/{}/fd", program.id()))? {
        let target = std::fs::read_link(entry?.path())?;
        assert!(!target.starts_with(dir), "a started program has {}", target.display());
    }
    db.close()?;
    let again = Database::open_with(dir, options())?;
    assert_eq!(count(&again)?, 20);
    program.kill()?;
    program.wait()?;
    Ok(())
}

/// The lock is free after each drop, even while programs are being started.
pub fn reopening_beside_starting_programs(dir: &Path) -> Outcome {
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = Command::new("/bin/true").status();
            }
        });
        let opened = (0..100).try_for_each(|n| {
            let db = Database::open_with(dir, options())?;
            if n % 2 == 0 { db.close() } else { Ok(()) }
        });
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(opened?)
    })
}

/// A forked child that survives does not keep the lock, whether its parent drops the handle or is killed.
pub fn forked_child_keeps_no_lock(dir: &Path) -> Outcome {
    let db = Database::open_with(dir, options())?;
    write(&db, 0..10)?;
    let (reads, writes) = std::io::pipe()?;
    let mut writes = Some(writes);
    let child = Child::run(|| {
        // The child has a copy of this end. The rest waits until the parent has dropped its own.
        drop(writes.take());
        std::io::copy(&mut &reads, &mut std::io::sink())?;
        Ok(())
    })?;
    drop(reads);
    drop(db);
    let again = Database::open_with(dir, options())?;
    assert_eq!(count(&again)?, 10);
    drop(again);
    // The same with a parent that is killed and releases nothing itself.
    let mut parent = part("forks_and_waits", dir)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut said = parent.stdout.take().ok_or("no output")?;
    let mut ready = [0; 6];
    std::io::Read::read_exact(&mut said, &mut ready)?;
    let refused = Database::open_with(dir, options()).map(drop);
    let why = refused.map_err(|e| e.to_string()).err().unwrap_or_default();
    assert!(why.contains(&format!("in use by process {}", parent.id())), "{why}");
    let input = parent.stdin.take();
    parent.kill()?;
    parent.wait()?;
    let again = Database::open_with(dir, options())?;
    assert_eq!(count(&again)?, 10);
    drop((input, writes));
    child.wait()
}

/// Part of another program: its child ends when its input does.
pub fn forks_and_waits(dir: &Path) -> Outcome {
    let db = Database::open_with(dir, options())?;
    let wait = || Ok(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).map(drop)?);
    let _child = Child::run(|| {
        // Run by the child before `exec`: it still has the lock, like its parent.
        std::io::stdout().write_all(b"ready\n")?;
        std::io::stdout().flush()?;
        wait()
    })?;
    let waited = wait();
    drop(db);
    waited
}

/// All files of a database that was opened by a relative path stay in place after `chdir`.
pub fn relative_path_and_chdir(dir: &Path) -> Outcome {
    std::fs::create_dir(dir.join("a"))?;
    std::fs::create_dir(dir.join("b"))?;
    std::env::set_current_dir(dir.join("a"))?;
    let small_segments = options().with_wal_segment_bytes(1 << 20);
    let db = Database::open_with("db", small_segments)?;
    write(&db, 0..10)?;
    std::env::set_current_dir(dir.join("b"))?;
    db.flush()?;
    write(&db, 10..20)?;
    db.snapshot(Path::new("copy"))?;
    db.flush()?;
    db.compact()?;
    db.close()?;
    assert!(dir.join("b/copy").is_dir(), "a snapshot goes where the path leads when it is made");
    let found: Vec<_> = std::fs::read_dir(dir.join("b"))?.collect();
    assert_eq!(found.len(), 1, "nothing else is here: {found:?}");
    assert_eq!(count(&Database::open_with(dir.join("a/db"), options())?)?, 20);
    Ok(())
}

/// A closed database with ten samples in the store and ten in the log.
fn twenty(dir: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let data = dir.join("data");
    let db = Database::open_with(&data, options())?;
    write(&db, 0..10)?;
    db.flush()?;
    write(&db, 10..20)?;
    Ok(data)
}

/// Reads a directory without write permission, next to other readers. No writer can open it meanwhile.
pub fn readers_without_write_permission(dir: &Path) -> Outcome {
    let data = twenty(dir)?;
    let before = listing(&data)?;
    set_modes(&data, 0o555, 0o444)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    let readers = [Database::open_read_only(&data, options())?, Database::open_read_only(&data, options())?];
    // In a place where another user finds it.
    let program = dir.join("program");
    std::fs::copy(std::env::current_exe()?, &program)?;
    let mut command = part_of(&program, "reads_twenty", &data);
    if std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        // Permissions do not restrict root.
        command.uid(NOBODY).gid(NOBODY);
    }
    let done = command.output();
    let refused = Database::open_with(&data, options()).map(drop);
    assert!(matches!(refused, Err(Error::Storage(StorageError::Locked { .. }))), "{refused:?}");
    assert_eq!(count(&readers[1])?, 20);
    drop(readers);
    set_modes(&data, 0o755, 0o644)?;
    finish(done?)?;
    assert_eq!(listing(&data)?, before, "readers change nothing");
    assert_eq!(count(&Database::open_with(&data, options())?)?, 20);
    Ok(())
}

/// Part of another program: reads and verifies next to other readers, and cannot write.
pub fn reads_twenty(dir: &Path) -> Outcome {
    assert!(std::fs::write(dir.join("probe"), "").is_err(), "this user can write");
    let db = Database::open_read_only(dir, options())?;
    assert_eq!(count(&db)?, 20);
    if dir.join("LOCK").exists() {
        let files = open_files(dir)?;
        assert!(files.iter().any(|file| file.ends_with("LOCK")), "it holds no lock: {files:?}");
    }
    let report = Database::verify(dir)?;
    assert!(report.is_clean(), "{:?}", report.problems);
    Ok(())
}

/// The same on a read-only mount.
pub fn read_only_mount(dir: &Path) -> Outcome {
    let data = twenty(dir)?;
    // A copy has no lock file, and none can be created.
    std::fs::remove_file(data.join("LOCK"))?;
    let mount = |args: &[&str]| Command::new("mount").args(args).output();
    let place = data.to_string_lossy().into_owned();
    let bound = mount(&["--bind", &place, &place]);
    if !bound.as_ref().is_ok_and(|bound| bound.status.success()) {
        return Err(Skipped(format!("mounting is not permitted: {bound:?}")).into());
    }
    let read = mount(&["-o", "remount,ro,bind", &place])
        .map_err(Into::into)
        .and_then(finish)
        .and_then(|()| run_part("reads_twenty", &data))
        .map(|()| {
            let refused = Database::open_with(&data, options()).map(drop);
            assert!(matches!(refused, Err(Error::Storage(StorageError::Io { .. }))), "{refused:?}");
        });
    finish(Command::new("umount").arg(&place).output()?)?;
    read?;
    assert!(open_files(dir)?.is_empty());
    Ok(())
}

fn set_modes(path: &Path, directories: u32, files: u32) -> std::io::Result<()> {
    let is_dir = path.is_dir();
    // The mode decides whether its entries can be removed before it or after it.
    let own = || {
        std::fs::set_permissions(
            path,
            std::fs::Permissions::from_mode(if is_dir { directories } else { files }),
        )
    };
    if !is_dir {
        return own();
    }
    if directories & 0o200 != 0 {
        own()?;
    }
    for entry in std::fs::read_dir(path)? {
        set_modes(&entry?.path(), directories, files)?;
    }
    own()
}

/// A directory that is deleted while it is open: no later write is acknowledged.
pub fn directory_deleted_while_open(dir: &Path) -> Outcome {
    let data = dir.join("data");
    let db = Database::open_with(&data, options())?;
    write(&db, 0..10)?;
    std::fs::remove_dir_all(&data)?;
    let refused = write(&db, 10..11);
    assert!(
        matches!(&refused, Err(Error::Storage(StorageError::Poisoned(why))) if why.contains("deleted or moved")),
        "{refused:?}"
    );
    assert!(matches!(write(&db, 11..12), Err(Error::Storage(StorageError::Poisoned(_)))));
    assert!(db.health().refuses_writes.is_some());
    assert!(db.close().is_err(), "closing says that something is wrong");
    Ok(())
}
