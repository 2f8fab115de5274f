//! Estimates of quantiles and of counts of values that meet a condition.

use barograph_engine::rollup::sketch::Extremes;
use barograph_engine::rollup::{Bucket, Sketch, sketch};

use super::{Seen, unbounded};
use crate::functions::window::conditional_count::Condition;
use crate::tiers::Bounded;
use crate::tiers::cut::Cut;

fn cuts<'a>(seen: &Seen<'a>) -> impl Iterator<Item = Cut<'a>> {
    let left = seen.left.map(|bucket| Cut::left(bucket, seen.start));
    let both = seen.both.map(|bucket| Cut::both(bucket, (seen.start, seen.end)));
    let right = seen.right.map(|bucket| Cut::right(bucket, seen.end));
    [left, both, right].into_iter().flatten()
}

/// `quantile_over_time`: each cut bucket counts as copies of its least value for the lower end, and of its greatest one
/// for the upper end. More copies of a value move a quantile toward it, so the fewest and the most copies suffice. NaN is
/// less than all numbers: where the quantile may be among the NaN of whole buckets, nothing is known.
pub(crate) fn quantile(seen: &Seen<'_>, phi: f64) -> Option<Bounded> {
    let cuts: Vec<Cut<'_>> = cuts(seen).collect();
    let whole = seen.whole;
    // Between infinities of both signs there is no number.
    let is_finite = whole.is_none_or(|whole| whole.min.is_finite() && whole.max.is_finite());
    if !is_finite || cuts.iter().any(|cut| !cut.is_plain()) {
        return Some(Bounded {
            value: f64::NAN,
            lo: f64::NEG_INFINITY,
            hi: f64::INFINITY,
            may_be_absent: true,
        });
    }
    let may_be_absent = whole.is_none() && cuts.iter().all(|cut| cut.inside.0 == 0);
    if let Some(ends) = quantile_of_same(whole, &cuts, phi) {
        return Some(Bounded::middle(ends).or_absent(may_be_absent));
    }
    let with = |value: fn(&Bucket) -> f64, copies: &dyn Fn(usize, &Cut<'_>) -> u64| {
        let copied = cuts.iter().enumerate().map(|(place, cut)| (value(cut.bucket), copies(place, cut)));
        quantile_with(whole, copied.filter(|(_, copies)| *copies > 0), phi)
    };
    let mut ends = (f64::INFINITY, f64::NEG_INFINITY);
    for choice in 0..1u32 << cuts.len() {
        let copies =
            |place: usize, cut: &Cut<'_>| if choice >> place & 1 == 1 { cut.inside.1 } else { cut.inside.0 };
        let found = (with(|bucket| bucket.min, &copies), with(|bucket| bucket.max, &copies));
        let (Some((lo, ..)), Some((.., hi))) = found else { continue };
        if lo.is_nan() || hi.is_nan() {
            return Some(unbounded(f64::NAN));
        }
        ends = (ends.0.min(lo), ends.1.max(hi));
    }
    let is_found = ends.0 <= ends.1;
    if !is_found {
        return None;
    }
    let likely = with(|bucket| bucket.min / 2.0 + bucket.max / 2.0, &|_, cut| cut.likely());
    let value = likely.map_or(ends.0 / 2.0 + ends.1 / 2.0, |found| found.1);
    // Interpolation between equal neighbours rounds, by another weight if their number differs.
    let largest = ends.0.abs().max(ends.1.abs());
    let slack = if largest.is_finite() { 4.0 * f64::EPSILON * largest } else { 0.0 };
    Some(Bounded::new(value, ends).widened(slack).or_absent(may_be_absent))
}

/// The most counts that are looked at one by one.
const COUNTS: u64 = 1000;

