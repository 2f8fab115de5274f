//! Calls over range vectors. The kernel runs over all windows of one series after another. Raw samples are dropped as
//! soon as their windows are done.

use std::collections::BTreeSet;

use barograph_engine::model::Labels;
use smallvec::SmallVec;

use super::columned::{Columned, read_range};
use super::over_rollups::{self, Job, Tier};
use super::{default_window, subquery};
use crate::annotations::flags::Flags;
use crate::annotations::{Annotations, note_flags, rates_used};
use crate::budget::parallel;
use crate::error::QueryError;
use crate::exec::select::reading::Access;
use crate::exec::select::{self, reading};
use crate::exec::{Context, Evaluator, text};
use crate::functions::analytics::counters;
use crate::functions::analytics::{AnalyticKernel, Analyzed, Failure, NamedOptions};
use crate::functions::eval::Kernel;
use crate::functions::left_out::LeftOut;
use crate::functions::window::counter::looks_like_counter;
use crate::functions::window::slide::Windows;
use crate::functions::window::{Columns, RangeCall, WindowKernel, WindowedSeries};
use crate::functions::{Function, NameRule, ValueType};
use crate::merge::merge_equal;
use crate::numbers::quantile::phi_name;
use crate::plan::{Call, Kind, Node, Selection};
use crate::series::{Points, Series, Vector, labels_held};
use crate::source::SeriesRef;
use crate::span::Span;
use crate::steps::Steps;
use crate::syntax::ast::Edges;
use crate::usage::Footprint;

/// A finished series, and the flags that its kernel raised.
struct Done {
    labels: Labels,
    drop_name: bool,
    made: Columned,
    flags: Flags,
}

/// Evaluates a call whose kernel returns one column per series.
pub(crate) fn one_column(
    ev: &mut Evaluator<'_>,
    call: &Call,
    kernel: WindowKernel,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let params = parameters(ev, call, steps)?;
    let done = evaluate(ev, call, params, steps, |series| Ok(SmallVec::from_buf([kernel(series)?]).into()))?;
    finish(ev, call, done, None)
}

