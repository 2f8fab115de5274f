use super::*;
use crate::syntax::parse;

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
