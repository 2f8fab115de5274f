//! Deleting by matchers and time range.
//!
//! Deletes are ordered with appends: a delete is logged, and once its record is durable its tombstone hides all older
//! data at once, in memory and in the store. The cost does not depend on the amount of hidden data, because appends
//! wait for it. A flush leaves out hidden data in memory, and merges apply tombstones in the store.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::jobs::Task;
use crate::engine::write::Writer;
use crate::engine::write::pending::{Logged, Pending};
use crate::head::record::KIND_DELETE;
use crate::model::{Matcher, Resolution, TimeRange, Timestamp};
use crate::rollup::{Bucket, BucketColumns, Columns};
use crate::store::catalogue::Tombstone;
use crate::view::TierSpan;
use crate::wal::{NewRecord, Ticket};
use crate::{Error, Result};

impl Engine {
    /// Deletes the samples in `range` of the series that match all matchers. When it returns, the delete is durable and
    /// complete for every later view. Samples written afterwards stay.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a matcher, or if it cuts a bucket of a tier whose samples have been dropped;
    /// [`Error::Limit`] if that would have to be looked for in too many series; an I/O error of the WAL.
    pub fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<()> {
        let shared = &self.shared;
        shared.check_writable()?;
        if matchers.is_empty() {
            return Err(Error::Invalid("a delete needs at least one matcher".to_owned()));
        }
        // No samples are dropped until it is applied, because a bucket that it cuts is computed from those it leaves.
        let _none_expire = shared.merger.without_expiry();
        self.check_cuts_no_bucket(matchers, range)?;
        let ticket = shared.writer.log_delete(Tombstone { seq: 0, matchers: matchers.to_vec(), range })?;
        fail_point!("delete.logged");
        shared.writer.wait_durable(ticket)?;
        fail_point!("delete.durable");
        shared.writer.count_delete();
        shared.jobs.ask(Task::Merge);
        Ok(())
    }
}

/// The maximum number of series in which buckets are looked for that a delete would cut.
const SERIES_MAX: usize = 100_000;

impl Engine {
    /// Refuses a delete of some of the samples of a bucket that cannot be computed from the others, because all have been
    /// dropped.
    fn check_cuts_no_bucket(&self, matchers: &[Matcher], range: TimeRange) -> Result<()> {
        let catalogue = self.shared.versions.current_owned();
        if catalogue.raw_from() == Timestamp::MIN && catalogue.trims.is_empty() {
            return Ok(());
        }
        let view = self.view();
        let mut buckets = BucketColumns::default();
        for TierSpan { resolution, range: stored, .. } in view.tiers() {
            let bounds = [range.start, range.end].into_iter().filter(|bound| stored.contains(*bound));
            for bound in bounds.filter(|bound| view.may_be_dropped(*bound, resolution)) {
                let span = TimeRange::new(resolution.floor(bound), resolution.ceil(bound));
                if span.is_empty() {
                    continue;
                }
                let found = view.select_buckets(matchers, resolution, span, SERIES_MAX);
                let (found, plan) = found.map_err(|error| too_many(error, resolution, span))?;
                let mut reader = view.reader();
                for series in found.iter().filter(|it| view.is_dropped(bound, resolution, &it.labels)) {
                    reader.read_buckets(&plan, series, Columns::ALL_TIMES, &mut buckets)?;
                    let is_cut = |bucket: Bucket| bucket.is_inside(range, resolution.width_ns()).is_none();
                    if buckets.buckets().any(is_cut) {
                        return Err(cuts(resolution, span));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Says what to do if more series match than are looked at.
fn too_many(error: Error, resolution: Resolution, span: TimeRange) -> Error {
    let at = crate::Timestamp::from_nanos;
    match error {
        Error::Limit(what) => Error::Limit(format!(
            "{what}, and the delete begins or ends inside buckets of {resolution} whose samples have been dropped: begin or \
             end it at {} or at {}, or match at most {SERIES_MAX} series",
            at(span.start),
            at(span.end)
        )),
        other => other,
    }
}

fn cuts(resolution: Resolution, span: TimeRange) -> Error {
    let at = crate::Timestamp::from_nanos;
    Error::Invalid(format!(
        "the delete takes some samples of the bucket of {resolution} that ends at {} and leaves others, and only the bucket \
         is left of them: begin or end it at {} or at {}",
        at(span.end),
        at(span.start),
        at(span.end)
    ))
}

impl Writer {
    /// Logs a delete. Returns what to wait for.
    ///
    /// # Errors
    /// Nothing is logged.
    fn log_delete(&self, mut tombstone: Tombstone) -> Result<Option<Ticket>> {
        let payload = tombstone.encode()?;
        let mut commit = self.commit.lock();
        let Some(wal) = &self.log else {
            commit.last_seq += 1;
            tombstone.seq = commit.last_seq;
            self.applier.delete(&mut commit, &Arc::new(tombstone));
            return Ok(None);
        };
        let record = NewRecord { kind: KIND_DELETE, parts: [&payload, &[], &[], &[]] };
        let ticket = wal.append_to_free(record)?;
        tombstone.seq = ticket.seq;
        let change = Logged::Delete(Arc::new(tombstone));
        commit.pending.push_back(Pending { ticket, change, defined: Vec::new() });
        Ok(Some(ticket))
    }
}
