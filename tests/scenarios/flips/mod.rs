//! Damages the files of a database: whatever opens it must fail, report what is left out, or answer correctly.
//!
//! `BAROGRAPH_FLIP_STRIDE`, `BAROGRAPH_TABLE_STRIDE` and `BAROGRAPH_TRUNCATE_STRIDE` are the distances between the
//! bytes that are flipped in the small database, between those that are flipped in the one with large tables, and
//! between the lengths at which files are truncated. 1 covers every byte.

mod answers;
mod base;
mod examine;
mod faults;
mod rewritten;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use base::Base;
use examine::Outcome;
use faults::Fault;

/// An examination that takes longer counts as a hang.
const HANGS: Duration = Duration::from_secs(300);
/// The number of faults that are printed in full.
const SHOWN_MAX: usize = 30;

fn stride(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Examines every fault, on two threads, and prints one line of counts.
fn run(title: &str, base: &Base, faults: &[Fault]) -> BTreeMap<Outcome, u64> {
    let (next, counts, silent) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    let (done, ended) = mpsc::channel::<()>();
    let running: [Mutex<Option<(Instant, String)>>; 2] = Default::default();
    std::thread::scope(|scope| {
        for now in &running {
            let done = done.clone();
            let (next, counts, silent) = (&next, &counts, &silent);
            scope.spawn(move || {
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    *now.lock().expect("no panic") = Some((Instant::now(), fault.to_string()));
                    let dir = base::directory();
                    base::copy(base.dir.path(), dir.path());
                    fault.apply(dir.path(), &base.earlier);
                    let examined =
                        std::panic::catch_unwind(AssertUnwindSafe(|| examine::examine(dir.path(), base)));
                    match examined.unwrap_or_else(|_| Err("a panic".to_owned())) {
                        Ok(outcome) => *counts.lock().expect("no panic").entry(outcome).or_default() += 1,
                        Err(why) => silent.lock().expect("no panic").push(format!("{fault}: {why}")),
                    }
                    *now.lock().expect("no panic") = None;
                }
                drop(done);
            });
        }
        drop(done);
        while let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_secs(1)) {
            for now in &running {
                if let Some((since, what)) = &*now.lock().expect("no panic")
                    && since.elapsed() > HANGS
                {
                    eprintln!("{title}: 1 hangs: {what}");
                    std::process::abort();
                }
            }
        }
    });
    let (counts, silent) = (counts.into_inner().expect("no panic"), silent.into_inner().expect("no panic"));
    let count = |outcome| counts.get(&outcome).copied().unwrap_or(0);
    println!(
        "{title}: {} faults: {} refused, {} left out with a report, {} with errors in answers, {} right and noticed, {} \
         right; {} silent, 0 hangs, 0 crashes",
        faults.len(),
        count(Outcome::Refused),
        count(Outcome::LeftOut),
        count(Outcome::Errors),
        count(Outcome::Noticed),
        count(Outcome::Right),
        silent.len(),
    );
    let shown: Vec<&str> = silent.iter().take(SHOWN_MAX).map(String::as_str).collect();
    assert!(silent.is_empty(), "{} of {} faults:\n{}", silent.len(), faults.len(), shown.join("\n"));
    counts
}

#[test]
fn no_flipped_bit_of_any_file_changes_an_answer_in_silence() {
    let base = base::small();
    let faults = faults::flips(base.dir.path(), stride("BAROGRAPH_FLIP_STRIDE", 149));
    run("flips", &base, &faults);
}

#[test]
fn no_flipped_bit_of_a_large_table_changes_an_answer_in_silence() {
    let base = base::large();
    let faults = faults::flips(base.dir.path(), stride("BAROGRAPH_TABLE_STRIDE", 2_999));
    let counts = run("flips in large tables", &base, &faults);
    let refused = counts.get(&Outcome::Refused).copied().unwrap_or(0);
    assert!(counts.contains_key(&Outcome::LeftOut), "{counts:?}");
    assert!(refused * 4 < counts.values().sum(), "one block bars the whole database: {counts:?}");
}

#[test]
fn no_file_that_is_short_missing_stale_or_another_changes_an_answer_in_silence() {
    let base = base::small();
    let mut faults = faults::mix_ups(base.dir.path(), &base.earlier);
    faults.extend(faults::truncations(base.dir.path(), stride("BAROGRAPH_TRUNCATE_STRIDE", 149)));
    run("files", &base, &faults);
}
