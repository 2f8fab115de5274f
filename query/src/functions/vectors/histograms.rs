//! Quantiles and fractions of histograms: native ones, sample by sample, and classic ones, whose series are combined by
//! all their labels except `le`.

use std::collections::HashMap;

use barograph_engine::model::Labels;

use super::classic_histogram::{self, Cumulative, Repair};
use crate::annotations::for_metric;
use crate::error::QueryError;
use crate::functions::arguments::Arguments;
use crate::histogram::quantile::NanEffect;
use crate::histogram::{fraction, quantile};
use crate::merge::settled;
use crate::numbers::dates::rfc3339_ms;
use crate::numbers::go::{go_float, go_two_digits};
use crate::numbers::quantile::{is_phi, phi_name};
use crate::series::{Points, Series, Value, Vector, is_absent};
use crate::span::Span;
use crate::steps::Steps;

const LE: &str = "le";

/// `histogram_quantile(φ, v)`
pub(crate) fn quantile(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let phis = args.scalar(0)?;
    let input = Input::of(args, 1)?;
    let mut vector = Vec::new();
    input.each(args, Question::Quantile(&phis), &mut vector)?;
    Ok(Value::Vector(vector))
}

/// `histogram_fraction(lower, upper, v)`
pub(crate) fn fraction(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let lower = args.scalar(0)?;
    let upper = args.scalar(1)?;
    let input = Input::of(args, 2)?;
    let mut vector = Vec::new();
    input.each(args, Question::Fraction(&lower, &upper), &mut vector)?;
    Ok(Value::Vector(vector))
}

/// `histogram_quantiles(v, "label", φ…)`: one output for each φ, which the label contains.
pub(crate) fn quantiles(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let label = args.text(1);
    if label.is_empty() {
        return Err(QueryError::Execution(format!("invalid label name {label:?}")));
    }
    let input = Input::of(args, 0)?;
    let mut vector = Vec::new();
    for index in 2..args.count() {
        let phis = args.scalar(index)?;
        let text = phi_name(&phis);
        let mut of_phi = Vec::new();
        input.each(args, Question::Quantile(&phis), &mut of_phi)?;
        for series in &mut of_phi {
            let own = settled(&series.labels, series.drop_name);
            series.labels = own.to_builder().set(&label, &text).build();
            series.drop_name = false;
        }
        vector.append(&mut of_phi);
    }
    Ok(Value::Vector(vector))
}

/// What to compute from each histogram, with arguments for each step.
#[derive(Clone, Copy)]
enum Question<'a> {
    Quantile(&'a [f64]),
    Fraction(&'a [f64], &'a [f64]),
}

/// The histograms of a vector.
struct Input {
    vector: Vector,
    /// Series with native histograms, as indices into `vector`, and the classic histogram with the same labels.
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
    /// The bounds, with indices into the vector.
    buckets: Vec<(f64, usize)>,
}

impl Input {
    /// The histograms of an argument.
    fn of(args: &mut dyn Arguments<'_>, index: usize) -> Result<Input, QueryError> {
        let (vector, span) = (args.vector(index)?, args.span(index));
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut classic: Vec<Classic> = Vec::new();
        let mut pace = args.budget().pace();
        for (i, series) in vector.iter().enumerate() {
            pace.series(series)?;
            if !series.points.floats.iter().any(|v| !is_absent(*v)) {
                continue;
            }
            let le = series.labels.get(LE).unwrap_or("");
            let Some(bound) = parse_bound(le) else {
                let name = series.labels.metric_name().unwrap_or("");
                let text = format!("bucket label \"le\" is missing or has a malformed value of {le:?}");
                args.annotations().warn(span, for_metric(&text, name));
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
        let (steps, drops_name) = (args.steps(), args.drops_name());
        Ok(Input { vector, native, classic, steps, span, drops_name })
    }

    /// Computes the result for every histogram, under its own labels.
    fn each(
        &self,
        args: &mut dyn Arguments<'_>,
        question: Question<'_>,
        out: &mut Vector,
    ) -> Result<(), QueryError> {
        let mut both: Vec<Vec<bool>> = vec![Vec::new(); self.classic.len()];
        for &(i, twin) in &self.native {
            args.budget().check()?;
            let series = &self.vector[i];
            let points = self.native_points(args, series, twin, question, &mut both);
            let drop_name = self.drops_name || series.drop_name;
            out.push(Series { labels: series.labels.clone(), drop_name, points });
        }
        for (c, both) in self.classic.iter().zip(both) {
            args.budget().check()?;
            let points = self.classic_points(args, c, question, &both);
            let drop_name = self.drops_name || c.drop_name;
            out.push(Series { labels: c.labels.clone(), drop_name, points });
        }
        out.retain(|s| s.points.any());
        Ok(())
    }

    fn native_points(
        &self,
        args: &mut dyn Arguments<'_>,
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
                args.annotations().warn(self.span, for_metric(text, name));
                continue;
            }
            points.floats[i] = match question {
                Question::Quantile(phis) => {
                    let (v, effect) = quantile::quantile(phis[i], h);
                    note_nan(args, effect, name, self.span);
                    v
                }
                Question::Fraction(lower, upper) => {
                    let (v, has_nan) = fraction::fraction(lower[i], upper[i], h);
                    if has_nan {
                        let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
                        args.annotations().info(self.span, for_metric(text, name));
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
        args: &mut dyn Arguments<'_>,
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
                // Without a valid φ or a total, the counts are not used and need no repair.
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
        repairs.note(args, c.labels.metric_name().unwrap_or(""), self.span);
        points
    }
}

/// Parses a bound in the format of `le`.
fn parse_bound(text: &str) -> Option<f64> {
    text.parse().ok().filter(|_| !text.is_empty())
}

fn note_nan(args: &mut dyn Arguments<'_>, effect: NanEffect, name: &str, span: Span) {
    let result = match effect {
        NanEffect::No => return,
        NanEffect::Result => "result is NaN",
        NanEffect::Skewed => "result is skewed higher",
    };
    let text = format!("input to histogram_quantile has NaN observations, {result}");
    args.annotations().info(span, for_metric(&text, name));
}

/// All repairs of one classic histogram, combined into a single info.
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

    fn note(&self, args: &mut dyn Arguments<'_>, name: &str, span: Span) {
        let Some(repair) = self.whole else { return };
        let text = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        args.annotations().info(
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
