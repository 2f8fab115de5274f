//! Whatever call fails, what was acknowledged is there after the next open.

use super::*;
use crate::wal::fs::faulty::Fault;

/// Opens, writes, rotates, cuts, copies; returns what was acknowledged and what was cut. Errors end single steps only, as they
/// would single requests.
fn workload(fs: &FaultyFs, dir: &Path, acked: &mut Vec<Owned>) -> u64 {
    let options = WalOptions { segment_bytes: 1 << 10, reserve_bytes: 8 << 10, ..WalOptions::default() };
    let mut flushed = 0;
    for round in 0..3_u8 {
        let Ok((wal, _, _)) = open_on(Arc::new(fs.clone()), dir, options.clone(), Recovery::Refuse, flushed)
        else {
            continue;
        };
        for at in 0..8_u8 {
            let payload = vec![at + 16 * round; 150];
            if let Ok(seq) = wal.append(round, &[&payload])
                && wal.sync_to(seq).is_ok()
            {
                acked.push((seq, round, payload));
            }
            if at == 5
                && let Ok(cut) = wal.rotate()
                && round == 1
                && wal.sync_to(cut).is_ok()
            {
                flushed = cut;
                let _ = wal.truncate_to(cut);
            }
        }
        if round != 0 {
            let _ = wal.close();
        }
    }
    flushed
}

fn run_all(fault: Fault) {
    let mut calls = u64::MAX;
    let mut at = 0;
    while at < calls {
        let dir = tempfile::tempdir().unwrap();
        let fs = FaultyFs::new(fault, at);
        let mut acked = Vec::new();
        let flushed = workload(&fs, dir.path(), &mut acked);
        if at == 0 {
            let counting = FaultyFs::sound();
            let other = tempfile::tempdir().unwrap();
            workload(&counting, other.path(), &mut Vec::new());
            calls = counting.calls();
            assert!(calls > 50, "{calls}");
        }
        let (wal, records, _) = try_open(dir.path(), Recovery::Refuse, flushed)
            .unwrap_or_else(|error| panic!("{fault:?} at call {at}: {error}"));
        for record in acked.iter().filter(|record| record.0 > flushed) {
            assert!(records.contains(record), "{fault:?} at call {at}: lost {}", record.0);
        }
        assert!(records.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "{fault:?} at call {at}");
        assert!(put(&wal, 9, b"after") > acked.last().map_or(0, |record| record.0));
        at += 1;
    }
}

#[test]
fn an_error_once_at_every_call() {
    run_all(Fault::Error);
}

#[test]
fn an_error_for_ever_from_every_call_on() {
    run_all(Fault::ErrorForever);
}

#[test]
fn a_full_disk_from_every_call_on() {
    run_all(Fault::DiskFull);
}

#[test]
fn half_a_write_at_every_call() {
    run_all(Fault::ShortWrite);
}

#[test]
fn a_signal_at_every_call() {
    run_all(Fault::Interrupted);
}

#[test]
fn a_failed_sync_at_every_sync() {
    run_all(Fault::SyncError);
}

#[test]
fn a_failed_sync_poisons_until_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let sound = FaultyFs::sound();
    let (wal, _, _) =
        open_on(Arc::new(sound.clone()), dir.path(), options(1 << 20), Recovery::Refuse, 0).unwrap();
    put(&wal, 1, b"acked");
    drop(wal);
    let fs = FaultyFs::new(Fault::SyncError, u64::MAX);
    let (wal, _, _) =
        open_on(Arc::new(fs.clone()), dir.path(), options(1 << 20), Recovery::Refuse, 0).unwrap();
    put(&wal, 1, b"acked too");
    fs.fail(Fault::SyncError, fs.calls());
    let seq = wal.append(1, &[b"not acked"]).unwrap();
    assert!(matches!(wal.sync_to(seq), Err(Error::Poisoned(_))));
    fs.mend();
    let syncs = fs.syncs();
    assert!(matches!(wal.sync_to(seq), Err(Error::Poisoned(_))));
    assert!(matches!(wal.append(1, &[b"x"]), Err(Error::Poisoned(_))));
    assert!(matches!(wal.sync(), Err(Error::Poisoned(_))));
    assert!(matches!(wal.rotate(), Err(Error::Poisoned(_))));
    assert!(wal.sync_to(seq - 1).is_ok(), "what was durable before is");
    assert!(wal.stats().poisoned);
    assert!(matches!(wal.close(), Err(Error::Poisoned(_))));
    assert_eq!(fs.syncs(), syncs, "no sync is tried again");
    let (wal, records) = open(dir.path());
    assert_eq!(records[..2], [(1, 1, b"acked".to_vec()), (2, 1, b"acked too".to_vec())]);
    assert!(!wal.stats().poisoned);
}

