//! The automaton of a pattern, and the memory in which threads run it.
//!
//! It only runs forwards, from the first byte, so it is half the size of the automaton of a general expression. Its
//! states are computed while values are matched and cached in a [`Scratch`], which belongs to one thread and is
//! bounded. A pattern keeps some of these for the next thread; they count against the share of all patterns.

use parking_lot::Mutex;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::Hir;

use super::AUTOMATON_BYTES_MAX;
use super::cache;
use crate::budget::Hold;

/// The maximum size of the states that one thread caches, bytes. Automata with many states need more for even a few of
/// them.
pub(super) const SCRATCH_BYTES: u64 = 1 << 20;
/// For each byte of such an automaton, bytes.
const SCRATCH_PER_BYTE: u64 = 3;
/// The number of threads whose states a pattern keeps.
const KEPT_MAX: usize = 16;

/// A pattern's automaton.
pub(super) struct Automaton {
    pub(super) dfa: DFA,
    kept: Mutex<Vec<Kept>>,
}

/// Cached states, and their hold on the share.
struct Kept {
    cache: Box<Cache>,
    hold: Option<Hold>,
}

impl Automaton {
    /// Builds it; `None` if it would be larger than [`AUTOMATON_BYTES_MAX`].
    pub(super) fn build(form: &Hir) -> Option<Automaton> {
        let nfa = nfa(form, WhichCaptures::None)?;
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(SCRATCH_BYTES as usize)
            // Use the minimum that it needs, if that is more.
            .skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        Some(Automaton { dfa, kept: Mutex::default() })
    }

    /// Its size in bytes, without the states of threads.
    pub(super) fn bytes(&self) -> u64 {
        self.dfa.get_nfa().memory_usage() as u64
    }

    /// Whether the whole of `value` matches.
    pub(super) fn is_match(&self, value: &[u8]) -> bool {
        let mut scratch = self.scratch();
        let input = Input::new(value).anchored(Anchored::Yes).earliest(true);
        // It never gives up: no byte stops it, and states are dropped as often as necessary.
        matches!(self.dfa.try_search_fwd(scratch.cache(), &input), Ok(Some(_)))
    }

    /// The memory to run it in.
    pub(super) fn scratch(&self) -> Scratch<'_> {
        let kept = self.kept.lock().pop();
        let kept = kept.unwrap_or_else(|| Kept { cache: Box::new(Cache::new(&self.dfa)), hold: None });
        Scratch { automaton: self, kept: Some(kept) }
    }

    fn keep(&self, mut kept: Kept) {
        let bytes = kept.cache.memory_usage() as u64;
        let counted = kept.hold.as_ref().map_or(0, Hold::bytes);
        if bytes > counted {
            // The previous hold is released first, so that the new one covers everything.
            kept.hold = None;
            kept.hold = cache::patterns().hold(bytes);
        }
        let mut all = self.kept.lock();
        if kept.hold.is_some() && all.len() < KEPT_MAX {
            all.push(kept);
        }
    }
}

impl std::fmt::Debug for Automaton {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Automaton").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// The memory in which one thread runs an automaton.
pub(super) struct Scratch<'a> {
    automaton: &'a Automaton,
    /// Present until the scratch is dropped.
    kept: Option<Kept>,
}

impl Scratch<'_> {
    pub(super) fn cache(&mut self) -> &mut Cache {
        let fresh = || Kept { cache: Box::new(Cache::new(&self.automaton.dfa)), hold: None };
        &mut self.kept.get_or_insert_with(fresh).cache
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take() {
            self.automaton.keep(kept);
        }
    }
}

/// The upper bound of the memory of a thread that runs an automaton of `bytes`.
pub(super) fn scratch_bytes(bytes: u64) -> u64 {
    SCRATCH_BYTES.max(bytes * SCRATCH_PER_BYTE)
}

/// The NFA of a form; `None` if it takes more than [`AUTOMATON_BYTES_MAX`].
pub(super) fn nfa(form: &Hir, captures: WhichCaptures) -> Option<NFA> {
    let config = thompson::Config::new()
        .utf8(false)
        .which_captures(captures)
        .nfa_size_limit(Some(AUTOMATON_BYTES_MAX as usize));
    thompson::Compiler::new().configure(config).build_from_hir(form).ok()
}
