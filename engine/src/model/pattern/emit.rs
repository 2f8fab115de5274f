//! From the tree to text that the `regex` crate reads, anchored at both ends.
//!
//! Nothing is left to that crate's defaults: classes are written as ranges, each node says
//! whether it regards case, and every group of ours becomes one of theirs.
//!
//! With the text goes a weight: an upper estimate of how many states the automaton will
//! have, in which a character counts one.

use std::fmt::Write;

use super::syntax::{Look, Node};

/// What any character weighs: it is an automaton over bytes.
const ANY_WEIGHT: u64 = 16;

/// The anchored text, and its weight.
pub(super) fn translate(root: &Node) -> (String, u64) {
    let mut out = String::from("\\A(?:");
    let weight = node(&mut out, root);
    out.push_str(")\\z");
    (out, weight)
}

/// Writes one node and gives its weight.
fn node(out: &mut String, node_: &Node) -> u64 {
    match node_ {
        Node::Empty => {
            out.push_str("(?:)");
            1
        }
        Node::Text { text, any_case } => {
            out.push_str(if *any_case { "(?i:" } else { "(?:" });
            regex_syntax::escape_into(text, out);
            out.push(')');
            // A folded character is a class of up to four.
            text.len() as u64 * if *any_case { 8 } else { 1 }
        }
        Node::Class(set) => class(out, set),
        Node::Any => {
            out.push_str("(?s:.)");
            ANY_WEIGHT
        }
        Node::AnyButNewline => {
            out.push_str("[^\\n]");
            ANY_WEIGHT
        }
        Node::Look(look) => {
            out.push_str(match look {
                Look::Start => "\\A",
                Look::End => "\\z",
                Look::StartLine => "(?m:^)",
                Look::EndLine => "(?m:$)",
                Look::WordBoundary => "(?-u:\\b)",
                Look::NotWordBoundary => "(?-u:\\B)",
            });
            1
        }
        Node::Capture(inner) => {
            out.push('(');
            let weight = node(out, inner);
            out.push(')');
            weight + 2
        }
        Node::Concat(nodes) => list(out, nodes, ""),
        Node::Alternate(nodes) => list(out, nodes, "|"),
        Node::Repeat { inner, min, max, greedy } => {
            out.push_str("(?:");
            let weight = node(out, inner) + 2;
            out.push(')');
            let _ = match max {
                Some(max) => write!(out, "{{{min},{max}}}"),
                None => write!(out, "{{{min},}}"),
            };
            if !greedy {
                out.push('?');
            }
            let copies = u64::from(max.unwrap_or(min + 1)).max(1);
            weight.saturating_mul(copies)
        }
    }
}

fn list(out: &mut String, nodes: &[Node], separator: &str) -> u64 {
    let mut weight = 1_u64;
    out.push_str("(?:");
    for (index, inner) in nodes.iter().enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        weight = weight.saturating_add(node(out, inner));
    }
    out.push(')');
    weight
}

fn class(out: &mut String, set: &regex_syntax::hir::ClassUnicode) -> u64 {
    if set.ranges().is_empty() {
        // Nothing matches.
        out.push_str("[^\\x{0}-\\x{10FFFF}]");
        return 1;
    }
    out.push('[');
    for range in set.ranges() {
        let _ = write!(out, "\\x{{{:X}}}-\\x{{{:X}}}", u32::from(range.start()), u32::from(range.end()));
    }
    out.push(']');
    ANY_WEIGHT + set.ranges().len() as u64 * 4
}
