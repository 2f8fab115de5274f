//! The view that a function has of its call during the evaluation: the arguments, evaluated on demand, and the
//! facilities of the query.
//!
//! The executor implements [`Arguments`]. Kernels depend on this trait and not on the executor,
//! so that the table of functions, which the parser reads, can name them.

use barograph_engine::model::Matcher;

use super::Function;
use super::analytics::NamedOptions;
use super::window::WindowKernel;
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
