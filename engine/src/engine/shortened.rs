//! Shortens label sets and values, which may be long, for messages.

use crate::model::Labels;

/// A label set for a message: truncated if it is long.
pub(in crate::engine) fn shown(labels: &Labels) -> String {
    cut(labels.to_string())
}

/// A text for a message: truncated if it is long.
pub(in crate::engine) fn cut(mut text: String) -> String {
    const CHARS_MAX: usize = 200;
    if let Some((end, _)) = text.char_indices().nth(CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}
