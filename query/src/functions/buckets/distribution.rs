//! Functions of the distribution of a window's values: quantiles, counts of values that meet a condition.

use barograph_engine::rollup::sketch::Extremes;
use barograph_engine::rollup::{Bucket, Sketch, sketch};

use super::over_time::is_constant;
use super::{Answer, Seen};
use crate::functions::window::conditional_count::Condition;

/// `quantile_over_time`, and each column of `quantiles_over_time`.
pub(super) fn quantile(seen: &Seen<'_>, phi: f64) -> Answer {
    let Some(all) = seen.uncut() else { return Answer::Unknown };
    let extremes = Extremes { min: all.min, max: all.max };
    // Without a sketch, all values but the extremes are anywhere between them.
    let between = [(sketch::key(extremes.min), all.count - 1), (sketch::key(extremes.max), 1)];
    let is_finite = extremes.min.is_finite() && extremes.max.is_finite();
    let found = match &all.sketch {
        Some(sketch) => sketch.quantile(phi, extremes, all.nans),
        _ if all.nans > 0 || !is_finite => return Answer::Unknown,
        _ if phi.is_nan() || !(0.0 < phi && phi < 1.0) || is_constant(all) => {
            Sketch::from_counts(between.to_vec()).quantile(phi, extremes, 0)
        }
        _ => return Answer::Unknown,
    };
    let is_exact = found.lo == found.hi || (found.lo.is_nan() && found.hi.is_nan());
    if is_exact { Answer::Exact(found.lo) } else { Answer::Unknown }
}

/// `mad_over_time` of equal values, or with NaN.
pub(super) fn median_deviation(seen: &Seen<'_>, _: f64) -> Answer {
    match seen.uncut() {
        Some(all) if all.nans > 0 => Answer::Exact(f64::NAN),
        Some(all) if is_constant(all) => Answer::Exact(0.0),
        _ => Answer::Unknown,
    }
}

/// `count_*_over_time`
pub(super) fn count(seen: &Seen<'_>, condition: Condition, x: f64) -> Answer {
    Answer::known(met(seen, condition, x).map(|met| met as f64))
}

/// `share_*_over_time`
pub(super) fn share(seen: &Seen<'_>, condition: Condition, x: f64) -> Answer {
    let all = seen.uncut().map(|all| all.count as f64);
    Answer::known(met(seen, condition, x).zip(all).map(|(met, all)| met as f64 / all))
}

/// How many values of the window meet the condition. If all buckets together do not tell, each may.
fn met(seen: &Seen<'_>, condition: Condition, x: f64) -> Option<u64> {
    let all = seen.uncut()?;
    met_in(all, condition, x).or_else(|| seen.parts.iter().map(|part| met_in(part, condition, x)).sum())
}

fn met_in(bucket: &Bucket, condition: Condition, x: f64) -> Option<u64> {
    let numbers = bucket.count - bucket.nans;
    let equal = || match bucket {
        _ if !(bucket.min <= x && x <= bucket.max) => Some(0),
        _ if bucket.min == bucket.max => Some(numbers),
        _ => bucket.sketch.as_ref().filter(|sketch| sketch.rank(x).1 == 0).map(|_| 0),
    };
    let greater = || match bucket {
        _ if x < bucket.min => Some(numbers),
        _ if x.is_nan() || bucket.max.is_nan() || x >= bucket.max => Some(0),
        _ => bucket
            .sketch
            .as_ref()
            .map(|sketch| sketch.rank(x))
            .filter(|rank| rank.1 == 0)
            .map(|(below, _)| numbers - below),
    };
    match condition {
        Condition::Equal => equal(),
        Condition::NotEqual => equal().map(|equal| bucket.count - equal),
        Condition::Greater => greater(),
        Condition::AtMost if x.is_nan() => Some(0),
        Condition::AtMost => greater().map(|greater| numbers - greater),
    }
}
