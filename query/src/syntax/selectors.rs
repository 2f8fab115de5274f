//! The selectors of an expression, which determine the series that it reads.

use barograph_engine::model::Matcher;

use crate::syntax::ast::{Expr, ExprKind};

/// The matchers of every selector in `expr`, from left to right.
pub fn selectors(expr: &Expr) -> Vec<&[Matcher]> {
    let mut found = Vec::new();
    collect(expr, &mut found);
    found
}

fn collect<'e>(expr: &'e Expr, found: &mut Vec<&'e [Matcher]>) {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Selector(selector) => found.push(&selector.matchers),
        ExprKind::Range(range) => found.push(&range.selector.matchers),
        ExprKind::Subquery(subquery) => collect(&subquery.expr, found),
        ExprKind::Call(call) => call.args.iter().for_each(|arg| collect(arg, found)),
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.iter().for_each(|param| collect(param, found));
            collect(&aggregate.expr, found);
        }
        ExprKind::Binary(binary) => {
            collect(&binary.lhs, found);
            collect(&binary.rhs, found);
        }
        ExprKind::Unary(unary) => collect(&unary.expr, found),
        ExprKind::Paren(inner) => collect(inner, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_selector_is_found_once() {
        let text = "-topk(scalar(k), rate(a[5m]) + on (x) (b{c=\"d\"})) / max_over_time(e[1h:5m]) > bool 1";
        let expr = crate::syntax::parse(text).unwrap();
        let names: Vec<&str> = selectors(&expr).iter().map(|matchers| matchers[0].value.as_str()).collect();
        assert_eq!(names, ["k", "a", "b", "e"]);
        assert!(selectors(&crate::syntax::parse("1 + time()").unwrap()).is_empty());
    }
}
