//! Turns the value of the root into the answer: drops names, merges series that became equal, and sorts matrices.

use barograph_engine::model::timestamp::Timestamp;
use barograph_engine::model::{Labels, Samples, TimeRange};

use super::Evaluator;
use super::select::{self, reading};
use super::window::subquery;
use crate::budget::Budget;
use crate::budget::pace;
use crate::error::QueryError;
use crate::functions::ValueType;
use crate::functions::window::Columns;
use crate::functions::window::slide::Windows;
use crate::merge::{is_metadata, merge_equal};
use crate::plan::{Kind, Node, Selection, Subquery};
use crate::series::{Point, Series, Value, Vector, histogram_held, is_absent, labels_held};
use crate::steps::{NS_PER_MS, Steps, ms_to_ns};
use crate::syntax::ast::Edges;
use crate::usage::Footprint;
use crate::value::{MatrixSeries, QueryValue, SampleValue, VectorSample};

/// Evaluates and finishes an instant query.
pub(crate) fn instant(ev: &mut Evaluator<'_>, root: &Node, time_ms: i64) -> Result<QueryValue, QueryError> {
    match &root.kind {
        Kind::Range(selection) => return raw_samples(ev, selection, time_ms),
        Kind::Subquery(subquery) => return inner_samples(ev, subquery, time_ms),
        _ => {}
    }
    let timestamp = Timestamp::from_millis(time_ms);
    Ok(match ev.eval(root, Steps::single(time_ms))? {
        Value::Scalar(values) => QueryValue::Scalar(timestamp, values[0]),
        Value::Text(text) => QueryValue::String(timestamp, text),
        Value::Vector(vector) => {
            let budget = &ev.ctx.budget;
            let vector = drop_names(budget, vector)?;
            let sample = |s: Series| {
                let value = match s.points.get(0)? {
                    Point::Float(v) => SampleValue::Float(v),
                    Point::Histogram(h) => SampleValue::Histogram(h),
                };
                Some(VectorSample { labels: s.labels, timestamp, value })
            };
            budget.hold(Footprint::bytes(vector.len() * size_of::<VectorSample>()))?;
            let mut samples = Vec::with_capacity(vector.len());
            let mut pace = budget.pace();
            for series in vector {
                pace.work(1)?;
                samples.extend(sample(series));
            }
            budget.settle(Footprint::default(), samples_held(&samples))?;
            QueryValue::Vector(samples)
        }
    })
}

/// Evaluates and finishes a range query.
pub(crate) fn range(ev: &mut Evaluator<'_>, root: &Node, steps: Steps) -> Result<QueryValue, QueryError> {
    if matches!(root.value_type(), ValueType::RangeVector | ValueType::String) {
        return Err(QueryError::BadTimes(format!(
            "invalid expression type {:?} for range query, must be Scalar or instant Vector",
            root.value_type().as_str()
        )));
    }
    let vector = ev.vector(root, steps)?;
    let budget = &ev.ctx.budget;
    let vector = drop_names(budget, vector)?;
    // The answer has times next to the values. The column of a series is dropped once its points are built.
    budget.hold(Footprint::bytes(vector.iter().map(|s| s.points.len() * size_of::<i64>()).sum()))?;
    let matrix = matrix_of(budget, vector, steps)?;
    budget.settle(Footprint::default(), matrix_held(&matrix))?;
    Ok(QueryValue::Matrix(matrix))
}

/// Memory of the result of an instant query.
fn samples_held(samples: &[VectorSample]) -> Footprint {
    let sample = |sample: &VectorSample| {
        let labels = labels_held(&sample.labels);
        match &sample.value {
            SampleValue::Float(_) => Footprint { samples: 1, ..labels },
            SampleValue::Histogram(h) => labels + histogram_held(h),
        }
    };
    samples.iter().map(sample).fold(Footprint::bytes(size_of_val(samples)), |a, b| a + b)
}

/// Memory of the result of a range query.
fn matrix_held(matrix: &[MatrixSeries]) -> Footprint {
    let series = |s: &MatrixSeries| {
        let floats = s.floats_ms.capacity() * size_of::<(i64, f64)>();
        let own = Footprint {
            samples: s.floats_ms.len() as u64,
            bytes: (floats + size_of::<MatrixSeries>()) as u64,
        };
        let histograms = s.histograms_ms.iter().map(|(_, h)| histogram_held(h));
        histograms.fold(own + labels_held(&s.labels), |a, b| a + b)
    };
    matrix.iter().map(series).fold(Footprint::default(), |a, b| a + b)
}

