//! A bucket of which a window contains a part: how many of its samples are inside, and what is known about them.

use barograph_engine::model::Timestamp;
use barograph_engine::rollup::Bucket;

/// A bucket that an end of a window cuts, or both ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut<'b> {
    pub bucket: &'b Bucket,
    side: Side,
    /// The least and the largest number of samples inside.
    pub inside: (u64, u64),
    /// The share of its samples that is inside, if they are evenly distributed.
    share: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// By the left end: its last sample is inside, its first one is not.
    Left,
    /// By the right end: its first sample is inside, its last one is not.
    Right,
    /// By both: neither is.
    Both,
}

impl<'b> Cut<'b> {
    /// A bucket cut by the left end of a window, after `start`.
    pub fn left(bucket: &'b Bucket, start: Timestamp) -> Self {
        let (inside, outside) = (bucket.last.time.abs_diff(start), start.abs_diff(bucket.first.time));
        let n = bucket.count;
        let (least, most) = match gaps(bucket) {
            Some((short, long)) => (
                inside.div_ceil(long).max((n - 1).saturating_sub(outside / short)),
                inside.div_ceil(short).min((n - 1).saturating_sub(outside / long)),
            ),
            None => (1, n - 1),
        };
        Cut::new(bucket, Side::Left, (least.max(1), most.min(n - 1)), inside)
    }

    /// A bucket cut by the right end of a window, which is `end`.
    pub fn right(bucket: &'b Bucket, end: Timestamp) -> Self {
        let (inside, outside) = (end.abs_diff(bucket.first.time), bucket.last.time.abs_diff(end));
        let n = bucket.count;
        let (least, most) = match gaps(bucket) {
            Some((short, long)) => (
                (inside / long + 1).max(n.saturating_sub(outside.div_ceil(short))),
                (inside / short + 1).min(n.saturating_sub(outside.div_ceil(long))),
            ),
            None => (1, n - 1),
        };
        Cut::new(bucket, Side::Right, (least.max(1), most.min(n - 1)), inside)
    }

    /// A bucket that begins before a window and ends after it.
    pub fn both(bucket: &'b Bucket, (start, end): (Timestamp, Timestamp)) -> Self {
        let inside = end.abs_diff(start);
        let most = bucket.count.saturating_sub(2);
        let counts = match gaps(bucket) {
            Some((short, long)) => (inside / long, inside.div_ceil(short).min(most)),
            None => (0, most),
        };
        Cut::new(bucket, Side::Both, counts, inside)
    }

    fn new(bucket: &'b Bucket, side: Side, (least, most): (u64, u64), inside: u64) -> Self {
        let span = bucket.last.time.abs_diff(bucket.first.time).max(1);
        Cut { bucket, side, inside: (least.min(most), most), share: inside as f64 / span as f64 }
    }

    /// The most likely number of samples inside.
    pub fn likely(&self) -> u64 {
        let likely = (self.bucket.count as f64 * self.share).round() as u64;
        likely.clamp(self.inside.0, self.inside.1)
    }

    /// The same if the number of its samples inside is `k`.
    pub fn with_inside(self, k: u64) -> Self {
        Cut { inside: (k, k), ..self }
    }

    /// The samples outside, at least and at most.
    pub fn outside(&self) -> (u64, u64) {
        (self.bucket.count - self.inside.1, self.bucket.count - self.inside.0)
    }

    /// The values of the end inside and of the end outside; `None` if both are outside.
    pub fn ends(&self) -> Option<(f64, f64)> {
        let (first, last) = (self.bucket.first.value, self.bucket.last.value);
        match self.side {
            Side::Left => Some((last, first)),
            Side::Right => Some((first, last)),
            Side::Both => None,
        }
    }

    /// The value of the end that is inside.
    pub fn known(&self) -> Option<f64> {
        self.ends().map(|(inside, _)| inside)
    }

    /// At least the largest difference of neighbours; infinite if it is not known.
    pub fn step(&self) -> f64 {
        if gaps(self.bucket).is_some() { self.bucket.step } else { f64::INFINITY }
    }

