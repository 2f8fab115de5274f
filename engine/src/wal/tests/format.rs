//! The bytes on the disk are what the table says.

use super::*;
use crate::wal::format::{Fault, HEADER_BYTES, Header};

/// A segment with the records (1, kind 7, "ab") and (2, kind 8, "") in two syncs, sealed.
const GOLDEN: &str = "
    4241524f57414c00 01000000 00000000 efcdab8967452301 0100000000000000 0100000000000000 00000000 c12164d8
    02000000 3e7aee57 07 0100000000000000 0000000000000000 6162
    00000000 73d84463 f0 0100000000000000 0000000000000000
    00000000 1a260ebe 08 0200000000000000 0100000000000000
    00000000 1f6c2686 f0 0200000000000000 0100000000000000
    0c000000 82923625 f2 0200000000000000 0200000000000000 0400000000000000 783d10a2";
/// The two slots of the file `durable` after it.
const GOLDEN_MARK: [&str; 2] = [
    "4241524f4d41524b 02000000 00000000 efcdab8967452301 0200000000000000 4338087b",
    "4241524f4d41524b 02000000 00000000 efcdab8967452301 0200000000000000 4338087b",
];
/// The same file in version 1.
const GOLDEN_MARK_1: &str = "4241524f4d41524b 01000000 00000000 efcdab8967452301 0200000000000000 6b911623";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn golden_mark() -> Vec<u8> {
    [bytes(GOLDEN_MARK[0]), vec![0; 4096 - 36], bytes(GOLDEN_MARK[1])].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn golden_bytes() {
    let dir = tempfile::tempdir().unwrap();
    name_database(dir.path(), 0x0123_4567_89ab_cdef);
    let (wal, _) = open(dir.path());
    put(&wal, 7, b"ab");
    put(&wal, 8, b"");
    wal.close().unwrap();
    let segment = std::fs::read(dir.path().join("00000001.wal")).unwrap();
    assert_eq!(hex(&segment), hex(&bytes(GOLDEN)));
    let mark = std::fs::read(dir.path().join("durable")).unwrap();
    assert!(mark == golden_mark(), "{}", hex(&mark));
}

#[test]
fn golden_bytes_replay() {
    for mark in [golden_mark(), bytes(GOLDEN_MARK_1)] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("00000001.wal"), bytes(GOLDEN)).unwrap();
        std::fs::write(dir.path().join("durable"), mark).unwrap();
        assert_eq!(verify(dir.path()).unwrap().damage, []);
        let (_, records) = open(dir.path());
        assert_eq!(records, [(1, 7, b"ab".to_vec()), (2, 8, vec![])]);
        let mark = std::fs::read(dir.path().join("durable")).unwrap();
        assert!(mark == golden_mark(), "{}", hex(&mark));
    }
}

#[test]
fn future_version_is_refused_in_every_mode() {
    let dir = tempfile::tempdir().unwrap();
    for (name, at, length, newest) in
        [("00000001.wal", 0, 48, 1), ("durable", 0, 36, 2), ("durable", 4096, 36, 2)]
    {
        let (segment, mark) = (bytes(GOLDEN), golden_mark());
        std::fs::write(dir.path().join("00000001.wal"), &segment).unwrap();
        std::fs::write(dir.path().join("durable"), &mark).unwrap();
        let mut newer = if name == "durable" { mark } else { segment };
        newer[at + 8] = newest + 1;
        let crc = crc32fast::hash(&newer[at..at + length - 4]);
        newer[at + length - 4..at + length].copy_from_slice(&crc.to_le_bytes());
        std::fs::write(dir.path().join(name), newer).unwrap();
        for recovery in [Recovery::Refuse, Recovery::Skip] {
            let error = try_open(dir.path(), recovery, 0).unwrap_err();
            let Error::FutureVersion { found, supported, .. } = error else { panic!("{error}") };
            assert_eq!((found, supported), (u32::from(newest) + 1, u32::from(newest)));
        }
        assert!(matches!(verify(dir.path()), Err(Error::FutureVersion { .. })));
    }
}

#[test]
fn header_faults() {
    let good = Header { database_id: 1, number: 2, first_seq: 3 };
    let bytes = good.encode();
    assert_eq!(Header::decode(&bytes), Ok(good));
    assert_eq!(Header::decode(&bytes[..47]), Err(Fault::Short { expected: HEADER_BYTES, found: 47 }));
    for at in 0..HEADER_BYTES {
        for bit in 0..8 {
            let mut flipped = bytes;
            flipped[at] ^= 1 << bit;
            assert!(
                matches!(Header::decode(&flipped), Err(Fault::Magic | Fault::HeaderCrc { .. })),
                "byte {at}"
            );
        }
    }
    let zero = Header { first_seq: 0, ..good };
    assert_eq!(Header::decode(&zero.encode()), Err(Fault::FirstSeq { expected: 1, found: 0 }));
}
