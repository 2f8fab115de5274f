//! The report of cardinality, against labels counted one by one.

use std::collections::{BTreeMap, BTreeSet};

use super::random::Random;
use super::*;
use crate::Cardinality;
use crate::budget::Work;
use crate::clock::SystemClock;

type Counts = BTreeMap<String, u64>;

/// Largest first, equal ones by name.
fn largest(counts: Counts, top: usize) -> Vec<(String, u64)> {
    let mut list: Vec<_> = counts.into_iter().collect();
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list.truncate(top);
    list
}

fn counted(series: &BTreeSet<Labels>, top: usize) -> Cardinality {
    let mut pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for labels in series {
        labels.iter().for_each(|pair| *pairs.entry(pair).or_default() += 1);
    }
    let (mut metrics, mut values, mut bytes, mut by_pair) =
        (Counts::new(), Counts::new(), Counts::new(), Counts::new());
    for (&(name, value), &count) in &pairs {
        if name == "__name__" {
            metrics.insert(value.to_owned(), count);
        }
        *values.entry(name.to_owned()).or_default() += 1;
        *bytes.entry(name.to_owned()).or_default() += value.len() as u64 * count;
        by_pair.insert(format!("{name}={value}"), count);
    }
    Cardinality {
        series: series.len() as u64,
        label_names: values.len() as u64,
        label_pairs: pairs.len() as u64,
        series_by_metric: largest(metrics, top),
        values_by_label: largest(values, top),
        bytes_by_label: largest(bytes, top),
        series_by_pair: largest(by_pair, top),
    }
}

fn some_labels(random: &mut Random) -> Labels {
    let mut below = |bound| random.below(bound);
    let (name, pod, zone) =
        (format!("m{}", below(5)), format!("pod-{}", below(90)), format!("z{}", below(3)));
    let zone = if below(2) == 0 { "" } else { &zone };
    Labels::from_pairs([("__name__", name.as_str()), ("pod", &pod), ("zone", zone)]).unwrap()
}

#[test]
fn each_label_set_counts_once_wherever_and_under_whatever_ids_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let kv = Arc::new(MemoryKv::default());
    let (mut random, mut all) = (Random(7), BTreeSet::new());
    let day = 86_400;
    for life in 0..4 {
        let engine = Engine::open_over(dir.path(), kv.clone(), options(), Arc::new(SystemClock)).unwrap();
        for round in 0..3 {
            let mut batch = Batch::new();
            for _ in 0..60 {
                let labels = some_labels(&mut random);
                batch.push(&labels, YEAR_2024 + (life * day / 2 + round) * SECOND, Value::Float(1.0));
                all.insert(labels);
            }
            engine.append(&batch).unwrap();
            if round < 2 {
                engine.flush().unwrap();
            }
        }
        if life == 2 {
            engine.compact().unwrap();
        }
        for top in [1, 7, 1000] {
            let found = engine.view().cardinality(Some(TimeRange::ALL), top).unwrap();
            assert_eq!(found, counted(&all, top), "life {life}");
        }
        let in_memory = engine.view().cardinality(None, 1000).unwrap();
        let head: BTreeSet<Labels> =
            engine.shared.head.all_series().iter().map(|series| series.labels.clone()).collect();
        assert_eq!(in_memory, counted(&head, 1000));
        assert!(head.len() < all.len() || life == 0);
    }
    assert!(all.len() > 300, "several passes: {}", all.len());
}

#[test]
fn partitions_are_chosen_by_time_and_a_report_can_be_stopped() {
    let engine = Engine::in_memory(options()).unwrap();
    for (series, day) in [(0, 0), (1, 5), (2, 10)] {
        engine.append(&float_batch(series, &[day * 86_400])).unwrap();
        engine.flush().unwrap();
    }
    for second in 0..4 {
        engine.append(&float_batch(9, &[20 * 86_400 + second])).unwrap();
        engine.flush().unwrap();
    }
    let count = |range| engine.view().cardinality(range, 10).unwrap().series;
    assert_eq!(count(None), 1, "the others are idle and left the head");
    assert_eq!(count(Some(TimeRange::ALL)), 4);
    let day = |n: i64| YEAR_2024 + n * 86_400 * SECOND;
    assert_eq!(count(Some(TimeRange::inclusive(day(4), day(6)))), 2);
    let work = Work::unbounded();
    work.cancel().cancel();
    let stopped = engine.view().with_work(&work).cardinality(None, 10);
    assert!(matches!(stopped, Err(Error::Stopped(_))), "{stopped:?}");
}
