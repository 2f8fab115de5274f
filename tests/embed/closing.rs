//! Closing while handles remain.

use std::path::Path;

use barograph::budget::Work;
use barograph::{Database, Error, ErrorKind, Matcher, StorageError, TimeRange};

use crate::Outcome;
use crate::process::{count, open_files, options, threads, write};

/// A clone, a reader that has read and the handle itself stay in scope; no file of the directory stays open.
pub fn close_lets_everything_go(dir: &Path) -> Outcome {
    let db = Database::open_with(dir, options())?;
    write(&db, 0..50)?;
    db.flush()?;
    write(&db, 50..100)?;
    let clone = db.clone();
    let work = Work::unbounded();
    let reader = db.reader(&work);
    let all = [vec![Matcher::equal("__name__", "load")]];
    let mut samples = 0;
    reader.export(&all, TimeRange::ALL, |series| {
        samples += series.timestamps.len();
        true
    })?;
    assert_eq!(samples, 100);
    assert!(open_files(dir)?.iter().any(|file| file.ends_with("LOCK")), "{:?}", open_files(dir)?);
    db.close()?;
    assert_eq!(open_files(dir)?, [""; 0], "files that stay open");
    let own =
        threads()?.into_iter().filter(|name| ["flush", "compact", "scrub", "wal-sync"].contains(&&**name));
    assert_eq!(own.collect::<Vec<_>>(), [""; 0], "threads that still run");

    let again = Database::open_with(dir, options())?;
    write(&again, 100..101)?;
    assert_eq!(count(&again)?, 101);
    // The other handles have no effect on it.
    assert!(matches!(write(&clone, 0..1), Err(Error::Storage(StorageError::Closed))));
    assert!(matches!(clone.flush(), Err(Error::Storage(StorageError::Closed))));
    assert!(matches!(clone.label_names(&[], TimeRange::ALL), Err(Error::Storage(StorageError::Closed))));
    assert!(matches!(reader.series(&all, TimeRange::ALL, 10), Err(Error::Storage(StorageError::Closed))));
    assert!(matches!(reader.exemplars(&all, TimeRange::ALL), Err(Error::Storage(StorageError::Closed))));
    assert!(matches!(reader.metadata(None, 10), Err(Error::Storage(StorageError::Closed))));
    let refused = clone.query("load", barograph::Timestamp::now()).map(drop);
    assert!(refused.as_ref().is_err_and(|error| error.kind() == ErrorKind::Closed), "{refused:?}");
    clone.close()?;
    assert_eq!(count(&again)?, 101);
    Ok(())
}

/// Closing in the closure of an export reports that the export still reads; when it ends, the directory is free.
pub fn close_inside_a_read(dir: &Path) -> Outcome {
    let db = Database::open_with(dir, options())?;
    write(&db, 0..10)?;
    let mut closed = None;
    let clone = db.clone();
    db.export(&[Matcher::equal("__name__", "load")], TimeRange::ALL, |_| {
        closed = Some(clone.close());
        true
    })?;
    assert!(matches!(closed, Some(Err(Error::Storage(StorageError::StillInUse { calls: 1 })))), "{closed:?}");
    assert_eq!(open_files(dir)?, [""; 0]);
    assert_eq!(count(&Database::open_with(dir, options())?)?, 10);
    Ok(())
}
