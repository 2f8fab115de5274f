//! Whatever call fails, what was acknowledged is there after the next open.

use std::time::Duration;

use super::*;
use crate::wal::fs::faulty::Fault;

/// Opens, writes, rotates, cuts, copies; returns what was acknowledged and what was cut. Errors end single steps only,
/// as they would single requests.
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
    assert_eq!(
        records,
        [(1, 1, b"acked".to_vec()), (2, 1, b"acked too".to_vec())],
        "what was refused is not there"
    );
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
    let freeing = wal.append_to_free(record(1, &[b"a deletion"])).unwrap().seq;
    wal.sync_to(freeing).unwrap();
    assert!(wal.stats().disk_full);
    fs.mend();
    assert_eq!(put(&wal, 1, b"resumed"), freeing + 1);
    assert!(dir.path().join("reserve").exists() && !wal.stats().disk_full);
    drop(wal);
    assert_eq!(open(dir.path()).1.len(), 4);
}

#[test]
fn without_a_reserve_a_partial_write_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultyFs::sound();
    let (wal, _, _) =
        open_on(Arc::new(fs.clone()), dir.path(), options(1 << 20), Recovery::Refuse, 0).unwrap();
    put(&wal, 1, b"one");
    fs.fail(Fault::ShortWrite, fs.calls());
    let seq = wal.append(1, &[&[5; 1000]]).unwrap();
    assert!(matches!(wal.sync_to(seq), Err(Error::DiskFull { .. })));
    let again = wal.append(1, &[b"refused"]).unwrap();
    assert!(matches!(wal.sync_to(again), Err(Error::DiskFull { .. })));
    fs.mend();
    assert_eq!((wal.last_seq(), again), (seq - 1, seq));
    assert_eq!(put(&wal, 1, b"another"), seq, "its number is free again");
    assert!(!wal.stats().poisoned);
    drop(wal);
    let (_, records) = open(dir.path());
    assert_eq!(records, [(1, 1, b"one".to_vec()), (2, 1, b"another".to_vec())]);
}

/// Appends calls of up to three records, some larger than a segment, and waits for all at once or one by one; returns
/// the payloads that were acknowledged, and those that were refused.
fn calls_of_several(fs: &FaultyFs, dir: &Path, sync: SyncPolicy) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let options = WalOptions { sync, ..options(1 << 10) };
    let (mut acked, mut refused) = (Vec::new(), Vec::new());
    let Ok((wal, _, _)) = open_on(Arc::new(fs.clone()), dir, options, Recovery::Refuse, 0) else {
        return (acked, refused);
    };
    let mut waiting = Vec::new();
    for call in 0..12_u8 {
        let payloads: Vec<Vec<u8>> =
            (0..=call % 3).map(|part| vec![16 * call + part; 100 + 300 * usize::from(call % 4)]).collect();
        let records: Vec<NewRecord<'_>> = payloads.iter().map(|payload| record(1, &[payload])).collect();
        match wal.append_call(&records) {
            Ok(ticket) => waiting.push((ticket, payloads)),
            Err(_) => refused.extend(payloads),
        }
        if call % 2 == 1 {
            for (ticket, payloads) in waiting.drain(..) {
                let is_acked = wal.wait_for(ticket).is_ok();
                assert_eq!(wal.fate(ticket) == Fate::Safe, is_acked, "call {call}");
                if is_acked { acked.extend(payloads) } else { refused.extend(payloads) }
            }
        }
        if call == 6 {
            let _ = wal.rotate();
        }
    }
    (acked, refused)
}

/// Whatever fails: what was acknowledged is in the log, in order, and what was refused is not, also where some calls
/// wait together and some of their records are in a segment that was written.
#[test]
fn what_is_refused_is_not_in_the_log() {
    let every = std::time::Duration::from_secs(3600);
    for sync in [SyncPolicy::Always, SyncPolicy::Off, SyncPolicy::Interval(every)] {
        for fault in [Fault::Error, Fault::DiskFull, Fault::ShortWrite, Fault::SyncError, Fault::Interrupted]
        {
            let counting = FaultyFs::sound();
            calls_of_several(&counting, tempfile::tempdir().unwrap().path(), sync);
            let mut refusals = 0;
            for at in 0..counting.calls() {
                let dir = tempfile::tempdir().unwrap();
                let fs = FaultyFs::new(fault, at);
                let (acked, refused) = calls_of_several(&fs, dir.path(), sync);
                let place = format!("{sync:?}, {fault:?} at call {at}");
                let (_, records, report) = try_open(dir.path(), Recovery::Refuse, 0)
                    .unwrap_or_else(|error| panic!("{place}: {error}"));
                let shown = |payloads: &[Vec<u8>]| payloads.iter().map(|bytes| bytes[0]).collect::<Vec<_>>();
                let found: Vec<Vec<u8>> = records.into_iter().map(|(_, _, payload)| payload).collect();
                assert_eq!(shown(&found), shown(&acked), "{place}: {:?} were refused", shown(&refused));
                assert!(found == acked, "{place}: bytes differ");
                assert_eq!(report.torn_tail, None, "{place}");
                refusals += refused.len();
            }
            assert!(refusals > 0 || fault == Fault::Interrupted, "{sync:?}, {fault:?}");
        }
    }
}

