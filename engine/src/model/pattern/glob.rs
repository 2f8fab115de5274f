//! Literals with `.`, `.*` and `.+` between them: `api-.*`, `5..`, `.*timeout.*`.
//!
//! Between two unbounded runs is a segment of fixed shape. The first segment must match at the start and the last at
//! the end. Each one in between takes the leftmost match after the previous one. This leaves the most text for the
//! others, so no other match needs to be tried.

use super::form::Form;

/// A pattern of segments with runs of any characters between them.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    /// At least two; the first and the last may be empty.
    segments: Vec<Segment>,
}

/// A part that matches a fixed number of characters.
#[derive(Debug, Clone, Default)]
struct Segment {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    /// This text.
    Text(String),
    /// This number of characters.
    Any(usize),
}

impl Glob {
    /// The glob of a form, if it is one.
    pub(super) fn of(form: &Form) -> Option<Glob> {
        let mut glob = Glob { segments: vec![Segment::default()] };
        glob.push(form)?;
        Some(glob)
    }

    fn push(&mut self, form: &Form) -> Option<()> {
        match form {
            Form::Text(text) => self.segment().push_text(text),
            Form::Any { min, max } => {
                // After a bounded run, the next text would have to be tried in more than one position.
                if max.is_some_and(|max| max != *min) {
                    return None;
                }
                self.segment().push_any(*min as usize);
                if max.is_none() {
                    self.segments.push(Segment::default());
                }
            }
            Form::Concat(parts) => parts.iter().try_for_each(|part| self.push(part))?,
            Form::Never
            | Form::AnyCase(_)
            | Form::Class(_)
            | Form::Look(_)
            | Form::Alternate(_)
            | Form::Repeat { .. } => return None,
        }
        Some(())
    }

    /// The text at the start, if the pattern requires nothing else.
    pub(super) fn prefix_alone(&self) -> Option<&str> {
        match self.segments.as_slice() {
            [Segment { pieces }, last] if last.pieces.is_empty() => match pieces.as_slice() {
                [] => Some(""),
                [Piece::Text(text)] => Some(text),
                _ => None,
            },
            _ => None,
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

    /// The rest of `value` after the segment at its start.
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

    /// The rest of `value` after the leftmost match of the segment.
    fn find<'v>(&self, value: &'v str) -> Option<&'v str> {
        match self.pieces.as_slice() {
            [] => Some(value),
            [Piece::Text(text)] => value.find(text.as_str()).map(|start| &value[start + text.len()..]),
            _ => value.char_indices().find_map(|(start, _)| self.strip_start(&value[start..])),
        }
    }
}
