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
    /// The largest number. Numbers take precedence over NaN and stale markers. If the values are equal, or one is a native
    /// histogram, the one that was written last.
    Max,
    /// The smallest number, otherwise like [`Duplicates::Max`].
    Min,
}

/// A value as far as it can be compared: the nearest float, and the integer where that is not exact; `None` for a
/// histogram.
pub(crate) type Comparable = Option<(f64, Option<i64>)>;

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
    let (Some((a, exact_a)), Some((b, exact_b))) = (earlier, later) else { return true };
    // Floats that are equal although an integer is not exact are integers too.
    let whole = |value: f64, exact: Option<i64>| exact.map_or(value as i128, i128::from);
    match a.partial_cmp(&b) {
        Some(order) => order.then_with(|| whole(a, exact_a).cmp(&whole(b, exact_b))) != better,
        None => a.is_nan(),
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

    #[test]
    fn a_number_counts_more_than_nan_and_integers_are_compared_exactly() {
        let big = (1i64 << 53) + 1;
        let exact = |value: i64| Some((value as f64, Some(value)));
        let float = |value: f64| Some((value, None));
        let (max, min) = (Duplicates::Max, Duplicates::Min);
        let counts = |rule: Duplicates, earlier, later| rule.is_later(|| earlier, || later);
        for (earlier, later, of_max, of_min) in [
            (float(1.0), float(2.0), true, false),
            (float(2.0), float(1.0), false, true),
            (float(1.0), float(1.0), true, true),
            (float(f64::NAN), float(1.0), true, true),
            (float(1.0), float(f64::NAN), false, false),
            (float(f64::NAN), float(f64::NAN), true, true),
            (float(1.0), None, true, true),
            (exact(big), exact(big + 1), true, false),
            (float(big as f64), exact(big), true, false),
        ] {
            assert_eq!(counts(max, earlier, later), of_max, "{earlier:?} {later:?}");
            assert_eq!(counts(min, earlier, later), of_min, "{earlier:?} {later:?}");
            assert!(counts(Duplicates::Last, earlier, later) && !counts(Duplicates::First, earlier, later));
        }
    }
}
