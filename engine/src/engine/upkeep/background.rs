//! Background work: flushes when one is due, then merges and expires.
//!
//! One job flushes and one merges, so that a long merge never delays a flush; a third one re-reads the store
//! (`scrub.rs`). The threads are those of all databases of the process (`workers.rs`).
//!
//! # When the flush job looks
//! Its thread sleeps until something is due. Whatever may make a flush due earlier, or leaves something else to this job,
//! calls `Jobs::note_work` (`jobs.rs`): the first call since the last look makes it look again within a second, the others
//! cost one load. The job forgets the note before it looks, so no change goes unseen. What cannot wait calls `Jobs::ask`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::upkeep::flush::PAUSE_AFTER_FAILURE;
use crate::engine::{Engine, Shared};
use crate::workers::{Lane, Next};
use crate::{Error, Result};

/// The work of all databases. More flushes at once would not be faster; a merge and a scrub may take long.
static FLUSHES: Lane = Lane::new("flush", 8);
static MERGES: Lane = Lane::new("compact", 8);
static SCRUBS: Lane = Lane::new("scrub", 32);

/// How often partitions are looked at without being asked.
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

    /// Carries out retention and every merge that is due, now.
    ///
    /// # Errors
    /// The store refused, or the database was closed meanwhile; what was merged before
    /// stays merged.
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
