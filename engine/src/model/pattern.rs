//! Regular expressions over label values: RE2 syntax, matched against the whole value.

use regex::Regex;

/// A compiled, fully anchored expression.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
}

/// Why a text is not a regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad regular expression {pattern:?}: {reason}")]
pub struct PatternError {
    /// The expression as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Pattern {
    /// Compiles `text` as `^(?s:text)$`.
    ///
    /// # Errors
    /// [`PatternError`] when the text does not parse or the automaton would be too large.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let regex = Regex::new(&format!("^(?s:{text})$"))
            .map_err(|e| PatternError { pattern: text.to_owned(), reason: e.to_string() })?;
        Ok(Pattern { regex })
    }

    /// Whether the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// The only values that can match, where the expression is a list of them.
    pub fn as_literals(&self) -> Option<&[String]> {
        None
    }

    /// What every match begins with.
    pub fn prefix(&self) -> Option<&str> {
        None
    }
}
