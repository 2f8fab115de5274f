//! Scrubbing: reads everything in the store again and again at a set pace, so that damage is found while there still is
//! a good copy somewhere else.
//!
//! A pass visits the partitions that are there when it begins, and checks of each what `verify` checks. Where it begins
//! follows from the time of day: a process that is restarted often does not read the same partitions again and again. A
//! partition that is merged or expires meanwhile is left, so that a slow pass keeps no disk space; what a merge writes
//! was read back by the merge.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::budget::Stopped;
use crate::engine::verify::{Reading, VerifyReport, verify_partition};
use crate::engine::{Parts, duration_ns};
use crate::model::PartitionId;
use crate::stats::Stats;
use crate::store::catalogue::Generation;
use crate::{Error, Result};

/// The slowest pace, bytes a second: a small store is read within minutes and then rested from.
const RATE_MIN: u64 = 256 << 10;
/// Bytes that are read at once.
const STEP: usize = 64 << 10;
/// Problems of one partition that are logged; the others are counted.
const LOGGED_MAX: usize = 10;

/// What scrubbing has done since the database was opened.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    bytes: AtomicU64,
    passes: AtomicU64,
    /// When the last pass ended; 0 before the first.
    finished: AtomicI64,
    /// Problems that the last pass found, and the one under way.
    problems: [AtomicU64; 2],
}

impl Scrub {
    pub(super) fn add_to(&self, stats: &mut Stats) {
        stats.scrub_bytes = self.bytes.load(Relaxed);
        stats.scrub_passes = self.passes.load(Relaxed);
        stats.scrub_finished = Some(self.finished.load(Relaxed)).filter(|&at| at != 0);
        // Not added up: a pass finds again what the last one has found.
        stats.scrub_problems = self.problems.iter().map(|problems| problems.load(Relaxed)).max().unwrap_or(0);
    }
}

/// How the reading of a partition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was read to its end.
    Whole,
    /// It is not there any more as it was.
    Gone,
    /// The database is closing.
    Closing,
}

/// Reads one partition at a pace.
struct Pace<'p> {
    parts: &'p Parts,
    generations: &'p [Arc<Generation>],
    /// Bytes a second; `None`: as fast as it goes.
    rate: Option<u64>,
    /// Bytes that were read since the last pause.
    unpaid: usize,
    end: End,
}

impl Reading for Pace<'_> {
    fn is_over(&self) -> bool {
        self.end != End::Whole
    }

    fn read(&mut self, bytes: usize) -> Result<()> {
        self.unpaid += bytes;
        if self.unpaid < STEP {
            return Ok(());
        }
        let read = std::mem::take(&mut self.unpaid) as u64;
        self.parts.scrub.bytes.fetch_add(read, Relaxed);
        let pause =
            self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(read as f64 / rate as f64));
        self.end = if self.parts.nap(pause, |_| false) {
            End::Closing
        } else if self.parts.names_all(self.generations) {
            return Ok(());
        } else {
            End::Gone
        };
        Err(Error::Stopped(Stopped::Canceled))
    }
}

impl Parts {
    /// Passes, one every [`crate::Options::scrub_interval`], until the database closes.
    pub(super) fn scrub_loop(&self) {
        let interval = self.options.scrub_interval;
        loop {
            let began = Instant::now();
            if self.scrub(Some(interval)).is_none()
                || self.nap(interval.saturating_sub(began.elapsed()), |_| false)
            {
                return;
            }
        }
    }

    /// One pass, that takes about `interval` if there is much; `None` if the database closes meanwhile.
    pub(super) fn scrub(&self, interval: Option<Duration>) -> Option<VerifyReport> {
        let generations = self.catalogue.load().generations.clone();
        let rate = interval.map(|interval| {
            // The chunks' bytes are known, those of the index are seldom more.
            let all = 2 * generations.totals().bytes;
            RATE_MIN.max((all as f64 / interval.as_secs_f64()) as u64)
        });
        // By name alone: a generation that somebody holds stays on the disk when a merge has replaced it.
        let partitions: Vec<PartitionId> = generations.partitions().map(|partition| partition.id).collect();
        drop(generations);
        let first = interval.map_or(0, |interval| self.first_of(partitions.len(), interval));
        let (before, after) = partitions.split_at(first);
        let mut report = VerifyReport::default();
        for &partition in after.iter().chain(before) {
            self.scrub_partition(partition, rate, &mut report)?;
        }
        let [last, under_way] = &self.scrub.problems;
        last.store(under_way.swap(0, Relaxed), Relaxed);
        self.scrub.passes.fetch_add(1, Relaxed);
        self.scrub.finished.store(self.clock.now(), Relaxed);
        Some(report)
    }

    /// At which of `count` partitions a pass begins.
    pub(super) fn first_of(&self, count: usize, interval: Duration) -> usize {
        let interval = i128::from(duration_ns(interval).max(1));
        let into = i128::from(self.clock.now()).rem_euclid(interval);
        (into * count as i128 / interval) as usize
    }

    fn scrub_partition(
        &self,
        partition: PartitionId,
        rate: Option<u64>,
        report: &mut VerifyReport,
    ) -> Option<()> {
        let generations = self.catalogue.load().generations.in_partition(partition).to_vec();
        let mut pace = Pace { parts: self, generations: &generations, rate, unpaid: 0, end: End::Whole };
        let mut found = VerifyReport::default();
        verify_partition(&*self.kv, &generations, &mut pace, &mut found);
        self.scrub.bytes.fetch_add(pace.unpaid as u64, Relaxed);
        match pace.end {
            End::Closing => return None,
            End::Gone => return Some(()),
            End::Whole => {}
        }
        self.scrub.problems[1].fetch_add(found.problems.len() as u64, Relaxed);
        for problem in found.problems.iter().take(LOGGED_MAX) {
            tracing::error!(
                partition = partition.0,
                "the store is damaged: {problem}; restore it from a snapshot"
            );
        }
        report.add(found);
        Some(())
    }

    /// Whether the catalogue still names all of these.
    fn names_all(&self, generations: &[Arc<Generation>]) -> bool {
        let catalogue = self.catalogue.load();
        generations.iter().all(|generation| catalogue.generations.get(generation.prefix).is_some())
    }
}
