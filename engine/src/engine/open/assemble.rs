//! Creates the open database from the results of opening.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::clock::Clock;
use crate::engine::admit::Admission;
use crate::engine::base::Base;
use crate::engine::directory::disk::Disk;
use crate::engine::directory::lock::Lock;
use crate::engine::known::KnownSeries;
use crate::engine::lifecycle::Lifecycle;
use crate::engine::open::OpenReport;
use crate::engine::open::replay::{EPOCH_AT_START, Replayed};
use crate::engine::retention::{Found, Retention};
use crate::engine::subscribe::Subscriptions;
use crate::engine::upkeep::flush::Flusher;
use crate::engine::upkeep::merge::Merger;
use crate::engine::upkeep::scrub::Scrub;
use crate::engine::write::Writer;
use crate::engine::{Engine, Shared};
use crate::head::Epoch;
use crate::model::Timestamp;
use crate::options::{Kept, Options};
use crate::process::Process;
use crate::store::catalogue::{Catalogue, Obsolete};
use crate::store::gate::{Gate, Guarded};
use crate::store::guard::{GuardedKv, Judge};
use crate::store::kv::Kv;
use crate::store::versions::Versions;
use crate::wal::Wal;

/// The results of opening.
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

/// The newest times found by opening.
fn newest(catalogue: &Catalogue, replay: &Replayed, options: &Options) -> Found {
    let stored = catalogue.root.newest;
    Found {
        stored: (stored != Timestamp::MIN).then_some(stored),
        newest: catalogue.generations.totals().last.max(replay.newest).max(stored),
        unflushed: options.flush_interval.min(options.partition_width),
    }
}

/// The options, with what is stored in the database of what is kept, if that counts.
pub(super) fn in_effect(options: Options, catalogue: &Catalogue) -> Options {
    let stored = catalogue.kept.as_ref().filter(|_| options.stored_kept);
    // Its record has been checked.
    match stored.and_then(|stored| stored.kept(&options).ok()) {
        Some(kept) => kept.within(options),
        None => options,
    }
}

/// Creates the open database. Its background jobs are not started.
pub(super) fn assemble(opened: Opened) -> Engine {
    let Opened { process, is_read_only, dir, lock, kv: guard, wal, options, clock, .. } = opened;
    let Opened { obsolete, catalogue, replay, mut report, started, .. } = opened;
    // A log opened for reading has records too.
    let read = report.wal.as_ref().map_or(0, |found| found.last_seq);
    let last_seq = wal.as_ref().map_or(catalogue.root.flushed_seq.max(read), Wal::last_seq);
    (report.samples_replayed, report.samples_unknown) = (replay.samples, replay.unknown);
    report.open_time = started.elapsed();
    let kv: Arc<dyn Kv> = guard.clone();
    let gate = Gate::new(process, kv.clone(), lock.map(|lock| Box::new(lock) as Guarded));
    let newest = newest(&catalogue, &replay, &options);
    let base = Base {
        jobs: Arc::default(),
        head: Arc::new(replay.head),
        versions: Arc::new(Versions::new(kv, catalogue, obsolete)),
        retention: Arc::new(Retention::new(clock.clone(), &Kept::of(&options), &newest)),
        known: Arc::new(KnownSeries::new(&options)),
        log: wal.map(Arc::new),
        options: Arc::new(options),
        clock,
        dir,
    };
    base.head.pins.resume(base.versions.current().root.flushed_seq, last_seq);
    let add = |tombstone| base.versions.add_tombstone(&Arc::new(tombstone));
    replay.tombstones.into_iter().for_each(add);
    let judge: Arc<dyn Judge> = base.versions.clone();
    guard.appoint(Arc::downgrade(&judge));

    let epoch = Epoch { cut: last_seq, ..EPOCH_AT_START };
    let admission = Arc::new(Admission::new(&base));
    let subscriptions = Subscriptions::new(process);
    let writer = Arc::new(Writer::new(&base, &admission, subscriptions, epoch, replay.records > 0));
    let disk = Arc::new(Disk::new(&base));
    let merger = Arc::new(Merger::new(&base, &writer, &admission, &disk));
    let flusher = Flusher::new(&base, &writer, &merger, &admission, &disk);
    let scrub = Scrub::new(&base);
    let Base { options, head, versions, retention, jobs, .. } = base;
    let lifecycle = Lifecycle::new(process, is_read_only, gate);
    let shared = Shared {
        options,
        head,
        versions,
        retention,
        jobs,
        admission,
        writer,
        disk,
        merger,
        flusher,
        scrub,
        lifecycle,
    };
    Engine { shared: Arc::new(shared), report }
}