/// Evaluates a call whose kernel returns a column for each scalar argument. The string argument is the label that
/// distinguishes them.
pub(crate) fn labelled_columns(
    ev: &mut Evaluator<'_>,
    call: &Call,
    kernel: fn(&mut WindowedSeries<'_>) -> Result<Vec<Points>, QueryError>,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let params = parameters(ev, call, steps)?;
    let label = text(&call.args[0]);
    if label.is_empty() {
        return Err(QueryError::Execution(format!("invalid label name {label:?}")));
    }
    let values: Vec<String> = params.iter().map(|phis| phi_name(phis)).collect();
    let done = evaluate(ev, call, params, steps, |series| Ok(SmallVec::from_vec(kernel(series)?).into()))?;
    let vector = finish(ev, call, done, Some((label.as_str(), &values[..])))?;
    merge_equal(&ev.ctx.budget, vector)
}

/// Evaluates a call of an analytic function. A series that does not fit is left out, with an info that says why.
pub(crate) fn analytic(
    ev: &mut Evaluator<'_>,
    call: &Call,
    kernel: AnalyticKernel,
    steps: Steps,
) -> Result<Vector, QueryError> {
    let params = parameters(ev, call, steps)?;
    let options = NamedOptions(&call.named);
    let done = evaluate(ev, call, params, steps, |series| {
        let budget = series.call.budget;
        let rates = series.is_counter.then(|| Footprint::bytes(counters::bytes(series.columns.times.len())));
        if let Some(held) = rates {
            budget.hold(held)?;
            series.flags.raise(Flags::RATES);
        }
        let columns = rates.map(|_| counters::rates(series.columns));
        let made = analyze(series, columns.as_ref(), kernel, options, call.function.leaves_out);
        rates.into_iter().for_each(|held| budget.release(held));
        made
    })?;
    let vector = finish(ev, call, done, None)?;
    merge_equal(&ev.ctx.budget, vector)
}

/// Runs an analytic kernel over one series, or over the rates of a counter. A series without any value is left out if the
/// function says what it leaves out.
fn analyze(
    series: &mut WindowedSeries<'_>,
    rates: Option<&Columns>,
    kernel: AnalyticKernel,
    options: NamedOptions<'_>,
    leaves_out: bool,
) -> Result<Columned, QueryError> {
    if !series.columns.histogram_times.is_empty() {
        series.flags.raise(Flags::HISTOGRAMS_IGNORED);
    }
    let seen = WindowedSeries {
        call: series.call,
        columns: rates.unwrap_or(series.columns),
        is_counter: series.is_counter,
        flags: series.flags,
    };
    let mut analyzed = Analyzed { series: &seen, times: &series.columns.times, options, note: None };
    let made = if leaves_out && seen.columns.times.is_empty() {
        Err(analyzed.nothing())
    } else {
        kernel(&mut analyzed)
    };
    let parts = match made {
        Ok(parts) => parts,
        Err(Failure::Query(error)) => return Err(error),
        Err(Failure::Unfit(reason)) => {
            analyzed.note = Some(reason);
            Vec::new()
        }
    };
    let note = analyzed.note;
    let (labels, columns) = parts.into_iter().map(|part| (part.label, part.points)).unzip();
    Ok(Columned { columns, labels, note })
}

/// Runs a kernel over the windows of every series.
fn evaluate(
    ev: &mut Evaluator<'_>,
    call: &Call,
    params: Vec<Vec<f64>>,
    steps: Steps,
    kernel: impl Fn(&mut WindowedSeries<'_>) -> Result<Columned, QueryError> + Sync,
) -> Result<Vec<Done>, QueryError> {
    let arg = range_argument(call);
    let keep_name = call.name_rule == NameRule::Keep;
    let Some(windows) = windows(ev, arg, steps)? else { return Ok(Vec::new()) };
    if steps.count == 0 {
        return Ok(Vec::new());
    }
    let mark = ev.mark();
    let selected = ev.ctx.budget.usage().series();
    match &arg.kind {
        Kind::Subquery(inner) => {
            let mut read = windows;
            if call.function.reads_before_window {
                read.range_ms = read.range_ms.saturating_add(ev.ctx.lookback_ms);
            }
            let (inner, inner_steps) = subquery::evaluate(ev, inner, &read)?;
            if let Some(mark) = mark {
                ev.record(arg, mark, inner.len() as u64, 0);
            }
            let range_call = range_call(ev, windows, Edges::Plain, params);
            parallel::map(&ev.ctx.budget, inner, |columns: &mut Columns, series: Series| {
                subquery::columns_of(&series.points, inner_steps, columns);
                // The values of a function or an operator do not count, even if the name is still known.
                let may_count = call.function.rates_counters && !series.drop_name;
                let is_counter = may_count && ev.ctx.source.is_counter(&series.labels);
                let drop_name = series.drop_name || !keep_name;
                one_series(&range_call, &kernel, (columns, is_counter), series.labels, drop_name)
            })
        }
        Kind::Range(selection) => {
            let range_call = range_call(ev, windows, selection.edges, params);
            let tier = over_rollups::tier_for(ev.ctx, call.function, selection, &windows)?;
            let width = tier.map(|tier| tier.width);
            let refs = select::select(ev.ctx, selection, width, read_range(&range_call, call.function))?;
            let job = Job {
                tier,
                // A string argument names the columns, of which each scalar argument has one.
                columns: if let Kernel::Windows(_) = call.kernel { range_call.params.len() } else { 1 },
                ..Job::new(ev.ctx, &range_call, call.function, selection, &kernel)
            };
            let work = |columns: &mut Columns, access: &mut Access<'_>, series: SeriesRef| {
                let mut flags = Flags::default();
                let Some(made) = job.run(access, &series, columns, &mut flags)? else { return Ok(None) };
                done(&range_call, made, flags, series.labels, !keep_name)
            };
            let done = reading::each_series(ev.ctx, refs, work)?;
            if let Some(mark) = mark {
                let selected = ev.ctx.budget.usage().series() - selected;
                ev.record(arg, mark, selected, 0);
            }
            Ok(done)
        }
        _ => Ok(Vec::new()),
    }
}

fn range_call<'q>(
    ev: &Evaluator<'q>,
    windows: Windows,
    edges: Edges,
    params: Vec<Vec<f64>>,
) -> RangeCall<'q> {
    RangeCall { budget: &ev.ctx.budget, lookback_ms: ev.ctx.lookback_ms, windows, edges, params }
}

