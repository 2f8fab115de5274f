//! A walk over a label's sorted values, carried out by their owner.

use crate::budget::{Stopped, Work};
use crate::model::{Pattern, PatternWalk, Verdict};

/// What a jump over values costs, in values looked at one after the other.
const SEEK_LOOKS: u64 = 8;

/// Values between two looks at whether to stop.
const STEPS_PER_CHECK: u32 = 1024;

/// What to do with a value, and where to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its series are selected.
    Take,
    /// They are not.
    Leave,
    /// They are not; nor are those of any value before [`TermWalk::target`].
    Seek,
    /// Neither this value nor any after it matches.
    Stop,
}

/// Which values of a label match, asked in their order.
#[derive(Debug)]
pub struct TermWalk<'p> {
    /// None: all values.
    pattern: Option<PatternWalk<'p>>,
    looks_left: u64,
    gave_up: bool,
    work: &'p Work,
    steps: u32,
    stopped: Option<Stopped>,
}

impl<'p> TermWalk<'p> {
    /// The values that match, or all; giving up when more than `looks_max` would have to be
    /// looked at, and ending when `work` does.
    pub fn new(pattern: Option<&'p Pattern>, looks_max: u64, work: &'p Work) -> Self {
        let pattern = pattern.map(Pattern::walk);
        TermWalk { pattern, looks_left: looks_max, gave_up: false, work, steps: 0, stopped: None }
    }

    /// Where to begin, and after [`Step::Seek`] where to continue: at the first value that is
    /// not before this.
    pub fn target(&self) -> &str {
        self.pattern.as_ref().map_or("", PatternWalk::target)
    }

    /// Decides about a value, which must be after all values before.
    pub fn step(&mut self, value: &[u8]) -> Step {
        let Some(pattern) = &mut self.pattern else { return self.afford(1, Step::Take) };
        match pattern.judge(value) {
            Verdict::Match => self.afford(1, Step::Take),
            Verdict::Other => self.afford(1, Step::Leave),
            Verdict::Seek => self.afford(SEEK_LOOKS, Step::Seek),
            Verdict::End => Step::Stop,
        }
    }

    fn afford(&mut self, looks: u64, step: Step) -> Step {
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_PER_CHECK) {
            self.stopped = self.work.check().err();
            if self.stopped.is_some() {
                return Step::Stop;
            }
        }
        match self.looks_left.checked_sub(looks) {
            Some(left) => {
                self.looks_left = left;
                step
            }
            None => {
                self.gave_up = true;
                Step::Stop
            }
        }
    }

    /// Whether all that matches was taken; not when that would have been too many looks.
    ///
    /// # Errors
    /// The work was over before.
    pub fn is_whole(&self) -> Result<bool, Stopped> {
        self.stopped.map_or(Ok(!self.gave_up), Err)
    }
}
