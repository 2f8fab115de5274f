//! A walk over the sorted values of a label, which the owner of the values drives.

use crate::budget::{Stopped, Work};
use crate::model::{Pattern, PatternWalk, Verdict};

/// The cost of a seek, in values visited one after the other.
const SEEK_LOOKS: u64 = 8;

/// Number of values between two checks for cancellation.
const STEPS_PER_CHECK: u32 = 1024;

/// What to do with a value, and where to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Select its series.
    Take,
    /// Skip its series.
    Leave,
    /// Skip its series, and those of all values before [`TermWalk::target`].
    Seek,
    /// Stop: neither this value nor any later one matches.
    Stop,
}

/// Selects values of a label, which must be passed in order.
#[derive(Debug)]
pub struct TermWalk<'p> {
    /// `None` selects all values.
    pattern: Option<PatternWalk<'p>>,
    looks_left: u64,
    gave_up: bool,
    work: &'p Work,
    steps: u32,
    stopped: Option<Stopped>,
}

impl<'p> TermWalk<'p> {
    /// Selects the values that match, or all. The walk gives up if it would visit more than `looks_max` values, and
    /// ends when `work` is stopped.
    pub fn new(pattern: Option<&'p Pattern>, looks_max: u64, work: &'p Work) -> Self {
        let pattern = pattern.map(Pattern::walk);
        TermWalk { pattern, looks_left: looks_max, gave_up: false, work, steps: 0, stopped: None }
    }

    /// Where to begin and, after [`Step::Seek`], where to continue: at the first value that is not less than this.
    pub fn target(&self) -> &str {
        self.pattern.as_ref().map_or("", PatternWalk::target)
    }

    /// Decides about a value, which must be greater than all previous ones.
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

    /// Whether the walk took all matching values; false if it gave up.
    ///
    /// # Errors
    /// The work was stopped during the walk.
    pub fn is_whole(&self) -> Result<bool, Stopped> {
        self.stopped.map_or(Ok(!self.gave_up), Err)
    }
}
