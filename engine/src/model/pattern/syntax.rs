//! The tree of a regular expression, and the parser of Go's RE2 syntax (with its Perl additions) that builds it.
//!
//! # Not here
//! Classes in brackets and the named ones: `class.rs`.

use std::collections::HashSet;

use regex_syntax::hir::ClassUnicode;

use super::cursor::Cursor;
use super::error::CompileError;
use super::{PatternError, TEXT_BYTES_MAX, class};
use crate::budget::{Stopped, Work};

/// The maximum nesting of groups.
pub(super) const NESTING_MAX: u32 = 200;

/// The maximum number of ranges in all sets of characters together.
const RANGES_MAX: usize = 1 << 17;

/// The longest `[…]` in a text that can only be matched as a set.
const LONG_BRACKET_MAX: usize = 64;

/// The number of parts read between two checks of the work.
const STEPS: u32 = 1024;

/// The largest count of a repetition, also of several nested ones multiplied.
const REPETITION_MAX: u32 = 1000;

/// A regular expression. Flags are resolved: each node says by itself what it matches.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// The empty text.
    Empty,
    /// These characters, in this case or in any.
    Text { text: String, any_case: bool },
    /// One character of a set.
    Class(ClassUnicode),
    /// Any character.
    Any,
    /// Any character but a newline.
    AnyButNewline,
    /// A condition on the position.
    Look(Look),
    /// A numbered group; numbers start at 1.
    Capture(Box<Node>),
    /// All of them, one after the other.
    Concat(Vec<Node>),
    /// The first that leads to a match.
    Alternate(Vec<Node>),
    /// `inner` at least `min` and at most `max` times.
    Repeat { inner: Box<Node>, min: u32, max: Option<u32>, greedy: bool },
}

/// A condition on the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Start,
    End,
    StartLine,
    EndLine,
    WordBoundary,
    NotWordBoundary,
}

/// A parsed expression.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) root: Node,
    /// The names of the groups, starting with group 1.
    pub(super) group_names: Vec<Option<String>>,
}

/// Why parsing failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The fault and its position, in bytes from 1.
    Text(String),
    /// The work was stopped.
    Stopped(Stopped),
}

impl Fault {
    /// Converts to the error of a pattern.
    pub(super) fn of(self, text: &str) -> CompileError {
        match self {
            Fault::Text(reason) => PatternError { pattern: text.to_owned(), reason }.into(),
            Fault::Stopped(stopped) => stopped.into(),
        }
    }
}

/// Parses an expression; stops when `work` is stopped.
pub(super) fn parse(text: &str, work: &Work) -> Result<Parsed, Fault> {
    // Reading ends with an error if the work is stopped, and the work stays stopped.
    read(text, work).map_err(|reason| work.check().map_or_else(Fault::Stopped, |()| Fault::Text(reason)))
}

fn read(text: &str, work: &Work) -> Result<Parsed, String> {
    let flags = Flags { any_case: false, multi_line: false, dot_newline: true, swap_greed: false };
    let mut parser = Parser {
        cursor: Cursor { text, position: 0, work },
        flags,
        group_names: Vec::new(),
        names: HashSet::new(),
        steps: 0,
        nesting: 0,
        ranges: 0,
    };
    let root = parser.alternation()?;
    if parser.cursor.peek().is_some() {
        return Err(parser.cursor.fault("unexpected \")\""));
    }
    Ok(Parsed { root, group_names: parser.group_names })
}

/// The flags `i`, `m`, `s`, `U`.
#[derive(Debug, Clone, Copy)]
struct Flags {
    any_case: bool,
    multi_line: bool,
    dot_newline: bool,
    swap_greed: bool,
}

struct Parser<'t> {
    cursor: Cursor<'t>,
    flags: Flags,
    group_names: Vec<Option<String>>,
    /// The same names, for lookups.
    names: HashSet<&'t str>,
    nesting: u32,
    ranges: usize,
    steps: u32,
}

impl<'t> Parser<'t> {
    /// Reads up to a closing parenthesis, which is not consumed, or the end.
    fn alternation(&mut self) -> Result<Node, String> {
        let mut branches = vec![self.concatenation()?];
        while self.cursor.take("|") {
            branches.push(self.concatenation()?);
        }
        Ok(if branches.len() == 1 { branches.remove(0) } else { Node::Alternate(branches) })
    }

