//! `isolation_forest_score`: how unusual several series are together.

use std::collections::HashMap;

use barograph_analytics::Unfit;
use barograph_analytics::compare::association::mean_and_deviation;
use barograph_analytics::compare::resample::Grid;
use barograph_analytics::forest::{self, LEAST, Options};
use barograph_engine::budget::map_bytes;
use barograph_engine::model::Labels;

use super::{DAY_MS, Observed, aligned, on_own_grid, part};
use crate::budget::{Budget, parallel};
use crate::error::QueryError;
use crate::functions::analytics::{Failure, run};
use crate::functions::arguments::{Arguments, Sampled};
use crate::functions::left_out::LeftOut;
use crate::functions::window::slide::Windows;
use crate::merge::settled;
use crate::series::{ABSENT, Points, Series, Value, labels_held};
use crate::steps::ms_to_ns;
use crate::usage::Footprint;

/// Values that the moving mean and deviation look at.
const MOVING: usize = 12;

/// Features of each series.
const FEATURES: usize = 4;

/// Series with the same labels, one of each argument.
struct Group {
    labels: Labels,
    members: Vec<Sampled>,
}

/// `isolation_forest_score`
pub(crate) fn scores(args: &mut dyn Arguments<'_>) -> Result<Value, QueryError> {
    let defaults = Options::default();
    let options = Options {
        trees: args.named().number("trees", defaults.trees as f64) as usize,
        sample: args.named().number("sample", defaults.sample as f64) as usize,
    };
    let (count, steps, budget) = (args.count(), args.steps().count, args.budget());
    let windows = (0..count).map(|index| args.range(index)).collect::<Result<Vec<Windows>, _>>()?;
    let (groups, alone, count_alone) = groups(args)?;
    let span = args.call_span();
    if let Some(labels) = alone {
        let reason = "no series of another argument has the same labels";
        LeftOut::of(args.function().name, args.named(), span).refuse(&labels, &reason)?;
        let text = format!(
            "isolation_forest_score leaves out {count_alone} series without a counterpart with the same labels in every argument"
        );
        args.annotations().info(span, text);
    }
    let done = parallel::map(budget, groups, |(): &mut (), group: Group| {
        let mut points = Points::absent(steps);
        budget.hold(points.held() + labels_held(&group.labels))?;
        let observed: Vec<Observed<'_>> = group.members.iter().map(Observed::of_sampled).collect();
        let mut reason = None;
        for step in 0..steps {
            match at_step(budget, &group, &observed, &windows, step, &options) {
                Ok(score) => points.floats[step] = if score.is_nan() { ABSENT } else { score },
                Err(Failure::Query(error)) => return Err(error),
                Err(Failure::Unfit(unfit)) => drop(reason.get_or_insert(unfit)),
            }
        }
        Ok(Some((Series { labels: group.labels, drop_name: false, points }, reason)))
    })?;
    Ok(Value::Vector(finished(args, done)?))
}

/// The series with scores.
fn finished(
    args: &mut dyn Arguments<'_>,
    done: Vec<(Series, Option<String>)>,
) -> Result<Vec<Series>, QueryError> {
    let mut left_out = LeftOut::of(args.function().name, args.named(), args.call_span());
    let mut vector = Vec::with_capacity(done.len());
    for (series, reason) in done {
        if let Some(reason) = reason {
            left_out.add(&series.labels, &reason)?;
        }
        if series.points.any() {
            vector.push(series);
        }
    }
    left_out.finish(args.annotations());
    Ok(vector)
}

