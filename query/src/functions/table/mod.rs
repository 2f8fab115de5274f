//! The entries of the function table, one file for each family.

use barograph_engine::model::Histogram;

use super::analytics::AnalyticKernel;
use super::arguments::Arguments;
use super::buckets::Row;
use super::eval::{Eval, Kernel, ScalarCheck};
use super::expansion::Expansion;
use super::range::Column;
use super::window::{WindowKernel, WindowedSeries};
use super::{Family, Function, NameRule, Named, Origin, ValueType, checks};
use crate::error::QueryError;
use crate::functions::Edges;
use crate::series::{Points, Value};
use crate::steps::QueryTimes;

mod analytics;
mod change;
mod convert;
mod histogram;
mod label;
mod math;
mod over_time;
mod range;
mod search;
mod templates;
mod time;
mod trigonometry;

/// All families.
pub(super) static FAMILIES: [&[Function]; 12] = [
    analytics::FUNCTIONS,
    change::FUNCTIONS,
    convert::FUNCTIONS,
    histogram::FUNCTIONS,
    label::FUNCTIONS,
    math::FUNCTIONS,
    over_time::FUNCTIONS,
    time::FUNCTIONS,
    trigonometry::FUNCTIONS,
    range::FUNCTIONS,
    search::FUNCTIONS,
    templates::FUNCTIONS,
];

const SCALAR: ValueType = ValueType::Scalar;
const VECTOR: ValueType = ValueType::InstantVector;
const RANGE: ValueType = ValueType::RangeVector;
const STRING: ValueType = ValueType::String;

