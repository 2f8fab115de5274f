//! A store that answers a commit with an error and has carried it out, or will: RocksDB keeps the changes of a failed
//! flush in memory and writes them when there is room again.

use std::sync::atomic::Ordering;

use super::{Harness, Op};
use crate::model::Value;
use crate::store::kv::Kv;

/// Two partitions, in one of which there are two generations and a delete to carry out.
fn harness() -> Harness {
    let mut harness = Harness::new();
    harness.append(0, 0, 10, 5, &Value::Float(1.0));
    harness.append(1, 0, 10, 5, &Value::Float(2.0));
    harness.apply(&Op::Flush);
    harness.append(0, 2, 10, 5, &Value::Float(3.0));
    harness.append(1, 300, 1, 5, &Value::Float(4.0));
    harness.apply(&Op::Flush);
    harness.delete(Some(0), 0, 20);
    harness
}

fn is_clean(harness: &Harness) {
    assert_eq!(harness.engine().verify().unwrap().problems, [""; 0]);
}

/// Does `op` with every call to the store from some one on refused and carried out, then all of `later`.
fn refused_and_done(op: &Op, later: &[Op]) {
    for calls in 0..12 {
        let mut harness = harness();
        harness.append(0, 30, 3, 5, &Value::Float(5.0));
        harness.apply(&Op::FailAt(calls, true));
        harness.apply(op);
        harness.check(op);
        for op in later {
            harness.apply(op);
            harness.check(op);
            is_clean(&harness);
        }
        let named = harness.engine().stats().generations;
        harness.apply(&Op::Crash);
        harness.check(&Op::Crash);
        if !later.is_empty() {
            assert_eq!(
                harness.engine().stats().generations,
                named,
                "call {calls}: none comes back with a crash"
            );
        }
        is_clean(&harness);
    }
}

#[test]
fn a_flush_that_was_refused_and_done_is_whole() {
    refused_and_done(&Op::Flush, &[]);
    refused_and_done(&Op::Flush, &[Op::Flush]);
    refused_and_done(&Op::Flush, &[Op::Compact, Op::Flush]);
    refused_and_done(&Op::Flush, &[Op::FailAt(3, true), Op::Flush, Op::Compact, Op::Flush]);
}

#[test]
fn a_merge_that_was_refused_and_done_is_whole() {
    refused_and_done(&Op::Compact, &[]);
    refused_and_done(&Op::Compact, &[Op::Flush]);
    let delete = Op::Delete { series: Some(1), from: 0, to: 30 };
    refused_and_done(&Op::Compact, &[Op::Flush, delete.clone(), Op::Compact, Op::Flush]);
    refused_and_done(&Op::Compact, &[delete, Op::Compact, Op::Compact]);
}

#[test]
fn what_a_refused_commit_named_is_removed_once_another_has_succeeded() {
    let mut harness = harness();
    harness.apply(&Op::Flush);
    harness.append(0, 30, 3, 5, &Value::Float(5.0));
    harness.apply(&Op::FailAt(4, true));
    assert!(harness.engine().flush().is_err(), "index, events, chunks, catalogue: the fifth is the commit");
    harness.faulty.calls_left.store(i64::MAX, Ordering::Relaxed);
    harness.apply(&Op::Flush);
    harness.apply(&Op::Compact);
    harness.apply(&Op::Crash);
    assert_eq!(harness.engine().open_report().leftovers_removed, 0);
    harness.check(&Op::Crash);
}

#[test]
fn a_store_that_keeps_refusing_commits_keeps_one_generation_of_each() {
    for is_done in [false, true] {
        let mut harness = harness();
        harness.apply(&Op::Flush);
        harness.append(0, 30, 3, 5, &Value::Float(5.0));
        harness.faulty.refuses_commits.store(true, Ordering::Relaxed);
        harness.faulty.is_done.store(is_done, Ordering::Relaxed);
        let mut bytes = Vec::new();
        for _ in 0..4 {
            assert!(harness.engine().flush().is_err() && harness.engine().compact().is_err());
            bytes.push(harness.store.stats().table_bytes);
        }
        assert!(bytes.iter().all(|b| *b == bytes[0]), "{bytes:?}");
        harness.faulty.refuses_commits.store(false, Ordering::Relaxed);
        harness.apply(&Op::Flush);
        harness.apply(&Op::Compact);
        harness.check(&Op::Compact);
        is_clean(&harness);
    }
}
