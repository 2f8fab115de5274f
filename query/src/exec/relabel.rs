//! `label_set` and its kin: changes of labels that need no regular expression.
//!
//! As with `label_replace`, elements whose labels become equal are one series as long as
//! they have no values at the same step, and a name that is written stays. Pairs are taken
//! in order, each sees what those before it did.

use barograph_engine::model::{LabelsBuilder, METRIC_NAME};

use super::Evaluator;
use crate::error::QueryError;
use crate::functions::FunctionId;
use crate::plan::Call;
use crate::series::merge::merge_equal;
use crate::series::{Vector, labels_held};
use crate::steps::Steps;

/// Evaluates such a call at all steps.
pub(super) fn evaluate(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vector, QueryError> {
    let mut vector = ev.vector(&call.args[0], steps)?;
    let texts: Vec<String> = call.args[1..].iter().map(|a| ev.text(a)).collect();
    check_names(call, &texts)?;
    for series in &mut vector {
        ev.ctx.budget.check()?;
        let mut draft = Draft { labels: series.labels.to_builder(), name_written: false };
        change(call.function.id, &mut draft, &texts);
        series.labels = draft.labels.build();
        ev.ctx.budget.hold(labels_held(&series.labels))?;
        series.drop_name &= !draft.name_written;
    }
    merge_equal(&ev.ctx.budget, vector)
}

/// Labels have names.
fn check_names(call: &Call, texts: &[String]) -> Result<(), QueryError> {
    let is_name = |i: usize| match call.function.id {
        FunctionId::LabelSet => i.is_multiple_of(2),
        FunctionId::LabelMap => i == 0,
        _ => true,
    };
    match (0..texts.len()).find(|&i| is_name(i) && texts[i].is_empty()) {
        Some(i) => Err(QueryError::Execution(format!(
            "invalid label name in {}(): argument {} is empty",
            call.function.name,
            i + 2
        ))),
        None => Ok(()),
    }
}

/// Labels about to change.
struct Draft {
    labels: LabelsBuilder,
    /// Whether the metric's name was set, if only to what it was.
    name_written: bool,
}

impl Draft {
    fn set(&mut self, name: &str, value: &str) {
        self.labels.set(name, value);
        self.name_written |= name == METRIC_NAME;
    }

    /// A label that is not there is not copied.
    fn copy(&mut self, from: &str, to: &str) {
        self.change(from, to, str::to_owned);
    }

    fn change(&mut self, from: &str, to: &str, f: fn(&str) -> String) {
        if let Some(value) = self.labels.get(from).map(f) {
            self.set(to, &value);
        }
    }
}

fn change(id: FunctionId, draft: &mut Draft, texts: &[String]) {
    use FunctionId as F;
    match id {
        F::LabelDel => texts.iter().for_each(|name| {
            draft.labels.remove(name);
        }),
        F::LabelKeep => {
            let labels = draft.labels.build();
            draft.labels = labels.without(|name| !texts.iter().any(|t| t == name)).to_builder();
        }
        F::LabelSet => pairs(texts).for_each(|(name, value)| draft.set(name, value)),
        F::LabelCopy => pairs(texts).for_each(|(from, to)| draft.copy(from, to)),
        F::LabelMove => pairs(texts).filter(|(from, to)| from != to).for_each(|(from, to)| {
            draft.copy(from, to);
            draft.labels.remove(from);
        }),
        F::LabelMap => {
            let value = draft.labels.get(&texts[0]).unwrap_or("").to_owned();
            if let Some((_, to)) = pairs(&texts[1..]).find(|(from, _)| *from == value) {
                draft.set(&texts[0], to);
            }
        }
        F::LabelLowercase => texts.iter().for_each(|name| draft.change(name, name, str::to_lowercase)),
        F::LabelUppercase => texts.iter().for_each(|name| draft.change(name, name, str::to_uppercase)),
        other => unreachable!("{other:?} changes no labels"),
    }
}

fn pairs(texts: &[String]) -> impl Iterator<Item = (&str, &str)> {
    texts.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str()))
}
