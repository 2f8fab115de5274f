//! Function calls: prepares the arguments and hands them to what computes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use barograph_engine::model::{Labels, METRIC_NAME, MatchOp, Matcher};

use super::{Evaluator, finish, info, labels, range, relabel, selector, sets, whole};
use crate::budget::Budget;
use crate::budget::pace;
use crate::error::QueryError;
use crate::functions::numbers::{dates, one_float};
use crate::functions::{FunctionId, NameRule, ValueType};
use crate::plan::{Call, Kind, Node};
use crate::series::any_present;
use crate::series::{ABSENT, Points, Series, Value, Vector, is_absent};
use crate::steps::Steps;

/// What a function of one float may cost, in floats that are only looked at.
const LOOKS_A_FLOAT: usize = 16;

/// Evaluates a call at all steps.
pub(super) fn evaluate(
    ev: &mut Evaluator<'_>,
    call: &Call,
    node: &Node,
    steps: Steps,
) -> Result<Value, QueryError> {
    use FunctionId as F;
    let id = call.function.id;
    if call.args.iter().any(|a| a.value_type() == ValueType::RangeVector) {
        let vector = range::call(ev, call, steps)?;
        return Ok(Value::Vector(match id {
            F::AbsentOverTime => absent(&ev.ctx.budget, &vector, &call.args[0], steps)?,
            _ => vector,
        }));
    }
    if call.function.spans_steps() {
        return Ok(Value::Vector(whole::evaluate(ev, call, steps)?));
    }
    match id {
        F::Time => return Ok(Value::Scalar(times(steps))),
        F::Scalar => {
            let vector = ev.vector(&call.args[0], steps)?;
            return Ok(Value::Scalar(only_float(&ev.ctx.budget, &vector, steps)?));
        }
        F::MinOf | F::MaxOf => return scalar_extreme(ev, call, steps),
        _ => {}
    }
    Ok(Value::Vector(match id {
        F::Vector => {
            let points = Points { floats: ev.scalar(&call.args[0], steps)?, histograms: None };
            vec![Series { labels: Labels::empty(), drop_name: false, points }]
        }
        F::Absent => {
            let vector = ev.vector(&call.args[0], steps)?;
            absent(&ev.ctx.budget, &vector, &call.args[0], steps)?
        }
        F::Sort | F::SortDesc | F::SortByLabel | F::SortByLabelDesc => sorted(ev, call, node, steps)?,
        F::LabelReplace => labels::replace(ev, call, steps)?,
        F::LabelJoin => labels::join(ev, call, steps)?,
        F::LabelSet
        | F::LabelDel
        | F::LabelKeep
        | F::LabelCopy
        | F::LabelMove
        | F::LabelMap
        | F::LabelLowercase
        | F::LabelUppercase => relabel::evaluate(ev, call, steps)?,
        F::Timestamp => timestamp(ev, call, steps)?,
        F::StartTimestamp => start_timestamp(ev, call, steps)?,
        F::Union => sets::union(ev, call, steps)?,
        F::Info => info::evaluate(ev, call, steps)?,
        F::HistogramQuantile
        | F::HistogramQuantiles
        | F::HistogramFraction
        | F::HistogramCount
        | F::HistogramSum
        | F::HistogramAvg
        | F::HistogramStddev
        | F::HistogramStdvar => super::buckets::evaluate(ev, call, steps)?,
        _ => each_float(ev, call, steps)?,
    }))
}

fn times(steps: Steps) -> Vec<f64> {
    (0..steps.count).map(|i| steps.at(i) as f64 / 1000.0).collect()
}

