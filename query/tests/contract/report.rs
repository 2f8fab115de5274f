//! Counts cases, and prints what broke the contract.

use std::fmt;

use crate::bounds::Interval;
use crate::reach::Reached;
use crate::rows::{Answer, Case, Row};
use crate::series::Series;

/// Violations that are printed in full.
const SHOWN: usize = 8;

#[derive(Debug, Default)]
struct Line {
    name: &'static str,
    exact: u64,
    bounded: u64,
    refused: u64,
    wrong: u64,
    outside: u64,
    /// Bound divided by error, of each bounded case.
    ratios: Vec<f64>,
    /// Width of the bound divided by the width that other samples reach.
    widths: Vec<f64>,
}

/// The result of all cases so far.
#[derive(Debug)]
pub struct Report {
    lines: Vec<Line>,
    shown: Vec<String>,
}

impl Report {
    /// A report of these rows.
    pub fn new(names: impl Iterator<Item = &'static str>) -> Self {
        let lines = names.map(|name| Line { name, ..Line::default() }).collect();
        Report { lines, shown: Vec::new() }
    }

    /// The number of cases with an answer.
    pub fn cases(&self) -> u64 {
        self.lines.iter().map(|line| line.exact + line.bounded).sum()
    }

    /// Whether no case broke the contract.
    pub fn is_clean(&self) -> bool {
        self.lines.iter().all(|line| line.wrong + line.outside == 0)
    }

    /// Compares what a row says about a case.
    /// `reached` are the least and the greatest answer over other samples, which the bound must contain too.
    pub fn add(
        &mut self,
        row: &Row,
        case: &Case<'_>,
        (series, width): (&Series, i64),
        reached: impl FnOnce() -> Option<Reached>,
    ) {
        let Some(line) = self.lines.iter_mut().find(|line| line.name == row.name) else { return };
        let truth = (row.truth)(case);
        let answer = (row.answer)(case);
        let kept = match answer {
            Answer::Refused => {
                line.refused += 1;
                return;
            }
            Answer::Exact(value) => {
                line.exact += 1;
                let kept = row.close.accepts(case, value, truth);
                line.wrong += u64::from(!kept);
                kept
            }
            Answer::Within(bound) => {
                line.bounded += 1;
                let reached = reached();
                let kept = truth.is_some_and(|truth| bound.lo <= truth && truth <= bound.hi)
                    && reached.is_none_or(|reached| reached.is_inside(&bound));
                line.outside += u64::from(!kept);
                let error = truth.map_or(f64::NAN, |truth| (bound.value - truth).abs());
                let far = (bound.hi - bound.value).max(bound.value - bound.lo);
                if far > 0.0 && error.is_finite() {
                    line.ratios.push(far / error);
                }
                // Where no other samples have another answer, there is nothing to compare with.
                let reached = reached.map_or(0.0, |reached| reached.greatest - reached.least);
                if far > 0.0 && reached > 0.0 {
                    line.widths.push((bound.hi - bound.lo) / reached);
                }
                kept
            }
        };
        self.show(kept, || {
            format!(
                "{} of ({}, {}], buckets of {width} ns, {}: {answer:?}, samples say {truth:?}",
                row.name, case.start, case.end, series.name
            )
        });
    }

    /// Counts a case that must be exact. One that was answered without buckets counts as refused, but must be right too.
    pub fn add_exact(
        &mut self,
        name: &str,
        from_buckets: bool,
        kept: bool,
        message: impl FnOnce() -> String,
    ) {
        let Some(line) = self.lines.iter_mut().find(|line| line.name == name) else { return };
        match from_buckets {
            true => line.exact += 1,
            false => line.refused += 1,
        }
        line.wrong += u64::from(!kept);
        self.show(kept, message);
    }

    /// Counts a case without an answer, or whose answer has no bound.
    pub fn add_refused(&mut self, name: &str) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.name == name) {
            line.refused += 1;
        }
    }

    /// Counts a case whose answer differs from the truth by a bound at most, and from the answers over other samples, which
    /// are known but for a tolerance.
    pub fn add_estimate(
        &mut self,
        name: &str,
        (value, bound): (f64, f64),
        truth: f64,
        reached: Option<Reached>,
        message: impl FnOnce() -> String,
    ) {
        let Some(line) = self.lines.iter_mut().find(|line| line.name == name) else { return };
        line.bounded += 1;
        let error = (value - truth).abs();
        let is_right = error <= bound || value == truth || (value.is_nan() && truth.is_nan());
        let interval = Interval { lo: value - bound, value, hi: value + bound };
        let kept = is_right && reached.is_none_or(|reached| reached.is_inside(&interval));
        line.outside += u64::from(!kept);
        if bound > 0.0 && error.is_finite() {
            line.ratios.push(bound / error);
        }
        let reached = reached.map_or(0.0, |reached| reached.greatest - reached.least);
        if bound > 0.0 && reached > 0.0 {
            line.widths.push(2.0 * bound / reached);
        }
        self.show(kept, message);
    }

    fn show(&mut self, kept: bool, message: impl FnOnce() -> String) {
        if !kept && self.shown.len() < SHOWN {
            self.shown.push(message());
        }
    }
}

fn median(ratios: impl Iterator<Item = f64>) -> f64 {
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<14} {:>9} {:>9} {:>9} {:>6} {:>8} {:>12} {:>14}",
            "function", "exact", "bounded", "refused", "wrong", "outside", "bound/error", "bound/reached"
        )?;
        for line in &self.lines {
            let Line { name, exact, bounded, refused, wrong, outside, ratios, widths } = line;
            let (ratio, reach) = (median(ratios.iter().copied()), median(widths.iter().copied()));
            writeln!(
                f,
                "{name:<14} {exact:>9} {bounded:>9} {refused:>9} {wrong:>6} {outside:>8} {ratio:>12.1} {reach:>14.2}"
            )?;
        }
        self.shown.iter().try_for_each(|violation| writeln!(f, "{violation}"))?;
        let wrong: u64 = self.lines.iter().map(|line| line.wrong).sum();
        let outside: u64 = self.lines.iter().map(|line| line.outside).sum();
        let ratio = median(self.lines.iter().flat_map(|line| line.ratios.iter().copied()));
        let cases = self.cases();
        write!(
            f,
            "contract: {cases} cases, {wrong} exact violations, {outside} bound violations, median bound/error {ratio:.1}"
        )
    }
}
