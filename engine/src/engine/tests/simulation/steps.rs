//! What the threads of a simulation do, chosen at random, and how each step is checked.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Counts;
use super::model::{Change, Content, Model};
use crate::clock::{Clock, ManualClock};
use crate::engine::tests::model::shown;
use crate::engine::tests::{SECOND, YEAR_2024, labels};
use crate::model::{Histogram, Matcher, STALE_NAN_BITS, TimeRange, Value};
use crate::sync::turns::{self, Dice};
use crate::{Batch, Engine, Error, Result, View};

/// Series that all threads write to.
pub(super) const SERIES: u8 = 6;
/// Names of metrics, as in [`labels`].
const NAMES: [&str; 2] = ["m0", "m1"];
const DAY: Duration = Duration::from_secs(86_400);

/// What all threads of a simulation share.
pub(super) struct Shared {
    pub engine: Engine,
    pub clock: Arc<ManualClock>,
    pub snapshots: std::path::PathBuf,
    pub now: Arc<Mutex<Now>>,
}

/// What steps change.
#[derive(Debug, Default)]
pub(super) struct Now {
    pub model: Model,
    pub counts: Counts,
    /// Whether a call may fail.
    pub is_faulty: bool,
    /// The second that samples in order are written at.
    pub second: i64,
    /// The next series that nobody has written to.
    pub newcomer: u8,
    /// The number of the next request; it is part of the values.
    pub request: u64,
    /// The snapshots that were made, and the last record in each.
    pub snapshots: Vec<(std::path::PathBuf, u64)>,
    /// The steps so far, if they are recorded.
    pub trace: Option<Vec<String>>,
}

impl Now {
    fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(text());
        }
    }
}

/// What a thread mostly does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Keeper,
    Reader,
}

impl Role {
    pub(super) fn roll(dice: &mut Dice) -> Role {
        match dice.below(8) {
            0..4 => Role::Writer,
            4..7 => Role::Keeper,
            _ => Role::Reader,
        }
    }
}

/// One thread.
pub(super) struct Worker<'s> {
    pub shared: &'s Shared,
    pub dice: Dice,
    pub name: usize,
}

