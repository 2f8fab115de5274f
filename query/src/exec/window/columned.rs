//! What a call over a series returns, and what it reads.

use barograph_engine::model::TimeRange;
use smallvec::SmallVec;

use crate::functions::window::RangeCall;
use crate::functions::{Edges, Function};
use crate::series::Points;
use crate::steps::ms_to_ns;

/// The output of a kernel for one series: one column, or several.
#[derive(Default)]
pub(super) struct Columned {
    pub columns: SmallVec<[Points; 1]>,
    /// The label that distinguishes each column, if the kernel gives them.
    pub labels: Vec<Option<(&'static str, String)>>,
    /// Why the series, or a part of it, has no result.
    pub note: Option<String>,
}

impl From<SmallVec<[Points; 1]>> for Columned {
    fn from(columns: SmallVec<[Points; 1]>) -> Columned {
        Columned { columns, ..Columned::default() }
    }
}

/// The time range that all windows cover.
pub(crate) fn read_range(call: &RangeCall<'_>, function: &Function) -> TimeRange {
    let lookback = ms_to_ns(call.lookback_ms);
    let (mut from, mut to) = call.windows.covering_range();
    if call.edges != Edges::Plain || function.reads_before_window {
        from = from.saturating_sub(lookback);
    }
    if call.edges == Edges::Smoothed {
        to = to.saturating_add(lookback);
    }
    TimeRange::new(from, to)
}
