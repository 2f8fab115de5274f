//! Regular expressions over label values: RE2 syntax as Go reads it, matched against the
//! whole value.
//!
//! The text is read by a parser of our own (`syntax.rs`, `class.rs`), because the syntax
//! that the `regex` crate reads differs in many small ways: what a stray `{` means, that
//! `\d`, `\w`, `\s`, `\b` are ASCII, `&&` and `[` inside a class, `\<`, `\Q…\E`, octal
//! escapes. The tree is then written out again in a form that crate reads the same way
//! (`emit.rs`).
//!
//! Most patterns in queries are simple, and an automaton is neither cheap to build nor the
//! fastest way to compare: `shape.rs` recognises a set of literals, a literal in any case,
//! and literals with `.`, `.*` and `.+` between them (`glob.rs`). The automaton is built
//! when it is first needed, except where the pattern is so large that building it might
//! fail; then at once, so that [`Pattern::new`] can say so.
//!
//! Over the sorted values of an index a pattern walks (`walk.rs`): what values share is read
//! once, and stretches without a match are skipped.
//!
//! # Invariants
//! - I1: a fast path answers as the automaton would.
//! - I2: building is bounded: 64 KiB of text, 10 MiB of automaton, 200 nested groups,
//!   1,000 repetitions. Matching takes time linear in the value.

mod class;
mod emit;
mod expand;
mod glob;
mod shape;
mod syntax;
mod walk;

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use regex::bytes::{Regex, RegexBuilder};
use regex_automata::hybrid::dfa::{Cache, DFA};

use shape::Shape;
pub use walk::{PatternWalk, Verdict};

/// The longest pattern, bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// The largest automaton, bytes; also of the cache each thread fills while matching.
const AUTOMATON_BYTES_MAX: usize = 10 << 20;

/// Patterns of at most this weight (see `emit.rs`) surely stay below
/// [`AUTOMATON_BYTES_MAX`], so they need not be built to know that they can be.
const LAZY_WEIGHT_MAX: u64 = 4096;

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
    shape: Shape,
    /// What every matching value begins with; may be empty.
    prefix: String,
    /// The pattern in the syntax of the `regex` crate, anchored.
    translated: String,
    /// The names of the groups, from group 1 on.
    group_names: Vec<Option<String>>,
    automaton: OnceLock<Regex>,
    /// For walks; `None` inside where it cannot be built.
    walk_automaton: OnceLock<Option<DFA>>,
    walk_cache: Mutex<Option<Cache>>,
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
    /// Compiles `text`, anchored at both ends, with `.` matching newlines too.
    ///
    /// # Errors
    /// [`PatternError`] when the text does not parse or the automaton would be too large.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        Self::compile(text).map_err(|reason| PatternError { pattern: text.to_owned(), reason })
    }

    fn compile(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("it has {} bytes, the limit is {TEXT_BYTES_MAX}", text.len()));
        }
        let parsed = syntax::parse(text)?;
        let (translated, weight) = emit::translate(&parsed.root);
        let simple = shape::without_anchors(parsed.root);
        let shape = shape::of(&simple);
        let automaton = OnceLock::new();
        // Other shapes seldom need the automaton, and it stays small for far longer texts.
        let lazy_max = if matches!(shape, Shape::Automaton) { LAZY_WEIGHT_MAX } else { 16 * LAZY_WEIGHT_MAX };
        if weight > lazy_max {
            let built = build(&translated)
                .map_err(|_| format!("its automaton would be larger than {AUTOMATON_BYTES_MAX} bytes"))?;
            automaton.get_or_init(|| built);
        }
        let prefix = shape::prefix(&simple);
        let inner = Inner {
            shape,
            prefix,
            translated,
            group_names: parsed.group_names,
            automaton,
            walk_automaton: OnceLock::new(),
            walk_cache: Mutex::default(),
        };
        Ok(Pattern { inner: Arc::new(inner) })
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
                // Most values that do not match differ at once, and need no automaton.
                value.starts_with(&self.inner.prefix)
                    && self.automaton().is_some_and(|automaton| automaton.is_match(value.as_bytes()))
            }
        }
    }

    /// The only values that can match, sorted and each once, where these are finitely many
    /// and not too many. For look-ups by value.
    pub fn as_literals(&self) -> Option<&[String]> {
        match &self.inner.shape {
            Shape::Literals(literals) => Some(literals),
            _ => None,
        }
    }

    /// What every matching value begins with, if that is anything. For scans of a sorted
    /// list.
    pub fn prefix(&self) -> Option<&str> {
        Some(self.inner.prefix.as_str()).filter(|prefix| !prefix.is_empty())
    }

    /// Whether every value matches.
    pub fn is_everything(&self) -> bool {
        matches!(self.inner.shape, Shape::Everything)
    }

    /// Whether every value but the empty one matches, and that one does not.
    pub fn is_something(&self) -> bool {
        matches!(self.inner.shape, Shape::Something)
    }

    /// Whether every value that begins with [`Pattern::prefix`] matches.
    fn is_prefix_alone(&self) -> bool {
        match &self.inner.shape {
            Shape::Everything => true,
            Shape::Glob(glob) => glob.is_prefix_alone(),
            _ => false,
        }
    }

    /// A walk through values that come in ascending order.
    pub fn walk(&self) -> PatternWalk<'_> {
        PatternWalk::new(self)
    }

    /// If the whole of `value` matches, `template` with its groups filled in: `$1`, `${1}`,
    /// `$name`, `${name}` stand for groups, `$$` for a dollar sign. A name runs as far as
    /// letters, digits and underscores do; groups that are unknown or took no part are
    /// empty. A dollar sign that begins none of these is itself.
    pub fn expand(&self, value: &str, template: &str) -> Option<String> {
        if !template.contains('$') {
            return self.is_match(value).then(|| template.to_owned());
        }
        let captures = self.automaton()?.captures(value.as_bytes())?;
        Some(expand::expand(template, |group| {
            let index = match group {
                expand::Group::Number(number) => number,
                expand::Group::Name(name) => self.group_named(name)?,
            };
            captures.get(index).and_then(|found| value.get(found.range()))
        }))
    }

    fn group_named(&self, name: &str) -> Option<usize> {
        let found = self.inner.group_names.iter().position(|group| group.as_deref() == Some(name));
        found.map(|position| position + 1)
    }

    /// The automaton; never `None`, since what cannot be built is refused by `new`.
    fn automaton(&self) -> Option<&Regex> {
        let inner = &*self.inner;
        if let Some(automaton) = inner.automaton.get() {
            return Some(automaton);
        }
        let built = build(&inner.translated).ok()?;
        Some(inner.automaton.get_or_init(|| built))
    }
}

fn build(translated: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(translated)
        .size_limit(AUTOMATON_BYTES_MAX)
        .dfa_size_limit(AUTOMATON_BYTES_MAX)
        .nest_limit(syntax::NESTING_MAX * 8)
        .build()
}

#[cfg(test)]
mod tests;
