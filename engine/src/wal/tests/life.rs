//! What a log does when nothing is wrong: order, rotation, cutting, copying, waiting for each other.

use std::time::Duration;

use super::*;

#[test]
fn records_come_back_in_order_across_segments_and_opens() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..4_u8 {
        let (wal, records, report) =
            open_on(Arc::new(FaultyFs::sound()), dir.path(), options(1 << 10), Recovery::Refuse, 0).unwrap();
        assert_eq!(records, expected);
        assert_eq!(report.last_seq, expected.len() as u64);
        let before = wal.size_bytes();
        for at in 0..30_u8 {
            let payload = vec![at; usize::from(at) * 5];
            let seq = wal.append(round, &[&payload[..at.into()], &payload[at.into()..]]).unwrap();
            assert_eq!(seq, expected.len() as u64 + 1);
            expected.push((seq, round, payload));
        }
        // Segments, commits and seals: the same before the sync and after it, but for the last commit.
        let appended = wal.size_bytes() - before;
        wal.sync().unwrap();
        assert_eq!(wal.size_bytes() - before, appended + 25);
        assert_eq!(wal.durable_seq(), wal.last_seq());
        let on_disk: u64 =
            damage::segment_paths(dir.path()).iter().map(|path| records_end(path) as u64).sum();
        assert_eq!(wal.size_bytes(), on_disk);
        // Half the rounds end like a crash, without a seal.
        if round % 2 == 0 {
            wal.close().unwrap();
        }
    }
    assert_eq!(open(dir.path()).1, expected);
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.records, report.first_seq, report.last_seq), (120, 1, 120));
    assert!(report.segments > 8 && report.damage.is_empty() && report.torn_tail.is_none());
}

#[test]
fn unsynced_records_of_a_dropped_log_are_gone_and_the_numbers_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    put(&wal, 1, b"kept");
    wal.append(1, &[b"dropped"]).unwrap();
    drop(wal);
    let (wal, records) = open(dir.path());
    assert_eq!(records, [(1, 1, b"kept".to_vec())]);
    assert_eq!(wal.append(1, &[]).unwrap(), 2);
}

#[test]
fn rotation_is_the_cut_that_truncation_uses() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    assert_eq!(wal.rotate().unwrap(), 0);
    for payload in [b"a", b"b", b"c"] {
        put(&wal, 0, payload);
    }
    let cut = wal.rotate().unwrap();
    assert_eq!((cut, wal.rotate().unwrap()), (3, 3));
    put(&wal, 0, b"d");
    wal.truncate_to(2).unwrap();
    assert_eq!(wal.stats().segments, 2);
    wal.truncate_to(cut).unwrap();
    assert_eq!(wal.stats().segments, 1);
    wal.truncate_to(100).unwrap();
    assert_eq!(wal.stats().segments, 1, "the open segment stays");
    drop(wal);
    let (wal, records, report) = try_open(dir.path(), Recovery::Refuse, cut).unwrap();
    assert_eq!(records, [(4, 0, b"d".to_vec())]);
    assert_eq!((report.first_seq, report.last_seq), (4, 4));
    assert_eq!(wal.last_seq(), 4);
    let error = try_open(dir.path(), Recovery::Refuse, 1).unwrap_err();
    assert!(error.to_string().contains("records 2..=3 are missing"), "{error}");
}

#[test]
fn a_log_cut_to_nothing_continues_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    put(&wal, 0, b"a");
    let cut = wal.rotate().unwrap();
    wal.truncate_to(cut).unwrap();
    assert_eq!((wal.size_bytes(), wal.stats().segments), (0, 0));
    wal.close().unwrap();
    let (wal, records, _) = try_open(dir.path(), Recovery::Refuse, 1).unwrap();
    assert_eq!((records.len(), wal.append(0, &[]).unwrap()), (0, 2));
}

