//! The rows of the contract: for each function its answer from samples, and its answer or its bounds from buckets.

use barograph_engine::rollup::Bucket;
use barograph_engine::rollup::sketch::Extremes;

use crate::bounds::{self, Interval};
use crate::exact::{self, Sum};
use crate::raw::{self, Ends, Kind};
use crate::series::{BASE, Sample};
use crate::spread;
use crate::window::{Fold, Newest, is_plain, newest};

/// A window over a series.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The left end, exclusive.
    pub start: i64,
    /// The right end, inclusive.
    pub end: i64,
    /// The samples inside, without markers.
    pub inside: &'a [Sample],
    /// All entries of the series up to the right end, markers too.
    pub until: &'a [Sample],
    /// The buckets of the series.
    pub buckets: &'a [Bucket],
    /// Those of the window.
    pub fold: &'a Fold,
    /// A threshold.
    pub x: f64,
    /// A rank.
    pub phi: f64,
    /// How far back an instant selector looks.
    pub lookback: i64,
}

impl Case<'_> {
    fn values(&self) -> Vec<f64> {
        self.inside.iter().map(|sample| sample.value).collect()
    }
}

/// What buckets say.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// This, or that there is no result.
    Exact(Option<f64>),
    /// Something in the interval, and this is the best guess.
    Within(Interval),
    /// Nothing: the query needs samples, or is refused.
    Refused,
}

impl From<Option<Interval>> for Answer {
    fn from(interval: Option<Interval>) -> Self {
        interval.map_or(Answer::Refused, Answer::Within)
    }
}

/// When an exact answer is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The same bits.
    Bits,
    /// The same number or NaN.
    Number,
    /// The true mean, rounded, or a neighbour of that.
    Mean,
    /// Within 2^-50 of the true variance.
    Variance,
}

impl Close {
    /// Whether `answer` is as close to the truth as it must be.
    pub fn accepts(self, case: &Case<'_>, answer: Option<f64>, truth: Option<f64>) -> bool {
        let (Some(answer), Some(truth)) = (answer, truth) else { return answer.is_none() == truth.is_none() };
        let same = answer == truth || (answer.is_nan() && truth.is_nan());
        match self {
            Close::Bits => answer.to_bits() == truth.to_bits(),
            Close::Number => same,
            _ if !truth.is_finite() || same => same,
            Close::Mean => {
                let values = case.values();
                exact::is_mean(answer, &Sum::of(values.iter().copied()), values.len() as u64)
            }
            Close::Variance => (answer - truth).abs() <= truth * 2f64.powi(-50) + f64::MIN_POSITIVE,
        }
    }
}

/// Which columns of a cut bucket the bounds of a function read, beside its ends, distances and step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Sums and extremes.
    Sums,
    /// The distribution of values, and no step.
    Distribution,
    /// The extremes.
    Extremes,
    /// What a counter has lost, and the extremes.
    Growth,
    /// Only the number of changes, or of resets.
    Events,
}

