//! Literals with `.`, `.*` and `.+` between them: `api-.*`, `5..`, `.*timeout.*`.
//!
//! Between two unbounded runs stands a segment of fixed shape. The first segment must
//! match at the start, the last at the end; each one between takes the leftmost place
//! after the one before, which leaves most room for the others, so no other place need be
//! tried.

use super::syntax::Node;

/// A pattern of segments with runs of any characters between them.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    /// At least two; the first and the last may be empty.
    segments: Vec<Segment>,
}

/// A part of fixed length in characters.
#[derive(Debug, Clone, Default)]
struct Segment {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    /// This text.
    Text(String),
    /// So many characters.
    Any(usize),
}

impl Glob {
    /// The glob that a tree is, if it is one.
    pub(super) fn of(root: &Node) -> Option<Glob> {
        let mut glob = Glob { segments: vec![Segment::default()] };
        glob.push(root)?;
        Some(glob)
    }

    fn push(&mut self, node: &Node) -> Option<()> {
        match node {
            Node::Empty => {}
            Node::Text { text, any_case: false } => self.segment().push_text(text),
            Node::Any => self.segment().push_any(1),
            Node::Capture(inner) => self.push(inner)?,
            Node::Concat(nodes) => nodes.iter().try_for_each(|node| self.push(node))?,
            Node::Repeat { inner, min, max, .. } if is_any(inner) => {
                let min = *min as usize;
                match max {
                    Some(max) if *max as usize != min => return None,
                    max => {
                        self.segment().push_any(min);
                        if max.is_none() {
                            self.segments.push(Segment::default());
                        }
                    }
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Whether all that is asked for is a text at the start.
    pub(super) fn is_prefix_alone(&self) -> bool {
        match self.segments.as_slice() {
            [Segment { pieces }, last] => {
                last.pieces.is_empty() && matches!(pieces.as_slice(), [] | [Piece::Text(_)])
            }
            _ => false,
        }
    }

    fn segment(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("there is always a segment")
    }

    /// Whether the whole of `value` matches.
    pub(super) fn is_match(&self, value: &str) -> bool {
        let [first, between @ .., last] = self.segments.as_slice() else {
            return self.segments.first().is_some_and(|only| only.strip_start(value) == Some(""));
        };
        let Some(mut rest) = first.strip_start(value) else { return false };
        for segment in between {
            match segment.find(rest) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        last.matches_end(rest)
    }
}

fn is_any(node: &Node) -> bool {
    match node {
        Node::Any => true,
        Node::Capture(inner) => is_any(inner),
        _ => false,
    }
}

impl Segment {
    fn push_text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(before)) => before.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    fn push_any(&mut self, count: usize) {
        match self.pieces.last_mut() {
            _ if count == 0 => {}
            Some(Piece::Any(before)) => *before += count,
            _ => self.pieces.push(Piece::Any(count)),
        }
    }

    /// What follows the segment at the start of `value`.
    fn strip_start<'v>(&self, value: &'v str) -> Option<&'v str> {
        self.pieces.iter().try_fold(value, |rest, piece| match piece {
            Piece::Text(text) => rest.strip_prefix(text.as_str()),
            Piece::Any(count) => {
                let mut characters = rest.chars();
                characters.nth(count - 1)?;
                Some(characters.as_str())
            }
        })
    }

    /// Whether `value` ends with the segment.
    fn matches_end(&self, value: &str) -> bool {
        let before = self.pieces.iter().rev().try_fold(value, |rest, piece| match piece {
            Piece::Text(text) => rest.strip_suffix(text.as_str()),
            Piece::Any(count) => {
                let mut characters = rest.chars();
                characters.nth_back(count - 1)?;
                Some(characters.as_str())
            }
        });
        before.is_some()
    }

    /// What follows the leftmost place in `value` where the segment matches.
    fn find<'v>(&self, value: &'v str) -> Option<&'v str> {
        match self.pieces.as_slice() {
            [] => Some(value),
            [Piece::Text(text)] => value.find(text.as_str()).map(|start| &value[start + text.len()..]),
            _ => value.char_indices().find_map(|(start, _)| self.strip_start(&value[start..])),
        }
    }
}
