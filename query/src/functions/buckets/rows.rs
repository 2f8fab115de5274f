//! The rows: for each function, its columns, when its answer is exact, and its evaluator.

use super::{
    Answer, Counter, Kernel, Row, Seen, anchored, change, distribution, estimates, histogram,
    natives::Natively, over_time,
};
use crate::functions::window::conditional_count::Condition;
use crate::functions::window::counter::ChangeKind;
use crate::functions::window::float_histogram::End;
use crate::source::Columns;
use crate::tiers::Bounded;

const WHOLE: &str = "no bucket is cut";
const FIRST: &str = "the left end cuts no bucket";
const LAST: &str = "the right end cuts no bucket";

/// Computes an interval.
type Estimate = fn(&Seen<'_>, f64) -> Option<Bounded>;

/// A row without anything special.
const fn row(columns: Columns, exact: &'static str, kernel: Kernel) -> Row {
    let (bounds, otherwise) = (Columns::NONE, "refused");
    Row {
        columns,
        exact,
        bounds,
        otherwise,
        natives: Natively::Ignored,
        counter: Counter::No,
        kernel,
        refined: None,
        estimate: None,
        estimated_distribution: None,
        anchored: None,
    }
}

impl Row {
    const fn counter(self, counter: Counter) -> Row {
        Row { counter, ..self }
    }

    /// Has an interval where it is not exact. Which buckets are cut, and how, depends on their ends.
    const fn or(self, bounds: Columns, otherwise: &'static str, estimate: Estimate) -> Row {
        Row { bounds: bounds.and(Columns::ENDS), otherwise, estimate: Some(estimate), ..self }
    }

    /// Has answers from native histograms.
    const fn natively(self, natives: Natively) -> Row {
        let hints = if let Natively::End(_) = natives { Columns::HINTS } else { Columns::NONE };
        Row { natives, columns: self.columns.and(Columns::HISTOGRAMS).and(hints), ..self }
    }

    const fn anchored(self, kernel: Kernel) -> Row {
        Row { anchored: Some(kernel), ..self }
    }

    const fn refined(self, refined: fn(&Seen<'_>, f64) -> Answer) -> Row {
        Row { refined: Some(refined), ..self }
    }
}

pub(crate) static COUNT: Row = row(Columns::NONE, WHOLE, over_time::count)
    .or(
        Columns::BOUNDS,
        "the number in the cut buckets, from their shortest and longest distances",
        estimates::count,
    )
    .natively(Natively::Count);
pub(crate) static PRESENT: Row =
    row(Columns::NONE, "a bucket's first or last sample is inside", over_time::present)
        .or(Columns::BOUNDS, "1; it may be absent", estimates::present)
        .natively(Natively::Present);
pub(crate) static SUM: Row = row(Columns::SUM, "no bucket is cut; correctly rounded", over_time::sum)
    .or(
        Columns::BOUNDS.and(Columns::EXTREMES).and(Columns::M2),
        "the least and the greatest sum of the samples inside each cut bucket",
        estimates::sum,
    )
    .natively(Natively::Sum { mean: false });
pub(crate) static MEAN: Row =
    row(Columns::SUM, "no bucket is cut; within one unit in the last place", over_time::mean)
        .or(
            Columns::BOUNDS.and(Columns::EXTREMES).and(Columns::M2),
            "the least and the greatest mean over all numbers of samples inside",
            estimates::mean,
        )
        .natively(Natively::Sum { mean: true });
pub(crate) static VARIANCE: Row =
    row(Columns::SPREAD, "no bucket is cut; within 2^-50 of the true variance", over_time::variance).or(
        Columns::BOUNDS.and(Columns::EXTREMES),
        "the spread inside each cut bucket that its spread, sum, extremes and largest step allow, and the distances of the means",
        estimates::spread::variance,
    );
pub(crate) static DEVIATION: Row =
    row(Columns::SPREAD, "no bucket is cut; within 2^-50 of the true variance", over_time::deviation).or(
        Columns::BOUNDS.and(Columns::EXTREMES),
        "the spread inside each cut bucket that its spread, sum, extremes and largest step allow, and the distances of the means",
        estimates::spread::deviation,
    );
pub(crate) static LEAST: Row = row(Columns::MIN, WHOLE, over_time::least).or(
    Columns::BOUNDS.and(Columns::EXTREMES),
    "from the least that steps from the known ends of cut buckets reach, or that is in others, to the least that must be inside",
    estimates::least,
);
pub(crate) static GREATEST: Row = row(Columns::MAX, WHOLE, over_time::greatest).or(
    Columns::BOUNDS.and(Columns::EXTREMES),
    "from the greatest that must be inside to the greatest that steps from the known ends of cut buckets reach, or that is in others",
    estimates::greatest,
);
pub(crate) static FIRST_VALUE: Row = row(Columns::VALUES, FIRST, over_time::first)
    .or(
        Columns::BOUNDS.and(Columns::EXTREMES),
        "what the bucket's ends, extremes and largest step allow",
        estimates::first,
    )
    .natively(Natively::End(End::First));
pub(crate) static LAST_VALUE: Row = row(Columns::VALUES, LAST, over_time::last)
    .or(
        Columns::BOUNDS.and(Columns::EXTREMES),
        "what the bucket's ends, extremes and largest step allow",
        estimates::last,
    )
    .natively(Natively::End(End::Last));
pub(crate) static FIRST_TIME: Row = row(Columns::TIMES, FIRST, over_time::first_time)
    .or(
        Columns::BOUNDS,
        "what the distances from the left end and from the bucket's ends allow",
        estimates::first_time,
    )
    .natively(Natively::Time(End::First));
pub(crate) static LAST_TIME: Row = row(Columns::TIMES, LAST, over_time::last_time)
    .or(
        Columns::BOUNDS,
        "what the distances from the right end and from the bucket's ends allow",
        estimates::last_time,
    )
    .natively(Natively::Time(End::Last));

const AT_LAST: &str = "no bucket is cut, and the newest bucket with the extreme ends with it";
pub(crate) static TIME_OF_LEAST: Row =
    row(Columns::MIN.and(Columns::ENDS), AT_LAST, over_time::time_of_least);
pub(crate) static TIME_OF_GREATEST: Row =
    row(Columns::MAX.and(Columns::ENDS), AT_LAST, over_time::time_of_greatest);

pub(crate) static DURATION: Row = row(
    Columns::GAPS.and(Columns::TIMES),
    "no bucket is cut; in each, all distances are up to max_gap, or all are longer",
    over_time::duration,
)
.natively(Natively::Refused);

const CONSTANT: &str = "no bucket is cut, and all values are equal";
pub(crate) static SLOPE: Row = row(Columns::EXTREMES.and(Columns::VALUES), CONSTANT, over_time::slope);
pub(crate) static PREDICT: Row = row(Columns::EXTREMES.and(Columns::VALUES), CONSTANT, over_time::predict);
pub(crate) static MEDIAN_DEVIATION: Row = row(Columns::EXTREMES, CONSTANT, distribution::median_deviation);

/// What a counter needs.
const GROWING: Columns = Columns::COUNTER.and(Columns::ENDS);

pub(crate) static RATE: Row =
    row(GROWING, WHOLE, change::rate).counter(Counter::Window).anchored(anchored::rate)
    .or(Columns::BOUNDS.and(Columns::EXTREMES), "the growth outside is what its steps and the values after its resets allow; refused with start times or negative values", estimates::change::rate).natively(Natively::Change(ChangeKind::RATE));
pub(crate) static INCREASE: Row =
    row(GROWING, WHOLE, change::increase).counter(Counter::Window).anchored(anchored::increase)
    .or(Columns::BOUNDS.and(Columns::EXTREMES), "the growth outside is what its steps and the values after its resets allow; refused with start times or negative values", estimates::change::increase).natively(Natively::Change(ChangeKind::INCREASE));
pub(crate) static DELTA: Row = row(Columns::ENDS, WHOLE, change::delta)
    .anchored(anchored::delta)
    .or(
        Columns::BOUNDS.and(Columns::EXTREMES),
        "the range of the last value less that of the first",
        estimates::change::delta,
    )
    .natively(Natively::Change(ChangeKind::DELTA));
pub(crate) static GROWTH: Row = row(GROWING, WHOLE, change::growth).counter(Counter::Previous);
pub(crate) static GROWTH_RATE: Row = row(GROWING, WHOLE, change::growth_rate).counter(Counter::Previous);
pub(crate) static CHANGES: Row = row(Columns::CHANGES.and(Columns::VALUES), WHOLE, change::changes)
    .anchored(anchored::changes)
    .or(
        Columns::BOUNDS,
        "those of the cut buckets that fit between the samples inside",
        estimates::change::changes,
    )
    .natively(Natively::Changes);
pub(crate) static RESETS: Row = row(GROWING, WHOLE, change::resets)
    .anchored(anchored::resets)
    .or(
        Columns::BOUNDS,
        "those of the cut buckets that fit between the samples inside",
        estimates::change::resets,
    )
    .natively(Natively::Resets);

const PAIR: &str = "no bucket is cut, and the last one has one or two samples, or no change";
pub(crate) static INSTANT_DELTA: Row = row(GROWING.and(Columns::CHANGES), PAIR, change::instant_delta)
    .or(
        Columns::BOUNDS.and(Columns::EXTREMES),
        "the last bucket whole: its largest step and its extremes; cut: refused",
        estimates::change::instant_delta,
    )
    .natively(Natively::Instant { counter: false });
pub(crate) static INSTANT_RATE: Row = row(GROWING.and(Columns::CHANGES), PAIR, change::instant_rate)
    .or(
        Columns::BOUNDS.and(Columns::EXTREMES),
        "the last bucket whole: its largest step over its shortest distance; cut, or start times: refused",
        estimates::change::instant_rate,
    )
    .natively(Natively::Instant { counter: true });

/// Sketches cost as much as samples, so they are read only where samples are gone.
const DISTRIBUTION: Columns = Columns::SKETCH.and(Columns::BOUNDS);
const KEYS: &str = "by the keys of the sketch; cut buckets count as copies of their extremes";
pub(crate) static QUANTILE: Row = row(
    Columns::EXTREMES,
    "no bucket is cut; the least or the greatest value, or all are equal",
    distribution::quantile,
)
.refined(distribution::quantile_of_sketch)
.or(DISTRIBUTION, KEYS, estimates::distribution::quantile);

pub(crate) static DISTRIBUTED: Row = Row {
    bounds: DISTRIBUTION.and(Columns::ENDS),
    otherwise: "cut buckets count in proportion; refused with NaN or infinities in them",
    estimated_distribution: Some(histogram::estimated),
    ..row(
        Columns::SUM.and(Columns::SKETCH).and(Columns::EXTREMES),
        "no bucket is cut, and each has a sketch or values with one key; the sum is correctly rounded",
        histogram::distribution,
    )
};

const APART: &str = "no bucket is cut; in each, x is outside the extremes";
const AROUND: &str = "the values beyond the key of x, and those with it; without a sketch, by the extremes";

/// The row of a number or a share of values that meet a condition.
const fn conditional(kernel: Kernel, estimate: Estimate) -> Row {
    row(Columns::EXTREMES, APART, kernel).or(DISTRIBUTION, AROUND, estimate)
}

macro_rules! conditional {
    ($($name:ident = $what:ident $condition:ident;)*) => {$(
        pub(crate) static $name: Row = conditional(
            |series| distribution::$what(series, Condition::$condition),
            |seen, x| estimates::distribution::$what(seen, Condition::$condition, x),
        );
    )*};
}

conditional! {
    COUNT_EQUAL = count Equal;
    COUNT_NOT_EQUAL = count NotEqual;
    COUNT_GREATER = count Greater;
    COUNT_AT_MOST = count AtMost;
    SHARE_EQUAL = share Equal;
    SHARE_GREATER = share Greater;
    SHARE_AT_MOST = share AtMost;
}
