//! Label matchers: one condition on one label's value. Next: `series_set.rs`, sets of series.

mod by_series;
mod series_set;

use std::fmt;

use crate::model::{CompileError, Expressions, Labels, Pattern, PatternError};
pub(crate) use by_series::BySeries;
pub use series_set::SeriesSet;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// A condition on one label. A series without the label has the value `""`.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// The comparison.
    pub op: MatchOp,
    /// The text or the regular expression as written.
    pub value: String,
    pattern: Option<Pattern>,
}

/// Whether a label set matches all of `matchers`.
pub fn meets_all(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(labels))
}

/// Whether a label set matches all matchers of one of `selectors`.
pub fn meets_any(selectors: &[Vec<Matcher>], labels: &Labels) -> bool {
    selectors.iter().any(|matchers| meets_all(matchers, labels))
}

impl Matcher {
    /// Creates a matcher. A regular expression is compiled here, once. For a request that may have many, see
    /// [`Matcher::within`].
    ///
    /// # Errors
    /// [`PatternError`] when `op` takes a regular expression and `value` is not one.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, PatternError> {
        Self::compiled_by(name, op, value, Pattern::new)
    }

    /// Same as [`Matcher::new`], within the limit for the expressions of a request.
    ///
    /// # Errors
    /// Same as [`Expressions::pattern`].
    pub fn within(
        name: &str,
        op: MatchOp,
        value: &str,
        expressions: &mut Expressions,
    ) -> Result<Self, CompileError> {
        Self::compiled_by(name, op, value, |text| expressions.pattern(text))
    }

    fn compiled_by<E>(
        name: &str,
        op: MatchOp,
        value: &str,
        compile: impl FnOnce(&str) -> Result<Pattern, E>,
    ) -> Result<Self, E> {
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(compile(value)?),
        };
        Ok(Matcher { name: name.to_owned(), op, value: value.to_owned(), pattern })
    }

    /// `name="value"`, which needs no compiling.
    pub fn equal(name: &str, value: &str) -> Self {
        Matcher { name: name.to_owned(), op: MatchOp::Equal, value: value.to_owned(), pattern: None }
    }

    /// Whether a label value (`""` when the label is absent) meets the condition.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.pattern) {
            (MatchOp::Regex, Some(pattern)) => pattern.is_match(value),
            (MatchOp::NotRegex, Some(pattern)) => !pattern.is_match(value),
            (MatchOp::NotEqual, _) => self.value != value,
            _ => self.value == value,
        }
    }

    /// Whether `labels` meet the condition.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }

    /// Whether a series without the label would match.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The compiled expression of `=~` and `!~`.
    pub fn pattern(&self) -> Option<&Pattern> {
        self.pattern.as_ref()
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}