impl Worker<'_> {
    pub(super) fn run(mut self, role: Role, steps: u64) {
        for _ in 0..steps {
            self.shared.now.lock().counts.steps += 1;
            let at = self.dice.below(100);
            match (role, at) {
                (Role::Writer, 0..70) | (Role::Keeper, 0..8) => self.append(),
                (Role::Writer, 70..84) | (Role::Keeper, 8..16) => self.delete(),
                (Role::Writer, 84..90) | (Role::Keeper, 16..50) => self.flush(),
                (Role::Keeper, 50..82) => self.step("merge", |shared| shared.engine.compact()),
                (Role::Keeper, 82..88) => self.step("clean", |shared| shared.engine.clean().map(drop)),
                (Role::Keeper, 88..93) => self.turn_clock(),
                (Role::Keeper, 93..96) => self.snapshot(),
                (Role::Reader, 0..60) => self.look(3),
                _ => self.look(1),
            }
            turns::point();
        }
    }

    fn note(&self, text: impl FnOnce() -> String) {
        let name = self.name;
        self.shared.now.lock().note(|| format!("thread {name}: {}", text()));
    }

    fn step(&self, what: &str, work: impl FnOnce(&Shared) -> Result<()>) {
        self.note(|| format!("{what} begins"));
        let done = work(self.shared);
        self.note(|| format!("{what}: {done:?}"));
        self.tolerate(what, done);
    }

    fn tolerate(&self, what: &str, done: Result<()>) {
        if let Err(error) = done {
            assert!(self.shared.now.lock().is_faulty, "{what} fails on a sound disk: {error}");
        }
    }

    /// Sends a request and keeps book of its records and its answer.
    fn send(&mut self, what: &str, changes: Vec<Change>, work: impl FnOnce(&Engine) -> Result<()>) {
        let shared = self.shared;
        let request = {
            let mut now = shared.now.lock();
            now.model.send(&changes);
            now.request += 1;
            now.request
        };
        let samples: u64 =
            changes.iter().map(|c| if let Change::Samples(s) = c { s.len() as u64 } else { 0 }).sum();
        self.note(|| format!("request {request}, {what}: {}", shown_changes(&changes)));
        let numbers = Rc::new(RefCell::new(None));
        let (now, heard, name) = (shared.now.clone(), numbers.clone(), self.name);
        turns::listen(Some(Box::new(move |first, last| {
            let mut now = now.lock();
            now.note(|| format!("thread {name}: request {request} is in the log as {first} to {last}"));
            now.model.log(request, first, last, &changes);
            *heard.borrow_mut() = Some(last);
        })));
        let done = work(&shared.engine);
        turns::listen(None);
        let mut now = shared.now.lock();
        now.note(|| format!("thread {name}: request {request}: {done:?}"));
        match &done {
            Ok(()) => {
                now.counts.acknowledged += samples;
                if let Some(last) = *numbers.borrow() {
                    now.model.acknowledge(last);
                }
            }
            Err(error) => now.model.refuse(request, matches!(error, Error::Poisoned(_))),
        }
        drop(now);
        self.tolerate(what, done);
    }

    fn value(&mut self, request: u64, number: usize) -> Value {
        let plain = (request * 1000 + number as u64) as f64;
        match self.dice.below(16) {
            0 => Value::Int(i64::MAX - request as i64 * 1000 - number as i64),
            1 => Value::Histogram(Arc::new(Histogram { count: plain, ..Histogram::default() })),
            2 => Value::Float(f64::from_bits(STALE_NAN_BITS)),
            _ => Value::Float(plain),
        }
    }

    /// The series and seconds of a batch.
    fn places(&mut self) -> Vec<(u8, i64)> {
        let second = self.shared.now.lock().second;
        let dice = &mut self.dice;
        let series = dice.below(u64::from(SERIES)) as u8;
        let some = second - 300 + dice.below(310) as i64;
        match dice.below(16) {
            // A run in order.
            0..3 => {
                let (count, step) = (1 + dice.below(20) as i64, 1 + dice.below(4) as i64);
                self.shared.now.lock().second += count * step;
                (0..count).map(|i| (series, second + i * step)).collect()
            }
            // A scrape.
            3..8 => {
                self.shared.now.lock().second += 1 + dice.below(20) as i64;
                (0..SERIES).map(|series| (series, second)).collect()
            }
            // Late samples and overwrites of several series.
            8..12 => (0..1 + dice.below(u64::from(SERIES)) as u8).map(|series| (series, some)).collect(),
            // Late samples of one.
            12..14 => (0..1 + dice.below(6) as i64).map(|i| (series, some - i)).collect(),
            14 => {
                let now = &mut *self.shared.now.lock();
                let count = 1 + dice.below(3) as u8;
                let first = now.newcomer;
                now.newcomer = first.saturating_add(count).min(250);
                (first..now.newcomer).map(|series| (series, second)).collect()
            }
            // One sample from the far future.
            _ if dice.once_in(4) => vec![(series, second + 100 * DAY.as_secs() as i64)],
            _ => vec![(series, some), (series, some)],
        }
    }

    pub(super) fn flush(&mut self) {
        self.step("flush", |shared| shared.engine.flush().map(drop));
    }

    pub(super) fn append(&mut self) {
        let places = self.places();
        if places.is_empty() {
            return;
        }
        let by_handle = self.dice.once_in(4);
        let number = self.shared.now.lock().request + 1;
        let (mut batch, mut samples) = (Batch::new(), Vec::new());
        for (i, (series, second)) in places.iter().copied().enumerate() {
            let (at, value) = (YEAR_2024 + second * SECOND, self.value(number, i));
            samples.push((series, at, shown(0, &value)));
            let handle = by_handle.then(|| self.shared.engine.handle(&labels(series)));
            match handle {
                Some(Ok(handle)) => batch.push_to(&handle, at, value),
                _ => batch.push(&labels(series), at, value),
            }
        }
        let mut changes = vec![Change::Samples(samples)];
        if self.dice.once_in(6) {
            let (series, at) = (places[0].0, YEAR_2024 + places[0].1 * SECOND);
            let text = format!("event of request {number}");
            batch.push_event(&labels(series), at, &text);
            changes.push(Change::Events(vec![(series, at, text)]));
        }
        self.send("append", changes, |engine| engine.append(&batch).map(drop));
    }

    pub(super) fn delete(&mut self) {
        let second = self.shared.now.lock().second;
        let dice = &mut self.dice;
        let matcher = match dice.below(4) {
            0 => Matcher::equal("__name__", NAMES[dice.below(2) as usize]),
            _ => Matcher::equal("job", &format!("job{}", dice.below(u64::from(SERIES)))),
        };
        let range = if dice.once_in(4) {
            TimeRange::ALL
        } else {
            let first = second - 200 + dice.below(210) as i64;
            let last = first + dice.below(90) as i64;
            TimeRange::inclusive(YEAR_2024 + first * SECOND, YEAR_2024 + last * SECOND)
        };
        let changes = vec![Change::Delete(matcher.clone(), range)];
        self.send("delete", changes, |engine| engine.delete(&[matcher], range));
    }

    /// Time passes, or the wall clock is set.
    fn turn_clock(&mut self) {
        let clock = &self.shared.clock;
        match self.dice.below(6) {
            0 => clock.set(clock.now() + 40 * DAY.as_nanos() as i64),
            1 => clock.set(YEAR_2024 + self.shared.now.lock().second * SECOND),
            _ => clock.advance(Duration::from_secs(self.dice.below(200))),
        }
        let now = clock.now();
        self.note(|| format!("the clock shows {}", super::shown(now)));
        self.shared.now.lock().model.note_clock(now);
    }

    fn snapshot(&mut self) {
        let shared = self.shared;
        let number = shared.now.lock().snapshots.len();
        let dest = shared.snapshots.join(format!("{}-{number}", self.name));
        self.step("snapshot", |shared| {
            let report = shared.engine.snapshot(&dest)?;
            shared.now.lock().snapshots.push((dest.clone(), report.seq));
            Ok(())
        });
    }

    /// Reads a view some times: it shows one state that has all that was acknowledged before, and stays.
    pub(super) fn look(&mut self, times: u64) {
        let must = self.shared.now.lock().model.acknowledged();
        let view = self.shared.engine.view();
        let seq = view.seq();
        self.note(|| format!("view of record {seq}"));
        assert!(seq >= must, "lost: a view of record {seq} after the acknowledgement of {must}");
        for _ in 0..1 + self.dice.below(times) {
            let way = self.dice.below(3);
            self.note(|| format!("reads record {seq}, way {way}"));
            let found = match content(&view, way) {
                Ok(found) => found,
                Err(error) => return self.tolerate("a read", Err(error)),
            };
            let mut now = self.shared.now.lock();
            now.counts.views += 1;
            if let Err(what) = now.model.check(seq, &found) {
                drop(now);
                panic!("{what}");
            }
            drop(now);
            (0..self.dice.below(60)).for_each(|_| turns::point());
        }
    }
}