    /// How far apart samples are that are this number of steps apart, at most.
    fn reach(&self, steps: u64) -> f64 {
        if steps == 0 { 0.0 } else { self.step() * steps as f64 }
    }

    /// The greatest value that a sample inside may have, or the least one if `sign` is -1. From the known end on, each is a
    /// step further at most.
    pub fn farthest(&self, sign: f64) -> f64 {
        let extreme = if sign > 0.0 { self.bucket.max } else { self.bucket.min };
        match self.known() {
            Some(known) if self.is_plain() => {
                let reach = known + sign * self.reach(self.inside.1.saturating_sub(1));
                sign * (sign * reach).min(sign * extreme)
            }
            _ => extreme,
        }
    }

    /// Whether all values are ordinary numbers, so that intervals can be computed from them.
    pub fn is_plain(&self) -> bool {
        self.bucket.nans == 0 && self.bucket.min.is_finite() && self.bucket.max.is_finite()
    }

    /// The value of the sample inside that is next to the end of the window. The values must be plain.
    ///
    /// No margin is needed: a step has four significant bits, so a multiple of it is exact, and rounding the sum of two
    /// floats moves no end past another float.
    pub fn edge(&self) -> (f64, f64) {
        let (mut lo, mut hi) = (self.bucket.min, self.bucket.max);
        let Some((inside, outside)) = self.ends() else { return (lo, hi) };
        for (end, steps) in [(inside, self.inside.1.saturating_sub(1)), (outside, self.outside().1)] {
            let reach = self.reach(steps);
            (lo, hi) = (lo.max(end - reach), hi.min(end + reach));
        }
        (lo, hi.max(lo))
    }

    /// The value on the line from its first to its last sample, `at` this time.
    pub fn on_line(&self, at: Timestamp) -> f64 {
        let Bucket { first, last, .. } = *self.bucket;
        let span = last.time.abs_diff(first.time).max(1) as f64;
        first.value + (last.value - first.value) * (at.abs_diff(first.time) as f64 / span)
    }

    /// How many of `count` events between neighbours are between samples inside.
    pub fn events(&self, count: u64) -> (u64, u64) {
        let pairs = |inside: u64| inside.saturating_sub(1);
        let all = self.bucket.count - 1;
        (count.saturating_sub(all - pairs(self.inside.0)), count.min(pairs(self.inside.1)))
    }

    /// How much a counter grows in the part that is outside. The values must be plain and not negative, without start
    /// times.
    pub fn grown_outside(&self, grown: f64) -> (f64, f64) {
        let Bucket { min, max, resets, .. } = *self.bucket;
        if self.side == Side::Both {
            return (0.0, grown);
        }
        // At a reset, a counter grows by the value after it; elsewhere, by a step at most.
        let most = |pairs: u64| {
            let resets = resets.min(pairs);
            resets as f64 * max + self.reach(pairs - resets)
        };
        let resets_left = |pairs: u64| resets.saturating_sub(pairs) as f64 * min;
        let (inside, outside) = (self.inside.1.max(1) - 1, self.outside().1);
        let least = resets_left(inside).max(grown - most(inside));
        (least, most(outside).min(grown - resets_left(outside)))
    }

    /// The longest distance of neighbours, nanoseconds.
    pub fn longest_gap(&self) -> i64 {
        let span = self.bucket.last.time.saturating_sub(self.bucket.first.time);
        gaps(self.bucket).map_or(span, |(_, long)| i64::try_from(long).unwrap_or(span).min(span))
    }

    /// The time of the first sample inside a window whose left end cuts the bucket, at least and at most.
    pub fn first_time(&self, (start, end): (Timestamp, Timestamp)) -> (Timestamp, Timestamp) {
        let Bucket { count, first, last, .. } = *self.bucket;
        let (mut lo, mut hi) = (start.saturating_add(1), last.time.min(end));
        if let Some((short, long)) = gaps(self.bucket) {
            let before = match self.side {
                Side::Both => {
                    let outside = start.abs_diff(first.time);
                    (outside / long + 1, outside / short + 1)
                }
                _ => self.outside(),
            };
            let (least, most) = self.times_of((before.0.min(count - 1), before.1.min(count - 1)));
            (lo, hi) = (lo.max(least), hi.min(most));
        }
        (lo, hi.min(start.saturating_add(self.longest_gap())))
    }

