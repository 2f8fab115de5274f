//! `label_set` and related functions: changes of labels without regular expressions.
//!
//! As with `label_replace`, elements whose labels become equal form one series as long as they do not have values at
//! the same step, and a name that was written is kept. Pairs are applied in order, each to the result of the previous
//! ones.

use barograph_engine::model::{LabelsBuilder, METRIC_NAME};

use crate::error::QueryError;
use crate::functions::arguments::{Arguments, texts};
use crate::merge::merge_equal;
use crate::series::{Value, labels_held};

/// Changes the labels of each element. `is_name` decides which of the strings are label names.
fn relabelled(
    args: &mut dyn Arguments<'_>,
    is_name: impl Fn(usize) -> bool,
    change: impl Fn(&mut Draft, &[String]),
) -> Result<Value, QueryError> {
    let mut vector = args.vector(0)?;
    let texts = texts(args, 1);
    if let Some(empty) = (0..texts.len()).find(|&i| is_name(i) && texts[i].is_empty()) {
        return Err(QueryError::Execution(format!(
            "invalid label name in {}(): argument {} is empty",
            args.function().name,
            empty + 2
        )));
    }
    let budget = args.budget();
    for series in &mut vector {
        budget.check()?;
        let mut draft = Draft { labels: series.labels.to_builder(), name_written: false };
        change(&mut draft, &texts);
        series.labels = draft.labels.build();
        budget.hold(labels_held(&series.labels))?;
        series.drop_name &= !draft.name_written;
    }
    Ok(Value::Vector(merge_equal(budget, vector)?))
}

/// Labels that are being changed.
struct Draft {
    labels: LabelsBuilder,
    /// Whether the metric name was set, even to the same value.
    name_written: bool,
}

impl Draft {
    fn set(&mut self, name: &str, value: &str) {
        self.labels.set(name, value);
        self.name_written |= name == METRIC_NAME;
    }

    /// A missing label is not copied.
    fn copy(&mut self, from: &str, to: &str) {
        self.change(from, to, str::to_owned);
    }

    fn change(&mut self, from: &str, to: &str, f: fn(&str) -> String) {
        if let Some(value) = self.labels.get(from).map(f) {
            self.set(to, &value);
        }
    }
}

/// `label_del(v, label…)`
pub(crate) fn delete(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    relabelled(args, all_names, |draft, texts| {
        texts.iter().for_each(|name| {
            draft.labels.remove(name);
        });
    })
}

/// `label_keep(v, label…)`
pub(crate) fn keep(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    relabelled(args, all_names, |draft, texts| {
        let labels = draft.labels.build();
        draft.labels = labels.without(|name| !texts.iter().any(|t| t == name)).to_builder();
    })
}

/// `label_set(v, label, value, …)`
pub(crate) fn set(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let is_name = |text: usize| text.is_multiple_of(2);
    relabelled(args, is_name, |draft, texts| {
        pairs(texts).for_each(|(name, value)| draft.set(name, value));
    })
}

/// `label_copy(v, src, dst, …)`
pub(crate) fn copy(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    relabelled(args, all_names, |draft, texts| pairs(texts).for_each(|(from, to)| draft.copy(from, to)))
}

/// `label_move(v, src, dst, …)`
pub(crate) fn rename(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    relabelled(args, all_names, |draft, texts| {
        for (from, to) in pairs(texts).filter(|(from, to)| from != to) {
            draft.copy(from, to);
            draft.labels.remove(from);
        }
    })
}

/// `label_map(v, label, from, to, …)`
pub(crate) fn map(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let is_name = |text: usize| text == 0;
    relabelled(args, is_name, |draft, texts| {
        let value = draft.labels.get(&texts[0]).unwrap_or("").to_owned();
        if let Some((_, to)) = pairs(&texts[1..]).find(|(from, _)| *from == value) {
            draft.set(&texts[0], to);
        }
    })
}

/// `label_lowercase(v, label…)`
pub(crate) fn lowercase(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    change_values(args, str::to_lowercase)
}

/// `label_uppercase(v, label…)`
pub(crate) fn uppercase(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    change_values(args, str::to_uppercase)
}

fn change_values(args: &mut dyn Arguments<'_>, f: fn(&str) -> String) -> Result<Value, QueryError> {
    relabelled(args, all_names, |draft, texts| {
        texts.iter().for_each(|name| draft.change(name, name, f));
    })
}

fn all_names(_text: usize) -> bool {
    true
}

fn pairs(texts: &[String]) -> impl Iterator<Item = (&str, &str)> {
    texts.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str()))
}
