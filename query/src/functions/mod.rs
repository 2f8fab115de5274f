//! The one table of functions. The parser, the type checker, the executor, the help and
//! the API's function list all read it.

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

/// What a function's result keeps of its argument's metric name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameRule {
    /// The name is dropped (marked, and dropped when the whole query is done).
    Drop,
    /// The name stays.
    Keep,
}

/// One entry of the table.
#[derive(Debug)]
pub struct Function {
    /// Which function; the executor matches on it.
    pub id: FunctionId,
    /// The name in PromQL.
    pub name: &'static str,
    /// Types of the arguments, optional ones last.
    pub args: &'static [ValueType],
    /// How many of `args` must be given.
    pub required: usize,
    /// Whether the last of `args` may be repeated without end.
    pub variadic: bool,
    /// Type of the result.
    pub returns: ValueType,
    /// What happens to the metric name.
    pub name_rule: NameRule,
    /// Names of the arguments, for help: `"v range-vector, t scalar"`.
    pub signature: &'static str,
    /// What it does, one or two sentences.
    pub doc: &'static str,
}

/// Identifies a function (two names may share one: aliases).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FunctionId {}
