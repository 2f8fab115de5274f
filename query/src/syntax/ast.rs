//! The syntax tree. Every node has the span of text that it came from.
//!
//! The tree keeps the text as written (parentheses, durations as durations, `offset` before or after `@`), so that
//! printing and parsing it again gives an equal tree. Checking types does not change it.

use barograph_engine::model::Matcher;

use crate::functions::{Function, Named};

pub use crate::functions::Edges;
pub use crate::functions::aggregates::{AggregateOp, Statistic};
use crate::span::Span;

/// An expression and its position.
#[derive(Debug, Clone)]
pub struct Expr {
    /// The kind of expression.
    pub kind: ExprKind,
    /// Its position in the query.
    pub span: Span,
}

/// The kinds of expression.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A number or a duration used as a number.
    Number(NumberLiteral),
    /// A string.
    String(String),
    /// `metric{…}` with its modifiers: an instant vector.
    Selector(Selector),
    /// `metric{…}[5m]` with its modifiers: a range vector.
    Range(RangeSelector),
    /// `expr[1h:5m]` with its modifiers: a range vector.
    Subquery(Subquery),
    /// `function(args)`.
    Call(Call),
    /// `sum by (a) (expr)`.
    Aggregate(Aggregate),
    /// `lhs + rhs`.
    Binary(Binary),
    /// `-expr` or `+expr`.
    Unary(Unary),
    /// `(expr)`.
    Paren(Box<Expr>),
}

/// A number as written.
#[derive(Debug, Clone, Copy)]
pub struct NumberLiteral {
    /// The value; durations in seconds.
    pub value: f64,
    /// Whether it was written as a duration (`5m`), so that it prints as one.
    pub is_duration: bool,
}

/// A duration as written inside `[ ]`, or after `offset`.
#[derive(Debug, Clone)]
pub enum DurationExpr {
    /// A literal in seconds: `5m`, `300`, `1.5`.
    Literal(NumberLiteral, Span),
    /// `step()`: the query's step, 0 in instant queries.
    Step(Span),
    /// `range()`: the query's end - start, 0 in instant queries.
    Range(Span),
    /// `min_of(a, b)`.
    MinOf(Box<DurationExpr>, Box<DurationExpr>, Span),
    /// `max_of(a, b)`.
    MaxOf(Box<DurationExpr>, Box<DurationExpr>, Span),
    /// `-d` or `+d`.
    Unary(UnaryOp, Box<DurationExpr>, Span),
    /// `a + b`; only `+ - * / % ^`.
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>, Span),
    /// `(d)`.
    Paren(Box<DurationExpr>, Span),
}

/// `@ …`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AtModifier {
    /// `@ 1609746000.5`, in milliseconds.
    Time(i64),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// `offset` and `@`. A selector or subquery may have each of them once, in any order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TimeModifiers {
    /// `offset d`.
    pub offset: Option<DurationExpr>,
    /// `@ t`.
    pub at: Option<AtModifier>,
    /// Whether `@` was written before `offset`.
    pub at_first: bool,
}

/// An instant vector selector.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// All matchers, including that of the metric name (`__name__`).
    pub matchers: Vec<Matcher>,
    /// The name written before the braces, if any (it is also in `matchers`).
    pub name: Option<String>,
    /// `offset` and `@`. For a range selector, they follow the brackets.
    pub modifiers: TimeModifiers,
    /// `anchored`, `smoothed`.
    pub edges: Edges,
}

/// `selector[range]`. The selector's modifiers apply to the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeSelector {
    /// What is selected.
    pub selector: Selector,
    /// How far back.
    pub range: DurationExpr,
}

/// `expr[range:step]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// The expression that is evaluated at each inner step.
    pub expr: Box<Expr>,
    /// How far back.
    pub range: DurationExpr,
    /// Distance of inner steps; `None` for the default interval.
    pub step: Option<DurationExpr>,
    /// `offset` and `@`.
    pub modifiers: TimeModifiers,
}

/// A function call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The entry in the function table.
    pub function: &'static Function,
    /// The position of the name.
    pub name_span: Span,
    /// The arguments as written.
    pub args: Vec<Expr>,
    /// Those that are given by name, after the others.
    pub named: Vec<NamedArg>,
    /// `keep_metric_names`: the result keeps the names that the function would drop.
    pub keep_names: bool,
}

