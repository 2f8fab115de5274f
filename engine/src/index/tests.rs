//! Selecting, against labels looked at one by one.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::model::MatchOp;

/// Label sets under ids, and what is derived from them.
#[derive(Debug, Default)]
struct Model {
    series: BTreeMap<u64, Labels>,
    postings: BTreeMap<String, BTreeMap<String, RoaringTreemap>>,
    price: u64,
    knows_having: bool,
    looks: Cell<u64>,
}

impl Model {
    fn new(series: &[Vec<(&str, String)>], price: u64, knows_having: bool) -> Self {
        let mut model = Model { price, knows_having, ..Model::default() };
        for (id, pairs) in (1..).zip(series) {
            let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
            let labels = Labels::from_pairs(pairs).expect("names occur once");
            for (name, value) in &labels {
                let values = model.postings.entry(name.to_owned()).or_default();
                values.entry(value.to_owned()).or_default().insert(id);
            }
            model.series.insert(id, labels);
        }
        model
    }

    fn select_slowly(&self, matchers: &[Matcher]) -> Vec<u64> {
        let met = |labels: &Labels| matchers.iter().all(|matcher| matcher.matches_labels(labels));
        self.series.iter().filter(|(_, labels)| met(labels)).map(|(id, _)| *id).collect()
    }
}

impl PostingsSource for Model {
    fn postings(&self, name: &str, value: &str) -> Result<RoaringTreemap> {
        assert!(!value.is_empty());
        Ok(self.postings.get(name).and_then(|values| values.get(value)).cloned().unwrap_or_default())
    }

    fn postings_len(&self, name: &str, value: &str) -> Option<u64> {
        self.knows_having.then(|| self.postings(name, value).expect("memory").len())
    }

    fn with_all(&self, pairs: &[(&str, &str)]) -> Result<Option<RoaringTreemap>> {
        if self.knows_having {
            return Ok(None);
        }
        let lists: Result<Vec<_>> = pairs.iter().map(|(name, value)| self.postings(name, value)).collect();
        Ok(lists?.into_iter().reduce(|all, one| all & one))
    }

    fn walk(&self, name: &str, walk: &mut TermWalk<'_>, into: &mut PostingsUnion) -> Result<()> {
        let Some(values) = self.postings.get(name) else { return Ok(()) };
        let mut target = walk.target().to_owned();
        for (value, ids) in values {
            if *value < target {
                continue;
            }
            self.looks.set(self.looks.get() + 1);
            match walk.step(value.as_bytes()) {
                Step::Take => into.add(ids.clone()),
                Step::Leave => {}
                Step::Seek => {
                    assert!(walk.target() > value.as_str(), "{:?} is not after {value:?}", walk.target());
                    target = walk.target().to_owned();
                }
                Step::Stop => break,
            }
        }
        Ok(())
    }

    fn having(&self, name: &str) -> Result<Option<RoaringTreemap>> {
        let all = || self.postings.get(name).into_iter().flat_map(BTreeMap::values).flatten().collect();
        Ok(self.knows_having.then(all))
    }

    fn all(&self, _work: &Work) -> Result<RoaringTreemap> {
        Ok(self.series.keys().collect())
    }

    fn labels_price(&self) -> u64 {
        self.price
    }

    fn labels(&self, id: u64) -> Result<Option<Labels>> {
        Ok(self.series.get(&id).cloned())
    }
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).expect("the expression is right")
}

fn ids(found: Result<RoaringTreemap>) -> Vec<u64> {
    found.expect("memory can be read").iter().collect()
}

/// `pod="api-000-0"` to `pod="web-999-9"`.
fn pods() -> Model {
    let names = ["api", "db", "web"].into_iter().flat_map(|app| (0..10_000).map(move |n| (app, n)));
    let series: Vec<_> = names
        .map(|(app, n)| {
            vec![("__name__", "up".to_owned()), ("pod", format!("{app}-{:03}-{}", n / 10, n % 10))]
        })
        .collect();
    Model::new(&series, 4, false)
}

