//! The single table of functions. The parser, the type checker, the executor, the help and the API's list of functions
//! all read it.
//!
//! The entries are in `table/`, one file for each family; [`all`] lists them by name. The aggregation operators, which
//! are grammar rather than functions, have a separate table in `aggregates.rs`, so that their help also comes from one
//! place.
//!
//! An entry contains everything about a function: types, help, allowed combinations, and its kernel ([`eval`]). Kernels
//! are in `window/`, `range/`, `vectors/` and `numbers/`, according to their input. The rest of the crate asks an entry
//! for a capability, never for its name.
//!
//! # Not here
//! Evaluating arguments, reading series and running kernels over them: `exec`. The page with every entry and the answer
//! to its example (`docs/query-language.md`): `tests/promqltest/src/reference` generates it from its data set.

use std::sync::LazyLock;

use eval::{Eval, ScalarCheck};
use expansion::Expansion;

pub mod aggregates;
pub(crate) mod analytics;
pub(crate) mod arguments;
pub(crate) mod buckets;
pub(crate) mod checks;
pub(crate) mod eval;
pub(crate) mod expansion;
pub(crate) mod left_out;
pub(crate) mod named;
pub(crate) mod range;
pub(crate) mod search;
mod suggest;
mod table;
pub(crate) mod vectors;
pub(crate) mod window;

pub use buckets::{Row, rows_as_markdown};
pub use named::{Named, NamedKind};
pub use window::Edges;

pub use suggest::{nearest, nearest_of};

/// The four types of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One float at each evaluation time.
    Scalar,
    /// One sample of each series at each evaluation time.
    InstantVector,
    /// A window of samples of each series.
    RangeVector,
    /// Text.
    String,
}

impl ValueType {
    /// The name of the type in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::InstantVector => "instant vector",
            ValueType::RangeVector => "range vector",
            ValueType::String => "string",
        }
    }
}

impl std::fmt::Display for ValueType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens to the metric name of the argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameRule {
    /// The name is dropped: marked first, and removed when the whole query is done.
    Drop,
    /// The name is kept.
    Keep,
}

/// The origin of a definition, which marks extensions of PromQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Prometheus' own language.
    PromQl,
    /// An extension that MetricsQL has under this name; the help says where ours differs.
    MetricsQl,
    /// An extension of ours.
    Barograph,
}

impl Origin {
    /// The name of the language.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::PromQl => "PromQL",
            Origin::MetricsQl => "MetricsQL",
            Origin::Barograph => "Barograph",
        }
    }
}

/// The chapter of the reference that a function belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Change over a window: `rate`, `deriv`, `resets` …
    Change,
    /// Statistics over a window: `avg_over_time` …
    OverTime,
    /// Seasons, anomalies, forecasts, service level objectives.
    Analytics,
    /// Functions of all steps of the query: `range_avg`, `running_sum`, `interpolate` …
    WholeRange,
    /// Arithmetic on each element.
    Math,
    /// Trigonometry.
    Trigonometry,
    /// Dates and times.
    Time,
    /// Histograms, classic and native.
    Histogram,
    /// Labels and order.
    Label,
    /// Conversion between scalars and vectors, and presence of values.
    Convert,
}

