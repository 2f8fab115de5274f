//! The expressions of one request: their memory is counted before they are compiled.
//!
//! A request may repeat a pattern any number of times, explicitly or through `WITH`: it is compiled once and counted
//! once. It is counted even if it is in the cache of the process, since it may be evicted from there in the meantime.

use std::collections::HashMap;
use std::sync::Arc;

use super::automaton::{SCRATCH_BYTES, scratch_bytes};
use super::draft::{Draft, building, building_bytes};
use super::error::CompileError;
use super::weight::Weight;
use super::{Pattern, cache};
use crate::budget::{Denied, Taken, Work};

/// The default limit for the expressions of one request, bytes.
pub const EXPRESSIONS_BYTES_MAX: u64 = 32 << 20;

/// The expressions of one request. Their memory is counted until this is dropped, so keep it as long as they exist.
///
/// ```
/// use barograph_engine::budget::Work;
/// use barograph_engine::model::{Expressions, MatchOp, Matcher};
///
/// let mut expressions = Expressions::new(Work::unbounded(), 8 << 20);
/// for _ in 0..1000 {
///     Matcher::within("a", MatchOp::Regex, r"\pL{20}", &mut expressions)?;
/// }
/// for n in 1.. {
///     if let Err(error) = Matcher::within("a", MatchOp::Regex, &format!(r"\pL{{20}}{n}"), &mut expressions) {
///         assert!(n > 2 && error.to_string().contains("more than 8MiB"), "{n}: {error}");
///         break;
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Expressions {
    work: Work,
    bytes_max: u64,
    /// Counted for the patterns.
    bytes: u64,
    /// Counted for the states that a thread computes while it matches one pattern at a time.
    scratch: u64,
    /// Counted for the text around them.
    text: u64,
    known: HashMap<Arc<str>, Pattern>,
}

impl Default for Expressions {
    fn default() -> Self {
        Expressions::new(Work::unbounded(), EXPRESSIONS_BYTES_MAX)
    }
}

impl Expressions {
    /// For a request whose `work` is checked and holds the memory. All its expressions together may take `bytes_max`.
    pub fn new(work: Work, bytes_max: u64) -> Self {
        Expressions { work, bytes_max, bytes: 0, scratch: 0, text: 0, known: HashMap::new() }
    }

    /// The request's work.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// The memory counted so far, bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.scratch
    }

    /// The number of different patterns.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The pattern of a text: one that the request already has, a cached one, or a new one.
    ///
    /// # Errors
    /// [`CompileError`]; in this case nothing more is counted.
    pub fn pattern(&mut self, text: &str) -> Result<Pattern, CompileError> {
        if let Some(pattern) = self.known.get(text) {
            return Ok(pattern.clone());
        }
        self.work.check()?;
        let pattern = match cache::patterns().get(text) {
            Some(pattern) => {
                self.count(text, pattern.bytes(), pattern.inner.runs)?;
                pattern
            }
            None => self.compile(text)?,
        };
        self.known.insert(Arc::clone(&pattern.inner.text), pattern.clone());
        Ok(pattern)
    }

    /// Counts the syntax tree around the patterns, and checks the work.
    ///
    /// # Errors
    /// [`CompileError::Stopped`], [`CompileError::Memory`].
    pub fn take_text(&mut self, bytes: u64) -> Result<(), CompileError> {
        self.work.check()?;
        self.work.take(bytes)?;
        self.text += bytes;
        Ok(())
    }

    /// The memory counted for the text around the patterns, bytes.
    pub fn text_bytes(&self) -> u64 {
        self.text
    }

    fn compile(&mut self, text: &str) -> Result<Pattern, CompileError> {
        let draft = Draft::of(text, &self.work)?;
        let bytes = draft.bytes();
        self.count(text, bytes, None)?;
        let built = draft.build(&self.work);
        // An automaton is usually smaller than its estimate.
        let spared = bytes.saturating_sub(built.as_ref().map_or(0, Pattern::bytes));
        self.bytes -= spared;
        self.work.give(spared);
        let pattern = built?;
        self.count(text, 0, pattern.inner.runs)?;
        Ok(cache::patterns().keep(pattern))
    }

    /// Counts a pattern; `runs` is the size of its automaton, if it may need one.
    fn count(&mut self, text: &str, bytes: u64, runs: Option<u64>) -> Result<(), CompileError> {
        let scratch = runs.map_or(0, |bytes| scratch_bytes(bytes) + SCRATCH_BYTES);
        let more_scratch = scratch.saturating_sub(self.scratch);
        if self.bytes.saturating_add(bytes) > self.bytes_max {
            return Err(CompileError::Weight { pattern: text.to_owned(), limit: self.bytes_max });
        }
        self.work.take(bytes + more_scratch)?;
        self.bytes += bytes;
        self.scratch += more_scratch;
        Ok(())
    }

    /// Counts more memory for a pattern.
    pub(super) fn take(&mut self, text: &str, bytes: u64) -> Result<(), CompileError> {
        self.count(text, bytes, None)
    }
}

impl Expressions {
    /// Takes the memory needed while an automaton is built, without the automaton.
    pub(super) fn while_building(&self, weight: &Weight) -> Result<Taken, Denied> {
        building(&self.work, building_bytes(weight))
    }
}

impl Drop for Expressions {
    fn drop(&mut self) {
        self.work.give(self.bytes + self.scratch + self.text);
    }
}
