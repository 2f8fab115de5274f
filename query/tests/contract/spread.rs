//! The bound of the variance of a window that cuts buckets.
//!
//! The samples inside a cut bucket have a spread of their own, at most that of the bucket, and a mean between limits. How
//! far their mean is from that of the others adds to the spread, at least and at most.

use barograph_engine::rollup::Bucket;

use crate::bounds::{Interval, SLACK, part, plain};
use crate::window::{Cut, Fold, WAYS, is_constant, largest};

/// What is known of the spread of a number of samples.
#[derive(Debug, Clone, Copy)]
struct Spread {
    n: u64,
    m2: (f64, f64),
    mean: (f64, f64),
}

impl Spread {
    fn of(bucket: &Bucket) -> Self {
        let (m2, mean) = (bucket.m2 + bucket.m2_rest, bucket.sum.value() / bucket.count as f64);
        Spread { n: bucket.count, m2: (m2, m2), mean: (mean, mean) }
    }

    /// `k` samples inside a cut bucket, one at least.
    fn of_part(cut: &Cut, k: u64) -> Self {
        let (bucket, part) = (&cut.bucket, part(cut, k));
        let mean = ((part.lo / k as f64).max(bucket.min), (part.hi / k as f64).min(bucket.max));
        let span = bucket.max - bucket.min;
        let (all, others) = (bucket.m2 + bucket.m2_rest, (bucket.count - k) as f64);
        // All spread is that of the samples inside, that of the others, and that between the means of both.
        let apart = |inside: f64| inside / k as f64 - (bucket.sum.value() - inside) / others;
        let between =
            [part.lo, part.hi].map(|sum| apart(sum) * apart(sum) * others * k as f64 / bucket.count as f64);
        let may_be_equal = apart(part.lo) * apart(part.hi) <= 0.0;
        let of_others = if bucket.count - k == 1 { 0.0 } else { span * span / 4.0 * others };
        let least = (all - of_others - between[0].max(between[1])).max(0.0);
        let nearest = if may_be_equal { 0.0 } else { between[0].min(between[1]) };
        let most = (all - nearest).min(span * span / 4.0 * k as f64);
        let rounding = SLACK * all;
        let m2 = if k == 1 { (0.0, 0.0) } else { ((least - rounding).max(0.0), most + rounding) };
        Spread { n: k, m2, mean }
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

/// The variance.
pub fn variance(fold: &Fold) -> Option<Interval> {
    let outer = plain(fold)?;
    if is_constant(outer) {
        return Some(Interval::of(0.0, 0.0));
    }
    let all = outer.m2 + outer.m2_rest;
    let mut states = vec![fold.whole.as_ref().map(Spread::of)];
    for cut in &fold.cuts {
        if states.len() as u64 * (cut.most - cut.least + 1) > WAYS {
            return None;
        }
        let parts: Vec<Option<Spread>> =
            (cut.least..=cut.most).map(|k| (k > 0).then(|| Spread::of_part(cut, k))).collect();
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
    let rounding = hi.sqrt() * largest(outer) * 8.0 * f64::EPSILON;
    let slack = 4.0 * SLACK * hi + rounding + f64::MIN_POSITIVE;
    let interval = Interval { lo: lo.min(hi), value: 0.0, hi }.at(all / outer.count as f64);
    hi.is_finite().then(|| interval.wider(slack))
}
