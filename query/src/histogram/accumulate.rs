//! Running sums and means of histograms, with compensated summation of every count.

use std::sync::Arc;

use barograph_engine::model::{Histogram, ResetHint};
use barograph_engine::rollup::HistogramSum;

use super::arithmetic::{common_bounds, divided, joint_hint, plus, with_zero};
use super::{Buckets, bounds, is_custom, negative, positive, set_buckets};
use crate::annotations::flags::Flags;
use crate::numbers::compensated::Sum;

type Sums = Vec<(i32, Sum)>;

/// Below this magnitude, no sum of two values can overflow.
const SAFE: f64 = f64::MAX / 4.0;

/// The sum of the added histograms, or their mean.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accumulator {
    layout: Histogram,
    count: Sum,
    sum: Sum,
    zero: Sum,
    positive: Sums,
    negative: Sums,
    added: f64,
    /// Whether the mean is updated with every histogram, because the sum would overflow.
    incremental: bool,
    mixed_buckets: bool,
    saw_reset: bool,
    saw_no_reset: bool,
    reconciled: bool,
}

impl Accumulator {
    /// Adds a histogram to a sum.
    pub fn add(&mut self, h: &Histogram) {
        if self.admit(h) {
            self.plus(h);
        }
    }

    /// Adds a histogram to a mean or to a sum.
    pub fn accumulate(&mut self, h: &Histogram, mean: bool) {
        if mean { self.add_to_mean(h) } else { self.add(h) }
    }

    /// Adds a histogram to a mean.
    pub fn add_to_mean(&mut self, h: &Histogram) {
        if !self.admit(h) {
            return;
        }
        if !self.incremental {
            if self.added == 1.0 || (largest(h) < SAFE && self.largest() < SAFE) {
                self.plus(h);
                return;
            }
            let mut trial = self.clone();
            trial.plus(h);
            if trial.largest().is_finite() {
                *self = trial;
                return;
            }
            self.incremental = true;
            self.scale(1.0 / (self.added - 1.0));
        }
        self.scale((self.added - 1.0) / self.added);
        self.plus(&divided(h, self.added));
    }

    /// Counts a histogram. Returns false if its buckets are of the other kind.
    fn admit(&mut self, h: &Histogram) -> bool {
        self.saw_reset |= h.reset_hint == ResetHint::Reset;
        self.saw_no_reset |= h.reset_hint == ResetHint::NotReset;
        if self.added == 0.0 {
            self.layout = Histogram {
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                custom_values: h.custom_values.clone(),
                reset_hint: h.reset_hint,
                ..Histogram::default()
            };
        }
        self.added += 1.0;
        self.mixed_buckets |= is_custom(&self.layout) != is_custom(h);
        !self.mixed_buckets
    }

    fn plus(&mut self, h: &Histogram) {
        self.layout.reset_hint = super::arithmetic::joint_hint(self.layout.reset_hint, h.reset_hint).0;
        self.count = self.count.add(h.count);
        self.sum = self.sum.add(h.sum);
        if is_custom(h) {
            self.plus_custom(h);
            return;
        }
        let widened;
        let mut h = h;
        if h.zero_threshold != self.layout.zero_threshold {
            widened = self.meet_zero(h);
            h = &widened;
        }
        let schema = h.schema.min(self.layout.schema);
        let lower_by = self.layout.schema - schema;
        if lower_by > 0 {
            let index = |i: i32| (i.saturating_sub(1) >> lower_by.min(31)) + 1;
            regroup(&mut self.positive, index);
            regroup(&mut self.negative, index);
            self.layout.schema = schema;
        }
        self.zero = self.zero.add(h.zero_count);
        let by = h.schema - schema;
        merge(&mut self.positive, &super::arithmetic::coarser(&positive(h), by));
        merge(&mut self.negative, &super::arithmetic::coarser(&negative(h), by));
    }

    fn plus_custom(&mut self, h: &Histogram) {
        if h.custom_values != self.layout.custom_values {
            self.reconciled = true;
            let common = common_bounds(&self.layout.custom_values, &h.custom_values);
            let old = std::mem::replace(&mut self.layout.custom_values, common);
            let to = &self.layout.custom_values;
            regroup(&mut self.positive, |i| {
                let upper = bounds::custom(i, &old);
                to.partition_point(|&t| t < upper) as i32
            });
        }
        merge(&mut self.positive, &super::arithmetic::rebound(h, &self.layout.custom_values));
    }

    /// Widens both zero buckets until they are equal. Returns `h` with its zero bucket widened.
    fn meet_zero(&mut self, h: &Histogram) -> Histogram {
        let mut h = h.clone();
        while h.zero_threshold != self.layout.zero_threshold {
            let threshold = h.zero_threshold.max(self.layout.zero_threshold);
            if threshold.is_nan() {
                break;
            }
            h = with_zero(&h, threshold);
            let own = with_zero(&self.totals(), threshold);
            self.layout.zero_threshold = own.zero_threshold;
            let schema = self.layout.schema;
            for side in [&mut self.positive, &mut self.negative] {
                side.retain(|(i, s)| {
                    let outside = bounds::exponential(*i, schema) > own.zero_threshold;
                    if !outside {
                        self.zero = self.zero.add(s.sum).add(s.error);
                    }
                    outside
                });
            }
        }
        h
    }

    fn all(&self) -> impl Iterator<Item = &Sum> {
        let sides = self.positive.iter().chain(&self.negative).map(|(_, s)| s);
        [&self.count, &self.sum, &self.zero].into_iter().chain(sides)
    }

    fn largest(&self) -> f64 {
        self.all().fold(0.0, |m, s| m.max(s.sum.abs()))
    }

