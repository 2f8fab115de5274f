//! Regular expressions over label values: RE2 syntax as Go reads it, matched against the whole value.
//!
//! The text is read by a parser of our own (`syntax.rs`, `class.rs`), because the syntax that the `regex` crate reads
//! differs in many small ways: what a stray `{` means, that `\d`, `\w`, `\s`, `\b` are ASCII, `&&` and `[` inside a
//! class, `\<`, `\Q…\E`, octal escapes. The tree is then converted to the form from which that crate builds automata
//! (`hir.rs`, `automaton.rs`).
//!
//! Most patterns in queries are simple, and an automaton is neither cheap to build nor the fastest way to compare.
//! `form.rs` brings the tree into one normal form. From it, `shape.rs` recognises a set of literals, a literal in any
//! case, and literals with `.`, `.*` and `.+` between them (`glob.rs`), and derives the common prefix of all matches.
//! The automaton is built when it is first needed, except where the pattern is so large that building it might fail
//! or take long; then at once, within what the request may take.
//!
//! [`PatternWalk`] (`walk.rs`) matches a pattern against the sorted values of an index: bytes that values share are
//! read once, and ranges without a match are skipped.
//!
//! The memory of an automaton is estimated before it is built (`weight.rs`). The patterns of one request are limited
//! together (`expressions.rs`), and compiled patterns are cached by their text for all requests (`cache.rs`).
//!
//! # Invariants
//! I1: a fast path gives the same result as the automaton.
//! - I2: building is bounded: 64 KiB of text, unless the pattern is a set of literals, 4 MiB
//!   of automaton, 200 nested groups, 1,000 repetitions, 131,072 ranges of characters.
//!   Matching takes time linear in the value, and 1 MiB for each thread; of an automaton of
//!   more than 340 KiB three times its size.
//! - I3: memory of a pattern is counted before it is allocated: against the request that uses it, and in the share of
//!   the cached patterns. Growth of a thread's automaton states is counted against the request, and in the share once
//!   they are cached.

mod automaton;
mod cache;
mod class;
mod cursor;
mod draft;
mod error;
mod expressions;
mod form;
mod glob;
mod hir;
mod rewrite;
mod shape;
mod syntax;
mod walk;
mod weight;

use std::sync::{Arc, OnceLock};

use crate::budget::Work;
use automaton::Automaton;
pub use cache::{Patterns, patterns};
use draft::Draft;
pub use error::CompileError;
pub use expressions::{EXPRESSIONS_BYTES_MAX, Expressions};
pub use rewrite::Rewrite;
use shape::Shape;
pub use walk::{PatternWalk, Verdict};

/// The longest pattern for which an automaton is built, bytes. A set of literals needs no automaton and has no such
/// limit.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// The number of characters of a pattern that an error shows.
const SHOWN_MAX: usize = 200;

/// The largest automaton, bytes.
const AUTOMATON_BYTES_MAX: u64 = 4 << 20;

/// Automata of at most this weight are built when they are first needed: that takes less than a millisecond and always
/// succeeds.
const LAZY_BYTES_MAX: u64 = 64 << 10;

/// A compiled, fully anchored expression. Clones share everything.
///
/// ```
/// use barograph_engine::model::Pattern;
///
/// let pattern = Pattern::new("5..|404")?;
/// assert!(pattern.is_match("503"));
/// assert!(!pattern.is_match("1503"));
/// # Ok::<(), barograph_engine::model::PatternError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pattern {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    text: Arc<str>,
    /// The upper bound of its memory, bytes.
    bytes: u64,
    /// The part of that for its automaton, if it may have one.
    runs: Option<u64>,
    shape: Shape,
    /// The common beginning of all matching values; may be empty.
    prefix: String,
    /// The inner `None` means that it cannot be built, which happens only where it is not needed.
    automaton: OnceLock<Option<Automaton>>,
}

