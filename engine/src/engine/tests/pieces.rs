//! One series of very many samples: flushes and merges hold a few pieces of it at a time, and write what they would
//! write of the whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{SECOND, YEAR_2024, labels, options};
use crate::budget::Work;
use crate::chunk::Run;
use crate::clock::ManualClock;
use crate::codec::CompressionLevel;
use crate::model::{Labels, Matcher, TimeRange, Value};
use crate::store::kv::{Bulk, Family};
use crate::store::memory::MemoryKv;
use crate::{Batch, Engine, Options};

const CHUNK: usize = 64;
const SAMPLES: i64 = 40_000;

fn engine(dir: &tempfile::TempDir) -> (Engine, Arc<MemoryKv>) {
    let store = Arc::new(MemoryKv::default());
    let day = Duration::from_secs(86_400);
    let options = Options { partition_width: day, chunk_samples: CHUNK, memory_bytes: 1 << 30, ..options() };
    let clock = Arc::new(ManualClock::new(i64::MAX));
    (Engine::open_over(dir.path(), store.clone(), options, clock).unwrap(), store)
}

fn append(engine: &Engine, model: &mut BTreeMap<i64, f64>, times: impl Iterator<Item = i64>, value: f64) {
    let (labels, mut batch) = (labels(0), Batch::new());
    for time in times {
        let value = value + (time % 7) as f64;
        batch.push(&labels, time, Value::Float(value));
        model.insert(time, value);
    }
    engine.append(&batch).unwrap();
}

fn check(engine: &Engine, model: &BTreeMap<i64, f64>) {
    let view = engine.view();
    let found = view.select(&[Matcher::equal("job", "job0")], TimeRange::ALL, 10).unwrap();
    let run = view.read(&found[0], TimeRange::ALL).unwrap();
    assert!(run.timestamps.iter().copied().zip(run.values).eq(model.iter().map(|(&t, &v)| (t, v))));
}

/// The chunks of one series that hold `model`, made of it as a whole.
fn whole(model: &BTreeMap<i64, f64>, keys: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut run = Run::default();
    model.iter().for_each(|(&t, &v)| run.push(t, 0, &Value::Float(v)));
    let spans = run.chunk_spans(CHUNK).zip(keys).map(|((kind, span), key)| {
        let mut bytes = Vec::new();
        run.encode_span(key, kind, span, CompressionLevel::Best, &mut bytes);
        bytes
    });
    spans.collect()
}

#[test]
fn a_merge_holds_the_chunks_that_lie_over_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = engine(&dir);
    let (mut model, at) = (BTreeMap::new(), |i: i64| YEAR_2024 + i * SECOND);
    // Three generations over the whole span, one sample of each in turn; then one that overwrites a part.
    for part in 0..3 {
        append(&engine, &mut model, (0..SAMPLES).filter(|i| i % 3 == part).map(at), part as f64);
        engine.flush().unwrap();
    }
    append(&engine, &mut model, (SAMPLES / 4..SAMPLES / 2).step_by(5).map(at), 100.0);
    engine.flush().unwrap();
    let deleted = TimeRange::inclusive(at(7_000), at(7_777));
    engine.delete(&[Matcher::equal("job", "job0")], deleted).unwrap();
    model.retain(|t, _| !deleted.contains(*t));
    // The day is over when the next but one begins.
    let mut later = Batch::new();
    later.push(&labels(1), at(3 * 86_400), Value::Float(1.0));
    engine.append(&later).unwrap();
    engine.flush().unwrap();
    engine.compact().unwrap();

    let stats = engine.stats();
    assert_eq!((stats.generations, stats.stored_samples), (2, model.len() as u64 + 1));
    check(&engine, &model);
    let held = stats.merge_samples_peak as usize;
    assert!((CHUNK..=8 * CHUNK).contains(&held), "{held} of {} samples", model.len());
    let (mut keys, mut chunks) = (Vec::new(), Vec::new());
    let mut cursor = store.cursor(Family::Chunks);
    cursor.seek(&[]).unwrap();
    while let Some((key, value)) = cursor.entry() {
        keys.push(key.to_vec());
        chunks.push(value.to_vec());
        cursor.advance().unwrap();
    }
    chunks.pop();
    assert_eq!(chunks, whole(&model, &keys));
}

#[test]
fn a_flush_holds_the_chunks_that_lie_over_each_other() {
    for (newest_first, are_late) in [(false, false), (false, true), (true, true)] {
        let dir = tempfile::tempdir().unwrap();
        let (engine, _) = engine(&dir);
        let (mut model, at) = (BTreeMap::new(), |i: i64| YEAR_2024 + i * SECOND);
        if newest_first {
            append(&engine, &mut model, std::iter::once(at(SAMPLES)), 5.0);
        }
        append(&engine, &mut model, (0..SAMPLES).step_by(2).map(at), 0.0);
        if are_late {
            // Between the others and over them.
            append(&engine, &mut model, (0..SAMPLES).step_by(3).map(at), 50.0);
        }
        engine.flush().unwrap();
        check(&engine, &model);
        let held = engine.stats().flush_samples_peak as usize;
        assert!((1..=2 * CHUNK + 2 * 1024).contains(&held), "{held} of {} samples", model.len());
    }
}

