//! Flipped bits, cut files, files that are missing or not files: nothing that was synced is lost in silence.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::wal::format::MARK_BYTES;
use crate::wal::mark::SLOTS_AT;

/// Three segments, the last unsealed with two syncs of two records each.
fn small_log(dir: &Path) -> Vec<Owned> {
    let (wal, _, _) =
        open_on(Arc::new(FaultyFs::sound()), dir, options(1 << 10), Recovery::Refuse, 0).unwrap();
    let mut expected = Vec::new();
    for at in 0..10_u8 {
        let payload: Vec<u8> = (0..at * 3).map(|byte| byte ^ at).collect();
        let seq = wal.append(at, &[&payload]).unwrap();
        expected.push((seq, at, payload));
        if at % 2 == 1 {
            wal.sync_to(seq).unwrap();
        }
        if at == 3 || at == 5 {
            wal.rotate().unwrap();
        }
    }
    drop(wal);
    expected
}

pub(super) fn segment_paths(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
    paths.sort();
    paths
}

/// The records that a report or a gap does not account for must all be there, and nothing else.
fn assert_subset(found: &[Owned], expected: &[Owned]) {
    let mut rest = expected.iter();
    for record in found {
        assert!(rest.any(|other| other == record), "invented or out of order: {record:?}");
    }
}

/// Breaks a copy of a log and checks that each way to open it reports the truth. Returns whether anything was noticed.
fn check_broken(log: &Path, expected: &[Owned], what: &str, break_it: impl Fn(&Path)) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let (refused, skipped) = (dir.path().join("refused"), dir.path().join("skipped"));
    for copy in [&refused, &skipped] {
        copy_dir(log, copy);
        break_it(copy);
    }
    let verified = verify(&refused).unwrap();
    let noticed = match try_open(&refused, Recovery::Refuse, 0) {
        Ok((_, records, report)) => {
            assert_eq!(records, expected, "{what}: opened with wrong records; {report:?}");
            report.torn_tail.is_some() || !report.damage.is_empty()
        }
        Err(Error::Corrupt { what: found, .. }) => {
            // A check does not know which records the caller has already, so where the log should begin.
            let begins_late = found.contains("records 1..");
            assert!(begins_late || !verified.damage.is_empty(), "{what}: refused but verified");
            true
        }
        Err(error) => panic!("{what}: {error}"),
    };
    let (wal, records, report) =
        try_open(&skipped, Recovery::Skip, 0).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_subset(&records, expected);
    assert_eq!(noticed, report.torn_tail.is_some() || !report.damage.is_empty(), "{what}");
    assert_eq!(report.last_seq, expected.len() as u64, "{what}: a number would be used twice");
    put(&wal, 9, b"after");
    drop(wal);
    let (_, again, report) =
        try_open(&skipped, Recovery::Refuse, 0).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!((report.torn_tail, report.damage), (None, vec![]), "{what}: repaired");
    assert_eq!(again[..again.len() - 1], records[..], "{what}: after the repair");
    noticed
}

#[test]
fn every_flipped_bit_is_noticed_and_nothing_synced_lost() {
    let dir = tempfile::tempdir().unwrap();
    let expected = small_log(dir.path());
    let paths = segment_paths(dir.path());
    assert_eq!(paths.len(), 3);
    for path in paths {
        let length = fs::metadata(&path).unwrap().len() as usize;
        let name = path.file_name().unwrap();
        for at in 0..length {
            let bit = at % 8;
            let what = format!("{name:?} byte {at} bit {bit}");
            let noticed = check_broken(dir.path(), &expected, &what, |copy| flip(&copy.join(name), at, bit));
            assert!(noticed, "{what}");
        }
    }
}

fn flip(path: &Path, at: usize, bit: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_flipped_bit_of_the_mark_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let expected = small_log(dir.path());
    for at in SLOTS_AT.into_iter().flat_map(|slot| slot..slot + MARK_BYTES) {
        let what = format!("mark, byte {at}");
        assert!(check_broken(dir.path(), &expected, &what, |copy| flip(&copy.join("durable"), at, at % 8)));
    }
    assert!(
        check_broken(dir.path(), &expected, "no mark", |copy| fs::remove_file(copy.join("durable")).unwrap())
    );
}