#[test]
fn records_of_a_call_are_appended_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    put(&wal, 1, b"first");
    let large = vec![0; PAYLOAD_BYTES_MAX + 1];
    for bad in [record(1, &[&large]), record(KIND_MAX + 1, &[b"kind"])] {
        assert!(wal.append_call(&[record(1, &[b"good"]), bad]).is_err());
    }
    assert_eq!(wal.last_seq(), 1);
    wal.close().unwrap();
    assert_eq!(open(dir.path()).1.len(), 1);
}

/// What does not fit the buffer is written before anybody waits for it. It is promised to nobody then.
#[test]
fn what_was_written_early_is_taken_back_with_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultyFs::sound();
    let (wal, _, _) =
        open_on(Arc::new(fs.clone()), dir.path(), options(1 << 30), Recovery::Refuse, 0).unwrap();
    put(&wal, 1, b"acked");
    let large = vec![1; 40 << 20];
    let tickets: Vec<Ticket> = (0..3).map(|_| wal.append_call(&[record(1, &[&large])]).unwrap()).collect();
    assert!(fs.written() > 80 << 20);
    fs.fail(Fault::Error, fs.calls());
    assert!(wal.wait_for(tickets[0]).is_err());
    assert!(wal.append_all(&[record(1, &[b"counts on them"])], 0).unwrap().is_none());
    for ticket in tickets {
        assert_eq!(wal.fate(ticket), Fate::Lost);
        assert!(matches!(wal.wait_for(ticket), Err(Error::Io { .. })));
    }
    put(&wal, 1, b"another");
    drop(wal);
    assert_eq!(open(dir.path()).1, [(1, 1, b"acked".to_vec()), (2, 1, b"another".to_vec())]);
}

/// Nobody waits for the records, so nobody else would be given the error.
#[test]
fn a_sync_reports_that_it_removed_records() {
    for fault in [Fault::Error, Fault::DiskFull, Fault::ShortWrite] {
        let dir = tempfile::tempdir().unwrap();
        let fs = FaultyFs::sound();
        let (wal, _, _) =
            open_on(Arc::new(fs.clone()), dir.path(), options(1 << 20), Recovery::Refuse, 0).unwrap();
        put(&wal, 1, b"acked");
        let fail = || {
            wal.append(1, &[b"lost"]).unwrap();
            wal.append(1, &[b"lost too"]).unwrap();
            fs.fail(fault, fs.calls());
        };
        fail();
        let error = wal.sync().unwrap_err();
        assert!(matches!(error, Error::Io { .. } | Error::DiskFull { .. }), "{fault:?}: {error}");
        fs.mend();
        wal.sync().unwrap_or_else(|error| panic!("{fault:?}: it was reported: {error}"));
        fail();
        wal.settle().unwrap_or_else(|error| panic!("{fault:?}: what is left is durable: {error}"));
        fs.mend();
        assert_eq!(put(&wal, 1, b"after"), 2, "{fault:?}");
        wal.close().unwrap();
        drop(wal);
        let (_, records) = open(dir.path());
        assert_eq!(records, [(1, 1, b"acked".to_vec()), (2, 1, b"after".to_vec())], "{fault:?}");
    }
}

/// The last of the regular syncs fails.
#[test]
fn closing_reports_records_that_could_not_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultyFs::sound();
    let options = WalOptions { sync: SyncPolicy::Interval(Duration::from_secs(3600)), ..options(1 << 20) };
    let (wal, _, _) = open_on(Arc::new(fs.clone()), dir.path(), options, Recovery::Refuse, 0).unwrap();
    wal.append(1, &[b"lost"]).unwrap();
    fs.fail(Fault::Error, fs.calls());
    assert!(matches!(wal.close(), Err(Error::Io { .. })));
    drop(wal);
    assert_eq!(open(dir.path()).1, []);
}

/// Collects the messages of warnings.
#[derive(Clone, Default)]
struct Heard(Arc<parking_lot::Mutex<Vec<String>>>);

impl tracing::Subscriber for Heard {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Message<'a>(&'a mut String);
        impl tracing::field::Visit for Message<'_> {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    *self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = String::new();
        event.record(&mut Message(&mut message));
        self.0.lock().push(message);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_full_disk_and_its_end_are_logged_once() {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultyFs::sound();
    let heard = Heard::default();
    tracing::subscriber::with_default(heard.clone(), || {
        let (wal, _, _) =
            open_on(Arc::new(fs.clone()), dir.path(), options(1 << 20), Recovery::Refuse, 0).unwrap();
        for _ in 0..2 {
            put(&wal, 1, b"taken");
            assert_eq!(*heard.0.lock(), [""; 0]);
            fs.fail(Fault::DiskFull, fs.calls());
            for _ in 0..3 {
                let refused = wal.append(1, &[b"refused"]).and_then(|seq| wal.sync_to(seq));
                assert!(matches!(refused, Err(Error::DiskFull { .. })), "{refused:?}");
            }
            fs.mend();
            put(&wal, 1, b"taken");
            let heard = std::mem::take(&mut *heard.0.lock());
            let begins = heard.iter().map(|message| message.split(':').next().unwrap_or(""));
            assert_eq!(begins.collect::<Vec<_>>(), ["the disk is full", "the disk has space again"]);
        }
    });
}