/// Reads all that a view shows in one of three ways.
pub(super) fn content(view: &View<'_>, way: u64) -> Result<Content> {
    let mut content = Content::default();
    let mut add = |labels: &crate::model::Labels, run: &crate::chunk::Run| {
        let series = number_of(labels);
        let samples =
            (0..run.len()).map(|i| ((series, run.timestamps[i]), shown(run.start_at(i), &run.value_at(i))));
        content.samples.extend(samples);
    };
    let selectors = NAMES.map(|name| vec![Matcher::equal("__name__", name)]);
    for selector in &selectors {
        if way == 0 {
            view.each_series(selector, TimeRange::ALL, usize::MAX, &|_| false, &mut |series, run| {
                add(&series.labels, run);
                Ok(true)
            })?;
        } else {
            for series in view.select(selector, TimeRange::ALL, usize::MAX)? {
                add(&series.labels, &view.read(&series, TimeRange::ALL)?);
            }
        }
    }
    for event in view.events(&selectors, TimeRange::ALL, usize::MAX)? {
        content.events.insert((number_of(&event.labels), event.timestamp.as_nanos()), event.text);
    }
    Ok(content)
}

fn number_of(labels: &crate::model::Labels) -> u8 {
    let job = labels.get("job").and_then(|job| job.strip_prefix("job")).and_then(|job| job.parse().ok());
    job.expect("labels as they were written")
}

fn shown_changes(changes: &[Change]) -> String {
    let shown = changes.iter().map(|change| match change {
        Change::Samples(samples) => {
            let places: Vec<String> =
                samples.iter().map(|(series, at, _)| format!("{series}@{}", super::shown(*at))).collect();
            format!("samples {}", places.join(" "))
        }
        Change::Events(events) => format!("{} events", events.len()),
        Change::Delete(matcher, range) => {
            format!("{matcher:?} from {} to {}", super::shown(range.start), super::shown(range.end))
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}
