//! Series that had no samples in a range are left out unread, and none that had is missed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::clock::SystemClock;

const WAVE: u64 = 300;

/// Every sample, by series number and second.
type Model = BTreeMap<(u64, i64), f64>;

fn pod(number: u64) -> Labels {
    let (pod, wave) = (format!("pod-{number:05}"), format!("w{}", number / WAVE));
    Labels::from_pairs([("__name__", "up"), ("pod", pod.as_str()), ("wave", wave.as_str())]).unwrap()
}

fn append(engine: &Engine, model: &mut Model, numbers: impl Iterator<Item = u64>, seconds: &[i64]) {
    let mut batch = Batch::new();
    for number in numbers {
        for &second in seconds {
            let value = (number * 1000) as f64 + second as f64;
            batch.push(&pod(number), YEAR_2024 + second * SECOND, Value::Float(value));
            model.insert((number, second), value);
        }
    }
    engine.append(&batch).unwrap();
}

/// How many series are selected for the seconds after `from` up to `to`; what they hold is
/// compared with the model.
fn check(engine: &Engine, model: &Model, from: i64, to: i64) -> usize {
    let view = engine.view();
    let range = TimeRange::new(YEAR_2024 + from * SECOND, YEAR_2024 + to * SECOND);
    let matchers = [Matcher::equal("__name__", "up"), Matcher::new("wave", MatchOp::Regex, "w.*").unwrap()];
    let mut found = Model::new();
    let selected = view.select(&matchers, range, usize::MAX).unwrap();
    for series in &selected {
        let number: u64 = series.labels.get("pod").unwrap()[4..].parse().unwrap();
        let run = view.read(series, range).unwrap();
        found.extend(run.timestamps.iter().enumerate().map(|(i, t)| {
            let Value::Float(value) = run.value_at(i) else { panic!("no float") };
            ((number, (t - YEAR_2024) / SECOND), value)
        }));
    }
    let expected: Model =
        model.iter().filter(|((_, at), _)| *at > from && *at <= to).map(|(at, v)| (*at, *v)).collect();
    assert!(found == expected, "{} samples, not {}, in {from}..{to}", found.len(), expected.len());
    selected.len()
}

#[test]
fn a_question_about_a_moment_selects_few_of_many_short_lived_series() {
    let dir = tempfile::tempdir().unwrap();
    let kv = Arc::new(MemoryKv::default());
    let wide = Options { partition_width: Duration::from_secs(3600), ..options() };
    let open = || Engine::open_over(dir.path(), kv.clone(), wide.clone(), Arc::new(SystemClock)).unwrap();
    let (engine, mut model) = (open(), Model::new());
    for wave in 0..20 {
        let first = wave as i64 * 10;
        append(&engine, &mut model, wave * WAVE..(wave + 1) * WAVE, &[first + 1, first + 9]);
        if wave % 4 == 3 {
            engine.flush().unwrap();
        }
    }
    // Some of the first come back: what they have is in a generation without their records.
    append(&engine, &mut model, 0..5, &[155]);
    engine.flush().unwrap();
    let check_all = |engine: &Engine| {
        for (from, to, waves) in [(41, 48, 0), (41, 49, 1), (59, 71, 3), (0, 10, 1), (-50, -1, 0)] {
            let selected = check(engine, &model, from, to);
            // A stretch has neighbours of the wave before, and bounds are whole.
            assert!(selected <= (waves + 1) * WAVE as usize + 512, "{selected} in {from}..{to}");
        }
        let came_back = check(engine, &model, 154, 156);
        assert!((5..1_000).contains(&came_back), "{came_back}");
        assert_eq!(check(engine, &model, -1, 10_000), 6_000, "all of them");
        assert_eq!(engine.verify().unwrap().problems, Vec::<String>::new());
    };
    check_all(&engine);
    drop(engine);
    let engine = open();
    check_all(&engine);
    append(&engine, &mut Model::new(), 0..1, &[40_000]);
    engine.flush().unwrap();
    assert!(engine.compact().is_ok() && engine.stats().merges > 0);
    check_all(&engine);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_sample_is_missed(
        ops in proptest::collection::vec((0u64..8, 0i64..200, 1usize..90, any::<bool>()), 1..12),
        asked in proptest::collection::vec((-5i64..220, 0i64..80), 1..8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let engine =
            Engine::open_over(dir.path(), Arc::new(MemoryKv::default()), options(), Arc::new(SystemClock)).unwrap();
        let mut model = Model::new();
        for (wave, second, step, flushes) in ops {
            let numbers = (wave * WAVE..(wave + 1) * WAVE).step_by(step);
            append(&engine, &mut model, numbers, &[second, second + 7, second + 61]);
            if flushes {
                engine.flush().unwrap();
            }
        }
        for round in 0..2 {
            for &(from, length) in &asked {
                check(&engine, &model, from, from + length);
            }
            if round == 0 {
                engine.flush().unwrap();
                engine.compact().unwrap();
            }
        }
        prop_assert!(engine.verify().unwrap().is_clean());
    }
}
