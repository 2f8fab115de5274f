//! Folds the columns of each group, step by step, on several cores if that is worthwhile.

use super::groups::{Groups, Members};
use crate::budget::Budget;
use crate::crew::Crew;
use crate::error::QueryError;
use crate::numbers::compensated::{Mean, Sum, two_sum};
use crate::series::{ABSENT, Points, is_absent};
use crate::steps::Steps;
use crate::syntax::ast::AggregateOp;

/// With fewer values, waking other threads is not worthwhile.
const PARALLEL_MIN_VALUES: usize = 1 << 17;

/// Number of members that are folded between two checks for cancellation.
const MEMBERS_PER_CHECK: usize = 256;

/// Number of pieces of work per core.
const PARTS_A_CORE: usize = 16;

/// Minimum number of steps in a piece of work.
const CHUNK_STEPS: usize = 64;

/// Whether folding this many values is divided among cores.
pub(crate) fn splits(crew: &Crew, values: u64) -> bool {
    values >= PARALLEL_MIN_VALUES as u64 && crew.workers() > 1
}

/// One column for each group.
pub(crate) fn fold_groups<C: Members>(
    budget: &Budget,
    op: AggregateOp,
    columns: &C,
    groups: &Groups,
    steps: Steps,
    count_histograms: impl Fn(usize, &mut [u64]),
) -> Result<Vec<Points>, QueryError> {
    use AggregateOp as A;
    let f = Folding { budget, columns, groups, steps };
    match op {
        A::Sum => f.with(|members, from, to| f.sums(members, from, to)),
        A::Avg => f.fold(Mean::first, Mean::add, |m| m.mean()),
        A::Min => f.fold(|v| v, |m, v| keep_if(m, v, v < *m), |m| *m),
        A::Max => f.fold(|v| v, |m, v| keep_if(m, v, v > *m), |m| *m),
        A::Stddev => f.fold(Moments::first, Moments::add, |m| m.variance().sqrt()),
        A::Stdvar => f.fold(Moments::first, Moments::add, |m| m.variance()),
        _ => f.count(op, count_histograms),
    }
}

/// Takes `v` if it is more extreme, or the first value that is not NaN.
fn keep_if(kept: &mut f64, v: f64, more_extreme: bool) {
    if more_extreme || kept.is_nan() {
        *kept = v;
    }
}

impl Mean {
    fn first(v: f64) -> Mean {
        let mut m = Mean::default();
        m.add(v);
        m
    }
}

/// Count, mean and sum of squared distances, by Welford's recurrence.
#[derive(Debug, Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn first(v: f64) -> Moments {
        // A group that begins with an infinity has no variance.
        let squares = if v.is_finite() { 0.0 } else { f64::NAN };
        Moments { count: 1.0, mean: v, squares }
    }

    fn add(&mut self, v: f64) {
        self.count += 1.0;
        let delta = v - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (v - self.mean);
    }

    fn variance(&self) -> f64 {
        self.squares / self.count
    }
}

/// The floats of a member at steps `from..to`, and the offset from `from` at which they begin.
fn part(columns: &impl Members, member: usize, from: usize, to: usize) -> (usize, &[f64]) {
    let (first, floats) = columns.column(member);
    let low = from.max(first);
    let high = to.min(first + floats.len());
    if low < high { (low - from, &floats[low - first..high - first]) } else { (0, &[]) }
}

/// Columns, and the groups by which they are folded.
struct Folding<'f, C> {
    budget: &'f Budget,
    columns: &'f C,
    groups: &'f Groups,
    steps: Steps,
}

