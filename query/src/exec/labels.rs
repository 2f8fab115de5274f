//! Work on label sets: `label_replace`, `label_join`, natural order, and the sets that
//! groups and matches are made of.

use std::cmp::Ordering;

use barograph_engine::model::{CompileError, Labels, METRIC_NAME, Rewrite};

use super::Evaluator;
use crate::error::QueryError;
use crate::plan::Call;
use crate::series::merge::merge_equal;
use crate::series::{Vector, labels_held};
use crate::steps::Steps;

/// `label_replace(v, dst, replacement, src, regex)`.
pub(super) fn replace(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vector, QueryError> {
    let mut vector = ev.vector(&call.args[0], steps)?;
    let [dst, replacement, src, regex] = [1, 2, 3, 4].map(|i| ev.text(&call.args[i]));
    // What it takes is given back with this, at the end.
    let mut expressions = ev.ctx.budget.expressions();
    let mut rewrite = Rewrite::within(&regex, &replacement, &mut expressions).map_err(|e| match e {
        CompileError::Stopped(stopped) => stopped.into(),
        CompileError::Memory(denied) => denied.into(),
        CompileError::Pattern(e) => QueryError::Execution(format!(
            "invalid regular expression in label_replace(): {regex}: {}",
            e.reason
        )),
        CompileError::Weight { limit, .. } => {
            QueryError::Expressions { place: "label_replace()".to_owned(), limit, message: e.to_string() }
        }
    })?;
    if dst.is_empty() {
        return Err(QueryError::Execution(format!(
            "invalid destination label name in label_replace(): {dst}"
        )));
    }
    let mut pace = ev.ctx.budget.pace();
    for series in &mut vector {
        pace.labels()?;
        let value = series.labels.get(&src).unwrap_or("");
        check_length("label_replace", replacement.len() + replacement.matches('$').count() * value.len())?;
        let Some(expanded) = rewrite.apply(value) else { continue };
        let mut labels = series.labels.to_builder();
        series.labels = labels.set(&dst, &expanded).build();
        ev.ctx.budget.hold(labels_held(&series.labels))?;
        if dst == METRIC_NAME {
            series.drop_name = false;
        }
    }
    merge_equal(&ev.ctx.budget, vector)
}

/// Longest label value that a query may make, bytes. Far above what anybody reads; below it
/// a template of many groups over long values cannot eat the memory.
const VALUE_BYTES_MAX: usize = 1 << 20;

fn check_length(function: &str, bytes: usize) -> Result<(), QueryError> {
    if bytes <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(QueryError::Execution(format!(
        "{function}() would make a label value of up to {bytes} bytes, the limit is {VALUE_BYTES_MAX}"
    )))
}

/// `label_join(v, dst, separator, src…)`.
pub(super) fn join(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vector, QueryError> {
    let mut vector = ev.vector(&call.args[0], steps)?;
    let dst = ev.text(&call.args[1]);
    let separator = ev.text(&call.args[2]);
    let sources: Vec<String> = call.args[3..].iter().map(|a| ev.text(a)).collect();
    if dst.is_empty() {
        return Err(QueryError::Execution(format!("invalid destination label name in label_join(): {dst}")));
    }
    if sources.iter().any(String::is_empty) {
        return Err(QueryError::Execution("invalid source label name in label_join(): ".to_owned()));
    }
    let mut pace = ev.ctx.budget.pace();
    for series in &mut vector {
        pace.labels()?;
        let values: Vec<&str> = sources.iter().map(|s| series.labels.get(s).unwrap_or("")).collect();
        let length = values.iter().map(|v| v.len() + separator.len()).sum();
        check_length("label_join", length)?;
        let joined = values.join(&separator);
        let mut labels = series.labels.to_builder();
        series.labels = labels.set(&dst, &joined).build();
        ev.ctx.budget.hold(labels_held(&series.labels))?;
        if dst == METRIC_NAME {
            series.drop_name = false;
        }
    }
    merge_equal(&ev.ctx.budget, vector)
}

/// The order of `sort_by_label`: each named label in turn, then the whole sets.
pub(super) fn natural_order(a: &Labels, b: &Labels, names: &[String]) -> Ordering {
    let by_name = names.iter().map(|n| natural(a.get(n).unwrap_or(""), b.get(n).unwrap_or("")));
    by_name.fold(Ordering::Equal, Ordering::then).then_with(|| a.cmp(b))
}

/// Compares text piece by piece, runs of digits by their number.
fn natural(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let (piece_a, piece_b) = (piece(a), piece(b));
        if piece_a.is_empty() || piece_b.is_empty() {
            return piece_a.len().cmp(&piece_b.len());
        }
        let order = match (is_number(piece_a), is_number(piece_b)) {
            (true, true) => number_order(piece_a, piece_b),
            _ => piece_a.cmp(piece_b),
        };
        if order != Ordering::Equal {
            return order;
        }
        a = &a[piece_a.len()..];
        b = &b[piece_b.len()..];
    }
}

/// The longest prefix of `text` that is all digits or has none.
fn piece(text: &str) -> &str {
    let digits = is_number(text);
    let end = text.bytes().position(|c| c.is_ascii_digit() != digits).unwrap_or(text.len());
    &text[..end]
}

fn is_number(piece: &str) -> bool {
    piece.bytes().next().is_some_and(|c| c.is_ascii_digit())
}

/// Digits of any length; those with fewer leading zeros first among equals.
fn number_order(a: &str, b: &str) -> Ordering {
    let (x, y) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    x.len().cmp(&y.len()).then_with(|| x.cmp(y)).then_with(|| a.len().cmp(&b.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_compare_by_number() {
        let mut hosts = vec!["node10", "node9", "node1a2", "node1a10", "node", "4m1000", "4m6", "é2", "é10"];
        hosts.sort_by(|a, b| natural(a, b));
        assert_eq!(hosts, ["4m6", "4m1000", "node", "node1a2", "node1a10", "node9", "node10", "é2", "é10"]);
    }
}
