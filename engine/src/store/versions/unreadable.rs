//! Tables that could not be read, and when they are read again.
//!
//! Tables are read before they are rewritten. To read those again at each pass that could not be read would cost as much
//! as to rewrite them. They are read again after one pass, after two more, after four more, and so on, since a disk may
//! recover.

use std::collections::HashMap;

use crate::store::kv::{Family, KeyRange};

/// After how many passes at most a span is read again.
const PASSES_MAX: u32 = 1024;
/// Number of spans that are remembered.
const KNOWN_MAX: usize = 4096;

/// Spans of tables that could not be read, with the first and last keys.
#[derive(Debug, Default)]
pub(crate) struct Unreadable(HashMap<(Family, KeyRange), Pause>);

/// The passes until a span is read again, and the length of the pause.
#[derive(Debug, Default)]
struct Pause {
    left: u32,
    passes: u32,
}

impl Unreadable {
    /// Whether a span is to be read in this pass.
    pub(super) fn is_due(&mut self, span: &(Family, KeyRange)) -> bool {
        let Some(pause) = self.0.get_mut(span) else { return true };
        let is_due = pause.left == 0;
        pause.left = pause.left.saturating_sub(1);
        is_due
    }

    /// Notes that a span could not be read.
    pub(super) fn add(&mut self, span: (Family, KeyRange)) {
        if self.0.len() >= KNOWN_MAX && !self.0.contains_key(&span) {
            // They may be of tables that are gone.
            self.0.clear();
        }
        let pause = self.0.entry(span).or_default();
        pause.passes = (2 * pause.passes).clamp(1, PASSES_MAX);
        pause.left = pause.passes;
    }

    /// Forgets a span that could be read.
    pub(super) fn forget(&mut self, span: &(Family, KeyRange)) {
        self.0.remove(span);
    }
}
