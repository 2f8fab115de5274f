//! `info`: adds the labels of an info series to each series with the same identity.
//!
//! The identity is `instance` and `job`. At every step, the newest sample among the info series with the same name and
//! identity wins, so labels may change in the middle of a query.

use std::collections::HashMap;

use barograph_engine::model::{Labels, METRIC_NAME, MatchOp, Matcher};

use crate::budget::pace::Pace;
use crate::error::QueryError;
use crate::functions::arguments::{Arguments, SampleField};
use crate::merge::merge_equal;
use crate::series::label_sets::{in_braces, only};
use crate::series::{Point, Points, Series, Value, Vector, labels_held};
use crate::steps::Steps;

/// The labels that identify the subject of a series.
const IDENTITY: [&str; 2] = ["instance", "job"];

/// The info series that are used if the query names none.
const DEFAULT_NAME: &str = "target_info";

/// Evaluates `info(v, {matchers})` at all steps.
pub(crate) fn info(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let base = args.vector(0)?;
    let wanted = Wanted::of(args.matchers(1));
    let infos = Infos::read(args, &wanted)?;
    let budget = args.budget();
    let mut pace = budget.pace();
    let mut enriched = Vec::with_capacity(base.len());
    for series in base {
        budget.check()?;
        let name = series.labels.metric_name().unwrap_or("");
        if wanted.names.iter().all(|m| m.matches(name)) {
            enriched.push(series);
        } else {
            infos.enrich(series, &wanted, &mut pace, &mut enriched)?;
        }
    }
    Ok(Value::Vector(merge_equal(budget, enriched)?))
}

/// The info series that the query selects, and the labels that it copies.
struct Wanted {
    names: Vec<Matcher>,
    others: Vec<Matcher>,
}

impl Wanted {
    fn of(matchers: &[Matcher]) -> Wanted {
        let (mut names, others): (Vec<Matcher>, Vec<Matcher>) =
            matchers.iter().cloned().partition(|m| m.name == METRIC_NAME);
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, DEFAULT_NAME));
        } else if names.iter().all(|m| matches!(m.op, MatchOp::NotEqual | MatchOp::NotRegex)) {
            let info = Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info");
            names.push(info.expect("the expression is a constant"));
        }
        Wanted { names, others }
    }

    /// Whether a label of an info series is copied.
    fn takes(&self, label: &str) -> bool {
        label != METRIC_NAME
            && !IDENTITY.contains(&label)
            && (self.others.is_empty() || self.others.iter().any(|m| m.name == label))
    }

    /// Whether a series without any info series is left out.
    fn requires_match(&self) -> bool {
        self.others.iter().any(|m| !m.matches_empty())
    }
}

/// The info series by identity.
struct Infos {
    series: Vector,
    /// Times of the samples, series by series.
    times: Vec<Points>,
    by_identity: HashMap<Labels, Vec<usize>>,
    steps: Steps,
}

fn identity_of(labels: &Labels) -> Labels {
    only(labels, &IDENTITY.map(str::to_owned))
}

impl Infos {
    fn read(args: &mut dyn Arguments<'_>, wanted: &Wanted) -> Result<Infos, QueryError> {
        let matchers: Vec<Matcher> = wanted.names.iter().chain(&wanted.others).cloned().collect();
        let series = args.newest_beside(0, matchers.clone(), SampleField::Value)?;
        let times = args.newest_beside(0, matchers, SampleField::Time)?;
        let mut by_identity: HashMap<Labels, Vec<usize>> = HashMap::new();
        let mut pace = args.budget().pace();
        for (i, s) in series.iter().enumerate() {
            pace.labels()?;
            if s.points.histograms.is_some() {
                return Err(QueryError::Execution(format!(
                    "this should be an info metric, with float samples: {}",
                    in_braces(&s.labels)
                )));
            }
            by_identity.entry(identity_of(&s.labels)).or_default().push(i);
        }
        // Both reads return the same series in the same order.
        let times = times.into_iter().map(|s| s.points).collect();
        Ok(Infos { series, times, by_identity, steps: args.steps() })
    }

    fn enrich(
        &self,
        series: Series,
        wanted: &Wanted,
        pace: &mut Pace<'_>,
        out: &mut Vector,
    ) -> Result<(), QueryError> {
        let identity = identity_of(&series.labels);
        let candidates = match self.by_identity.get(&identity) {
            Some(found) if !identity.is_empty() => found.as_slice(),
            _ => &[],
        };
        if candidates.is_empty() {
            if !wanted.requires_match() {
                out.push(series);
            }
            return Ok(());
        }
        let mut parts: Vec<(Vec<usize>, Points)> = Vec::new();
        for i in (0..self.steps.count).filter(|&i| series.points.has(i)) {
            pace.work(candidates.len() + parts.len())?;
            let chosen = self.newest(candidates, i)?;
            if chosen.is_empty() && wanted.requires_match() {
                continue;
            }
            let place = match parts.iter().position(|(c, _)| *c == chosen) {
                Some(place) => place,
                None => {
                    // There may be as many parts as steps.
                    pace.column(self.steps.count)?;
                    parts.push((chosen, Points::absent(self.steps.count)));
                    parts.len() - 1
                }
            };
            parts[place].1.set(i, series.points.get(i));
        }
        for (chosen, points) in parts {
            let labels = self.with_labels(&series.labels, &chosen, wanted)?;
            pace.hold(labels_held(&labels).bytes as usize + size_of::<Series>())?;
            out.push(Series { labels, drop_name: series.drop_name, points });
        }
        Ok(())
    }

    /// The info series with the newest sample at a step, one for each name.
    fn newest(&self, candidates: &[usize], step: usize) -> Result<Vec<usize>, QueryError> {
        let mut chosen: Vec<usize> = Vec::new();
        for &c in candidates {
            let Some(Point::Float(time)) = self.times[c].get(step) else { continue };
            let name = self.series[c].labels.metric_name();
            let rival = chosen.iter_mut().find(|r| self.series[**r].labels.metric_name() == name);
            let Some(rival) = rival else {
                chosen.push(c);
                continue;
            };
            let other = self.times[*rival].floats[step];
            if other == time {
                return Err(QueryError::Execution(format!(
                    "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                    in_braces(&self.series[*rival].labels),
                    (other * 1000.0) as i64,
                    in_braces(&self.series[c].labels),
                    (time * 1000.0) as i64
                )));
            }
            if time > other {
                *rival = c;
            }
        }
        Ok(chosen)
    }

    /// `base` with the labels of the chosen info series that it does not have itself.
    fn with_labels(&self, base: &Labels, chosen: &[usize], wanted: &Wanted) -> Result<Labels, QueryError> {
        let mut labels = base.to_builder();
        for &c in chosen {
            for (name, value) in self.series[c].labels.iter().filter(|(n, _)| wanted.takes(n)) {
                if base.get(name).is_some() {
                    continue;
                }
                if labels.get(name).is_some_and(|other| other != value) {
                    return Err(QueryError::Execution(format!("conflicting label: {name}")));
                }
                labels.set(name, value);
            }
        }
        Ok(labels.build())
    }
}
