//! An upper bound of the memory for the automaton of a tree, computed before it is built.
//!
//! # Invariants
//! - B1: an automaton takes at most its weight, or [`AUTOMATON_BYTES_MAX`](super::AUTOMATON_BYTES_MAX), past which the
//!   library does not go; while it is built as much again, and its form.

use regex_syntax::hir::ClassUnicode;
use regex_syntax::utf8::Utf8Sequences;

use super::syntax::Node;

/// A state of an automaton that is being built, bytes.
const STATE: u64 = 32;
/// One transition of a state.
const WAY: u64 = 8;
/// Any character: nine sequences of bytes, of 27 bytes together.
const ANY: u64 = 28 * (STATE + WAY);
/// The size of an automaton without its states.
const FIXED: u64 = 2048;
/// A node of the form from which the automaton is built, with the list it is in.
const NODE: u64 = 256;

/// An upper bound of the size of an automaton, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Weight {
    /// The automaton itself.
    pub(super) automaton: u64,
    /// The form from which it is built.
    pub(super) form: u64,
}

impl Weight {
    /// The weight of the automaton of a whole tree.
    pub(super) fn of(root: &Node) -> Weight {
        let mut whole = node(root);
        whole.automaton = whole.automaton.saturating_add(FIXED);
        whole.form = whole.form.saturating_add(4 * NODE);
        whole
    }

    fn and(self, other: Weight) -> Weight {
        Weight {
            automaton: self.automaton.saturating_add(other.automaton),
            form: self.form.saturating_add(other.form),
        }
    }
}

fn weight(automaton: u64, form: u64) -> Weight {
    Weight { automaton, form: NODE + form }
}

fn node(node_: &Node) -> Weight {
    match node_ {
        Node::Empty | Node::Look(_) => weight(2 * STATE, 0),
        Node::Text { text, any_case: false } => {
            let bytes = text.len() as u64;
            weight(STATE * (bytes + 1), 2 * bytes)
        }
        Node::Text { text, any_case: true } => text.chars().map(any_case).fold(weight(STATE, 0), Weight::and),
        Node::Class(set) => weight(class(set), 8 * set.ranges().len() as u64),
        Node::Any => weight(ANY, 8),
        Node::AnyButNewline => weight(ANY + STATE + WAY, 16),
        Node::Capture(inner) => node(inner).and(weight(4 * STATE, 0)),
        Node::Concat(nodes) => nodes.iter().map(node).fold(weight(STATE, 0), Weight::and),
        Node::Alternate(nodes) => {
            let ways = nodes.len() as u64 * (STATE + WAY);
            nodes.iter().map(node).fold(weight(2 * STATE + ways, 0), Weight::and)
        }
        Node::Repeat { inner, min, max, .. } => {
            let inner = node(inner);
            let copies = u64::from(max.unwrap_or(min + 1)).max(1);
            let one = inner.automaton.saturating_add(2 * (STATE + WAY));
            weight(one.saturating_mul(copies).saturating_add(4 * STATE), inner.form)
        }
    }
}

/// A character in any case: itself, another, and two ASCII letters have a third outside ASCII.
fn any_case(character: char) -> Weight {
    let has_two = character.is_ascii() && !matches!(character, 'k' | 'K' | 's' | 'S');
    let ways = if has_two { 2 * WAY } else { 4 * 4 * (STATE + WAY) };
    weight(2 * STATE + ways, 32)
}

fn class(set: &ClassUnicode) -> u64 {
    let bytes_of = |range: &regex_syntax::hir::ClassUnicodeRange| match range.end().is_ascii() {
        true => 1,
        false => Utf8Sequences::new(range.start(), range.end()).map(|sequence| sequence.len() as u64).sum(),
    };
    let bytes: u64 = set.ranges().iter().map(bytes_of).sum();
    2 * STATE + bytes * (STATE + WAY)
}
