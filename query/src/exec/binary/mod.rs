//! Binary operators: on scalars, on a vector and a scalar, and on two vectors that are matched by signature.
//!
//! For two vectors, the series of the "one" side of a signature become one column, and each series of the "many" side
//! is combined with it. Whether a match is unique is checked before a comparison filters values.

use std::collections::HashMap;

use barograph_engine::model::Labels;

use super::Evaluator;
use crate::budget::Budget;
use crate::error::QueryError;
use crate::merge::any_present;
use crate::merge::{SAME_LABELS, is_metadata};
use crate::plan::Binary;
use crate::series::label_sets::{in_braces, only, sorted_names};
use crate::series::{Points, Series, Value, Vector};
use crate::span::Span;
use crate::steps::Steps;
use crate::syntax::ast::{BinaryOp, Cardinality, MatchLabels, VectorMatching};
use matching::{Match, matches};
use operators::{Keep, Noted, combine, scalar};

mod default_if;
mod matching;
mod operators;
mod sets;

/// Evaluates a binary operator at all steps.
pub(crate) fn evaluate(
    ev: &mut Evaluator<'_>,
    b: &Binary,
    span: Span,
    steps: Steps,
) -> Result<Value, QueryError> {
    let lhs = ev.eval(&b.lhs, steps)?;
    let rhs = ev.eval(&b.rhs, steps)?;
    ev.ctx.budget.check()?;
    if matches!(b.op, BinaryOp::Default | BinaryOp::If | BinaryOp::IfNot) {
        return default_if::evaluate(
            &ev.ctx.budget,
            b.op,
            (lhs, rhs),
            b.matching.as_ref().map(|m| &m.labels),
            steps,
        );
    }
    match (lhs, rhs) {
        (Value::Scalar(mut l), Value::Scalar(r)) => {
            for (l, r) in l.iter_mut().zip(r) {
                *l = scalar(b.op, *l, r);
            }
            Ok(Value::Scalar(l))
        }
        (Value::Vector(l), Value::Scalar(r)) => with_scalar(ev, b, l, r, span, false),
        (Value::Scalar(l), Value::Vector(r)) => with_scalar(ev, b, r, l, span, true),
        (Value::Vector(l), Value::Vector(r)) => {
            let matching = b.matching.as_ref().expect("the parser gives two vectors a matching");
            let vector = match b.op {
                BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => {
                    sets::evaluate(&ev.ctx.budget, b.op, l, r, &matching.labels, steps)?
                }
                _ => vectors(ev, b, matching, (l, r), span, steps)?,
            };
            Ok(Value::Vector(vector))
        }
        _ => unreachable!("the checker refuses strings as operands"),
    }
}

/// Whether an operator filters elements, or parts of them, and keeps their names: comparisons and trims.
fn is_filter(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Eq
            | BinaryOp::Ne
            | BinaryOp::Lt
            | BinaryOp::Gt
            | BinaryOp::Le
            | BinaryOp::Ge
            | BinaryOp::TrimUpper
            | BinaryOp::TrimLower
    )
}

fn with_scalar(
    ev: &mut Evaluator<'_>,
    b: &Binary,
    mut vector: Vector,
    scalar: Vec<f64>,
    span: Span,
    scalar_is_left: bool,
) -> Result<Value, QueryError> {
    let scalar = Points { floats: scalar, histograms: None };
    let filter = is_filter(b.op) && !b.return_bool;
    let keep = match (b.return_bool, scalar_is_left) {
        (true, _) => Keep::Bool,
        (false, true) => Keep::Right,
        (false, false) => Keep::Left,
    };
    let mut noted = Noted::default();
    let mut pace = ev.ctx.budget.pace();
    for series in &mut vector {
        pace.points(&series.points)?;
        series.drop_name |= !filter && !b.keep_names;
        series.points = if scalar_is_left {
            combine(b.op, &scalar, &series.points, keep, &mut noted)
        } else {
            combine(b.op, &series.points, &scalar, keep, &mut noted)
        };
    }
    noted.write(&mut ev.annotations, b.op, span);
    vector.retain(|s| s.points.any());
    Ok(Value::Vector(vector))
}

/// The parts of an operation that all signatures share.
struct Matcher<'a> {
    budget: &'a Budget,
    binary: &'a Binary,
    matching: &'a VectorMatching,
    /// The side that may have several series per signature; the left side in one-to-one matching.
    many: Vector,
    /// The other side.
    one: Vector,
    /// Whether the sides are swapped, so that `many` is the right operand.
    swapped: bool,
    /// The labels to copy from the one side.
    copied: &'a [String],
    /// The names of `on` or `ignoring`, sorted.
    names: Vec<String>,
    /// The steps at which there is anything to match.
    active: Vec<bool>,
    steps: Steps,
}

