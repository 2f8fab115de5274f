//! How much of a bound the samples could reach: the answers over other orders of the samples of cut buckets.
//!
//! The first and the last sample of a bucket stay where they are. Between them, either the values are reordered, or the
//! differences of neighbours; and the distances in time. So most columns of the bucket stay the same, and the answer
//! could be that of any of these orders. Bounds that are much wider than the answers say less than buckets know.

use crate::random::Random;
use crate::rows::{Case, Reorder, Row};
use crate::series::Sample;

/// Random orders of each bucket.
const SHUFFLES: usize = 4;

/// Pairs of orders that are tried if two buckets are cut.
const PAIRS: usize = 80;

/// The least and the greatest answer of a row over other orders of the cut buckets.
pub fn reached(row: &Row, case: &Case<'_>, samples: &[Sample], random: &mut Random) -> Option<(f64, f64)> {
    let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut try_order = |inside: &[Sample]| {
        if let Some(answer) = (row.truth)(&Case { inside, ..*case }) {
            (least, greatest) = (least.min(answer), greatest.max(answer));
        }
    };
    let spans: Vec<(usize, usize)> = case
        .fold
        .cuts
        .iter()
        .map(|cut| {
            let at = |time: i64| samples.partition_point(|sample| sample.time < time);
            (at(cut.bucket.first.time), at(cut.bucket.last.time) + 1)
        })
        .collect();
    let orders: Vec<Vec<Vec<Sample>>> =
        spans.iter().map(|&(from, to)| orders(&samples[from..to], case, row.reorder, random)).collect();
    let mut changed = samples.to_vec();
    let mut place = |choice: &[&Vec<Sample>]| {
        for (order, &(from, to)) in choice.iter().zip(&spans) {
            changed[from..to].copy_from_slice(order);
        }
        let within = |time: i64| changed.partition_point(|sample| sample.time <= time);
        try_order(&changed[within(case.start)..within(case.end)]);
    };
    match orders.as_slice() {
        [only] => only.iter().for_each(|order| place(&[order])),
        [left, right] => {
            for at in 0..left.len().min(right.len()) {
                place(&[&left[at], &right[at]]);
                place(&[&left[at], &right[(at ^ 1).min(right.len() - 1)]]);
            }
            for _ in 0..PAIRS {
                let pick =
                    |orders: &[Vec<Sample>], random: &mut Random| random.below(orders.len() as u64) as usize;
                let (i, j) = (pick(left, random), pick(right, random));
                place(&[&left[i], &right[j]]);
            }
        }
        _ => return None,
    }
    (least <= greatest).then_some((least, greatest))
}

/// Orders of the samples of one bucket.
fn orders(bucket: &[Sample], case: &Case<'_>, reorder: Reorder, random: &mut Random) -> Vec<Vec<Sample>> {
    let times: Vec<i64> = bucket.iter().map(|sample| sample.time).collect();
    let values: Vec<f64> = bucket.iter().map(|sample| sample.value).collect();
    let gaps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut all = Vec::new();
    for gaps in arranged(&gaps, |a, b| a.cmp(b), random) {
        let mut time = times[0];
        let times: Vec<i64> = std::iter::once(time)
            .chain(gaps.iter().map(|gap| {
                time += gap;
                time
            }))
            .collect();
        let inside = |time: &i64| *time > case.start && *time <= case.end;
        let next_to_cut = [times.iter().position(inside), times.iter().rposition(inside)];
        for values in reordered(&values, reorder, next_to_cut, random) {
            let sample = |(&time, value): (&i64, f64)| Sample { time, value, start: 0 };
            all.push(times.iter().zip(values).map(sample).collect());
        }
    }
    all
}

/// The values in other orders, the first and the last one in their places.
fn reordered(
    values: &[f64],
    reorder: Reorder,
    next_to_cut: [Option<usize>; 2],
    random: &mut Random,
) -> Vec<Vec<f64>> {
    let last = values.len() - 1;
    if reorder == Reorder::Differences {
        let differences: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let summed = |differences: Vec<f64>| {
            let mut at = values[0];
            let mut values: Vec<f64> = std::iter::once(at)
                .chain(differences.iter().map(|difference| {
                    at += difference;
                    at
                }))
                .collect();
            values[last] = *values.last().unwrap_or(&at);
            values
        };
        return arranged(&differences, f64::total_cmp, random).into_iter().map(summed).collect();
    }
    let with_ends = |inner: Vec<f64>| [&values[..1], &inner, &values[last..]].concat();
    let mut all: Vec<Vec<f64>> =
        arranged(&values[1..last], f64::total_cmp, random).into_iter().map(with_ends).collect();
    // The extremes next to the cut.
    for place in next_to_cut.into_iter().flatten().filter(|&place| place > 0 && place < last) {
        for sign in [1.0, -1.0] {
            let inner = (1..last).max_by(|&a, &b| (sign * values[a]).total_cmp(&(sign * values[b])));
            let mut swapped = values.to_vec();
            inner.into_iter().for_each(|inner| swapped.swap(inner, place));
            all.push(swapped);
        }
    }
    all
}

/// Ascending, descending, as they are, and at random.
fn arranged<T: Copy>(
    items: &[T],
    order: impl Fn(&T, &T) -> std::cmp::Ordering,
    random: &mut Random,
) -> Vec<Vec<T>> {
    let mut ascending = items.to_vec();
    ascending.sort_by(order);
    let descending = ascending.iter().rev().copied().collect();
    let mut all = vec![ascending, descending, items.to_vec()];
    for _ in 0..SHUFFLES {
        let mut shuffled = items.to_vec();
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, random.below(at as u64 + 1) as usize);
        }
        all.push(shuffled);
    }
    all
}