    /// The time of the last sample inside a window whose right end cuts the bucket, at least and at most.
    pub fn last_time(&self, (start, end): (Timestamp, Timestamp)) -> (Timestamp, Timestamp) {
        let Bucket { count, first, last, .. } = *self.bucket;
        let (mut lo, mut hi) = (first.time.max(start.saturating_add(1)), end);
        if let Some((short, long)) = gaps(self.bucket) {
            let after = match self.side {
                Side::Both => {
                    let outside = last.time.abs_diff(end);
                    (outside.div_ceil(long), outside.div_ceil(short))
                }
                _ => self.outside(),
            };
            let (least, most) =
                self.times_of(((count - 1).saturating_sub(after.1), (count - 1).saturating_sub(after.0)));
            (lo, hi) = (lo.max(least), hi.min(most));
        }
        (lo.max(end.saturating_sub(self.longest_gap()).saturating_add(1)), hi)
    }

    /// The time of a sample of the bucket whose index is in these limits, at least and at most.
    fn times_of(&self, (least, most): (u64, u64)) -> (Timestamp, Timestamp) {
        let Bucket { count, first, last, gaps, .. } = *self.bucket;
        let after = |steps: u64, gap: i64| i128::from(first.time) + i128::from(steps) * i128::from(gap);
        let before =
            |index: u64, gap: i64| i128::from(last.time) - i128::from(count - 1 - index) * i128::from(gap);
        let lo = after(least, gaps.min).max(before(least, gaps.max));
        let hi = after(most, gaps.max).min(before(most, gaps.min));
        let within = |time: i128| time.clamp(first.time.into(), last.time.into()) as Timestamp;
        (within(lo), within(hi))
    }
}

