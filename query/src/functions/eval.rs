//! How a function is evaluated: its kernel, by the shape of its input.
//!
//! A plan copies the kernel of each call from the table. The executor matches on the shape once for each call, and
//! calls the kernel once for each series, window column or call. Loops over samples are inside the kernels.

use barograph_engine::model::Histogram;

use super::analytics::AnalyticKernel;
use super::arguments::Arguments;
use super::range::Column;
use super::window::{WindowKernel, WindowedSeries};
use crate::annotations::Annotations;
use crate::error::QueryError;
use crate::series::{Points, Value};
use crate::span::Span;
use crate::steps::QueryTimes;

/// How a function is evaluated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Eval {
    /// The value depends only on the times of the query, so the plan has a number instead of the call.
    Constant(fn(QueryTimes) -> f64),
    /// The executor runs a kernel.
    Kernel(Kernel),
    /// The parser replaces every call by another query.
    Replaced,
}

/// What a function computes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kernel {
    /// Maps each float of a vector; histograms are ignored.
    Float(fn(f64) -> f64),
    /// Maps the floats of each series. The scalar arguments after the vector have one value for each step.
    Floats(fn(&mut [f64], &[Vec<f64>])),
    /// Maps each float of a vector or, without an argument, the evaluation time in seconds.
    Date(fn(f64) -> f64),
    /// Computes a number from each native histogram of a vector; floats are ignored.
    Histogram(fn(&Histogram) -> f64),
    /// Computes one column from the windows of each series.
    Window(WindowKernel),
    /// Computes one column for each scalar argument from the windows of each series. The string argument is the label
    /// that distinguishes the columns.
    Windows(fn(&mut WindowedSeries<'_>) -> Result<Vec<Points>, QueryError>),
    /// Makes labelled columns of all samples of each series, or says why it cannot.
    Analytic(AnalyticKernel),
    /// Replaces the floats that a series has at all steps of the query; histograms are ignored.
    Range(fn(&mut Column<'_>)),
    /// Replaces the values that a series has at all steps of the query, including histograms.
    RangePoints(fn(&mut Points)),
    /// Evaluates its arguments itself.
    Call(fn(&mut dyn Arguments<'_>) -> Result<Value, QueryError>),
}

/// Checks a scalar argument before the kernel runs, given its index among the scalar arguments and its value at each
/// step. It warns, or refuses the query.
pub(crate) type ScalarCheck = fn(&mut Annotations, Span, usize, &[f64]) -> Result<(), QueryError>;

impl Kernel {
    /// Whether the value at a step depends on the other steps of the query.
    pub fn spans_steps(self) -> bool {
        matches!(self, Kernel::Range(_) | Kernel::RangePoints(_))
    }
}
