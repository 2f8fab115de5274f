//! Retention and a clock that is wrong: what writers dated is not expired by a machine that dates its own samples
//! wrongly.

use super::*;
use crate::engine::LineOptions;
use crate::store::memory::MemoryKv;

const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
const RETENTION_DAYS: i64 = 15;

/// A database with partitions of a day and a retention of fifteen.
struct Clocked {
    dir: tempfile::TempDir,
    kv: Arc<MemoryKv>,
    clock: Arc<ManualClock>,
    engine: Engine,
}

fn clocked_options() -> Options {
    Options {
        partition_width: Duration::from_secs(86_400),
        retention: Duration::from_secs(86_400 * RETENTION_DAYS as u64),
        ..options()
    }
}

impl Clocked {
    fn new() -> Clocked {
        let clock = Arc::new(ManualClock::new(YEAR_2024));
        let (dir, kv) = (tempfile::tempdir().unwrap(), Arc::new(MemoryKv::default()));
        let engine = Engine::open_over(dir.path(), kv.clone(), clocked_options(), clock.clone()).unwrap();
        Clocked { dir, kv, clock, engine }
    }

    /// Ten days of clients and of the server itself, flushed.
    fn with_ten_days() -> Clocked {
        let clocked = Clocked::new();
        for _ in 0..10 {
            clocked.pass(24);
            clocked.client(0);
            clocked.own();
        }
        clocked.engine.flush().unwrap();
        clocked.engine.compact().unwrap();
        assert_eq!(clocked.partitions(), 10);
        clocked
    }

    /// Closes it, lets time pass (or not), and opens it with a wall clock that shows `ahead` more.
    fn reopened(self, ahead: i64) -> Clocked {
        self.engine.close().unwrap();
        let Clocked { dir, kv, clock, engine } = self;
        drop(engine);
        // A process that starts knows nothing of the steady clock before.
        let clock = Arc::new(ManualClock::new(clock.wall() + ahead));
        let engine = Engine::open_over(dir.path(), kv.clone(), clocked_options(), clock.clone()).unwrap();
        Clocked { dir, kv, clock, engine }
    }

    fn pass(&self, hours: u64) {
        self.clock.advance(Duration::from_secs(3_600 * hours));
    }

    /// A client's sample, dated `off` from the wall clock.
    fn client(&self, off: i64) {
        let mut batch = Batch::new();
        batch.push(&labels(0), self.clock.wall() + off, Value::Float(1.0));
        assert_eq!(self.engine.append(&batch).unwrap().too_old, 0);
    }

    /// What the server writes about itself, and a line without a time.
    fn own(&self) {
        let mut batch = Batch::new();
        batch.push(&labels(1), self.clock.wall(), Value::Float(1.0));
        batch.push_event(&labels(1), self.clock.wall(), "event");
        batch.set_stamped_by_clock();
        self.engine.append(&batch).unwrap();
        self.line();
    }

    /// Two lines without a time: the first makes the series known, the second goes the short way; and one of text.
    fn line(&self) {
        for line in [&b"weather,room=a t=20.5"[..], b"weather,room=a t=20.5", b"weather,room=a text=\"warm\""]
        {
            let report = self.engine.write_lines(line, &LineOptions::default()).unwrap();
            assert_eq!(report.lines_bad, 0, "{:?}", report.errors);
        }
    }

    /// Flushes and lets the compactor pass `n` times, a minute apart; how many partitions went.
    fn passes(&self, n: usize) -> u64 {
        let before = self.engine.stats().partitions_expired;
        self.engine.flush().unwrap();
        for _ in 0..n {
            self.engine.compact().unwrap();
            self.clock.advance(Duration::from_secs(60));
        }
        self.engine.stats().partitions_expired - before
    }

    fn partitions(&self) -> u64 {
        self.engine.stats().partitions
    }

    fn ahead_days(&self) -> i64 {
        (self.engine.stats().clock_ahead.as_nanos() / DAY as u128) as i64
    }
}

