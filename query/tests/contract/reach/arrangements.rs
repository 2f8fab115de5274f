//! Arrangements that the search starts from: extreme times and values of the samples of a bucket.

use barograph_engine::rollup::Bucket;

use crate::rows::Reads;
use crate::series::Sample;

/// The times as they are, and others with the same ends, number, shortest and longest distance: short distances first, and
/// last, and long ones around a cut, where they begin right before it or end right after it.
pub fn extreme_times(samples: &[Sample], bucket: &Bucket, cuts: &[i64]) -> Vec<Vec<i64>> {
    let (count, short, long) = (bucket.count as i64 - 1, bucket.gaps.min, bucket.gaps.max);
    let (first, last) = (bucket.first.time, bucket.last.time);
    let as_they_are = samples.iter().map(|sample| sample.time).collect();
    if short >= long || short <= 0 {
        return vec![as_they_are];
    }
    let longer = (last - first - count * short) / (long - short);
    let rest = last - first - count * short - longer * (long - short);
    // The number of short distances, beside one that is neither short nor long.
    let shorter = (count - longer - i64::from(rest > 0)).max(0);
    let times = |before: i64, is_reversed: bool| {
        let after = (shorter - before).max(0);
        let runs = [(before, short), (longer, long), (i64::from(rest > 0), short + rest), (after, short)];
        let mut gaps: Vec<i64> =
            runs.iter().flat_map(|&(times, gap)| std::iter::repeat_n(gap, times as usize)).collect();
        if is_reversed {
            gaps.reverse();
        }
        let after = gaps.iter().scan(first, |time, gap| {
            *time += gap;
            Some(*time)
        });
        std::iter::once(first).chain(after).collect()
    };
    let mut all = vec![as_they_are, times(shorter, false), times(shorter, true)];
    for cut in cuts {
        let short_until = |time: i64, from: i64| ((time - from).abs() / short).clamp(0, shorter);
        all.push(times(short_until(*cut, first), false));
        all.push(times(short_until(cut - long, first).min(short_until(*cut, first)), false));
        all.push(times(short_until(*cut, last), true));
        all.push(times(short_until(cut + long, last).min(short_until(*cut, last)), true));
    }
    all
}

/// The values as they are, and others: the inner values, or all differences, ascending and descending, or from the middle
/// outwards. What rises may also do so in few steps, early or late.
pub fn extreme_values(samples: &[Sample], bucket: &Bucket, reads: Reads) -> Vec<Vec<f64>> {
    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    let (first, last, n) = (values[0], values[values.len() - 1], values.len() - 1);
    let both = |mut items: Vec<f64>| {
        items.sort_by(f64::total_cmp);
        [items.clone(), items.into_iter().rev().collect()]
    };
    let differences = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let summed = |differences: Vec<f64>| summed(first, &differences, last);
    if bucket.resets > 0 && !matches!(reads, Reads::Growth | Reads::Events) {
        let inner = both(values[1..n].to_vec());
        let middle = inner[0].get(n / 2).copied().unwrap_or(first);
        let mut outwards = inner[0].clone();
        outwards.sort_by(|a, b| (a - middle).abs().total_cmp(&(b - middle).abs()));
        let inwards = outwards.iter().rev().copied().collect();
        let with_ends = |inner: Vec<f64>| [&values[..1], &inner, &values[n..]].concat();
        let mut all: Vec<Vec<f64>> = inner.into_iter().chain([outwards, inwards]).map(with_ends).collect();
        all.push(values);
        return all;
    }
    let mut all = both(differences).map(summed).to_vec();
    if bucket.resets == 0 && bucket.step > 0.0 {
        let grown = |at: usize| (last - first - at as f64 * bucket.step).clamp(0.0, bucket.step);
        all.extend(both((0..n).map(grown).collect()).map(summed));
    }
    all.push(values);
    all
}

/// Values from the first one on with these differences; the last one is known.
pub fn summed(first: f64, differences: &[f64], last: f64) -> Vec<f64> {
    let mut at = first;
    let inner = differences[..differences.len() - 1].iter().map(|difference| {
        at += difference;
        at
    });
    std::iter::once(first).chain(inner).chain([last]).collect()
}

/// Values that are as near the least or the greatest one as the ends and the step of a bucket allow.
pub fn nearest_extremes(bucket: &Bucket) -> [Vec<f64>; 2] {
    let Bucket { first, last, min, max, step, count, .. } = bucket;
    let steps = |from: u64, to: u64| from.abs_diff(to) as f64 * step;
    let ends = |at: u64| [(first.value, steps(at, 0)), (last.value, steps(at, count - 1))];
    let lowest = |at: u64| ends(at).iter().map(|(end, reach)| end - reach).fold(*min, f64::max);
    let highest = |at: u64| ends(at).iter().map(|(end, reach)| end + reach).fold(*max, f64::min);
    let all = |inner: &dyn Fn(u64) -> f64| {
        let inner = (1..count - 1).map(inner);
        std::iter::once(first.value).chain(inner).chain([last.value]).collect()
    };
    [all(&lowest), all(&highest)]
}

/// The inner values so that those before `place` are neighbours in the order by value, or those from it on are. Each is
/// near the one before it, so that the step is likely kept.
pub fn divided(values: &[f64], place: usize) -> Vec<Vec<f64>> {
    let n = values.len();
    let (first, last) = (values[0], values[n - 1]);
    let mut inner = values[1..n - 1].to_vec();
    inner.sort_by(f64::total_cmp);
    let before = place.clamp(1, n - 1) - 1;
    let mut all = Vec::new();
    for together in [before, inner.len() - before] {
        let last_from = inner.len() - together;
        for quarter in 0..=4 {
            let from = last_from * quarter / 4;
            let (run, others) =
                (inner[from..from + together].to_vec(), [&inner[..from], &inner[from + together..]].concat());
            let (left, right) = if together == before { (run, others) } else { (others, run) };
            let toward = right.get(right.len() / 2).copied().unwrap_or(last);
            let left = tour(&left, first, toward);
            let right = tour(&right, left.last().copied().unwrap_or(first), last);
            all.push([&[first], left.as_slice(), &right, &[last]].concat());
        }
    }
    all
}

/// Values in ascending order, in an order that begins near one number and ends near another: beyond these, every other
/// value on the way out and the rest on the way back.
fn tour(sorted: &[f64], from: f64, to: f64) -> Vec<f64> {
    if from > to {
        let mut back = tour(sorted, to, from);
        back.reverse();
        return back;
    }
    let below = sorted.partition_point(|&value| value < from);
    let above = sorted.partition_point(|&value| value <= to).max(below);
    let (low, middle, high) = (&sorted[..below], &sorted[below..above], &sorted[above..]);
    let mut out: Vec<f64> = low.iter().rev().step_by(2).copied().collect();
    let mut back: Vec<f64> = low.iter().rev().skip(1).step_by(2).copied().collect();
    back.reverse();
    out.extend(back);
    out.extend(middle);
    out.extend(high.iter().step_by(2));
    let mut back: Vec<f64> = high.iter().skip(1).step_by(2).copied().collect();
    back.reverse();
    out.extend(back);
    out
}