/// Appends events of many series at each of `times`.
fn append_events(engine: &Engine, model: &mut BTreeMap<(i64, Labels), String>, times: &[i64], word: &str) {
    let mut batch = Batch::new();
    for (number, &time) in times.iter().enumerate() {
        let labels = Labels::from_pairs([("__name__", "log"), ("number", &number.to_string())]).unwrap();
        let text = format!("{word} {number} {}", "x".repeat(1024));
        batch.push_event(&labels, time, &text);
        model.insert((time, labels), text);
    }
    engine.append(&batch).unwrap();
}

#[test]
fn a_merge_holds_the_events_of_one_instant_or_a_part_of_them() {
    const EVENTS: i64 = 3000;
    let at_once = |_| YEAR_2024;
    let one_after_the_other = |i: i64| YEAR_2024 + i * SECOND;
    let least = 16 << 20;
    for (time, held_max) in [(at_once as fn(i64) -> i64, least / 40), (one_after_the_other, 2048)] {
        let dir = tempfile::tempdir().unwrap();
        let options =
            Options { partition_width: Duration::from_secs(86_400), memory_bytes: least, ..options() };
        let clock = Arc::new(ManualClock::new(i64::MAX));
        let engine = Engine::open_over(dir.path(), Arc::new(MemoryKv::default()), options, clock).unwrap();
        let times: Vec<i64> = (0..EVENTS).map(time).collect();
        let mut model = BTreeMap::new();
        // Of two events the one written later wins, and some were deleted.
        for (word, count) in [("first", EVENTS), ("second", EVENTS / 2)] {
            append_events(&engine, &mut model, &times[..count as usize], word);
            engine.flush().unwrap();
        }
        engine.delete(&[Matcher::equal("number", "77")], TimeRange::ALL).unwrap();
        model.retain(|(_, labels), _| labels.get("number") != Some("77"));
        // The day is over when the one after the next begins.
        let mut later = Batch::new();
        later.push(&labels(1), YEAR_2024 + 3 * 86_400 * SECOND, Value::Float(1.0));
        engine.append(&later).unwrap();
        engine.flush().unwrap();
        engine.compact().unwrap();

        let stats = engine.stats();
        assert_eq!((stats.generations, engine.verify().unwrap().is_clean()), (2, true));
        let found = engine.view().events(&[vec![]], TimeRange::ALL, usize::MAX).unwrap();
        assert!(found.into_iter().map(|e| ((e.timestamp.as_nanos(), e.labels), e.text)).eq(model));
        let held = stats.merge_event_bytes_peak;
        assert!((1024..=held_max).contains(&held), "{held} bytes of {EVENTS} events of a KiB");
    }
}

/// What is in the store several times over, in the head, late, overwritten and deleted.
#[test]
fn a_long_series_is_read_in_pieces() {
    const LONG: i64 = 300_000;
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    // Seven samples in a millisecond; the second half on another day.
    let at = |i: i64| YEAR_2024 + i / 7 * 1_000_000 + i % 7 + if i < LONG / 2 { 0 } else { 86_400 * SECOND };
    let mut model = BTreeMap::new();
    for part in 0..2 {
        append(&engine, &mut model, (0..LONG).filter(|i| i % 2 == part).map(at), part as f64);
        engine.flush().unwrap();
    }
    append(&engine, &mut model, (LONG / 4..LONG / 2).step_by(5).map(at), 100.0);
    append(&engine, &mut model, (LONG..LONG + 100_000).map(at), 7.0);
    append(&engine, &mut model, (0..LONG).step_by(3).map(at), 200.0);
    let deleted = TimeRange::inclusive(at(70_000), at(77_777));
    engine.delete(&[Matcher::equal("job", "job0")], deleted).unwrap();
    model.retain(|t, _| !deleted.contains(*t));

    let range = TimeRange::new(at(3), at(LONG + 99_000));
    model.retain(|t, _| range.contains(*t));
    let work = Work::unbounded().holding(24 << 20);
    let view = engine.view().with_work(&work);
    let (mut found, mut pieces, mut from) = (Vec::new(), 0, range.start);
    let job = [Matcher::equal("job", "job0")];
    let whole = view.each_piece(&job, range, 10, &|_| false, &mut |series, piece, run| {
        assert_eq!((&series.labels, piece.start >= from), (&labels(0), true));
        assert!(run.timestamps.iter().all(|t| piece.contains(*t)));
        let millisecond = |t: i64| t.div_euclid(1_000_000);
        let last: Option<&(i64, f64)> = found.last();
        assert!(
            last.is_none_or(|(t, _)| millisecond(*t) < millisecond(run.timestamps[0])),
            "no millisecond is cut"
        );
        from = piece.end;
        pieces += 1;
        found.extend(run.timestamps.iter().copied().zip(run.values.iter().copied()));
        Ok(true)
    });
    assert!(whole.unwrap() && pieces > 4, "{pieces}");
    assert!(found.iter().copied().eq(model.into_iter()));
    let read = view.each_series(&job, range, 10, &|_| false, &mut |_, _| Ok(true));
    assert!(matches!(read, Err(crate::Error::Memory(_))), "the whole does not fit: {read:?}");
    let mut count = 0;
    let stopped = view.each_piece(&job, range, 10, &|_| false, &mut |_, _, _| {
        count += 1;
        Ok(count < 3)
    });
    assert_eq!((stopped.unwrap(), count), (false, 3));
}
