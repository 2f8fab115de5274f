//! Counters, which are compared and analyzed by their rates.

use barograph_analytics::compare::resample;

use crate::functions::window::Columns;

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
