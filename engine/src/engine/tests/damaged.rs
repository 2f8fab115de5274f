//! A log of which a part is damaged: the rest is read.

use std::path::Path;
use std::sync::Arc;

use super::{float_batch, options};
use crate::clock::ManualClock;
use crate::head::record::KIND_SAMPLES;
use crate::model::{Matcher, TimeRange};
use crate::store::memory::MemoryKv;
use crate::wal::{NewRecord, Recovery, Wal, WalOptions};
use crate::{Durability, Engine, Error, Options, Result};

/// Bytes of a segment's header and of a record before its payload.
const PAYLOAD_AT: usize = 48 + 25;

fn open(dir: &Path, recover_damaged_wal: bool) -> Result<Engine> {
    let options = Options { durability: Durability::Always, recover_damaged_wal, ..options() };
    Engine::open_over(dir, Arc::new(MemoryKv::default()), options, Arc::new(ManualClock::new(i64::MAX)))
}

fn values(engine: &Engine, series: u8) -> Vec<f64> {
    let view = engine.view();
    let found = view.select(&[Matcher::equal("job", &format!("job{series}"))], TimeRange::ALL, 10).unwrap();
    found.iter().flat_map(|s| view.read(s, TimeRange::ALL).unwrap().values).collect()
}

#[test]
fn a_record_that_cannot_be_decoded_is_set_aside_with_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), false).unwrap();
    engine.append(&float_batch(0, &[1])).unwrap();
    drop(engine);
    // A writer that is not this engine adds records whose checksums are right.
    let place = dir.path().join("wal");
    let (wal, _) = Wal::open(
        &place,
        WalOptions { reserve_bytes: 0, ..WalOptions::default() },
        Recovery::Refuse,
        0,
        &mut |_| Ok(()),
    )
    .expect("a sound log");
    let not_samples = [0, 1, 0xff, 0xff, 0x7f, 1, 2, 3];
    for (kind, payload) in [(KIND_SAMPLES, &not_samples[..]), (99, b"what is this")] {
        wal.append_all(&[NewRecord { kind, parts: [payload, &[], &[], &[]] }], wal.term()).unwrap();
    }
    wal.close().unwrap();

    let refused = open(dir.path(), false).map(drop).expect_err("a record cannot be decoded").to_string();
    assert!(refused.contains("record 2") && refused.contains("recover_damaged_wal"), "{refused}");
    let engine = open(dir.path(), true).unwrap();
    assert_eq!(values(&engine, 0), [1.0]);
    let damage = &engine.open_report().wal.as_ref().unwrap().damage;
    assert_eq!(damage.len(), 2, "{damage:?}");
    for damage in damage {
        let kept = damage.quarantined_to.as_ref().expect("the bytes are kept");
        assert!(kept.metadata().unwrap().len() > 25, "{damage:?}");
    }
    engine.append(&float_batch(0, &[2])).unwrap();
    drop(engine);
    let engine = open(dir.path(), false).expect("the records are no longer in the log");
    assert_eq!(values(&engine, 0), [1.0, 2.0]);
    assert!(engine.open_report().wal.as_ref().unwrap().damage.is_empty());
}

#[test]
fn samples_of_a_series_whose_definition_is_lost_do_not_cost_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), false).unwrap();
    for (series, second) in [(0, 1), (1, 2), (0, 3), (1, 4)] {
        engine.append(&float_batch(series, &[second])).unwrap();
    }
    drop(engine);
    let segment = dir.path().join("wal/00000001.wal");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[PAYLOAD_AT] ^= 1;
    std::fs::write(&segment, bytes).unwrap();

    let refused = open(dir.path(), false).map(drop).expect_err("a synced record is damaged");
    assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
    let engine = open(dir.path(), true).unwrap();
    assert_eq!((values(&engine, 0), values(&engine, 1)), (vec![], vec![2.0, 4.0]));
    assert_eq!(engine.open_report().wal.as_ref().unwrap().damage.len(), 1);
    assert_eq!(
        engine.open_report().samples_unknown,
        1,
        "of the first series, whose definition went with its first"
    );

    // The gap is in the log now: it is no damage any more, and still one record names a series that nobody knows.
    engine.append(&float_batch(0, &[5])).unwrap();
    drop(engine);
    let engine = open(dir.path(), false).unwrap();
    assert_eq!((values(&engine, 0), values(&engine, 1)), (vec![5.0], vec![2.0, 4.0]));
    assert_eq!(engine.open_report().samples_unknown, 1);
}
