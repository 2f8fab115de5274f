//! A normal form of the tree, from which all fast paths are derived.
//!
//! The tree of `syntax.rs` says how a pattern is written, and many trees match the same values. In the form there are
//! no groups and no trivial repetitions, adjacent parts are joined, and conditions that always hold are left out. Each
//! step replaces a part with one that matches the same values in any position.
//!
//! A fast path (`shape.rs`, `glob.rs`) is a function of this form that matches its kinds exhaustively, so that no part
//! of a pattern is overlooked. `tests/harness/patterns.rs` compares all of them with the definition of a match.
//!
//! # Invariants
//! - F1: a form matches the values that its tree matches.
//! - F2: a concatenation or an alternation has at least two parts, none of which is one of
//!   the same kind or matches nothing; in a concatenation none is the empty text, and
//!   neighbours are joined where they can be.
//! - F3: a repetition may happen more than once or be left out.

use std::collections::VecDeque;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::syntax::{Look, Node};

/// A repeated text is written out up to this length, bytes.
const WRITTEN_OUT_MAX: usize = 1024;

/// What a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing.
    Never,
    /// This text, which may be empty.
    Text(String),
    /// This text in any case; at least one of its characters has another case.
    AnyCase(String),
    /// One character of a class of at least two, but not all characters.
    Class(ClassUnicode),
    /// A number of arbitrary characters.
    Any { min: u32, max: Option<u32> },
    /// No character, but a condition that must hold.
    Look(Look),
    /// All of them, one after the other.
    Concat(Vec<Form>),
    /// One of them.
    Alternate(Vec<Form>),
    /// `inner` at least `min` and at most `max` times.
    Repeat { inner: Box<Form>, min: u32, max: Option<u32> },
}

/// An end of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Start,
    End,
}

impl Form {
    /// The form of a tree that must match a whole value.
    pub(super) fn of(root: &Node) -> Form {
        at_edge(at_edge(anywhere(root), Edge::Start), Edge::End)
    }

    fn empty() -> Form {
        Form::Text(String::new())
    }

    fn is_empty(&self) -> bool {
        matches!(self, Form::Text(text) if text.is_empty())
    }
}

/// The form of a tree in any position.
fn anywhere(node: &Node) -> Form {
    match node {
        Node::Empty => Form::empty(),
        Node::Text { text, any_case: true } if has_case(text) => Form::AnyCase(text.clone()),
        Node::Text { text, .. } => Form::Text(text.clone()),
        Node::Class(set) => class(set),
        Node::Any => Form::Any { min: 1, max: Some(1) },
        Node::AnyButNewline => {
            let mut set = ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]);
            set.negate();
            Form::Class(set)
        }
        Node::Look(look) => Form::Look(*look),
        Node::Capture(inner) => anywhere(inner),
        Node::Concat(nodes) => concat(nodes.iter().map(anywhere)),
        Node::Alternate(nodes) => alternate(nodes.iter().map(anywhere)),
        Node::Repeat { inner, min, max, .. } => repeat(anywhere(inner), *min, *max),
    }
}

fn class(set: &ClassUnicode) -> Form {
    match set.ranges() {
        [] => Form::Never,
        [only] if only.start() == only.end() => Form::Text(only.start().to_string()),
        [only] if only.start() == '\0' && only.end() == char::MAX => Form::Any { min: 1, max: Some(1) },
        _ => Form::Class(set.clone()),
    }
}

fn concat(parts: impl Iterator<Item = Form>) -> Form {
    let mut list = Vec::new();
    for part in parts {
        match part {
            Form::Never => return Form::Never,
            Form::Concat(inner) => inner.into_iter().for_each(|part| append(&mut list, part)),
            part => append(&mut list, part),
        }
    }
    match list.len() {
        0 => Form::empty(),
        1 => list.remove(0),
        _ => Form::Concat(list),
    }
}

/// Appends a part, merging it with the last one if they are of one kind.
fn append(list: &mut Vec<Form>, part: Form) {
    let joined = match (list.last_mut(), &part) {
        (_, part) if part.is_empty() => true,
        (Some(Form::Text(before)), Form::Text(text)) | (Some(Form::AnyCase(before)), Form::AnyCase(text)) => {
            before.push_str(text);
            true
        }
        (Some(Form::Any { min, max }), Form::Any { min: more, max: most }) => {
            match (min.checked_add(*more), add_bounds(*max, *most)) {
                (Some(sum), Some(bound)) => {
                    (*min, *max) = (sum, bound);
                    true
                }
                _ => false,
            }
        }
        _ => false,
    };
    if !joined {
        list.push(part);
    }
}

/// The sum of two upper bounds, where `None` means unbounded; the outer `None` means overflow.
fn add_bounds(a: Option<u32>, b: Option<u32>) -> Option<Option<u32>> {
    match (a, b) {
        (Some(a), Some(b)) => a.checked_add(b).map(Some),
        _ => Some(None),
    }
}

