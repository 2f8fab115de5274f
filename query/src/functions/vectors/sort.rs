//! The order of results: `sort`, `sort_by_label` and their descending forms. In range queries, they have no effect and
//! warn.

use std::cmp::Ordering;

use barograph_engine::model::Labels;

use crate::budget::pace;
use crate::error::QueryError;
use crate::functions::arguments::{Arguments, texts};
use crate::numbers::one_float::nan_last;
use crate::series::{Series, Value, Vector};

/// `sort(v)`, `sort_desc(v)`: by value; histograms are dropped.
pub(crate) fn by_value(args: &mut dyn Arguments<'_>, descending: bool) -> Result<Value, QueryError> {
    let mut vector = argument(args)?;
    vector.iter_mut().for_each(|s| s.points.histograms = None);
    vector.retain(|s| s.points.any());
    if args.steps().count == 1 {
        let value = |series: &Series| series.points.floats[0];
        vector = pace::sorted(args.budget(), vector, |a, b| nan_last(value(a), value(b), descending))?;
    }
    Ok(Value::Vector(vector))
}

/// `sort_by_label(v, label…)`, `sort_by_label_desc(v, label…)`.
pub(crate) fn by_label(args: &mut dyn Arguments<'_>, descending: bool) -> Result<Value, QueryError> {
    let mut vector = argument(args)?;
    if args.steps().count == 1 {
        let names = texts(args, 1);
        vector = pace::sorted(args.budget(), vector, |a, b| natural_order(&a.labels, &b.labels, &names))?;
        if descending {
            vector.reverse();
        }
    }
    Ok(Value::Vector(vector))
}

fn argument(args: &mut dyn Arguments<'_>) -> Result<Vector, QueryError> {
    let vector = args.vector(0)?;
    if args.is_range_query() {
        let span = args.call_span();
        let text = "sort is ineffective for range queries since results are always ordered by labels";
        args.annotations().warn(span, text);
    }
    Ok(vector)
}

/// The order of `sort_by_label`: each named label in turn, then the whole label set.
fn natural_order(a: &Labels, b: &Labels, names: &[String]) -> Ordering {
    let by_name = names.iter().map(|n| natural(a.get(n).unwrap_or(""), b.get(n).unwrap_or("")));
    by_name.fold(Ordering::Equal, Ordering::then).then_with(|| a.cmp(b))
}

/// Compares texts piece by piece, and runs of digits by their numeric value.
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

/// The longest prefix of `text` that consists only of digits, or contains none.
fn piece(text: &str) -> &str {
    let digits = is_number(text);
    let end = text.bytes().position(|c| c.is_ascii_digit() != digits).unwrap_or(text.len());
    &text[..end]
}

fn is_number(piece: &str) -> bool {
    piece.bytes().next().is_some_and(|c| c.is_ascii_digit())
}

/// Compares digits of any length. Of equal numbers, the one with fewer leading zeros comes first.
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