/// The quantile of values that are all equal, at least and at most; `None` if they are not, or if there may be too many
/// or too few. Interpolation rounds, by another weight for each number of values.
fn quantile_of_same(whole: Option<&Bucket>, cuts: &[Cut<'_>], phi: f64) -> Option<(f64, f64)> {
    let buckets = || whole.into_iter().chain(cuts.iter().map(|cut| cut.bucket));
    let value = buckets().next()?.min;
    let count =
        |of: fn(&Cut<'_>) -> u64| whole.map_or(0, |whole| whole.count) + cuts.iter().map(of).sum::<u64>();
    let (least, most) = (count(|cut| cut.inside.0).max(1), count(|cut| cut.inside.1));
    let is_same = |bucket: &Bucket| bucket.nans == 0 && bucket.min == value && bucket.max == value;
    if !buckets().all(is_same) || most.saturating_sub(least) > COUNTS {
        return None;
    }
    let of = |count: u64| quantile_with(None, std::iter::once((value, count)), phi).map(|found| found.1);
    (least..=most).filter_map(of).map(|found| (found, found)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// The quantile of the values of a bucket and of copies of further values: lower end, likely value, upper end.
fn quantile_with(
    whole: Option<&Bucket>,
    copies: impl Iterator<Item = (f64, u64)>,
    phi: f64,
) -> Option<(f64, f64, f64)> {
    let (mut extremes, mut nans) = (Extremes { min: f64::NAN, max: f64::NAN }, 0);
    let mut counts = Vec::new();
    if let Some(whole) = whole {
        // Without a sketch, nothing between the extremes is known.
        counts.extend_from_slice(whole.sketch.as_ref()?.entries());
        (extremes, nans) = (Extremes { min: whole.min, max: whole.max }, whole.nans);
    }
    for (value, copies) in copies {
        counts.push((sketch::key(value), copies));
        extremes = Extremes { min: extremes.min.min(value), max: extremes.max.max(value) };
    }
    if counts.is_empty() && nans == 0 {
        return None;
    }
    let found = Sketch::from_counts(counts).quantile(phi, extremes, nans);
    Some((found.lo, found.value, found.hi))
}

/// `count_*_over_time`
pub(crate) fn count(seen: &Seen<'_>, condition: Condition, x: f64) -> Option<Bounded> {
    let (mut lo, mut hi) = (0, 0);
    for part in seen.parts {
        let (least, most) = met(part, condition, x);
        (lo, hi) = (lo + least, hi + most);
    }
    let mut may_be_absent = seen.whole.is_none();
    for cut in cuts(seen) {
        let (least, most) = met(cut.bucket, condition, x);
        (lo, hi) = (lo + least.saturating_sub(cut.outside().1), hi + most.min(cut.inside.1));
        may_be_absent &= cut.inside.0 == 0;
    }
    Some(Bounded::middle((lo as f64, hi as f64)).or_absent(may_be_absent))
}

/// `share_*_over_time`
pub(crate) fn share(seen: &Seen<'_>, condition: Condition, x: f64) -> Option<Bounded> {
    let met = count(seen, condition, x)?;
    let whole = seen.whole.map_or(0, |whole| whole.count);
    let (least, most) =
        cuts(seen).fold((whole, whole), |(lo, hi), cut| (lo + cut.inside.0, hi + cut.inside.1));
    let ends = (met.lo / most.max(1) as f64, (met.hi / least.max(1) as f64).min(1.0));
    Some(Bounded::middle(ends).or_absent(met.may_be_absent))
}

/// How many values of a bucket meet the condition, at least and at most.
fn met(bucket: &Bucket, condition: Condition, x: f64) -> (u64, u64) {
    let numbers = bucket.count - bucket.nans;
    // Below x, and with the key of x.
    let rank = bucket.sketch.as_ref().filter(|_| !x.is_nan()).map(|sketch| sketch.rank(x));
    let equal = match rank {
        _ if !(bucket.min <= x && x <= bucket.max) => (0, 0),
        _ if bucket.min == bucket.max => (numbers, numbers),
        Some((_, same)) => (0, same),
        None => (0, numbers - 1),
    };
    let greater = match rank {
        _ if x < bucket.min => (numbers, numbers),
        _ if x.is_nan() || bucket.max.is_nan() || x >= bucket.max => (0, 0),
        Some((below, same)) => (numbers - below - same, numbers - below),
        // The greatest value is greater, the least is not.
        None => (1, numbers - 1),
    };
    match condition {
        Condition::Equal => equal,
        Condition::NotEqual => (bucket.count - equal.1, bucket.count - equal.0),
        Condition::Greater => greater,
        Condition::AtMost if x.is_nan() => (0, 0),
        Condition::AtMost => (numbers - greater.1, numbers - greater.0),
    }
}

#[cfg(test)]
mod tests {
    use barograph_engine::rollup::{Builder, Extras};

    use super::*;

    const WIDTH: i64 = 1_000_000;

    fn bucket(times: impl Iterator<Item = i64>, value: impl Fn(usize) -> f64) -> Bucket {
        let times: Vec<i64> = times.collect();
        let values: Vec<f64> = (0..times.len()).map(value).collect();
        let (mut builder, mut out) = (Builder::new(WIDTH, Extras::ALL), Vec::new());
        builder.extend(&times, &values, &[], &mut out);
        builder.finish(&mut out);
        out.remove(0)
    }

    #[test]
    fn a_quantile_that_may_be_nan_is_not_bounded() {
        let cut = bucket((1..=50).map(|i| i * 20_000 - i * i % 7 * 2_000), |_| 5.0);
        let inside = Cut::left(&cut, WIDTH / 2).inside;
        assert!(inside.0 < inside.1, "the number inside is not certain: {inside:?}");
        let median =
            |nans: u64| {
                let whole = bucket((1..=60).map(|i| WIDTH + i * 10_000), |at| {
                    if at < nans as usize { f64::NAN } else { 5.0 }
                });
                let seen = Seen {
                    start: WIDTH / 2,
                    end: 2 * WIDTH,
                    parts: std::slice::from_ref(&whole),
                    whole: Some(&whole),
                    left: Some(&cut),
                    right: None,
                    both: None,
                };
                quantile(&seen, 0.5).map(|found| (found.lo, found.hi))
            };
        let nothing = Some((f64::NEG_INFINITY, f64::INFINITY));
        // The median is NaN if more than half of the values are: of 60 and those inside.
        let half = |inside: u64| (60 + inside - 1) / 2;
        assert_ne!(median(half(inside.0)), nothing);
        assert_eq!(median(half(inside.0) + 1), nothing, "with the fewest inside");
        assert_eq!(median(half(inside.1) + 1), nothing, "with any number inside");
    }
}
