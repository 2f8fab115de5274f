//! Classic histograms: cumulative counts by upper bound, the label `le`.

/// A decrease that is smaller than this share of the previous count is a rounding error.
const TOLERANCE: f64 = 1e-12;

/// The number of observations at or below a bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cumulative {
    /// The bound.
    pub upper: f64,
    /// The observations at or below the bound.
    pub count: f64,
}

/// A repair of decreasing counts: how far they were raised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Repair {
    /// The lowest bound that was changed.
    pub lowest: f64,
    /// The highest bound that was changed.
    pub highest: f64,
    /// The largest change.
    pub difference: f64,
}

/// Sorts buckets by their bounds and adds up equal bounds.
pub(crate) fn order(buckets: &mut Vec<Cumulative>) {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Raises the counts of sorted buckets so that they never decrease. A count of NaN is ignored: the counts before and
/// after it are not compared with each other.
pub(crate) fn raise(buckets: &mut [Cumulative]) -> Option<Repair> {
    let mut repair: Option<Repair> = None;
    for i in 1..buckets.len() {
        let before = buckets[i - 1].count;
        let Cumulative { upper, count } = buckets[i];
        if count == before {
            continue;
        }
        if almost_equal(before, count) {
            buckets[i].count = before;
        } else if count < before {
            buckets[i].count = before;
            let so_far = repair.get_or_insert(Repair { lowest: upper, highest: upper, difference: 0.0 });
            so_far.highest = upper;
            so_far.difference = so_far.difference.max(before - count);
        }
    }
    repair
}

/// Whether two values are equal within [`TOLERANCE`], relative to both.
fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    let size = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < TOLERANCE
}

/// Whether sorted buckets contain all observations: the last one must reach +Inf.
pub(crate) fn is_complete(buckets: &[Cumulative]) -> bool {
    buckets.last().is_some_and(|b| b.upper == f64::INFINITY)
}

/// The φ-quantile of complete buckets, sorted and raised; NaN if there is only one bucket.
pub(crate) fn quantile(phi: f64, buckets: &[Cumulative]) -> f64 {
    if phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    if buckets.len() < 2 {
        return f64::NAN;
    }
    let last = buckets.len() - 1;
    let total = buckets[last].count;
    if total == 0.0 {
        return f64::NAN;
    }
    let rank = phi * total;
    let at = first_that_reaches(rank, &buckets[..last]);
    if at == last {
        return buckets[last - 1].upper;
    }
    if at == 0 && buckets[0].upper <= 0.0 {
        return buckets[0].upper;
    }
    let (lower, before) = if at == 0 { (0.0, 0.0) } else { (buckets[at - 1].upper, buckets[at - 1].count) };
    lower + (buckets[at].upper - lower) * ((rank - before) / (buckets[at].count - before))
}

