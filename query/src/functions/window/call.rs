//! A call over the windows of a range vector, and the series for which it is evaluated.

use super::Edges;
use super::over_time::slot;
use super::slide::{Windows, slide};
use super::{Columns, Window};
use crate::annotations::flags::Flags;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::series::Points;
use crate::steps::ms_to_ns;

/// A call over windows: everything that its kernel needs for every series.
pub(crate) struct RangeCall<'a> {
    /// The budget of the query.
    pub budget: &'a Budget,
    /// How far before and after a window some functions read, milliseconds.
    pub lookback_ms: i64,
    /// The windows.
    pub windows: Windows,
    /// How the selector treats the ends of the windows.
    pub edges: Edges,
    /// Scalar arguments, one value for each step.
    pub params: Vec<Vec<f64>>,
}

/// Computes one column from the windows of a series.
pub(crate) type WindowKernel = fn(&mut WindowedSeries<'_>) -> Result<Points, QueryError>;

impl RangeCall<'_> {
    /// The lookback in nanoseconds.
    pub fn lookback_ns(&self) -> i64 {
        ms_to_ns(self.lookback_ms)
    }
}

/// A series for which a kernel is evaluated.
pub(crate) struct WindowedSeries<'a> {
    /// The call.
    pub call: &'a RangeCall<'a>,
    /// The samples of the series.
    pub columns: &'a Columns,
    /// Whether the function is to see rates instead.
    pub is_counter: bool,
    /// The flags of the series, which the kernel may raise.
    pub flags: &'a mut Flags,
}

impl<'a> WindowedSeries<'a> {
    /// A scalar argument, one value for each step; empty if it was not given.
    pub fn param(&self, index: usize) -> &'a [f64] {
        self.call.params.get(index).map_or(&[][..], Vec::as_slice)
    }

    /// The length of the windows in nanoseconds.
    pub fn range_ns(&self) -> i64 {
        ms_to_ns(self.call.windows.range_ms)
    }

    /// Runs a kernel over floats. Histograms in the same window are ignored, with an annotation.
    ///
    /// # Errors
    /// Same as [`slide`].
    pub fn floats(
        &mut self,
        mut kernel: impl FnMut(&Window<'_>) -> Option<f64>,
    ) -> Result<Points, QueryError> {
        let mut points = Points::absent(self.call.windows.steps.count);
        if self.columns.times.is_empty() {
            return Ok(points);
        }
        let flags = &mut *self.flags;
        slide(self.call.budget, &self.call.windows, self.columns, |w| {
            points.floats[w.step] = slot(kernel(w));
            if w.histogram_len() > 0 && w.len() > 0 {
                flags.raise(Flags::HISTOGRAMS_IGNORED);
            }
        })?;
        Ok(points)
    }

    /// Runs a kernel that treats floats and histograms alike and returns floats.
    ///
    /// # Errors
    /// Same as [`slide`].
    pub fn samples(&self, mut kernel: impl FnMut(&Window<'_>) -> Option<f64>) -> Result<Points, QueryError> {
        let mut points = Points::absent(self.call.windows.steps.count);
        slide(self.call.budget, &self.call.windows, self.columns, |w| {
            points.floats[w.step] = slot(kernel(w));
        })?;
        Ok(points)
    }
}
