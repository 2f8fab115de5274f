//! Sums and differences of histograms, and their layouts.
//!
//! Two histograms are first brought to the same layout: the lower resolution, a zero bucket that covers both and ends
//! at the bound of a bucket, and, with explicit bounds, the bounds that both have.

use super::{Buckets, bounds, compacted, is_custom, negative, positive, set_buckets};
use crate::model::{Histogram, ResetHint};

/// An empty histogram of the same layout.
pub fn zero_like(h: &Histogram) -> Histogram {
    Histogram {
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        custom_values: h.custom_values.clone(),
        ..Histogram::default()
    }
}

/// `a + sign * b` without a hint, and whether explicit bounds had to be reconciled.
pub fn plus(a: &Histogram, b: &Histogram, sign: f64) -> Option<(Histogram, bool)> {
    if is_custom(a) != is_custom(b) {
        return None;
    }
    if same_layout(a, b) {
        return Some((slot_by_slot(a, b, sign), false));
    }
    if is_custom(a) {
        return Some((plus_custom(a, b, sign), a.custom_values != b.custom_values));
    }
    let schema = a.schema.min(b.schema);
    let (x, y) = with_common_zero(a, b);
    let mut h = Histogram {
        schema,
        zero_threshold: x.zero_threshold,
        zero_count: x.zero_count + sign * y.zero_count,
        count: a.count + sign * b.count,
        sum: a.sum + sign * b.sum,
        ..Histogram::default()
    };
    let side = |get: fn(&Histogram) -> Buckets| {
        merged(&coarser(&get(&x), x.schema - schema), &coarser(&get(&y), y.schema - schema), sign)
    };
    let (p, n) = (side(positive), side(negative));
    set_buckets(&mut h, &p, &n);
    Some((h, false))
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && a.custom_values == b.custom_values
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.positive_buckets.len() == b.positive_buckets.len()
        && a.negative_buckets.len() == b.negative_buckets.len()
}

fn slot_by_slot(a: &Histogram, b: &Histogram, sign: f64) -> Histogram {
    let side = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x + sign * y).collect();
    compacted(Histogram {
        zero_count: a.zero_count + sign * b.zero_count,
        count: a.count + sign * b.count,
        sum: a.sum + sign * b.sum,
        positive_buckets: side(&a.positive_buckets, &b.positive_buckets),
        negative_buckets: side(&a.negative_buckets, &b.negative_buckets),
        reset_hint: ResetHint::Unknown,
        schema: a.schema,
        zero_threshold: a.zero_threshold,
        positive_spans: a.positive_spans.clone(),
        negative_spans: a.negative_spans.clone(),
        custom_values: a.custom_values.clone(),
    })
}

fn plus_custom(a: &Histogram, b: &Histogram, sign: f64) -> Histogram {
    let common = common_bounds(&a.custom_values, &b.custom_values);
    let buckets = merged(&rebound(a, &common), &rebound(b, &common), sign);
    let mut h = Histogram {
        schema: Histogram::CUSTOM,
        count: a.count + sign * b.count,
        sum: a.sum + sign * b.sum,
        custom_values: common,
        ..Histogram::default()
    };
    set_buckets(&mut h, &buckets, &Vec::new());
    h
}

/// The bounds that both have. Both lists are ascending.
pub fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut rest = b.iter().peekable();
    let mut common = Vec::new();
    for &x in a {
        while rest.next_if(|&&y| y < x).is_some() {}
        if rest.peek() == Some(&&x) {
            common.push(x);
        }
    }
    common
}

/// The buckets of `h`, which has explicit bounds, with fewer bounds.
pub fn rebound(h: &Histogram, to: &[f64]) -> Buckets {
    let mut buckets = Buckets::new();
    for (i, count) in positive(h) {
        let upper = bounds::custom(i, &h.custom_values);
        let index = to.partition_point(|&t| t < upper) as i32;
        match buckets.last_mut() {
            Some(last) if last.0 == index => last.1 += count,
            _ => buckets.push((index, count)),
        }
    }
    buckets
}

