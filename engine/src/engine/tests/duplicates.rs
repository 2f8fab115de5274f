//! Rules for duplicates that ladders have, which may change.

use std::sync::Arc;

use super::{SECOND, YEAR_2024, labels, options};
use crate::clock::ManualClock;
use crate::model::{Matcher, TimeRange, Value};
use crate::store::memory::MemoryKv;
use crate::{Batch, Engine, Kept, Ladder, Options};

fn ladders(steps: &str) -> Vec<Ladder> {
    vec![Ladder::new(vec![Matcher::equal("job", "job0")], steps).unwrap()]
}

fn write(engine: &Engine, second: i64, value: f64) {
    let mut batch = Batch::new();
    for series in 0..2 {
        batch.push(&labels(series), YEAR_2024 + second * SECOND, Value::Float(value));
    }
    engine.append(&batch).unwrap();
}

/// What the two series have at a time.
fn values(engine: &Engine, second: i64) -> [f64; 2] {
    let at = YEAR_2024 + second * SECOND;
    [0, 1].map(|series: u8| {
        let view = engine.view();
        let job = [Matcher::equal("job", &format!("job{series}"))];
        let found = view.select(&job, TimeRange::inclusive(at, at), 10).unwrap();
        let run = view.read(&found[0], TimeRange::inclusive(at, at)).unwrap();
        let [value] = run.values[..] else { panic!("one sample of job{series}: {run:?}") };
        value
    })
}

#[test]
fn a_rule_that_changes_concerns_samples_that_have_not_been_merged() {
    let engine = Engine::in_memory(options()).unwrap();
    write(&engine, 1, 5.0);
    write(&engine, 1, 3.0);
    assert_eq!(values(&engine, 1), [3.0, 3.0]);
    engine.set_ladders(ladders("raw, duplicates max")).unwrap();
    assert_eq!(values(&engine, 1), [5.0, 3.0]);
    engine.flush().unwrap();
    write(&engine, 1, 4.0);
    assert_eq!(values(&engine, 1), [5.0, 4.0], "in the store and in memory");
    engine.flush().unwrap();
    engine.set_ladders(ladders("raw, duplicates min")).unwrap();
    assert_eq!(values(&engine, 1), [4.0, 4.0], "in two generations");
    engine.set_ladders(ladders("raw, duplicates first")).unwrap();
    write(&engine, 200, 0.0);
    engine.flush().unwrap();
    engine.compact().unwrap();
    assert_eq!(engine.stats().merges, 1);
    engine.set_ladders(ladders("raw")).unwrap();
    assert_eq!(values(&engine, 1), [5.0, 4.0], "merged by the rule of that time");
}

#[test]
fn a_log_is_replayed_by_the_rules_that_are_stored() {
    let (dir, kv) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()));
    let open = |options: Options| {
        let clock = Arc::new(ManualClock::new(i64::MAX));
        Engine::open_over(dir.path(), kv.clone(), options.with_stored_kept(true), clock).unwrap()
    };
    let engine = open(options());
    engine.store_kept(Kept { ladders: ladders("raw, duplicates max"), ..engine.kept() }).unwrap();
    write(&engine, 1, 9.0);
    write(&engine, 1, 7.0);
    write(&engine, 30, 1.0);
    // The replay of a delete makes one sample of two.
    let any = [Matcher::equal("job", "job0")];
    engine.delete(&any, TimeRange::inclusive(YEAR_2024 + 30 * SECOND, YEAR_2024 + 31 * SECOND)).unwrap();
    write(&engine, 1, 8.0);
    assert_eq!(values(&engine, 1), [9.0, 8.0]);
    drop(engine);
    let engine = open(options());
    assert_eq!(engine.open_report().samples_replayed, 8);
    assert_eq!(values(&engine, 1), [9.0, 8.0]);
}