fn vectors(
    ev: &mut Evaluator<'_>,
    binary: &Binary,
    matching: &VectorMatching,
    (left, right): (Vector, Vector),
    span: Span,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let (swapped, copied): (bool, &[String]) = match &matching.cardinality {
        Cardinality::GroupLeft(copied) => (false, copied),
        Cardinality::GroupRight(copied) => (true, copied),
        Cardinality::OneToOne | Cardinality::ManyToMany => (false, &[]),
    };
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let any_many = any_present(&ev.ctx.budget, many.iter().map(|s| &s.points), steps.count)?;
    let any_one = any_present(&ev.ctx.budget, one.iter().map(|s| &s.points), steps.count)?;
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    let active = any_many.iter().zip(&any_one).map(|(&m, &o)| if fills { m || o } else { m && o }).collect();
    let names = match &matching.labels {
        MatchLabels::On(names) | MatchLabels::Ignoring(names) => sorted_names(names),
    };
    let budget = &ev.ctx.budget;
    let matcher = Matcher { budget, binary, matching, many, one, swapped, copied, names, active, steps };
    let mut output = Output::default();
    let mut noted = Noted::default();
    for m in matches(budget, &matcher.many, &matcher.one, &matching.labels)? {
        budget.check()?;
        matcher.one_match(&m, &mut output, &mut noted)?;
    }
    noted.write(&mut ev.annotations, binary.op, span);
    output.series.retain(|s| s.points.any());
    Ok(output.series)
}

/// The "one" side of a signature as a single column.
struct OneSide {
    points: Points,
    /// The index of the series at each step.
    which: Vec<Option<usize>>,
}

