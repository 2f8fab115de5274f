//! `absent` and `absent_over_time`: one element with the value 1 at the steps without any other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use barograph_engine::model::{Labels, METRIC_NAME, MatchOp, Matcher};

use crate::error::QueryError;
use crate::functions::arguments::Arguments;
use crate::functions::window::kernels;
use crate::merge::any_present;
use crate::series::{ABSENT, Points, Series, Value, Vector};

/// `absent(v)`
pub(crate) fn absent(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let vector = args.vector(0)?;
    where_empty(args, &vector)
}

/// `absent_over_time(v[…])`
pub(crate) fn absent_over_time(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let vector = args.windows(kernels::present)?;
    where_empty(args, &vector)
}

/// One element with the value 1 at the steps where `vector` is empty, with the labels of the first argument.
fn where_empty(args: &dyn Arguments<'_>, vector: &Vector) -> Result<Value, QueryError> {
    let present = any_present(args.budget(), vector.iter().map(|series| &series.points), args.steps().count)?;
    let floats = present.into_iter().map(|present| if present { ABSENT } else { 1.0 }).collect();
    let points = Points { floats, histograms: None };
    if !points.any() {
        return Ok(Value::Vector(Vec::new()));
    }
    let labels = labels_asked_for(args.matchers(0));
    Ok(Value::Vector(vec![Series { labels, drop_name: false, points }]))
}

/// The labels that a plain selector compares with `=`, without the metric name. The first equality sets a label; any
/// later matcher of the same label removes it.
fn labels_asked_for(matchers: &[Matcher]) -> Labels {
    let mut asked: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for m in matchers.iter().filter(|m| m.name != METRIC_NAME && !m.name.is_empty()) {
        match asked.entry(&m.name) {
            Entry::Vacant(first) if m.op == MatchOp::Equal => drop(first.insert(Some(&m.value))),
            Entry::Vacant(_) => {}
            Entry::Occupied(mut equated) => drop(equated.insert(None)),
        }
    }
    let labels = asked.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Labels::from_pairs(labels).unwrap_or_else(|_| Labels::empty())
}
