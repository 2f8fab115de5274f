//! The rows: for each function, its columns, when its answer is exact, and its evaluator.

use super::{Answer, Counter, Row, Seen, anchored, change, distribution, over_time};
use crate::functions::window::conditional_count::Condition;
use crate::source::Columns;

const WHOLE: &str = "no bucket is cut";
const FIRST: &str = "the left end cuts no bucket";
const LAST: &str = "the right end cuts no bucket";

/// A row without anything special.
const fn row(columns: Columns, exact: &'static str, answer: fn(&Seen<'_>, f64) -> Answer) -> Row {
    Row { columns, exact, counter: Counter::No, answer, anchored: None }
}

impl Row {
    const fn counter(self, counter: Counter) -> Row {
        Row { counter, ..self }
    }

    const fn anchored(self, answer: fn(&Seen<'_>, f64) -> Answer) -> Row {
        Row { anchored: Some(answer), ..self }
    }
}

pub(crate) static COUNT: Row = row(Columns::NONE, WHOLE, over_time::count);
pub(crate) static PRESENT: Row =
    row(Columns::NONE, "a bucket's first or last sample is inside", over_time::present);
pub(crate) static SUM: Row = row(Columns::SUM, "no bucket is cut; correctly rounded", over_time::sum);
pub(crate) static MEAN: Row =
    row(Columns::SUM, "no bucket is cut; within one unit in the last place", over_time::mean);
pub(crate) static VARIANCE: Row =
    row(Columns::SPREAD, "no bucket is cut; within 2^-50 of the true variance", over_time::variance);
pub(crate) static DEVIATION: Row =
    row(Columns::SPREAD, "no bucket is cut; within 2^-50 of the true variance", over_time::deviation);
pub(crate) static LEAST: Row = row(Columns::EXTREMES, WHOLE, over_time::least);
pub(crate) static GREATEST: Row = row(Columns::EXTREMES, WHOLE, over_time::greatest);
pub(crate) static FIRST_VALUE: Row = row(Columns::NONE, FIRST, over_time::first);
pub(crate) static LAST_VALUE: Row = row(Columns::NONE, LAST, over_time::last);
pub(crate) static FIRST_TIME: Row = row(Columns::NONE, FIRST, over_time::first_time);
pub(crate) static LAST_TIME: Row = row(Columns::NONE, LAST, over_time::last_time);

const AT_LAST: &str = "no bucket is cut, and the newest bucket with the extreme ends with it";
pub(crate) static TIME_OF_LEAST: Row = row(Columns::EXTREMES, AT_LAST, over_time::time_of_least);
pub(crate) static TIME_OF_GREATEST: Row = row(Columns::EXTREMES, AT_LAST, over_time::time_of_greatest);

pub(crate) static DURATION: Row = row(
    Columns::BOUNDS,
    "no bucket is cut; in each, all distances are up to max_gap, or all are longer",
    over_time::duration,
);

const CONSTANT: &str = "no bucket is cut, and all values are equal";
pub(crate) static SLOPE: Row = row(Columns::EXTREMES, CONSTANT, over_time::slope);
pub(crate) static PREDICT: Row = row(Columns::EXTREMES, CONSTANT, over_time::predict);
pub(crate) static MEDIAN_DEVIATION: Row = row(Columns::EXTREMES, CONSTANT, distribution::median_deviation);

pub(crate) static RATE: Row =
    row(Columns::COUNTER, WHOLE, change::rate).counter(Counter::Window).anchored(anchored::rate);
pub(crate) static INCREASE: Row =
    row(Columns::COUNTER, WHOLE, change::increase).counter(Counter::Window).anchored(anchored::increase);
pub(crate) static DELTA: Row = row(Columns::NONE, WHOLE, change::delta).anchored(anchored::delta);
pub(crate) static GROWTH: Row = row(Columns::COUNTER, WHOLE, change::growth).counter(Counter::Previous);
pub(crate) static GROWTH_RATE: Row =
    row(Columns::COUNTER, WHOLE, change::growth_rate).counter(Counter::Previous);
pub(crate) static CHANGES: Row = row(Columns::CHANGES, WHOLE, change::changes).anchored(anchored::changes);
pub(crate) static RESETS: Row = row(Columns::COUNTER, WHOLE, change::resets).anchored(anchored::resets);

const PAIR: &str = "no bucket is cut, and the last one has one or two samples, or no change";
pub(crate) static INSTANT_DELTA: Row =
    row(Columns::COUNTER.and(Columns::CHANGES), PAIR, change::instant_delta);
pub(crate) static INSTANT_RATE: Row = row(Columns::COUNTER.and(Columns::CHANGES), PAIR, change::instant_rate);

const DISTRIBUTION: Columns = Columns::SKETCH.and(Columns::EXTREMES);
pub(crate) static QUANTILE: Row = row(
    DISTRIBUTION,
    "no bucket is cut; the least or the greatest value, or one with a key of its own",
    distribution::quantile,
);

const APART: &str = "no bucket is cut; in each, x is outside the extremes, or no value has its key";

/// The row of a number or a share of values that meet a condition.
const fn conditional(answer: fn(&Seen<'_>, f64) -> Answer) -> Row {
    row(DISTRIBUTION, APART, answer)
}

pub(crate) static COUNT_EQUAL: Row = conditional(|s, x| distribution::count(s, Condition::Equal, x));
pub(crate) static COUNT_NOT_EQUAL: Row = conditional(|s, x| distribution::count(s, Condition::NotEqual, x));
pub(crate) static COUNT_GREATER: Row = conditional(|s, x| distribution::count(s, Condition::Greater, x));
pub(crate) static COUNT_AT_MOST: Row = conditional(|s, x| distribution::count(s, Condition::AtMost, x));
pub(crate) static SHARE_EQUAL: Row = conditional(|s, x| distribution::share(s, Condition::Equal, x));
pub(crate) static SHARE_GREATER: Row = conditional(|s, x| distribution::share(s, Condition::Greater, x));
pub(crate) static SHARE_AT_MOST: Row = conditional(|s, x| distribution::share(s, Condition::AtMost, x));