#[test]
fn flips_in_the_last_sync_are_distinguished_from_a_tear_without_the_mark() {
    // As after a power loss that took the newest mark along: the commit and the sectors must do.
    let dir = tempfile::tempdir().unwrap();
    let expected = small_log(dir.path());
    let (last, length) = last_segment(dir.path());
    let end = records_end(&last);
    assert!(end < length, "zeros are ahead");
    name_database_of(dir.path());
    for at in 0..length {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        flip(&copy.path().join(last.file_name().unwrap()), at, at % 8);
        match try_open(copy.path(), Recovery::Refuse, 0) {
            Err(Error::Corrupt { .. }) => {}
            Err(error) => panic!("byte {at}: {error}"),
            // Only the last commit may go as a torn tail, or what is not zero behind it; every record is there.
            Ok((_, records, report)) => {
                assert_eq!(records, expected, "byte {at}");
                let torn = if at < end { end - 25 } else { end };
                assert_eq!(report.torn_tail.unwrap().offset, torn as u64, "byte {at}");
            }
        }
    }
}

fn last_segment(dir: &Path) -> (PathBuf, usize) {
    let last = segment_paths(dir).pop().unwrap();
    let length = fs::metadata(&last).unwrap().len() as usize;
    (last, length)
}

/// Sets the mark back to where it knows nothing but the database.
fn name_database_of(dir: &Path) {
    let (_, mark) = Marks::read(&dir.join("durable")).unwrap().unwrap().newest(&[]).unwrap();
    name_database(dir, mark.database_id);
}

#[test]
fn a_tail_torn_at_every_length_leaves_a_prefix_with_all_that_was_synced() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    let mut expected = Vec::new();
    for at in 0..4_u8 {
        let seq = wal.append(at, &[&[at; 40]]).unwrap();
        expected.push((seq, at, vec![at; 40]));
        if at == 1 {
            wal.sync().unwrap();
        }
    }
    let synced_mark = fs::read(dir.path().join("durable")).unwrap();
    let (path, _) = last_segment(dir.path());
    let synced = records_end(&path);
    wal.sync().unwrap();
    drop(wal);
    // The crash came before the second sync was over.
    fs::write(dir.path().join("durable"), synced_mark).unwrap();
    let whole = fs::read(&path).unwrap();
    let end = records_end(&path);
    for length in 0..=whole.len() {
        for padding in [0, 700] {
            let mut torn = whole[..length].to_vec();
            torn.resize(length + padding, 0);
            fs::write(&path, &torn).unwrap();
            let copy = tempfile::tempdir().unwrap();
            copy_dir(dir.path(), copy.path());
            match try_open(copy.path(), Recovery::Refuse, 0) {
                Err(Error::Corrupt { .. }) => assert!(length < synced, "{length}"),
                Err(error) => panic!("{length}: {error}"),
                Ok((wal, records, report)) => {
                    assert!(records.len() >= 2 && records[..] == expected[..records.len()], "{length}");
                    let tail = report.torn_tail.map_or(0, |tail| tail.bytes_dropped);
                    // Zeros alone are no tail: nothing was written there, or nothing arrived.
                    assert_eq!(tail == 0, ends_whole(&whole[..end], &torn), "{length} {padding}");
                    assert_eq!(put(&wal, 9, b"after"), records.len() as u64 + 1);
                    drop(wal);
                    assert_eq!(open(copy.path()).1.len(), records.len() + 1, "{length}");
                }
            }
        }
    }
}

#[test]
fn zeros_may_follow_the_end_of_a_segment_and_nothing_else_may() {
    let dir = tempfile::tempdir().unwrap();
    let expected = small_log(dir.path());
    let paths = segment_paths(dir.path());
    for (path, is_last) in paths.iter().zip([false, false, true]) {
        let end = records_end(path);
        let with = |tail: &[u8]| {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(dir.path(), copy.path());
            let mut bytes = fs::read(path).unwrap();
            bytes.truncate(end);
            bytes.extend(tail);
            fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
            try_open(copy.path(), Recovery::Refuse, 0).map(|(_, records, report)| {
                assert_eq!(records, expected);
                report
            })
        };
        for zeros in [0, 1, 25, 700] {
            let report = with(&vec![0; zeros]).unwrap();
            assert_eq!((report.torn_tail, report.damage), (None, vec![]), "{zeros} zeros");
        }
        match with(&[0, 0, 0, 1]) {
            Ok(report) => assert!(is_last && report.torn_tail.is_some_and(|tail| tail.bytes_dropped == 4)),
            Err(error) => assert!(!is_last && matches!(error, Error::Corrupt { .. }), "{error}"),
        }
    }
    // A segment that lost its seal and has a successor is damaged, whatever follows its records.
    let seal = 25 + 12;
    let mut bytes = fs::read(&paths[0]).unwrap();
    let end = records_end(&paths[0]);
    bytes[end - seal..].fill(0);
    fs::write(&paths[0], bytes).unwrap();
    assert!(matches!(try_open(dir.path(), Recovery::Refuse, 0), Err(Error::Corrupt { .. })));
}