    fn scale(&mut self, by: f64) {
        let sides = self.positive.iter_mut().chain(&mut self.negative).map(|(_, s)| s);
        for s in [&mut self.count, &mut self.sum, &mut self.zero].into_iter().chain(sides) {
            s.sum *= by;
            s.error *= by;
        }
    }

    fn totals(&self) -> Histogram {
        let mut h = Histogram {
            count: self.count.total(),
            sum: self.sum.total(),
            zero_count: self.zero.total(),
            ..self.layout.clone()
        };
        let side = |sums: &Sums| -> Buckets { sums.iter().map(|(i, s)| (*i, s.total())).collect() };
        set_buckets(&mut h, &side(&self.positive), &side(&self.negative));
        h
    }

    /// The sum or, with `mean`, the mean; `None` if buckets of both kinds were added.
    pub fn finish(self, mean: bool, flags: &mut Flags) -> Option<Histogram> {
        if self.saw_reset && self.saw_no_reset {
            flags.raise(Flags::RESET_CONFLICT_AGG);
        }
        if self.mixed_buckets {
            flags.raise(Flags::MIXED_BUCKETS);
            return None;
        }
        if self.reconciled {
            flags.raise(Flags::RECONCILED_AGG);
        }
        let h = self.totals();
        Some(if mean && !self.incremental { divided(&h, self.added) } else { h })
    }
}

/// The sum of histograms, or their mean; `None` if they have buckets of both kinds. Each count is rounded once, wherever
/// they are divided into buckets of a tier.
pub(crate) fn sum_or_mean_of(all: &[Arc<Histogram>], mean: bool, flags: &mut Flags) -> Option<Histogram> {
    let Some(totals) = HistogramSum::of(all).totals() else {
        let mut total = Accumulator::default();
        all.iter().for_each(|h| total.accumulate(h, mean));
        return total.finish(mean, flags);
    };
    let has = |hint: ResetHint| all.iter().any(|h| h.reset_hint == hint);
    if has(ResetHint::Reset) && has(ResetHint::NotReset) {
        flags.raise(Flags::RESET_CONFLICT_AGG);
    }
    let hint = all.iter().map(|h| h.reset_hint).reduce(|all, hint| joint_hint(all, hint).0)?;
    let h = sum_or_mean_of_layouts(totals, mean.then_some(all.len() as f64), flags)?;
    Some(Histogram { reset_hint: hint, ..h })
}

/// The sum of the sums of several layouts, divided by `count` if there is one. Without a hint.
pub(crate) fn sum_or_mean_of_layouts(
    totals: Vec<Histogram>,
    count: Option<f64>,
    flags: &mut Flags,
) -> Option<Histogram> {
    let mut totals = totals.into_iter();
    let mut sum = totals.next()?;
    for other in totals {
        let Some((both, reconciled)) = plus(&sum, &other, 1.0) else {
            flags.raise(Flags::MIXED_BUCKETS);
            return None;
        };
        if reconciled {
            flags.raise(Flags::RECONCILED_AGG);
        }
        sum = both;
    }
    Some(match count {
        Some(count) => divided(&sum, count),
        None => sum,
    })
}

/// The largest magnitude of a count or sum in a histogram.
fn largest(h: &Histogram) -> f64 {
    let all = h.positive_buckets.iter().chain(&h.negative_buckets).chain([&h.count, &h.sum, &h.zero_count]);
    all.fold(0.0, |m, v| m.max(v.abs()))
}

/// Renumbers buckets; the new indices never decrease. Buckets that get the same index are added.
fn regroup(sums: &mut Sums, index: impl Fn(i32) -> i32) {
    let mut result = Sums::with_capacity(sums.len());
    for &(i, s) in sums.iter() {
        let i = index(i);
        match result.last_mut() {
            Some(last) if last.0 == i => last.1 = last.1.add(s.sum).add(s.error),
            _ => result.push((i, s)),
        }
    }
    *sums = result;
}

/// Adds buckets. Both lists are ascending.
fn merge(sums: &mut Sums, buckets: &Buckets) {
    let same = sums.len() == buckets.len() && sums.iter().zip(buckets).all(|(s, b)| s.0 == b.0);
    if same {
        sums.iter_mut().zip(buckets).for_each(|(s, b)| s.1 = s.1.add(b.1));
        return;
    }
    for &(i, count) in buckets {
        match sums.binary_search_by_key(&i, |s| s.0) {
            Ok(place) => sums[place].1 = sums[place].1.add(count),
            Err(place) => sums.insert(place, (i, Sum { sum: count, error: 0.0 })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(count: f64, buckets: &[(i32, f64)]) -> Histogram {
        let mut h = Histogram { count, ..Histogram::default() };
        set_buckets(&mut h, &buckets.to_vec(), &Vec::new());
        h
    }

    #[test]
    fn every_count_is_compensated() {
        let mut a = Accumulator::default();
        for v in [1.0, 1e100, 1.0, -1e100] {
            a.add(&of(v, &[(1, v), (3, 1.0)]));
        }
        let h = a.finish(false, &mut Flags::default()).unwrap();
        assert_eq!((h.count, positive(&h)), (2.0, vec![(1, 2.0), (3, 4.0)]));
    }

    #[test]
    fn a_mean_survives_a_sum_that_overflows() {
        let mut a = Accumulator::default();
        for _ in 0..4 {
            a.add_to_mean(&of(1e308, &[(1, 1e308)]));
        }
        let h = a.finish(true, &mut Flags::default()).unwrap();
        assert!((h.count / 1e308 - 1.0).abs() < 1e-12);
    }
}
