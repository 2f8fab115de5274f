//! The samples of a cut bucket on both sides of the cut: what they add up to, and how far they are from each other.
//!
//! Values are counted from an origin near them, so that rounding is relative to their distances and not to the values.

use barograph_engine::rollup::{Bucket, ExactSum};

use super::cut::Cut;
use super::margin;

/// The sum of a bucket's values less `origin` each, rounded once.
pub(crate) fn sum_from(origin: f64, bucket: &Bucket) -> f64 {
    let mut sum = ExactSum::product(-origin, bucket.count);
    sum.merge(&bucket.sum);
    sum.value()
}

/// A cut bucket whose values are plain, less an origin.
#[derive(Debug)]
pub(crate) struct Divided {
    count: f64,
    /// The sum of all values.
    pub total: f64,
    /// The sum of the squares of their distances from the mean.
    pub m2: f64,
    /// The end inside and the end outside, unless both are outside.
    ends: Option<(f64, f64)>,
    /// The sum of the first and the last value.
    both_ends: f64,
    min: f64,
    max: f64,
    step: f64,
}

/// The samples on one side of a cut.
#[derive(Debug)]
pub(crate) struct Sided {
    /// Their number.
    pub n: f64,
    /// The value of one of them.
    known: Option<f64>,
    /// The least that one may have.
    pub min: f64,
    /// The greatest that one may have.
    pub max: f64,
    /// The largest difference of neighbours. Infinite if they are not neighbours.
    step: f64,
}

impl Divided {
    pub fn of(cut: &Cut<'_>, origin: f64) -> Self {
        let Bucket { count, first, last, min, max, m2, m2_rest, .. } = cut.bucket;
        Divided {
            count: *count as f64,
            total: sum_from(origin, cut.bucket),
            m2: m2 + m2_rest,
            ends: cut.ends().map(|(inside, outside)| (inside - origin, outside - origin)),
            both_ends: (first.value - origin) + (last.value - origin),
            min: min - origin,
            max: max - origin,
            step: cut.step(),
        }
    }

    /// The sum of the samples inside if they are `k`, and the most likely sum.
    pub fn sum(&self, k: u64) -> ((f64, f64), f64) {
        let Divided { count, total, ends, min, max, .. } = *self;
        let (k, others) = (k as f64, count - k as f64);
        // Of the samples other than the two ends, `free` are inside.
        let (known, free) = ends.map_or((0.0, k), |(inside, _)| (inside, k - 1.0));
        let (rest, left_out) = (total - self.both_ends, count - 2.0 - free);
        let (mut lo, mut hi) = self.sum_by_spread(k);
        lo = lo.max(known + (free * min).max(rest - left_out * max));
        hi = hi.min(known + (free * max).min(rest - left_out * min));
        if let Some((inside, outside)) = ends.filter(|_| self.step.is_finite()) {
            let apart = |k: f64| self.step * k * (k - 1.0) / 2.0;
            lo = lo.max(k * inside - apart(k)).max(total - others * outside - apart(others));
            hi = hi.min(k * inside + apart(k)).min(total - others * outside + apart(others));
        }
        let mean = if count > 2.0 { rest / (count - 2.0) } else { 0.0 };
        let slack = margin(count * min.abs().max(max.abs()));
        ((lo - slack, hi.max(lo) + slack), known + free * mean)
    }

    /// The least and the greatest sum of `k` samples inside that the spread of all allows. That between both sides of the
    /// cut is a part of it. Another one, on each side, is at least that between the known end and the mean of the others
    /// there. Each is a weight times the square of the distance of the sum from where that part is zero.
    fn sum_by_spread(&self, k: f64) -> (f64, f64) {
        let Divided { count, total, m2, ends, .. } = *self;
        let others = count - k;
        let nothing = (f64::NEG_INFINITY, f64::INFINITY);
        if k == 0.0 || others == 0.0 {
            return nothing;
        }
        let on_one_side = |n: f64, sum: f64| if n > 1.0 { (1.0 / (n * (n - 1.0)), sum) } else { (0.0, sum) };
        let of_ends = ends.map(|(inside, outside)| {
            [on_one_side(k, k * inside), on_one_side(others, total - others * outside)]
        });
        let between = (count / (k * others), k * total / count);
        let squares = || std::iter::once(between).chain(of_ends.into_iter().flatten());
        let weight: f64 = squares().map(|(weight, _)| weight).sum();
        let center = squares().map(|(weight, zero)| weight * zero).sum::<f64>() / weight;
        let least: f64 = squares().map(|(weight, zero)| weight * (zero - center) * (zero - center)).sum();
        // Squares may overflow, and those of small numbers are zero. That of a spread that was not read is zero too.
        if !(m2.is_finite() && least.is_finite() && m2 > f64::MIN_POSITIVE / f64::EPSILON) {
            return nothing;
        }
        // Rounding is relative to the squares, of which the root is taken.
        let slack = margin(1.0).sqrt() * count * (self.max - self.min);
        let far = ((m2 - least).max(0.0) / weight).sqrt() + slack;
        (center - far, center + far)
    }