/// Whether a copy of a segment is as long as some of its entries, or has nothing but zeros behind them.
fn ends_whole(segment: &[u8], copy: &[u8]) -> bool {
    let (mut end, mut ends) = (48, vec![48]);
    for entry in crate::wal::replay::entries(&segment[48..]) {
        end += entry.encoded_bytes();
        ends.push(end);
    }
    let is_whole =
        |end: &usize| copy.starts_with(&segment[..*end]) && copy[*end..].iter().all(|&byte| byte == 0);
    ends.iter().any(is_whole)
}

#[test]
fn a_page_that_never_arrived_is_a_tear_even_if_the_commit_did() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    put(&wal, 1, b"synced");
    let mark = fs::read(dir.path().join("durable")).unwrap();
    let seq = wal.append(2, &[&[7; 6000]]).unwrap();
    wal.sync_to(seq).unwrap();
    drop(wal);
    fs::write(dir.path().join("durable"), mark).unwrap();
    let (path, _) = last_segment(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 - 1024..4096].fill(0);
    fs::write(&path, &bytes).unwrap();
    let (_, records, report) = try_open(dir.path(), Recovery::Refuse, 0).unwrap();
    assert_eq!(records, [(1, 1, b"synced".to_vec())]);
    assert!(report.torn_tail.unwrap().bytes_dropped > 6000);
}

#[test]
fn missing_swapped_doubled_and_stale_segments() {
    let dir = tempfile::tempdir().unwrap();
    let expected = small_log(dir.path());
    let name = |at: usize| segment_paths(dir.path())[at].file_name().unwrap().to_owned();
    for at in 0..3 {
        let remove = |copy: &Path| fs::remove_file(copy.join(name(at))).unwrap();
        assert!(check_broken(dir.path(), &expected, &format!("without {at}"), remove));
        let double = |copy: &Path| {
            fs::copy(copy.join(name(at)), copy.join("00000009.wal")).unwrap();
        };
        assert!(check_broken(dir.path(), &expected, &format!("{at} twice"), double));
        let empty = |copy: &Path| fs::write(copy.join(name(at)), b"").unwrap();
        assert!(check_broken(dir.path(), &expected, &format!("{at} emptied"), empty));
        let swap = |copy: &Path| {
            let (one, other) = (copy.join(name(at)), copy.join(name((at + 1) % 3)));
            fs::rename(&one, copy.join("aside")).unwrap();
            fs::rename(&other, &one).unwrap();
            fs::rename(copy.join("aside"), &other).unwrap();
        };
        assert!(check_broken(dir.path(), &expected, &format!("{at} swapped"), swap));
        let end = records_end(&dir.path().join(name(at)));
        for length in 0..end {
            let cut = |copy: &Path| {
                let file = fs::OpenOptions::new().write(true).open(copy.join(name(at))).unwrap();
                file.set_len(length as u64).unwrap();
            };
            let noticed = check_broken(dir.path(), &expected, &format!("{at} cut to {length}"), cut);
            // Without its last commit, which begins with four zeros, the log is still whole.
            assert!(noticed || (at == 2 && (end - 25..=end - 21).contains(&length)), "{at} cut to {length}");
        }
    }
    let all = |copy: &Path| segment_paths(copy).iter().for_each(|path| fs::remove_file(path).unwrap());
    assert!(check_broken(dir.path(), &expected, "no segment", all));
}

#[test]
fn a_vanished_log_is_not_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = try_open(dir.path(), Recovery::Refuse, 5).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    let (wal, _, report) = try_open(dir.path(), Recovery::Skip, 5).unwrap();
    assert_eq!((report.damage.len(), put(&wal, 0, b"")), (1, 6));
}

