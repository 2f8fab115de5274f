//! Pins a query to its evaluation time by adding `@ T` to every selector and subquery without one. The pinned query
//! must have the same answer at any evaluation time.
//!
//! The text is changed, not the tree, so that the spans of the parser are tested too.

use barograph_query::functions::{Function, aggregates, all};
use barograph_query::syntax::ast::{AtModifier, DurationExpr, Expr, ExprKind, TimeModifiers};
use barograph_query::syntax::{parse, print, takes_window};

/// Functions whose answer depends on the evaluation time even in a pinned query.
const UNPINNABLE: [&str; 16] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
    "start",
    "end",
    "range",
    "step",
    "now",
];

/// Functions that read all steps of the query at once, including gaps: three steps in a range query, one step in an
/// instant query. In a pinned query, they always read the same.
const ALL_STEPS: [&str; 33] = [
    "anomalies",
    "anomaly_bounds",
    "anomaly_score",
    "changepoints",
    "forecast",
    "interpolate",
    "keep_last_value",
    "keep_next_value",
    "mstl",
    "range_avg",
    "range_first",
    "range_last",
    "range_linear_regression",
    "range_mad",
    "range_max",
    "range_median",
    "range_min",
    "range_normalize",
    "range_quantile",
    "range_stddev",
    "range_stdvar",
    "range_sum",
    "range_trim_outliers",
    "range_trim_spikes",
    "range_trim_zscore",
    "range_zscore",
    "running_avg",
    "running_max",
    "running_min",
    "running_sum",
    "seasonal_decompose",
    "seasonal_esd",
    "stl",
];

/// The beginnings of aggregations that rank series by all steps of the query.
const ALL_STEPS_RANKED: [&str; 2] = ["topk_", "bottomk_"];

/// The dependence of a query's text on time.
#[derive(Debug, Default)]
struct Findings {
    /// The positions for `@ T`, bytes from the beginning of the text.
    insertions: Vec<usize>,
    /// Whether the answer depends on the evaluation time even in a pinned query.
    unpinnable: bool,
    /// Whether the query reads its own bounds or step.
    asks_bounds: bool,
    /// Whether a value depends on other steps of the query.
    asks_all_steps: bool,
}

/// The text of `query` with `@ time_ms` where it is missing, or `None` if the answer would still depend on the
/// evaluation time.
pub fn pinned(query: &str, expr: &Expr, time_ms: i64) -> Option<String> {
    // Calls that stand for other queries have selectors that are not in the text.
    let is_replaced = |f: &&Function| f.may_be_replaced() && query.contains(&format!("{}(", f.name));
    if all().iter().any(|function| is_replaced(&function)) {
        let printed = print(expr);
        let expr = parse(&printed).ok()?;
        return pinned_text(&printed, &expr, time_ms);
    }
    pinned_text(query, expr, time_ms)
}

fn pinned_text(query: &str, expr: &Expr, time_ms: i64) -> Option<String> {
    let mut findings = Findings::default();
    walk(expr, &mut findings);
    if findings.unpinnable || findings.asks_bounds {
        return None;
    }
    let mut text = query.to_owned();
    findings.insertions.sort_unstable();
    // The content of a template occurs in the tree once for each use.
    findings.insertions.dedup();
    for at in findings.insertions.into_iter().rev() {
        let sign = if time_ms < 0 { "-" } else { "" };
        let (seconds, millis) = (time_ms.abs() / 1000, time_ms.abs() % 1000);
        text.insert_str(at, &format!(" @ {sign}{seconds}.{millis:03}"));
    }
    Some(text)
}

/// Whether the query reads its own bounds or step, or all of its steps, so that an instant and a range query have
/// different answers.
pub fn asks_query(expr: &Expr) -> bool {
    let mut findings = Findings::default();
    walk(expr, &mut findings);
    findings.asks_bounds || findings.asks_all_steps
}