fn alternate(parts: impl Iterator<Item = Form>) -> Form {
    let mut list = Vec::new();
    for part in parts {
        match part {
            Form::Never => {}
            Form::Alternate(inner) => list.extend(inner),
            part => list.push(part),
        }
    }
    match list.len() {
        0 => Form::Never,
        1 => list.remove(0),
        _ => Form::Alternate(list),
    }
}

fn repeat(inner: Form, min: u32, max: Option<u32>) -> Form {
    match inner {
        // Left out, whatever the part is.
        _ if max == Some(0) => Form::empty(),
        Form::Never if min == 0 => Form::empty(),
        Form::Never => Form::Never,
        inner if (min, max) == (1, Some(1)) || inner.is_empty() => inner,
        // It takes no character: once is enough, and an optional one has no effect.
        Form::Look(_) if min == 0 => Form::empty(),
        Form::Look(look) => Form::Look(look),
        Form::Any { min: 1, max: Some(1) } => Form::Any { min, max },
        Form::Any { min: least @ (0 | 1), max: None } => Form::Any { min: least * min, max: None },
        Form::Text(text) if max == Some(min) && text.len() * min as usize <= WRITTEN_OUT_MAX => {
            Form::Text(text.repeat(min as usize))
        }
        inner => Form::Repeat { inner: Box::new(inner), min, max },
    }
}

/// The form at an end of the value: conditions that hold there are left out.
fn at_edge(form: Form, edge: Edge) -> Form {
    match form {
        Form::Look(Look::Start | Look::StartLine) if edge == Edge::Start => Form::empty(),
        Form::Look(Look::End | Look::EndLine) if edge == Edge::End => Form::empty(),
        Form::Alternate(parts) => alternate(parts.into_iter().map(|part| at_edge(part, edge))),
        Form::Concat(parts) => {
            let mut parts = VecDeque::from(parts);
            // If nothing is left of this part, the next part is at the end too.
            while let Some(part) = if edge == Edge::Start { parts.pop_front() } else { parts.pop_back() } {
                let part = at_edge(part, edge);
                if part.is_empty() {
                    continue;
                }
                if edge == Edge::Start {
                    parts.push_front(part)
                } else {
                    parts.push_back(part)
                }
                break;
            }
            concat(parts.into_iter())
        }
        form @ (Form::Never
        | Form::Text(_)
        | Form::AnyCase(_)
        | Form::Class(_)
        | Form::Any { .. }
        | Form::Look(_)
        | Form::Repeat { .. }) => form,
    }
}

/// Whether a character of `text` has another case.
fn has_case(text: &str) -> bool {
    text.chars().any(|character| {
        let mut set = ClassUnicode::new([ClassUnicodeRange::new(character, character)]);
        set.case_fold_simple();
        set.iter().map(|range| range.len()).sum::<usize>() > 1
    })
}

#[cfg(test)]
mod tests {
    use super::super::syntax;
    use super::*;
    use crate::budget::Work;

    fn form(text: &str) -> Form {
        Form::of(&syntax::parse(text, &Work::unbounded()).expect("a pattern").root)
    }

    #[test]
    fn patterns_that_match_the_same_have_one_form() {
        let same: &[&[&str]] = &[
            &[
                "ab.*",
                "x{0}ab.*",
                "^ab.*$",
                "(?:c|d){0,0}ab.*",
                "(a)(?:b)(.*)",
                "a^*b.*",
                "[a]b[\\d\\D]*",
                "ab(.*)+",
            ],
            &[
                "b",
                "(?:c|d){0,0}b",
                "(?:){3}b",
                "\\A(?m:^)b\\z$",
                "b{1}",
                "(?i)(?-i:b)",
                "[^\\D\\d]{0}b",
                "^+b$?",
            ],
            &[".+", "(.+)", ".{1,}", ".*.", "..*", ".?.{1,}", "(?:.*.+){1}", "(.)+"],
            &["aaa", "a{3}", "aa{2}", "(?:a{3})"],
            &["a|b|c", "a|(b|c)", "(?:a|b)|[^\\d\\D]|c"],
            &["(?i)123", "123"],
        ];
        for group in same {
            for other in *group {
                assert_eq!(form(other), form(group[0]), "{other} and {}", group[0]);
            }
        }
        assert_eq!(form("[^\\d\\D]"), Form::Never);
        assert_eq!(form("a[^\\d\\D]+"), Form::Never);
    }

    #[test]
    fn what_matches_something_else_has_another_form() {
        let others = [
            "ab.*",
            "x?ab.*",
            "x{0,1}ab.*",
            "a?b.*",
            "(?:ab)?.*",
            "ab.+",
            "(?i)ab.*",
            "(?m)a^b.*",
            "ab.*$.",
            "(?-s)ab.*",
        ];
        for (index, one) in others.iter().enumerate() {
            for other in &others[index + 1..] {
                let is_same = matches!((*one, *other), ("x?ab.*", "x{0,1}ab.*"));
                assert_eq!(form(one) == form(other), is_same, "{one} and {other}");
            }
        }
    }
}
