//! Sets of series, one for each of a list of rules: a series belongs to the first rule that matches it.

use crate::model::matcher::{meets_all, meets_any};
use crate::model::{Labels, MatchOp, Matcher};

/// The series that match all matchers of a rule and none of the rules before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesSet {
    /// The matchers of the rule; none: all series.
    pub matchers: Vec<Matcher>,
    /// The matchers of the rules before it.
    pub except: Vec<Vec<Matcher>>,
}

impl SeriesSet {
    /// Whether all series belong to it.
    pub fn is_all(&self) -> bool {
        self.matchers.is_empty() && self.except.is_empty()
    }

    /// Whether a series belongs to it.
    pub fn contains(&self, labels: &Labels) -> bool {
        meets_all(&self.matchers, labels) && !meets_any(&self.except, labels)
    }

    /// Whether some series that matches all of `selection` may belong to it. Only a label for which
    /// one of the two requires a single value can rule that out.
    pub fn may_overlap(&self, selection: &[Matcher]) -> bool {
        let meets = |one: &[Matcher], other: &[Matcher]| {
            one.iter()
                .all(|matcher| only_value(other, &matcher.name).is_none_or(|value| matcher.matches(value)))
        };
        let is_exception = |except: &Vec<Matcher>| {
            except.iter().all(|matcher| {
                let is_met = |value| matcher.matches(value);
                selection.contains(matcher) || only_value(selection, &matcher.name).is_some_and(is_met)
            })
        };
        meets(&self.matchers, selection)
            && meets(selection, &self.matchers)
            && !self.except.iter().any(is_exception)
    }
}

/// The value that matchers require of a label.
fn only_value<'m>(matchers: &'m [Matcher], name: &str) -> Option<&'m str> {
    let required = matchers.iter().find(|matcher| matcher.op == MatchOp::Equal && matcher.name == name);
    required.map(|matcher| matcher.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(name: &str, value: &str) -> Matcher {
        Matcher::new(name, MatchOp::Regex, value).unwrap()
    }

    fn set(matchers: &[Matcher], except: &[&[Matcher]]) -> SeriesSet {
        SeriesSet { matchers: matchers.to_vec(), except: except.iter().map(|one| one.to_vec()).collect() }
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let labels = |job: &str| Labels::from_pairs([("__name__", "up"), ("job", job)]).unwrap();
        let first = set(&[regex("job", "a|b")], &[]);
        let second = set(&[Matcher::equal("__name__", "up")], &[&first.matchers]);
        let rest = set(&[], &[&first.matchers, &second.matchers]);
        let of = |job: &str| [&first, &second, &rest].map(|set| set.contains(&labels(job)));
        assert_eq!((of("a"), of("c")), ([true, false, false], [false, true, false]));
        assert!(rest.contains(&Labels::from_pairs([("__name__", "down")]).unwrap()));
    }

    #[test]
    fn sets_that_share_no_series_are_told_apart_by_labels_with_one_value() {
        let debug = set(&[regex("__name__", "debug_.*")], &[]);
        let rest = set(&[], &[&debug.matchers]);
        let name = |name: &str| vec![Matcher::equal("__name__", name)];
        assert!(debug.may_overlap(&name("debug_a")) && !rest.may_overlap(&name("debug_a")));
        assert!(!debug.may_overlap(&name("up")) && rest.may_overlap(&name("up")));
        let job = set(&[Matcher::equal("job", "a")], &[]);
        assert!(!job.may_overlap(&[regex("job", "b|c")]) && job.may_overlap(&[regex("job", "a|b")]));
        assert!(job.may_overlap(&name("up")), "another label");
        assert!(!rest.may_overlap(&debug.matchers), "all of them are an exception");
        // It cannot be told.
        assert!(debug.may_overlap(&[regex("__name__", "up|down")]));
        let both = [Matcher::equal("__name__", "debug_a"), Matcher::equal("job", "b")];
        let narrow = set(&[], &[&[regex("__name__", "debug_.*"), Matcher::equal("job", "a")]]);
        assert!(narrow.may_overlap(&both) && narrow.may_overlap(&both[..1]));
    }
}