#[test]
fn a_copy_replays_exactly_up_to_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("log");
    let (wal, _, _) =
        open_on(Arc::new(FaultyFs::sound()), &source, options(1 << 10), Recovery::Refuse, 0).unwrap();
    for at in 0..40_u8 {
        put(&wal, at, &[at; 60]);
    }
    for seq in 0..=40_u64 {
        let dest = dir.path().join(format!("copy-{seq}"));
        wal.copy_to(&dest, seq).unwrap();
        assert_eq!(verify(&dest).unwrap().damage, []);
        let (copy, records, report) = try_open(&dest, Recovery::Refuse, 0).unwrap();
        assert!(records.iter().enumerate().all(|(at, record)| record.0 == at as u64 + 1));
        assert_eq!((records.len() as u64, report.last_seq, report.torn_tail), (seq, seq, None));
        assert_eq!(copy.append(0, &[]).unwrap(), seq + 1);
    }
    let error = wal.copy_to(&dir.path().join("copy-1"), 3).unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert!(matches!(wal.copy_to(&dir.path().join("new"), 41), Err(Error::Invalid(_))));
    let cut = wal.rotate().unwrap();
    wal.truncate_to(cut).unwrap();
    assert!(matches!(wal.copy_to(&dir.path().join("new"), 3), Err(Error::Invalid(_))));
}

#[test]
fn eight_threads_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    let acked: Vec<Owned> = std::thread::scope(|scope| {
        let append = |thread: u8| {
            let wal = &wal;
            move || {
                let write = |at: u8| {
                    let payload = vec![thread, at];
                    let seq = wal.append(thread, &[&payload]).unwrap();
                    wal.sync_to(seq).unwrap();
                    assert!(wal.durable_seq() >= seq);
                    (seq, thread, payload)
                };
                (0..200).map(write).collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(append(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let stats = wal.stats();
    assert_eq!(stats.records, 1600);
    assert!(stats.syncs <= 1600 && stats.sync_ns_max <= stats.sync_ns_sum);
    drop(wal);
    let mut acked = acked;
    acked.sort();
    assert_eq!(open(dir.path()).1, acked);
}

/// A sync of a file that keeps its length and blocks is one write and one flush; else it also writes the journal.
#[test]
fn small_writes_find_zeros_and_a_seal_removes_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    let length = || damage::segment_paths(dir.path()).pop().unwrap().metadata().unwrap().len();
    let (mut lengths, mut expected) = (Vec::new(), Vec::new());
    for number in 1..=200_u64 {
        put(&wal, 0, &number.to_le_bytes());
        expected.push((number, 0, number.to_le_bytes().to_vec()));
        assert!(wal.size_bytes() <= length());
        lengths.push(length());
    }
    lengths.dedup();
    assert!(lengths.len() < 20, "the length has changed {} times", lengths.len());
    // As after a crash.
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), copy.path());
    assert_eq!(open(copy.path()).1, expected);
    // A large write has a journal's worth of blocks anyway.
    put(&wal, 0, &[7; 6000]);
    assert_eq!(wal.size_bytes(), length());
    put(&wal, 0, b"small");
    assert!(wal.size_bytes() < length());
    wal.close().unwrap();
    assert_eq!(wal.size_bytes(), length());
    assert_eq!(records_end(&damage::segment_paths(dir.path())[0]) as u64, length());
}

#[test]
fn an_interval_makes_each_record_durable_although_nothing_came_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let sync = SyncPolicy::Interval(Duration::from_millis(5));
    let fs = Arc::new(FaultyFs::sound());
    let with = WalOptions { sync, ..options(1 << 20) };
    let (wal, _, _) = open_on(Arc::clone(&fs) as _, dir.path(), with, Recovery::Refuse, 0).unwrap();
    for _ in 0..5 {
        let seq = put(&wal, 0, b"x");
        let begun = std::time::Instant::now();
        while wal.durable_seq() < seq {
            assert!(begun.elapsed() < Duration::from_secs(120), "record {seq} was never synced");
            std::thread::sleep(Duration::from_millis(1));
        }
        // The job rests now, or will: then only the next record wakes it.
        std::thread::sleep(Duration::from_millis(12));
    }
}

#[test]
fn other_policies_hand_records_to_the_system_at_once() {
    for sync in [SyncPolicy::Off, SyncPolicy::Interval(Duration::from_secs(3600))] {
        let dir = tempfile::tempdir().unwrap();
        let options = WalOptions { sync, ..options(1 << 20) };
        let fs = Arc::new(FaultyFs::sound());
        let (wal, _, _) = open_on(Arc::clone(&fs) as _, dir.path(), options, Recovery::Refuse, 0).unwrap();
        let seq = put(&wal, 0, b"first");
        assert_eq!(wal.durable_seq(), 0);
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        let (_, records, report) = try_open(copy.path(), Recovery::Refuse, 0).unwrap();
        assert_eq!((records.len(), report.torn_tail), (1, None));
        wal.sync().unwrap();
        assert_eq!(wal.durable_seq(), seq);
        put(&wal, 0, b"second");
        // The ticker's last act is a sync.
        wal.close().unwrap();
        assert_eq!(verify(dir.path()).unwrap().records, 2);
    }
}

#[test]
fn more_than_the_buffer_holds_is_written_early() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    let payload = vec![1; 40 << 20];
    for _ in 0..3 {
        wal.append(0, &[&payload]).unwrap();
    }
    let written: u64 = verify(dir.path()).unwrap().records;
    assert_eq!(written, 2);
    let error = wal.append(0, &[&payload, &payload]).unwrap_err();
    assert!(matches!(error, Error::Limit(_)), "{error}");
    assert!(matches!(wal.append(KIND_MAX + 1, &[]), Err(Error::Invalid(_))));
    assert!(matches!(wal.sync_to(4), Err(Error::Invalid(_))));
}

