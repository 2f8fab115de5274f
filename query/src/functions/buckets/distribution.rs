//! Functions of the distribution of a window's values: quantiles, counts of values that meet a condition.

use barograph_engine::rollup::sketch::Extremes;
use barograph_engine::rollup::{BucketColumns, Sketch, sketch};

use super::over_time::Constant;
use super::{Answer, Evaluator, Seen, Series, Span, uncut};
use crate::functions::window::conditional_count::{Condition, SlidingSum};

/// `quantile_over_time`, and each column of `quantiles_over_time`.
pub(super) fn quantile(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    let mut constant = Constant::of(columns);
    let mut counts = SlidingSum::default();
    Box::new(move |span, phi| {
        // A sketch says more.
        if span.is_cut() || !columns.sketches.is_usual() {
            return Answer::Unknown;
        }
        let count = counts.advance_over(span.rows(), &columns.counts);
        let (min, max) = constant.extremes(span);
        if constant.nans(span) > 0 || !(min.is_finite() && max.is_finite()) {
            return Answer::Unknown;
        }
        let is_inside = 0.0 < phi && phi < 1.0;
        if is_inside && min != max {
            return Answer::Unknown;
        }
        // Without a sketch, all values but the extremes are anywhere between them.
        let between = vec![(sketch::key(min), count - 1), (sketch::key(max), 1)];
        exact(&Sketch::from_counts(between), phi, Extremes { min, max }, 0)
    })
}

/// The same of merged buckets that have a sketch.
pub(super) fn quantile_of_sketch(seen: &Seen<'_>, phi: f64) -> Answer {
    let Some(all) = seen.uncut() else { return Answer::Unknown };
    match &all.sketch {
        Some(sketch) => exact(sketch, phi, Extremes { min: all.min, max: all.max }, all.nans),
        None => Answer::Unknown,
    }
}

/// A quantile, if all values with its key are equal.
fn exact(sketch: &Sketch, phi: f64, extremes: Extremes, nans: u64) -> Answer {
    let found = sketch.quantile(phi, extremes, nans);
    let is_exact = found.lo == found.hi || (found.lo.is_nan() && found.hi.is_nan());
    if is_exact { Answer::Exact(found.lo) } else { Answer::Unknown }
}

/// `mad_over_time` of equal values, or with NaN.
pub(super) fn median_deviation(Series { columns, .. }: Series<'_>) -> Evaluator<'_> {
    let mut constant = Constant::of(columns);
    uncut(move |span, _| match constant.nans(span) {
        0 => constant.is_constant(span).then_some(0.0),
        _ => Some(f64::NAN),
    })
}

/// `count_*_over_time`
pub(super) fn count(Series { columns, .. }: Series<'_>, condition: Condition) -> Evaluator<'_> {
    let mut met = Met::of(columns, condition);
    uncut(move |span, x| met.number(span, x).map(|met| met as f64))
}

/// `share_*_over_time`
pub(super) fn share(Series { columns, .. }: Series<'_>, condition: Condition) -> Evaluator<'_> {
    let mut met = Met::of(columns, condition);
    let mut counts = SlidingSum::default();
    uncut(move |span, x| {
        let all = counts.advance_over(span.rows(), &columns.counts);
        met.number(span, x).map(|met| met as f64 / all as f64)
    })
}

/// Counts the values of moving windows that meet a condition.
struct Met<'c> {
    columns: &'c BucketColumns,
    condition: Condition,
    met: SlidingSum,
    unknown: SlidingSum,
}

impl<'c> Met<'c> {
    fn of(columns: &'c BucketColumns, condition: Condition) -> Self {
        Met { columns, condition, met: SlidingSum::default(), unknown: SlidingSum::default() }
    }

    /// How many values of a window meet it, if each of its buckets tells.
    fn number(&mut self, span: &Span<'_>, x: f64) -> Option<u64> {
        let Met { columns, condition, met, unknown } = self;
        let of = |row: usize| met_in(columns, row, *condition, x);
        if unknown.advance(span.rows(), x, |row| of(row).is_none().into()) > 0 {
            return None;
        }
        Some(met.advance(span.rows(), x, |row| of(row).unwrap_or(0)))
    }
}

fn met_in(columns: &BucketColumns, row: usize, condition: Condition, x: f64) -> Option<u64> {
    let (count, min, max) = (columns.counts[row], columns.minima[row], columns.maxima[row]);
    let numbers = count - columns.nans.at(row);
    // The values below x, if none has its key.
    let below = || {
        let rank = columns.sketches.get(row).as_ref().map(|sketch| sketch.rank(x));
        rank.filter(|rank| rank.1 == 0).map(|(below, _)| below)
    };
    let equal = || match () {
        () if !(min <= x && x <= max) => Some(0),
        () if min == max => Some(numbers),
        () => below().map(|_| 0),
    };
    let greater = || match () {
        () if x < min => Some(numbers),
        () if x.is_nan() || max.is_nan() || x >= max => Some(0),
        () => below().map(|below| numbers - below),
    };
    match condition {
        Condition::Equal => equal(),
        Condition::NotEqual => equal().map(|equal| count - equal),
        Condition::Greater => greater(),
        Condition::AtMost if x.is_nan() => Some(0),
        Condition::AtMost => greater().map(|greater| numbers - greater),
    }
}
