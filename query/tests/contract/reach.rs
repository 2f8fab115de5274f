//! How tight a bound is: the range of answers that other samples with the same buckets would give.
//!
//! The search replaces the samples of cut buckets by others for which every column that the function's bounds read (`Reads`)
//! stays the same. The number of samples and the first and last sample do not change. Gaps stay between the shortest and the
//! longest one. The search permutes either the values or the differences between neighbours; no difference exceeds the
//! bucket's step. Where sums or the growth are read, a series that never falls still never falls. The search starts from a
//! few extreme arrangements and climbs from each, once towards smaller and once towards larger answers.
//!
//! A bound that is much wider than the range found wastes what the buckets know. A bound that does not contain the range is
//! wrong.

mod arrangements;

use arrangements::{divided, extreme_times, extreme_values, nearest_extremes, summed};
use barograph_engine::rollup::Bucket;
use barograph_engine::rollup::sketch::{bounds, key};

use crate::bounds::Interval;
use crate::random::Random;
use crate::raw;
use crate::rows::{Case, Reads, Row};
use crate::series::Sample;
use crate::window::largest;

/// Moves that are tried in each direction.
const MOVES: usize = 400;

/// Samples that two values may be apart in the order by value for a move to exchange them.
const NEAR: u64 = 12;

/// A counter has at most one reset in this number of samples.
const SAMPLES_PER_RESET: u64 = 20;

/// What rounding may add to the difference of two values, relative to the largest value.
const ROUNDING: f64 = 8.0 * f64::EPSILON;

/// What it may then add to an answer.
const TOLERANCE: f64 = 1000.0 * ROUNDING;

/// The answers over other samples.
#[derive(Debug, Clone, Copy)]
pub struct Reached {
    /// The least answer.
    pub least: f64,
    /// The greatest answer.
    pub greatest: f64,
    /// What rounding may have added to them.
    tolerance: f64,
}

impl Reached {
    /// Whether a bound contains them.
    pub fn is_inside(&self, bound: &Interval) -> bool {
        bound.lo - self.tolerance <= self.least && self.greatest <= bound.hi + self.tolerance
    }
}

/// The samples of a cut bucket.
struct Part<'a> {
    bucket: &'a Bucket,
    /// Their indices in the series.
    from: usize,
    to: usize,
}

impl<'a> Part<'a> {
    fn of(bucket: &'a Bucket, samples: &[Sample]) -> Self {
        let before = |time: i64| samples.partition_point(|sample| sample.time < time);
        Part { bucket, from: before(bucket.first.time), to: before(bucket.last.time) + 1 }
    }
}

/// The least and the greatest answer of a row over other samples of the cut buckets.
pub fn reached(row: &Row, case: &Case<'_>, samples: &[Sample], random: &mut Random) -> Option<Reached> {
    if case.fold.cuts.is_empty() || !case.fold.cuts.iter().all(|cut| is_meant_for(row.reads, &cut.bucket)) {
        return None;
    }
    let parts = case.fold.cuts.iter().map(|cut| Part::of(&cut.bucket, samples)).collect();
    let search = Search { row, case, parts };
    let starts = search.starts(samples);
    let mut end = |sign: f64| {
        let found = starts.iter().filter_map(|start| Some((sign * search.answer(start)?, start)));
        let (answer, start) = found.max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(sign * search.climb(sign, answer, start.clone(), random))
    };
    let (least, greatest) = (end(-1.0)?, end(1.0)?);
    let scale = match row.reads {
        Reads::Extremes => case.fold.outer.as_ref().map_or(0.0, largest),
        Reads::Growth => {
            case.fold.outer.as_ref().map_or(0.0, |outer| largest(outer) + outer.lost.value().abs())
        }
        _ => least.abs().max(greatest.abs()),
    };
    let tolerance = if scale.is_finite() { TOLERANCE * scale } else { 0.0 };
    Some(Reached { least, greatest, tolerance })
}

/// Whether a function is one of such series. Gauges have no rate. Chunks of counters have no sums, and what only rises has
/// one order.
fn is_meant_for(reads: Reads, bucket: &Bucket) -> bool {
    match reads {
        Reads::Sums | Reads::Distribution => bucket.resets > 0 || bucket.changes == 0,
        Reads::Growth => bucket.resets * SAMPLES_PER_RESET <= bucket.count,
        Reads::Extremes | Reads::Events => true,
    }
}

fn values_of(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.value).collect()
}

struct Search<'a> {
    row: &'a Row,
    case: &'a Case<'a>,
    parts: Vec<Part<'a>>,
}

