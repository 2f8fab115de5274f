//! Converts the tree to the form from which the library builds an automaton, anchored at both ends.
//!
//! The library's defaults are not used: each node says exactly what it matches, with all flags applied. The form is
//! built directly, because parsing a text again would take several times the memory.

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, Look as HirLook, Repetition};

use super::syntax::{Look, Node};

/// The anchored form. It contains only the groups for which `wanted` returns a number, under that number. `wanted` is
/// called with group numbers, starting from 1.
pub(super) fn of(root: &Node, wanted: &dyn Fn(usize) -> Option<u32>) -> Hir {
    let mut maker = Maker { groups: 0, wanted };
    let inner = maker.node(root);
    Hir::concat(vec![Hir::look(HirLook::Start), inner, Hir::look(HirLook::End)])
}

struct Maker<'w> {
    /// The number of groups so far.
    groups: usize,
    wanted: &'w dyn Fn(usize) -> Option<u32>,
}

impl Maker<'_> {
    fn node(&mut self, node: &Node) -> Hir {
        match node {
            Node::Empty => Hir::empty(),
            Node::Text { text, any_case: false } => Hir::literal(text.as_bytes()),
            Node::Text { text, any_case: true } => Hir::concat(text.chars().map(any_case).collect()),
            Node::Class(set) => Hir::class(Class::Unicode(set.clone())),
            Node::Any => Hir::class(Class::Unicode(ClassUnicode::new([range('\0', char::MAX)]))),
            Node::AnyButNewline => {
                let ranges = [range('\0', '\u{9}'), range('\u{b}', char::MAX)];
                Hir::class(Class::Unicode(ClassUnicode::new(ranges)))
            }
            Node::Look(look) => Hir::look(match look {
                Look::Start => HirLook::Start,
                Look::End => HirLook::End,
                Look::StartLine => HirLook::StartLF,
                Look::EndLine => HirLook::EndLF,
                Look::WordBoundary => HirLook::WordAscii,
                Look::NotWordBoundary => HirLook::WordAsciiNegate,
            }),
            Node::Capture(inner) => {
                self.groups += 1;
                let number = (self.wanted)(self.groups);
                let sub = self.node(inner);
                match number {
                    Some(index) => Hir::capture(Capture { index, name: None, sub: Box::new(sub) }),
                    None => sub,
                }
            }
            Node::Concat(nodes) => Hir::concat(nodes.iter().map(|node| self.node(node)).collect()),
            Node::Alternate(nodes) => Hir::alternation(nodes.iter().map(|node| self.node(node)).collect()),
            Node::Repeat { inner, min, max, greedy } => {
                let sub = Box::new(self.node(inner));
                Hir::repetition(Repetition { min: *min, max: *max, greedy: *greedy, sub })
            }
        }
    }
}

fn range(first: char, last: char) -> ClassUnicodeRange {
    ClassUnicodeRange::new(first, last)
}

/// A character in any case.
fn any_case(character: char) -> Hir {
    let mut set = ClassUnicode::new([range(character, character)]);
    set.case_fold_simple();
    Hir::class(Class::Unicode(set))
}
