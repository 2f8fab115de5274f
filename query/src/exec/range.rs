//! Functions of range vectors: one kernel for each series, chosen once, run over all of
//! its windows. Raw samples are dropped as soon as their windows are done.

use barograph_engine::model::{Labels, Samples, TimeRange};
use smallvec::{SmallVec, smallvec};

use super::window::{Windows, slide};
use super::{Context, Evaluator, reading, selector};
use crate::budget::parallel;
use crate::error::QueryError;
use crate::functions::annotations::{Notes, note_flags};
use crate::functions::flags::Flags;
use crate::functions::numbers::quantile::is_phi;
use crate::functions::window::conditional_count::{self, Condition};
use crate::functions::window::counter::{self, ChangeKind, Resets};
use crate::functions::window::over_time::{self, Extreme, slot};
use crate::functions::window::sliding;
use crate::functions::window::unextrapolated;
use crate::functions::window::{Columns, Window, shown_seconds};
use crate::functions::{FunctionId, NameRule, ValueType};
use crate::plan::{Call, Kind, Node, Selection};
use crate::series::merge::merge_equal;
use crate::series::{Points, Series, Vector, labels_held};
use crate::steps::Steps;
use crate::steps::ms_to_ns;
use crate::syntax::ast::Edges;
use crate::syntax::span::Span;
use crate::value::go_float;

/// A range function about to run: what every series needs.
pub(super) struct Job<'a> {
    pub ctx: &'a Context<'a>,
    pub id: FunctionId,
    pub windows: Windows,
    pub edges: Edges,
    /// Scalar arguments, one value for each step.
    pub params: Vec<Vec<f64>>,
}

/// A finished series and what was noticed on the way.
struct Done {
    labels: Labels,
    drop_name: bool,
    /// One, or several where the function gives several for one series.
    columns: SmallVec<[Points; 1]>,
    flags: Flags,
}

/// Evaluates a call whose argument is a range vector.
pub(super) fn call(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vector, QueryError> {
    let arg = range_argument(call);
    let params = parameters(ev, call, steps)?;
    let naming = naming(ev, call, &params)?;
    let keep_name = call.name_rule == NameRule::Keep;
    let Some(windows) = windows(ev, arg, steps)? else { return Ok(Vec::new()) };
    if steps.count == 0 {
        return Ok(Vec::new());
    }
    let mark = ev.mark();
    let selected = ev.ctx.budget.usage().series();
    let done = match &arg.kind {
        Kind::Subquery(subquery) => {
            let mut read = windows;
            if reads_before(call.function.id) {
                read.range_ms = read.range_ms.saturating_add(ev.ctx.lookback_ms);
            }
            let (inner, inner_steps) = super::subquery::evaluate(ev, subquery, &read)?;
            if let Some(mark) = mark {
                ev.record(arg, mark, inner.len() as u64, 0);
            }
            let job = Job { ctx: ev.ctx, id: call.function.id, windows, edges: Edges::Plain, params };
            over_points(&job, inner, inner_steps, keep_name)?
        }
        Kind::Range(selection) => {
            let job = Job { ctx: ev.ctx, id: call.function.id, windows, edges: selection.edges, params };
            let done = over_selection(&job, selection, keep_name)?;
            if let Some(mark) = mark {
                let selected = ev.ctx.budget.usage().series() - selected;
                ev.record(arg, mark, selected, 0);
            }
            done
        }
        _ => Vec::new(),
    };
    let vector = finish(ev, call, arg, done, naming.as_ref())?;
    if naming.is_some() { merge_equal(&ev.ctx.budget, vector) } else { Ok(vector) }
}

/// The windows of a range vector at all steps.
fn windows(ev: &mut Evaluator<'_>, arg: &Node, steps: Steps) -> Result<Option<Windows>, QueryError> {
    Ok(match &arg.kind {
        Kind::Range(s) if s.implicit => {
            let range_ms = super::implicit::window_ms(ev, s, arg.span, steps)?;
            Some(Windows { steps, shift: s.shift, range_ms })
        }
        Kind::Range(s) => Some(Windows { steps, shift: s.shift, range_ms: s.range_ms }),
        Kind::Subquery(s) => Some(Windows { steps, shift: s.shift, range_ms: s.range_ms }),
        _ => None,
    })
}

/// The argument of a range function that gives one column for each stored series, and what
/// it selects.
pub(super) fn selection_of(call: &Call) -> Option<(&Node, &Selection)> {
    let arg = call.args.iter().find(|a| a.value_type() == ValueType::RangeVector)?;
    let id = call.function.id;
    let is_plain = !matches!(id, FunctionId::AbsentOverTime | FunctionId::QuantilesOverTime);
    match &arg.kind {
        Kind::Range(selection) if is_plain => Some((arg, selection)),
        _ => None,
    }
}

/// The job of such a call.
pub(super) fn job<'e>(
    ev: &'e mut Evaluator<'_>,
    call: &Call,
    arg: &Node,
    selection: &Selection,
    steps: Steps,
) -> Result<Job<'e>, QueryError> {
    let params = parameters(ev, call, steps)?;
    let windows = windows(ev, arg, steps)?.expect("the argument is a range vector");
    Ok(Job { ctx: ev.ctx, id: call.function.id, windows, edges: selection.edges, params })
}