impl Search<'_> {
    fn answer(&self, samples: &[Sample]) -> Option<f64> {
        let within = |time: i64| samples.partition_point(|sample| sample.time <= time);
        let inside = &samples[within(self.case.start)..within(self.case.end)];
        (self.row.truth)(&Case { inside, ..*self.case }).filter(|answer| answer.is_finite())
    }

    /// Arrangements to start from: the samples as they are, and those with extreme distances or values.
    fn starts(&self, samples: &[Sample]) -> Vec<Vec<Sample>> {
        let mut all = vec![samples.to_vec()];
        if self.row.reads == Reads::Distribution {
            let ends = [|ends: (f64, f64)| ends.0, |ends: (f64, f64)| ends.1];
            all.extend(ends.map(|end| self.within_keys(samples, end)));
        }
        for part in &self.parts {
            let others = |start: &Vec<Sample>| self.extremes(part, start);
            let found: Vec<Vec<Sample>> = all.iter().flat_map(others).collect();
            all.extend(found);
        }
        all
    }

    /// Possible arrangements with extreme distances or values in a part.
    fn extremes(&self, part: &Part<'_>, samples: &[Sample]) -> Vec<Vec<Sample>> {
        let inside = &samples[part.from..part.to];
        let mut all_values = extreme_values(inside, part.bucket, self.row.reads);
        if self.row.reads == Reads::Extremes {
            all_values.extend(nearest_extremes(part.bucket));
        }
        let ends = [self.case.start, self.case.end];
        let cuts: Vec<i64> = ends
            .into_iter()
            .filter(|end| (part.bucket.first.time..part.bucket.last.time).contains(end))
            .collect();
        let mut found = Vec::new();
        for times in extreme_times(inside, part.bucket, &cuts) {
            let place = times.partition_point(|time| *time <= cuts.first().copied().unwrap_or_default());
            let divided = match self.row.reads {
                Reads::Sums if part.bucket.resets > 0 && inside.len() > 3 => {
                    divided(&values_of(inside), place)
                }
                _ => Vec::new(),
            };
            for values in all_values.iter().chain(&divided) {
                let placed = times.iter().zip(values).map(|(&time, &value)| Sample { time, value, start: 0 });
                let placed: Vec<Sample> = placed.collect();
                if self.is_possible(part, &placed) {
                    found.push([&samples[..part.from], &placed, &samples[part.to..]].concat());
                }
            }
        }
        found
    }

    /// The samples with each value, except for the extremes of a bucket, at one end of those that its distribution counts
    /// together.
    fn within_keys(&self, samples: &[Sample], end: fn((f64, f64)) -> f64) -> Vec<Sample> {
        let mut moved = samples.to_vec();
        for bucket in self.case.fold.parts.iter().chain(self.parts.iter().map(|part| part.bucket)) {
            let Part { from, to, .. } = Part::of(bucket, samples);
            for sample in &mut moved[from..to] {
                if bucket.min < sample.value && sample.value < bucket.max {
                    sample.value = end(bounds(key(sample.value))).clamp(bucket.min, bucket.max);
                }
            }
        }
        moved
    }

    /// Whether the samples of a bucket keep the columns that the row reads. Their times do.
    fn is_possible(&self, part: &Part<'_>, samples: &[Sample]) -> bool {
        let Bucket { step, min, max, changes, resets, .. } = *part.bucket;
        let found = raw::resets(samples);
        if self.row.reads == Reads::Events {
            return (changes, resets) == (raw::changes(samples), found.0);
        }
        let keeps_values = self.row.reads == Reads::Sums && resets > 0;
        let slack = if keeps_values { 0.0 } else { ROUNDING * largest(part.bucket) };
        let is_near = |pair: &[Sample]| (pair[1].value - pair[0].value).abs() <= step + slack;
        let fits = |sample: &Sample| min - slack <= sample.value && sample.value <= max + slack;
        let lost = part.bucket.lost.value();
        let has_lost = || resets == found.0 && (found.1.value() - lost).abs() <= ROUNDING * (lost + max);
        let has = |extreme: f64| samples.iter().any(|sample| (sample.value - extreme).abs() <= slack);
        let has_columns = || match self.row.reads {
            Reads::Sums if resets > 0 => true,
            Reads::Extremes => has(min) && has(max),
            _ => has_lost(),
        };
        let is_rest_kept = || samples.windows(2).all(is_near) && samples.iter().all(fits) && has_columns();
        self.row.reads == Reads::Distribution || is_rest_kept()
    }

    /// Moves to better arrangements, and returns the best answer. Larger ones are better, after multiplying by `sign`.
    fn climb(&self, sign: f64, mut best: f64, mut samples: Vec<Sample>, random: &mut Random) -> f64 {
        let mut tried = samples.clone();
        for _ in 0..MOVES {
            let part = &self.parts[random.below(self.parts.len() as u64) as usize];
            let inside = &mut tried[part.from..part.to];
            let gap =
                [self.case.start, self.case.end].map(|at| inside.partition_point(|sample| sample.time <= at));
            let cut = gap.into_iter().filter(|at| (1..inside.len()).contains(at)).min().unwrap_or(1);
            let has_differences =
                part.bucket.resets == 0 || matches!(self.row.reads, Reads::Growth | Reads::Events);
            match random.below(4) {
                0 => move_times(inside, random),
                1 if self.row.reads == Reads::Growth && random.percent(50) => move_runs(inside, random),
                1 if self.row.reads == Reads::Growth => move_one(inside, part.bucket, random),
                _ if has_differences => move_differences(inside, cut, random),
                _ => move_values(inside, cut, random),
            }
            let answer = if self.is_possible(part, inside) { self.answer(&tried) } else { None };
            match answer.map(|answer| sign * answer) {
                Some(answer) if answer >= best => {
                    best = answer;
                    samples[part.from..part.to].copy_from_slice(&tried[part.from..part.to]);
                }
                _ => tried[part.from..part.to].copy_from_slice(&samples[part.from..part.to]),
            }
        }
        best
    }
}

