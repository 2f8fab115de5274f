//! The file `durable` when its writes are cut short: what the log concludes from the slot that is left.

use super::*;

/// A log in `dir` that is cut to nothing after records 1 and 2; returns what was cut, and what was acknowledged.
fn cut_to_nothing(disk: &Disk, dir: &Path) -> (u64, u64) {
    let (mut cut, mut acked) = (0, 0);
    let Ok((wal, _, _)) = open_on(Arc::new(disk.clone()), dir, options(1 << 20), Recovery::Refuse, 0) else {
        return (cut, acked);
    };
    for _ in 0..2 {
        if let Ok(seq) = wal.append(1, &[b"stored elsewhere"])
            && wal.sync_to(seq).is_ok()
        {
            acked = seq;
        }
    }
    if let Ok(end) = wal.rotate()
        && wal.sync().is_ok()
        && end == acked
    {
        cut = end;
        let _ = wal.truncate_to(cut);
    }
    (cut, acked)
}

/// The disk is full at each byte of each write.
#[test]
fn a_write_of_the_mark_that_is_cut_short_leaves_a_log_that_opens() {
    let mut torn = 0;
    for (write, room) in (0..12).flat_map(|write| (0..80).step_by(3).map(move |room| (write, room))) {
        let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::new(Dice(0)));
        disk.fail(simulated::Fault::Full(room), write);
        let (cut, acked) = cut_to_nothing(&disk, dir.path());
        let what = format!("room for {room} bytes from write {write} on");
        let marks = Marks::read(&dir.path().join("durable")).unwrap();
        torn += u64::from(cut > 0 && marks.is_some_and(|marks| marks.faults(&[]).count() == 1));
        let (wal, records, _) =
            try_open(dir.path(), Recovery::Refuse, cut).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(records.len() as u64, acked - cut, "{what}");
        assert_eq!(put(&wal, 1, b"after"), acked + 1, "{what}");
        drop(wal);
        let (_, _, report) = try_open(dir.path(), Recovery::Refuse, cut).unwrap();
        assert_eq!(report.damage, [], "{what}: opening has written the slot again");
    }
    assert!(torn > 0, "no write of a slot was cut short");
}

#[test]
fn marks_that_are_cut_short_again_and_again_leave_the_newest_whole_one() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::new(Dice(0)));
    let (wal, _, _) =
        open_on(Arc::new(disk.clone()), dir.path(), options(1 << 20), Recovery::Refuse, 0).unwrap();
    let newest = || Marks::read(&dir.path().join("durable")).unwrap().unwrap().newest(&[]).unwrap().1.seq;
    for round in 0..3 {
        let whole = put(&wal, 1, b"all is well");
        assert_eq!(newest(), whole);
        for failure in 1..=3 {
            // The record is written, and 30 of the 36 bytes of its mark.
            disk.fail(simulated::Fault::Full(30), 1);
            put(&wal, 1, b"its mark is not");
            disk.mend();
            assert_eq!((newest(), wal.stats().mark_failures), (whole, 3 * round + failure));
        }
    }
}

/// Whenever the power fails: a caller that has all records opens the log, and one that lost its state is refused.
#[test]
fn a_power_loss_takes_no_evidence_of_segments_that_were_deleted() {
    for seed in 0..64 {
        let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::new(Dice(seed)));
        let open = |after_seq| {
            open_on(Arc::new(disk.clone()), dir.path(), options(1 << 20), Recovery::Refuse, after_seq)
        };
        let (wal, _, _) = open(0).unwrap();
        for payload in [b"a", b"b", b"c"] {
            put(&wal, 1, payload);
        }
        let cut = wal.rotate().unwrap();
        wal.truncate_to(cut).unwrap();
        drop(wal);
        disk.lose_power();
        // The removal of the segment may be lost too.
        if damage::segment_paths(dir.path()).is_empty() {
            let error = open(0).unwrap_err();
            assert!(error.to_string().contains("records 1..=3 were synced"), "seed {seed}: {error}");
        }
        let (wal, records, report) = open(cut).unwrap();
        assert_eq!((records.len(), report.damage), (0, vec![]), "seed {seed}");
        assert_eq!(put(&wal, 1, b"d"), cut + 1, "seed {seed}");
    }
}

#[test]
fn each_slot_alone_opens_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    put(&wal, 1, b"one");
    put(&wal, 1, b"two");
    wal.close().unwrap();
    let whole = std::fs::read(dir.path().join("durable")).unwrap();
    for lost in [0..36, 4096..4132] {
        let mut bytes = whole.clone();
        let at = lost.start as u64;
        bytes[lost].fill(0);
        std::fs::write(dir.path().join("durable"), bytes).unwrap();
        let report = verify(dir.path()).unwrap();
        assert_eq!(report.damage.iter().map(|damage| damage.offset).collect::<Vec<_>>(), [at]);
        let (_, records, report) = try_open(dir.path(), Recovery::Refuse, 0).unwrap();
        assert_eq!((records.len(), report.damage.len()), (2, 1));
        assert_eq!(std::fs::read(dir.path().join("durable")).unwrap(), whole, "repaired");
    }
}