/// The series that have samples, in label order.
fn matrix_of(budget: &Budget, vector: Vector, steps: Steps) -> Result<Vec<MatrixSeries>, QueryError> {
    let (mut matrix, mut pace) = (Vec::with_capacity(vector.len()), budget.pace());
    for series in vector {
        pace.points(&series.points)?;
        matrix.extend(Some(matrix_series(series, steps)).filter(has_samples));
    }
    pace::sorted(budget, matrix, |a, b| a.labels.cmp(&b.labels))
}

fn has_samples(series: &MatrixSeries) -> bool {
    !series.floats_ms.is_empty() || !series.histograms_ms.is_empty()
}

fn matrix_series(series: Series, steps: Steps) -> MatrixSeries {
    let mut out = MatrixSeries { labels: series.labels, ..MatrixSeries::default() };
    let floats = &series.points.floats;
    let present = floats.iter().filter(|v| !is_absent(**v)).count();
    out.floats_ms.reserve_exact(present);
    let timed = floats.iter().enumerate().map(|(i, &v)| (steps.at(i), v));
    if present == floats.len() {
        // The length is known, so the loop does not check the capacity.
        out.floats_ms.extend(timed);
    } else {
        out.floats_ms.extend(timed.filter(|(_, v)| !is_absent(*v)));
    }
    for (i, h) in series.points.histograms.into_iter().flatten().enumerate() {
        out.histograms_ms.extend(h.map(|h| (steps.at(i), h)));
    }
    out
}

/// Drops the names that are marked and merges series that become equal.
fn drop_names(budget: &Budget, mut vector: Vector) -> Result<Vector, QueryError> {
    let mut pace = budget.pace();
    for series in vector.iter_mut().filter(|s| s.drop_name) {
        pace.labels()?;
        series.labels = series.labels.without(is_metadata);
        series.drop_name = false;
    }
    merge_equal(budget, vector)
}

/// The samples of a range selector, as stored.
fn raw_samples(ev: &Evaluator<'_>, selection: &Selection, time_ms: i64) -> Result<QueryValue, QueryError> {
    if selection.edges != Edges::Plain {
        return Err(QueryError::Execution(
            "anchored and smoothed need a function around the range vector".to_owned(),
        ));
    }
    let ctx = ev.ctx;
    let end = ms_to_ns(selection.shift.apply(time_ms));
    let range = TimeRange::new(end.saturating_sub(ms_to_ns(selection.range_ms)), end);
    let refs = select::select(ctx, selection, None, range)?;
    let matrix = reading::each(ctx, refs, range, |columns: &mut Columns, samples: &mut Samples, labels| {
        columns.fill(samples);
        ctx.budget.count_read(columns.len() as u64);
        ctx.budget.count_step(time_ms, columns.len() as u64);
        let series = whole_columns(labels, columns);
        ctx.budget.hold(matrix_held(std::slice::from_ref(&series)))?;
        Ok(Some(series))
    })?;
    let mut pace = ctx.budget.pace();
    let mut present = Vec::with_capacity(matrix.len());
    for series in matrix {
        pace.work(1)?;
        present.extend(Some(series).filter(has_samples));
    }
    Ok(QueryValue::Matrix(pace::sorted(&ctx.budget, present, |a, b| a.labels.cmp(&b.labels))?))
}

fn inner_samples(
    ev: &mut Evaluator<'_>,
    subquery: &Subquery,
    time_ms: i64,
) -> Result<QueryValue, QueryError> {
    let windows =
        Windows { steps: Steps::single(time_ms), shift: subquery.shift, range_ms: subquery.range_ms };
    let (vector, steps) = subquery::evaluate(ev, subquery, &windows)?;
    let budget = &ev.ctx.budget;
    Ok(QueryValue::Matrix(matrix_of(budget, drop_names(budget, vector)?, steps)?))
}

/// All samples of a series, with times in whole milliseconds.
fn whole_columns(labels: Labels, columns: &Columns) -> MatrixSeries {
    let ms = |ns: &i64| ns.div_euclid(NS_PER_MS);
    MatrixSeries {
        labels,
        floats_ms: columns.times.iter().map(ms).zip(columns.values.iter().copied()).collect(),
        histograms_ms: columns
            .histogram_times
            .iter()
            .map(ms)
            .zip(columns.histograms.iter().cloned())
            .collect(),
    }
}