/// A row of the contract.
pub struct Row {
    /// The function.
    pub name: &'static str,
    /// Which differences an exact answer may have.
    pub close: Close,
    /// The answer from samples.
    pub truth: fn(&Case<'_>) -> Option<f64>,
    /// The answer from buckets.
    pub answer: fn(&Case<'_>) -> Answer,
    /// What other samples must keep to show how much of a bound could be reached.
    pub reads: Reads,
}

/// A row for the values of a window.
const fn row(
    name: &'static str,
    close: Close,
    truth: fn(&Case<'_>) -> Option<f64>,
    answer: fn(&Case<'_>) -> Answer,
) -> Row {
    Row { name, close, truth, answer, reads: Reads::Sums }
}

impl Row {
    /// The same with other columns that its bounds read.
    const fn reads(self, reads: Reads) -> Row {
        Row { reads, ..self }
    }
}

/// All rows.
pub const ROWS: &[Row] = &[
    row("count", Close::Bits, |c| some(c, c.inside.len() as f64), count).reads(Reads::Extremes),
    row("sum", Close::Number, true_sum, sum),
    row("avg", Close::Mean, true_mean, mean),
    row("min", Close::Bits, |c| extreme(c, |a, b| a < b), least).reads(Reads::Extremes),
    row("max", Close::Bits, |c| extreme(c, |a, b| a > b), greatest).reads(Reads::Extremes),
    row("first", Close::Bits, |c| c.inside.first().map(|s| s.value), first).reads(Reads::Extremes),
    row("last", Close::Bits, |c| c.inside.last().map(|s| s.value), last).reads(Reads::Extremes),
    row("ts_of_first", Close::Bits, |c| time(c.inside.first()), first_time).reads(Reads::Extremes),
    row("ts_of_last", Close::Bits, |c| time(c.inside.last()), last_time).reads(Reads::Extremes),
    row("stdvar", Close::Variance, true_variance, variance),
    row("rate", Close::Number, |c| change(c, Kind::Rate), |c| changed(c, Kind::Rate)).reads(Reads::Growth),
    row("increase", Close::Number, |c| change(c, Kind::Increase), |c| changed(c, Kind::Increase))
        .reads(Reads::Growth),
    row("delta", Close::Number, |c| change(c, Kind::Delta), |c| changed(c, Kind::Delta))
        .reads(Reads::Extremes),
    row("changes", Close::Bits, |c| some(c, raw::changes(c.inside) as f64), changes).reads(Reads::Events),
    row("resets", Close::Bits, |c| some(c, raw::resets(c.inside).0 as f64), resets).reads(Reads::Events),
    row("quantile", Close::Number, true_quantile, quantile).reads(Reads::Distribution),
    row("count_gt", Close::Bits, true_count_above, count_above).reads(Reads::Distribution),
    row("idelta", Close::Number, true_last_difference, last_difference),
    row("instant", Close::Bits, true_newest, newest_value),
];

fn some(case: &Case<'_>, value: f64) -> Option<f64> {
    (!case.inside.is_empty()).then_some(value)
}

fn time(sample: Option<&Sample>) -> Option<f64> {
    sample.map(|sample| shown(sample.time))
}

/// A time as a float, in nanoseconds from a near one, so that none are lost.
fn shown(time: i64) -> f64 {
    (time - BASE) as f64
}

fn true_sum(case: &Case<'_>) -> Option<f64> {
    some(case, Sum::of(case.values()).value())
}

fn true_mean(case: &Case<'_>) -> Option<f64> {
    true_sum(case).map(|sum| sum / case.inside.len() as f64)
}

fn true_variance(case: &Case<'_>) -> Option<f64> {
    let values = case.values();
    let finite = values.iter().all(|value| value.is_finite());
    some(case, if finite { exact::variance(&values) } else { f64::NAN })
}

/// The first value that none beats, among those that are not NaN.
fn extreme(case: &Case<'_>, beats: fn(f64, f64) -> bool) -> Option<f64> {
    let pick = |best: f64, value: f64| if beats(value, best) || best.is_nan() { value } else { best };
    case.values().into_iter().reduce(pick)
}

fn true_quantile(case: &Case<'_>) -> Option<f64> {
    some(case, if case.inside.is_empty() { 0.0 } else { raw::quantile(&case.values(), case.phi) })
}

fn true_count_above(case: &Case<'_>) -> Option<f64> {
    some(case, case.inside.iter().filter(|sample| sample.value > case.x).count() as f64)
}

fn true_last_difference(case: &Case<'_>) -> Option<f64> {
    let [.., before, last] = case.inside else { return None };
    Some(last.value - before.value)
}

fn true_newest(case: &Case<'_>) -> Option<f64> {
    let newest = case.until.last()?;
    (!newest.is_marker() && newest.time > case.end - case.lookback).then_some(newest.value)
}

fn change(case: &Case<'_>, kind: Kind) -> Option<f64> {
    let (first, last) = (case.inside.first()?, case.inside.last()?);
    let ends = Ends {
        count: case.inside.len() as u64,
        first: (first.time, first.value),
        last: (last.time, last.value),
        lost: raw::resets(case.inside).1.value(),
    };
    raw::extrapolated(kind, (case.start, case.end), &ends)
}

/// The bucket of a window that cuts none; `Err` with the answer of one that does, or that has no samples.
fn whole<'a>(case: &Case<'a>, cut: impl Fn(&Fold) -> Option<Interval>) -> Result<&'a Bucket, Answer> {
    let fold = case.fold;
    match &fold.whole {
        _ if !fold.cuts.is_empty() && fold.count().0 == 0 => Err(Answer::Refused),
        _ if !fold.cuts.is_empty() => Err(cut(fold).into()),
        None => Err(Answer::Exact(None)),
        Some(whole) => Ok(whole),
    }
}

fn answered(whole: Result<&Bucket, Answer>, exact: impl Fn(&Bucket) -> Answer) -> Answer {
    whole.map_or_else(|answer| answer, exact)
}

fn exactly(value: f64) -> Answer {
    Answer::Exact(Some(value))
}

fn count(case: &Case<'_>) -> Answer {
    answered(whole(case, |fold| Some(bounds::count(fold))), |all| exactly(all.count as f64))
}

fn sum(case: &Case<'_>) -> Answer {
    answered(whole(case, bounds::sum), |all| match all.sum.is_huge() {
        true => Answer::Refused,
        false => exactly(all.sum.value()),
    })
}

fn mean(case: &Case<'_>) -> Answer {
    answered(whole(case, bounds::mean), |all| match all.sum.is_huge() {
        true => Answer::Refused,
        false => exactly(all.sum.value() / all.count as f64),
    })
}

fn least(case: &Case<'_>) -> Answer {
    answered(whole(case, |fold| bounds::greatest(fold, -1.0).map(Interval::negated)), |all| exactly(all.min))
}

fn greatest(case: &Case<'_>) -> Answer {
    answered(whole(case, |fold| bounds::greatest(fold, 1.0)), |all| exactly(all.max))
}

fn first(case: &Case<'_>) -> Answer {
    answered(whole(case, bounds::first), |all| exactly(all.first.value))
}

fn last(case: &Case<'_>) -> Answer {
    answered(whole(case, bounds::last), |all| exactly(all.last.value))
}

fn first_time(case: &Case<'_>) -> Answer {
    let cut = |fold: &Fold| {
        bounds::first_time(fold, case.start, case.end).map(|(a, b)| Interval::of(shown(a), shown(b)))
    };
    answered(whole(case, cut), |all| exactly(shown(all.first.time)))
}

fn last_time(case: &Case<'_>) -> Answer {
    let cut = |fold: &Fold| {
        bounds::last_time(fold, case.start, case.end).map(|(a, b)| Interval::of(shown(a), shown(b)))
    };
    answered(whole(case, cut), |all| exactly(shown(all.last.time)))
}

fn variance(case: &Case<'_>) -> Answer {
    answered(whole(case, spread::variance), |all| {
        let variance = (all.m2 + all.m2_rest) / all.count as f64;
        let overflows = all.sum.is_huge() || is_plain(all) && !variance.is_finite();
        if overflows { Answer::Refused } else { exactly(variance) }
    })
}

fn changed(case: &Case<'_>, kind: Kind) -> Answer {
    let window = (case.start, case.end);
    answered(whole(case, |fold| bounds::change(fold, window, kind)), |all| {
        if kind != Kind::Delta && all.lost.is_huge() {
            return Answer::Refused;
        }
        let ends = Ends {
            count: all.count,
            first: (all.first.time, all.first.value),
            last: (all.last.time, all.last.value),
            lost: all.lost.value(),
        };
        Answer::Exact(raw::extrapolated(kind, window, &ends))
    })
}

fn changes(case: &Case<'_>) -> Answer {
    answered(whole(case, |fold| bounds::pairs(fold, |bucket| bucket.changes)), |all| {
        exactly(all.changes as f64)
    })
}

fn resets(case: &Case<'_>) -> Answer {
    answered(whole(case, |fold| bounds::pairs(fold, |bucket| bucket.resets)), |all| {
        exactly(all.resets as f64)
    })
}

fn quantile(case: &Case<'_>) -> Answer {
    answered(whole(case, |fold| bounds::quantile(fold, case.phi)), |all| {
        let Some(sketch) = &all.sketch else { return Answer::Refused };
        let quantile = sketch.quantile(case.phi, Extremes { min: all.min, max: all.max }, all.nans);
        match quantile.is_exact() || quantile.lo.is_nan() {
            true => exactly(quantile.value),
            false => Answer::Within(Interval { lo: quantile.lo, value: quantile.value, hi: quantile.hi }),
        }
    })
}

fn count_above(case: &Case<'_>) -> Answer {
    answered(whole(case, |fold| bounds::count_above(fold, case.x)), |_| {
        let (lo, hi) = bounds::above_each(&case.fold.parts, case.x);
        if lo == hi { exactly(lo as f64) } else { Answer::Within(Interval::of(lo as f64, hi as f64)) }
    })
}

fn last_difference(case: &Case<'_>) -> Answer {
    answered(whole(case, |_| None), |all| {
        let parts = &case.fold.parts;
        let (newest, before) = (&parts[parts.len() - 1], parts.len().checked_sub(2).map(|at| &parts[at]));
        match (newest.count, before) {
            _ if all.count < 2 => Answer::Exact(None),
            (1, Some(before)) => exactly(newest.last.value - before.last.value),
            (2, _) => exactly(newest.last.value - newest.first.value),
            _ if !is_plain(newest) => Answer::Refused,
            _ if newest.changes == 0 => exactly(0.0),
            _ => Answer::Within(bounds::last_difference(newest)),
        }
    })
}

fn newest_value(case: &Case<'_>) -> Answer {
    match newest(case.buckets, case.end, case.lookback) {
        Newest::Known(value) => Answer::Exact(value),
        Newest::Within(bucket) => {
            let sure = bucket.markers == 0 && bucket.gaps.max <= case.lookback && is_plain(&bucket);
            if sure { Answer::Within(Interval::of(bucket.min, bucket.max)) } else { Answer::Refused }
        }
    }
}
