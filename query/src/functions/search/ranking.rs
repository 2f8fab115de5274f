//! The best of many scored series, with labels that describe their scores.

use std::cmp::Ordering;
use std::collections::HashMap;

use barograph_analytics::compare::correlate::adjust;
use barograph_engine::budget::map_bytes;
use barograph_engine::model::Labels;

use crate::budget::pace;
use crate::error::QueryError;
use crate::functions::arguments::{Arguments, Score, Scored};
use crate::merge::settled;
use crate::series::{Points, Series, Value, Vector, labels_held};
use crate::usage::Footprint;

/// Labels that describe a score.
pub(super) type Described = Vec<(&'static str, String)>;

/// At each step, the `topk` series with the largest absolute scores, of which `describe` gives the labels, from the rank
/// (from 1) and the score. Their probabilities are corrected for the number of series.
pub(super) fn best(
    args: &mut dyn Arguments<'_>,
    scored: Vec<Scored>,
    topk: usize,
    describe: impl Fn(usize, usize, &Score) -> Described,
) -> Result<Value, QueryError> {
    let (budget, steps, drops_name) = (args.budget(), args.steps().count, args.drops_name());
    let mut scored = scored;
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut result: Vector = Vec::new();
    for step in 0..steps {
        correct(args, &mut scored, step)?;
        let mut pace = budget.pace();
        let mut order: Vec<u32> = Vec::new();
        let held = Footprint::bytes(scored.len() * size_of::<u32>());
        budget.hold(held)?;
        for (i, series) in scored.iter().enumerate() {
            pace.work(1)?;
            order.extend(at(series, step).filter(|score| !score.value.is_nan()).map(|_| i as u32));
        }
        let score = |i: u32| at(&scored[i as usize], step).copied().unwrap_or_default();
        let order = pace::sorted(budget, order, |&a, &b| better(&score(a), &score(b)))?;
        for (rank, &i) in order.iter().take(topk).enumerate() {
            pace.labels()?;
            let (series, score) = (&scored[i as usize], score(i));
            let labels = described(args, series, drops_name, describe(rank + 1, step, &score))?;
            let place = match places.get(&labels) {
                Some(&place) => place,
                None => {
                    budget.hold(
                        labels_held(&labels) + Footprint::bytes(map_bytes(1, size_of::<(Labels, usize)>())),
                    )?;
                    let points = Points::absent(steps);
                    budget.hold(points.held())?;
                    places.insert(labels.clone(), result.len());
                    result.push(Series { labels, drop_name: false, points });
                    result.len() - 1
                }
            };
            result[place].points.floats[step] = score.value;
        }
        budget.release(held);
    }
    Ok(Value::Vector(result))
}

fn at(series: &Scored, step: usize) -> Option<&Score> {
    series.scores.as_ref().ok().and_then(|scores| scores.get(step))
}

/// Larger absolute scores first; equal ones by the second criterion.
fn better(a: &Score, b: &Score) -> Ordering {
    b.value.abs().total_cmp(&a.value.abs()).then(b.then.total_cmp(&a.then))
}

/// Corrects the probabilities of a step for the number of series that are compared.
fn correct(args: &dyn Arguments<'_>, scored: &mut [Scored], step: usize) -> Result<(), QueryError> {
    let budget = args.budget();
    let held = Footprint::bytes(scored.len() * (size_of::<f64>() + size_of::<u32>()));
    budget.hold(held)?;
    let mut p: Vec<f64> = Vec::with_capacity(scored.len());
    p.extend(scored.iter().map(|series| at(series, step).map_or(f64::NAN, |score| score.p)));
    let known = (0..p.len() as u32).filter(|&i| !p[i as usize].is_nan()).collect::<Vec<u32>>();
    let ascending = pace::sorted(budget, known, |&a, &b| p[a as usize].total_cmp(&p[b as usize]))?;
    adjust(&mut p, &ascending);
    for (series, p) in scored.iter_mut().zip(p) {
        if let Some(score) = series.scores.as_mut().ok().and_then(|scores| scores.get_mut(step)) {
            score.p = p;
        }
    }
    budget.release(held);
    Ok(())
}

/// The labels of a series with those that describe its score.
fn described(
    args: &dyn Arguments<'_>,
    series: &Scored,
    drops_name: bool,
    description: Described,
) -> Result<Labels, QueryError> {
    let labels = settled(&series.labels, series.drop_name || drops_name);
    let mut builder = labels.to_builder();
    for (label, value) in &description {
        if labels.get(label).is_some() {
            let name = args.function().name;
            return Err(QueryError::Execution(format!(
                "{name}: the series {labels} has a label {label:?} already: rename it with label_move first"
            )));
        }
        builder.set(label, value);
    }
    Ok(builder.build())
}
