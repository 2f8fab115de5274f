//! The head's registry and postings against a map.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::model::MatchOp;

#[derive(Debug, Clone)]
enum Step {
    /// Finds or creates the series of some sets.
    Create(std::ops::Range<usize>),
    /// The log defines a series.
    Define(u64, usize),
    /// Series leave whose id has this remainder.
    Retire(u64, u64),
    /// Removes series that were never written to, those whose id has this remainder.
    TakeBack(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..400, 1usize..150).prop_map(|(start, count)| Step::Create(start..start + count)),
        1 => (prop_oneof![0u64..500, any::<u64>().prop_map(|id| id >> 1)], 0usize..500)
            .prop_map(|(id, set)| Step::Define(id, set)),
        2 => (1u64..5, 0u64..5).prop_map(|(divisor, remainder)| Step::Retire(divisor, remainder % divisor)),
        3 => (1u64..5, 0u64..5).prop_map(|(divisor, remainder)| Step::TakeBack(divisor, remainder % divisor)),
    ]
}

/// One of many label sets; some pairs are of all, some of few, some of one.
fn set(number: usize) -> Labels {
    let (job, instance) = (format!("j{}", number % 3), format!("i-{}", number * 7919 % 1000));
    let zone = if number.is_multiple_of(2) { "" } else { "z" };
    let pairs = [("__name__", "up"), ("job", &job), ("instance", &instance), ("zone", zone)];
    Labels::from_pairs(pairs).expect("names differ")
}

#[derive(Default)]
struct Model {
    by_id: BTreeMap<u64, Labels>,
    /// Larger than every id so far.
    next: u64,
}

impl Model {
    fn id_of(&self, labels: &Labels) -> Option<u64> {
        self.by_id.iter().find(|(_, known)| *known == labels).map(|(id, _)| *id)
    }

    fn take(&mut self, head: &Head, step: &Step) {
        match step {
            Step::Create(sets) => sets.clone().map(set).for_each(|labels| {
                let id = head.find_or_create(&labels).id.0;
                match self.id_of(&labels) {
                    Some(known) => assert_eq!(id, known),
                    None => {
                        assert!(id >= self.next, "ids ascend");
                        self.by_id.insert(id, labels);
                        self.next = id + 1;
                    }
                }
            }),
            Step::Define(id, number) => {
                let labels = set(*number);
                let (series, is_new) = head.define(SeriesId(*id), &labels);
                assert_eq!(is_new, self.id_of(&labels).is_none());
                if is_new {
                    assert_eq!(series.id.0 == *id, !self.by_id.contains_key(id));
                    let mut postings = head.take_postings();
                    postings.insert(series.id, &series.labels);
                    head.set_postings(postings);
                    self.by_id.insert(series.id.0, labels);
                }
                self.next = self.next.max(id + 1).max(series.id.0 + 1);
            }
            Step::Retire(divisor, remainder) => {
                let goes = |id: u64| id % divisor == *remainder;
                let before = self.by_id.len();
                self.by_id.retain(|id, _| !goes(*id));
                assert_eq!(head.evict(|series| goes(series.id.0), || ()), before - self.by_id.len());
            }
            Step::TakeBack(divisor, remainder) => {
                let mut newest = head.all_series();
                newest.retain(|series| series.id.0 % divisor == *remainder);
                newest.drain(..newest.len() / 3);
                assert_eq!(head.take_back(&newest), newest.len());
                assert_eq!(head.take_back(&newest), 0, "they have gone");
                newest.iter().for_each(|series| drop(self.by_id.remove(&series.id.0)));
            }
        }
    }

    fn compare(&self, head: &Head) {
        let ids: Vec<u64> = self.by_id.keys().copied().collect();
        assert_eq!(head.all_series().iter().map(|series| series.id.0).collect::<Vec<_>>(), ids);
        assert_eq!(head.series_count(), ids.len());
        let bytes =
            self.by_id.values().map(|labels| SERIES_BYTES + labels.as_bytes().len() as u64).sum::<u64>();
        assert_eq!(head.series_bytes(), bytes);
        for (id, labels) in &self.by_id {
            assert_eq!(head.find(labels).map(|series| series.id.0), Some(*id));
            assert_eq!(
                head.registry.read().find_id(*id).map(|series| series.labels.clone()).as_ref(),
                Some(labels)
            );
        }
        assert!(head.find(&set(9_999)).is_none() && head.registry.read().find_id(self.next).is_none());
        self.compare_postings(head);
    }

    fn compare_postings(&self, head: &Head) {
        let mut values: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
        for labels in self.by_id.values() {
            labels
                .iter()
                .for_each(|(name, value)| *values.entry(name).or_default().entry(value).or_default() += 1);
        }
        assert_eq!(head.label_names(), values.keys().copied().collect::<Vec<_>>());
        for name in ["__name__", "job", "instance", "zone", "absent"] {
            let expected =
                values.get(name).into_iter().flatten().map(|(value, count)| ((*value).to_owned(), *count));
            let (mut found, mut from) = (Vec::new(), Some(Vec::new()));
            while let Some(place) = from {
                from = head.counts(name, &place, 7, &mut found);
            }
            assert_eq!(found, expected.collect::<Vec<_>>(), "{name}");
            let count = values.get(name).map_or(0, BTreeMap::len);
            assert_eq!(head.registry.read().postings.value_count(name), count, "{name}");
        }
        for (name, op, value) in [
            ("job", MatchOp::Equal, "j1"),
            ("instance", MatchOp::Equal, "i-919"),
            ("instance", MatchOp::Regex, "i-1.*"),
            ("instance", MatchOp::NotRegex, ".*[3-5]"),
            ("zone", MatchOp::Equal, ""),
            ("zone", MatchOp::NotEqual, ""),
        ] {
            let matcher = Matcher::new(name, op, value).expect("a good matcher");
            let expected = self.by_id.iter().filter(|(_, labels)| matcher.matches_labels(labels));
            let expected: BTreeSet<u64> = expected.map(|(id, _)| *id).collect();
            let found =
                head.select(std::slice::from_ref(&matcher), &Work::unbounded()).expect("memory answers");
            assert_eq!(
                found.iter().map(|series| series.id.0).collect::<BTreeSet<_>>(),
                expected,
                "{matcher:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn series_come_go_and_come_back(steps in proptest::collection::vec(step(), 1..12)) {
        let (head, mut model) = (Head::new(1, 1 << 20, "host"), Model { next: 1, ..Model::default() });
        for step in &steps {
            model.take(&head, step);
            model.compare(&head);
        }
    }
}

#[test]
fn values_that_take_the_place_of_others_come_in_order() {
    let head = Head::new(1, 0, "");
    let series = |value: &str| head.find_or_create(&Labels::from_pairs([("host", value)]).unwrap());
    let hosts = || {
        let mut page = Vec::new();
        head.counts("host", &[], 100, &mut page);
        page.into_iter().map(|(value, _)| value).collect::<Vec<_>>()
    };
    let (_, b, c) = (series("b"), series("x"), series("y"));
    assert_eq!(hosts(), ["b", "x", "y"]);
    assert_eq!(head.take_back(&[c, b]), 2);
    let (z, a) = (series("z"), series("a"));
    assert_eq!(hosts(), ["a", "b", "z"], "in the places of x and y");
    assert_eq!(head.take_back(&[a]), 1);
    assert_eq!(head.evict(|series| series.id == z.id, || ()), 1);
    assert_eq!(hosts(), ["b"]);
}