fn scalar_extreme(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Value, QueryError> {
    let mut result = ev.scalar(&call.args[0], steps)?;
    let other = ev.scalar(&call.args[1], steps)?;
    let extreme = if call.function.id == FunctionId::MinOf { one_float::min } else { one_float::max };
    result.iter_mut().zip(other).for_each(|(a, b)| *a = extreme(*a, b));
    Ok(Value::Scalar(result))
}

/// The value of the one float element at each step, NaN where there is not exactly one.
fn only_float(budget: &Budget, vector: &Vector, steps: Steps) -> Result<Vec<f64>, QueryError> {
    let mut pace = budget.pace();
    let mut values = vec![ABSENT; steps.count];
    let mut many = vec![false; steps.count];
    for series in vector {
        pace.work(1 + series.points.len())?;
        for (i, &v) in series.points.floats.iter().enumerate().filter(|(_, v)| !is_absent(**v)) {
            many[i] |= !is_absent(values[i]);
            values[i] = v;
        }
    }
    let only = |(&v, many): (&f64, bool)| if many || is_absent(v) { f64::NAN } else { v };
    Ok(values.iter().zip(many).map(only).collect())
}

/// Functions that map each float of a vector; histograms are left out.
fn each_float(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vector, QueryError> {
    let id = call.function.id;
    let Some(arg) = call.args.first() else {
        // Date functions without an argument speak of the evaluation time.
        let floats = times(steps).into_iter().map(|t| dates::part(id, t)).collect();
        let points = Points { floats, histograms: None };
        return Ok(vec![Series { labels: Labels::empty(), drop_name: false, points }]);
    };
    let mut vector = ev.vector(arg, steps)?;
    let mut params = Vec::new();
    for arg in &call.args[1..] {
        params.push(ev.scalar(arg, steps)?);
    }
    let mut pace = ev.ctx.budget.pace();
    for series in &mut vector {
        pace.work(LOOKS_A_FLOAT * (1 + series.points.len()))?;
        series.drop_name |= call.name_rule == NameRule::Drop;
        series.points.histograms = None;
        if dates::is_part(id) {
            series.points.map_floats(|v| dates::part(id, v));
        } else if params.is_empty() && id != FunctionId::Round {
            let f = one_float::unary(id);
            series.points.map_floats(f);
        } else {
            one_float::with_params(id, &mut series.points.floats, &params);
        }
    }
    vector.retain(|s| s.points.any());
    Ok(vector)
}

/// `timestamp`: a selector's samples have their own times, other values the step's.
fn timestamp(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vector, QueryError> {
    let arg = &call.args[0];
    let mut vector = match &arg.kind {
        Kind::Instant(selection) if selection.edges == crate::syntax::ast::Edges::Plain => {
            let mark = ev.mark();
            let vector = selector::instant(ev.ctx, selection, steps, selector::Take::Time)?;
            if let Some(mark) = mark {
                ev.record(arg, mark, vector.len() as u64, 0);
            }
            vector
        }
        _ => {
            let mut vector = ev.vector(arg, steps)?;
            let mut pace = ev.ctx.budget.pace();
            for series in &mut vector {
                let points = &mut series.points;
                pace.points(points)?;
                for i in 0..steps.count {
                    points.floats[i] = if points.has(i) { steps.at(i) as f64 / 1000.0 } else { ABSENT };
                }
                points.histograms = None;
            }
            vector
        }
    };
    mark_names(&mut vector, call.name_rule);
    Ok(vector)
}

/// Marks the names that a function drops.
fn mark_names(vector: &mut Vector, rule: NameRule) {
    vector.iter_mut().for_each(|s| s.drop_name |= rule == NameRule::Drop);
}

/// `start_timestamp`: only a selector's samples have one.
fn start_timestamp(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vector, QueryError> {
    let Kind::Instant(selection) = &call.args[0].kind else {
        ev.vector(&call.args[0], steps)?;
        return Ok(Vec::new());
    };
    let mut vector = selector::instant(ev.ctx, selection, steps, selector::Take::StartTime)?;
    mark_names(&mut vector, call.name_rule);
    vector.retain(|s| s.points.any());
    Ok(vector)
}

/// One element of value 1 at the steps where `vector` is empty.
fn absent(budget: &Budget, vector: &Vector, arg: &Node, steps: Steps) -> Result<Vector, QueryError> {
    let present = any_present(budget, vector.iter().map(|series| &series.points), steps.count)?;
    let floats = present.into_iter().map(|present| if present { ABSENT } else { 1.0 }).collect();
    let points = Points { floats, histograms: None };
    if !points.any() {
        return Ok(Vec::new());
    }
    Ok(vec![Series { labels: labels_asked_for(arg), drop_name: false, points }])
}

/// The labels that a plain selector asks to be equal, without the name. The first equality
/// sets a label; any other matcher of the same label removes it, where it comes after.
fn labels_asked_for(arg: &Node) -> Labels {
    let matchers: &[Matcher] = match &arg.kind {
        Kind::Instant(s) | Kind::Range(s) => &s.matchers,
        _ => return Labels::empty(),
    };
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

/// `sort` and its kin; in range queries they only warn.
fn sorted(ev: &mut Evaluator<'_>, call: &Call, node: &Node, steps: Steps) -> Result<Vector, QueryError> {
    use FunctionId as F;
    let mut vector = ev.vector(&call.args[0], steps)?;
    if ev.is_range {
        finish::note_sort(&mut ev.notes, node.span);
    }
    let id = call.function.id;
    if matches!(id, F::Sort | F::SortDesc) {
        vector.iter_mut().for_each(|s| s.points.histograms = None);
        vector.retain(|s| s.points.any());
    }
    if steps.count != 1 {
        return Ok(vector);
    }
    match id {
        F::Sort | F::SortDesc => {
            let descending = id == F::SortDesc;
            let value = |series: &Series| series.points.floats[0];
            vector = pace::sorted(&ev.ctx.budget, vector, |a, b| {
                one_float::nan_last(value(a), value(b), descending)
            })?;
        }
        _ => {
            let names: Vec<String> = call.args[1..].iter().map(|a| ev.text(a)).collect();
            vector = pace::sorted(&ev.ctx.budget, vector, |a, b| {
                labels::natural_order(&a.labels, &b.labels, &names)
            })?;
            if id == F::SortByLabelDesc {
                vector.reverse();
            }
        }
    }
    Ok(vector)
}
