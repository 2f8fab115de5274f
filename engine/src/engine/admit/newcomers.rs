//! The new series of one request: limited together, and removed again if none of their samples was stored.
//!
//! A series is registered when its first sample is read, before the request is known to be valid: the limits count it
//! at once, and later lines of the request find it. A series that ends up without a sample in the log is removed
//! again, so a refused request leaves no label values and uses no memory.
//!
//! Next: `limits.rs` for the limits of all series together.

use std::sync::Arc;

use crate::engine::admit::Admission;
use crate::engine::jobs::Task;
use crate::engine::shortened::shown;
use crate::head::{Head, HeadSeries, Missing, Tenants};
use crate::model::Labels;
use crate::{Error, Result};

/// The series that a request has created so far.
#[derive(Debug, Default)]
pub(crate) struct Newcomers {
    series: Vec<Arc<HeadSeries>>,
    /// Their part of the memory for series, bytes.
    bytes: u64,
    /// Whether the request is stored atomically: a retry creates all of them again.
    is_whole: bool,
}

impl Newcomers {
    /// For a request that is stored atomically.
    pub fn of_whole() -> Self {
        Newcomers { is_whole: true, ..Newcomers::default() }
    }

    /// The number of series.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// The number created so far by a request that is stored atomically; 0 for other requests.
    pub fn of_whole_request(&self) -> u64 {
        if self.is_whole { self.len() as u64 } else { 0 }
    }

    /// The same for the series of one tenant.
    pub fn of_whole_tenant(&self, tenants: &Tenants, name: &str) -> u64 {
        let is_of = |series: &&Arc<HeadSeries>| self.is_whole && tenants.of(&series.labels) == name;
        self.series.iter().filter(is_of).count() as u64
    }

    fn add(&mut self, series: Arc<HeadSeries>) {
        self.bytes += crate::head::bytes_of(&series.labels);
        self.series.push(series);
    }

    /// Removes the series from number `first` on of which nothing was logged from the head. Returns whether there were
    /// any. `keep_out` excludes appends during the lifetime of its value. Caches may still refer to the removed series.
    pub fn take_back<G>(&mut self, head: &Head, first: usize, keep_out: impl FnOnce() -> G) -> bool {
        if self.len() <= first {
            return false;
        }
        let taken = {
            let _appends = keep_out();
            head.take_back(&self.series[first..])
        };
        if taken > 0 {
            self.series.retain(|series| !series.is_dead());
            self.bytes = self.series.iter().map(|series| crate::head::bytes_of(&series.labels)).sum();
        }
        taken > 0
    }
}

impl Admission {
    /// The series of a label set. A missing one is created if the limits admit it.
    #[inline]
    pub fn resolve(&self, labels: &Labels, newcomers: &mut Newcomers) -> Result<Arc<HeadSeries>> {
        match self.head.look_up(labels) {
            Ok(series) => Ok(series),
            Err(missing) => self.create(labels, missing, newcomers),
        }
    }

    /// Creates a missing series if the limits admit it.
    fn create(
        &self,
        labels: &Labels,
        missing: Missing,
        newcomers: &mut Newcomers,
    ) -> Result<Arc<HeadSeries>> {
        // Series in the head met this limit when they were created.
        self.check_labels(labels)?;
        self.admit(labels, missing.count, newcomers).inspect_err(|_| {
            self.counts.refused.add(1);
            self.head.tenants.note_refused(labels);
        })?;
        let (series, is_new) = self.head.create(labels, missing);
        if is_new {
            self.counts.series_created.add(1);
            newcomers.add(series.clone());
        }
        Ok(series)
    }

    /// Counts a new series if it may be added to the `count` series of the head.
    fn admit(&self, labels: &Labels, count: usize, newcomers: &Newcomers) -> Result<()> {
        self.admit_count(labels, count).inspect_err(|_| self.idle.want_room(false))?;
        self.admit_of_request(labels, newcomers)?;
        self.count_series(labels)?;
        self.admit_cardinality(labels)
            .and_then(|()| self.admit_in_second(labels, newcomers))
            .inspect_err(|_| self.head.tenants.give([labels]))?;
        if self.idle.is_newly_pressed() {
            self.jobs.ask(Task::Flush);
        }
        Ok(())
    }

    /// Whether a request may create one more series: a request that would take the memory of all others is refused
    /// permanently.
    fn admit_of_request(&self, labels: &Labels, newcomers: &Newcomers) -> Result<()> {
        let (bytes, bound) = (newcomers.bytes, self.options.request_series_bytes_max());
        if bytes.saturating_add(crate::head::bytes_of(labels)) <= bound {
            return Ok(());
        }
        Err(Error::Limit(format!(
            "the new series of one request take more than {bound} bytes, the limit (half of the memory \
             for series, a share of memory, Options::memory_bytes); series {} is new: send less in one request, drop \
             a label that has too many values, or raise memory",
            shown(labels)
        )))
    }
}
