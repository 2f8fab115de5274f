//! Estimates of the variance of a window.
//!
//! The samples inside a cut bucket have a spread of their own, and a mean between limits. How far their mean is from that
//! of the others adds to the spread of all.

use barograph_engine::rollup::Bucket;

use super::{Parts, Seen, unbounded};
use crate::tiers::divided::{Divided, Sided, sum_from};
use crate::tiers::{Bounded, margin};

/// The most ways to divide the cut buckets that are looked at one by one.
const WAYS: u64 = 1000;

/// Slices of the possible sums of the samples inside, of one cut bucket or of two together. Within a slice, the mean of the
/// samples and their spread may be anything that one sum of the slice allows.
const SLICES: u64 = 16;

/// What is known of the spread of a number of samples.
#[derive(Debug, Clone, Copy)]
struct Spread {
    n: f64,
    /// The sum of the squares of their distances from the mean, at least and at most.
    m2: (f64, f64),
    mean: (f64, f64),
}

impl Spread {
    fn of(bucket: &Bucket, origin: f64) -> Self {
        let (m2, n) = (bucket.m2 + bucket.m2_rest, bucket.count as f64);
        let mean = sum_from(origin, bucket) / n;
        Spread { n, m2: (m2, m2), mean: (mean, mean) }
    }

    /// `k` samples inside a cut bucket, at least one, by slices of their sum.
    fn inside(divided: &Divided, k: u64, slices: u64) -> impl Iterator<Item = Self> + '_ {
        let (lo, hi) = divided.sum(k).0;
        let at = move |slice: u64| lo + (hi - lo) * (slice as f64 / slices as f64);
        let (inside, outside) = divided.sides(k);
        (0..slices)
            .map(move |slice| Spread::of_sums(divided, (at(slice), at(slice + 1)), (&inside, &outside)))
    }

    /// Samples inside, whose sum is between limits.
    fn of_sums(divided: &Divided, sums: (f64, f64), (inside, outside): (&Sided, &Sided)) -> Self {
        let Divided { total, m2: all, .. } = *divided;
        let mean = (sums.0 / inside.n, sums.1 / inside.n);
        let mean_outside = ((total - sums.1) / outside.n, (total - sums.0) / outside.n);
        // All spread is that of the samples inside, that of the others, and that between the means of both.
        let apart = [mean.0 - mean_outside.1, mean.1 - mean_outside.0];
        let weight = inside.n * (outside.n / (inside.n + outside.n));
        let between = apart.map(|apart| apart * apart * weight);
        let nearest = if apart[0] * apart[1] > 0.0 { between[0].min(between[1]) } else { 0.0 };
        let (within, of_others) = (inside.m2(mean), outside.m2(mean_outside));
        let least = (all - of_others.1 - between[0].max(between[1])).max(within.0);
        let most = (all - nearest - of_others.0).min(within.1);
        let span = inside.max - inside.min;
        let slack = margin(all + inside.n * span * span);
        let m2 = match inside.n > 1.0 {
            true => ((least.min(most) - slack).max(0.0), most.max(least) + slack),
            false => (0.0, 0.0),
        };
        Spread { n: inside.n, m2, mean: (mean.0.max(inside.min), mean.1.min(inside.max)) }
    }

    fn and(self, other: Spread) -> Self {
        let n = self.n + other.n;
        let factor = self.n * (other.n / n);
        let nearest = (other.mean.0 - self.mean.1).max(self.mean.0 - other.mean.1).max(0.0);
        let farthest = (other.mean.1 - self.mean.0).max(self.mean.1 - other.mean.0);
        let mean = |a: f64, b: f64| a + (b - a) * (other.n / n);
        Spread {
            n,
            m2: (
                self.m2.0 + other.m2.0 + factor * nearest * nearest,
                self.m2.1 + other.m2.1 + factor * farthest * farthest,
            ),
            mean: (mean(self.mean.0, other.mean.0), mean(self.mean.1, other.mean.1)),
        }
    }
}

/// The least and the greatest variance over all numbers of samples inside; `None` if they are too many.
fn over_counts(parts: &Parts<'_>, outer: f64) -> Option<(f64, f64)> {
    let ways = parts.cuts.iter().map(|cut| cut.inside.1 - cut.inside.0 + 1);
    if ways.fold(1, u64::saturating_mul) > WAYS {
        return None;
    }
    let slices = if parts.cuts.len() > 1 { SLICES.isqrt() } else { SLICES };
    let origin = parts.origin();
    let mut spreads = vec![parts.seen.whole.map(|whole| Spread::of(whole, origin))];
    for cut in &parts.cuts {
        let divided = Divided::of(cut, origin);
        let of = |k: u64| Spread::inside(&divided, k, slices).map(Some);
        let none = (cut.inside.0 == 0).then_some(None);
        let inside: Vec<Option<Spread>> =
            none.into_iter().chain((cut.inside.0.max(1)..=cut.inside.1).flat_map(of)).collect();
        let joined = |before: &Option<Spread>| {
            let before = *before;
            inside.iter().map(move |part| match (before, *part) {
                (Some(before), Some(part)) => Some(before.and(part)),
                (before, part) => before.or(part),
            })
        };
        spreads = spreads.iter().flat_map(joined).collect();
    }
    let ends = spreads.iter().flatten().map(|Spread { n, m2, .. }| (m2.0 / n, m2.1.min(outer) / n));
    ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// `stdvar_over_time`
pub(crate) fn variance(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let parts = Parts::of(seen)?;
    let outer = parts.outer.m2 + parts.outer.m2_rest;
    if !parts.is_plain() || !outer.is_finite() {
        return Some(unbounded(f64::NAN).or_absent(parts.may_be_absent()));
    }
    let (min, max) = (parts.outer.min, parts.outer.max);
    let inner = seen.whole.map_or(0.0, |whole| whole.m2 + whole.m2_rest);
    let mut least = inner / parts.count.1.max(1) as f64;
    let mut greatest = (outer / parts.count.0.max(1) as f64).min((max - min) * (max - min) / 4.0);
    if let Some((lo, hi)) = over_counts(&parts, outer).filter(|_| !parts.outer.sum.is_huge()) {
        (least, greatest) = (least.max(lo), greatest.min(hi));
    }
    // The kernel of samples loses bits in proportion to mean / deviation.
    let of_means = margin(max - min);
    let slack = margin(greatest + min.abs().max(max.abs()) * greatest.sqrt()) + of_means * of_means;
    let ends = ((least.min(greatest) - slack).max(0.0), greatest + slack);
    let found = Bounded::middle(ends);
    Some(found.or_absent(parts.may_be_absent()))
}

/// `stddev_over_time`
pub(crate) fn deviation(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let Bounded { lo, hi, may_be_absent, .. } = variance(seen, 0.0)?;
    Some(Bounded::middle((lo.max(0.0).sqrt(), hi.sqrt())).or_absent(may_be_absent))
}
