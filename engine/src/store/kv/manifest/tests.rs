//! Manifests made by hand, whole, cut at every byte and with every bit flipped.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// The record of `kind` with `payload`, framed.
fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut summed = vec![kind];
    if (5..=8).contains(&kind) {
        summed.extend_from_slice(&[0; 4]);
    }
    summed.extend_from_slice(payload);
    let mut bytes = masked(crc32c(&summed)).to_le_bytes().to_vec();
    bytes.extend_from_slice(&(payload.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&summed);
    bytes
}

/// What a log writer makes of `payloads`: fragments where a block ends, padding.
fn written(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in payloads {
        let mut rest = &payload[..];
        let mut first = true;
        loop {
            let left = BLOCK_BYTES - bytes.len() % BLOCK_BYTES;
            if left < HEADER_BYTES {
                bytes.resize(bytes.len() + left, 0);
                continue;
            }
            let (fragment, behind) = rest.split_at(rest.len().min(left - HEADER_BYTES));
            let kind = match (first, behind.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            bytes.extend_from_slice(&record(kind, fragment));
            (rest, first) = (behind, false);
            if rest.is_empty() {
                break;
            }
        }
    }
    bytes
}

fn small() -> Vec<u8> {
    written(&[b"\x01\x1aleveldb.BytewiseComparator".to_vec(), b"\x02\x05\x03\x06".to_vec(), vec![7; 40]])
}

fn read(bytes: &[u8]) -> Result<ManifestReport> {
    scan(Path::new("MANIFEST-000005"), bytes, Records::default())
}

fn place(result: Result<ManifestReport>) -> (u64, String) {
    match result {
        Err(Error::Corrupt { file, offset, what }) => {
            assert_eq!(file, "MANIFEST-000005");
            (offset, what)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn sums_are_those_of_the_standard() {
    // RFC 3720, appendix B.4.
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    let ascending: Vec<u8> = (0..32).collect();
    assert_eq!(crc32c(&ascending), 0x46dd_794e);
}

#[test]
fn golden_bytes() {
    // Two records that RocksDB 9.8 wrote.
    let written = b"\xfc\x2c\x26\xf9\x06\x00\x01\x09\x00\x03\x06\x04\x00\
        \xba\x8b\xe2\x57\x08\x00\x01\x09\x00\x03\x0e\x0a\x0c\x04\x65";
    let report = read(written).unwrap();
    assert_eq!((report.records, report.tail), (2, None));
    assert_eq!(record(1, b"\x09\x00\x03\x06\x04\x00"), written[..13]);
}

#[test]
fn a_whole_manifest_has_no_tail() {
    let bytes = small();
    let expected = ManifestReport { manifest: None, bytes: bytes.len() as u64, records: 3, tail: None };
    assert_eq!(read(&bytes).unwrap(), expected);
}

#[test]
fn every_flipped_bit_is_found() {
    let bytes = small();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let (offset, what) = place(read(&flipped));
        assert!(offset <= (bit / 8) as u64, "bit {bit}: {what} at {offset}");
    }
}

#[test]
fn every_flipped_bit_of_fragments_is_found() {
    let payload: Vec<u8> = (0..BLOCK_BYTES + 100).map(|i| i as u8).collect();
    let bytes = written(&[vec![1; 20], payload, vec![2; 9]]);
    let headers = [0, 27, BLOCK_BYTES, bytes.len() - 16];
    for start in headers {
        for bit in start * 8..(start + HEADER_BYTES) * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            place(read(&flipped));
        }
    }
}

#[test]
fn a_cut_leaves_whole_records_and_a_tail() {
    let bytes = small();
    let ends = [35, 46, 93];
    assert_eq!(bytes.len(), 93);
    for size in 0..bytes.len() {
        let result = read(&bytes[..size]);
        let whole = ends.iter().filter(|end| **end <= size).count();
        if whole == 0 {
            let (offset, what) = place(result);
            assert_eq!((offset, what), (0, format!("no whole record in {size} bytes")));
            continue;
        }
        let report = result.unwrap();
        assert_eq!(report.records, whole as u64);
        let start = ends[whole - 1];
        match report.tail {
            None => assert_eq!(size, start),
            Some(tail) => {
                assert_eq!((tail.offset, tail.bytes), (start as u64, (size - start) as u64));
                let what = if size - start < HEADER_BYTES {
                    "part of a record's header"
                } else {
                    "part of a record"
                };
                assert_eq!(tail.what, what);
            }
        }
    }
}

#[test]
fn zeros_behind_the_last_record_are_a_tail() {
    let mut bytes = small();
    let size = bytes.len();
    bytes.resize(BLOCK_BYTES * 3 + 100, 0);
    let tail = ManifestTail { offset: size as u64, bytes: (bytes.len() - size) as u64, what: "zeros" };
    assert_eq!(read(&bytes).unwrap().tail, Some(tail));
    for at in [size + 300, BLOCK_BYTES + 1, bytes.len() - 1] {
        let mut data = bytes.clone();
        data[at] = 1;
        assert_eq!(place(read(&data)), (at as u64, "data behind a run of zeros".to_owned()));
    }
}

#[test]
fn fragments_without_an_end_are_a_tail() {
    let mut bytes = small();
    let start = bytes.len() as u64;
    bytes.extend_from_slice(&record(2, b"first"));
    bytes.extend_from_slice(&record(3, b"middle"));
    let tail = read(&bytes).unwrap().tail.unwrap();
    assert_eq!((tail.offset, tail.bytes), (start, 25));
    assert_eq!(tail.what, "fragments of a record without the last one");
    bytes.extend_from_slice(&record(4, b"last")[..8]);
    assert_eq!(read(&bytes).unwrap().tail.unwrap().offset, start);
}

#[test]
fn types_out_of_order_are_damage() {
    for (kinds, at, what) in [
        (&[1, 3][..], 8, "record type 3 without a first fragment"),
        (&[1, 4], 8, "record type 4 without a first fragment"),
        (&[2, 1], 8, "record type 1 inside the record begun at 0"),
        (&[2, 2], 8, "record type 2 inside the record begun at 0"),
        (&[1, 5], 8, "record type 5 among types of the other family"),
        (&[5, 1], 12, "record type 1 among types of the other family"),
        (&[1, 9], 8, "record type 9 is not one of a manifest"),
        (&[1, 0], 8, "record type 0 is not one of a manifest"),
        (&[1, 130], 8, "record type 130 is not one of a manifest"),
    ] {
        let bytes: Vec<u8> = kinds.iter().flat_map(|kind| record(*kind, b"x")).collect();
        assert_eq!(place(read(&bytes)), (at, what.to_owned()), "{kinds:?}");
    }
}

#[test]
fn recyclable_records_are_read() {
    let bytes: Vec<u8> = [5, 6, 7, 8].iter().flat_map(|kind| record(*kind, b"abc")).collect();
    assert_eq!(read(&bytes).unwrap().records, 2);
    let mut summed = vec![5, 1, 0, 0, 0];
    summed.extend_from_slice(b"abc");
    let mut other = masked(crc32c(&summed)).to_le_bytes().to_vec();
    other.extend_from_slice(&[3, 0]);
    other.extend_from_slice(&summed);
    assert_eq!(place(read(&other)), (0, "a record of another log".to_owned()));
}

#[test]
fn a_record_longer_than_its_block_is_damage() {
    let mut bytes = small();
    let last = bytes.len() - 47;
    bytes[last + 5] = 0xff;
    assert_eq!(
        place(read(&bytes)),
        (last as u64, "a record of 65327 bytes where its block has 32722 left".to_owned())
    );
}

#[test]
fn a_directory_is_checked_by_its_current() {
    let dir = TempDir::new().unwrap();
    let (current, manifest) = (dir.path().join("CURRENT"), dir.path().join("MANIFEST-000005"));
    assert_eq!(check(dir.path()).unwrap(), ManifestReport::default());
    assert_eq!(check(&dir.path().join("absent")).unwrap(), ManifestReport::default());
    fs::write(&manifest, small()).unwrap();
    assert_eq!(check(dir.path()).unwrap(), ManifestReport::default(), "half-created");
    fs::write(dir.path().join("000007.sst"), b"").unwrap();
    let message = |what: &str| format!("{}: damaged at offset 0: {what}", current.display());
    let error = |dir: &Path| check(dir).unwrap_err().to_string();
    assert_eq!(error(dir.path()), message("it is missing beside table files"));
    fs::write(&current, b"MANIFEST-000005\n").unwrap();
    let report = check(dir.path()).unwrap();
    assert_eq!((report.manifest.as_deref(), report.records), (Some("MANIFEST-000005"), 3));
    for bit in 0..16 * 8 {
        let mut bytes = *b"MANIFEST-000005\n";
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&current, bytes).unwrap();
        assert!(matches!(check(dir.path()), Err(Error::Corrupt { .. })), "bit {bit}");
    }
    fs::write(&current, vec![b'x'; 1 << 20]).unwrap();
    assert!(error(dir.path()).len() < 400);
    fs::remove_file(&current).unwrap();
    fs::create_dir(&current).unwrap();
    assert_eq!(error(dir.path()), message("it is not a plain file"));
}

/// What the linked RocksDB writes itself, closed and opened again in between.
#[cfg(feature = "rocksdb")]
#[test]
fn every_flipped_bit_of_a_real_manifest_is_found() {
    use crate::store::kv::StoreSettings;
    use crate::store::kv::{Bulk, Family, Kv};
    use crate::store::rocks::RocksKv;
    let dir = TempDir::new().unwrap();
    let settings = StoreSettings {
        dir: dir.path().join("store"),
        staging: dir.path().join("staging"),
        cache_bytes: 1 << 20,
        open_timeout: std::time::Duration::from_secs(60),
        read_only: false,
    };
    for round in 0u8..2 {
        let store = RocksKv::open(settings.clone()).unwrap();
        store.commit(vec![(vec![round], Some(b"record".to_vec()))]).unwrap();
        let mut table = store.table(Family::Chunks).unwrap();
        table.put(&[round, 1], b"chunk").unwrap();
        let table = table.finish().unwrap();
        store.ingest(Family::Chunks, vec![table]).unwrap();
    }
    let report = check(&settings.dir).unwrap();
    assert!(report.records > 5 && report.tail.is_none(), "{report:?}");
    let path = settings.dir.join(report.manifest.unwrap());
    let bytes = fs::read(&path).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(scan(&path, &flipped[..], Records::default()).is_err(), "bit {bit}");
    }
    fs::remove_file(settings.dir.join("CURRENT")).unwrap();
    let error = RocksKv::open(settings).err().unwrap().to_string();
    assert!(error.ends_with("it is missing beside table files"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_is_refused_unopened() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("CURRENT"), b"MANIFEST-000005\n").unwrap();
    mknodat(CWD, dir.path().join("MANIFEST-000005"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let error = check(dir.path()).unwrap_err().to_string();
    assert!(error.ends_with("MANIFEST-000005: damaged at offset 0: it is not a plain file"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_a_writer_frames_is_sound(sizes in proptest::collection::vec(0usize..70_000, 1..8)) {
        let payloads: Vec<Vec<u8>> = sizes.iter().map(|size| vec![*size as u8; *size]).collect();
        let bytes = written(&payloads);
        let report = read(&bytes).unwrap();
        prop_assert_eq!((report.records, report.tail), (sizes.len() as u64, None));
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let mut behind = small();
        behind.extend_from_slice(&bytes);
        let _ = read(&behind);
    }
}