/// The series of all arguments, by their labels without the name, and those without counterparts: one of them and their
/// number.
fn groups(args: &mut dyn Arguments<'_>) -> Result<(Vec<Group>, Option<Labels>, usize), QueryError> {
    let (budget, count) = (args.budget(), args.count());
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let (mut alone, mut count_alone) = (None, 0);
    for index in 0..count {
        let series = args.samples(index, 0)?;
        let each = size_of::<Group>() + size_of::<Sampled>();
        budget.hold(Footprint::bytes(
            map_bytes(series.len(), size_of::<(Labels, usize)>()) + series.len() * each,
        ))?;
        let mut pace = budget.pace();
        for sampled in series {
            pace.labels()?;
            let labels = settled(&sampled.labels, true);
            match places.get(&labels).map(|&place| &mut groups[place]) {
                None if index == 0 => {
                    places.insert(labels.clone(), groups.len());
                    groups.push(Group { labels, members: vec![sampled] });
                }
                Some(group) if group.members.len() == index => group.members.push(sampled),
                Some(group) if group.members.len() > index => {
                    return Err(QueryError::Execution(format!(
                        "isolation_forest_score: several series of argument {} have the labels {labels} without the name: aggregate them first",
                        index + 1
                    )));
                }
                _ => {
                    count_alone += 1;
                    alone.get_or_insert(sampled.labels);
                }
            }
        }
    }
    let incomplete = groups.extract_if(.., |group| group.members.len() < count);
    for labels in incomplete.flat_map(|group| group.members).map(|member| member.labels) {
        count_alone += 1;
        alone.get_or_insert(labels);
    }
    Ok((groups, alone, count_alone))
}

/// The score of the newest value of the first series in its window.
fn at_step(
    budget: &Budget,
    group: &Group,
    observed: &[Observed<'_>],
    windows: &[Windows],
    step: usize,
    options: &Options,
) -> Result<f64, Failure> {
    let of_day = windows[0].range_ms >= DAY_MS;
    let width = FEATURES * group.members.len() + if of_day { 2 } else { 0 };
    let (times, values) = observed[0].parts();
    let (times, values) = part(times, values, windows[0].bounds(step));
    let grid = on_own_grid(budget, times, values)?;
    // Only its steps are used.
    let (steps, held) = (grid.steps(), grid.held());
    drop(grid);
    budget.release(held);
    if steps.len < LEAST {
        return Err(Unfit::TooShort { has: steps.len, needs: LEAST }.into());
    }
    let held = Footprint::bytes((width + 1) * steps.len * size_of::<f64>());
    budget.hold(held)?;
    let found = table(group, observed, windows, step, steps, (width, of_day)).and_then(|table| {
        run(budget, forest::bytes(steps.len, options), |check| {
            forest::scores(&table, width, steps.len - 1, options, check)
        })
    });
    budget.release(held);
    Ok(found?.last().copied().unwrap_or(f64::NAN))
}

/// The features of all series of a group at each step of a grid, and the times of the day if wanted.
fn table(
    group: &Group,
    observed: &[Observed<'_>],
    windows: &[Windows],
    step: usize,
    grid: Grid,
    (width, of_day): (usize, bool),
) -> Result<Vec<f64>, Failure> {
    let end = windows[0].bounds(step).1;
    let mut table = vec![0.0; width * grid.len];
    let mut on_grid = Vec::new();
    for (index, (member, observed)) in group.members.iter().zip(observed).enumerate() {
        let (times, values) = observed.parts();
        let bounds = windows[index].bounds(step);
        let (times, values) = part(times, values, bounds);
        aligned(times, values, grid.shifted(bounds.1.saturating_sub(end)), &mut on_grid)
            .map_err(|reason| Failure::Unfit(format!("{}: {reason}", member.labels)))?;
        features(&on_grid, width, FEATURES * index, &mut table);
    }
    if of_day {
        times_of_day(grid, width, &mut table);
    }
    Ok(table)
}

/// The value, the mean and the deviation of the last values, and the change, in columns of a table.
fn features(values: &[f64], width: usize, column: usize, table: &mut [f64]) {
    for (i, row) in table.chunks_mut(width).enumerate() {
        let last = &values[(i + 1).saturating_sub(MOVING)..=i];
        let (mean, deviation) = mean_and_deviation(last);
        // The distance of two numbers may be infinite.
        let change = (values[i] - values[i.saturating_sub(1)]).clamp(f64::MIN, f64::MAX);
        row[column..column + FEATURES].copy_from_slice(&[values[i], mean, deviation, change]);
    }
}

/// The time of the day, as a place on a circle, in the last two columns.
fn times_of_day(grid: Grid, width: usize, table: &mut [f64]) {
    let day = ms_to_ns(DAY_MS);
    for (i, row) in table.chunks_mut(width).enumerate() {
        let time = grid.start.saturating_add(grid.step.saturating_mul(i as i64));
        let share = time.rem_euclid(day) as f64 / day as f64;
        let (sin, cos) = (share * std::f64::consts::TAU).sin_cos();
        row[width - 2..].copy_from_slice(&[sin, cos]);
    }
}
