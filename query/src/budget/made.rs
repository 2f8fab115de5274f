//! Histograms that a kernel makes.

use std::sync::Arc;

use barograph_engine::model::Histogram;

use super::Budget;
use crate::error::QueryError;
use crate::series::{Point, Points, histogram_held};
use crate::usage::Footprint;

/// Holds the histograms of a column one by one while the column is made, because each may have as many buckets as its
/// window has samples.
pub(crate) struct Made<'b> {
    budget: &'b Budget,
    held: Footprint,
    scratch: usize,
    refused: Option<QueryError>,
}

impl<'b> Made<'b> {
    pub fn new(budget: &'b Budget) -> Self {
        Made { budget, held: Footprint::default(), scratch: 0, refused: None }
    }

    /// Whether the budget has refused a histogram, so that no further one is worth making.
    pub fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// Sets a value of the column, unless the budget refuses it.
    pub fn put(&mut self, points: &mut Points, step: usize, histogram: Histogram) {
        self.share(points, step, Arc::new(histogram));
    }

    /// Sets a value of the column to a histogram that others hold too, unless the budget refuses it.
    pub fn share(&mut self, points: &mut Points, step: usize, histogram: Arc<Histogram>) {
        if self.hold(histogram_held(&histogram)) {
            points.set(step, Some(Point::Histogram(histogram)));
        }
    }

    /// Holds as many bytes for what the histograms are counted with, if that is more than before.
    pub fn count_with(&mut self, scratch: usize) {
        if scratch > self.scratch && self.hold(Footprint::bytes(scratch - self.scratch)) {
            self.scratch = scratch;
        }
    }

    fn hold(&mut self, more: Footprint) -> bool {
        match self.budget.hold(more) {
            Ok(()) => self.held += more,
            Err(error) => self.refused = Some(error),
        }
        self.refused.is_none()
    }

    /// Releases them all. The caller holds the column.
    ///
    /// # Errors
    /// Same as [`Budget::hold`].
    pub fn finish(self) -> Result<(), QueryError> {
        self.budget.release(self.held);
        self.refused.map_or(Ok(()), Err)
    }
}
