//! The bound of the variance of a window that cuts buckets.
//!
//! The samples inside a cut bucket have a spread of their own, at most that of the bucket, and a mean between limits. How
//! far their mean is from that of the others adds to the spread, at least and at most.

use barograph_engine::rollup::Bucket;

use crate::bounds::{Interval, origin, part, plain};
use crate::window::{Cut, Fold, SLACK, WAYS, is_constant, sum_from};

/// What is known of the spread of a number of samples.
#[derive(Debug, Clone, Copy)]
struct Spread {
    n: u64,
    m2: (f64, f64),
    mean: (f64, f64),
}

impl Spread {
    fn of(bucket: &Bucket, origin: f64) -> Self {
        let (m2, mean) = (bucket.m2 + bucket.m2_rest, sum_from(origin, bucket) / bucket.count as f64);
        Spread { n: bucket.count, m2: (m2, m2), mean: (mean, mean) }
    }

    /// `k` samples inside a cut bucket, one at least, for each slice of their possible sums.
    fn of_part(cut: &Cut, k: u64, (origin, slices): (f64, u64)) -> Vec<Self> {
        let all = part(cut, k, origin);
        let at = |slice: u64| all.lo + (all.hi - all.lo) * (slice as f64 / slices as f64);
        let (inside, outside) = sides(cut, k, origin);
        let total = sum_from(origin, &cut.bucket);
        let of = |slice: u64| {
            let (lo, hi) = (at(slice), at(slice + 1).max(at(slice)));
            Spread::of_sums(&cut.bucket, (lo, hi), (&inside, &outside), total)
        };
        (0..slices).map(of).collect()
    }

    /// Samples inside whose sum is in a slice.
    fn of_sums(bucket: &Bucket, sums: (f64, f64), (inside, outside): (&Sided, &Sided), total: f64) -> Self {
        let all = bucket.m2 + bucket.m2_rest;
        let means = |side: &Sided, sums: (f64, f64)| (sums.0 / side.n, sums.1 / side.n);
        let mean = means(inside, sums);
        let mean_outside = means(outside, (total - sums.1, total - sums.0));
        // All spread is that of the samples inside, that of the others, and that between the means of both.
        let apart = [mean.0 - mean_outside.1, mean.1 - mean_outside.0];
        let between = apart.map(|apart| apart * apart * inside.n * outside.n / bucket.count as f64);
        let nearest = if apart[0] * apart[1] <= 0.0 { 0.0 } else { between[0].min(between[1]) };
        let (within, of_others) = (inside.m2(mean), outside.m2(mean_outside));
        let rounding = SLACK * (all + inside.n * inside.span() * inside.span());
        let least = (all - of_others.1 - between[0].max(between[1])).max(within.0);
        let most = (all - nearest - of_others.0).min(within.1);
        let m2 = match inside.n {
            1.0 => (0.0, 0.0),
            _ => ((least.min(most) - rounding).max(0.0), most.max(least) + rounding),
        };
        Spread { n: inside.n as u64, m2, mean: (mean.0.max(inside.min), mean.1.min(inside.max)) }
    }

    fn with(self, other: Spread) -> Self {
        let n = self.n + other.n;
        let share = other.n as f64 / n as f64;
        let factor = self.n as f64 * share;
        let apart = (other.mean.0 - self.mean.1).max(self.mean.0 - other.mean.1).max(0.0);
        let far = (other.mean.1 - self.mean.0).max(self.mean.1 - other.mean.0);
        let mean = |a: f64, b: f64| a + (b - a) * share;
        Spread {
            n,
            m2: (
                self.m2.0 + other.m2.0 + factor * apart * apart,
                self.m2.1 + other.m2.1 + factor * far * far,
            ),
            mean: (mean(self.mean.0, other.mean.0), mean(self.mean.1, other.mean.1)),
        }
    }
}