#[test]
fn skipping_keeps_what_follows_and_puts_the_damage_aside() {
    let dir = tempfile::tempdir().unwrap();
    let expected = small_log(dir.path());
    let first = &segment_paths(dir.path())[0];
    let original = fs::read(first).unwrap();
    flip(first, 48 + 30, 0);
    let error = try_open(dir.path(), Recovery::Refuse, 0).unwrap_err().to_string();
    assert!(error.contains("00000001.wal: damaged at offset 73: record checksum"), "{error}");
    assert!(error.contains("records 2..=2 are lost"), "{error}");
    let (_, records, report) = try_open(dir.path(), Recovery::Skip, 0).unwrap();
    let kept: Vec<Owned> = expected.iter().filter(|record| record.0 != 2).cloned().collect();
    assert_eq!(records, kept);
    let [damage] = &report.damage[..] else { panic!("{report:?}") };
    let aside = fs::read(damage.quarantined_to.as_ref().unwrap()).unwrap();
    assert_eq!(aside.len(), 28);
    assert_eq!(aside[..5], original[73..78]);
    // Copies and checks of the repaired log know of the gap.
    let (wal, _) = open(dir.path());
    wal.copy_to(&dir.path().join("copy"), 3).unwrap();
    assert_eq!(open(&dir.path().join("copy")).1, [expected[0].clone(), expected[2].clone()]);
}

#[test]
fn damage_in_segments_that_nobody_needs_does_not_stop_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let expected = small_log(dir.path());
    flip(&segment_paths(dir.path())[0], 60, 0);
    let (_, records, report) = try_open(dir.path(), Recovery::Refuse, 4).unwrap();
    assert_eq!((&records[..], report.segments), (&expected[4..], 2));
    assert_eq!(verify(dir.path()).unwrap().damage.len(), 1);
}

#[test]
fn a_payload_cannot_pass_for_records() {
    // A record of another segment inside a damaged payload must not be taken up by the search.
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    put(&wal, 1, b"x");
    wal.rotate().unwrap();
    let inner = fs::read(dir.path().join("00000001.wal")).unwrap()[48..].to_vec();
    put(&wal, 2, &[&inner[..], &[0xFF; 64]].concat());
    put(&wal, 3, b"y");
    drop(wal);
    flip(&dir.path().join("00000002.wal"), 49, 0);
    let (_, records, _) = try_open(dir.path(), Recovery::Skip, 0).unwrap();
    assert_eq!(records, [(1, 1, b"x".to_vec()), (3, 3, b"y".to_vec())]);
}

#[test]
fn strays_are_reported_and_impostors_refused() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    for name in ["notes.txt", "1.wal", "000000001.wal", "+0000001.wal"] {
        fs::write(dir.path().join(name), b"?").unwrap();
    }
    fs::write(dir.path().join("00000007.wal.tmp"), b"half").unwrap();
    let (_, _, report) = try_open(dir.path(), Recovery::Refuse, 0).unwrap();
    assert_eq!(report.strays.len(), 4);
    assert!(!dir.path().join("00000007.wal.tmp").exists());
    for make in [make_dir as fn(&Path), make_fifo, make_link] {
        for name in ["00000002.wal", "durable"] {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(dir.path(), copy.path());
            let path = copy.path().join(name);
            fs::remove_file(&path).unwrap();
            make(&path);
            for recovery in [Recovery::Refuse, Recovery::Skip] {
                let error = try_open(copy.path(), recovery, 0).unwrap_err();
                assert!(error.to_string().contains("expected a regular file"), "{error}");
            }
            assert!(verify(copy.path()).is_err());
        }
    }
}

fn make_dir(path: &Path) {
    fs::create_dir(path).unwrap();
}

fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

fn make_link(path: &Path) {
    std::os::unix::fs::symlink("00000001.wal", path).unwrap();
}

/// A log of one synced record of zeros, so large that a flip in it looks like a page that never arrived.
fn zeros_then_flip(dir: &Path, then: &[&[u8]]) {
    let (wal, _) = open(dir);
    put(&wal, 1, &[0; 4096]);
    for payload in then {
        put(&wal, 2, payload);
    }
    drop(wal);
    flip(&dir.join("00000001.wal"), 100, 0);
}

#[test]
fn a_flip_among_zeros_is_damage_where_a_later_record_states_the_mark() {
    let dir = tempfile::tempdir().unwrap();
    zeros_then_flip(dir.path(), &[b"later"]);
    name_database_of(dir.path());
    let error = try_open(dir.path(), Recovery::Refuse, 0).unwrap_err();
    assert!(error.to_string().contains("records 1..=1 are lost"), "{error}");
    let (_, records, report) = try_open(dir.path(), Recovery::Skip, 0).unwrap();
    assert_eq!((records, report.torn_tail), (vec![(2, 2, b"later".to_vec())], None));
}

