//! A value for each series, by the first of several selectors that matches it.

use std::sync::Arc;

use crate::model::matcher::meets_all;
use crate::model::{Labels, Matcher};

/// The value of each series: that of the first selector that matches it, otherwise the one of all other series.
#[derive(Debug, Clone)]
pub(crate) struct BySeries<T> {
    rest: T,
    /// Empty if all series have the same value, so that nothing is matched.
    selected: Arc<[(Vec<Matcher>, T)]>,
}

impl<T: Default> Default for BySeries<T> {
    fn default() -> Self {
        BySeries { rest: T::default(), selected: Arc::default() }
    }
}

impl<T: Copy + PartialEq> BySeries<T> {
    /// The values of the series that the selectors match, in the order in which they are tried; `None` is the same as
    /// `rest`, the value of all other series.
    pub fn new<'s>(rest: T, selected: impl IntoIterator<Item = (&'s [Matcher], Option<T>)>) -> Self {
        let selected = selected.into_iter().map(|(selector, value)| (selector, value.unwrap_or(rest)));
        let mut selected: Vec<_> = selected.map(|(selector, value)| (selector.to_vec(), value)).collect();
        // The last ones change nothing if they say the same as the rest.
        let needed = selected.iter().rposition(|(_, value)| *value != rest).map_or(0, |last| last + 1);
        selected.truncate(needed);
        BySeries { rest, selected: selected.into() }
    }

    /// The value of the series with these labels.
    pub fn of(&self, labels: &Labels) -> T {
        let found = self.selected.iter().find(|(selector, _)| meets_all(selector, labels));
        found.map_or(self.rest, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(job: &str) -> Vec<Matcher> {
        vec![Matcher::equal("job", job)]
    }

    #[test]
    fn the_first_selector_that_matches_counts() {
        let [a, b, c] = ["a", "b", "c"].map(job);
        let all = [(&a[..], None), (&b[..], Some(2)), (&a[..], Some(3)), (&b[..], Some(4)), (&c[..], None)];
        for rest in [1, 4] {
            let values = BySeries::new(rest, all);
            let found =
                ["a", "b", "c", "d"].map(|job| values.of(&Labels::from_pairs([("job", job)]).unwrap()));
            assert_eq!(found, [rest, 2, rest, rest]);
        }
    }

    #[test]
    fn selectors_that_change_nothing_are_not_tried() {
        let (a, b) = (job("a"), job("b"));
        assert!(BySeries::new(1, [(&a[..], None), (&b[..], Some(1))]).selected.is_empty());
    }
}