/// A label, and what it says of each column that a function makes of one series.
type Naming = (String, Vec<String>);

/// The label that tells apart what `quantiles_over_time` makes of one series.
fn naming(ev: &mut Evaluator<'_>, call: &Call, params: &[Vec<f64>]) -> Result<Option<Naming>, QueryError> {
    if call.function.id != FunctionId::QuantilesOverTime {
        return Ok(None);
    }
    let label = ev.text(&call.args[0]);
    if label.is_empty() {
        return Err(QueryError::Execution(format!("invalid label name {label:?}")));
    }
    Ok(Some((label, params.iter().map(|phis| super::rank::phi_name(phis)).collect())))
}

/// The argument that is a range vector.
fn range_argument(call: &Call) -> &Node {
    call.args
        .iter()
        .find(|a| a.value_type() == ValueType::RangeVector)
        .expect("the checker gives range functions a range vector")
}

fn parameters(ev: &mut Evaluator<'_>, call: &Call, steps: Steps) -> Result<Vec<Vec<f64>>, QueryError> {
    let mut params = Vec::new();
    for arg in call.args.iter().filter(|a| a.value_type() == ValueType::Scalar) {
        let values = ev.scalar(arg, steps)?;
        match call.function.id {
            FunctionId::QuantileOverTime | FunctionId::QuantilesOverTime => {
                for phi in values.iter().filter(|p| !is_phi(**p)) {
                    ev.notes.warn(arg.span, crate::functions::annotations::bad_phi(*phi));
                }
            }
            FunctionId::DoubleExponentialSmoothing => {
                let which = if params.is_empty() { "smoothing" } else { "trend" };
                if let Some(bad) = values.iter().find(|f| !over_time::is_smoothing_factor(**f)) {
                    let name = if which == "trend" { "tf" } else { "sf" };
                    let got = if bad.is_finite() { format!("{bad:.6}") } else { go_float(*bad) };
                    return Err(QueryError::Execution(format!(
                        "invalid {which} factor. Expected: 0 < {name} < 1, got: {got}"
                    )));
                }
            }
            _ => {}
        }
        params.push(values);
    }
    Ok(params)
}

/// Functions that look at the last sample before a window, as far back as lookback goes.
fn reads_before(id: FunctionId) -> bool {
    matches!(id, FunctionId::IncreasePure | FunctionId::RatePure)
}

/// What all windows look at.
pub(super) fn read_range(job: &Job<'_>) -> TimeRange {
    let lookback = ms_to_ns(job.ctx.lookback_ms);
    let (mut from, mut to) = job.windows.hull();
    if job.edges != Edges::Plain || reads_before(job.id) {
        from = from.saturating_sub(lookback);
    }
    if job.edges == Edges::Smoothed {
        to = to.saturating_add(lookback);
    }
    TimeRange::new(from, to)
}