/// The windows of a range vector at all steps.
pub(super) fn windows(
    ev: &mut Evaluator<'_>,
    arg: &Node,
    steps: Steps,
) -> Result<Option<Windows>, QueryError> {
    Ok(match &arg.kind {
        Kind::Range(s) if s.default_window => {
            let range_ms = default_window::window_ms(ev, s, arg.span, steps)?;
            Some(Windows { steps, shift: s.shift, range_ms })
        }
        Kind::Range(s) => Some(Windows { steps, shift: s.shift, range_ms: s.range_ms }),
        Kind::Subquery(s) => Some(Windows { steps, shift: s.shift, range_ms: s.range_ms }),
        _ => None,
    })
}

/// The argument, the selection and the kernel of a call that returns one column for each stored series.
pub(crate) fn stored_series(call: &Call) -> Option<(&Node, &Selection, WindowKernel)> {
    let Kernel::Window(kernel) = call.kernel else { return None };
    let arg = range_argument(call);
    match &arg.kind {
        Kind::Range(selection) => Some((arg, selection, kernel)),
        _ => None,
    }
}

/// Prepares such a call.
pub(crate) fn prepare<'q>(
    ev: &mut Evaluator<'q>,
    call: &Call,
    arg: &Node,
    selection: &Selection,
    steps: Steps,
) -> Result<RangeCall<'q>, QueryError> {
    let params = parameters(ev, call, steps)?;
    let windows = windows(ev, arg, steps)?.expect("the argument is a range vector");
    Ok(range_call(ev, windows, selection.edges, params))
}

