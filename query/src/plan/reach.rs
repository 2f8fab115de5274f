//! What a plan reads: its selectors, and how far back.

use barograph_engine::model::{Matcher, Timestamp};

use crate::functions::analytics::NamedOptions;
use crate::functions::search;
use crate::plan::{Kind, Node, Selection};
use crate::steps::ms_to_ns;

/// What a plan reads.
#[derive(Debug, PartialEq)]
pub(crate) struct Reach<'p> {
    /// The matchers of its selectors.
    pub selectors: Vec<&'p [Matcher]>,
    /// It reads nothing before this time.
    pub from: Timestamp,
}

impl<'p> Reach<'p> {
    /// What a plan reads when its first step is at `start_ms`.
    pub fn of(plan: &'p Node, start_ms: i64, lookback_ms: i64) -> Reach<'p> {
        let mut found = Found { selectors: Vec::new(), from_ms: i64::MAX, lookback_ms };
        found.add(plan, start_ms, 0);
        Reach { selectors: found.selectors, from: ms_to_ns(found.from_ms) }
    }
}

struct Found<'p> {
    selectors: Vec<&'p [Matcher]>,
    from_ms: i64,
    lookback_ms: i64,
}

impl<'p> Found<'p> {
    /// Adds what a node reads from a time on. If it is a range vector, its windows are longer by `more_ms`.
    fn add(&mut self, node: &'p Node, at_ms: i64, more_ms: i64) {
        match &node.kind {
            Kind::Number(_) | Kind::Text(_) => {}
            Kind::Instant(selection) | Kind::Range(selection) => {
                self.add_selection(selection, at_ms, more_ms);
            }
            Kind::Subquery(subquery) => {
                let back_ms = subquery.range_ms.saturating_add(subquery.step_ms).saturating_add(more_ms);
                self.add(&subquery.expr, subquery.shift.apply(at_ms).saturating_sub(back_ms), 0);
            }
            Kind::Call(call) => {
                let before_ms = if call.function.reads_before_window { self.lookback_ms } else { 0 };
                let more_ms = before_ms + search::earlier_ms(call.function, NamedOptions(&call.named));
                call.args.iter().for_each(|arg| self.add(arg, at_ms, more_ms));
                if call.function.second_is_labels {
                    // The labels of the vector decide which other series are read, so any may be.
                    self.selectors.push(&[]);
                }
            }
            Kind::Aggregate(aggregate) => {
                let parameters = aggregate.param.as_deref().into_iter().chain(&aggregate.more);
                parameters.chain([&*aggregate.expr]).for_each(|one| self.add(one, at_ms, 0));
            }
            Kind::Binary(binary) => {
                [&binary.lhs, &binary.rhs].into_iter().for_each(|one| self.add(one, at_ms, 0))
            }
            Kind::Negate(inner) => self.add(inner, at_ms, 0),
        }
    }

    fn add_selection(&mut self, selection: &'p Selection, at_ms: i64, more_ms: i64) {
        self.selectors.push(&selection.matchers);
        // Windows with edges reach back to the sample before.
        let back_ms = selection.range_ms.saturating_add(self.lookback_ms).saturating_add(more_ms);
        let from_ms = match selection.default_window {
            // The intervals of the samples say how long it is.
            true => i64::MIN,
            false => selection.shift.apply(at_ms).saturating_sub(back_ms),
        };
        self.from_ms = self.from_ms.min(from_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;

    #[test]
    fn the_earliest_time_of_all_selectors_counts() {
        let from = |query: &str| {
            let request = Request::instant(query, barograph_engine::Timestamp::from_secs(100_000));
            let expr = crate::syntax::parse(query).unwrap();
            let plan = crate::plan::plan(&expr, request.query_times(), query).unwrap();
            let reach = Reach::of(&plan, 100_000_000, 300_000);
            (reach.selectors.len(), reach.from / 1_000_000_000)
        };
        assert_eq!(from("a"), (1, 99_700));
        assert_eq!(from("a + rate(b[1h])"), (2, 96_100));
        assert_eq!(from("sum(rate(b[1h] offset 10m))"), (1, 95_500));
        assert_eq!(from("max_over_time(a[2h:1m])"), (1, 100_000 - 7_200 - 60 - 300));
        assert_eq!(from("a @ 50000 + -b"), (2, 49_700));
        assert_eq!(from("increase_pure(a[1h:1m])"), (1, 100_000 - 3_600 - 300 - 60 - 300));
        assert_eq!(from("increase_pure(a[1h:1m] @ 50000)"), (1, 50_000 - 3_600 - 300 - 60 - 300));
        // The vector, the matchers in braces, and whatever they select.
        assert_eq!(from("info(rate(a[1h]), {x=\"y\"})"), (3, 100_000 - 3_600 - 300));
        assert_eq!(from("info(a)"), (2, 100_000 - 300));
        let day = 86_400;
        assert_eq!(from("correlate(a[1h], b[1h:1m])"), (2, 100_000 - day - 3_600 - 60 - 300));
        assert_eq!(from("root_cause(a[1h] @ 90000, b[1h])"), (2, 90_000 - day - 3_600 - 300));
        assert_eq!(from("correlate(a[1h], b[1h], detrend=\"none\")"), (2, 100_000 - 3_600 - 300));
        assert_eq!(from("cross_correlation(a[1h], b[1h])"), (2, 100_000 - 3_600 - 300));
        assert_eq!(from("quantile by (x) (scalar(a offset 1d), b)"), (2, 100_000 - 86_400 - 300));
    }
}