    fn concatenation(&mut self) -> Result<Node, String> {
        let mut nodes = Vec::new();
        // Whether the previous node may be repeated. It may not at the start, nor after a repetition, because
        // repetitions must not be stacked.
        let mut repeatable = false;
        while let Some(character) = self.cursor.peek() {
            self.steps += 1;
            if self.steps.is_multiple_of(STEPS) {
                self.cursor.go_on()?;
            }
            match character {
                '|' | ')' => break,
                '*' | '+' | '?' | '{' => {
                    if let Some((min, max)) = self.repetition_count()? {
                        self.repeat(&mut nodes, repeatable, min, max)?;
                        repeatable = false;
                        continue;
                    }
                    self.cursor.next();
                    push_literal(&mut nodes, '{', self.flags.any_case);
                }
                '(' => match self.group()? {
                    Some(node) => nodes.push(node),
                    None => {
                        repeatable = false;
                        continue;
                    }
                },
                '[' => {
                    let set = self.bracketed()?;
                    nodes.push(self.class(set)?);
                }
                '\\' => {
                    repeatable = self.escape(&mut nodes)? || repeatable;
                    continue;
                }
                _ => {
                    self.cursor.next();
                    self.plain(&mut nodes, character);
                }
            }
            repeatable = true;
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.remove(0),
            _ => Node::Concat(nodes),
        })
    }

    fn bracketed(&mut self) -> Result<ClassUnicode, String> {
        let is_long = self.cursor.text.len() > TEXT_BYTES_MAX;
        let mut characters = self.cursor.rest().bytes().take(LONG_BRACKET_MAX);
        if is_long && !characters.any(|byte| byte == b']') {
            return Err(self.cursor.fault("too large a set of characters for so long a pattern"));
        }
        class::bracketed(&mut self.cursor, self.flags.any_case)
    }

    fn class(&mut self, set: ClassUnicode) -> Result<Node, String> {
        self.ranges += set.ranges().len();
        if self.ranges > RANGES_MAX {
            return Err(self
                .cursor
                .fault("more than 131072 character ranges in all sets up to the one that ends"));
        }
        Ok(Node::Class(set))
    }

    fn plain(&self, nodes: &mut Vec<Node>, character: char) {
        let multi_line = self.flags.multi_line;
        match character {
            '.' => nodes.push(if self.flags.dot_newline { Node::Any } else { Node::AnyButNewline }),
            '^' => nodes.push(Node::Look(if multi_line { Look::StartLine } else { Look::Start })),
            '$' => nodes.push(Node::Look(if multi_line { Look::EndLine } else { Look::End })),
            _ => push_literal(nodes, character, self.flags.any_case),
        }
    }

    /// Moves past `*`, `+`, `?`, `{n}`, `{n,}` or `{n,m}`. A brace that begins none of these is not consumed, and is a
    /// literal.
    fn repetition_count(&mut self) -> Result<Option<(u32, Option<u32>)>, String> {
        let start = self.cursor;
        let count = match self.cursor.next() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            _ => match self.braces() {
                Some(count) => count,
                None => {
                    self.cursor = start;
                    return Ok(None);
                }
            },
        };
        let (min, max) = count;
        if min > REPETITION_MAX || max.is_some_and(|max| max > REPETITION_MAX || max < min) {
            return Err(start.fault("bad repetition count (at most 1000, the smaller first)"));
        }
        Ok(Some(count))
    }

    fn braces(&mut self) -> Option<(u32, Option<u32>)> {
        let min = self.count()?;
        if self.cursor.take("}") {
            return Some((min, Some(min)));
        }
        if !self.cursor.take(",") {
            return None;
        }
        if self.cursor.take("}") {
            return Some((min, None));
        }
        let max = self.count()?;
        self.cursor.take("}").then_some((min, Some(max)))
    }

    /// A number without leading zeros. A number that overflows is larger than allowed.
    fn count(&mut self) -> Option<u32> {
        let digits = self.cursor.rest().bytes().take_while(u8::is_ascii_digit).count();
        let text = &self.cursor.rest()[..digits];
        if digits == 0 || (digits > 1 && text.starts_with('0')) {
            return None;
        }
        self.cursor.position += digits;
        Some(text.parse().unwrap_or(u32::MAX))
    }

    fn repeat(
        &mut self,
        nodes: &mut Vec<Node>,
        repeatable: bool,
        min: u32,
        max: Option<u32>,
    ) -> Result<(), String> {
        let lazy = self.cursor.take("?");
        let inner = if repeatable { pop_last(nodes) } else { None };
        let Some(inner) = inner else {
            return Err(self.cursor.fault("nothing that could be repeated before the repetition that ends"));
        };
        let greedy = lazy == self.flags.swap_greed;
        let node = Node::Repeat { inner: Box::new(inner), min, max, greedy };
        let counted = min >= 2 || max.is_some_and(|max| max >= 2);
        if counted && !repetitions_fit(&node, REPETITION_MAX) {
            return Err(self
                .cursor
                .fault("nested repetitions multiply to more than 1000, in the one that ends"));
        }
        nodes.push(node);
        Ok(())
    }

    /// A group, or `None` if it only sets flags.
    fn group(&mut self) -> Result<Option<Node>, String> {
        let open = self.cursor;
        self.cursor.take("(");
        let outer = self.flags;
        let mut capture = false;
        if self.cursor.rest().starts_with("?P<") || self.cursor.rest().starts_with("?<") {
            let name = self.group_name()?;
            self.group_names.push(Some(name));
            capture = true;
        } else if self.cursor.take("?") {
            if !self.group_flags(open)? {
                return Ok(None);
            }
        } else {
            self.group_names.push(None);
            capture = true;
        }
        if self.nesting == NESTING_MAX {
            return Err(open.fault("groups nested deeper than 200 levels"));
        }
        self.nesting += 1;
        let inner = self.alternation()?;
        self.nesting -= 1;
        self.flags = outer;
        if !self.cursor.take(")") {
            return Err(open.fault("no \")\" closes the \"(\""));
        }
        Ok(Some(if capture { Node::Capture(Box::new(inner)) } else { grouped(inner) }))
    }

    fn group_name(&mut self) -> Result<String, String> {
        let start = self.cursor;
        self.cursor.take("?P<");
        self.cursor.take("?<");
        let rest = self.cursor.rest();
        let end = rest.find('>').ok_or_else(|| start.fault("no \">\" ends the group's name"))?;
        let name = &rest[..end];
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(start.fault("bad name of a group"));
        }
        if !self.names.insert(name) {
            return Err(start.fault("a group's name occurs twice"));
        }
        self.cursor.position += end + 1;
        Ok(name.to_owned())
    }

    /// `i-s:` or `i-s)` after `(?`. Returns whether a group follows.
    fn group_flags(&mut self, open: Cursor<'_>) -> Result<bool, String> {
        let bad = || open.fault("bad or unsupported group");
        let mut value = true;
        let mut pending = false;
        loop {
            match self.cursor.next().ok_or_else(bad)? {
                'i' => self.flags.any_case = value,
                'm' => self.flags.multi_line = value,
                's' => self.flags.dot_newline = value,
                'U' => self.flags.swap_greed = value,
                '-' if value => {
                    value = false;
                    pending = true;
                    continue;
                }
                ':' if !pending => return Ok(true),
                ')' if !pending => return Ok(false),
                _ => return Err(bad()),
            }
            pending = false;
        }
    }

    /// Moves past an escape. Returns whether the result may be repeated.
    fn escape(&mut self, nodes: &mut Vec<Node>) -> Result<bool, String> {
        let mut ahead = self.cursor;
        ahead.next();
        let look = match ahead.next() {
            Some('A') => Look::Start,
            Some('z') => Look::End,
            Some('b') => Look::WordBoundary,
            Some('B') => Look::NotWordBoundary,
            Some('Q') => {
                self.cursor = ahead;
                return Ok(self.quoted(nodes));
            }
            _ => {
                if let Some(class) = class::named(&mut self.cursor, self.flags.any_case)? {
                    nodes.push(self.class(class)?);
                } else {
                    let character = class::escaped_character(&mut self.cursor)?;
                    push_literal(nodes, character, self.flags.any_case);
                }
                return Ok(true);
            }
        };
        self.cursor = ahead;
        nodes.push(Node::Look(look));
        Ok(true)
    }

    /// The text between `\Q` and `\E` or the end. Returns whether there was any.
    fn quoted(&mut self, nodes: &mut Vec<Node>) -> bool {
        let rest = self.cursor.rest();
        let (quoted, length) = match rest.find("\\E") {
            Some(end) => (&rest[..end], end + 2),
            None => (rest, rest.len()),
        };
        for character in quoted.chars() {
            push_literal(nodes, character, self.flags.any_case);
        }
        self.cursor.position += length;
        !quoted.is_empty()
    }
}

