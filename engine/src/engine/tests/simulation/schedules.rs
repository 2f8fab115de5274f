//! All schedules with few preemptions of the protocols that threads share: the log's group commit, the hand-over of the
//! head from writers to a flush beside readers, and a subscription that begins beside a writer.
//!
//! A thread runs until it waits, but for the preemptions, which are tried at each point. Most faults of protocols show
//! with one or two of them.
//!
//! `BAROGRAPH_PREEMPTIONS` is the number of preemptions (default 1).

use parking_lot::Mutex;

use super::life::{Simulation, directory};
use super::model::End;
use super::setting;
use super::steps::Worker;
use crate::engine::tests::float_batch;
use crate::model::{Matcher, TimeRange};
use crate::sync::turns::{Choice, Dice, Ended, Task, Turns};
use crate::wal::simulated::{Disk, Fault};
use crate::wal::{Fate, NewRecord, Recovery, SyncPolicy, Wal, WalOptions};
use crate::{Engine, Error, Options, Update};

/// Plays each schedule of `threads` threads with up to `most` preemptions at every `stride`-th point. `play` returns
/// the number of points. Returns how many schedules there were.
fn each_schedule(threads: usize, most: usize, stride: u64, play: &dyn Fn(Choice) -> u64) -> u64 {
    fn explore(
        first: usize,
        plan: &mut Vec<(u64, usize)>,
        (threads, most, stride): (usize, usize, u64),
        play: &dyn Fn(Choice) -> u64,
    ) -> u64 {
        let points = play(Choice::Preempt { first, at: plan.clone() });
        let mut played = 1;
        if plan.len() < most {
            let from = plan.last().map_or(1, |(at, _)| at + 1);
            for at in (from..=points).filter(|at| at % stride == 0) {
                for next in 0..threads {
                    plan.push((at, next));
                    played += explore(first, plan, (threads, most, stride), play);
                    plan.pop();
                }
            }
        }
        played
    }
    (0..threads).map(|first| explore(first, &mut Vec::new(), (threads, most, stride), play)).sum()
}

const WRITERS: usize = 3;

fn open(disk: &Disk, dir: &std::path::Path, found: &mut Vec<u8>) -> Wal {
    disk.take_next_log();
    let options = WalOptions { reserve_bytes: 0, sync: SyncPolicy::Always, ..WalOptions::default() };
    let mut replay = |record: crate::wal::Record<'_>| {
        found.extend(record.payload);
        Ok(())
    };
    Wal::open(dir, options, Recovery::Refuse, 0, &mut replay).expect("the log opens").0
}

fn append(wal: &Wal, number: u8) -> crate::Result<()> {
    let payload = [number];
    loop {
        let record = NewRecord { kind: 0, parts: [&payload, &[], &[], &[]] };
        if let Some(ticket) = wal.append_all(&[record], wal.term())? {
            return wal.wait_for(ticket);
        }
    }
}

/// Writers append and wait for each other's syncs; then the process ends or the power fails.
fn group_commit(choice: Choice, fault: Option<(Fault, u64)>, end: End) -> u64 {
    let (dir, disk) = (directory(), Disk::new(Dice(7)));
    let wal = open(&disk, dir.path(), &mut Vec::new());
    let answers = Mutex::new(vec![None; WRITERS]);
    if let Some((fault, after)) = fault {
        disk.fail(fault, after);
    }
    let (wal_ref, answers_ref) = (&wal, &answers);
    let task = |number: usize| -> Task<'_> {
        Box::new(move || {
            let done = append(wal_ref, number as u8);
            answers_ref.lock()[number] = Some(done.map_err(|e| matches!(e, Error::Poisoned(_))));
        })
    };
    let (ended, _, points) = Turns::run(Dice(1), choice.clone(), None, (0..WRITERS).map(task).collect());
    let context = format!("{choice:?}, {fault:?}, {end:?}");
    assert!(matches!(ended, Ended::Done), "{ended:?}, {context}");
    drop(wal);
    disk.mend();
    if end == End::PowerLost {
        disk.lose_power();
    }
    let mut found = Vec::new();
    drop(open(&disk, dir.path(), &mut found));
    for (number, answer) in answers.into_inner().into_iter().enumerate() {
        let times = found.iter().filter(|record| usize::from(**record) == number).count();
        match answer.expect("each writer has its answer") {
            Ok(()) => assert_eq!(times, 1, "acknowledged: writer {number}, {context}"),
            Err(true) if end == End::PowerLost => assert!(times <= 1, "writer {number}, {context}"),
            Err(_) => assert_eq!(times, 0, "refused: writer {number}, {context}"),
        }
    }
    points
}

#[test]
fn group_commit_keeps_its_promise_in_every_schedule() {
    let most = setting("BAROGRAPH_PREEMPTIONS", 1) as usize;
    let faults = [
        None,
        Some((Fault::Error, 2)),
        Some((Fault::SyncError, 2)),
        Some((Fault::SyncError, 3)),
        Some((Fault::Full(0), 2)),
        Some((Fault::Full(60), 2)),
    ];
    let mut played = 0;
    for fault in faults {
        for end in [End::Killed, End::PowerLost] {
            played += each_schedule(WRITERS, most, 1, &|choice| group_commit(choice, fault, end));
        }
    }
    println!("group commit: {played} schedules with up to {most} preemptions");
    assert!(played > 1000);
}

