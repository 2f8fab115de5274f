//! What an unreadable place means: which generation it damages, what is complete before it, and what is no damage at
//! all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::aside::{job, minutes, values};
use super::unreadable::{Harness, harness};
use super::{SECOND, YEAR_2024, float_batch, labels};
use crate::model::{Matcher, TimeRange, Value};
use crate::store::keys::Prefix;
use crate::store::kv::Family;
use crate::{Batch, Error, Result, View};

const ALL: TimeRange = TimeRange::ALL;

impl Harness {
    /// Makes keys with a prefix unreadable.
    fn break_keys(&self, family: Family, prefix: Vec<u8>) {
        *self.kv.broken.lock() = Some((family, prefix));
    }

    fn mend(&self) {
        *self.kv.broken.lock() = None;
    }
}

fn texts(view: &View<'_>, range: TimeRange) -> Result<usize> {
    view.events(&[Vec::new()], range, 99).map(|events| events.len())
}

fn jobs(view: &View<'_>, range: TimeRange) -> Result<usize> {
    view.label_values("job", &[Vec::new()], range, 9).map(|values| values.len())
}

/// Reads of each kind, with their results without damage: by key, by search, and step by step.
type Read = fn(&View<'_>) -> Result<usize>;
const READS: [(Family, Read, usize); 4] = [
    (Family::Chunks, |view| values(view, 1, minutes(0, 4)).map(|values| values.len()), 5),
    (Family::Index, |view| values(view, 1, minutes(0, 4)).map(|values| values.len()), 5),
    (Family::Index, |view| jobs(view, ALL), 2),
    (Family::Events, |view| texts(view, ALL), 10),
];

#[test]
fn each_kind_of_read_is_tried_again_before_it_counts_as_damage() {
    for (family, read, whole) in READS {
        let harness = harness(false);
        harness.damage(family, 1);
        harness.kv.failures_left.store(1, Ordering::Relaxed);
        assert_eq!(read(&harness.engine.view()).expect("the second try succeeds"), whole, "{family:?}");
        assert!(harness.kv.failures_left.load(Ordering::Relaxed) < 1, "{family:?}: nothing failed");
        assert_eq!(harness.aside(), [0; 0], "{family:?}");
    }
}

/// For example because files cannot be opened: the next read may succeed.
#[test]
fn an_error_that_is_no_damage_sets_nothing_aside() {
    for (family, read, whole) in READS {
        let harness = harness(false);
        harness.kv.is_passing.store(true, Ordering::Relaxed);
        harness.damage(family, 1);
        let view = harness.engine.view().leaving_out_damage();
        for _ in 0..2 {
            let refused = read(&view).map(drop).expect_err("nothing is left out");
            assert!(matches!(refused, Error::Store { .. }), "{family:?}: {refused}");
        }
        assert_eq!((harness.aside(), view.left_out()), (vec![], vec![]), "{family:?}");
        harness.mend();
        assert_eq!(read(&view).unwrap(), whole, "{family:?}");
    }
}

/// Values that can be read and not decoded: the generation is set aside as for what cannot be read.
#[test]
fn a_value_that_is_damaged_sets_its_generation_aside() {
    type Key = fn(Prefix) -> Vec<u8>;
    let values_of: [(&str, Family, Key, Read, usize); 5] = [
        ("chunk", Family::Chunks, |p| p.encode().to_vec(), |view| Ok(values(view, 0, ALL)?.len()), 4),
        ("chunk, exported", Family::Chunks, |p| p.encode().to_vec(), exported, 8),
        ("postings", Family::Index, |p| p.postings("job", "job1"), READS[0].1, 4),
        ("postings, listed", Family::Index, |p| p.postings_of_name("job"), READS[2].1, 2),
        ("event", Family::Events, |p| p.encode().to_vec(), READS[3].1, 8),
    ];
    for (what, family, key, read, rest) in values_of {
        let harness = harness(false);
        let prefix = harness.prefix(1);
        // Chunks have checksums; of the others the form is checked.
        match what.starts_with("chunk") {
            true => harness.store.flip(family, &key(prefix)),
            false => harness.store.change(family, &key(prefix), |value| *value = vec![0xff; 3]),
        }
        let view = harness.engine.view().leaving_out_damage();
        assert_eq!(read(&view).unwrap_or_else(|error| panic!("{what}: {error}")), rest, "{what}");
        assert_eq!((harness.aside(), view.left_out().len()), (vec![1], 1), "{what}");
    }
}

fn exported(view: &View<'_>) -> Result<usize> {
    let mut samples = 0;
    view.each_piece(&[], ALL, 9, &|_| false, &mut |_, _, run| {
        samples += run.len();
        Ok(true)
    })?;
    Ok(samples)
}

/// The unreadable place comes after the last key of the generation that is being read.
#[test]
fn an_index_is_complete_before_the_next_generation() {
    let harness = harness(false);
    harness.damage(Family::Index, 1);
    let view = harness.engine.view();
    assert_eq!(view.label_sets(&[Vec::new()], minutes(0, 0), 9).unwrap().len(), 2);
    assert_eq!(view.label_names(&[Vec::new()], minutes(0, 0), 9).unwrap().len(), 2);
    assert_eq!(jobs(&view, minutes(0, 0)).unwrap(), 2);
    let report = harness.engine.verify().unwrap();
    assert_eq!(harness.aside(), [1], "{:?}", report.problems);
}

/// All series records can be read, and some postings after them cannot.
#[test]
fn an_index_is_not_complete_without_its_postings() {
    let harness = harness(false);
    harness.break_keys(Family::Index, harness.prefix(1).postings_of_name("job"));
    let view = harness.engine.view();
    let refused = view.label_names(&[Vec::new()], minutes(1, 1), 9).map(drop);
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    assert_eq!(harness.aside(), [1]);
}

/// What is known of a generation from an earlier damage after it says nothing of a place inside it.
#[test]
fn a_generation_that_was_complete_can_be_damaged_later() {
    let harness = harness(false);
    harness.damage(Family::Chunks, 1);
    assert_eq!(values(&harness.engine.view(), 1, minutes(0, 0)).unwrap(), [0.0]);
    assert_eq!(harness.aside(), [1]);
    let second = harness.store.pairs(Family::Chunks, &harness.prefix(0).range()).swap_remove(1).0;
    harness.break_keys(Family::Chunks, second);
    let view = harness.engine.view().leaving_out_damage();
    assert_eq!(
        values(&view, 0, minutes(0, 4)).unwrap().len() + values(&view, 1, minutes(0, 4)).unwrap().len(),
        6
    );
    assert_eq!((harness.aside(), view.left_out().len()), (vec![0, 1], 2));
}

/// A generation is read as a whole or not at all: no part of a series is shown as if it were all of it.
#[test]
fn what_was_read_before_the_damage_is_left_out_too() {
    let harness = harness(false);
    let mut batch = Batch::new();
    for at in 0..40 {
        batch.push(&labels(9), YEAR_2024 + (60 + at) * SECOND, Value::Float(at as f64));
        batch.push_event(&labels(9), YEAR_2024 + (60 + at) * SECOND, "more");
    }
    batch.push(&labels(9), YEAR_2024 + 300 * SECOND, Value::Float(300.0));
    harness.engine.append(&batch).unwrap();
    harness.engine.flush().unwrap();
    harness.engine.compact().unwrap();
    let prefix = harness.prefix(1);
    let own = harness.store.pairs(Family::Chunks, &prefix.range());
    assert!(own.len() >= 4, "two chunks of the longest series");
    harness.break_keys(Family::Chunks, own.last().unwrap().0.clone());
    let view = harness.engine.view().leaving_out_damage();
    assert_eq!(values(&view, 9, minutes(0, 9)).unwrap(), [300.0]);
    assert_eq!((harness.aside(), view.left_out().len()), (vec![1], 1));

    let events = harness.store.pairs(Family::Events, &harness.prefix(2).range());
    assert_eq!(events.len(), 2);
    harness.break_keys(Family::Events, events[1].0.clone());
    // The first event may be shown before the second one fails; that some are missing is said.
    let view = harness.engine.view().leaving_out_damage();
    assert_eq!(texts(&view, minutes(3, 4)).unwrap(), 4);
    assert!(texts(&view, minutes(2, 2)).unwrap() <= 1);
    assert_eq!((harness.aside(), view.left_out().len()), (vec![1, 2], 1));
}

/// All reads of a view agree: what one of them has left out does not come back when it can be read again.
#[test]
fn what_a_view_has_left_out_stays_out() {
    for family in [Family::Chunks, Family::Index, Family::Events] {
        let harness = harness(false);
        harness.damage(family, 1);
        let view = harness.engine.view().leaving_out_damage();
        let read = |view: &View<'_>| {
            let found = view.select(&job(1), minutes(2, 4), 9).unwrap();
            let before = view.newest_before(&found[0], YEAR_2024 + 119 * SECOND).unwrap();
            let shown = [
                values(view, 1, minutes(0, 4)).unwrap().len(),
                exported(view).unwrap(),
                texts(view, ALL).unwrap(),
            ];
            (shown, before)
        };
        let first =
            if family == Family::Events { texts(&view, ALL).unwrap() } else { exported(&view).unwrap() };
        assert_eq!((first, harness.aside()), (8, vec![1]), "{family:?}");
        let damaged = read(&view);
        harness.mend();
        assert_eq!(read(&view), damaged, "{family:?}");
        assert_eq!(damaged, ([4, 8, 8], None), "{family:?}");
        assert_eq!(view.left_out().len(), 1);
    }
}

