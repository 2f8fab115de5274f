//! Histograms as text, for `count_values`.

use std::fmt::Write;

use barograph_engine::model::Histogram;

use super::bounds::{BucketKind, ascending};
use crate::value::go_float;

/// `{count:4, sum:5, (0.5,1]:1, …}` with the populated buckets in ascending order.
pub(crate) fn histogram_text(h: &Histogram) -> String {
    let mut text = format!("{{count:{}, sum:{}", go_float(h.count), go_float(h.sum));
    for b in ascending(h) {
        let (open, close) = match b.kind {
            BucketKind::Negative => ('[', ')'),
            BucketKind::Zero => ('[', ']'),
            BucketKind::Positive | BucketKind::Custom => ('(', ']'),
        };
        let (lower, upper, count) = (go_float(b.lower), go_float(b.upper), go_float(b.count));
        write!(text, ", {open}{lower},{upper}{close}:{count}").expect("writing to a string cannot fail");
    }
    text.push('}');
    text
}