/// The samples on one side of a cut, as far as they are known.
struct Sided {
    n: f64,
    /// One of them.
    known: Option<f64>,
    min: f64,
    max: f64,
    step: f64,
}

/// Both sides of a cut bucket of which `k` samples are inside; values are less `origin`.
fn sides(cut: &Cut, k: u64, origin: f64) -> (Sided, Sided) {
    let Bucket { count, min, max, step, .. } = cut.bucket;
    let ends = cut.ends().map(|(inside, outside)| (inside - origin, outside - origin));
    let side = |n: u64, known: Option<f64>| {
        let (mut min, mut max) = (min - origin, max - origin);
        if let Some(known) = known {
            let reach = step * (n - 1) as f64;
            (min, max) = (min.max(known - reach), max.min(known + reach));
        }
        let step = if known.is_some() { step } else { f64::INFINITY };
        Sided { n: n as f64, known, min, max, step }
    };
    (side(k, ends.map(|ends| ends.0)), side(count - k, ends.map(|ends| ends.1)))
}

impl Sided {
    fn span(&self) -> f64 {
        self.max - self.min
    }

    /// The sum of the squares of the distances from the mean, which is between limits, at least and at most.
    fn m2(&self, (lo, hi): (f64, f64)) -> (f64, f64) {
        if self.n <= 1.0 {
            return (0.0, 0.0);
        }
        // The others are nearest to each other if they are equal.
        let off = self.known.map_or(0.0, |known| (lo - known).max(known - hi).max(0.0));
        let least = off * off * self.n / (self.n - 1.0);
        // They are farthest from each other at the ends of their range (Bhatia and Davis), or on a straight line.
        let mean = (self.min / 2.0 + self.max / 2.0).max(lo).min(hi);
        let apart = ((self.max - mean) * (mean - self.min)).max(0.0) * self.n;
        let line = self.step * self.step * self.n * (self.n * self.n - 1.0) / 12.0;
        (least, apart.min(line))
    }
}

/// The most slices of the sums of a cut bucket.
const SLICES: u64 = 16;

/// The variance.
pub fn variance(fold: &Fold) -> Option<Interval> {
    let outer = plain(fold)?;
    if is_constant(outer) {
        return Some(Interval::of(0.0, 0.0));
    }
    let all = outer.m2 + outer.m2_rest;
    let origin = origin(fold)?;
    let ways: u64 = fold.cuts.iter().map(|cut| cut.most - cut.least + 1).product();
    if ways > WAYS {
        return None;
    }
    let slices = if fold.cuts.len() == 1 { WAYS / ways } else { (WAYS / ways).isqrt() }.clamp(1, SLICES);
    let mut states = vec![fold.whole.as_ref().map(|whole| Spread::of(whole, origin))];
    for cut in &fold.cuts {
        let of = |k: u64| match k {
            0 => vec![None],
            _ => Spread::of_part(cut, k, (origin, slices)).into_iter().map(Some).collect(),
        };
        let parts: Vec<Option<Spread>> = (cut.least..=cut.most).flat_map(of).collect();
        let joined = |before: &Option<Spread>| {
            let before = *before;
            parts.iter().map(move |part| match (before, *part) {
                (Some(before), Some(part)) => Some(before.with(part)),
                (before, part) => before.or(part),
            })
        };
        states = states.iter().flat_map(joined).collect();
    }
    let span = outer.max - outer.min;
    let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
    for state in states.into_iter().flatten() {
        let n = state.n as f64;
        lo = lo.min(state.m2.0 / n);
        hi = hi.max((state.m2.1.min(all) / n).min(span * span / 4.0));
    }
    // Means are rounded, and so is their distance.
    let rounding = SLACK * span * (hi.sqrt() + SLACK * span);
    let slack = 4.0 * SLACK * hi + rounding + f64::MIN_POSITIVE;
    let interval = Interval { lo: lo.min(hi), value: 0.0, hi }.at(all / outer.count as f64);
    slack.is_finite().then(|| interval.wider(slack))
}