/// The index of the first bucket with a count of at least `rank`, by binary search; the number of buckets if there is
/// none.
///
/// A count of NaN compares as less than any rank, so such counts are not sorted, and the result depends on which
/// buckets are compared: the middle ones, the lower of two. `partition_point` does not guarantee which ones it
/// compares.
fn first_that_reaches(rank: f64, buckets: &[Cumulative]) -> usize {
    let (mut low, mut high) = (0, buckets.len());
    while low < high {
        let middle = (low + high) / 2;
        if buckets[middle].count >= rank {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The share of observations in `(lower, upper]` of sorted buckets. Decreasing counts are used as they are. NaN if the
/// buckets are not complete.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &[Cumulative]) -> f64 {
    if !is_complete(buckets) || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let below = |v: f64| match rank_of(v, buckets) {
        Some(rank) if rank > total => total,
        Some(rank) => rank,
        None => total,
    };
    (below(upper) - below(lower)) / total
}

/// The number of observations at or below `v`; `None` if all are. The first bucket begins at zero, unless its bound is
/// below zero; in that case, all its observations count as below `v`. In the last, infinite bucket, all observations
/// count as above `v`.
fn rank_of(v: f64, buckets: &[Cumulative]) -> Option<f64> {
    let begins_at_zero = buckets.first().is_some_and(|b| b.upper > 0.0);
    let mut lower = if begins_at_zero { 0.0 } else { f64::NEG_INFINITY };
    let mut before = 0.0;
    for b in buckets {
        if lower >= v {
            return Some(before);
        }
        if b.upper > v {
            let is_open = lower == f64::NEG_INFINITY;
            let inside = |share: f64| before + share / (b.upper - lower);
            return Some(if is_open { b.count } else { inside((b.count - before) * (v - lower)) });
        }
        (lower, before) = (b.upper, b.count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Cumulative> {
        pairs.iter().map(|&(upper, count)| Cumulative { upper, count }).collect()
    }

    /// The quantile of buckets in any order, as a query asks for it.
    fn quantile_of(phi: f64, pairs: &[(f64, f64)]) -> f64 {
        let mut b = buckets(pairs);
        order(&mut b);
        raise(&mut b);
        quantile(phi, &b)
    }

    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;

    #[test]
    fn counts_that_fall_are_raised_and_reported() {
        let mut b = buckets(&[(INF, 8.0), (1.0, 10.0), (2.0, 9.0), (1.0, 2.0)]);
        order(&mut b);
        assert_eq!(b, buckets(&[(1.0, 12.0), (2.0, 9.0), (INF, 8.0)]));
        let repair = raise(&mut b).unwrap();
        assert_eq!(b, buckets(&[(1.0, 12.0), (2.0, 12.0), (INF, 12.0)]));
        assert_eq!(repair, Repair { lowest: 2.0, highest: INF, difference: 4.0 });
    }

    #[test]
    fn rounding_is_no_fall() {
        let mut b = buckets(&[(1.0, 1.0), (INF, 1.0 - 1e-14)]);
        assert_eq!(raise(&mut b), None);
        assert_eq!(b[1].count, 1.0);
    }

    #[test]
    fn linear_within_a_bucket() {
        let b = buckets(&[(1.0, 1.0), (2.0, 3.0), (INF, 4.0)]);
        assert_eq!(quantile(0.5, &b), 1.5);
        assert_eq!(quantile(1.0, &b), 2.0);
        assert!(!is_complete(&b[..2]) && is_complete(&b));
        assert_eq!(fraction(1.0, 2.0, &b), 0.5);
        assert_eq!(fraction(f64::NEG_INFINITY, INF, &b), 1.0);
    }

    /// Worked out from the binary search: of five buckets below +Inf it compares the third first, of four the third,
    /// and of three the second.
    #[test]
    fn a_count_of_nan_reaches_no_rank() {
        // Rank 2 of 4. The NaN is compared first, and the search continues above it.
        let middle = [(1.0, 1.0), (2.0, NAN), (3.0, 3.0), (INF, 4.0)];
        assert!(quantile_of(0.5, &middle).is_nan(), "the bucket found begins at the one with NaN");
        assert!(quantile_of(0.1, &middle).is_nan(), "the first bucket is not looked at");
        assert_eq!(quantile_of(1.0, &middle), 3.0);
        // Here, the NaN matters only for ranks below the second count.
        let first = [(1.0, NAN), (2.0, 2.0), (3.0, 3.0), (INF, 4.0)];
        assert!(quantile_of(0.5, &first).is_nan());
        assert_eq!(quantile_of(0.625, &first), 2.5);
        let third = [(1.0, 1.0), (2.0, 2.0), (3.0, NAN), (INF, 4.0)];
        assert_eq!(quantile_of(0.5, &third), 2.0);
        assert_eq!(quantile_of(0.75, &third), 3.0, "nothing reaches 3, so it is the last bound");
        let total = [(1.0, 1.0), (2.0, 2.0), (INF, NAN)];
        assert_eq!(quantile_of(0.5, &total), 2.0, "no count reaches a rank of NaN");
    }

    #[test]
    fn counts_beside_nan_are_not_compared_across_it() {
        let mut b = buckets(&[(1.0, 5.0), (2.0, NAN), (3.0, 3.0), (4.0, 2.0), (INF, 6.0)]);
        let repair = raise(&mut b).unwrap();
        assert_eq!(repair, Repair { lowest: 4.0, highest: 4.0, difference: 1.0 });
        assert_eq!([b[0].count, b[2].count, b[3].count, b[4].count], [5.0, 3.0, 3.0, 6.0]);
        assert!(b[1].count.is_nan());
    }

    #[test]
    fn a_quantile_needs_a_finite_bound_and_a_fraction_does_not() {
        let only = [(INF, 4.0)];
        assert!(quantile_of(0.5, &only).is_nan());
        let b = buckets(&only);
        for (lower, upper, expected) in [
            (0.0, 5.0, 0.0),
            (-3.0, 5.0, 0.0),
            (0.0, INF, 1.0),
            (1.0, INF, 1.0),
            (f64::NEG_INFINITY, INF, 1.0),
        ] {
            assert_eq!(fraction(lower, upper, &b), expected, "{lower} to {upper}");
        }
        assert!(fraction(NAN, 1.0, &b).is_nan() && fraction(0.0, 1.0, &buckets(&[(INF, 0.0)])).is_nan());
    }

    #[test]
    fn fractions_at_the_open_ends() {
        let positive = buckets(&[(2.0, 4.0), (INF, 8.0)]);
        assert_eq!(fraction(-1.0, 1.0, &positive), 0.25, "the first bucket begins at zero");
        assert_eq!(fraction(1.0, 5.0, &positive), 0.25, "nothing above the last bound counts");
        let negative = buckets(&[(-2.0, 4.0), (2.0, 8.0), (INF, 8.0)]);
        assert_eq!(fraction(-5.0, 0.0, &negative), 0.25, "the first bucket is below -5");
        assert_eq!(fraction(f64::NEG_INFINITY, -5.0, &negative), 0.5);
        assert_eq!(fraction(3.0, 1.0, &negative), 0.0);
    }

    #[test]
    fn a_fraction_takes_counts_as_they_are() {
        let falling = buckets(&[(1.0, 4.0), (2.0, 2.0), (INF, 4.0)]);
        assert_eq!(fraction(0.0, 2.0, &falling), 0.5);
        let nan = buckets(&[(1.0, 1.0), (2.0, NAN), (3.0, 3.0), (INF, 4.0)]);
        assert_eq!(fraction(0.0, 1.0, &nan), 0.25);
        assert!(fraction(0.0, 1.5, &nan).is_nan());
        assert_eq!(fraction(0.0, 3.0, &nan), 0.75);
    }
}