fn over_selection(job: &Job<'_>, selection: &Selection, keep_name: bool) -> Result<Vec<Done>, QueryError> {
    let range = read_range(job);
    let refs = selector::select(job.ctx, selection, range)?;
    reading::each(job.ctx, refs, range, |columns: &mut Columns, samples: &mut Samples, labels| {
        columns.fill(samples);
        if selection.infer_hints {
            columns.infer_hints();
        }
        one_series(job, columns, labels, !keep_name)
    })
}

fn over_points(
    job: &Job<'_>,
    inner: Vector,
    inner_steps: Steps,
    keep_name: bool,
) -> Result<Vec<Done>, QueryError> {
    parallel::map(&job.ctx.budget, inner, |columns: &mut Columns, series: Series| {
        super::subquery::columns_of(&series.points, inner_steps, columns);
        one_series(job, columns, series.labels, series.drop_name || !keep_name)
    })
}

fn one_series(
    job: &Job<'_>,
    columns: &Columns,
    labels: Labels,
    drop_name: bool,
) -> Result<Option<Done>, QueryError> {
    if columns.len() == 0 {
        return Ok(None);
    }
    let mut flags = Flags::default();
    let columns = match job.id {
        FunctionId::QuantilesOverTime => quantiles(job, columns, &mut flags)?.into(),
        _ => smallvec![run(job, columns, &mut flags)?],
    };
    if flags.is_empty() && !columns.iter().any(Points::any) {
        return Ok(None);
    }
    let held = columns.iter().map(Points::held).fold(labels_held(&labels), |a, b| a + b);
    job.ctx.budget.hold(held)?;
    Ok(Some(Done { labels, drop_name, columns, flags }))
}

/// `quantiles_over_time`: a column for each φ.
fn quantiles(job: &Job<'_>, columns: &Columns, flags: &mut Flags) -> Result<Vec<Points>, QueryError> {
    let mut found = vec![Points::absent(job.windows.steps.count); job.params.len()];
    let mut kernel = over_time::quantiles_over(&job.params);
    slide(job.ctx, &job.windows, columns, |w| {
        kernel(w, &mut |place, value| found[place].floats[w.step] = slot(Some(value)));
        if w.histogram_len() > 0 && w.len() > 0 {
            flags.raise(Flags::HISTOGRAMS_IGNORED);
        }
    })?;
    Ok(found)
}

/// Notes what was noticed and drops series without values.
fn finish(
    ev: &mut Evaluator<'_>,
    call: &Call,
    arg: &Node,
    done: Vec<Done>,
    naming: Option<&Naming>,
) -> Result<Vector, QueryError> {
    let mut vector = Vec::with_capacity(done.len());
    let mut pace = ev.ctx.budget.pace();
    for Done { labels, drop_name, columns, flags } in done {
        pace.labels()?;
        if !flags.is_empty() {
            note(&mut ev.notes, call.function.id, arg.span, flags, labels.metric_name().unwrap_or(""));
        }
        let mut present = columns.into_iter().enumerate().filter(|(_, points)| points.any());
        match naming {
            Some((label, values)) => vector.extend(present.map(|(index, points)| {
                let labels = labels.to_builder().set(label, &values[index]).build();
                Series { labels, drop_name, points }
            })),
            // Without such a label there is one column.
            None => {
                if let Some((_, points)) = present.next() {
                    vector.push(Series { labels, drop_name, points });
                }
            }
        }
    }
    Ok(vector)
}

fn is_counter_missing(id: FunctionId, flags: Flags, name: &str) -> bool {
    use FunctionId as F;
    let wants_counter = matches!(id, F::Rate | F::Increase | F::RatePure | F::IncreasePure);
    wants_counter && flags.has(Flags::FLOAT_RESULT) && !looks_like_counter(name)
}

/// Whether there is anything to tell about what was noticed of series of this name.
pub(super) fn is_told(id: FunctionId, flags: Flags, name: &str) -> bool {
    !flags.without(Flags::FLOAT_RESULT).is_empty() || is_counter_missing(id, flags, name)
}