impl Matcher<'_> {
    fn one_match(&self, m: &Match, output: &mut Output, noted: &mut Noted) -> Result<(), QueryError> {
        let mut one = self.one_side(m)?;
        if m.left.is_empty() && self.matching.fill_left.is_none() {
            return Ok(());
        }
        if m.right.is_empty() && self.matching.fill_right.is_none() {
            return Ok(());
        }
        if let Some(x) = self.matching.fill_left {
            self.fill_many(m, &one, x, output, noted)?;
        }
        if let Some(x) = self.matching.fill_right {
            for i in 0..self.steps.count {
                if self.active[i] && !one.points.has(i) {
                    one.points.floats[i] = x;
                }
            }
        }
        self.check_unique(m, &one)?;
        let mut pace = self.budget.pace();
        for &i in &m.left {
            let series = &self.many[i];
            pace.series(series)?;
            let points = self.apply(&series.points, &one.points, noted);
            self.emit(series, points, &one, output)?;
        }
        Ok(())
    }

    fn one_side(&self, m: &Match) -> Result<OneSide, QueryError> {
        let mut points = Points::absent(self.steps.count);
        let mut which: Vec<Option<usize>> = vec![None; self.steps.count];
        let mut pace = self.budget.pace();
        for &series in &m.right {
            let from = &self.one[series].points;
            pace.points(from)?;
            for (i, which) in which.iter_mut().enumerate() {
                if !self.active[i] || !from.has(i) {
                    continue;
                }
                if let Some(first) = *which {
                    return Err(self.duplicate(m, first, series));
                }
                *which = Some(series);
                points.set(i, from.get(i));
            }
        }
        Ok(OneSide { points, which })
    }

    fn duplicate(&self, m: &Match, first: usize, second: usize) -> QueryError {
        let side = if self.swapped { "left" } else { "right" };
        let mut pair = [in_braces(&self.one[first].labels), in_braces(&self.one[second].labels)];
        pair.sort_unstable();
        QueryError::Execution(format!(
            "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
            in_braces(&m.signature),
            pair[0],
            pair[1]
        ))
    }

    /// Adds an element with the matching labels at the steps at which the many side has none.
    fn fill_many(
        &self,
        m: &Match,
        one: &OneSide,
        x: f64,
        output: &mut Output,
        noted: &mut Noted,
    ) -> Result<(), QueryError> {
        let present =
            any_present(self.budget, m.left.iter().map(|&i| &self.many[i].points), self.steps.count)?;
        let mut stand_in = Points::absent(self.steps.count);
        for (i, present) in present.into_iter().enumerate() {
            if self.active[i] && one.points.has(i) && !present {
                stand_in.floats[i] = x;
            }
        }
        if !stand_in.any() {
            return Ok(());
        }
        let points = self.apply(&stand_in, &one.points, noted);
        let mut pace = self.budget.pace();
        for &series in &m.right {
            pace.points(&points)?;
            let mut part = points.clone();
            for i in 0..self.steps.count {
                if one.which[i] != Some(series) {
                    part.set(i, None);
                }
            }
            let labels = self.result_labels(&m.signature, Some(&self.one[series].labels));
            output.add(self.budget, Series { labels, drop_name: self.drops_name(), points: part })?;
        }
        Ok(())
    }

    /// Checks for several series of the many side in one match: an error in one-to-one matching, and in grouping if the
    /// result would contain a label set twice.
    fn check_unique(&self, m: &Match, one: &OneSide) -> Result<(), QueryError> {
        if m.left.len() < 2 {
            return Ok(());
        }
        let grouped = self.matching.cardinality != Cardinality::OneToOne;
        let mut taken: HashMap<Labels, Vec<bool>> = HashMap::new();
        let mut pace = self.budget.pace();
        for &i in &m.left {
            let series = &self.many[i];
            pace.series(series)?;
            let labels = if grouped { self.result_labels(&series.labels, None) } else { Labels::empty() };
            let taken = taken.entry(labels).or_insert_with(|| vec![false; self.steps.count]);
            for (step, taken) in taken.iter_mut().enumerate() {
                if !self.active[step] || !series.points.has(step) || !one.points.has(step) {
                    continue;
                }
                if *taken {
                    let how = if grouped {
                        "grouping labels must ensure unique matches"
                    } else {
                        "many-to-one matching must be explicit (group_left/group_right)"
                    };
                    return Err(QueryError::Execution(format!("multiple matches for labels: {how}")));
                }
                *taken = true;
            }
        }
        Ok(())
    }

    /// Applies the operator with the operands on their original sides.
    fn apply(&self, many: &Points, one: &Points, noted: &mut Noted) -> Points {
        let keep = if self.binary.return_bool { Keep::Bool } else { Keep::Left };
        if self.swapped {
            combine(self.binary.op, one, many, keep, noted)
        } else {
            combine(self.binary.op, many, one, keep, noted)
        }
    }

    /// Adds a result under its labels, which depend on the one side only if labels are copied from there.
    fn emit(
        &self,
        series: &Series,
        mut points: Points,
        one: &OneSide,
        output: &mut Output,
    ) -> Result<(), QueryError> {
        for (i, active) in self.active.iter().enumerate() {
            if !active {
                points.set(i, None);
            }
        }
        let drop_name = self.drops_name() || series.drop_name;
        if self.copied.is_empty() {
            let labels = self.result_labels(&series.labels, None);
            return output.add_unique(self.budget, Series { labels, drop_name, points });
        }
        let mut sources: Vec<Option<usize>> = one.which.clone();
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            self.budget.check()?;
            let mut part = points.clone();
            for i in 0..self.steps.count {
                if one.which[i] != source {
                    part.set(i, None);
                }
            }
            if part.any() {
                let labels = self.result_labels(&series.labels, source.map(|s| &self.one[s].labels));
                output.add_unique(self.budget, Series { labels, drop_name, points: part })?;
            }
        }
        Ok(())
    }

    /// Whether names that the labels still contain are dropped at the end.
    fn drops_name(&self) -> bool {
        self.binary.return_bool && !self.binary.keep_names
    }

    fn result_labels(&self, many: &Labels, one: Option<&Labels>) -> Labels {
        let keeps_name = self.binary.keep_names;
        let labels = match is_filter(self.binary.op) || keeps_name {
            true => many.clone(),
            false => many.without(is_metadata),
        };
        if self.matching.cardinality == Cardinality::OneToOne {
            return match self.matching.labels {
                MatchLabels::On(_) if keeps_name => {
                    labels.without(|n| !is_metadata(n) && !self.names.iter().any(|k| k == n))
                }
                MatchLabels::On(_) => only(&labels, &self.names),
                MatchLabels::Ignoring(_) => labels.without(|n| self.names.iter().any(|k| k == n)),
            };
        }
        if self.copied.is_empty() {
            return labels;
        }
        let mut builder = labels.to_builder();
        for name in self.copied {
            builder.set(name, one.and_then(|l| l.get(name)).unwrap_or(""));
        }
        builder.build()
    }
}

/// Results by their labels.
#[derive(Default)]
struct Output {
    series: Vector,
    places: HashMap<Labels, usize>,
}

impl Output {
    /// Adds a result. Returns false if its labels already have a value at one of its steps.
    fn add(&mut self, budget: &Budget, series: Series) -> Result<bool, QueryError> {
        match self.places.get(&series.labels) {
            Some(&place) => {
                self.series[place].drop_name |= series.drop_name;
                Ok(self.series[place].points.merge(series.points))
            }
            None => {
                budget.hold(series.held())?;
                self.places.insert(series.labels.clone(), self.series.len());
                self.series.push(series);
                Ok(true)
            }
        }
    }

    fn add_unique(&mut self, budget: &Budget, series: Series) -> Result<(), QueryError> {
        if self.add(budget, series)? { Ok(()) } else { Err(QueryError::Execution(SAME_LABELS.to_owned())) }
    }
}