/// A log is closed beside a writer, and its last sync may fail.
fn close_beside_a_writer(choice: Choice, fault: Option<(Fault, u64)>) -> u64 {
    let (dir, disk) = (directory(), Disk::new(Dice(7)));
    let wal = open(&disk, dir.path(), &mut Vec::new());
    append(&wal, 100).expect("the disk is sound");
    if let Some((fault, after)) = fault {
        disk.fail(fault, after);
    }
    let answers = Mutex::new(Vec::new());
    let (wal_ref, answers_ref) = (&wal, &answers);
    let write: Task<'_> = Box::new(move || {
        for number in 0..WRITERS as u8 {
            let record = NewRecord { kind: 0, parts: [&[number], &[], &[], &[]] };
            if let Ok(Some(ticket)) = wal_ref.append_all(&[record], wal_ref.term()) {
                let done = wal_ref.wait_for(ticket);
                answers_ref.lock().push((number, ticket, done.map_err(|e| e.to_string())));
            }
        }
    });
    let close: Task<'_> = Box::new(move || drop(wal_ref.close()));
    let (ended, _, points) = Turns::run(Dice(1), choice.clone(), None, vec![write, close]);
    let context = format!("{choice:?}, {fault:?}");
    assert!(matches!(ended, Ended::Done), "{ended:?}, {context}");
    let fates: Vec<Fate> = answers.lock().iter().map(|(_, ticket, _)| wal.fate(*ticket)).collect();
    drop(wal);
    disk.mend();
    let mut found = Vec::new();
    drop(open(&disk, dir.path(), &mut found));
    for ((number, _, answer), fate) in answers.into_inner().into_iter().zip(fates) {
        let expected = if answer.is_ok() { Fate::Safe } else { Fate::Lost };
        assert_eq!(
            (fate, found.contains(&number)),
            (expected, answer.is_ok()),
            "{number}: {answer:?}, {context}"
        );
    }
    points
}

#[test]
fn a_log_that_is_closed_leaves_no_record_open_in_any_schedule() {
    let most = setting("BAROGRAPH_PREEMPTIONS", 1).max(2) as usize;
    let faults = [
        None,
        Some((Fault::Error, 0)),
        Some((Fault::Error, 1)),
        Some((Fault::SyncError, 0)),
        Some((Fault::Full(0), 0)),
        Some((Fault::Full(30), 0)),
    ];
    let mut played = 0;
    for fault in faults {
        played += each_schedule(2, most, 1, &|choice| close_beside_a_writer(choice, fault));
    }
    println!("closing a log: {played} schedules with up to {most} preemptions");
    assert!(played > 1000);
}

/// A writer appends and deletes, a flush takes the head over, and a reader reads a view twice.
fn hand_over(choice: Choice) -> u64 {
    let mut simulation = Simulation::quiet();
    let shared = simulation.open(End::Killed).expect("a new database opens");
    let worker = |name: usize| Worker { shared: &shared, dice: Dice(40 + name as u64), name };
    worker(0).append();
    let tasks: Vec<Task<'_>> = vec![
        Box::new(|| {
            let mut writer = worker(1);
            writer.append();
            writer.delete();
            writer.append();
        }),
        Box::new(|| worker(2).flush()),
        Box::new(|| worker(3).look(2)),
    ];
    let (ended, _, points) = Turns::run(Dice(1), choice.clone(), None, tasks);
    assert!(matches!(ended, Ended::Done), "{ended:?}, {choice:?}");
    let checked = simulation.check(&shared);
    assert!(checked.is_ok(), "{checked:?}, {choice:?}");
    points
}

#[test]
fn readers_see_one_state_in_every_schedule_of_a_flush() {
    let most = setting("BAROGRAPH_PREEMPTIONS", 1) as usize;
    let stride = if most > 1 { 1 } else { 5 };
    let played = each_schedule(3, 1, stride, &hand_over);
    println!("hand-over: {played} schedules with one preemption");
    assert!(played > 100);
}

/// A program subscribes and then reads, beside a writer: each batch is in the read or in the subscription.
fn subscribe_and_read(choice: Choice) -> u64 {
    const BATCHES: usize = 2;
    let engine = Engine::in_memory(Options { background: false, ..Options::default() }).expect("it opens");
    let subscribed = Mutex::new(None);
    let write = || {
        for second in 0..BATCHES as i64 {
            engine.append(&float_batch(0, &[second])).expect("memory is free");
        }
    };
    let subscribe = || {
        let subscription = engine.subscribe(&[], 1 << 20).expect("it is open");
        let view = engine.view();
        let found = view.select(&[Matcher::equal("job", "job0")], TimeRange::ALL, 9).expect("a list");
        let read: usize = found.iter().map(|s| view.read(s, TimeRange::ALL).expect("samples").len()).sum();
        *subscribed.lock() = Some((subscription, read));
    };
    let (ended, _, points) =
        Turns::run(Dice(1), choice.clone(), None, vec![Box::new(&write), Box::new(&subscribe)]);
    assert!(matches!(ended, Ended::Done), "{ended:?}, {choice:?}");
    let (subscription, read) = subscribed.into_inner().expect("it has subscribed");
    let received = std::iter::from_fn(|| subscription.try_recv().ok());
    let received = received.filter(|update| matches!(update, Update::Sample { .. })).count();
    assert!(read + received >= BATCHES, "{read} read and {received} received, {choice:?}");
    points
}

#[test]
fn what_a_first_read_does_not_show_the_subscription_receives_in_every_schedule() {
    let most = setting("BAROGRAPH_PREEMPTIONS", 1) as usize;
    let played = each_schedule(2, most, 1, &subscribe_and_read);
    println!("subscribe and read: {played} schedules with up to {most} preemptions");
    assert!(played > 20);
}
