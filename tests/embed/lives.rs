//! Programs that run for a moment, one after the other.

use std::path::Path;
use std::time::{Duration, Instant};

use barograph::{Database, Options, Stats};

use crate::Outcome;
use crate::process::{count, listing, open_files, options, threads, write};

/// Enough runs for several merges.
const LIVES: i64 = 150;

/// Opens, writes one sample and ends, many times. Returns the maximum counts of what could accumulate.
fn live(
    dir: &Path,
    first: i64,
    end: fn(Database) -> barograph::Result<()>,
) -> Result<(Stats, usize), Box<dyn std::error::Error>> {
    let (mut most, mut files) = (Stats::default(), 0);
    for n in first..first + LIVES {
        let db = Database::open_with(dir, options())?;
        write(&db, n..n + 1)?;
        let stats = db.stats();
        most.generations = most.generations.max(stats.generations);
        most.wal_segments = most.wal_segments.max(stats.wal_segments);
        end(db)?;
        files = files.max(listing(dir)?.len());
    }
    Ok((most, files))
}

/// Generations, segments and files do not accumulate over many runs, whether the runs close the database or not.
pub fn short_lives(dir: &Path) -> Outcome {
    let (closed, files) = live(dir, 0, |db| db.close())?;
    assert!(closed.generations <= 13, "{} generations", closed.generations);
    assert!(closed.wal_segments <= 2, "{} segments", closed.wal_segments);
    assert!(files <= 100, "{files} files");
    let (dropped, files) = live(dir, LIVES, |db| {
        drop(db);
        Ok(())
    })?;
    assert!(dropped.generations <= 26, "{} generations", dropped.generations);
    assert!(dropped.wal_segments <= 10, "{} segments", dropped.wal_segments);
    assert!(files <= 140, "{files} files");
    let db = Database::open_with(dir, options())?;
    assert_eq!(count(&db)?, 2 * LIVES as u64);
    assert!(db.verify_open()?.is_clean());
    Ok(())
}

/// Prints what a database costs after 100, 1,000 and 10,000 runs. The numbers of its parts must not grow.
pub fn ten_thousand_lives(dir: &Path) -> Outcome {
    println!("| lives | generations | log segments | files | kB without tables | open, ms | close, ms |");
    println!("|---|---|---|---|---|---|---|");
    let (mut opens, mut closes) = (Vec::new(), Vec::new());
    let median = |times: &mut Vec<Duration>| {
        let last = times.split_off(times.len().saturating_sub(50));
        *times = last.clone();
        let mut sorted = last;
        sorted.sort();
        sorted[sorted.len() / 2].as_secs_f64() * 1e3
    };
    for life in 1..=10_000 {
        let began = Instant::now();
        let db = Database::open_with(dir, Options::small())?;
        opens.push(began.elapsed());
        write(&db, life..life + 1)?;
        let stats = db.stats();
        let began = Instant::now();
        db.close()?;
        closes.push(began.elapsed());
        if [100, 1_000, 10_000].contains(&life) {
            let files = listing(dir)?.len();
            let (open, close) = (median(&mut opens), median(&mut closes));
            let other = (stats.disk.total() - stats.disk.tables) / 1_000;
            let (generations, segments) = (stats.generations, stats.wal_segments);
            println!("| {life} | {generations} | {segments} | {files} | {other} | {open:.1} | {close:.1} |");
            assert!(generations <= 13 && segments <= 2 && files <= 100, "after {life} lives");
        }
    }
    let db = Database::open_with(dir, Options::small())?;
    assert_eq!(count(&db)?, 10_000);
    assert!(db.verify_open()?.is_clean());
    Ok(())
}

/// Many databases in one process: the resources that each holds, and that all of them are released.
pub fn many_databases(dir: &Path) -> Outcome {
    const DATABASES: i64 = 40;
    let open = |n: i64| Database::open_with(dir.join(n.to_string()), options());
    let databases = (0..DATABASES).map(open).collect::<Result<Vec<_>, _>>()?;
    for (n, db) in (0..).zip(&databases) {
        write(db, n..n + 1)?;
    }
    let files = open_files(dir)?.len();
    assert!(files <= 16 * databases.len(), "{files} files are open");
    let own = threads()?.into_iter().filter(|name| name == "flush" || name == "compact").count();
    // All databases share them; while several have work, there are a few more.
    assert!((2..=16).contains(&own), "{own} threads");
    for db in &databases {
        assert_eq!(count(db)?, 1);
        db.close()?;
    }
    assert_eq!(open_files(dir)?, [""; 0]);
    Ok(())
}