#[test]
fn stretches_without_a_match_are_skipped() {
    let model = pods();
    let looks = |op, value: &str| {
        model.looks.set(0);
        let matchers = [matcher("pod", op, value)];
        assert_eq!(
            ids(select(&model, &matchers, &Work::unbounded())),
            model.select_slowly(&matchers),
            "{value}"
        );
        model.looks.get()
    };
    let regex = MatchOp::Regex;
    assert!(looks(regex, "api-0.*") < 1100);
    assert!(looks(regex, "api-.*-7") < 10_100, "all of one prefix");
    assert!(looks(regex, "api-00[0-9]-7|web-99.-[89]") < 120, "two ranges");
    assert!(looks(regex, "api-[0-9]+-7") < 4_200, "the last digit alone");
    assert!(looks(regex, "(?i)WEB-5.*") < 1200, "both cases");
    assert!(looks(regex, "(api|web)-123-.+") < 120);
    assert!(looks(MatchOp::NotRegex, "(api|db|web)-[0-8].*") <= 27_500);
    assert_eq!(looks(regex, "api-000-1|web-000-1|nope"), 0, "looked up");
    assert_eq!(looks(regex, ".*"), 0);
    assert_eq!(looks(MatchOp::NotRegex, ".*"), 0);
    assert_eq!(looks(MatchOp::NotEqual, "api-000-0"), 0);
}

#[test]
fn few_candidates_are_looked_at_themselves() {
    let model = pods();
    let matchers = [
        matcher("pod", MatchOp::Regex, "api-123-4|api-9.-4|web-777-7"),
        matcher("pod", MatchOp::Regex, ".*7"),
    ];
    assert_eq!(ids(select(&model, &matchers, &Work::unbounded())), model.select_slowly(&matchers));
    model.looks.set(0);
    let matchers = [matcher("pod", MatchOp::Equal, "web-777-7"), matcher("pod", MatchOp::Regex, ".*7")];
    assert_eq!(ids(select(&model, &matchers, &Work::unbounded())).len(), 1);
    assert!(
        model.looks.get() <= 5,
        "a walk gives up when it is dearer than the labels: {}",
        model.looks.get()
    );
}

fn some_matcher() -> impl Strategy<Value = Matcher> {
    let value = prop::sample::select(vec![
        "",
        ".*",
        ".+",
        "a",
        "b",
        "a|b",
        "a|",
        "a.*",
        ".*a",
        ".*b.*",
        "[ab]+",
        "(?i)A.*",
        "a.+|b.",
        "ab|ba|é.*",
        "[^a].*",
        "é|[a-b]{2}",
        "(a|b)?",
        "a[^b]*b",
        ".{2}",
        "(.*b.*|)",
        "[à-ü]+.*",
        "b(a|é)*",
    ]);
    let op = prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
    let name = prop::sample::select(vec!["x", "y", "z", "none"]);
    (name, op, value).prop_map(|(name, op, value)| matcher(name, op, value))
}

proptest! {
    #[test]
    fn selecting_is_looking_at_every_series(
        values in prop::collection::vec(("[abAé]{0,3}", "[abé]{0,2}", "[ab]{1,5}"), 1..120),
        matchers in prop::collection::vec(some_matcher(), 0..4),
        price in prop::sample::select(vec![0u64, 1, 4, 1000]),
        knows_having: bool,
    ) {
        let series: Vec<_> = values.into_iter().map(|(x, y, z)| vec![("x", x), ("y", y), ("z", z)]).collect();
        let model = Model::new(&series, price, knows_having);
        prop_assert_eq!(ids(select(&model, &matchers, &Work::unbounded())), model.select_slowly(&matchers), "{:?}", matchers);
    }

    #[test]
    fn a_walk_takes_what_matches(
        text in "[ab01.*+?(){}\\[\\],|^$\\\\:<>P=i!&~é-]{0,24}",
        values in prop::collection::btree_set("[ab01é-]{1,6}", 1..150),
    ) {
        let Ok(pattern) = crate::model::Pattern::new(&text) else { return Ok(()) };
        let series: Vec<_> = values.iter().map(|value| vec![("x", value.clone())]).collect();
        let model = Model::new(&series, 4, false);
        let work = Work::unbounded();
        let (mut walk, mut found) = (TermWalk::new(Some(&pattern), u64::MAX, &work), PostingsUnion::default());
        model.walk("x", &mut walk, &mut found)?;
        let taken: BTreeSet<&str> = found.finish().iter().filter_map(|id| model.series[&id].get("x")).collect();
        let expected: BTreeSet<&str> =
            values.iter().map(String::as_str).filter(|value| pattern.is_match(value)).collect();
        prop_assert_eq!(taken, expected, "{}", text);
    }
}
