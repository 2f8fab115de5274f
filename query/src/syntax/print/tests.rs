//! Printed text parses to the same tree.

use proptest::prelude::*;

use super::*;
use crate::syntax::parse;

#[path = "generate.rs"]
mod generate;

/// The tree without the parentheses that were written.
fn without_parens(expr: Expr) -> Expr {
    let inner = |expr: Box<Expr>| Box::new(without_parens(*expr));
    let kind = match expr.kind {
        ExprKind::Paren(expr) => return without_parens(*expr),
        ExprKind::Unary(mut unary) => {
            unary.expr = inner(unary.expr);
            ExprKind::Unary(unary)
        }
        ExprKind::Binary(mut binary) => {
            (binary.lhs, binary.rhs) = (inner(binary.lhs), inner(binary.rhs));
            ExprKind::Binary(binary)
        }
        ExprKind::Aggregate(mut aggregate) => {
            aggregate.expr = inner(aggregate.expr);
            aggregate.param = aggregate.param.map(inner);
            aggregate.more = aggregate.more.into_iter().map(without_parens).collect();
            ExprKind::Aggregate(aggregate)
        }
        ExprKind::Call(mut call) => {
            call.args = call.args.into_iter().map(without_parens).collect();
            ExprKind::Call(call)
        }
        ExprKind::Subquery(mut subquery) => {
            subquery.expr = inner(subquery.expr);
            subquery.range = without_duration_parens(subquery.range);
            subquery.step = subquery.step.map(without_duration_parens);
            subquery.modifiers.offset = subquery.modifiers.offset.map(without_duration_parens);
            ExprKind::Subquery(subquery)
        }
        ExprKind::Range(mut range) => {
            range.range = without_duration_parens(range.range);
            range.selector.modifiers.offset = range.selector.modifiers.offset.map(without_duration_parens);
            ExprKind::Range(range)
        }
        ExprKind::Selector(mut selector) => {
            selector.modifiers.offset = selector.modifiers.offset.map(without_duration_parens);
            ExprKind::Selector(selector)
        }
        leaf @ (ExprKind::Number(_) | ExprKind::String(_)) => leaf,
    };
    Expr { kind, span: expr.span }
}

fn without_duration_parens(duration: DurationExpr) -> DurationExpr {
    let inner = |duration: Box<DurationExpr>| Box::new(without_duration_parens(*duration));
    match duration {
        DurationExpr::Paren(duration, _) => without_duration_parens(*duration),
        DurationExpr::MinOf(a, b, span) => DurationExpr::MinOf(inner(a), inner(b), span),
        DurationExpr::MaxOf(a, b, span) => DurationExpr::MaxOf(inner(a), inner(b), span),
        DurationExpr::Unary(op, a, span) => DurationExpr::Unary(op, inner(a), span),
        DurationExpr::Binary(op, a, b, span) => DurationExpr::Binary(op, inner(a), inner(b), span),
        leaf => leaf,
    }
}

proptest! {
    /// Any tree: the printed text parses to the same tree, with all necessary parentheses.
    #[test]
    fn printing_and_parsing_gives_the_tree(tree in generate::tree()) {
        for text in [print(&tree), pretty(&tree)] {
            match parse(&text) {
                Ok(read) => {
                    prop_assert_eq!(print(&read), print(&tree));
                    prop_assert_eq!(without_parens(read), tree.clone(), "{}", text);
                }
                Err(error) => prop_assert!(false, "{}: {}", text, error),
            }
        }
    }
}

fn printed(text: &str) -> String {
    print(&parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}")))
}

#[test]
fn canonical_forms() {
    let cases = [
        ("sum( a )by(b)", "sum by (b) (a)"),
        ("a{b='c',d=~`e\\d`}", r#"a{b="c", d=~"e\\d"}"#),
        ("{__name__='a'}", r#"{__name__="a"}"#),
        ("{__name__='a b'}", r#"{"a b"}"#),
        ("a{'b c'='d'}", r#"a{"b c"="d"}"#),
        ("sum by ('a.b', c) (d)", r#"sum by ("a.b", c) (d)"#),
        ("a offset 1w1d @ end()", "a offset 8d @ end()"),
        ("a[1y:90m]", "a[1y:1h30m]"),
        ("a[60*30]", "a[60 * 30]"),
        ("90m + 0s + 1.50 + 1001ms", "1h30m + 0s + 1.5 + 1s1ms"),
        ("1e30 + 1e-7 + 100000 + INF + nan + 0x10", "1e30 + 1e-7 + 100000 + Inf + NaN + 16"),
        ("\"tab\\tquote\\\"bell\\a\"", "\"tab\\tquote\\\"bell\\u0007\""),
        ("time ( )", "time()"),
    ];
    for (text, expected) in cases {
        assert_eq!(printed(text), expected, "{text}");
    }
}

#[test]
fn long_queries_are_broken_into_lines() {
    let text = "sum by (job, instance) (rate(http_requests_total{job=\"api\", code=~\"5..\"}[5m])) / \
                on (job, instance) group_left () topk(5, rate(http_requests_total{job=\"api\"}[5m])) > 0.5";
    let expected = r#"    sum by (job, instance) (rate(http_requests_total{job="api", code=~"5.."}[5m]))
  / on (job, instance) group_left ()
    topk(5, rate(http_requests_total{job="api"}[5m]))
>
  0.5"#;
    let expr = parse(text).unwrap();
    assert_eq!(pretty(&expr), expected);
    assert_eq!(parse(expected).unwrap(), expr);

    let text = "-label_replace((max_over_time(a_rather_long_metric_name{with=\"labels\"}[1h]) + another_metric_name), \"dst\", \"$1\", \"src\", \".*\")";
    let expected = r#"-label_replace(
  (max_over_time(a_rather_long_metric_name{with="labels"}[1h]) + another_metric_name),
  "dst",
  "$1",
  "src",
  ".*"
)"#;
    assert_eq!(pretty(&parse(text).unwrap()), expected);
    assert_eq!(pretty(&parse("a+b").unwrap()), "a + b");
}