#[test]
fn options_out_of_range_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for bad in [
        options(1),
        options(1 << 40),
        WalOptions { reserve_bytes: 1 << 40, ..options(1 << 20) },
        WalOptions { sync: SyncPolicy::Interval(Duration::ZERO), ..options(1 << 20) },
    ] {
        let error = Wal::open(dir.path(), bad, Recovery::Refuse, 0, &mut |_| Ok(())).unwrap_err();
        assert!(matches!(error, Error::Option { .. }), "{error}");
    }
}

/// A process ends at any call while it opens a log. The next one opens it, appends, and then the power fails.
#[test]
fn a_seal_that_no_sync_has_covered_is_not_trusted() {
    let open = |disk: &Disk, dir: &Path, into: &mut Vec<u64>| {
        let mut replay = |record: Record<'_>| {
            into.push(record.seq);
            Ok(())
        };
        let options = WalOptions { reserve_bytes: 0, ..WalOptions::default() };
        Wal::open_on(Arc::new(disk.clone()), dir, options, Recovery::Refuse, 0, &mut replay)
    };
    for calls in 1..12 {
        for seed in 0..16 {
            let (dir, disk) = (tempfile::tempdir().expect("a directory"), Disk::new(Dice(seed)));
            let append = |wal: &Wal| {
                wal.append_all(&[NewRecord { kind: 0, parts: [b"x", &[], &[], &[]] }], wal.term())
                    .expect("append");
                wal.sync().expect("sync");
            };
            append(&open(&disk, dir.path(), &mut Vec::new()).expect("a new log").0);
            disk.switch_off_after(calls);
            drop(open(&disk, dir.path(), &mut Vec::new()));
            disk.restart();
            append(&open(&disk, dir.path(), &mut Vec::new()).expect("after the first crash").0);
            disk.lose_power();
            let mut found = Vec::new();
            open(&disk, dir.path(), &mut found).expect("after the power loss");
            assert_eq!(found, [1, 2], "a crash at call {calls}");
        }
    }
}

#[test]
fn a_sync_notices_that_the_directory_is_gone() {
    for is_moved in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("log");
        let (wal, _) = open(&place);
        put(&wal, 1, b"kept");
        match is_moved {
            true => std::fs::rename(&place, dir.path().join("elsewhere")).unwrap(),
            false => std::fs::remove_dir_all(&place).unwrap(),
        }
        let seq = wal.append(1, &[b"nowhere"]).unwrap();
        let error = wal.sync_to(seq).unwrap_err();
        assert!(matches!(&error, Error::Poisoned(why) if why.contains("no longer there")), "{error}");
        assert!(matches!(wal.append(1, &[b"refused"]), Err(Error::Poisoned(_))));
    }
}
