//! A pattern that has been parsed and weighed, but not built yet.

use std::sync::{Arc, OnceLock};

use super::automaton::Automaton;
use super::error::CompileError;
use super::form::Form;
use super::shape::{self, Shape};
use super::syntax::Node;
use super::weight::Weight;
use super::{AUTOMATON_BYTES_MAX, Inner, LAZY_BYTES_MAX, Pattern, PatternError, TEXT_BYTES_MAX, hir, syntax};
use crate::budget::{Denied, Taken, Work};

/// Memory of the library during compilation, without the form and the automaton.
const COMPILER_BYTES: u64 = 1 << 20;

/// Memory that is taken while something is built.
pub(super) fn building(work: &Work, bytes: u64) -> Result<Taken, Denied> {
    let taken = Taken::of(work);
    taken.more(bytes as usize)?;
    Ok(taken)
}

/// Memory of the library while it builds an automaton of this weight, without the automaton.
pub(super) fn building_bytes(weight: &Weight) -> u64 {
    weight.automaton.min(AUTOMATON_BYTES_MAX) + weight.form + COMPILER_BYTES
}

/// The size of a pattern without its text, its literals and its automaton.
const FIXED: u64 = 512;
/// The cost of a character with a meaning while a text is parsed: a node of the tree, a node of its form, and a text.
const READING_PER_SIGN: u64 = 256;
/// The size of a class of Unicode.
const CLASS: u64 = 8 << 10;
/// The maximum size of all classes of a pattern.
const RANGES_BYTES_MAX: u64 = 2 << 20;
/// The size of a literal of a set, without its text.
const LITERAL: u64 = 48;

/// A pattern that has been parsed and weighed.
pub(super) struct Draft {
    text: Arc<str>,
    shape: Shape,
    prefix: String,
    weight: Weight,
    /// Present if the automaton is built immediately.
    root: Option<Node>,
    /// Whether there may be an automaton.
    runs: bool,
}

impl Draft {
    /// Parses a text.
    pub(super) fn of(text: &str, work: &Work) -> Result<Draft, CompileError> {
        let _reading = building(work, reading_bytes(text))?;
        work.check()?;
        if let Some(draft) = Draft::of_plain(text) {
            return Ok(draft);
        }
        let parsed = syntax::parse(text, work).map_err(|fault| fault.of(text))?;
        let form = Form::of(&parsed.root);
        work.check()?;
        let shape = shape::of(&form, text.len());
        work.check()?;
        let is_set = matches!(shape, Shape::Literals(_));
        if text.len() > TEXT_BYTES_MAX && !is_set {
            let reason = super::too_long(text.len());
            return Err(PatternError { pattern: text.to_owned(), reason }.into());
        }
        let prefix = shape::prefix(&form);
        let weight = if is_set { Weight::default() } else { Weight::of(&parsed.root) };
        let is_light = weight.automaton <= LAZY_BYTES_MAX;
        let runs = match shape {
            Shape::Literals(_) | Shape::Everything | Shape::Something => false,
            // Only a walk would need it, and works without a large one.
            Shape::Glob(_) => is_light,
            Shape::AnyCase(_) | Shape::Automaton => true,
        };
        let root = (runs && !is_light).then_some(parsed.root);
        Ok(Draft { text: text.into(), shape, prefix, weight, root, runs })
    }

    /// A text, or an alternation of texts, without any other special character. A list written out by a dashboard may
    /// have tens of thousands of texts, and needs no tree.
    fn of_plain(text: &str) -> Option<Draft> {
        if text.bytes().any(is_sign) {
            return None;
        }
        let mut words: Vec<String> = text.split('|').map(str::to_owned).collect();
        words.sort_unstable();
        words.dedup();
        words.shrink_to_fit();
        let prefix = shape::shared(words.first()?, words.last()?).to_owned();
        let shape = Shape::Literals(words);
        Some(Draft { text: text.into(), shape, prefix, weight: Weight::default(), root: None, runs: false })
    }

    /// The upper bound of the pattern's memory, bytes.
    pub(super) fn bytes(&self) -> u64 {
        let literals = match &self.shape {
            Shape::Literals(literals) => literals.iter().map(|text| text.len() as u64 + LITERAL).sum(),
            _ => 0,
        };
        let automaton = if self.runs { self.weight.automaton.min(AUTOMATON_BYTES_MAX) } else { 0 };
        FIXED + 2 * self.text.len() as u64 + literals + automaton
    }

    /// The upper bound of its automaton's memory, if it may have one.
    pub(super) fn runs(&self) -> Option<u64> {
        self.runs.then(|| self.weight.automaton.min(AUTOMATON_BYTES_MAX))
    }

    /// Builds the pattern. A small automaton is built when it is first needed.
    pub(super) fn build(self, work: &Work) -> Result<Pattern, CompileError> {
        let mut bytes = self.bytes();
        let mut runs = self.runs();
        let automaton = OnceLock::new();
        if let Some(root) = &self.root {
            let _building = building(work, building_bytes(&self.weight))?;
            work.check()?;
            let form = hir::of(root, &|_| None);
            work.check()?;
            let built = Automaton::build(&form)
                .ok_or_else(|| PatternError { pattern: self.text.to_string(), reason: super::too_large() })?;
            bytes = bytes - runs.unwrap_or(0) + built.bytes();
            runs = Some(built.bytes());
            automaton.get_or_init(|| Some(built));
        }
        let Draft { text, shape, prefix, .. } = self;
        let inner = Inner { text, bytes, runs, shape, prefix, automaton };
        Ok(Pattern { inner: Arc::new(inner) })
    }
}

/// The upper bound of the memory for parsing: each special character makes a node or two, and each class of Unicode a
/// list of ranges.
fn reading_bytes(text: &str) -> u64 {
    let signs = text.bytes().filter(|&byte| is_sign(byte) || byte == b'|').count() as u64;
    let classes = text.matches("\\p").count() + text.matches("\\P").count();
    let ranges = RANGES_BYTES_MAX.min(classes as u64 * CLASS);
    signs * READING_PER_SIGN + 4 * text.len() as u64 + 4 * ranges
}

/// Whether a byte may have a special meaning. `|` is handled separately.
fn is_sign(byte: u8) -> bool {
    matches!(byte, b'\\' | b'.' | b'+' | b'*' | b'?' | b'(' | b')' | b'[' | b'{' | b'^' | b'$')
}
