//! Flushes and merges while a writer overwrites and deletes: what is acknowledged stays.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::SECOND;
use crate::model::{Labels, Matcher, TimeRange, Value};
use crate::{Batch, Engine, Options};

const SERIES: u64 = 4;
const WIDTH: i64 = 60;

/// xorshift64*: seeded, so that a writer does the same each time. When the others act is the machine's choice.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

fn labels(series: u64) -> Labels {
    let number = series.to_string();
    Labels::from_pairs([("__name__", "m"), ("i", number.as_str())]).expect("names differ")
}

/// What the database must hold: by series and second.
type Kept = BTreeMap<(u64, i64), f64>;

fn write(engine: &Engine, random: &mut Random, kept: &mut Kept, number: u64) {
    let series = random.below(SERIES);
    let at = random.below(4 * WIDTH as u64) as i64;
    if random.below(4) == 0 {
        // Whole partitions, so that series are often left without a sample in one.
        let first = at.div_euclid(WIDTH) * WIDTH;
        let range = TimeRange::inclusive(first * SECOND, (first + WIDTH - 1) * SECOND);
        engine.delete(&[Matcher::equal("i", &series.to_string())], range).expect("a delete");
        kept.retain(|(of, at), _| *of != series || !(first..first + WIDTH).contains(at));
        return;
    }
    let mut batch = Batch::new();
    batch.push(&labels(series), at * SECOND, Value::Float(number as f64));
    engine.append(&batch).expect("an append");
    kept.insert((series, at), number as f64);
}

fn held(engine: &Engine) -> Kept {
    let view = engine.view();
    let mut held = Kept::new();
    for series in view.select(&[], TimeRange::ALL, 100).expect("memory answers") {
        let number = series.labels.get("i").and_then(|i| i.parse().ok()).expect("a number");
        let run = view.read(&series, TimeRange::ALL).expect("memory answers");
        held.extend(
            run.timestamps.iter().zip(&run.values).map(|(at, value)| ((number, at / SECOND), *value)),
        );
    }
    held
}

/// Ends the other threads when the writer is through, be it by a panic.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nothing_acknowledged_is_lost_between_flushes_and_merges() {
    let options = Options {
        background: false,
        partition_width: Duration::from_secs(WIDTH as u64),
        chunk_samples: 16,
        ..Options::default()
    };
    let engine = Engine::in_memory(options).expect("the options are good");
    let (stop, mut kept, mut random) = (AtomicBool::new(false), Kept::new(), Random(0x5eed));
    // The partitions that are written to are closed.
    let mut batch = Batch::new();
    batch.push(&labels(SERIES), 100 * WIDTH * SECOND, Value::Float(0.0));
    kept.insert((SERIES, 100 * WIDTH), 0.0);
    engine.append(&batch).expect("an append");
    std::thread::scope(|scope| {
        for work in [|engine: &Engine| engine.flush().map(drop), Engine::compact] {
            let (engine, stop) = (&engine, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    work(engine).expect("memory takes it");
                }
            });
        }
        let _stop = StopAtEnd(&stop);
        for number in 0..50_000 {
            write(&engine, &mut random, &mut kept, number);
            if number % 100 == 0 {
                assert_eq!(held(&engine), kept, "after {number} requests");
            }
        }
    });
    assert_eq!(held(&engine), kept);
    assert!(engine.verify().expect("memory answers").is_clean());
    let done = engine.stats();
    assert!(done.merges > 10 && done.flushes > 10, "too little to say anything: {done:?}");
}