/// Tells it.
pub(super) fn note(notes: &mut Notes, id: FunctionId, span: Span, flags: Flags, name: &str) {
    note_flags(notes, flags, name, span);
    if is_counter_missing(id, flags, name) {
        notes.info(
            span,
            format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name:?}"
            ),
        );
    }
}

fn looks_like_counter(name: &str) -> bool {
    name.is_empty() || ["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end))
}

/// Runs the function over all windows of one series.
pub(super) fn run(job: &Job<'_>, columns: &Columns, flags: &mut Flags) -> Result<Points, QueryError> {
    use FunctionId as F;
    let edges = job.edges != Edges::Plain;
    match job.id {
        F::Rate | F::Increase | F::Delta if edges => super::edges::change(job, columns, flags),
        F::Resets | F::Changes if edges => super::edges::count(job, columns),
        F::Rate | F::Increase | F::Delta => change(job, columns, flags),
        F::Irate => super::mixed::instant_change(job, columns, true, flags),
        F::Idelta => super::mixed::instant_change(job, columns, false, flags),
        F::Resets => super::mixed::resets(job, columns),
        F::Changes => super::mixed::changes(job, columns),
        F::SumOverTime | F::AvgOverTime => sum_or_mean(job, columns, flags),
        F::DurationOverTime => both(job, columns, conditional_count::duration(columns, param(job, 0))),
        F::CountOverTime => both(job, columns, |w| Some((w.len() + w.histogram_len()) as f64)),
        F::PresentOverTime | F::AbsentOverTime => both(job, columns, |_| Some(1.0)),
        F::LastOverTime => super::mixed::end_value(job, columns, super::mixed::End::Last),
        F::FirstOverTime => super::mixed::end_value(job, columns, super::mixed::End::First),
        F::TsOfLastOverTime => both(job, columns, |w| {
            w.times().last().max(w.histogram_times().last()).map(|t| shown_seconds(*t))
        }),
        F::TsOfFirstOverTime => both(job, columns, |w| {
            let ends = [w.times().first(), w.histogram_times().first()];
            ends.into_iter().flatten().min().map(|t| shown_seconds(*t))
        }),
        _ => floats_only(job, columns, flags),
    }
}

/// Functions that know only floats; histograms beside floats are ignored with a note.
fn floats_only(job: &Job<'_>, columns: &Columns, flags: &mut Flags) -> Result<Points, QueryError> {
    use FunctionId as F;
    if columns.times.is_empty() {
        return Ok(Points::absent(job.windows.steps.count));
    }
    let range_ns = ms_to_ns(job.windows.range_ms);
    match job.id {
        F::IncreasePure | F::RatePure => growth(job, columns, flags),
        F::CountEqOverTime => {
            floats(job, columns, flags, conditional_count::count(Condition::Equal, param(job, 0)))
        }
        F::CountNeOverTime => {
            floats(job, columns, flags, conditional_count::count(Condition::NotEqual, param(job, 0)))
        }
        F::CountGtOverTime => {
            floats(job, columns, flags, conditional_count::count(Condition::Greater, param(job, 0)))
        }
        F::CountLeOverTime => {
            floats(job, columns, flags, conditional_count::count(Condition::AtMost, param(job, 0)))
        }
        F::ShareEqOverTime => {
            floats(job, columns, flags, conditional_count::share(Condition::Equal, param(job, 0)))
        }
        F::ShareGtOverTime => {
            floats(job, columns, flags, conditional_count::share(Condition::Greater, param(job, 0)))
        }
        F::ShareLeOverTime => {
            floats(job, columns, flags, conditional_count::share(Condition::AtMost, param(job, 0)))
        }
        F::ZscoreOverTime => floats(job, columns, flags, over_time::newest_score),
        F::MinOverTime => floats(job, columns, flags, over_time::extreme(Extreme::Min)),
        F::MaxOverTime => floats(job, columns, flags, over_time::extreme(Extreme::Max)),
        F::TsOfMinOverTime => floats(job, columns, flags, over_time::time_of_extreme(Extreme::Min)),
        F::TsOfMaxOverTime => floats(job, columns, flags, over_time::time_of_extreme(Extreme::Max)),
        F::StddevOverTime => {
            let mut variance = sliding::variance(range_ns, over_time::variance);
            floats(job, columns, flags, move |w| variance(w).map(f64::sqrt))
        }
        F::StdvarOverTime => floats(job, columns, flags, sliding::variance(range_ns, over_time::variance)),
        F::MadOverTime => floats(job, columns, flags, over_time::median_deviation()),
        F::QuantileOverTime => floats(job, columns, flags, over_time::quantile_over(param(job, 0))),
        F::Deriv => floats(job, columns, flags, over_time::slope(range_ns)),
        F::PredictLinear => floats(job, columns, flags, over_time::predict(range_ns, param(job, 0))),
        F::DoubleExponentialSmoothing => {
            floats(job, columns, flags, over_time::smoothing(param(job, 0), param(job, 1)))
        }
        other => unreachable!("{other:?} takes no range vector"),
    }
}

/// A scalar argument, one value for each step.
fn param<'j>(job: &'j Job<'_>, i: usize) -> &'j [f64] {
    job.params.get(i).map_or(&[][..], Vec::as_slice)
}

fn growth(job: &Job<'_>, columns: &Columns, flags: &mut Flags) -> Result<Points, QueryError> {
    let per_second = job.id == FunctionId::RatePure;
    let lookback = ms_to_ns(job.ctx.lookback_ms);
    let mut noticed = Flags::default();
    let kernel = unextrapolated::growth(per_second, lookback, Resets::of(columns), &mut noticed);
    let points = floats(job, columns, flags, kernel)?;
    flags.raise(noticed);
    Ok(points)
}

/// Runs a kernel over floats.
fn floats(
    job: &Job<'_>,
    columns: &Columns,
    flags: &mut Flags,
    mut kernel: impl FnMut(&Window<'_>) -> Option<f64>,
) -> Result<Points, QueryError> {
    let mut points = Points::absent(job.windows.steps.count);
    slide(job.ctx, &job.windows, columns, |w| {
        points.floats[w.step] = slot(kernel(w));
        if w.histogram_len() > 0 && w.len() > 0 {
            flags.raise(Flags::HISTOGRAMS_IGNORED);
        }
    })?;
    Ok(points)
}

/// Runs a kernel that treats floats and histograms alike and gives floats.
pub(super) fn both(
    job: &Job<'_>,
    columns: &Columns,
    mut kernel: impl FnMut(&Window<'_>) -> Option<f64>,
) -> Result<Points, QueryError> {
    let mut points = Points::absent(job.windows.steps.count);
    slide(job.ctx, &job.windows, columns, |w| points.floats[w.step] = slot(kernel(w)))?;
    Ok(points)
}

fn change(job: &Job<'_>, columns: &Columns, flags: &mut Flags) -> Result<Points, QueryError> {
    let kind = match job.id {
        FunctionId::Rate => ChangeKind::RATE,
        FunctionId::Increase => ChangeKind::INCREASE,
        _ => ChangeKind::DELTA,
    };
    let mut noticed = Flags::default();
    let mut points = Points::absent(job.windows.steps.count);
    if !columns.histograms.is_empty() {
        super::mixed::change(job, columns, kind, flags, &mut points)?;
        return Ok(points);
    }
    {
        let mut kernel = counter::change(kind, Resets::of(columns), &mut noticed);
        slide(job.ctx, &job.windows, columns, |w| points.floats[w.step] = slot(kernel(w)))?;
    }
    flags.raise(noticed);
    Ok(points)
}

fn sum_or_mean(job: &Job<'_>, columns: &Columns, flags: &mut Flags) -> Result<Points, QueryError> {
    if !columns.histograms.is_empty() {
        return super::mixed::sum_or_mean(job, columns, flags);
    }
    let range_ns = ms_to_ns(job.windows.range_ms);
    if job.id == FunctionId::SumOverTime {
        both(job, columns, sliding::sum(range_ns))
    } else {
        both(job, columns, sliding::mean(range_ns))
    }
}
