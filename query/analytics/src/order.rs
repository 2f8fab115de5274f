//! Order statistics: quantiles of a slice, and of a window that slides along a series.

/// The quantile `phi` of sorted values, interpolated between the two nearest as Prometheus' `quantile` does; NaN of
/// none.
pub fn quantile_of_sorted(sorted: &[f64], phi: f64) -> f64 {
    if sorted.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    let rank = phi * (sorted.len() - 1) as f64;
    let below = rank.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let share = rank - below as f64;
    if share == 0.0 { sorted[below] } else { sorted[below] * (1.0 - share) + sorted[above] * share }
}

/// Copies the finite values of `values` into `into`, sorted.
pub fn sort_finite(values: &[f64], into: &mut Vec<f64>) {
    into.clear();
    into.extend(values.iter().filter(|v| v.is_finite()));
    into.sort_unstable_by(f64::total_cmp);
}

/// The median of the finite values; NaN of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = Vec::new();
    sort_finite(values, &mut sorted);
    quantile_of_sorted(&sorted, 0.5)
}

/// The middle of values that may be reordered: the mean of the two middle ones if their number is even.
pub(crate) fn median_in_place(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let middle = values.len() / 2;
    let odd = values.len() % 2 == 1;
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if odd {
        return upper;
    }
    let lower = below.iter().copied().max_by(f64::total_cmp).unwrap_or(upper);
    lower + (upper - lower) / 2.0
}

/// The `rank`-th smallest (from 0) distance of sorted values from `centre`.
///
/// Distances below the centre and above it are two sorted runs; a binary search finds how many of the smallest come
/// from the upper one.
pub fn distance_of_rank(sorted: &[f64], centre: f64, rank: usize) -> f64 {
    let split = sorted.partition_point(|&v| v < centre);
    let (lower, upper) = sorted.split_at(split);
    let below = |i: usize| centre - lower[lower.len() - 1 - i];
    let above = |i: usize| upper[i] - centre;
    let count = rank + 1;
    let (mut least, mut most) = (count.saturating_sub(lower.len()), count.min(upper.len()));
    while least < most {
        let from_above = least + (most - least) / 2;
        // One more from above is right while it is not farther than the last one taken from below.
        if above(from_above) < below(count - from_above - 1) {
            least = from_above + 1;
        } else {
            most = from_above;
        }
    }
    let from_below = count - least;
    let farthest_above = if least > 0 { above(least - 1) } else { f64::NEG_INFINITY };
    let farthest_below = if from_below > 0 { below(from_below - 1) } else { f64::NEG_INFINITY };
    farthest_above.max(farthest_below)
}

/// The median distance of sorted values from `centre`; NaN of none.
pub fn median_distance(sorted: &[f64], centre: f64) -> f64 {
    let count = sorted.len();
    if count == 0 {
        return f64::NAN;
    }
    let upper = distance_of_rank(sorted, centre, count / 2);
    if count % 2 == 1 { upper } else { f64::midpoint(upper, distance_of_rank(sorted, centre, count / 2 - 1)) }
}

/// The newest values of a series in their order and sorted.
///
/// A value enters and the oldest leaves by one move of the memory between their places: a few hundred nanoseconds for a
/// few thousand values, and every order statistic is then a look-up.
#[derive(Debug, Clone)]
pub struct SortedWindow {
    capacity: usize,
    /// A ring of the values in order of arrival.
    ring: Vec<f64>,
    oldest: usize,
    sorted: Vec<f64>,
}

impl SortedWindow {
    /// A window of the newest `capacity` values, at least one.
    pub fn new(capacity: usize) -> SortedWindow {
        let capacity = capacity.max(1);
        SortedWindow { capacity, ring: Vec::new(), oldest: 0, sorted: Vec::new() }
    }

    /// The memory that a full window takes.
    pub fn bytes(capacity: usize) -> usize {
        2 * capacity.max(1) * size_of::<f64>()
    }

    /// Adds a finite value; the oldest leaves if the window is full. Others are ignored.
    pub fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.ring.len() < self.capacity {
            self.ring.push(value);
            let at = self.place(value);
            self.sorted.insert(at, value);
            return;
        }
        let leaving = std::mem::replace(&mut self.ring[self.oldest], value);
        self.oldest = (self.oldest + 1) % self.capacity;
        let from = self.place(leaving);
        let to = self.place(value);
        if to > from {
            self.sorted.copy_within(from + 1..to, from);
            self.sorted[to - 1] = value;
        } else {
            self.sorted.copy_within(to..from, to + 1);
            self.sorted[to] = value;
        }
    }

    /// The first place whose value is not less.
    fn place(&self, value: f64) -> usize {
        self.sorted.partition_point(|other| other.total_cmp(&value).is_lt())
    }

    /// The values in ascending order.
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The median; NaN of none.
    pub fn median(&self) -> f64 {
        quantile_of_sorted(&self.sorted, 0.5)
    }

    /// The quantile `phi` of the distances from `centre`, of the nearest rank; NaN of none.
    pub fn distance(&self, centre: f64, phi: f64) -> f64 {
        if self.is_empty() {
            return f64::NAN;
        }
        let rank = (phi.clamp(0.0, 1.0) * (self.len() - 1) as f64).round() as usize;
        distance_of_rank(&self.sorted, centre, rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_are_interpolated() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile_of_sorted(&sorted, 0.5), 3.0);
        assert_eq!(quantile_of_sorted(&sorted, 1.0), 8.0);
        assert_eq!(quantile_of_sorted(&sorted, -0.1), f64::NEG_INFINITY);
        assert!(quantile_of_sorted(&[], 0.5).is_nan());
        assert_eq!(median(&[f64::NAN, 5.0, 1.0, f64::INFINITY]), 3.0);
        assert_eq!(median_in_place(&mut [4.0, 1.0, 2.0, 8.0]), 3.0);
        assert_eq!(median_in_place(&mut [4.0, 1.0, 2.0]), 2.0);
    }

    proptest! {
        #[test]
        fn a_sliding_window_equals_a_sort(values in prop::collection::vec(-9i32..9, 1..200), capacity in 1usize..40) {
            let mut window = SortedWindow::new(capacity);
            let values: Vec<f64> = values.into_iter().map(|v| f64::from(v) / 4.0).collect();
            for end in 1..=values.len() {
                window.push(values[end - 1]);
                let mut expected = values[end.saturating_sub(capacity)..end].to_vec();
                expected.sort_unstable_by(f64::total_cmp);
                prop_assert_eq!(window.sorted(), &expected[..]);
            }
        }

        #[test]
        fn distances_by_rank_equal_a_sort(values in prop::collection::vec(-99i32..99, 1..60), centre in -99i32..99) {
            let mut sorted: Vec<f64> = values.into_iter().map(f64::from).collect();
            sorted.sort_unstable_by(f64::total_cmp);
            let centre = f64::from(centre);
            let mut distances: Vec<f64> = sorted.iter().map(|v| (v - centre).abs()).collect();
            distances.sort_unstable_by(f64::total_cmp);
            for (rank, distance) in distances.iter().enumerate() {
                prop_assert_eq!(distance_of_rank(&sorted, centre, rank), *distance);
            }
        }
    }
}
