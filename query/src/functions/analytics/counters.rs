//! Counters, which are compared and analyzed by their rates.

use barograph_analytics::compare::resample;
use barograph_engine::model::Labels;

use crate::functions::window::Columns;
use crate::functions::window::counter::looks_like_counter;

/// Whether a series is a counter. The values of a function or an operator are not, even if the name is still known.
pub(crate) fn is_counter(labels: &Labels, drop_name: bool) -> bool {
    !drop_name && labels.metric_name().is_some_and(|name| !name.is_empty() && looks_like_counter(name))
}

/// The memory of the rates of a series.
pub(crate) fn bytes(samples: usize) -> usize {
    samples * (size_of::<i64>() + size_of::<f64>())
}

/// The rates per second of a counter between neighbouring samples, at the time of the later one. Histograms are left
/// out.
pub(crate) fn rates(columns: &Columns) -> Columns {
    let mut rates = Default::default();
    resample::rates(&columns.times, &columns.values, &mut rates);
    let (times, mut values) = rates;
    values.iter_mut().for_each(|rate| *rate *= 1e9);
    Columns { times, values, ..Columns::default() }
}