#[test]
fn the_tail_that_no_sync_covered_is_written_again_before_it_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultyFs::sound();
    let (wal, _, _) =
        open_on(Arc::new(fs.clone()), dir.path(), options(1 << 20), Recovery::Refuse, 0).unwrap();
    put(&wal, 1, &[1; 100]);
    put(&wal, 1, &[2; 100]);
    drop(wal);
    fs.forget_written();
    let (wal, records, _) =
        open_on(Arc::new(fs.clone()), dir.path(), options(1 << 20), Recovery::Refuse, 0).unwrap();
    assert_eq!(records.len(), 2);
    // The second write, its commit and the seal; the first is proven by the mark in the second. Then the mark.
    assert_eq!(fs.written(), (25 + 100 + 25 + 25 + 12) + 36);
    drop(wal);
}

#[test]
fn a_full_disk_uses_the_reserve_then_refuses_then_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultyFs::sound();
    let options = WalOptions { reserve_bytes: 64 << 10, ..options(1 << 20) };
    let (wal, _, _) = open_on(Arc::new(fs.clone()), dir.path(), options, Recovery::Refuse, 0).unwrap();
    put(&wal, 1, b"one");
    assert!(dir.path().join("reserve").exists());
    let seq = wal.append(1, &[b"acknowledged to be"]).unwrap();
    fs.fill_up_beside(&dir.path().join("reserve"));
    wal.sync_to(seq).unwrap();
    assert!(!dir.path().join("reserve").exists());
    assert!(wal.stats().disk_full);
    assert!(matches!(wal.append(1, &[b"refused"]), Err(Error::DiskFull { .. })));
    assert!(matches!(wal.append(1, &[b"refused"]), Err(Error::DiskFull { .. })));
    assert_eq!(wal.last_seq(), seq);
    let freeing = wal.append_to_free(1, &[b"a deletion"]).unwrap();
    wal.sync_to(freeing).unwrap();
    assert!(wal.stats().disk_full);
    fs.mend();
    assert_eq!(put(&wal, 1, b"resumed"), freeing + 1);
    assert!(dir.path().join("reserve").exists() && !wal.stats().disk_full);
    drop(wal);
    assert_eq!(open(dir.path()).1.len(), 4);
}

#[test]
fn without_a_reserve_a_partial_write_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultyFs::sound();
    let (wal, _, _) =
        open_on(Arc::new(fs.clone()), dir.path(), options(1 << 20), Recovery::Refuse, 0).unwrap();
    put(&wal, 1, b"one");
    fs.fail(Fault::ShortWrite, fs.calls());
    let seq = wal.append(1, &[&[5; 1000]]).unwrap();
    assert!(matches!(wal.sync_to(seq), Err(Error::DiskFull { .. })));
    assert!(matches!(wal.append(1, &[b"refused"]), Err(Error::DiskFull { .. })));
    fs.mend();
    wal.sync_to(seq).unwrap();
    assert_eq!(put(&wal, 1, b"three"), seq + 1);
    assert!(!wal.stats().poisoned);
    drop(wal);
    let (_, records) = open(dir.path());
    assert_eq!(records[1], (2, 1, vec![5; 1000]));
    assert_eq!(records.len(), 3);
}
