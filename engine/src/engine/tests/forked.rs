//! A forked child: another thread of the parent may have held any lock at the moment of the fork, and no thread of the
//! child ever releases it. So every call compares the process before it takes one.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::aside::{job, minutes};
use super::between::engine;
use super::float_batch;
use crate::budget::Work;
use crate::model::{Labels, Resolution, TimeRange};
use crate::process::pretended::in_child;
use crate::{Engine, Error, LineOptions, Result, View};

/// Only what waits for ever waits so long.
const ENDLESS: Duration = Duration::from_secs(300);
const ALL: TimeRange = TimeRange::ALL;

/// Runs a call in a thread that takes itself for a forked child. A call that waits for a lock fails the test.
fn call<T: Send + 'static>(name: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = channel();
    std::thread::spawn(move || {
        let answer = in_child(call);
        let _ = done.send(answer);
    });
    is_done.recv_timeout(ENDLESS).unwrap_or_else(|_| panic!("{name} waits for a lock"))
}

type Write = fn(&Engine) -> Result<()>;
type Read = fn(&View<'_>) -> Result<()>;
type Look = fn(&Engine);

const CALLS: [(&str, Write); 20] = [
    ("append", |engine| engine.append(&float_batch(0, &[2])).map(drop)),
    ("begin_append", |engine| engine.begin_append(&float_batch(0, &[2])).map(drop)),
    ("write_lines", |engine| engine.write_lines(b"a b=1 1", &LineOptions::default()).map(drop)),
    ("handle", |engine| engine.handle(&Labels::from_pairs([("a", "b")]).unwrap()).map(drop)),
    ("delete", |engine| engine.delete(&job(0), ALL)),
    ("flush", |engine| engine.flush().map(drop)),
    ("compact", |engine| engine.compact()),
    ("clean", |engine| engine.clean_within(ENDLESS).map(drop)),
    ("verify", |engine| engine.verify().map(drop)),
    ("snapshot", |engine| engine.snapshot(std::path::Path::new("/nowhere")).map(drop)),
    ("create_database", |engine| engine.create_database("a").map(drop)),
    ("drop_database", |engine| engine.drop_database("a").map(drop)),
    ("metadata", |engine| engine.metadata(None).map(drop)),
    ("exemplars", |engine| engine.exemplars(&[Vec::new()], ALL).map(drop)),
    ("set_retention", |engine| engine.set_retention(Duration::from_secs(3600))),
    ("set_kept", |engine| engine.set_kept(engine.kept())),
    ("store_kept", |engine| engine.store_kept(engine.kept())),
    ("try_kept", |engine| engine.try_kept(engine.kept()).map(drop)),
    ("drop_tier", |engine| engine.drop_tier(Resolution::parse("1h").unwrap()).map(drop)),
    ("subscribe", |engine| engine.subscribe(&[], 1 << 20).map(drop)),
];

const READS: [(&str, Read); 6] = [
    ("label_names", |view| view.label_names(&[Vec::new()], ALL, 9).map(drop)),
    ("label_sets", |view| view.label_sets(&[Vec::new()], ALL, 9).map(drop)),
    ("select", |view| view.select(&job(0), minutes(0, 0), 9).map(drop)),
    ("events", |view| view.events(&[Vec::new()], ALL, 9).map(drop)),
    ("cardinality", |view| view.cardinality(Some(ALL), 9).map(drop)),
    ("pieces", |view| view.pieces(&job(0), ALL, 9).map(drop)),
];

#[test]
fn no_call_of_a_forked_child_waits_for_a_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = engine(&dir);
    engine.append(&float_batch(0, &[1])).unwrap();
    let begun = engine.begin_append(&float_batch(0, &[2])).unwrap();
    // For as long as the process lives: a thread that waits for a lock never ends.
    let engine: &'static Engine = Box::leak(Box::new(Arc::into_inner(engine).unwrap()));
    let view: &'static View<'static> = Box::leak(Box::new(engine.view()));
    let shared = &engine.shared;
    let admission = &shared.admission;
    let held = (shared.writer.hold(), shared.flusher.lock_within(ENDLESS), shared.merger.lock());
    let kept = shared.merger.hold();
    let more = (shared.jobs.hold(), admission.pressure().hold(), admission.idle().hold());
    let inner = (shared.lifecycle.hold(), shared.head.pins.hold(), view.hold());
    let is_forked = |name: &str, refused: Result<()>| {
        assert!(matches!(refused, Err(Error::Forked { .. })), "{name}: {refused:?}");
    };
    for (name, write) in CALLS {
        is_forked(name, call(name, move || write(engine)));
    }
    for (name, read) in READS {
        is_forked(name, call(name, move || read(view)));
        is_forked(name, call(name, move || read(&engine.view().as_one_call())));
    }
    is_forked("wait_append", call("wait_append", move || engine.wait_append(&begun).map(drop)));
    is_forked("close", call("close", move || engine.close()));
    let looks: [(&str, Look); 9] = [
        ("stats", |engine| {
            let _ = engine.stats();
        }),
        ("health", |engine| drop(engine.health())),
        ("damage", |engine| drop(engine.damage(ALL))),
        ("memory", |engine| drop(engine.memory())),
        ("tenants", |engine| drop(engine.tenants(9))),
        ("kept", |engine| {
            let _ = (
                engine.events_kept(),
                engine.stored_kept(),
                engine.ladders(),
                engine.tiers(),
                engine.budget(),
            );
        }),
        ("databases", |engine| drop(engine.databases())),
        ("view", |engine| drop(engine.view().with_work(&Work::unbounded()))),
        ("limits", |engine| {
            engine.set_new_series_per_second(9);
            engine.set_cardinality_limits(9, 9);
            engine.set_tenant_limits(9, 9);
        }),
    ];
    for (name, look) in looks {
        call(name, move || look(engine));
    }
    drop((held, kept, more, inner));
}
