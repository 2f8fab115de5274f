//! Estimates of the variance of a window.
//!
//! The samples inside a cut bucket have a spread of their own, and a mean between limits. How far their mean is from that
//! of the others adds to the spread of all.

use barograph_engine::rollup::Bucket;

use super::{Parts, Seen, unbounded};
use crate::tiers::cut::Cut;
use crate::tiers::{Bounded, margin};

/// The most ways to divide the cut buckets that are looked at one by one.
const WAYS: usize = 1000;

/// What is known of the spread of a number of samples.
#[derive(Debug, Clone, Copy)]
struct Spread {
    n: f64,
    /// The sum of the squares of their distances from the mean, at least and at most.
    m2: (f64, f64),
    mean: (f64, f64),
}

impl Spread {
    fn of(bucket: &Bucket) -> Self {
        let (m2, n) = (bucket.m2 + bucket.m2_rest, bucket.count as f64);
        let mean = bucket.sum.value() / n;
        Spread { n, m2: (m2, m2), mean: (mean, mean) }
    }

    /// `k` samples inside a cut bucket, at least one.
    fn inside(cut: &Cut<'_>, k: u64) -> Self {
        let Bucket { min, max, count, .. } = *cut.bucket;
        let all = cut.bucket.m2 + cut.bucket.m2_rest;
        let (n, others) = (k as f64, (count - k) as f64);
        let slack = cut.rounding() * count as f64;
        let sums = cut.sum(k).0;
        let sums = [sums.0 - slack, sums.1 + slack];
        // All spread is that of the samples inside, that of the others, and that between the means of both.
        let apart = sums.map(|inside| inside / n - (cut.bucket.sum.value() - inside) / others);
        let between = apart.map(|apart| apart * apart * n * others / count as f64);
        let nearest = if apart[0] * apart[1] > 0.0 { between[0].min(between[1]) } else { 0.0 };
        let most_of =
            |samples: f64| if samples > 1.0 { (max - min) * (max - min) / 4.0 * samples } else { 0.0 };
        let least = (all - most_of(others) - between[0].max(between[1]) - margin(all)).max(0.0);
        let most = (all - nearest + margin(all)).min(most_of(n)).max(0.0);
        let mean = ((sums[0] / n).max(min), (sums[1] / n).min(max));
        Spread { n, m2: (least.min(most), most), mean }
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
    let mut spreads = vec![parts.seen.whole.map(Spread::of)];
    for cut in &parts.cuts {
        let (least, most) = cut.inside;
        let counts = usize::try_from(most - least).unwrap_or(WAYS).saturating_add(1);
        if spreads.len().saturating_mul(counts) > WAYS {
            return None;
        }
        let inside: Vec<Option<Spread>> =
            (least..=most).map(|k| (k > 0).then(|| Spread::inside(cut, k))).collect();
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
    let slack = margin(greatest + min.abs().max(max.abs()) * greatest.sqrt());
    let ends = ((least.min(greatest) - slack).max(0.0), greatest + slack);
    let found = Bounded::new(outer / parts.outer.count as f64, ends);
    Some(found.or_absent(parts.may_be_absent()))
}

/// `stddev_over_time`
pub(crate) fn deviation(seen: &Seen<'_>, _: f64) -> Option<Bounded> {
    let Bounded { value, lo, hi, may_be_absent } = variance(seen, 0.0)?;
    Some(Bounded { value: value.sqrt(), lo: lo.max(0.0).sqrt(), hi: hi.sqrt(), may_be_absent })
}