impl<C: Members> Folding<'_, C> {
    /// Sums the members' floats at steps `from..to`. The loop has no branch: an absent value is added as -0, which
    /// changes neither sum nor error.
    fn sums(&self, members: &[usize], from: usize, to: usize) -> Result<Vec<f64>, QueryError> {
        let mut sums = vec![-0.0; to - from];
        let mut errors = vec![0.0; to - from];
        let mut present = vec![false; to - from];
        for members in members.chunks(MEMBERS_PER_CHECK) {
            self.budget.check()?;
            for &m in members {
                let (skip, values) = part(self.columns, m, from, to);
                let states = sums[skip..].iter_mut().zip(&mut errors[skip..]).zip(&mut present[skip..]);
                for (((sum, error), present), &v) in states.zip(values) {
                    let absent = is_absent(v);
                    let (next, lost) = two_sum(*sum, if absent { -0.0 } else { v });
                    *sum = next;
                    *error += lost;
                    *present |= !absent;
                }
            }
        }
        let slowly = |at: usize| {
            let values = members.iter().filter_map(|&m| {
                let (skip, values) = part(self.columns, m, from, to);
                at.checked_sub(skip).and_then(|at| values.get(at)).copied().filter(|&v| !is_absent(v))
            });
            values.fold(Sum::default(), Sum::add).total()
        };
        for (at, ((sum, error), present)) in sums.iter_mut().zip(errors).zip(present).enumerate() {
            // If the sum is not finite, its error is meaningless.
            *sum = match (present, sum.is_finite()) {
                (false, _) => ABSENT,
                // Near the largest float the sum is finite, but the computation of its error overflows.
                (true, true) if !error.is_finite() => slowly(at),
                (true, true) if error != 0.0 => *sum + error,
                (true, _) => *sum,
            };
        }
        Ok(sums)
    }

    /// One column for each group: the members' floats folded step by step.
    fn fold<S: Copy + Send>(
        &self,
        first: impl Fn(f64) -> S + Sync,
        add: impl Fn(&mut S, f64) + Sync,
        total: impl Fn(&S) -> f64 + Sync,
    ) -> Result<Vec<Points>, QueryError> {
        self.with(|members, from, to| {
            let mut states: Vec<Option<S>> = vec![None; to - from];
            for members in members.chunks(MEMBERS_PER_CHECK) {
                self.budget.check()?;
                for &m in members {
                    let (skip, values) = part(self.columns, m, from, to);
                    for (state, &v) in states[skip..].iter_mut().zip(values) {
                        if is_absent(v) {
                            continue;
                        }
                        match state {
                            Some(state) => add(state, v),
                            None => *state = Some(first(v)),
                        }
                    }
                }
            }
            Ok(states.iter().map(|s| s.as_ref().map_or(ABSENT, &total)).collect())
        })
    }

    /// One column for each group, folded in parts, in parallel if that is worthwhile. A part is all members of a group
    /// at some of the steps.
    fn with(
        &self,
        fold_part: impl Fn(&[usize], usize, usize) -> Result<Vec<f64>, QueryError> + Sync,
    ) -> Result<Vec<Points>, QueryError> {
        let (groups, steps) = (self.groups, self.steps);
        let crew = self.budget.crew();
        if !splits(crew, self.columns.values() as u64) || !self.budget.spreads() {
            let whole = |members: &Vec<usize>| fold_part(members, 0, steps.count).map(column);
            return groups.members.iter().map(whole).collect();
        }
        let parts: Vec<(usize, usize)> = (0..groups.members.len())
            .flat_map(|g| (0..steps.count).step_by(CHUNK_STEPS).map(move |s| (g, s)))
            .collect();
        // If there are many small groups, several parts form one piece of work.
        let length = parts.len().div_ceil(PARTS_A_CORE * crew.workers()).max(1);
        let folded = crew.share(parts.chunks(length).collect(), |parts: &[(usize, usize)]| {
            let fold = |&(g, from): &(usize, usize)| {
                fold_part(&groups.members[g], from, (from + CHUNK_STEPS).min(steps.count))
            };
            parts.iter().map(fold).collect::<Result<Vec<Vec<f64>>, QueryError>>()
        })?;
        let mut columns = vec![Vec::with_capacity(steps.count); groups.members.len()];
        for (&(g, _), part) in parts.iter().zip(folded.into_iter().flatten()) {
            columns[g].extend(part);
        }
        Ok(columns.into_iter().map(column).collect())
    }

    /// `count` and `group`, which take values of any kind. Histograms are counted by
    /// `count_histograms`, if there are any.
    fn count(
        &self,
        op: AggregateOp,
        count_histograms: impl Fn(usize, &mut [u64]),
    ) -> Result<Vec<Points>, QueryError> {
        let count = self.steps.count;
        let of_members = |members: &Vec<usize>| {
            let mut counts = vec![0u64; count];
            for members in members.chunks(MEMBERS_PER_CHECK) {
                self.budget.check()?;
                for &m in members {
                    let (skip, values) = part(self.columns, m, 0, count);
                    for (count, &v) in counts[skip..].iter_mut().zip(values) {
                        *count += u64::from(!is_absent(v));
                    }
                    count_histograms(m, &mut counts);
                }
            }
            let value = |c: u64| match (c, op) {
                (0, _) => ABSENT,
                (_, AggregateOp::Group) => 1.0,
                (c, _) => c as f64,
            };
            Ok(column(counts.into_iter().map(value).collect()))
        };
        self.groups.members.iter().map(of_members).collect()
    }
}

fn column(floats: Vec<f64>) -> Points {
    Points { floats, histograms: None }
}
