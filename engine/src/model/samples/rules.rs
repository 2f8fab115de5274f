//! What ladders say of the samples of each series.

use super::Duplicates;
use crate::model::{BySeries, Labels};

/// The rule for duplicates of each series.
pub(crate) type DuplicateRules = BySeries<Duplicates>;

/// The rules of each series.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeriesRules {
    /// Which of several samples with the same timestamp counts.
    pub duplicates: DuplicateRules,
    /// Whether it is a counter; `None`: as metadata or its name say.
    pub counters: BySeries<Option<bool>>,
}

/// The rule for duplicates of one series. It is looked up where samples meet: most series have no duplicates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RuleOf<'r> {
    rules: &'r DuplicateRules,
    labels: &'r Labels,
}

impl<'r> RuleOf<'r> {
    /// That of the series with these labels.
    pub fn new(rules: &'r DuplicateRules, labels: &'r Labels) -> Self {
        RuleOf { rules, labels }
    }

    /// Looks it up.
    pub fn get(self) -> Duplicates {
        self.rules.of(self.labels)
    }
}
