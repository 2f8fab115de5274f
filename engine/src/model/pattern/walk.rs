//! Matching values in ascending order, as in a sorted index.
//!
//! Neighbours share most of their text. The automaton's state after each byte is kept, so a value only costs the bytes
//! that it does not share with the previous one. If the automaton reaches its dead state, no value with that beginning
//! matches, and the previous states tell the next text that might. The values in between are skipped. This is the walk
//! of a transducer of all values, but no transducer is built.
//!
//! # Invariants
//! W1: a verdict equals the result of [`Pattern::is_match`].
//! W2: no value after the one judged and before [`PatternWalk::target`] matches.
//! W3: states are computed only as needed, and the cache of states is bounded. A pattern that would need a larger one
//! is matched value by value.

use regex_automata::Anchored;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::DFA;
use regex_automata::util::start;

use super::Pattern;
use super::automaton::Scratch;
use crate::model::labels::common_prefix;

/// The number of times the states may be dropped before values are matched one by one.
const CLEARS_MAX: usize = 8;
/// The number of times a value is judged again after the states were dropped.
const TRIES: u32 = 3;
/// The number of values that are matched one by one first: building an automaton for fewer costs more.
const ONE_BY_ONE: u32 = 32;
/// The number of bytes by which a target may be extended.
const EXTENSION_MAX: usize = 32;

/// The verdict on a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It matches.
    Match,
    /// It does not.
    Other,
    /// It does not match, and no value before [`PatternWalk::target`] does.
    Seek,
    /// It does not match, and no later value does.
    End,
}

/// A walk of a pattern through ascending values.
#[derive(Debug)]
pub struct PatternWalk<'p> {
    pattern: &'p Pattern,
    judged: u32,
    states: Option<States<'p>>,
    target: String,
}

impl<'p> PatternWalk<'p> {
    pub(super) fn new(pattern: &'p Pattern) -> Self {
        let target = pattern.prefix().unwrap_or("").to_owned();
        PatternWalk { pattern, judged: 0, states: None, target }
    }

    /// The smallest text that might match: before the first verdict, of all texts; after [`Verdict::Seek`], of the
    /// texts after the value.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Judges a value, which must come after all previous values. The value is text, but is passed as bytes: the index
    /// stores it as bytes, and validating it would cost more than the rest.
    pub fn judge(&mut self, value: &[u8]) -> Verdict {
        let prefix = self.pattern.prefix().unwrap_or("");
        if !value.starts_with(prefix.as_bytes()) {
            return if value < prefix.as_bytes() { self.seek(prefix) } else { Verdict::End };
        }
        if self.pattern.is_prefix_alone() {
            return Verdict::Match;
        }
        if let Some(states) = &mut self.states {
            if let Some(verdict) = states.judge(value, &mut self.target) {
                return verdict;
            }
            self.states = None;
        } else if self.judged < ONE_BY_ONE {
            self.judged += 1;
            if self.judged == ONE_BY_ONE {
                self.states = States::new(self.pattern);
            }
        }
        let is_match = std::str::from_utf8(value).is_ok_and(|value| self.pattern.is_match(value));
        if is_match { Verdict::Match } else { Verdict::Other }
    }

    fn seek(&mut self, text: &str) -> Verdict {
        self.target.clear();
        self.target.push_str(text);
        Verdict::Seek
    }
}

/// The automaton's states along the last value.
struct States<'p> {
    dfa: &'p DFA,
    /// The next walk of this pattern reuses the states computed so far.
    scratch: Scratch<'p>,
    /// The number of times states had been dropped when the path began.
    clears: usize,
    clears_max: usize,
    /// The last value, up to the last byte read.
    text: Vec<u8>,
    /// `path[n]` is the state after the first `n` bytes of `text`, never the dead one.
    path: Vec<LazyStateID>,
}

impl std::fmt::Debug for States<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("States").field("text", &self.text.escape_ascii().to_string()).finish_non_exhaustive()
    }
}

impl<'p> States<'p> {
    fn new(pattern: &'p Pattern) -> Option<Self> {
        let automaton = pattern.automaton()?;
        let mut scratch = automaton.scratch();
        let clears = scratch.cache().clear_count();
        let mut states = States {
            dfa: &automaton.dfa,
            scratch,
            clears,
            clears_max: clears + CLEARS_MAX,
            text: Vec::new(),
            path: Vec::new(),
        };
        states.restart()?;
        Some(states)
    }

