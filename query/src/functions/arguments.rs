//! The view that a function has of its call during the evaluation: the arguments, evaluated on demand, and the
//! facilities of the query.
//!
//! The executor implements [`Arguments`]. Kernels depend on this trait and not on the executor,
//! so that the table of functions, which the parser reads, can name them.

use std::fmt;

use barograph_analytics::Unfit;
use barograph_engine::model::{Labels, Matcher};

use super::Function;
use super::analytics::NamedOptions;
use super::window::slide::Windows;
use super::window::{Columns, WindowKernel};
use crate::annotations::Annotations;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::functions::Edges;
use crate::series::Vector;
use crate::span::Span;
use crate::steps::Steps;

/// A field of the newest sample of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SampleField {
    /// The value.
    Value,
    /// The time, in seconds.
    Time,
    /// The start time, in seconds; missing if it is unknown.
    StartTime,
}

/// A series of a range vector, with all floats that its windows need.
#[derive(Debug)]
pub(crate) struct Sampled {
    /// The labels, including a name that will be dropped.
    pub labels: Labels,
    /// Whether it is a counter.
    pub is_counter: bool,
    /// The samples, without histograms.
    pub columns: Columns,
}

/// The result of comparing one series at one step.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Score {
    /// The score; NaN if there is none.
    pub value: f64,
    /// Which of two equal scores is better: the larger.
    pub then: f64,
    /// Steps by which the series comes before the one it is compared with.
    pub lag: i32,
    /// The probability of the score by chance; NaN if unknown.
    pub p: f64,
    /// The correlation.
    pub r: f64,
    /// Steps by which a disturbance began earlier.
    pub lead: i64,
    /// The size of the disturbance, in typical deviations.
    pub deviations: f64,
}

/// Why a series has no score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reason {
    /// It does not fit the mathematics.
    Unfit(Unfit),
    /// More steps without a value than a comparison accepts.
    Gaps {
        /// Steps without a value.
        missing: usize,
        /// All steps.
        of: usize,
    },
    /// It has only native histograms.
    NoFloats,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Unfit(unfit) => unfit.fmt(f),
            Reason::Gaps { missing, of } => {
                write!(f, "{missing} of the {of} steps have no value; at most a fifth may be missing")
            }
            Reason::NoFloats => f.write_str("it has no floats"),
        }
    }
}

/// The scores of a series at all steps, or the reason why it has none.
#[derive(Debug)]
pub(crate) struct Scored {
    /// The labels, including a name that will be dropped.
    pub labels: Labels,
    /// Whether the name is dropped.
    pub drop_name: bool,
    /// One score for each step, or the first reason why there is none at a step.
    pub scores: Result<Vec<Score>, Reason>,
}

/// Scores one series, which may be a counter, from its samples. It runs on several threads.
pub(crate) type Scorer<'s> =
    dyn Fn(&Labels, bool, &Columns) -> Result<Result<Vec<Score>, Reason>, QueryError> + Sync + 's;

/// The arguments of a call at all steps. Arguments are counted from 0. The checker guarantees their number and types.
pub(crate) trait Arguments<'q> {
    /// The function that is called.
    fn function(&self) -> &'static Function;

    /// The number of arguments.
    fn count(&self) -> usize;

    /// Evaluates an instant vector.
    ///
    /// # Errors
    /// The errors of the evaluation.
    fn vector(&mut self, index: usize) -> Result<Vector, QueryError>;

    /// Evaluates a scalar: one value for each step. The check of the function has already run.
    ///
    /// # Errors
    /// The errors of the evaluation and of the check.
    fn scalar(&mut self, index: usize) -> Result<Vec<f64>, QueryError>;

    /// The text of a string argument.
    fn text(&self, index: usize) -> String;

    /// What was given by name.
    fn named(&self) -> NamedOptions<'_>;

    /// Evaluates the range vector among the arguments with a kernel.
    ///
    /// # Errors
    /// The errors of the evaluation.
    fn windows(&mut self, kernel: WindowKernel) -> Result<Vector, QueryError>;

    /// The windows of a range vector.
    ///
    /// # Errors
    /// The errors of choosing a window that the query omits.
    fn range(&mut self, index: usize) -> Result<Windows, QueryError>;

    /// The floats in the windows of each series of a range vector, and those in windows `earlier_ms` before unless that
    /// is 0, in label order. They are held until the call is done.
    ///
    /// # Errors
    /// The errors of the evaluation.
    fn samples(&mut self, index: usize, earlier_ms: i64) -> Result<Vec<Sampled>, QueryError>;

    /// Like [`Self::samples`], but scores each series and drops its samples.
    ///
    /// # Errors
    /// The errors of the evaluation and of the scorer.
    fn scores(
        &mut self,
        index: usize,
        earlier_ms: i64,
        score: &Scorer<'_>,
    ) -> Result<Vec<Scored>, QueryError>;

    /// The matchers of an argument that is a selector; empty for any other expression.
    fn matchers(&self, index: usize) -> &[Matcher];

    /// The edges of an argument that is an instant selector.
    fn edges(&self, index: usize) -> Option<Edges>;

    /// Reads a field of the newest samples of an instant selector.
    ///
    /// # Errors
    /// The errors of the evaluation.
    fn newest(&mut self, index: usize, field: SampleField) -> Result<Vector, QueryError>;

    /// Reads a field of the newest samples of other series, at the times of the first selector inside an argument.
    ///
    /// # Errors
    /// The errors of the evaluation.
    fn newest_beside(
        &mut self,
        index: usize,
        matchers: Vec<Matcher>,
        field: SampleField,
    ) -> Result<Vector, QueryError>;

    /// The position of an argument in the query.
    fn span(&self, index: usize) -> Span;

    /// The position of the whole call in the query.
    fn call_span(&self) -> Span;

    /// Whether the result drops metric names.
    fn drops_name(&self) -> bool;

    /// Whether the query is a range query.
    fn is_range_query(&self) -> bool;

    /// The steps of the evaluation.
    fn steps(&self) -> Steps;

    /// The budget of the query.
    fn budget(&self) -> &'q Budget;

    /// Warnings and infos about the query.
    fn annotations(&mut self) -> &mut Annotations;
}

/// The string arguments from `first` on.
pub(crate) fn texts(args: &dyn Arguments<'_>, first: usize) -> Vec<String> {
    (first..args.count()).map(|index| args.text(index)).collect()
}
