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
    refused: Option<QueryError>,
}

impl<'b> Made<'b> {
    pub fn new(budget: &'b Budget) -> Self {
        Made { budget, held: Footprint::default(), refused: None }
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
        let own = histogram_held(&histogram);
        match self.budget.hold(own) {
            Ok(()) => {
                self.held += own;
                points.set(step, Some(Point::Histogram(histogram)));
            }
            Err(error) => self.refused = Some(error),
        }
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