    /// The samples inside if they are `k`, and those outside.
    pub fn sides(&self, k: u64) -> (Sided, Sided) {
        let side = |n: f64, known: Option<f64>| {
            let Divided { mut min, mut max, .. } = *self;
            // Neighbours begin at a known end. They do inside of a bucket that is cut twice, too, but the others do not.
            let step = if known.is_some() { self.step } else { f64::INFINITY };
            if let Some(known) = known.filter(|_| step.is_finite()) {
                let reach = step * (n - 1.0);
                (min, max) = (min.max(known - reach), max.min(known + reach));
            }
            Sided { n, known, min, max, step }
        };
        let k = k as f64;
        (side(k, self.ends.map(|ends| ends.0)), side(self.count - k, self.ends.map(|ends| ends.1)))
    }
}

impl Sided {
    /// The sum of the squares of the distances from the mean, which is between limits, at least and at most.
    pub fn m2(&self, (lo, hi): (f64, f64)) -> (f64, f64) {
        let Sided { n, known, min, max, step } = *self;
        if n <= 1.0 {
            return (0.0, 0.0);
        }
        // The others are nearest to each other if they are equal.
        let off = known.map_or(0.0, |known| (lo - known).max(known - hi).max(0.0));
        // They are farthest from each other at the ends of their range (Bhatia and Davis), or if each is a step from its
        // neighbour: the squares of the distances of all pairs add up to n times those from the mean.
        let mean = (min / 2.0 + max / 2.0).max(lo).min(hi);
        let apart = ((max - mean) * (mean - min)).max(0.0) * n;
        let line = if step.is_finite() { step * step * n * (n * n - 1.0) / 12.0 } else { f64::INFINITY };
        (off * off * n / (n - 1.0), apart.min(line))
    }
}

#[cfg(test)]
mod tests {
    use barograph_engine::rollup::{Builder, Extras};

    use super::*;

    /// A bucket of samples 10 ns apart.
    fn bucket(values: &[f64]) -> Bucket {
        let times: Vec<i64> = (1..=values.len() as i64).map(|at| at * 10).collect();
        let (mut builder, mut out) = (Builder::new(1_000_000, Extras::ALL), Vec::new());
        builder.extend(&times, values, &[], &mut out);
        builder.finish(&mut out);
        out.remove(0)
    }

    fn m2_of(values: &[f64]) -> f64 {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| (value - mean) * (value - mean)).sum()
    }

    fn check(values: &[f64], origin: f64) {
        let bucket = bucket(values);
        let less: Vec<f64> = values.iter().map(|value| value - origin).collect();
        let sum = |values: &[f64]| values.iter().sum::<f64>();
        let n = values.len();
        for k in 1..n {
            let at = bucket.first.time + 10 * k as i64;
            for (cut, (outside, inside)) in [
                (Cut::left(&bucket, at - 5), less.split_at(k)),
                (Cut::right(&bucket, at - 5), (&less[k..], &less[..k])),
            ] {
                let divided = Divided::of(&cut, origin);
                let count = inside.len() as u64;
                let ((lo, hi), _) = divided.sum(count);
                assert!(
                    lo <= sum(inside) && sum(inside) <= hi,
                    "{k} of {values:?}: {}, {lo}..{hi}",
                    sum(inside)
                );
                let (of_inside, of_outside) = divided.sides(count);
                for (side, values) in [(of_inside, inside), (of_outside, outside)] {
                    let mean = sum(values) / values.len() as f64;
                    let slack = 1e-9 * divided.m2;
                    let ((least, most), found) = (side.m2((mean, mean)), m2_of(values));
                    assert!(least <= found + slack && found <= most + slack, "{k}: {found}, {least}..{most}");
                }
            }
        }
    }

    #[test]
    fn sums_and_spreads_of_both_sides_are_within_their_bounds() {
        let rising: Vec<f64> = (0..20).map(f64::from).collect();
        let noise: Vec<f64> = (0..20).map(|at| f64::from(at * 7919 % 101)).collect();
        let peak: Vec<f64> = (0..20).map(|at| if at == 11 { 1e3 } else { f64::from(at % 3) }).collect();
        let far: Vec<f64> = noise.iter().map(|value| 1e6 + value).collect();
        for values in [&rising, &noise, &peak, &far] {
            check(values, values[0]);
            check(values, 0.0);
        }
    }

    #[test]
    fn the_spread_of_all_limits_sums() {
        let mut values = [0.0; 20];
        (values[4], values[13]) = (10.0, -10.0);
        let bucket = bucket(&values);
        let (lo, hi) = Divided::of(&Cut::left(&bucket, bucket.first.time + 95), 0.0).sum(10).0;
        // Their squares add up to 200. Extremes alone would allow ten times 10 inside, but for the end.
        let most = (200.0 * 10.0 * 10.0 / 20.0f64).sqrt() + 0.01;
        assert!(lo >= -most && hi <= most, "{lo}..{hi}");
    }
}