/// The value before a range is in a partition that the selection did not cover.
#[test]
fn a_value_before_the_range_that_cannot_be_read_is_left_out() {
    let harness = harness(false);
    let view = harness.engine.view().leaving_out_damage();
    let found = view.select(&job(1), minutes(2, 4), 9).unwrap();
    let before = || view.newest_before(&found[0], YEAR_2024 + 119 * SECOND).unwrap();
    assert_eq!(before(), Some(Value::Float(60.0)));
    harness.damage(Family::Index, 1);
    assert_eq!(before(), None);
    assert_eq!((harness.aside(), view.left_out().len()), (vec![1], 1));
}

/// Series that are read in turn, as exports do.
#[test]
fn series_in_turn_are_selected_without_the_damage() {
    let harness = harness(false);
    harness.damage(Family::Index, 1);
    let view = harness.engine.view().leaving_out_damage();
    assert_eq!(exported(&view).unwrap(), 8);
    assert_eq!((harness.aside(), view.left_out().len()), (vec![1], 1));
}

/// A flush relies on series records of generations that are set aside while it writes.
#[test]
fn a_flush_that_is_under_way_writes_the_records_again() {
    let harness = harness(false);
    harness.engine.append(&float_batch(1, &[61])).unwrap();
    harness.engine.flush().unwrap();
    harness.engine.append(&float_batch(1, &[62])).unwrap();
    let (engine, prefixes) = (harness.engine.clone(), harness.generations(1));
    let is_done = Arc::new(AtomicBool::new(false));
    let done = is_done.clone();
    let _hooked = crate::fail::hook(move |name| {
        if name == "flush.partition" && !done.swap(true, Ordering::Relaxed) {
            prefixes.iter().for_each(|prefix| engine.shared.versions.set_aside(*prefix, &"a test"));
        }
    });
    harness.engine.flush().unwrap();
    assert!(is_done.load(Ordering::Relaxed));
    let view = harness.engine.view().leaving_out_damage();
    assert_eq!(values(&view, 1, minutes(1, 1)).unwrap(), [62.0]);
    let problems = harness.engine.verify().unwrap().problems;
    assert!(problems.iter().all(|problem| problem.contains("set aside")), "{problems:?}");
}

impl Harness {
    fn generations(&self, minute: i64) -> Vec<Prefix> {
        let catalogue = self.engine.shared.versions.current();
        let all = catalogue.generations.all_in(self.prefix(minute).partition);
        all.iter().map(|generation| generation.prefix).collect()
    }
}

/// Damage that no query has met yet.
#[test]
fn verifying_sets_what_it_finds_aside() {
    let harness = harness(false);
    harness.store.flip(Family::Chunks, &harness.prefix(1).encode());
    harness.store.change(Family::Events, &harness.prefix(3).encode(), |value| *value = vec![0xff; 3]);
    assert!(!harness.engine.verify().unwrap().is_clean());
    assert_eq!(harness.aside(), [1, 3]);
    let by_name = [Matcher::equal("__name__", "m1")];
    let view = harness.engine.view().leaving_out_damage();
    assert_eq!(view.select(&by_name, minutes(0, 0), 9).unwrap().len(), 1);
}