impl ManualClock {
    fn wall(&self) -> i64 {
        crate::clock::Clock::now(self)
    }
}

#[test]
fn a_clock_that_jumps_ahead_expires_nothing() {
    let db = Clocked::with_ten_days();
    db.clock.set(db.clock.wall() + 40 * DAY);
    for _ in 0..72 {
        db.own();
        db.client(-40 * DAY);
        assert_eq!(db.passes(3), 0);
        db.pass(1);
    }
    assert_eq!(db.ahead_days(), 40, "clients contradict the clock for as long as they write");
    // Also an agent on the same machine, whose clock jumped along, changes nothing.
    db.client(0);
    assert_eq!(db.passes(3), 0);
    // A sample of any age within the retention is still welcome.
    db.client(-54 * DAY + 12 * HOUR);

    db.clock.set(db.clock.wall() - 40 * DAY);
    assert_eq!((db.passes(3), db.ahead_days()), (0, 0));
    // All continues as before: sixteen days after the first one its partition is past.
    for _ in 0..3 {
        db.pass(24);
        db.client(0);
        db.own();
        db.passes(1);
    }
    let expected = db.engine.shared.retention.horizon().all;
    assert_eq!(expected, db.clock.wall() - RETENTION_DAYS * DAY);
}

#[test]
fn lines_without_a_time_alone_are_no_second_opinion() {
    let db = Clocked::new();
    db.client(0);
    db.passes(1);
    db.clock.set(db.clock.wall() + 40 * DAY);
    db.line();
    assert!(db.engine.shared.retention.horizon().all <= db.clock.wall() - (40 + RETENTION_DAYS) * DAY);
    // With a time they are, where the clock was not seen to jump.
    let db = db.reopened(0);
    let timed = format!("weather,room=a t=20.5 {}", db.clock.wall());
    for body in ["weather,room=a t=20.5", "weather,room=a t=20.5", "weather,room=a text=\"warm\""] {
        db.engine.write_lines(body.as_bytes(), &LineOptions::default()).unwrap();
        assert_eq!(db.ahead_days(), 40, "{body}");
    }
    db.engine.write_lines(timed.as_bytes(), &LineOptions::default()).unwrap();
    assert_eq!(db.ahead_days(), 0);
}

#[test]
fn a_jump_that_lasts_is_believed_after_a_day_and_expires_step_by_step() {
    let db = Clocked::with_ten_days();
    db.clock.set(db.clock.wall() + 40 * DAY);
    db.own();
    assert_eq!(db.passes(30), 0);
    db.pass(22);
    db.own();
    assert_eq!((db.passes(1), db.ahead_days()), (0, 40));
    db.pass(2);
    db.own();
    assert_eq!(db.ahead_days(), 0);
    // Forty days are due, and a pass takes one.
    let mut left = db.partitions();
    let mut steps = 0;
    while left > 3 {
        let gone = db.passes(1);
        assert!(gone <= 1, "{gone} partitions in one pass");
        (left, steps) = (db.partitions(), steps + 1);
        assert!(steps <= 60, "{left} partitions are left");
    }
    assert!(steps >= 10);
}

#[test]
fn after_forty_days_without_the_process_nothing_is_lost_in_a_hurry() {
    // The clock is right. What has no time waits for a day; writers that give one confirm the clock at once.
    let db = Clocked::with_ten_days().reopened(40 * DAY);
    db.own();
    assert_eq!((db.passes(30), db.ahead_days()), (0, 40));
    db.client(0);
    assert_eq!(db.ahead_days(), 0);
    assert!(db.passes(1) <= 1);
    db.passes(60);
    assert!(db.partitions() <= 2, "{} partitions are left", db.partitions());
}