/// `name=value` in a call.
#[derive(Debug, Clone)]
pub struct NamedArg {
    /// The table's entry.
    pub named: &'static Named,
    /// The value.
    pub value: NamedLiteral,
    /// Where both stand.
    pub span: Span,
}

/// The value of a named argument as written.
#[derive(Debug, Clone, PartialEq)]
pub enum NamedLiteral {
    /// A number or a duration.
    Number(NumberLiteral),
    /// `true` or `false`.
    Flag(bool),
    /// A string.
    Text(String),
}

/// `by (…)` or `without (…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// Neither was written: one group.
    None,
    /// `by (labels)`
    By(Vec<String>),
    /// `without (labels)`
    Without(Vec<String>),
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// The parameter of `topk`, `quantile`, `count_values` …
    pub param: Option<Box<Expr>>,
    /// Parameters after the first: each φ of `quantiles`.
    pub more: Vec<Expr>,
    /// The expression that is aggregated.
    pub expr: Box<Expr>,
    /// The groups.
    pub grouping: Grouping,
}

/// Binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say which operator")]
pub enum BinaryOp {
    Pow,
    Mul,
    Div,
    Mod,
    Atan2,
    Add,
    Sub,
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
    /// `</`: keeps the part of a histogram below a threshold.
    TrimUpper,
    /// `>/`: keeps the part of a histogram above a threshold.
    TrimLower,
    And,
    Unless,
    Or,
    /// `if`: keeps the left elements that have a counterpart on the right.
    If,
    /// `ifnot`: keeps the left elements that have no counterpart on the right.
    IfNot,
    /// `default`: fills the gaps of the left side with values of the right side.
    Default,
}

impl BinaryOp {
    /// The operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Pow => "^",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Gt => ">",
            BinaryOp::Le => "<=",
            BinaryOp::Ge => ">=",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
            BinaryOp::And => "and",
            BinaryOp::Unless => "unless",
            BinaryOp::Or => "or",
            BinaryOp::If => "if",
            BinaryOp::IfNot => "ifnot",
            BinaryOp::Default => "default",
        }
    }
}

/// `on (…)` or `ignoring (…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatchLabels {
    /// `ignoring (labels)`; with no labels if neither was written.
    Ignoring(Vec<String>),
    /// `on (labels)`
    On(Vec<String>),
}

/// Which side may have several series for one match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cardinality {
    /// One to one.
    OneToOne,
    /// `group_left (labels)`: many on the left, labels copied from the right.
    GroupLeft(Vec<String>),
    /// `group_right (labels)`: many on the right, labels copied from the left.
    GroupRight(Vec<String>),
    /// Set operators, and `default`, `if`, `ifnot`.
    ManyToMany,
}

/// How the series of two vectors are matched.
#[derive(Debug, Clone)]
pub struct VectorMatching {
    /// The labels that are compared.
    pub labels: MatchLabels,
    /// Whether `on` or `ignoring` was written.
    pub explicit: bool,
    /// The cardinality of the match.
    pub cardinality: Cardinality,
    /// `fill_left(x)`: the value of a missing left side.
    pub fill_left: Option<f64>,
    /// `fill_right(x)`: the value of a missing right side.
    pub fill_right: Option<f64>,
}

/// A binary operation.
#[derive(Debug, Clone)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// The position of the operator.
    pub op_span: Span,
    /// Left operand.
    pub lhs: Box<Expr>,
    /// Right operand.
    pub rhs: Box<Expr>,
    /// `bool` after a comparison.
    pub return_bool: bool,
    /// How two vectors are matched; present if and only if both operands are vectors.
    pub matching: Option<VectorMatching>,
    /// `keep_metric_names`: the result keeps the names that the operator would drop.
    pub keep_names: bool,
}

/// Unary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say which operator")]
pub enum UnaryOp {
    Plus,
    Minus,
}

impl UnaryOp {
    /// The sign as written.
    pub fn as_str(self) -> &'static str {
        match self {
            UnaryOp::Plus => "+",
            UnaryOp::Minus => "-",
        }
    }
}

/// A unary operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Unary {
    /// The operator.
    pub op: UnaryOp,
    /// The operand.
    pub expr: Box<Expr>,
}