    fn restart(&mut self) -> Option<()> {
        self.path.clear();
        self.text.clear();
        let anchored = start::Config::new().anchored(Anchored::Yes);
        let start = self.dfa.start_state(self.scratch.cache(), &anchored).ok()?;
        self.clears = self.scratch.cache().clear_count();
        if self.clears > self.clears_max {
            return None;
        }
        (!start.is_dead()).then(|| self.path.push(start))
    }

    /// `None` if the automaton has too many states to cache.
    fn judge(&mut self, value: &[u8], target: &mut String) -> Option<Verdict> {
        for _ in 0..TRIES {
            match self.try_judge(value, target) {
                Ok(verdict) => return Some(verdict),
                Err(Lost) => self.restart()?,
            }
        }
        None
    }

    fn try_judge(&mut self, value: &[u8], target: &mut String) -> Result<Verdict, Lost> {
        let shared = common_prefix(&self.text, value);
        self.text.truncate(shared);
        self.path.truncate(shared + 1);
        while self.text.len() < value.len() {
            let at = self.text.len();
            let next = self.next(self.path[at], value[at])?;
            if next.is_dead() {
                return self.after_dead(value, target);
            }
            self.text.push(value[at]);
            self.path.push(next);
        }
        let accepts = self.accepts(self.path[self.text.len()])?;
        Ok(if accepts { Verdict::Match } else { Verdict::Other })
    }

    fn next(&mut self, state: LazyStateID, byte: u8) -> Result<LazyStateID, Lost> {
        let next = self.dfa.next_state(self.scratch.cache(), state, byte).map_err(|_| Lost)?;
        self.check()?;
        Ok(next)
    }

    fn accepts(&mut self, state: LazyStateID) -> Result<bool, Lost> {
        let end = self.dfa.next_eoi_state(self.scratch.cache(), state).map_err(|_| Lost)?;
        self.check()?;
        Ok(end.is_match())
    }

    /// If states were dropped, those of the path are gone.
    fn check(&mut self) -> Result<(), Lost> {
        if self.scratch.cache().clear_count() == self.clears { Ok(()) } else { Err(Lost) }
    }

    /// The path ends before the byte of `value` that leads to the dead state.
    fn after_dead(&mut self, value: &[u8], target: &mut String) -> Result<Verdict, Lost> {
        for at in (0..self.path.len()).rev() {
            let Some(least) = value[at].checked_add(1) else { continue };
            let Some((byte, state)) = self.live_byte(self.path[at], least)? else { continue };
            let mut bytes = value[..at].to_vec();
            bytes.push(byte);
            self.extend(&mut bytes, state)?;
            // The cut may be inside a character.
            let whole = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            if whole.as_bytes() <= value {
                return Ok(Verdict::Other);
            }
            target.clear();
            target.push_str(whole);
            return Ok(Verdict::Seek);
        }
        Ok(Verdict::End)
    }

    /// The smallest byte, at least `least`, that does not lead to the dead state, and the state that it leads to.
    fn live_byte(&mut self, state: LazyStateID, least: u8) -> Result<Option<(u8, LazyStateID)>, Lost> {
        let mut class = None;
        for byte in least..=u8::MAX {
            let own = Some(self.dfa.byte_classes().get(byte));
            if own == class {
                continue;
            }
            class = own;
            let next = self.next(state, byte)?;
            if !next.is_dead() {
                return Ok(Some((byte, next)));
            }
        }
        Ok(None)
    }

    /// Extends `bytes`, which lead to `state`, by the bytes that every match beginning with them must have.
    fn extend(&mut self, bytes: &mut Vec<u8>, mut state: LazyStateID) -> Result<(), Lost> {
        for _ in 0..EXTENSION_MAX {
            if self.accepts(state)? {
                break;
            }
            let Some((byte, next)) = self.live_byte(state, 0)? else { break };
            if byte == 0 {
                break;
            }
            bytes.push(byte);
            state = next;
        }
        Ok(())
    }
}

/// States were dropped.
struct Lost;