/// Evaluates such a call for one series after another.
pub(crate) fn series_work<'w>(
    ctx: &'w Context<'w>,
    tier: Option<Tier>,
    call: &Call,
    selection: &'w Selection,
    range_call: &'w RangeCall<'w>,
    kernel: WindowKernel,
) -> impl Fn(&mut Columns, &mut Access<'_>, &SeriesRef, &mut Flags) -> Result<Option<Points>, QueryError> + Sync + 'w
{
    let function = call.function;
    move |columns, access, series, flags| {
        let compute = |series: &mut WindowedSeries<'_>| Ok(SmallVec::from_buf([kernel(series)?]).into());
        let job = Job { tier, ..Job::new(ctx, range_call, function, selection, &compute) };
        let made = job.run(access, series, columns, flags)?;
        Ok(made.and_then(|made| made.columns.into_iter().next()))
    }
}

/// The argument that is a range vector.
fn range_argument(call: &Call) -> &Node {
    call.args
        .iter()
        .find(|a| a.value_type() == ValueType::RangeVector)
        .expect("the checker gives range functions a range vector")
}

/// The scalar arguments, one value for each step.
fn parameters(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vec<Vec<f64>>, QueryError> {
    let mut params = Vec::new();
    for arg in call.args.iter().filter(|a| a.value_type() == ValueType::Scalar) {
        let values = ev.scalar(arg, steps)?;
        (call.function.check)(&mut ev.annotations, arg.span, params.len(), &values)?;
        params.push(values);
    }
    Ok(params)
}

fn one_series(
    call: &RangeCall<'_>,
    kernel: impl Fn(&mut WindowedSeries<'_>) -> Result<Columned, QueryError>,
    (columns, is_counter): (&Columns, bool),
    labels: Labels,
    drop_name: bool,
) -> Result<Option<Done>, QueryError> {
    if columns.len() == 0 {
        return Ok(None);
    }
    let mut flags = Flags::default();
    let made = kernel(&mut WindowedSeries { call, columns, is_counter, flags: &mut flags })?;
    done(call, made, flags, labels, drop_name)
}

/// A finished series; `None` if there is nothing to say about it.
fn done(
    call: &RangeCall<'_>,
    made: Columned,
    flags: Flags,
    labels: Labels,
    drop_name: bool,
) -> Result<Option<Done>, QueryError> {
    if flags.is_empty() && made.note.is_none() && !made.columns.iter().any(Points::any) {
        return Ok(None);
    }
    let own = labels_held(&labels) + Footprint::bytes(size_of::<Done>());
    let held = made.columns.iter().map(Points::held).fold(own, |a, b| a + b);
    call.budget.hold(held)?;
    Ok(Some(Done { labels, drop_name, made, flags }))
}

/// Adds annotations and drops columns without values. `naming` is the label that distinguishes the columns of one
/// series, with its value for each; without it there is one column.
fn finish(
    ev: &mut Evaluator<'_>,
    call: &Call,
    done: Vec<Done>,
    naming: Option<(&str, &[String])>,
) -> Result<Vector, QueryError> {
    let span = range_argument(call).span;
    let mut vector = Vec::with_capacity(done.len());
    let mut pace = ev.ctx.budget.pace();
    let mut left_out = LeftOut::of(call.function.name, NamedOptions(&call.named), span);
    let mut rated = BTreeSet::new();
    for Done { labels, drop_name, made, flags } in done {
        pace.labels()?;
        let name = labels.metric_name().unwrap_or("");
        if flags.has(Flags::RATES) && !rated.contains(name) {
            rated.insert(name.to_owned());
        }
        if let Some(reason) = made.note {
            left_out.add(&labels, &reason)?;
        }
        if !flags.is_empty() {
            annotate(&mut ev.annotations, call.function, span, flags, name);
        }
        let mut present = made.columns.into_iter().enumerate().filter(|(_, points)| points.any());
        if !made.labels.is_empty() {
            for (column, points) in present {
                let labels = labelled(call, &labels, made.labels[column].as_ref())?;
                vector.push(Series { labels, drop_name, points });
            }
            continue;
        }
        match naming {
            Some((label, values)) => vector.extend(present.map(|(column, points)| {
                let labels = labels.to_builder().set(label, &values[column]).build();
                Series { labels, drop_name, points }
            })),
            None => {
                vector.extend(present.next().map(|(_, points)| Series { labels, drop_name, points }));
            }
        }
    }
    // One for all, because an answer over HTTP has few infos.
    if let Some(text) = rates_used(&rated) {
        ev.annotations.info(span, text);
    }
    left_out.finish(&mut ev.annotations);
    Ok(vector)
}

/// The labels of a column that an analytic function has named.
fn labelled(
    call: &Call,
    labels: &Labels,
    given: Option<&(&'static str, String)>,
) -> Result<Labels, QueryError> {
    let Some((label, value)) = given else { return Ok(labels.clone()) };
    if labels.get(label).is_some() {
        let name = call.function.name;
        return Err(QueryError::Execution(format!(
            "{name}: the series {labels} has a label {label:?} already: rename it with label_move first"
        )));
    }
    Ok(labels.to_builder().set(label, value).build())
}

fn is_counter_missing(function: &Function, flags: Flags, name: &str) -> bool {
    function.wants_counter && flags.has(Flags::FLOAT_RESULT) && !looks_like_counter(name)
}

/// Whether these flags cause annotations about series with this name.
pub(crate) fn has_annotations(function: &Function, flags: Flags, name: &str) -> bool {
    !flags.without(Flags::FLOAT_RESULT).is_empty() || is_counter_missing(function, flags, name)
}

/// Adds these annotations.
pub(crate) fn annotate(
    annotations: &mut Annotations,
    function: &Function,
    span: Span,
    flags: Flags,
    name: &str,
) {
    note_flags(annotations, flags, name, span);
    if is_counter_missing(function, flags, name) {
        annotations.info(
            span,
            format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name:?}"
            ),
        );
    }
}