/// Why a text is not a regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad regular expression {}: {reason}", shown(pattern))]
pub struct PatternError {
    /// The expression as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Pattern {
    /// Compiles `text`, anchored at both ends, with `.` matching newlines too, or returns the cached pattern of this
    /// text. A request that may have many patterns compiles them with [`Expressions::pattern`].
    ///
    /// # Errors
    /// [`PatternError`] when the text does not parse or the automaton would be too large.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if let Some(pattern) = patterns().get(text) {
            return Ok(pattern);
        }
        Self::compile(text, &Work::unbounded())
            .map(|pattern| patterns().keep(pattern))
            .map_err(|e| e.of(text))
    }

    fn compile(text: &str, work: &Work) -> Result<Self, CompileError> {
        Draft::of(text, work)?.build(work)
    }

    /// The expression as written.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// The upper bound of its memory, bytes.
    pub fn bytes(&self) -> u64 {
        self.inner.bytes
    }

    /// Whether the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        match &self.inner.shape {
            Shape::Everything => true,
            Shape::Something => !value.is_empty(),
            Shape::Literals(literals) => shape::contains(literals, value),
            Shape::AnyCase(literal) if value.is_ascii() => literal.eq_ignore_ascii_case(value),
            Shape::Glob(glob) => glob.is_match(value),
            Shape::AnyCase(_) | Shape::Automaton => {
                // Most values that do not match differ early, and need no automaton.
                value.starts_with(&self.inner.prefix)
                    && self.automaton().is_some_and(|automaton| automaton.is_match(value.as_bytes()))
            }
        }
    }

    /// The only values that can match, sorted and without duplicates, if their number is finite and not too large. For
    /// lookups by value.
    pub fn as_literals(&self) -> Option<&[String]> {
        match &self.inner.shape {
            Shape::Literals(literals) => Some(literals),
            _ => None,
        }
    }

    /// The common beginning of all matching values, unless it is empty. For scans of a sorted list.
    pub fn prefix(&self) -> Option<&str> {
        Some(self.inner.prefix.as_str()).filter(|prefix| !prefix.is_empty())
    }

    /// Whether every value matches.
    pub fn is_everything(&self) -> bool {
        matches!(self.inner.shape, Shape::Everything)
    }

    /// Whether every value except the empty one matches, and the empty one does not.
    pub fn is_something(&self) -> bool {
        matches!(self.inner.shape, Shape::Something)
    }

    /// Whether every value that begins with [`Pattern::prefix`] matches.
    fn is_prefix_alone(&self) -> bool {
        match &self.inner.shape {
            Shape::Everything => true,
            // With a text other than the prefix at the start, nothing would follow.
            Shape::Glob(glob) => glob.prefix_alone() == Some(&self.inner.prefix),
            _ => false,
        }
    }

    /// A walk through values that come in ascending order.
    pub fn walk(&self) -> PatternWalk<'_> {
        PatternWalk::new(self)
    }

    /// The automaton. Never `None` where a value is matched with it, because a pattern whose automaton cannot be built
    /// is refused when it is created.
    fn automaton(&self) -> Option<&Automaton> {
        let inner = &*self.inner;
        inner.runs?;
        let build = || {
            let parsed = syntax::parse(&inner.text, &Work::unbounded()).ok()?;
            Automaton::build(&hir::of(&parsed.root, &|_| None))
        };
        inner.automaton.get_or_init(build).as_ref()
    }
}

fn too_long(bytes: usize) -> String {
    format!(
        "it has {bytes} bytes, the limit is {TEXT_BYTES_MAX}; only alternations of plain texts (a|b|c), matched as a \
         whole, may be longer"
    )
}

fn too_large() -> String {
    format!(
        "its automaton would be larger than {AUTOMATON_BYTES_MAX} bytes; simplify it, or use several matchers"
    )
}

/// The pattern as an error shows it.
fn shown(pattern: &str) -> String {
    match pattern.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}… ({} bytes)", &pattern[..end], pattern.len()),
        None => format!("{pattern:?}"),
    }
}

#[cfg(test)]
mod tests;
