//! Scrubbing: reads everything in the store periodically at a set pace, so that damage is found while a good copy still
//! exists elsewhere.
//!
//! A pass visits the partitions that exist when it begins, and checks in each what `verify` checks. The first partition
//! depends on the time of day, so a process that is restarted often does not always read the same ones. A partition
//! that is merged or expires during the pass is skipped; the merge has already read back its output. A pass holds no
//! generation, so that a slow one does not keep disk space in use: what it reads may be removed under it, and what it
//! found there is then dropped.
//!
//! A damaged generation is set aside.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::budget::Stopped;
use crate::clock::Clock;
use crate::engine::base::Base;
use crate::engine::duration_ns;
use crate::engine::jobs::Jobs;
use crate::engine::upkeep::verify::{Reading, VerifyReport, verify_partition};
use crate::model::PartitionId;
use crate::stats::Stats;
use crate::store::catalogue::Generation;
use crate::store::versions::Versions;
use crate::workers::Next;
use crate::{Error, Result};

/// The minimum rate in bytes per second: a small store is read within minutes, followed by a pause.
const RATE_MIN: u64 = 256 << 10;
/// Bytes read at once.
const STEP: usize = 64 << 10;
/// Maximum logged problems of one partition; the others are counted.
const LOGGED_MAX: usize = 10;

/// Owner of the rate of scrubbing, and of its findings.
pub(in crate::engine) struct Scrub {
    versions: Arc<Versions>,
    jobs: Arc<Jobs>,
    clock: Arc<dyn Clock>,
    /// The time between the beginnings of two passes.
    interval: Duration,
    bytes: AtomicU64,
    passes: AtomicU64,
    /// When the last pass ended; 0 before the end of the first.
    finished: AtomicI64,
    /// Problems found by the last pass, and by the current one.
    problems: [AtomicU64; 2],
}

/// The result of reading a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was read completely.
    Whole,
    /// It no longer exists in the same form.
    Gone,
    /// The database is closing.
    Closing,
}

/// Reads one partition at a limited rate.
struct Pace<'p> {
    scrub: &'p Scrub,
    generations: &'p [Arc<Generation>],
    /// Bytes per second; `None` for no limit.
    rate: Option<u64>,
    /// Bytes read since the last pause.
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
        self.scrub.bytes.fetch_add(read, Relaxed);
        let pause =
            self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(read as f64 / rate as f64));
        self.end = if self.scrub.jobs.nap(pause) {
            End::Closing
        } else if self.scrub.names_all(self.generations) {
            return Ok(());
        } else {
            End::Gone
        };
        Err(Error::Stopped(Stopped::Canceled))
    }
}

impl Scrub {
    pub fn new(base: &Base) -> Self {
        Scrub {
            versions: base.versions.clone(),
            jobs: base.jobs.clone(),
            clock: base.clock.clone(),
            interval: base.options.scrub_interval,
            bytes: AtomicU64::new(0),
            passes: AtomicU64::new(0),
            finished: AtomicI64::new(0),
            problems: Default::default(),
        }
    }

    pub fn add_to(&self, stats: &mut Stats) {
        stats.scrub_bytes = self.bytes.load(Relaxed);
        stats.scrub_passes = self.passes.load(Relaxed);
        stats.scrub_finished =
            Some(self.finished.load(Relaxed)).filter(|&at| at != 0).map(crate::Timestamp::from_nanos);
        // Not added up: a pass finds the problems of the last one again.
        stats.scrub_problems = self.problems.iter().map(|problems| problems.load(Relaxed)).max().unwrap_or(0);
    }

    /// One of the passes that begin every [`crate::Options::scrub_interval`] until the database closes.
    pub fn look(&self) -> Next {
        let (interval, began) = (self.interval, Instant::now());
        match self.pass(Some(interval)) {
            Some(_) => Next::after(interval.saturating_sub(began.elapsed())),
            None => Next::Over,
        }
    }

    /// One pass, which takes about `interval` in a large store; `None` if the database closes in the meantime.
    pub fn pass(&self, interval: Option<Duration>) -> Option<VerifyReport> {
        let generations = self.versions.current().generations.clone();
        let rate = interval.map(|interval| {
            // The size of the chunks is known; the index is rarely larger.
            let all = 2 * generations.totals().bytes;
            RATE_MIN.max((all as f64 / interval.as_secs_f64()) as u64)
        });
        // Holding a generation would keep it on the disk after a merge has replaced it.
        let partitions: Vec<PartitionId> = generations.partitions().map(|partition| partition.id).collect();
        drop(generations);
        let first = interval.map_or(0, |interval| self.first_of(partitions.len(), interval));
        let (before, after) = partitions.split_at(first);
        let mut report = VerifyReport::default();
        for &partition in after.iter().chain(before) {
            self.scrub_partition(partition, rate, &mut report)?;
        }
        let [last, under_way] = &self.problems;
        last.store(under_way.swap(0, Relaxed), Relaxed);
        self.passes.fetch_add(1, Relaxed);
        self.finished.store(self.clock.now(), Relaxed);
        Some(report)
    }

    /// The index of the partition, out of `count`, at which a pass begins.
    pub fn first_of(&self, count: usize, interval: Duration) -> usize {
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
        let generations: Vec<Arc<Generation>> = {
            let named = self.versions.current().generations.all_in(partition);
            named.iter().map(|generation| generation.unheld()).collect()
        };
        let mut pace = Pace { scrub: self, generations: &generations, rate, unpaid: 0, end: End::Whole };
        let mut found = VerifyReport::default();
        verify_partition(self.versions.kv(), &generations, &mut pace, &mut found);
        self.bytes.fetch_add(pace.unpaid as u64, Relaxed);
        if pace.end == End::Whole && !self.names_all(&generations) {
            pace.end = End::Gone;
        }
        match pace.end {
            End::Closing => return None,
            End::Gone => return Some(()),
            End::Whole => {}
        }
        self.problems[1].fetch_add(found.problems.len() as u64, Relaxed);
        for problem in found.problems.iter().take(LOGGED_MAX) {
            tracing::error!(
                %partition,
                "the store is damaged: {problem}; restore it from a snapshot"
            );
        }
        found.damaged.iter().for_each(|(prefix, why)| self.versions.set_aside(*prefix, why));
        report.add(found);
        Some(())
    }

    /// Whether the catalogue still names all of these.
    fn names_all(&self, generations: &[Arc<Generation>]) -> bool {
        let catalogue = self.versions.current();
        generations.iter().all(|generation| catalogue.generations.get(generation.prefix).is_some())
    }
}