/// The buckets at a resolution that is `by` steps lower.
pub fn coarser(buckets: &Buckets, by: i32) -> Buckets {
    if by <= 0 {
        return buckets.clone();
    }
    let mut result = Buckets::new();
    for &(i, count) in buckets {
        let index = (i.saturating_sub(1) >> by.min(31)) + 1;
        match result.last_mut() {
            Some(last) if last.0 == index => last.1 += count,
            _ => result.push((index, count)),
        }
    }
    result
}

fn merged(a: &Buckets, b: &Buckets, sign: f64) -> Buckets {
    let mut result = Buckets::with_capacity(a.len().max(b.len()));
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let (x, y) = (a.get(i), b.get(j));
        match (x, y) {
            (Some(x), Some(y)) if x.0 == y.0 => {
                result.push((x.0, x.1 + sign * y.1));
                i += 1;
                j += 1;
            }
            (Some(x), y) if y.is_none_or(|y| x.0 < y.0) => {
                result.push(*x);
                i += 1;
            }
            (_, Some(y)) => {
                result.push((y.0, sign * y.1));
                j += 1;
            }
            (_, None) => break,
        }
    }
    result
}

/// Both histograms with the same zero threshold: the wider one, widened until it ends at the bound of every populated
/// bucket that it touches.
fn with_common_zero(a: &Histogram, b: &Histogram) -> (Histogram, Histogram) {
    let (mut a, mut b) = (a.clone(), b.clone());
    while a.zero_threshold != b.zero_threshold {
        let threshold = a.zero_threshold.max(b.zero_threshold);
        if threshold.is_nan() {
            break;
        }
        a = with_zero(&a, threshold);
        b = with_zero(&b, threshold);
    }
    (a, b)
}

/// The count of the zero bucket if it covers at least `threshold`, and where it then ends.
pub fn wider_zero(h: &Histogram, threshold: f64) -> (f64, f64) {
    if threshold == h.zero_threshold {
        return (h.zero_count, threshold);
    }
    let (positive, negative) = (positive(h), negative(h));
    let mut threshold = threshold;
    loop {
        let mut count = h.zero_count;
        let mut reached = threshold;
        for &(i, c) in positive.iter().chain(&negative) {
            if bounds::exponential(i.saturating_sub(1), h.schema) < threshold {
                count += c;
                reached = reached.max(bounds::exponential(i, h.schema));
            }
        }
        if reached == threshold {
            return (count, threshold);
        }
        threshold = reached;
    }
}

/// `h` with a zero bucket that covers at least `threshold`.
pub fn with_zero(h: &Histogram, threshold: f64) -> Histogram {
    if threshold == h.zero_threshold {
        return h.clone();
    }
    let (zero_count, zero_threshold) = wider_zero(h, threshold);
    let outside = |buckets: Buckets| -> Buckets {
        buckets.into_iter().filter(|b| bounds::exponential(b.0, h.schema) > zero_threshold).collect()
    };
    let (p, n) = (outside(positive(h)), outside(negative(h)));
    let mut wider = Histogram { zero_count, zero_threshold, ..h.clone() };
    set_buckets(&mut wider, &p, &n);
    wider
}

/// `h` at a lower resolution.
pub fn at_schema(h: &Histogram, schema: i32) -> Histogram {
    if is_custom(h) || schema >= h.schema {
        return h.clone();
    }
    let by = h.schema - schema;
    let (p, n) = (coarser(&positive(h), by), coarser(&negative(h), by));
    let mut lower = Histogram { schema, ..h.clone() };
    set_buckets(&mut lower, &p, &n);
    lower
}

/// Whether two histograms describe the same observations: equal layout and counts, regardless of hints.
pub fn equal(a: &Histogram, b: &Histogram) -> bool {
    // NaN in the same position is equal.
    let same = |x: f64, y: f64| x.to_bits() == y.to_bits() || x == y;
    let same_buckets = |x: Buckets, y: Buckets| {
        x.len() == y.len() && x.iter().zip(&y).all(|(x, y)| x.0 == y.0 && same(x.1, y.1))
    };
    a.schema == b.schema
        && same(a.count, b.count)
        && same(a.sum, b.sum)
        && a.custom_values == b.custom_values
        && (is_custom(a) || (a.zero_threshold == b.zero_threshold && same(a.zero_count, b.zero_count)))
        && same_buckets(positive(a), positive(b))
        && same_buckets(negative(a), negative(b))
}