/// The help of an entry: signature, sentences, example.
struct Help(&'static str, &'static str, &'static str);

/// An entry with fixed arguments whose result is an instant vector without the name.
const fn entry(
    family: Family,
    name: &'static str,
    args: &'static [ValueType],
    eval: Eval,
    help: Help,
) -> Function {
    let Help(signature, doc, example) = help;
    Function {
        name,
        args,
        required: args.len(),
        variadic: false,
        has_tail: false,
        repeated: 1,
        args_max: args.len(),
        returns: VECTOR,
        name_rule: NameRule::Drop,
        source: Origin::PromQl,
        family,
        named: &[],
        rates_counters: matches!(eval, Eval::Kernel(Kernel::Analytic(_))),
        leaves_out: matches!(eval, Eval::Kernel(Kernel::Analytic(_))),
        signature,
        doc,
        example,
        eval,
        expansion: None,
        edges: &[],
        reads_before_window: false,
        detrends: false,
        wants_counter: false,
        reads_time: false,
        counts_only: None,
        second_is_labels: false,
        spans_steps: false,
        check: checks::any,
        buckets: None,
    }
}

// How an entry is evaluated: one constructor for each shape of kernel, described in `eval.rs`.

const fn constant(value: fn(QueryTimes) -> f64) -> Eval {
    Eval::Constant(value)
}

const fn float(kernel: fn(f64) -> f64) -> Eval {
    Eval::Kernel(Kernel::Float(kernel))
}

const fn floats(kernel: fn(&mut [f64], &[Vec<f64>])) -> Eval {
    Eval::Kernel(Kernel::Floats(kernel))
}

const fn date(kernel: fn(f64) -> f64) -> Eval {
    Eval::Kernel(Kernel::Date(kernel))
}

const fn histogram(kernel: fn(&Histogram) -> f64) -> Eval {
    Eval::Kernel(Kernel::Histogram(kernel))
}

const fn window(kernel: WindowKernel) -> Eval {
    Eval::Kernel(Kernel::Window(kernel))
}

const fn windows(kernel: fn(&mut WindowedSeries<'_>) -> Result<Vec<Points>, QueryError>) -> Eval {
    Eval::Kernel(Kernel::Windows(kernel))
}

const fn analytic(kernel: AnalyticKernel) -> Eval {
    Eval::Kernel(Kernel::Analytic(kernel))
}

const fn range(kernel: fn(&mut Column<'_>)) -> Eval {
    Eval::Kernel(Kernel::Range(kernel))
}

const fn range_points(kernel: fn(&mut Points)) -> Eval {
    Eval::Kernel(Kernel::RangePoints(kernel))
}

const fn call(kernel: fn(&mut dyn Arguments<'_>) -> Result<Value, QueryError>) -> Eval {
    Eval::Kernel(Kernel::Call(kernel))
}

impl Function {
    /// The last argument may be left out.
    const fn last_optional(self) -> Function {
        Function { required: self.args.len() - 1, ..self }
    }

    /// The last argument may be repeated, up to `args_max` arguments in all.
    const fn last_repeated(self, args_max: usize) -> Function {
        Function { variadic: true, args_max, ..self }
    }

    /// The argument before the last may be repeated.
    const fn middle_repeated(self) -> Function {
        Function { variadic: true, has_tail: true, args_max: usize::MAX, ..self }
    }

    /// The last two arguments may be repeated, as a pair.
    const fn last_two_repeated(self) -> Function {
        Function { variadic: true, args_max: usize::MAX, repeated: 2, ..self }
    }

    /// The result is a scalar.
    const fn scalar(self) -> Function {
        Function { returns: SCALAR, ..self }
    }

    /// An extension that MetricsQL has too.
    const fn metricsql(self) -> Function {
        Function { source: Origin::MetricsQl, ..self }
    }

    /// An extension of ours.
    const fn ours(self) -> Function {
        Function { source: Origin::Barograph, ..self }
    }

    /// Accepts windows with anchored edges.
    const fn anchored(self) -> Function {
        Function { edges: &[Edges::Anchored], ..self }
    }

    /// Accepts windows with smoothed edges, beside anchored ones.
    const fn smoothed(self) -> Function {
        Function { edges: &[Edges::Anchored, Edges::Smoothed], ..self }
    }

    /// Needs the last sample before a window.
    const fn reads_before_window(self) -> Function {
        Function { reads_before_window: true, ..self }
    }

    /// Subtracts the values of the day before.
    const fn detrends(self) -> Function {
        Function { detrends: true, ..self }
    }

    /// Its metric should have the name of a counter.
    const fn wants_counter(self) -> Function {
        Function { wants_counter: true, ..self }
    }

    /// Reads the evaluation time.
    const fn reads_time(self) -> Function {
        Function { reads_time: true, ..self }
    }

    /// Needs only counts and sums of histograms.
    const fn counts_only(self) -> Function {
        Function { counts_only: Some(true), ..self }
    }

    /// Needs the buckets of histograms.
    const fn needs_buckets(self) -> Function {
        Function { counts_only: Some(false), ..self }
    }

    /// The second argument is matchers in braces.
    const fn second_is_labels(self) -> Function {
        Function { second_is_labels: true, ..self }
    }

    /// Checks each scalar argument.
    const fn checked(self, check: ScalarCheck) -> Function {
        Function { check, ..self }
    }

    /// Its kernel looks at the windows of all steps together.
    const fn over_all_steps(self) -> Function {
        Function { spans_steps: true, ..self }
    }

    /// Takes these arguments by name.
    const fn named(self, named: &'static [Named]) -> Function {
        Function { named, ..self }
    }

    /// Sees the values of counters, though its kernel is an analytic one.
    const fn keeps_counters(self) -> Function {
        Function { rates_counters: false, ..self }
    }

    /// Leaves out series that it cannot use, as functions of analytic kernels do.
    const fn leaves_out(self) -> Function {
        Function { leaves_out: true, ..self }
    }

    /// Can use every series, though its kernel is an analytic one.
    const fn uses_all(self) -> Function {
        Function { leaves_out: false, ..self }
    }

    /// Can be answered from buckets, as this row says.
    const fn over_buckets(self, row: &'static Row) -> Function {
        Function { buckets: Some(row), ..self }
    }

    /// Calls may stand for another query.
    const fn stands_for(self, expansion: Expansion) -> Function {
        Function { expansion: Some(expansion), ..self }
    }

    /// The metric name stays.
    const fn keeps_name(self) -> Function {
        Function { name_rule: NameRule::Keep, ..self }
    }
}
