//! Exemplars under pressure: what goes, what stays, what a flush takes.

use proptest::prelude::*;

use super::*;
use crate::model::{MatchOp, Matcher};

fn series(job: u8) -> Labels {
    let job = format!("job{job}");
    Labels::from_pairs([("__name__", "m"), ("job", job.as_str())]).unwrap()
}

fn exemplar(timestamp: i64, trace: &str) -> Exemplar {
    Exemplar {
        labels: Labels::from_pairs([("trace", trace)]).unwrap(),
        timestamp: crate::Timestamp::from_nanos(timestamp),
        value: timestamp as f64,
    }
}

fn everything() -> Vec<Vec<Matcher>> {
    vec![vec![Matcher::new("job", MatchOp::Regex, ".+").unwrap()]]
}

fn select(kept: &HeadExemplars, range: TimeRange) -> Vec<SeriesExemplars> {
    kept.select(&everything(), range, &Work::unbounded()).unwrap()
}

fn times(found: &[SeriesExemplars]) -> Vec<Vec<i64>> {
    found.iter().map(|(_, list)| list.iter().map(|e| e.timestamp.as_nanos()).collect()).collect()
}

#[test]
fn a_series_keeps_its_newest() {
    let kept = HeadExemplars::new(1 << 20);
    for t in (0..200).rev() {
        kept.insert(&series(1), &exemplar(t, "a"));
    }
    let found = select(&kept, TimeRange::ALL);
    assert_eq!(times(&found), [(72..200).collect::<Vec<_>>()]);
    assert_eq!(times(&select(&kept, TimeRange::inclusive(100, 102))), [[100, 101, 102]]);
    assert!(select(&kept, TimeRange::inclusive(0, 71)).is_empty());
}

#[test]
fn one_instant_may_have_several_traces() {
    let kept = HeadExemplars::new(1 << 20);
    kept.insert(&series(1), &exemplar(5, "a"));
    kept.insert(&series(1), &exemplar(5, "b"));
    kept.insert(&series(1), &Exemplar { value: 7.0, ..exemplar(5, "a") });
    let found = select(&kept, TimeRange::ALL);
    let values: Vec<f64> = found[0].1.iter().map(|e| e.value).collect();
    assert_eq!(values, [7.0, 5.0]);
}

#[test]
fn the_oldest_of_all_go_first() {
    let kept = HeadExemplars::new(4_000);
    for t in 0..60 {
        kept.insert(&series((t % 3) as u8), &exemplar(t, "trace"));
    }
    assert!(kept.bytes() <= 4_000);
    let mut found: Vec<i64> = times(&select(&kept, TimeRange::ALL)).concat();
    found.sort_unstable();
    assert!(found.len() > 20, "{found:?}");
    assert_eq!(found, (60 - found.len() as i64..60).collect::<Vec<_>>());
}

#[test]
fn what_is_deleted_or_expired_is_removed_from_the_store() {
    let kept = HeadExemplars::new(1 << 20);
    kept.adopt(&series(1), &[exemplar(1, "a"), exemplar(9, "a")]);
    kept.adopt(&series(2), &[exemplar(5, "a")]);
    assert!(kept.take_dirty().is_empty(), "the store has them");
    kept.delete(&[Matcher::equal("job", "job2")], TimeRange::ALL);
    assert_eq!(kept.take_dirty(), [(series(2), vec![])]);
    kept.expire(1);
    let dirty = kept.take_dirty();
    assert_eq!(dirty, [(series(1), vec![exemplar(9, "a")])]);
    kept.mark_dirty(dirty.into_iter().map(|d| d.0));
    assert_eq!(kept.take_dirty().len(), 1, "a failed flush tries again");
    kept.expire(i64::MAX);
    assert_eq!(kept.bytes(), 0);
}

proptest! {
    /// Within the bound, the order of arrival and arriving twice make no difference.
    #[test]
    fn what_stays_does_not_depend_on_order(
        mut arrivals in proptest::collection::vec((0u8..4, 0i64..400), 1..600),
        bytes_max in 300u64..6_000,
    ) {
        let fill = |arrivals: &[(u8, i64)], bytes_max| {
            let kept = HeadExemplars::new(bytes_max);
            for (job, t) in arrivals {
                kept.insert(&series(*job), &exemplar(*t, "a"));
                assert!(kept.bytes() <= bytes_max);
            }
            select(&kept, TimeRange::ALL)
        };
        let newest = arrivals.iter().map(|a| a.1).max();
        let bounded = times(&fill(&arrivals, bytes_max)).concat();
        prop_assert_eq!(bounded.into_iter().max(), newest);
        let once = fill(&arrivals, 1 << 20);
        prop_assert!(once.iter().all(|(_, list)| list.len() <= PER_SERIES_MAX));
        prop_assert_eq!(&fill(&[arrivals.clone(), arrivals.clone()].concat(), 1 << 20), &once);
        arrivals.reverse();
        prop_assert_eq!(&fill(&arrivals, 1 << 20), &once);
    }
}