/// A group without a number, kept separate from its neighbours.
fn grouped(inner: Node) -> Node {
    match inner {
        // Otherwise the text would be merged with the previous text, and a repetition would apply to its last character
        // only.
        text @ Node::Text { .. } => Node::Concat(vec![text]),
        other => other,
    }
}

fn push_literal(nodes: &mut Vec<Node>, character: char, any_case: bool) {
    if let Some(Node::Text { text, any_case: case }) = nodes.last_mut()
        && *case == any_case
    {
        text.push(character);
        return;
    }
    nodes.push(Node::Text { text: character.to_string(), any_case });
}

/// Removes the last node; of a text, only its last character.
fn pop_last(nodes: &mut Vec<Node>) -> Option<Node> {
    if let Some(Node::Text { text, any_case }) = nodes.last_mut()
        && text.chars().nth(1).is_some()
        && let Some(last) = text.pop()
    {
        return Some(Node::Text { text: last.to_string(), any_case: *any_case });
    }
    nodes.pop()
}

/// Whether the product of nested repetition counts is at most `left`.
fn repetitions_fit(node: &Node, left: u32) -> bool {
    match node {
        Node::Repeat { inner, min, max, .. } => match max.unwrap_or(*min) {
            0 if max.is_some() => true,
            count if count > left => false,
            0 => repetitions_fit(inner, left),
            count => repetitions_fit(inner, left / count),
        },
        Node::Capture(inner) => repetitions_fit(inner, left),
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().all(|node| repetitions_fit(node, left)),
        _ => true,
    }
}
