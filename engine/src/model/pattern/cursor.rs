//! A position in the text of a regular expression.

use crate::budget::Work;

/// A position in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'t> {
    pub(super) text: &'t str,
    pub(super) position: usize,
    pub(super) work: &'t Work,
}

impl<'t> Cursor<'t> {
    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.position..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.position += character.len_utf8();
        Some(character)
    }

    /// Moves past `text` if it comes next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.position += text.len();
        }
        found
    }

    /// Whether to continue; checked before long steps.
    pub(super) fn go_on(&self) -> Result<(), String> {
        self.work.check().map_err(|stopped| stopped.to_string())
    }

    pub(super) fn fault(&self, what: &str) -> String {
        format!("{what} at byte {}", self.position + 1)
    }
}
