//! Processes that fork while a database is open.

use std::io::{Read as _, Write as _};
use std::path::Path;

use barograph::budget::Work;
use barograph::{Batch, Database, Error, ErrorKind, Labels, Matcher, StorageError, TimeRange};

use crate::Outcome;
use crate::fork::Child;
use crate::process::{count, options, part, run_part, write};

/// Every call of a child, reads and writes alike.
fn refused_by_all(db: &Database) -> Outcome {
    let is_forked = |error: &Error| matches!(error, Error::Storage(StorageError::Forked { opened_by, process }) if opened_by != process);
    let labels = Labels::from_pairs([("__name__", "load")]).expect("names differ");
    let matchers = [Matcher::equal("__name__", "load")];
    let work = Work::unbounded();
    let reader = db.reader(&work);
    let mut answers = vec![
        ("write_lines", write(db, 0..1)),
        ("append", db.append(&Batch::new()).map(drop)),
        ("handle", db.handle(&labels).map(drop)),
        ("delete", db.delete(&matchers, TimeRange::ALL)),
        ("flush", db.flush().map(drop)),
        ("compact", db.compact()),
        ("clean", db.clean().map(drop)),
        ("verify_open", db.verify_open().map(drop)),
        ("create_database", db.create_database("a").map(drop)),
        ("series", reader.series(&[matchers.to_vec()], TimeRange::ALL, 9).map(drop)),
        ("export", reader.export(&[matchers.to_vec()], TimeRange::ALL, |_| true)),
        ("metadata", reader.metadata(None, 9).map(drop)),
        ("close", db.close()),
    ];
    drop(reader);
    let _ = (db.stats(), db.health(), db.memory(), db.tenants(9));
    answers.push(("drop", Err(Error::Storage(StorageError::Forked { opened_by: 0, process: 1 }))));
    for (call, answer) in answers {
        match answer {
            Err(error) if is_forked(&error) => {}
            other => return Err(format!("{call}: {other:?}").into()),
        }
    }
    match db.query("load", barograph::Timestamp::now()).map(drop) {
        Err(error) if error.kind() == ErrorKind::Forked && error.to_string().contains("forked") => Ok(()),
        other => Err(format!("query: {other:?}").into()),
    }
}

/// The calls of the child are refused and change nothing. The parent continues, is killed, and loses nothing.
pub fn forked_child_is_refused(dir: &Path) -> Outcome {
    let killed = part("forks_and_is_killed", dir)?.output()?;
    let said = String::from_utf8_lossy(&killed.stderr);
    assert!(
        said.contains("the parent continues") && killed.status.code().is_none(),
        "{} {said}",
        killed.status
    );
    let db = Database::open_with(dir, options())?;
    assert_eq!(count(&db)?, 10);
    assert!(db.verify_open()?.is_clean());
    Ok(())
}

/// Part of another program: it ends by an abort.
pub fn forks_and_is_killed(dir: &Path) -> Outcome {
    let db = Database::open_with(dir, options())?;
    write(&db, 0..5)?;
    let work = Work::unbounded();
    let reader = db.reader(&work);
    let mut db = Some(db.clone());
    Child::run(|| {
        let db = db.take().expect("the child's");
        refused_by_all(&db)?;
        // Opening is refused as well, because the threads of the store do not exist in the child.
        let again = Database::open_with(dir.join("other"), options()).map(drop);
        assert!(matches!(again, Err(Error::Storage(StorageError::Forked { .. }))), "{again:?}");
        assert!(!dir.join("other").exists());
        drop((reader.clone(), db));
        Ok(())
    })?
    .wait()?;
    let db = db.expect("the parent's");
    write(&db, 5..10)?;
    eprintln!("the parent continues");
    std::process::abort();
}

/// A child that drops the last handle: its threads do not exist, so it can neither wait for them nor flush.
pub fn forked_child_drops_the_last_handle(dir: &Path) -> Outcome {
    let db = Database::open_with(dir, options())?;
    write(&db, 0..5)?;
    let subscription = db.subscribe(&[])?;
    let mut db = Some(db);
    Child::run(|| {
        let received = subscription.recv_timeout(std::time::Duration::from_secs(600));
        assert_eq!(received, Err(std::sync::mpsc::RecvTimeoutError::Disconnected), "it would wait for ever");
        drop((db.take(), subscription));
        Ok(())
    })?
    .wait()?;
    continues(db.as_ref().expect("the parent's"), dir)
}

/// A child created without libc: writing, closing and dropping compare the process id.
pub fn child_past_libc_is_refused(dir: &Path) -> Outcome {
    let db = Database::open_with(dir, options())?;
    write(&db, 0..5)?;
    let mut db = Some(db);
    Child::run_past_libc(|| {
        let db = db.take().ok_or("the child's")?;
        for refused in [write(&db, 5..6), db.close()] {
            assert!(matches!(refused, Err(Error::Storage(StorageError::Forked { .. }))), "{refused:?}");
        }
        drop(db);
        Ok(())
    })?
    .wait()?;
    continues(db.as_ref().expect("the parent's"), dir)
}

/// The parent continues as if there had been no child.
fn continues(db: &Database, dir: &Path) -> Outcome {
    write(db, 5..10)?;
    db.close()?;
    let again = Database::open_with(dir, options())?;
    assert_eq!(count(&again)?, 10);
    assert!(again.verify_open()?.is_clean());
    Ok(())
}

/// Like `daemon(3)`: the parent exits, the child continues. The child cannot use the handle, and opens the database
/// again by starting a program.
pub fn daemon_after_opening(dir: &Path) -> Outcome {
    let (mut reads, writes) = std::io::pipe()?;
    let mut parent = part("becomes_a_daemon", dir)?.stdout(writes).spawn()?;
    // The other end of the pipe belongs to the daemon, which outlives its parent.
    let mut said = String::new();
    reads.read_to_string(&mut said)?;
    parent.wait()?;
    assert_eq!(said, "refused, then opened by a program with 10 samples\n");
    Ok(())
}

/// Part of another program: its child writes to the output after the parent has ended.
pub fn becomes_a_daemon(dir: &Path) -> Outcome {
    let db = Database::open_with(dir, options())?;
    write(&db, 0..10)?;
    let parent = std::process::id();
    Child::run(|| {
        while std::os::unix::process::parent_id() == parent {
            std::thread::yield_now();
        }
        refused_by_all(&db)?;
        run_part("counts_ten", dir)?;
        writeln!(std::io::stdout(), "refused, then opened by a program with 10 samples")?;
        Ok(())
    })?;
    // Without a close, like a parent that does not know about it.
    std::process::exit(0);
}

/// Part of another program.
pub fn counts_ten(dir: &Path) -> Outcome {
    assert_eq!(count(&Database::open_with(dir, options())?)?, 10);
    Ok(())
}

/// Forking first and opening in the child works.
pub fn fork_before_opening(dir: &Path) -> Outcome {
    Child::run(|| {
        let db = Database::open_with(dir, options())?;
        write(&db, 0..10)?;
        Ok(db.close()?)
    })?
    .wait()?;
    assert_eq!(count(&Database::open_with(dir, options())?)?, 10);
    Ok(())
}
