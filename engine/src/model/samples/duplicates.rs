//! Which of several samples of a series with the same timestamp counts.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Which of several samples of a series with the same timestamp counts. It is the same one wherever the samples meet: in
/// memory, while a log is replayed, in queries and in merges.
///
/// ```
/// use barograph_engine::Duplicates;
/// assert_eq!("max".parse(), Ok(Duplicates::Max));
/// assert_eq!(Duplicates::default().to_string(), "last");
/// assert!("newest".parse::<Duplicates>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Duplicates {
    /// The one that was written last.
    #[default]
    Last,
    /// The one that was written first.
    First,
    /// The largest number. Native histograms take precedence over numbers, and both over NaN and stale markers. Of
    /// histograms and of equal values, the one that was written last.
    Max,
    /// The smallest number, otherwise like [`Duplicates::Max`].
    Min,
}

/// A value as far as it can be compared.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Comparable {
    /// The nearest float, and the integer where that is not exact.
    Number(f64, Option<i64>),
    /// A native histogram.
    Histogram {
        /// Whether its sum is the stale marker, as in a series that has ended.
        is_stale: bool,
    },
}

impl Comparable {
    /// The precedence of its kind. Numbers are compared only within a rank.
    ///
    /// Flushes and merges decide which samples meet first, so the result must not depend on it. That requires a total
    /// order: if a histogram simply replaced the number before it, 0, a histogram and 28 would have two minima.
    fn rank(self) -> u8 {
        match self {
            Comparable::Histogram { is_stale: false } => 2,
            Comparable::Number(value, _) if !value.is_nan() => 1,
            Comparable::Histogram { .. } | Comparable::Number(..) => 0,
        }
    }

    /// The order of two values of the same rank.
    fn cmp_number(self, other: Comparable) -> Ordering {
        let (Comparable::Number(a, exact_a), Comparable::Number(b, exact_b)) = (self, other) else {
            return Ordering::Equal;
        };
        // Floats that are equal although an integer is not exact are integers too.
        let whole = |value: f64, exact: Option<i64>| exact.map_or(value as i128, i128::from);
        let of_floats = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
        of_floats.then_with(|| whole(a, exact_a).cmp(&whole(b, exact_b)))
    }
}

impl Duplicates {
    const NAMES: [(&'static str, Duplicates); 4] = [
        ("last", Duplicates::Last),
        ("first", Duplicates::First),
        ("max", Duplicates::Max),
        ("min", Duplicates::Min),
    ];

    /// Whether the later one of two samples counts.
    #[inline]
    pub(crate) fn is_later(
        self,
        earlier: impl FnOnce() -> Comparable,
        later: impl FnOnce() -> Comparable,
    ) -> bool {
        match self {
            Duplicates::Last => true,
            Duplicates::First => false,
            Duplicates::Max => counts_later(earlier(), later(), Ordering::Greater),
            Duplicates::Min => counts_later(earlier(), later(), Ordering::Less),
        }
    }
}

/// Whether the later one of two values counts, if the earlier one does where it is `better` than the later one.
fn counts_later(earlier: Comparable, later: Comparable, better: Ordering) -> bool {
    match earlier.rank().cmp(&later.rank()) {
        Ordering::Equal => earlier.cmp_number(later) != better,
        of_ranks => of_ranks == Ordering::Less,
    }
}

impl FromStr for Duplicates {
    type Err = String;

    fn from_str(text: &str) -> Result<Duplicates, String> {
        let found = Duplicates::NAMES.into_iter().find(|(name, _)| *name == text);
        found.map(|(_, duplicates)| duplicates).ok_or_else(|| {
            let names = Duplicates::NAMES.map(|(name, _)| name).join(", ");
            format!("{text:?} is not a rule for duplicates; expected one of {names}")
        })
    }
}

impl fmt::Display for Duplicates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Duplicates::NAMES.into_iter().find(|(_, duplicates)| duplicates == self);
        f.write_str(found.map_or("last", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_shown() {
        for (name, duplicates) in Duplicates::NAMES {
            assert_eq!((name.parse(), duplicates.to_string().as_str()), (Ok(duplicates), name));
        }
        let error = "newest".parse::<Duplicates>().unwrap_err();
        assert_eq!(error, "\"newest\" is not a rule for duplicates; expected one of last, first, max, min");
    }

    fn exact(value: i64) -> Comparable {
        Comparable::Number(value as f64, Some(value))
    }

    fn float(value: f64) -> Comparable {
        Comparable::Number(value, None)
    }

    const HISTOGRAM: Comparable = Comparable::Histogram { is_stale: false };
    const STALE_HISTOGRAM: Comparable = Comparable::Histogram { is_stale: true };
    const BIG: i64 = (1 << 53) + 1;

    fn counts(rule: Duplicates, earlier: Comparable, later: Comparable) -> bool {
        rule.is_later(|| earlier, || later)
    }

    #[test]
    fn a_number_counts_more_than_nan_and_integers_are_compared_exactly() {
        for (earlier, later, of_max, of_min) in [
            (float(1.0), float(2.0), true, false),
            (float(2.0), float(1.0), false, true),
            (float(1.0), float(1.0), true, true),
            (float(f64::NAN), float(1.0), true, true),
            (float(1.0), float(f64::NAN), false, false),
            (float(f64::NAN), float(f64::NAN), true, true),
            (float(1.0), HISTOGRAM, true, true),
            (HISTOGRAM, float(1.0), false, false),
            (HISTOGRAM, HISTOGRAM, true, true),
            (STALE_HISTOGRAM, float(1.0), true, true),
            (HISTOGRAM, STALE_HISTOGRAM, false, false),
            (float(f64::NAN), STALE_HISTOGRAM, true, true),
            (exact(BIG), exact(BIG + 1), true, false),
            (float(BIG as f64), exact(BIG), true, false),
        ] {
            assert_eq!(counts(Duplicates::Max, earlier, later), of_max, "{earlier:?} {later:?}");
            assert_eq!(counts(Duplicates::Min, earlier, later), of_min, "{earlier:?} {later:?}");
            assert!(counts(Duplicates::Last, earlier, later) && !counts(Duplicates::First, earlier, later));
        }
    }

    #[test]
    fn the_value_that_counts_does_not_depend_on_which_samples_meet_first() {
        let nan = float(f64::NAN);
        let values =
            [float(0.0), float(28.0), float(-0.0), nan, HISTOGRAM, STALE_HISTOGRAM, exact(BIG), exact(-BIG)];
        let all = || 0..values.len();
        for (_, rule) in Duplicates::NAMES {
            // Each value carries its position, so that two equal values are still two samples.
            let kept = |earlier: (usize, usize), later: (usize, usize)| {
                if counts(rule, values[earlier.1], values[later.1]) { later } else { earlier }
            };
            for (a, b, c) in all().flat_map(|a| all().flat_map(move |b| all().map(move |c| (a, b, c)))) {
                let (a, b, c) = ((0, a), (1, b), (2, c));
                assert_eq!(kept(kept(a, b), c), kept(a, kept(b, c)), "{rule}: {a:?} {b:?} {c:?}");
            }
        }
    }
}
