//! Background work: flushes when one is due, then merges and expires.
//!
//! One job flushes and one merges, so that a long merge never delays a flush; a third one scrubs the store
//! (`scrub.rs`). The threads are shared by all databases of the process (`workers.rs`).
//!
//! # When the flush job checks
//! Its thread sleeps until something is due. Everything that may make a flush due earlier, or leaves other work to this
//! job, calls `Jobs::note_work` (`jobs.rs`). The first call since the last check makes it check again within a second;
//! further calls cost one load. The job clears the note before it checks, so no change is missed. Urgent work calls
//! `Jobs::ask`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::upkeep::flush::PAUSE_AFTER_FAILURE;
use crate::engine::{Engine, Shared};
use crate::workers::{Lane, Next};
use crate::{Error, Result};

/// The work of all databases. More concurrent flushes would not be faster; a merge and a scrub may take long. Appends may
/// have to wait for a flush, and for nothing else.
static FLUSHES: Lane = Lane::new("flush", 8);
static MERGES: Lane = Lane::yielding("compact", 8);
static SCRUBS: Lane = Lane::yielding("scrub", 32);

/// How often partitions are checked without a request.
const COMPACT_EVERY: Duration = Duration::from_secs(60);

impl Engine {
    pub(in crate::engine) fn start_workers(&self) -> Result<()> {
        if !self.shared.options.background {
            return Ok(());
        }
        let add = |lane: &'static Lane, name: &str, look: fn(&Shared) -> Next| {
            let shared = Arc::clone(&self.shared);
            let added = lane.add(move || look(&shared));
            added.map(Some).map_err(|e| Error::io("start a background thread", name, e))
        };
        let is_scrubbed = !self.shared.options.scrub_interval.is_zero();
        self.shared.jobs.start(|jobs| {
            jobs.flush = add(&FLUSHES, "flush", Shared::look_to_flush)?;
            jobs.merge = add(&MERGES, "compact", Shared::look_to_merge)?;
            if is_scrubbed {
                jobs.scrub = add(&SCRUBS, "scrub", Shared::look_to_scrub)?;
            }
            Ok(())
        })
    }

    /// Applies retention and performs all merges that are due.
    ///
    /// # Errors
    /// The store refused, or the database was closed in the meantime. Completed merges remain.
    pub fn compact(&self) -> Result<()> {
        self.shared.check_writable()?;
        let _call = self.shared.lifecycle.enter()?;
        self.shared.merger.compact()?;
        // Closing ends it early.
        self.shared.check_writable()
    }
}

impl Shared {
    pub(in crate::engine) fn look_to_flush(&self) -> Next {
        self.flusher.look()
    }

    fn look_to_merge(&self) -> Next {
        let at = Instant::now() + COMPACT_EVERY;
        if let Err(error) = self.merger.compact() {
            tracing::error!(%error, "compaction failed; it will be tried again");
            return Next::After { pause: Instant::now() + PAUSE_AFTER_FAILURE, at };
        }
        Next::At(at)
    }

    fn look_to_scrub(&self) -> Next {
        self.scrub.look()
    }
}
