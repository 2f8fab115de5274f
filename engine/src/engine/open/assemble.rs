//! Assembling: what opening found becomes an open database.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use crate::clock::Clock;
use crate::engine::admit::batches::BatchMemory;
use crate::engine::admit::limits::CardinalityLimits;
use crate::engine::directory::lock::Lock;
use crate::engine::jobs::Jobs;
use crate::engine::known::KnownSeries;
use crate::engine::lifecycle::Lifecycle;
use crate::engine::open::OpenReport;
use crate::engine::open::replay::{EPOCH_AT_START, Replayed};
use crate::engine::retention::{Found, Retention};
use crate::engine::write::record_log::LogRecord;
use crate::engine::{CommitState, Engine, FlushState, SeriesLimiter, Shared, health, subscribe, upkeep};
use crate::head::Epoch;
use crate::head::pins::Turn;
use crate::model::Timestamp;
use crate::options::Options;
use crate::process::Process;
use crate::stats::Counters;
use crate::store::catalogue::{Catalogue, Obsolete};
use crate::store::gate::{Gate, Guarded};
use crate::store::guard::{GuardedKv, Judge};
use crate::store::kv::Kv;
use crate::store::versions::Versions;
use crate::sync::{Condvar, Mutex};
use crate::wal::Wal;

/// What opening has gathered.
pub(super) struct Opened {
    pub process: Process,
    pub is_read_only: bool,
    pub dir: Option<PathBuf>,
    pub lock: Option<Lock>,
    pub kv: Arc<GuardedKv>,
    pub wal: Option<Wal>,
    pub options: Options,
    pub clock: Arc<dyn Clock>,
    pub obsolete: Arc<Obsolete>,
    pub catalogue: Catalogue,
    pub replay: Replayed,
    pub report: OpenReport,
    pub started: Instant,
}

/// The newest times that opening found.
fn newest(catalogue: &Catalogue, replay: &Replayed, options: &Options) -> Found {
    let stored = catalogue.root.newest;
    Found {
        stored: (stored != Timestamp::MIN).then_some(stored),
        newest: catalogue.generations.totals().last.max(replay.newest).max(stored),
        unflushed: options.flush_interval.min(options.partition_width),
    }
}

/// The open database. Its background jobs are not started.
pub(super) fn assemble(opened: Opened) -> Engine {
    let Opened { process, is_read_only, dir, lock, kv: guard, wal, options, clock, .. } = opened;
    let Opened { obsolete, catalogue, replay, mut report, started, .. } = opened;
    // A log that is only read has records too.
    let read = report.wal.as_ref().map_or(0, |found| found.last_seq);
    let last_seq = wal.as_ref().map_or(catalogue.root.flushed_seq.max(read), Wal::last_seq);
    let limiter = SeriesLimiter::default();
    limiter.set(options.new_series_per_second);
    (report.samples_replayed, report.samples_unknown) = (replay.samples, replay.unknown);
    report.open_ns = started.elapsed().as_nanos() as u64;
    let kv: Arc<dyn Kv> = guard.clone();
    let gate = Gate::new(process, kv.clone(), lock.map(|lock| Box::new(lock) as Guarded));
    let shared = Shared {
        commit: Mutex::new(CommitState {
            // Deletes up to here have been applied to the head.
            epoch: Epoch { cut: last_seq, ..EPOCH_AT_START },
            turn: Turn::first_after(last_seq),
            last_seq,
            spare: LogRecord::default(),
            pending: VecDeque::new(),
            term: 0,
            first_append: (replay.records > 0).then(Instant::now),
        }),
        series_bytes_seen: AtomicU64::new(0),
        applied: AtomicU64::new(last_seq),
        retention: Retention::new(clock.clone(), options.retention, &newest(&catalogue, &replay, &options)),
        has_deferred: AtomicBool::new(false),
        wants_room: AtomicBool::new(false),
        idle_looked: Mutex::new(Instant::now()),
        head: replay.head,
        versions: Arc::new(Versions::new(kv, catalogue, obsolete)),
        flush: Mutex::new(FlushState::default()),
        merging: Mutex::new(()),
        counters: Counters::default(),
        limiter,
        cardinality: CardinalityLimits::new(&options),
        batches: BatchMemory::new(options.batch_bytes_max()),
        known: KnownSeries::new(&options),
        jobs: Jobs::default(),
        room: (Mutex::default(), Condvar::new()),
        failing: health::Failing::default(),
        scrub: upkeep::scrub::Scrub::default(),
        subscriptions: subscribe::Subscriptions::new(process),
        lifecycle: Lifecycle::new(process, is_read_only, gate),
        options,
        dir,
        clock,
        wal,
    };
    shared.head.pins.resume(shared.versions.current().root.flushed_seq, last_seq);
    let add = |tombstone| shared.versions.add_tombstone(&Arc::new(tombstone));
    replay.tombstones.into_iter().for_each(add);
    let judge: Arc<dyn Judge> = shared.versions.clone();
    guard.appoint(Arc::downgrade(&judge));
    Engine { shared: Arc::new(shared), report }
}