#[test]
fn a_flip_among_zeros_in_the_last_sync_is_damage_if_the_mark_file_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    zeros_then_flip(dir.path(), &[]);
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), copy.path());
    assert!(matches!(try_open(dir.path(), Recovery::Refuse, 0), Err(Error::Corrupt { .. })));
    // The stated limit: without the mark it looks torn, and is reported as such.
    name_database_of(copy.path());
    let (_, records, report) = try_open(copy.path(), Recovery::Refuse, 0).unwrap();
    assert_eq!((records, report.torn_tail.unwrap().offset), (vec![], 48));
}

/// A segment ends with a seal, and the power fails before its sync has ended: any of its pages may be missing.
#[test]
fn a_page_that_is_missing_before_a_seal_that_no_sync_covered_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(Dice(0));
    let options = WalOptions { sync: SyncPolicy::Off, ..options(1 << 20) };
    let (wal, _, _) = open_on(Arc::new(disk), dir.path(), options, Recovery::Refuse, 0).unwrap();
    for at in 0..20_u8 {
        put(&wal, 1, &[at; 100]);
    }
    let mark = fs::read(dir.path().join("durable")).unwrap();
    wal.close().unwrap();
    let path = dir.path().join("00000001.wal");
    let whole = fs::read(&path).unwrap();
    for page in 0..whole.len() / 512 {
        let mut bytes = whole.clone();
        let lost = (page * 512).max(48)..(page + 1) * 512;
        bytes[lost.clone()].fill(0);
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        fs::write(copy.path().join("00000001.wal"), &bytes).unwrap();
        // The sync has ended: the mark says so.
        assert!(
            matches!(try_open(copy.path(), Recovery::Refuse, 0), Err(Error::Corrupt { .. })),
            "page {page}"
        );
        // It has not.
        fs::write(copy.path().join("durable"), &mark).unwrap();
        let (wal, records, report) = try_open(copy.path(), Recovery::Refuse, 0).unwrap();
        assert_eq!(records.len(), (lost.start - 48) / 125, "page {page}");
        assert!(report.torn_tail.is_some() && report.damage.is_empty(), "page {page}: {report:?}");
        assert_eq!(put(&wal, 1, b"after"), records.len() as u64 + 1);
        drop(wal);
        assert_eq!(open(copy.path()).1.len(), records.len() + 1, "page {page}");
    }
    // Bytes that are not zeros are damage, and so is what follows a seal.
    for broken in [[&whole[..200], &[7], &whole[201..]].concat(), [&whole[..], &[7; 40]].concat()] {
        fs::write(&path, &broken).unwrap();
        fs::write(dir.path().join("durable"), &mark).unwrap();
        assert!(matches!(try_open(dir.path(), Recovery::Refuse, 0), Err(Error::Corrupt { .. })));
    }
}

#[test]
fn a_seal_notices_what_no_number_shows() {
    let dir = tempfile::tempdir().unwrap();
    let expected = small_log(dir.path());
    let noticed = check_broken(dir.path(), &expected, "a commit cut out", |copy| {
        // After two records of 25 and 28 bytes.
        let path = copy.join("00000001.wal");
        let mut bytes = fs::read(&path).unwrap();
        bytes.drain(48 + 53..48 + 53 + 25);
        fs::write(path, bytes).unwrap();
    });
    assert!(noticed);
}

#[test]
fn a_search_among_imitations_ends() {
    // Headers that claim a plausible number and a large payload; hashing every candidate would take for ever.
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    let mut imitation = [0; 25];
    imitation[..4].copy_from_slice(&(64_u32 << 10).to_le_bytes());
    imitation[9] = 2;
    put(&wal, 1, &imitation.repeat(20_000));
    put(&wal, 1, b"later");
    drop(wal);
    flip(&dir.path().join("00000001.wal"), 60, 0);
    let (_, records, report) = try_open(dir.path(), Recovery::Skip, 0).unwrap();
    assert_eq!((records, report.last_seq), (vec![], 2));
    let whats: Vec<&str> = report.damage.iter().map(|damage| damage.what.as_str()).collect();
    assert!(whats[1].contains("records 1..=2 were synced and are missing"), "{whats:?}");
}

#[test]
fn reading_and_checking_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let mark = dir.path().join("durable");
    for path in segment_paths(dir.path()).iter().chain([&mark]) {
        let listing = || {
            let mut files: Vec<_> =
                fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
            files.sort();
            files.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
        };
        let before = listing();
        for after_seq in [0, 5, 10] {
            crate::wal::read(dir.path(), Recovery::Skip, after_seq, &mut |_| Ok(())).unwrap();
        }
        verify(dir.path()).unwrap();
        assert_eq!(listing(), before);
        fs::remove_file(path).unwrap();
    }
}