/// One entry of the table.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// The name in PromQL.
    pub name: &'static str,
    /// Types of the arguments, optional ones last.
    pub args: &'static [ValueType],
    /// How many of `args` must be given.
    pub required: usize,
    /// Whether the last of `args` may be repeated, up to `args_max` arguments in all.
    pub variadic: bool,
    /// Whether the argument before the last one is repeated, instead of the last one, which occurs once at the end.
    pub has_tail: bool,
    /// How many arguments are repeated together: 1, or 2 if they come in pairs.
    pub repeated: usize,
    /// Maximum number of arguments of a call; `usize::MAX` means no limit.
    pub args_max: usize,
    /// Type of the result.
    pub returns: ValueType,
    /// What happens to the metric name.
    pub name_rule: NameRule,
    /// The origin of the definition.
    pub source: Origin,
    /// The chapter of the reference.
    pub family: Family,
    /// Arguments that are given by name, after all others, except for `strict`.
    pub(crate) named: &'static [Named],
    /// Whether a counter becomes its rates before the function sees it.
    pub(crate) rates_counters: bool,
    /// Whether it leaves out series that it cannot use, unless a call says `strict=true`.
    pub(crate) leaves_out: bool,
    /// Names of the arguments, for help: `"v range-vector, t scalar"`.
    pub signature: &'static str,
    /// A description in one or two sentences.
    pub doc: &'static str,
    /// An example query.
    pub example: &'static str,
    /// How it is evaluated.
    pub(crate) eval: Eval,
    /// What calls are replaced by, if they stand for another query.
    pub(crate) expansion: Option<Expansion>,
    /// The window edges that it accepts besides plain ones.
    pub(crate) edges: &'static [Edges],
    /// Whether it needs the last sample before a window, at most one lookback older.
    pub(crate) reads_before_window: bool,
    /// Whether it subtracts the values of the day before, unless a call says `detrend="none"`.
    pub(crate) detrends: bool,
    /// Whether a result for a float causes an annotation if the metric does not have the name of a counter.
    pub(crate) wants_counter: bool,
    /// Whether it reads the evaluation time, so that it is never step-invariant.
    pub(crate) reads_time: bool,
    /// Whether it needs only counts and sums of histograms; `None` if the enclosing function decides.
    pub(crate) counts_only: Option<bool>,
    /// Whether the second argument consists of matchers in braces, which may match every series.
    pub(crate) second_is_labels: bool,
    /// Whether the value at a step depends on the other steps, though its kernel looks at windows.
    pub(crate) spans_steps: bool,
    /// Checks each scalar argument.
    pub(crate) check: ScalarCheck,
    /// How it is answered from buckets of a tier; `None` if it needs samples.
    pub buckets: Option<&'static Row>,
}

impl Function {
    /// All arguments, those that are given by name with their defaults: `v range-vector, k=3`.
    pub fn usage(&self) -> String {
        let positional = Some(self.signature.to_owned()).filter(|signature| !signature.is_empty());
        let named = self.options().map(|named| format!("{}={}", named.name, named.default));
        positional.into_iter().chain(named).collect::<Vec<_>>().join(", ")
    }

    /// Arguments that are given by name, after all others.
    pub fn options(&self) -> impl Iterator<Item = &'static Named> + use<> {
        self.named.iter().chain(self.leaves_out.then_some(&left_out::STRICT))
    }

    /// Whether every call stands for another query, which the parser puts in its place.
    pub fn is_template(&self) -> bool {
        matches!(self.eval, Eval::Replaced)
    }

    /// Whether some calls stand for another query.
    pub fn may_be_replaced(&self) -> bool {
        self.expansion.is_some()
    }

    /// Whether the value at a step depends on the other steps of the query.
    pub fn spans_steps(&self) -> bool {
        self.spans_steps || matches!(self.eval, Eval::Kernel(kernel) if kernel.spans_steps())
    }

    /// Why a window with these edges is refused; `None` if it is accepted.
    pub(crate) fn edges_fault(&self, edges: Edges) -> Option<String> {
        let accepts = |function: &Function| edges == Edges::Plain || function.edges.contains(&edges);
        if accepts(self) {
            return None;
        }
        let names: Vec<&str> = all().iter().filter(|f| accepts(f)).map(|f| f.name).collect();
        let (word, names) = (edges.as_str(), names.join(", "));
        Some(format!("{word} modifier can only be used with: {names} - not with {}", self.name))
    }

    /// The type that argument `index` (from 0) must have; `None` past the last one.
    pub fn arg_type(&self, index: usize) -> Option<ValueType> {
        if index >= self.args_max {
            return None;
        }
        if self.has_tail {
            let repeated = self.args.len() - 2;
            return self.args.get(index.min(repeated)).copied();
        }
        self.args.get(index).or(if self.variadic { self.args.last() } else { None }).copied()
    }

    /// The type that argument `index` may have instead, as the last one.
    pub fn tail_type(&self, index: usize) -> Option<ValueType> {
        self.args.last().copied().filter(|_| self.has_tail && index >= self.args.len() - 1)
    }
}

static ALL: LazyLock<Vec<Function>> = LazyLock::new(|| {
    let mut all: Vec<Function> = table::FAMILIES.iter().flat_map(|family| family.iter().copied()).collect();
    all.sort_unstable_by_key(|function| function.name);
    all
});

/// The entry called `name`; function names are case-sensitive.
pub fn find(name: &str) -> Option<&'static Function> {
    let all = all();
    all.binary_search_by(|function| function.name.cmp(name)).ok().map(|index| &all[index])
}

/// Every entry, sorted by name.
pub fn all() -> &'static [Function] {
    &ALL
}

#[cfg(test)]
mod tests;
