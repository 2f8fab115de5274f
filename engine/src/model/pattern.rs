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
//! fastest way to compare. `form.rs` brings the tree into one normal form, of which
//! `shape.rs` recognises a set of literals, a literal in any case, and literals with `.`,
//! `.*` and `.+` between them (`glob.rs`); what all matches begin with comes of it too. The
//! automaton is built when it is first needed, except where the pattern is so large that
//! building it might fail; then at once, so that [`Pattern::new`] can say so.
//!
//! Over the sorted values of an index a pattern walks (`walk.rs`): what values share is read
//! once, and stretches without a match are skipped.
//!
//! # Invariants
//! - I1: a fast path answers as the automaton would.
//! - I2: building is bounded: 64 KiB of text, unless the pattern is a set of literals, 10 MiB
//!   of automaton, 200 nested groups, 1,000 repetitions, 131,072 ranges of characters.
//!   Matching takes time linear in the value.

mod class;
mod emit;
mod expand;
mod form;
mod glob;
mod shape;
mod syntax;
mod walk;

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use regex::bytes::{Regex, RegexBuilder};
use regex_automata::hybrid::dfa::{Cache, DFA};

use form::Form;
use shape::Shape;
pub use walk::{PatternWalk, Verdict};

/// The longest pattern of which an automaton is made, bytes. A set of literals needs none and
/// is as long as it likes to be.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// What of a pattern an error shows, characters.
const SHOWN_MAX: usize = 200;

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
    /// The pattern in the syntax of the `regex` crate, anchored; none where it is too long for
    /// an automaton.
    translated: Option<String>,
    /// The names of the groups, from group 1 on.
    group_names: Vec<Option<String>>,
    automaton: OnceLock<Regex>,
    /// For walks; `None` inside where it cannot be built.
    walk_automaton: OnceLock<Option<DFA>>,
    walk_cache: Mutex<Option<Cache>>,
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
    /// Compiles `text`, anchored at both ends, with `.` matching newlines too.
    ///
    /// # Errors
    /// [`PatternError`] when the text does not parse or the automaton would be too large.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        Self::compile(text).map_err(|reason| PatternError { pattern: text.to_owned(), reason })
    }

    /// As [`Pattern::new`], for [`Pattern::expand`] with groups. These need the automaton, also
    /// of a set of literals, which can be matched without one.
    ///
    /// # Errors
    /// As [`Pattern::new`], and when the text is too long for an automaton.
    pub fn with_groups(text: &str) -> Result<Self, PatternError> {
        let pattern = Self::new(text)?;
        let refused = |reason| PatternError { pattern: text.to_owned(), reason };
        let Some(translated) = &pattern.inner.translated else {
            let bytes = text.len();
            let reason = format!(
                "it has {bytes} bytes, the limit is {TEXT_BYTES_MAX} where a template uses its groups"
            );
            return Err(refused(reason));
        };
        if matches!(pattern.inner.shape, Shape::Literals(_)) {
            let built = build(translated).map_err(|_| refused(too_large()))?;
            pattern.inner.automaton.get_or_init(|| built);
        }
        Ok(pattern)
    }

    fn compile(text: &str) -> Result<Self, String> {
        let parsed = syntax::parse(text)?;
        let form = Form::of(&parsed.root);
        let shape = shape::of(&form, text.len());
        let is_set = matches!(shape, Shape::Literals(_));
        let is_long = text.len() > TEXT_BYTES_MAX;
        if is_long && !is_set {
            return Err(too_long(text.len()));
        }
        let (mut translated, automaton) = (None, OnceLock::new());
        if !is_long {
            let (text, weight) = emit::translate(&parsed.root);
            // Other shapes seldom need the automaton, and it stays small for far longer texts.
            let is_automaton = matches!(shape, Shape::Automaton);
            let lazy_max = if is_automaton { LAZY_WEIGHT_MAX } else { 16 * LAZY_WEIGHT_MAX };
            if weight > lazy_max && !is_set {
                let built = build(&text).map_err(|_| too_large())?;
                automaton.get_or_init(|| built);
            }
            translated = Some(text);
        }
        let inner = Inner {
            shape,
            prefix: shape::prefix(&form),
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
            // Of another text at the start than the prefix nothing would follow.
            Shape::Glob(glob) => glob.prefix_alone() == Some(&self.inner.prefix),
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
    ///
    /// With groups in the template the pattern must be one of [`Pattern::with_groups`].
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

    /// The automaton; never `None` where a value is matched by it, or groups are asked for
    /// of what `with_groups` made, since what cannot be built is refused there.
    fn automaton(&self) -> Option<&Regex> {
        let inner = &*self.inner;
        if let Some(automaton) = inner.automaton.get() {
            return Some(automaton);
        }
        let built = build(inner.translated.as_deref()?).ok()?;
        Some(inner.automaton.get_or_init(|| built))
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
        "its automaton would be larger than {AUTOMATON_BYTES_MAX} bytes; match less, or by several matchers"
    )
}

/// The pattern as an error shows it.
fn shown(pattern: &str) -> String {
    match pattern.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}… ({} bytes)", &pattern[..end], pattern.len()),
        None => format!("{pattern:?}"),
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