/// The shortest and the longest distance of neighbours, if the bucket has them.
fn gaps(bucket: &Bucket) -> Option<(u64, u64)> {
    let known = !bucket.gaps.is_none() && bucket.gaps.min > 0;
    known.then(|| (bucket.gaps.min.unsigned_abs(), bucket.gaps.max.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use barograph_engine::rollup::{Builder, Extras};

    fn bucket(times: &[i64]) -> Bucket {
        bucket_of(times, &times.iter().map(|&time| time as f64).collect::<Vec<_>>())
    }

    fn bucket_of(times: &[i64], values: &[f64]) -> Bucket {
        let mut out = Vec::new();
        let mut builder = Builder::new(1_000_000, Extras::ALL);
        builder.extend(times, values, &[], &mut out);
        builder.finish(&mut out);
        out.remove(0)
    }

    #[test]
    fn the_number_inside_is_known_of_regular_samples_and_bounded_of_others() {
        let regular: Vec<i64> = (1..=50).map(|i| i * 20).collect();
        let irregular: Vec<i64> = (1..=50).map(|i| i * 20 + i * i % 7).collect();
        for times in [&regular, &irregular] {
            let bucket = bucket(times);
            for at in times[0]..times[49] {
                let before = times.iter().filter(|&&time| time <= at).count() as u64;
                let within = |cut: Cut<'_>, inside: u64| {
                    let (least, most) = cut.inside;
                    assert!(least <= inside && inside <= most, "{inside} at {at}: {least}..={most}");
                    assert!(times == &irregular || least == most, "{inside} at {at}: {least}..={most}");
                };
                within(Cut::left(&bucket, at), 50 - before);
                within(Cut::right(&bucket, at), before);
            }
        }
        let both = Cut::both(&bucket(&regular), (105, 205)).inside;
        assert!(both.0 <= 5 && 5 <= both.1 && both.1 - both.0 <= 1, "{both:?}");
    }

    #[test]
    fn the_samples_next_to_a_cut_are_between_their_limits() {
        let jittered: Vec<i64> = (0..50).map(|i| 1000 + i * 1000 + i * i % 7).collect();
        let bucket = bucket(&jittered);
        let check = |cut: Cut<'_>, window: (i64, i64), ends: (bool, bool)| {
            let inside = |time: &&i64| **time > window.0 && **time <= window.1;
            let (first, last) = (jittered.iter().find(inside), jittered.iter().rfind(inside));
            for (time, (lo, hi), _) in
                [(first, cut.first_time(window), ends.0), (last, cut.last_time(window), ends.1)]
                    .into_iter()
                    .filter(|of| of.2)
            {
                let Some(&time) = time else { continue };
                assert!(lo <= time && time <= hi, "{time} in {window:?}: {lo}..={hi}");
            }
        };
        for start in (1000..50_000).step_by(37) {
            check(Cut::left(&bucket, start), (start, 60_000), (true, false));
            check(Cut::right(&bucket, start), (0, start), (false, true));
            for end in [start + 900, start + 3000, start + 20_000] {
                if end < *jittered.last().unwrap() {
                    check(Cut::both(&bucket, (start, end)), (start, end), (true, true));
                }
            }
        }
        // Right after a sample, the next one is a distance away.
        let (lo, hi) = Cut::left(&bucket, 1000).first_time((1000, 60_000));
        assert!(lo > 1900 && hi < 2100, "{lo}..={hi}");
        let (lo, hi) = Cut::right(&bucket, jittered[49] - 1).last_time((0, jittered[49] - 1));
        assert!(lo > jittered[49] - 1100 && hi < jittered[49] - 900, "{lo}..={hi}");
    }

    #[test]
    fn an_extreme_is_a_step_further_at_most_with_each_sample() {
        let times: Vec<i64> = (1..=50).map(|i| i * 20).collect();
        let values: Vec<f64> = (1..=50).map(f64::from).collect();
        let bucket = bucket_of(&times, &values);
        let (left, right) = (Cut::left(&bucket, times[44]), Cut::right(&bucket, times[4]));
        assert_eq!((left.inside, right.inside), ((5, 5), (5, 5)));
        assert_eq!((left.farthest(-1.0), left.farthest(1.0)), (46.0, 50.0));
        assert_eq!((right.farthest(-1.0), right.farthest(1.0)), (1.0, 5.0));
        let both = Cut::both(&bucket, (times[4], times[44]));
        assert_eq!((both.farthest(-1.0), both.farthest(1.0)), (1.0, 50.0));
    }

    #[test]
    fn a_counter_grows_within_its_bounds_outside() {
        let often: Vec<f64> = (1..=40).map(|i| f64::from(i * 13 % 47 + 2)).collect();
        let by_little: Vec<f64> = (1..=40).map(|i| f64::from(50 - i % 2)).collect();
        for values in [often, by_little] {
            let times: Vec<i64> = (1..=40).map(|i| i * 10).collect();
            let bucket = bucket_of(&times, &values);
            let growth = |from: usize, to: usize| -> f64 {
                let pairs = values[from..=to].windows(2);
                pairs.map(|pair| if pair[1] < pair[0] { pair[1] } else { pair[1] - pair[0] }).sum()
            };
            let last = values.len() - 1;
            for (first_inside, at) in times.iter().enumerate().skip(1) {
                let (left, right) = (Cut::left(&bucket, at - 1), Cut::right(&bucket, at - 1));
                let (before, after) = (growth(0, first_inside), growth(first_inside - 1, last));
                for (cut, outside) in [(left, before), (right, after)] {
                    let (lo, hi) = cut.grown_outside(growth(0, last));
                    assert!(lo <= outside && outside <= hi, "{outside} at {at}: {lo}..={hi}");
                }
            }
            // One pair is outside: a step, or the value after a reset.
            let (lo, hi) = Cut::left(&bucket, times[1] - 1).grown_outside(growth(0, last));
            assert!(lo == 0.0 && hi <= bucket.max, "{lo}..={hi}");
        }
    }
}
