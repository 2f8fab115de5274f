//! The model: what the database must contain after each record of its log.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::tests::labels;
use crate::engine::tests::model::Told;
use crate::model::{Matcher, TimeRange};

/// What a database contains.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Content {
    /// By series and time.
    pub samples: BTreeMap<(u8, i64), Told>,
    /// By series and time.
    pub events: BTreeMap<(u8, i64), String>,
}

/// What one record of the log changes.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Samples(Vec<(u8, i64, Told)>),
    Events(Vec<(u8, i64, String)>),
    Delete(Matcher, TimeRange),
}

impl Content {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Samples(samples) => {
                self.samples
                    .extend(samples.iter().map(|(series, at, shown)| ((*series, *at), shown.clone())));
            }
            Change::Events(events) => {
                self.events.extend(events.iter().map(|(series, at, text)| ((*series, *at), text.clone())));
            }
            Change::Delete(matcher, range) => {
                let is_hit =
                    |series: u8, at: i64| range.contains(at) && matcher.matches_labels(&labels(series));
                self.samples.retain(|(series, at), _| !is_hit(*series, *at));
                self.events.retain(|(series, at), _| !is_hit(*series, *at));
            }
        }
    }
}

/// A record of the log.
#[derive(Debug, Clone)]
struct Record {
    /// The request that it belongs to.
    request: u64,
    /// Whether it is the last of its request.
    is_last: bool,
    changes: Vec<Change>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Killed,
    PowerLost,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    /// The content up to the record `from`.
    base: Content,
    from: u64,
    records: BTreeMap<u64, Record>,
    /// Refused because a sync failed; a power loss may bring them back. If no call works any more, the log is not cut
    /// either, and each restart may.
    ghosts: BTreeMap<u64, Record>,
    /// The last record whose request was acknowledged.
    acknowledged: u64,
    /// Whether acknowledged means durable.
    pub is_durable: bool,
    pub retention_ns: Option<i64>,
    /// Whether the disk has failed for good.
    pub is_disk_dead: bool,
    /// Latest time of a sample, and of the wall clock.
    newest: i64,
    clock: i64,
    /// Times of all samples and events that were ever sent.
    sent: BTreeSet<(u8, i64)>,
}

impl Model {
    /// The time shown by the wall clock.
    pub fn note_clock(&mut self, now: i64) {
        self.clock = self.clock.max(now);
    }

    /// A request is sent.
    pub fn send(&mut self, changes: &[Change]) {
        for change in changes {
            let times: Vec<(u8, i64)> = match change {
                Change::Samples(samples) => samples.iter().map(|(series, at, _)| (*series, *at)).collect(),
                Change::Events(events) => events.iter().map(|(series, at, _)| (*series, *at)).collect(),
                Change::Delete(..) => Vec::new(),
            };
            self.newest = times.iter().map(|(_, at)| *at).fold(self.newest, i64::max);
            self.sent.extend(times);
        }
    }

    /// The records of a request are in the log's buffer.
    pub fn log(&mut self, request: u64, first: u64, last: u64, changes: &[Change]) {
        // With fewer records than kinds of changes, all of one kind is older than the retention.
        let in_each = if (last - first + 1) as usize == changes.len() { 1 } else { changes.len() };
        for (seq, changes) in (first..=last).zip(changes.chunks(in_each)) {
            self.records.insert(seq, Record { request, is_last: seq == last, changes: changes.to_vec() });
        }
    }

    pub fn acknowledge(&mut self, last: u64) {
        self.acknowledged = self.acknowledged.max(last);
    }

    /// The last record that every later view must show.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// A request was refused; others may have its numbers by now.
    pub fn refuse(&mut self, request: u64, is_poisoned: bool) {
        let refused = self.records.extract_if(.., |_, record| record.request == request);
        let refused: Vec<_> = refused.collect();
        if is_poisoned {
            self.ghosts.extend(refused);
        }
    }

    /// The content after a record.
    fn after(&self, seq: u64) -> Result<Content, String> {
        if seq < self.from {
            return Err(format!("phantom: state after record {seq}, but {} records were there", self.from));
        }
        let mut content = self.base.clone();
        for number in self.from + 1..=seq {
            let record = self.records.get(&number).ok_or_else(|| format!("phantom: record {number}"))?;
            if number == seq && !record.is_last {
                return Err(format!("torn: state after record {seq}, in the middle of a request"));
            }
            record.changes.iter().for_each(|change| content.apply(change));
        }
        Ok(content)
    }

    /// Compares what a view of the state after the record `seq` shows.
    pub fn check(&self, seq: u64, found: &Content) -> Result<(), String> {
        let expected = self.after(seq)?;
        self.compare(&expected, found).map_err(|what| format!("{what}; state after record {seq}"))
    }

    /// A process has begun whose log ends with the record `last`: what is not in it is lost, if it may be.
    pub fn reopen(&mut self, last: u64, end: End) -> Result<(), String> {
        let must = if self.is_durable || end != End::PowerLost { self.acknowledged } else { 0 };
        if last < must {
            return Err(format!("lost: the log ends with record {last}, {must} was acknowledged"));
        }
        if end == End::PowerLost || std::mem::take(&mut self.is_disk_dead) {
            // What a failed sync has left on the disk after all.
            let ghosts = std::mem::take(&mut self.ghosts);
            for (seq, record) in ghosts {
                self.records.entry(seq).or_insert(record);
            }
        }
        for number in self.from + 1..=last {
            let record = self.records.get(&number).ok_or_else(|| format!("phantom: record {number}"))?;
            record.changes.iter().for_each(|change| self.base.apply(change));
        }
        (self.from, self.acknowledged) = (last.max(self.from), last);
        self.records.clear();
        self.ghosts.clear();
        Ok(())
    }

    /// Samples up to this time may have expired.
    fn horizon(&self) -> i64 {
        let newest = self.newest.min(self.clock);
        self.retention_ns.map_or(i64::MIN, |retention| newest.saturating_sub(retention))
    }

    fn compare(&self, expected: &Content, found: &Content) -> Result<(), String> {
        let horizon = self.horizon();
        let age = |at: i64| if at <= horizon { Age::MayBeGone } else { Age::Kept };
        compare(&expected.samples, &found.samples, &age, &self.sent)?;
        compare(&expected.events, &found.events, &age, &self.sent)?;
        Ok(())
    }
}

/// Whether a time is past the retention.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Kept,
    MayBeGone,
}

/// By series and time.
type Map<V> = BTreeMap<(u8, i64), V>;

fn compare<V: PartialEq + std::fmt::Debug>(
    expected: &Map<V>,
    found: &Map<V>,
    age: &dyn Fn(i64) -> Age,
    sent: &BTreeSet<(u8, i64)>,
) -> Result<(), String> {
    let named = |key: &(u8, i64)| format!("series {} at {}", key.0, super::shown(key.1));
    for (key, value) in expected.iter().filter(|(key, _)| age(key.1) == Age::Kept) {
        match found.get(key) {
            Some(other) if other == value => {}
            Some(other) => return Err(format!("phantom: {} is {other:?}, not {value:?}", named(key))),
            None => return Err(format!("lost: {}, {value:?}", named(key))),
        }
    }
    for (key, value) in found.iter().filter(|(key, _)| !expected.contains_key(key)) {
        if age(key.1) == Age::Kept || !sent.contains(key) {
            return Err(format!("phantom: {}, {value:?}", named(key)));
        }
    }
    Ok(())
}
