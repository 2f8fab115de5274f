//! The trusted clock alone; what retention makes of it is in `engine/tests/clock.rs`.

use super::*;

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;
/// Noon of some day.
const NOON: i64 = 20_000 * DAY + DAY / 2;

fn hours(hours: u64) -> Duration {
    Duration::from_secs(3_600 * hours)
}

fn at(wall: i64, steady_hours: u64) -> Reading {
    Reading { wall, steady: hours(steady_hours) }
}

fn fresh() -> Trusted {
    Trusted::new(at(NOON, 0), None, SLACK)
}

#[test]
fn time_that_passes_is_no_jump() {
    let mut trusted = fresh();
    for hour in 1..=1_000 {
        // A wall clock that gains a second an hour is corrected now and then.
        let wall = NOON + hour * HOUR + (hour % 24) * 1_000_000_000;
        let judged = trusted.observe(at(wall, hour as u64));
        assert_eq!((judged.trusted, judged.is_ahead, judged.news), (wall, false, None));
    }
    // Nobody looked for forty days.
    let judged = trusted.observe(at(NOON + 1_000 * HOUR + 40 * DAY, 1_960));
    assert_eq!((judged.is_ahead, judged.news), (false, None));
}

#[test]
fn a_jump_is_reported_once_and_believed_after_a_day() {
    let mut trusted = fresh();
    let ahead = |hour: u64| at(NOON + 40 * DAY + hour as i64 * HOUR, hour);
    let judged = trusted.observe(ahead(0));
    assert_eq!((judged.trusted, judged.news), (NOON, Some(News::Ahead)));
    for hour in 1..24 {
        let judged = trusted.observe(ahead(hour));
        let expected = (NOON + hour as i64 * HOUR, true, true, None);
        assert_eq!((judged.trusted, judged.is_ahead, judged.is_strict, judged.news), expected);
    }
    let judged = trusted.observe(ahead(24));
    assert_eq!((judged.trusted, judged.is_ahead), (NOON + 41 * DAY, false));
    assert_eq!(judged.news, Some(News::Believed));
    assert_eq!(trusted.observe(ahead(25)).news, None);
}

#[test]
fn a_second_jump_is_waited_for_as_long_as_the_first() {
    let mut trusted = fresh();
    assert_eq!(trusted.observe(at(NOON + 2 * HOUR, 0)).news, Some(News::Ahead));
    let second = |hour: u64| at(NOON + 40 * DAY + hour as i64 * HOUR, hour);
    assert_eq!(trusted.observe(second(23)).news, Some(News::Ahead));
    assert_eq!(trusted.observe(second(24)).news, None);
    assert_eq!(trusted.observe(second(46)).news, None);
    assert_eq!(trusted.observe(second(47)).news, Some(News::Believed));
}

#[test]
fn the_wall_clock_comes_back_or_is_set_back() {
    let mut trusted = fresh();
    trusted.observe(at(NOON + 40 * DAY, 0));
    let judged = trusted.observe(at(NOON + HOUR, 1));
    assert_eq!((judged.trusted, judged.news), (NOON + HOUR, Some(News::Back)));
    let judged = trusted.observe(at(NOON - 9 * DAY, 2));
    assert_eq!((judged.trusted, judged.is_ahead, judged.news), (NOON - 9 * DAY, false, None));
    // From there, what was right before is ahead.
    assert_eq!(trusted.observe(at(NOON, 2)).news, Some(News::Ahead));
}

#[test]
fn writers_whose_clocks_went_on_contradict_a_jump() {
    let mut trusted = fresh();
    let ahead = |hour: u64| at(NOON + 40 * DAY + hour as i64 * HOUR, hour);
    trusted.observe(ahead(0));
    for hour in 1..100 {
        assert!(trusted.observe(ahead(hour)).is_strict);
        assert_eq!(trusted.hear(NOON + hour as i64 * HOUR, ahead(hour)), None);
    }
    // One whose clock jumped along, as on the same machine, is no witness.
    assert_eq!(trusted.hear(NOON + 40 * DAY + 100 * HOUR, ahead(100)), None);
    assert_eq!(trusted.observe(ahead(122)).news, None);
    assert_eq!(trusted.observe(ahead(123)).news, Some(News::Believed), "a day after the last of them");
}

#[test]
fn after_a_long_time_without_the_process_writers_confirm_the_clock() {
    let start = || Trusted::new(at(NOON + 40 * DAY, 0), Some(NOON), SLACK);
    let mut trusted = start();
    let judged = trusted.observe(at(NOON + 40 * DAY, 0));
    assert_eq!((judged.trusted, judged.is_ahead, judged.is_strict), (NOON, true, false));
    assert_eq!(trusted.hear(NOON + 39 * DAY, at(NOON + 40 * DAY, 0)), None, "neither late nor now");
    assert_eq!(trusted.hear(NOON + 40 * DAY - HOUR, at(NOON + 40 * DAY, 0)), Some(News::Believed));
    assert_eq!(trusted.observe(at(NOON + 40 * DAY, 0)).trusted, NOON + 40 * DAY);
    // From then on a jump is one.
    assert!(trusted.observe(at(NOON + 80 * DAY, 0)).is_strict);

    // A jump after the start is one too, also before a writer was heard.
    let mut trusted = start();
    trusted.observe(at(NOON + 40 * DAY, 0));
    assert!(trusted.observe(at(NOON + 80 * DAY, 0)).is_strict);

    // Within the slack nothing is suspicious.
    let mut trusted = Trusted::new(at(NOON + 3 * HOUR, 0), Some(NOON), 3 * HOUR);
    assert!(!trusted.observe(at(NOON + 3 * HOUR, 0)).is_ahead);
}

#[test]
fn a_machine_that_starts_in_1970_and_learns_the_time_is_confirmed_by_writers() {
    let mut trusted = Trusted::new(at(0, 0), Some(NOON), SLACK);
    assert!(!trusted.observe(at(0, 0)).is_ahead);
    let judged = trusted.observe(at(NOON + DAY, 0));
    assert_eq!((judged.is_ahead, judged.is_strict), (true, false));
    assert_eq!(trusted.hear(NOON + DAY, at(NOON + DAY, 0)), Some(News::Believed));
}

#[test]
fn after_a_start_writers_contradict_a_clock_that_is_ahead() {
    let ahead = |hour: u64| at(NOON + 40 * DAY + hour as i64 * HOUR, hour);
    // It was away for five hours: the newest that is stored is that much behind what writers send.
    let mut trusted = Trusted::new(ahead(0), Some(NOON - 5 * HOUR), SLACK);
    for hour in 0..100 {
        assert!(trusted.observe(ahead(hour)).is_ahead);
        assert_eq!(trusted.hear(NOON + hour as i64 * HOUR, ahead(hour)), None);
    }
    // What is sent late says nothing about now.
    assert_eq!(trusted.hear(NOON + 80 * HOUR, ahead(110)), None);
    assert_eq!(trusted.observe(ahead(123)).news, Some(News::Believed), "a day after the last of them");
}
