//! Functions of histograms: native ones, sample by sample, and classic ones, whose series
//! are brought together by all their labels but `le`.

use std::collections::HashMap;

use barograph_engine::model::{Histogram, Labels};

use super::Evaluator;
use crate::error::QueryError;
use crate::functions::annotations::{bad_phi, for_metric};
use crate::functions::numbers::dates::rfc3339_ms;
use crate::functions::numbers::quantile::is_phi;
use crate::functions::vectors::classic_histogram::{self, Cumulative, Repair};
use crate::functions::{FunctionId, NameRule};
use crate::histogram::quantile::NanEffect;
use crate::histogram::{fraction, moments, quantile};
use crate::plan::{Call, Node};
use crate::series::merge::settled;
use crate::series::{Points, Series, Vector, is_absent};
use crate::steps::Steps;
use crate::syntax::span::Span;
use crate::value::{go_float, go_two_digits};

const LE: &str = "le";

/// Evaluates a histogram function at all steps.
pub(super) fn evaluate(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vector, QueryError> {
    use FunctionId as F;
    match call.function.id {
        F::HistogramQuantile => {
            let phis = phis(ev, &call.args[0], steps)?;
            let input = Input::of(ev, call, 1, steps)?;
            let mut vector = Vec::new();
            input.each(ev, Question::Quantile(&phis), &mut vector)?;
            Ok(vector)
        }
        F::HistogramQuantiles => quantiles(ev, call, steps),
        F::HistogramFraction => {
            let lower = ev.scalar(&call.args[0], steps)?;
            let upper = ev.scalar(&call.args[1], steps)?;
            let input = Input::of(ev, call, 2, steps)?;
            let mut vector = Vec::new();
            input.each(ev, Question::Fraction(&lower, &upper), &mut vector)?;
            Ok(vector)
        }
        id => simple(ev, call, id, steps),
    }
}

/// `histogram_count` and the like: one number of each native histogram.
fn simple(ev: &mut Evaluator<'_>, call: &Call, id: FunctionId, steps: Steps) -> Result<Vector, QueryError> {
    use FunctionId as F;
    let number: fn(&Histogram) -> f64 = match id {
        F::HistogramCount => |h| h.count,
        F::HistogramSum => |h| h.sum,
        F::HistogramAvg => |h| h.sum / h.count,
        F::HistogramStdvar => moments::variance,
        _ => |h| moments::variance(h).sqrt(),
    };
    let mut vector = ev.vector(&call.args[0], steps)?;
    vector.retain(|s| s.points.histograms.is_some());
    let mut pace = ev.ctx.budget.pace();
    for series in &mut vector {
        pace.points(&series.points)?;
        let mut points = Points::absent(steps.count);
        for (slot, h) in points.floats.iter_mut().zip(series.points.histograms.iter().flatten()) {
            if let Some(h) = h {
                *slot = number(h);
            }
        }
        series.points = points;
        series.drop_name |= call.name_rule == NameRule::Drop;
    }
    vector.retain(|s| s.points.any());
    Ok(vector)
}

fn phis(ev: &mut Evaluator<'_>, node: &Node, steps: Steps) -> Result<Vec<f64>, QueryError> {
    let phis = ev.scalar(node, steps)?;
    for phi in phis.iter().filter(|p| !is_phi(**p)) {
        ev.notes.warn(node.span, bad_phi(*phi));
    }
    Ok(phis)
}

/// `histogram_quantiles(v, "label", φ…)`: one output for each φ, named by the label.
fn quantiles(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vector, QueryError> {
    let label = ev.text(&call.args[1]);
    if label.is_empty() {
        return Err(QueryError::Execution(format!("invalid label name {label:?}")));
    }
    let input = Input::of(ev, call, 0, steps)?;
    let mut vector = Vec::new();
    for arg in &call.args[2..] {
        let phis = phis(ev, arg, steps)?;
        let text = open_metrics_float(phis.first().copied().unwrap_or(f64::NAN));
        let mut of_phi = Vec::new();
        input.each(ev, Question::Quantile(&phis), &mut of_phi)?;
        for series in &mut of_phi {
            let own = settled(&series.labels, series.drop_name);
            series.labels = own.to_builder().set(&label, &text).build();
            series.drop_name = false;
        }
        vector.append(&mut of_phi);
    }
    Ok(vector)
}

/// A float that always shows that it is one: `1.0`.
pub(super) fn open_metrics_float(v: f64) -> String {
    let text = go_float(v);
    if v.is_finite() && !text.contains(['.', 'e']) { format!("{text}.0") } else { text }
}

/// What is asked of each histogram, with arguments for each step.
#[derive(Clone, Copy)]
enum Question<'a> {
    Quantile(&'a [f64]),
    Fraction(&'a [f64], &'a [f64]),
}

/// The histograms of a vector.
struct Input {
    vector: Vector,
    /// Series with native histograms, indices into `vector`, and the classic histogram of
    /// the same labels.
    native: Vec<(usize, Option<usize>)>,
    classic: Vec<Classic>,
    steps: Steps,
    span: Span,
    drops_name: bool,
}

/// The series of one classic histogram.
struct Classic {
    labels: Labels,
    drop_name: bool,
    /// Bound and index into the vector.
    buckets: Vec<(f64, usize)>,
}

impl Input {
    /// The histograms of argument `arg`.
    fn of(ev: &mut Evaluator<'_>, call: &Call, arg: usize, steps: Steps) -> Result<Input, QueryError> {
        let node = &call.args[arg];
        let vector = ev.vector(node, steps)?;
        let span = node.span;
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut classic: Vec<Classic> = Vec::new();
        let mut pace = ev.ctx.budget.pace();
        for (i, series) in vector.iter().enumerate() {
            pace.series(series)?;
            if !series.points.floats.iter().any(|v| !is_absent(*v)) {
                continue;
            }
            let le = series.labels.get(LE).unwrap_or("");
            let Some(bound) = parse_bound(le) else {
                let name = series.labels.metric_name().unwrap_or("");
                let text = format!("bucket label \"le\" is missing or has a malformed value of {le:?}");
                ev.notes.warn(span, for_metric(&text, name));
                continue;
            };
            let labels = series.labels.without(|n| n == LE);
            let place = *places.entry(labels).or_insert_with_key(|labels| {
                classic.push(Classic { labels: labels.clone(), drop_name: false, buckets: Vec::new() });
                classic.len() - 1
            });
            classic[place].drop_name |= series.drop_name;
            classic[place].buckets.push((bound, i));
        }
        let has_histograms = vector.iter().enumerate().filter(|(_, s)| s.points.histograms.is_some());
        let native =
            has_histograms.map(|(i, s)| (i, places.get(&s.labels.without(|n| n == LE)).copied())).collect();
        let drops_name = call.name_rule == NameRule::Drop;
        Ok(Input { vector, native, classic, steps, span, drops_name })
    }

    /// Answers a question for every histogram, under its own labels.
    fn each(
        &self,
        ev: &mut Evaluator<'_>,
        question: Question<'_>,
        out: &mut Vector,
    ) -> Result<(), QueryError> {
        let mut both: Vec<Vec<bool>> = vec![Vec::new(); self.classic.len()];
        for &(i, twin) in &self.native {
            ev.ctx.budget.check()?;
            let series = &self.vector[i];
            let points = self.native_points(ev, series, twin, question, &mut both);
            let drop_name = self.drops_name || series.drop_name;
            out.push(Series { labels: series.labels.clone(), drop_name, points });
        }
        for (c, both) in self.classic.iter().zip(both) {
            ev.ctx.budget.check()?;
            let points = self.classic_points(ev, c, question, &both);
            let drop_name = self.drops_name || c.drop_name;
            out.push(Series { labels: c.labels.clone(), drop_name, points });
        }
        out.retain(|s| s.points.any());
        Ok(())
    }

    fn native_points(
        &self,
        ev: &mut Evaluator<'_>,
        series: &Series,
        twin: Option<usize>,
        question: Question<'_>,
        both: &mut [Vec<bool>],
    ) -> Points {
        let name = series.labels.metric_name().unwrap_or("");
        let mut points = Points::absent(self.steps.count);
        for i in 0..self.steps.count {
            let Some(h) = series.points.histogram(i) else { continue };
            if let Some(twin) = twin.filter(|&t| self.has_bucket(t, i)) {
                both[twin].resize(self.steps.count, false);
                both[twin][i] = true;
                let text = "vector contains a mix of classic and native histograms";
                ev.notes.warn(self.span, for_metric(text, name));
                continue;
            }
            points.floats[i] = match question {
                Question::Quantile(phis) => {
                    let (v, effect) = quantile::quantile(phis[i], h);
                    note_nan(ev, effect, name, self.span);
                    v
                }
                Question::Fraction(lower, upper) => {
                    let (v, has_nan) = fraction::fraction(lower[i], upper[i], h);
                    if has_nan {
                        let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
                        ev.notes.info(self.span, for_metric(text, name));
                    }
                    v
                }
            };
        }
        points
    }

    fn has_bucket(&self, classic: usize, step: usize) -> bool {
        self.classic[classic].buckets.iter().any(|&(_, s)| !is_absent(self.vector[s].points.floats[step]))
    }

    fn classic_points(
        &self,
        ev: &mut Evaluator<'_>,
        c: &Classic,
        question: Question<'_>,
        skip: &[bool],
    ) -> Points {
        let mut points = Points::absent(self.steps.count);
        let mut buckets: Vec<Cumulative> = Vec::with_capacity(c.buckets.len());
        let mut repairs = Repairs::default();
        for i in 0..self.steps.count {
            if skip.get(i).copied().unwrap_or(false) {
                continue;
            }
            buckets.clear();
            for &(upper, series) in &c.buckets {
                let count = self.vector[series].points.floats[i];
                if !is_absent(count) {
                    buckets.push(Cumulative { upper, count });
                }
            }
            if buckets.is_empty() {
                continue;
            }
            classic_histogram::order(&mut buckets);
            points.floats[i] = match question {
                Question::Fraction(lower, upper) => classic_histogram::fraction(lower[i], upper[i], &buckets),
                // Without a φ or a total nobody looks at the counts, so they need no repair.
                Question::Quantile(phis) if !is_phi(phis[i]) => {
                    classic_histogram::quantile(phis[i], &buckets)
                }
                Question::Quantile(_) if !classic_histogram::is_complete(&buckets) => f64::NAN,
                Question::Quantile(phis) => {
                    repairs.add(classic_histogram::raise(&mut buckets), self.steps.at(i));
                    classic_histogram::quantile(phis[i], &buckets)
                }
            };
        }
        repairs.note(ev, c.labels.metric_name().unwrap_or(""), self.span);
        points
    }
}

/// A bound as `le` writes it.
fn parse_bound(text: &str) -> Option<f64> {
    text.parse().ok().filter(|_| !text.is_empty())
}

fn note_nan(ev: &mut Evaluator<'_>, effect: NanEffect, name: &str, span: Span) {
    let result = match effect {
        NanEffect::No => return,
        NanEffect::Result => "result is NaN",
        NanEffect::Skewed => "result is skewed higher",
    };
    let text = format!("input to histogram_quantile has NaN observations, {result}");
    ev.notes.info(span, for_metric(&text, name));
}

/// All repairs of one classic histogram, for a single note.
#[derive(Default)]
struct Repairs {
    whole: Option<Repair>,
    count: usize,
    first_ms: i64,
    last_ms: i64,
}

impl Repairs {
    fn add(&mut self, repair: Option<Repair>, time_ms: i64) {
        let Some(repair) = repair else { return };
        if self.count == 0 {
            self.first_ms = time_ms;
        }
        self.last_ms = time_ms;
        self.count += 1;
        let whole = self.whole.get_or_insert(repair);
        whole.lowest = whole.lowest.min(repair.lowest);
        whole.highest = whole.highest.max(repair.highest);
        whole.difference = whole.difference.max(repair.difference);
    }

    fn note(&self, ev: &mut Evaluator<'_>, name: &str, span: Span) {
        let Some(repair) = self.whole else { return };
        let text = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        ev.notes.info(
            span,
            format!(
                "{}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                for_metric(text, name),
                go_float(repair.lowest),
                go_float(repair.highest),
                go_two_digits(repair.difference),
                self.count,
                rfc3339_ms(self.first_ms),
                rfc3339_ms(self.last_ms)
            ),
        );
    }
}