#[test]
fn a_database_opened_with_the_clock_ahead_keeps_what_clients_wrote() {
    let mut db = Clocked::with_ten_days().reopened(40 * DAY);
    for _ in 0..3 {
        for _ in 0..30 {
            db.own();
            db.client(-40 * DAY);
            assert_eq!(db.passes(1), 0);
            db.pass(1);
        }
        // Opened again, what was written with the wrong clock is stored and is no reason to believe it.
        db = db.reopened(0);
        assert!(db.ahead_days() >= 38, "{} days", db.ahead_days());
    }
    let db = db.reopened(-40 * DAY);
    assert_eq!((db.passes(3), db.ahead_days()), (0, 0));
}

#[test]
fn what_a_crash_left_in_the_log_is_no_reason_to_believe_the_clock() {
    let db = Clocked::with_ten_days();
    db.clock.set(db.clock.wall() + 40 * DAY);
    db.own();
    let Clocked { dir, kv, clock, engine } = db;
    drop(engine);
    let engine = Engine::open_over(dir.path(), kv.clone(), clocked_options(), clock.clone()).unwrap();
    let db = Clocked { dir, kv, clock, engine };
    assert_eq!((db.passes(10), db.ahead_days()), (0, 40));
}

#[test]
fn data_whose_lines_never_have_times_still_expires_in_time() {
    let mut db = Clocked::new();
    for day in 0..60 {
        db.line();
        db.passes(1);
        assert!(db.partitions() <= RETENTION_DAYS as u64 + 2, "day {day}: {} partitions", db.partitions());
        if day % 20 == 19 {
            db = db.reopened(HOUR);
        }
        db.pass(24);
    }
    assert!(db.engine.shared.retention.horizon().all > YEAR_2024 + 40 * DAY);
}

#[test]
fn a_retention_that_is_shortened_counts_at_once() {
    let db = Clocked::with_ten_days();
    db.engine.set_retention(Duration::from_secs(86_400 * 2)).unwrap();
    assert_eq!(db.passes(1), 7);
    // From none at all as well, in a database that was opened with data.
    let db = Clocked::with_ten_days().reopened(0);
    db.engine.set_retention(Duration::ZERO).unwrap();
    for _ in 0..5 {
        db.pass(24);
        db.client(0);
        assert_eq!(db.passes(1), 0);
    }
    db.engine.set_retention(Duration::from_secs(86_400 * 2)).unwrap();
    assert_eq!(db.passes(1), 12);
}

#[test]
fn samples_from_the_far_future_move_nothing() {
    let db = Clocked::with_ten_days();
    db.client(4_000 * DAY);
    assert_eq!(db.passes(30), 0);
    let db = db.reopened(0);
    assert_eq!((db.passes(30), db.ahead_days()), (0, 0));
    // Nor does it make a jump afterwards look right.
    let db = db.reopened(40 * DAY);
    assert_eq!((db.passes(30), db.ahead_days()), (0, 40));
    // Nor is it a witness where one would be believed.
    db.client(4_000 * DAY);
    assert_eq!((db.passes(60), db.ahead_days()), (0, 40));
}

#[test]
fn old_samples_expire_without_steps() {
    let db = Clocked::new();
    for day in 0..30 {
        db.client((day - 900) * DAY);
    }
    assert_eq!(db.passes(1), 14);
    db.client(-600 * DAY);
    assert_eq!(db.passes(1), 16, "no clock had a say in it");
}

#[test]
fn too_old_is_what_the_same_newest_time_says() {
    let db = Clocked::with_ten_days();
    let right = db.clock.wall();
    db.clock.set(right + 40 * DAY);
    db.own();
    let too_old = |at: i64| {
        let mut batch = Batch::new();
        batch.push(&labels(0), at, Value::Float(1.0));
        let line = format!("m v=1 {at}");
        let lines = db.engine.write_lines(line.as_bytes(), &LineOptions::default()).unwrap();
        let report = db.engine.append(&batch).unwrap();
        assert_eq!(lines.lines_bad, report.too_old);
        report.too_old == 1
    };
    assert!(!too_old(right - RETENTION_DAYS * DAY + HOUR));
    assert!(too_old(right - RETENTION_DAYS * DAY - HOUR));
}