fn walk(expr: &Expr, findings: &mut Findings) {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Selector(selector) => {
            modifiers(&selector.modifiers, expr, findings);
        }
        ExprKind::Range(range) => {
            duration(&range.range, findings);
            modifiers(&range.selector.modifiers, expr, findings);
        }
        ExprKind::Subquery(subquery) => {
            duration(&subquery.range, findings);
            if let Some(step) = &subquery.step {
                duration(step, findings);
            }
            modifiers(&subquery.modifiers, expr, findings);
            // The content of a pinned subquery is evaluated at the steps of the subquery and stays as it is.
            let mut inside = Findings::default();
            walk(&subquery.expr, &mut inside);
            findings.unpinnable |= inside.unpinnable;
            findings.asks_bounds |= inside.asks_bounds;
            // A subquery has the steps of all windows, which are more if there are more windows.
            findings.asks_all_steps |= inside.asks_all_steps;
        }
        ExprKind::Call(call) => {
            let name = call.function.name;
            findings.unpinnable |= UNPINNABLE.contains(&name);
            findings.asks_bounds |= ["start", "end", "step", "range"].contains(&name);
            // A selector without a window has the window of the query's step.
            let mut args = call.args.iter().enumerate();
            findings.asks_bounds |= args.any(|(index, arg)| takes_window(call.function, index, arg));
            findings.asks_all_steps |= ALL_STEPS.contains(&name);
            call.args.iter().for_each(|arg| walk(arg, findings));
        }
        ExprKind::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                walk(param, findings);
            }
            aggregate.more.iter().for_each(|param| walk(param, findings));
            let name = aggregates::of(aggregate.op).name;
            findings.asks_all_steps |= ALL_STEPS_RANKED.iter().any(|begin| name.starts_with(begin));
            walk(&aggregate.expr, findings);
        }
        ExprKind::Binary(binary) => {
            walk(&binary.lhs, findings);
            walk(&binary.rhs, findings);
        }
        ExprKind::Unary(unary) => walk(&unary.expr, findings),
        ExprKind::Paren(inner) => walk(inner, findings),
    }
}

fn modifiers(modifiers: &TimeModifiers, expr: &Expr, findings: &mut Findings) {
    if let Some(offset) = &modifiers.offset {
        duration(offset, findings);
    }
    match modifiers.at {
        None => findings.insertions.push(expr.span.end as usize),
        Some(AtModifier::Start | AtModifier::End) => findings.asks_bounds = true,
        Some(AtModifier::Time(_)) => {}
    }
}

fn duration(expr: &DurationExpr, findings: &mut Findings) {
    match expr {
        DurationExpr::Literal(..) => {}
        DurationExpr::Step(_) | DurationExpr::Range(_) => findings.asks_bounds = true,
        DurationExpr::MinOf(a, b, _) | DurationExpr::MaxOf(a, b, _) | DurationExpr::Binary(_, a, b, _) => {
            duration(a, findings);
            duration(b, findings);
        }
        DurationExpr::Unary(_, inner, _) | DurationExpr::Paren(inner, _) => duration(inner, findings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_function_of_all_steps_is_forgotten() {
        let spanning: Vec<&str> = barograph_query::functions::all()
            .iter()
            .filter(|function| function.spans_steps())
            .map(|function| function.name)
            .collect();
        assert_eq!(spanning, ALL_STEPS);
    }

    fn pin(query: &str) -> Option<String> {
        let expr = barograph_query::syntax::parse(query).unwrap();
        pinned(query, &expr, 60_500)
    }

    #[test]
    fn every_selector_without_a_time_gets_one() {
        for (query, want) in [
            ("up", "up @ 60.500"),
            ("sum(rate(up{a=\"@\"}[5m] offset 1m))", "sum(rate(up{a=\"@\"}[5m] offset 1m @ 60.500))"),
            ("up @ 5 + down", "up @ 5 + down @ 60.500"),
            ("max_over_time(rate(up[1m])[5m:1m])", "max_over_time(rate(up[1m])[5m:1m] @ 60.500)"),
            ("max_over_time(up[5m:1m] @ 7)", "max_over_time(up[5m:1m] @ 7)"),
            ("vector(1) + (up)", "vector(1) + (up @ 60.500)"),
            ("WITH (x = sum(up)) x + x", "WITH (x = sum(up @ 60.500)) x + x"),
            ("WITH (x = up) x + rate(x[5m])", "WITH (x = up) x @ 60.500 + rate(x[5m] @ 60.500)"),
        ] {
            assert_eq!(pin(query).as_deref(), Some(want));
        }
    }

    #[test]
    fn what_asks_for_the_time_is_left_alone() {
        for query in ["time()", "timestamp(up)", "up @ start()", "hour(up)", "rate(up[step()+1])"] {
            assert_eq!(pin(query), None, "{query}");
        }
        let asks = |query: &str| asks_query(&barograph_query::syntax::parse(query).unwrap());
        assert!(asks("up @ end()") && asks("up offset range()") && !asks("time()"));
        assert!(asks("rate(up)") && !asks("rate(up[5m])"));
        assert!(asks("topk_max(1, up)") && !asks("topk(1, up)"));
    }
}