/// Exchanges two distances.
fn move_times(samples: &mut [Sample], random: &mut Random) {
    let mut gaps: Vec<i64> = samples.windows(2).map(|pair| pair[1].time - pair[0].time).collect();
    let [a, b] = [0; 2].map(|_| random.below(gaps.len() as u64) as usize);
    gaps.swap(a, b);
    let mut time = samples[0].time;
    for (sample, gap) in samples[1..].iter_mut().zip(gaps) {
        time += gap;
        sample.time = time;
    }
}

/// Exchanges two differences, one on each side of the cut, or any two.
fn move_differences(samples: &mut [Sample], cut: usize, random: &mut Random) {
    let (first, last) = (samples[0].value, samples[samples.len() - 1].value);
    let mut differences: Vec<f64> = samples.windows(2).map(|pair| pair[1].value - pair[0].value).collect();
    let n = differences.len() as u64;
    let (a, b) = match random.percent(70) {
        true => (random.below(cut.max(1) as u64), cut as u64 + random.below((n - cut as u64).max(1))),
        false => (random.below(n), random.below(n)),
    };
    differences.swap(a as usize, (b as usize).min(n as usize - 1));
    let values = summed(first, &differences, last);
    samples.iter_mut().zip(values).for_each(|(sample, value)| sample.value = value);
}

/// Moves what is between two resets, or some of that, to another place.
fn move_runs(samples: &mut [Sample], random: &mut Random) {
    let is_fall = |at: &usize| samples[*at].value < samples[*at - 1].value;
    let bounds: Vec<usize> = (1..samples.len()).filter(is_fall).collect();
    if bounds.len() < 3 {
        return;
    }
    let mut places = [0; 3].map(|_| bounds[random.below(bounds.len() as u64) as usize]);
    places.sort_unstable();
    let [a, b, c] = places;
    let mut values: Vec<f64> = samples[a..c].iter().map(|sample| sample.value).collect();
    values.rotate_left(b - a);
    samples[a..c].iter_mut().zip(values).for_each(|(sample, value)| sample.value = value);
}

/// Changes one value that no reset follows.
fn move_one(samples: &mut [Sample], bucket: &Bucket, random: &mut Random) {
    if samples.len() < 3 {
        return;
    }
    let at = random.between(1, samples.len() as i64 - 1) as usize;
    let [before, value, after] = [at - 1, at, at + 1].map(|at| samples[at].value);
    let (lo, hi) = match value < before {
        true => (bucket.min.max(before - bucket.step), before.min(after)),
        false => (before, after),
    };
    let between = lo + (hi - lo) * random.unit();
    samples[at].value = random.pick(&[lo, hi, between]);
}

/// Exchanges two inner values, reverses those between two places, or moves them to a third one. Mostly the values there
/// are near each other, so that the step is likely kept.
fn move_values(samples: &mut [Sample], cut: usize, random: &mut Random) {
    let n = samples.len();
    if n < 4 {
        return;
    }
    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    let any = |random: &mut Random| random.between(1, n as i64 - 1) as usize;
    let mut places = [0; 3].map(|_| any(random));
    if random.percent(60) {
        let mut by_value: Vec<usize> = (1..n - 1).collect();
        by_value.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        let rank = random.below(by_value.len() as u64);
        places = [0; 3].map(|_| {
            let near = (rank + random.below(NEAR)).saturating_sub(NEAR / 2);
            by_value[near.min(by_value.len() as u64 - 1) as usize]
        });
    } else if random.percent(50) {
        places[0] = random.between(1, (cut as i64).clamp(2, n as i64 - 1)) as usize;
        places[1] = random.between((cut as i64).clamp(1, n as i64 - 2), n as i64 - 1) as usize;
    }
    places.sort_unstable();
    let [a, b, c] = places;
    let mut inner = values;
    match random.below(4) {
        0 => inner.swap(a, c),
        1 => inner[a..=c].reverse(),
        2 => inner[a..c].reverse(),
        _ => inner[a..c].rotate_left(b - a),
    }
    samples.iter_mut().zip(inner).for_each(|(sample, value)| sample.value = value);
}
