//! Trees, errors and their positions.

use proptest::prelude::*;

use barograph_engine::budget::{Account, Cancel, Share, Work};

use super::*;
use crate::syntax::ast::*;
use crate::syntax::{print, value_type};

fn parsed(text: &str) -> Expr {
    parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn error(text: &str) -> String {
    match parse(text) {
        Ok(expr) => panic!("{text:?} parsed as {}", print(&expr)),
        Err(error) => error.to_string(),
    }
}

/// The tree with parentheses around every operator.
fn grouped(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Binary(b) => format!("({} {} {})", grouped(&b.lhs), b.op.as_str(), grouped(&b.rhs)),
        ExprKind::Unary(u) => format!("({}{})", u.op.as_str(), grouped(&u.expr)),
        ExprKind::Paren(inner) => grouped(inner),
        _ => print(expr),
    }
}

#[test]
fn precedence_and_associativity() {
    let cases = [
        ("1 + 2 * 3 ^ 4", "(1 + (2 * (3 ^ 4)))"),
        ("1 - 2 - 3", "((1 - 2) - 3)"),
        ("2 ^ 3 ^ 4", "(2 ^ (3 ^ 4))"),
        ("-2 ^ 2", "(-(2 ^ 2))"),
        ("2 ^ -1", "(2 ^ (-1))"),
        ("2 ^ -1 * 3", "((2 ^ (-1)) * 3)"),
        ("-a * b", "((-a) * b)"),
        ("1 - -1", "(1 - (-1))"),
        ("a or b and c unless d", "(a or ((b and c) unless d))"),
        ("a and b == c + d atan2 e", "(a and (b == (c + (d atan2 e))))"),
        ("a </ 1 > b", "((a </ 1) > b)"),
        ("-a offset 5m", "(-a offset 5m)"),
        ("a ^ b offset 5m", "(a ^ b offset 5m)"),
        ("(1 + 2) * 3", "((1 + 2) * 3)"),
        ("a default b if c or d and e", "(a default (b if (c or (d and e))))"),
        ("a if b ifnot c if d", "(((a if b) ifnot c) if d)"),
        ("a + 1 default b > 2 default c", "(((a + 1) default (b > 2)) default c)"),
    ];
    for (text, expected) in cases {
        assert_eq!(grouped(&parsed(text)), expected, "{text}");
    }
}

#[test]
fn keywords_as_names() {
    for name in [
        "by", "without", "and", "or", "unless", "offset", "start", "end", "step", "range", "min_of", "max_of",
    ] {
        assert_eq!(print(&parsed(name)), name);
        assert_eq!(print(&parsed(&format!("{name} + {name}"))), format!("{name} + {name}"));
    }
    for name in
        ["anchored", "smoothed", "fill", "fill_left", "fill_right", "limitk", "limit_ratio", "sum", "topk"]
    {
        assert_eq!(print(&parsed(name)), name);
        assert_eq!(print(&parsed(&format!("{name}{{a=\"b\"}}[5m]"))), format!("{name}{{a=\"b\"}}[5m]"));
    }
    for name in ["default", "if", "ifnot", "keep_metric_names", "union", "quantiles", "quantiles_over_time"] {
        assert_eq!(print(&parsed(name)), name);
        for query in
            ["NAME default NAME", "NAME if NAME{NAME=\"x\"}", "NAME ifnot on (NAME) NAME", "abs(NAME)"]
        {
            let query = query.replace("NAME", name);
            assert_eq!(print(&parsed(&query)), query);
        }
    }
    for name in ["on", "ignoring", "group_left", "group_right", "bool", "atan2"] {
        assert!(error(name).contains("expected an expression"), "{name}");
    }
    for label in ["on", "by", "bool", "and", "sum", "offset", "inf", "nan", "start", "group_left", "atan2"] {
        parsed(&format!("sum by ({label}) (a{{{label}=\"x\"}})"));
    }
    assert_eq!(print(&parsed("SUM BY (a) (b) AND ON (c) d")), "sum by (a) (b) and on (c) d");
    assert!(error("RATE(a[5m])").contains("did you mean \"rate\"?"));
}

#[test]
fn selectors() {
    let expr = parsed(r#"{"my.metric", "my.label"=~"v", b!=`w`,}"#);
    let ExprKind::Selector(selector) = &expr.kind else { panic!("a selector") };
    assert_eq!(selector.name, None);
    let matchers: Vec<_> =
        selector.matchers.iter().map(|m| (m.name.as_str(), m.op.as_str(), m.value.as_str())).collect();
    assert_eq!(matchers, [("__name__", "=", "my.metric"), ("my.label", "=~", "v"), ("b", "!=", "w")]);

    let named = parsed("up{job='api'}");
    let ExprKind::Selector(selector) = &named.kind else { panic!("a selector") };
    assert_eq!(selector.name.as_deref(), Some("up"));
    assert_eq!(selector.matchers[0].value, "up");
    assert_eq!(named.span, Span::new(0, 13));
}

#[test]
fn selectors_that_are_refused() {
    let cases = [
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("{a=\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("{a=~\".*\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("a{__name__=\"b\"}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\""),
        ("a{\"b\"}", "1:3: parse error: metric name must not be set twice: \"b\" is the second"),
        ("{\"a\",\"b\"}", "1:6: parse error: metric name must not be set twice: \"b\" is the second"),
        ("a{b}", "1:4: parse error: unexpected \"}\", expected one of =, !=, =~, !~ after a label name"),
        (
            "a{b=c}",
            "1:5: parse error: unexpected identifier c, expected a quoted string after a label matching operator",
        ),
        (
            "a{b=\"c\"",
            "1:8: parse error: unexpected end of input, expected \",\" or \"}\" after a label matcher",
        ),
        ("a{,}", "1:3: parse error: unexpected \",\", expected a label name or \"}\""),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected, "{text}");
    }
    assert!(error("a{b=~\"(\"}").starts_with("1:3: parse error: "), "{}", error("a{b=~\"(\"}"));
}

#[test]
fn ranges_and_modifiers() {
    let expr = parsed("foo[5m] @ 100 offset -1m anchored");
    let ExprKind::Range(range) = &expr.kind else { panic!("a range") };
    assert_eq!(range.selector.edges, Edges::Anchored);
    assert_eq!(range.selector.modifiers.at, Some(AtModifier::Time(100_000)));
    assert!(range.selector.modifiers.at_first);
    assert_eq!(range.range.seconds(0.0, 0.0), 300.0);
    let offset = range.selector.modifiers.offset.as_ref().expect("an offset");
    assert_eq!(offset.seconds(0.0, 0.0), -60.0);
    assert_eq!(expr.span, Span::new(0, 33));

    let expr = parsed("foo[step() + 1m:range() / 10] offset min_of(step(), 1s)");
    let ExprKind::Subquery(subquery) = &expr.kind else { panic!("a subquery") };
    assert_eq!(subquery.range.seconds(15.0, 300.0), 75.0);
    assert_eq!(subquery.step.as_ref().map(|step| step.seconds(15.0, 300.0)), Some(30.0));
    assert_eq!(
        grouped(&parsed("foo offset min_of(step(), 1s) + 8000")),
        "(foo offset min_of(step(), 1s) + 8000)"
    );
    assert_eq!(print(&parsed("foo @ 1.0015")), "foo @ 1.002");
}

#[test]
fn arithmetic_on_durations() {
    let cases = [
        ("2 ^ 1 ^ 3", 2.0),
        ("1 + 2 * 3", 7.0),
        ("10 - 3 - 2", 5.0),
        ("30m1s - 30m1s % 1m", 1800.0),
        ("5 + -2 ^ 2", 1.0),
        ("(5 + 1) * 2", 12.0),
        ("MIN_OF(step(), 1m) + max_of(range(), 2)", 75.0),
        ("100 / 8 % 5", 2.5),
    ];
    for (text, expected) in cases {
        let expr = parsed(&format!("a[{text}]"));
        let ExprKind::Range(range) = &expr.kind else { panic!("a range") };
        assert_eq!(range.range.seconds(15.0, 60.0), expected, "{text}");
    }
}

#[test]
fn ranges_that_are_refused() {
    let cases = [
        ("foo[0]", "1:5: parse error: duration must be greater than 0"),
        ("foo[5m - 5m]", "1:5: parse error: duration must be greater than 0"),
        ("foo[1/0]", "1:6: parse error: division by zero"),
        ("foo[1m + 1 % (5m - 5m)]", "1:10: parse error: modulo by zero"),
        ("foo[min_of(1 / (1 - 1), 5m)]", "1:12: parse error: division by zero"),
        ("foo[]", "1:5: parse error: unexpected \"]\", expected a duration after \"[\""),
        ("foo[5m", "1:7: parse error: unexpected end of input, expected \"]\" to close \"[\" at 1:4"),
        ("sum(foo)[5m]", "1:9: parse error: ranges only allowed for vector selectors"),
        ("foo offset 1m [5m]", "1:15: parse error: no offset modifiers allowed before range"),
        ("foo @ 1 @ 2", "1:9: parse error: @ <timestamp> may not be set multiple times"),
        (
            "foo anchored smoothed",
            "1:14: parse error: anchored and smoothed modifiers cannot be used together",
        ),
        ("foo[5m:] anchored", "1:10: parse error: anchored modifier is not supported for subqueries"),
        (
            "foo[5m][1h:]",
            "1:1: parse error: subquery is only allowed on instant vector, got range vector instead",
        ),
        (
            "max_over_time((foo[3m] anchored))",
            "1:15: parse error: anchored modifier can only be used with: changes, delta, increase, rate, resets - not with max_over_time",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn calls_and_aggregations() {
    assert_eq!(print(&parsed("topk(5, a) without (b)")), "topk without (b) (5, a)");
    assert_eq!(print(&parsed("info(a, {b=~\".*\"})")), "info(a, {b=~\".*\"})");
    parsed("label_join(a, \"b\", \",\")");
    parsed("time() + step() + range() + start() + end() + min_of(1, 2) + pi()");
    let cases = [
        (
            "rate((a))",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "rate(sum(a))",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "abs(a[5m])",
            "1:5: parse error: expected type instant vector in call to function \"abs\", got range vector",
        ),
        ("rate()", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"),
        ("abs(a,)", "1:6: parse error: trailing commas not allowed in function call args"),
        ("rate(a[5m]", "1:11: parse error: unexpected end of input, expected \")\" to close \"(\" at 1:5"),
        ("round(a, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        (
            "sum(a[5m])",
            "1:5: parse error: expected type instant vector in aggregation expression, got range vector",
        ),
        (
            "topk(a)",
            "1:5: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        (
            "sum(a, b)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
        ),
        ("count_values(\"a\\xc5z\", b)", "1:14: parse error: invalid label name \"a\\xc5z\""),
        (
            "info(a, b)",
            "1:9: parse error: unexpected identifier b, expected label matchers in braces as the second argument of \"info\"",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected, "{text}");
    }
    let many = format!("histogram_quantiles(a, \"q\"{})", ", 0.5".repeat(11));
    assert!(error(&many).contains("at most 12 argument(s)"));
}

#[test]
fn operators_and_their_words() {
    let cases = [
        ("a+on(b,)group_left c", "a + on (b) group_left () c"),
        ("a == bool ignoring(x) fill(0) b", "a == bool ignoring (x) fill (0) b"),
        ("a + fill_right(-5m) fill_left(Inf) b", "a + fill_left (Inf) fill_right (-300) b"),
        ("fill + fill(0) fill_left", "fill + fill (0) fill_left"),
        ("1 + on() a", "1 + a"),
        ("a and ignoring(x) b", "a and ignoring (x) b"),
    ];
    for (text, expected) in cases {
        assert_eq!(print(&parsed(text)), expected, "{text}");
    }
    for (text, at, reason) in [
        ("1 == 2", "1:3", "comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "1:3", "bool modifier can only be used on comparison operators"),
        ("1 and a", "1:3", "set operator \"and\" not allowed in binary scalar expression"),
        ("a and on(x) group_left b", "1:3", "no grouping allowed for \"and\" operation"),
        ("a or fill(1) b", "1:3", "filling in missing series not allowed for set operators"),
        ("a + on(x) 1", "1:3", "vector matching only allowed between instant vectors"),
        ("a + fill(x) 1", "1:10", "unexpected identifier x, expected a number or a duration"),
        ("a + on(x) group_left(x) b", "1:3", "label \"x\" must not occur in ON and GROUP clause at once"),
        (
            "a[5m] + 1",
            "1:1",
            "binary expression must contain only scalar and instant vector types, got \"range vector\"",
        ),
        (
            "\"a\" + 1",
            "1:1",
            "binary expression must contain only scalar and instant vector types, got \"string\"",
        ),
        (
            "-\"a\"",
            "1:1",
            "unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
    ] {
        assert_eq!(error(text), format!("{at}: parse error: {reason}"), "{text}");
    }
}

#[test]
fn names_that_are_kept() {
    let cases = [
        ("rate(a[5m])keep_metric_names", "rate(a[5m]) keep_metric_names"),
        ("(a+b)Keep_Metric_Names*2", "(a + b) keep_metric_names * 2"),
        ("((a == bool 1)) keep_metric_names", "((a == bool 1) keep_metric_names)"),
        ("max_over_time(abs(a) keep_metric_names[5m:])", "max_over_time(abs(a) keep_metric_names[5m:])"),
        ("abs(a) keep_metric_names keep_metric_names", ""),
        ("a keep_metric_names", ""),
        ("a + b keep_metric_names", ""),
        ("sum(a) keep_metric_names", ""),
        ("(a) keep_metric_names", ""),
    ];
    for (text, expected) in cases {
        if expected.is_empty() {
            let message = error(text);
            let twice = "1:26: parse error: keep_metric_names may not be set multiple times";
            assert!(
                message == twice || message.contains("keep_metric_names must follow"),
                "{text}: {message}"
            );
            continue;
        }
        assert_eq!(print(&parsed(text)), expected, "{text}");
        assert_eq!(parsed(expected), parsed(text));
    }
}

#[test]
fn gap_operators_and_what_they_refuse() {
    assert_eq!(value_type(&parsed("1 default 2")), ValueType::Scalar);
    assert_eq!(value_type(&parsed("a if 1")), ValueType::InstantVector);
    assert_eq!(value_type(&parsed("1 ifnot a")), ValueType::InstantVector);
    for (text, at, reason) in [
        ("a default on(x) group_left b", "1:3", "no grouping allowed for \"default\" operation"),
        ("a if fill(0) b", "1:3", "filling in missing series not allowed for \"if\""),
        ("a ifnot bool b", "1:3", "bool modifier can only be used on comparison operators"),
        ("a default on(x) 1", "1:3", "vector matching only allowed between instant vectors"),
        (
            "a default \"x\"",
            "1:11",
            "binary expression must contain only scalar and instant vector types, got \"string\"",
        ),
        (
            "a defualt b",
            "1:3",
            "unexpected identifier defualt, expected an operator or the end, did you mean \"default\"?",
        ),
        (
            "abs(a) + (b ofset 5m)",
            "1:13",
            "unexpected identifier ofset, expected \")\" to close \"(\" at 1:10, did you mean \"offset\"?",
        ),
    ] {
        assert_eq!(error(text), format!("{at}: parse error: {reason}"), "{text}");
    }
}

#[test]
fn several_quantiles() {
    assert_eq!(
        print(&parsed("QUANTILES(\"q\", 0.5, scalar(a), b) by (c)")),
        "quantiles by (c) (\"q\", 0.5, scalar(a), b)"
    );
    parsed("quantiles_over_time(\"q\", 0.5, 0.9, 1, a[5m])");
    for (text, at, reason) in [
        (
            "quantiles(\"q\", a)",
            "1:1",
            "wrong number of arguments for aggregate expression provided, expected at least 3, got 2",
        ),
        ("quantiles(0.5, 0.9, a)", "1:11", "expected type string in aggregation parameter, got scalar"),
        (
            "quantiles(\"q\", a, 0.5)",
            "1:16",
            "expected type scalar in aggregation parameter, got instant vector",
        ),
        (
            "quantiles(\"q\", 0.5, 1)",
            "1:21",
            "expected type instant vector in aggregation expression, got scalar",
        ),
        (
            "quantiles_over_time(\"q\", 0.5)",
            "1:1",
            "expected at least 3 argument(s) in call to \"quantiles_over_time\", got 2",
        ),
        (
            "quantiles_over_time(\"q\", 0.5, 0.9)",
            "1:31",
            "expected type range vector as the last argument of function \"quantiles_over_time\", got scalar",
        ),
        (
            "quantiles_over_time(\"q\", 0.5, a[5m], a[5m])",
            "1:31",
            "expected type scalar in call to function \"quantiles_over_time\", got range vector",
        ),
        (
            "quantiles_over_time(\"q\", a[5m], 0.5)",
            "1:26",
            "expected type scalar in call to function \"quantiles_over_time\", got range vector",
        ),
    ] {
        assert_eq!(error(text), format!("{at}: parse error: {reason}"), "{text}");
    }
}

#[test]
fn errors_know_their_line() {
    assert_eq!(
        error("sum(\n  a,\n  b)"),
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2"
    );
    assert_eq!(error("# all\na + # b\n *"), "3:2: parse error: unexpected \"*\", expected an expression");
    assert_eq!(error(""), "1:1: parse error: no expression found in input");
    assert_eq!(error("a b"), "1:3: parse error: unexpected identifier b, expected an operator or the end");
    assert_eq!(error("1 !~ 2"), "1:3: parse error: unexpected \"!~\", expected an operator or the end");
}

#[test]
fn types() {
    for (text, expected) in [
        ("1", ValueType::Scalar),
        ("-(1 + 2)", ValueType::Scalar),
        ("\"a\"", ValueType::String),
        ("a", ValueType::InstantVector),
        ("1 + a", ValueType::InstantVector),
        ("a + 1", ValueType::InstantVector),
        ("a == a", ValueType::InstantVector),
        ("a[5m]", ValueType::RangeVector),
        ("sum(a)[5m:]", ValueType::RangeVector),
        ("time()", ValueType::Scalar),
    ] {
        assert_eq!(value_type(&parsed(text)), expected, "{text}");
    }
}

#[test]
fn depth_is_limited_without_exhausting_the_stack() {
    let many = 10_000;
    for text in [
        "(".repeat(many),
        "-".repeat(many),
        format!("{}1{}", "(".repeat(many), ")".repeat(many)),
        format!("{}a{}", "abs(".repeat(many), ")".repeat(many)),
        format!("{}a{}", "sum(".repeat(many), ")".repeat(many)),
        format!("2{}", " ^ 2".repeat(many)),
        format!("a[{}1{}]", "(".repeat(many), ")".repeat(many)),
        format!("a[{}1]", "-".repeat(many)),
        format!("a[1{}]", " + 1".repeat(many)),
        format!("a[{}1{}]", "min_of(".repeat(many), ", 1)".repeat(many)),
        format!("a offset {}1{}", "(".repeat(many), ")".repeat(many)),
    ] {
        let message = error(&text);
        assert!(
            message.contains("nested deeper than 200") || message.contains("too many operators"),
            "{message}"
        );
    }
    assert!(error(&format!("a{}", " + a".repeat(many))).contains("chains more than 600 operators"));
    let highest = format!("a{}", " + a".repeat(HEIGHT_MAX as usize - 1));
    assert_eq!(parsed(&print(&parsed(&highest))), parsed(&highest));
    parsed(&format!("{}a{}", "(".repeat(199), ")".repeat(199)));
    let long = "a".repeat(QUERY_BYTES_MAX + 1);
    assert!(error(&long).contains("the limit is 67108864"));
}

proptest! {
    /// No bytes cause a panic, and the span of an error is inside the text.
    #[test]
    fn any_text_is_answered(text in "[a-c0-9 (){}\\[\\]\"'`\\\\,:@+*/^=!~<>.#\n_üµ-]{0,40}") {
        if let Err(QueryError::Parse { start, end, .. }) = parse(&text) {
            prop_assert!(text.get(start as usize..end as usize).is_some(), "{start}..{end} in {text:?}");
        }
    }

    /// The same with words of the language, which get further.
    #[test]
    fn any_words_are_answered(words in prop::collection::vec(prop::sample::select(vec![
        "sum", "rate", "a", "by", "(", ")", "(", ")", "[", "]", ":", "5m", "1", "step", "on", "group_left", "offset",
        "@", "+", "-", "*", "^", "==", "and", "{", "}", "x", "=", "=~", "\"v\"", ",", "bool", "fill", "anchored",
        "min_of", "start", "</", "info", "inf", "default", "if", "ifnot", "keep_metric_names", "quantiles", "union",
    ]), 0..24)) {
        let text = words.join(" ");
        match parse(&text) {
            Ok(expr) => prop_assert_eq!(parse(&print(&expr)).ok(), Some(expr)),
            Err(QueryError::Parse { start, end, .. }) => {
                prop_assert!(text.get(start as usize..end as usize).is_some(), "{}..{} in {:?}", start, end, text);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

/// Expressions of a request whose memory is counted in the share.
fn counted(bytes_max: u64) -> (std::sync::Arc<Share>, Expressions) {
    let share = Share::new("queries", 1 << 30);
    (share.clone(), Expressions::new(Work::unbounded().of(share), bytes_max))
}

/// 181 bytes, which produced 1,024 automata of 9 MB each.
fn doubled() -> String {
    let doubles: String = (1..10).map(|n| format!(", g{n} = {{g{}, g{}}}", n - 1, n - 1)).collect();
    format!(r#"WITH (f = {{a=~"\\pL{{190}}"}}, g0 = {{f, f}}{doubles}) x{{g9}}"#)
}

#[test]
fn a_repeated_expression_is_one_automaton() {
    let text = doubled();
    assert!(text.len() < 230, "{} bytes: {text}", text.len());
    let (share, mut expressions) = counted(32 << 20);
    let Expr { kind: ExprKind::Selector(selector), .. } = parse_within(&text, &mut expressions).unwrap()
    else {
        panic!("a selector")
    };
    assert_eq!((selector.matchers.len(), expressions.len()), (1025, 1));
    let pattern = selector.matchers[1].pattern().unwrap();
    let all = selector.matchers[1..].iter().map(|matcher| matcher.pattern().unwrap());
    assert!(all.clone().all(|other| std::ptr::eq(other.text(), pattern.text())), "one pattern");
    // An automaton takes twice its size while it is built, and the compiler takes some memory too.
    assert!(share.peak() < 20 << 20, "{} bytes", share.peak());
    let (now, held) = (share.used(), expressions.bytes() + expressions.text_bytes());
    assert_eq!(now, held);
    drop((selector, expressions));
    assert_eq!(share.used(), 0);
}

#[test]
fn different_expressions_are_weighed_together() {
    let matchers: Vec<String> = (0..300).map(|n| format!(r#"a=~"\\pL{{190}}{n}""#)).collect();
    let text = format!("x{{{}}}", matchers.join(","));
    for parse in [
        |text: &str, within: &mut Expressions| parse_within(text, within).map(drop),
        |text: &str, within: &mut Expressions| parse_selector_within(text, within).map(drop),
    ] {
        let (share, mut expressions) = counted(32 << 20);
        let error = parse(&text, &mut expressions).unwrap_err();
        let QueryError::Expressions { place, limit, .. } = &error else { panic!("{error}") };
        assert_eq!(*limit, 32 << 20);
        let column: usize = place.strip_prefix("1:").unwrap().parse().unwrap();
        assert!(text[column - 1..].starts_with(r#"a=~"#), "it says which one: {error}");
        assert!(
            error.to_string().contains("more than 32MiB of memory together, the limit of one request"),
            "{error}"
        );
        assert!(share.peak() < 48 << 20, "{} bytes", share.peak());
    }
    // Each is fine by itself, and so are three hundred of the usual kind.
    let (_, mut expressions) = counted(32 << 20);
    let plain: Vec<String> = (0..300).map(|n| format!(r#"a=~"node-{n}-.*(east|west)[0-9]+""#)).collect();
    parse_within(&format!("x{{{}}}", plain.join(",")), &mut expressions).unwrap();
    assert!(expressions.bytes() < 16 << 20, "{}", expressions.bytes());
}

#[test]
fn a_tree_is_counted_and_parsing_stops_with_its_request() {
    let text = format!("x{{{}}}", r#"a="b","#.repeat(100_000));
    let (share, mut expressions) = counted(0);
    let Expr { kind: ExprKind::Selector(selector), .. } = parse_within(&text, &mut expressions).unwrap()
    else {
        panic!("a selector")
    };
    let least = selector.matchers.capacity() * size_of::<Matcher>() + selector.matchers.len() * 2;
    assert!(share.used() as usize > least && share.used() < 256 << 20, "{} for {least}", share.used());
    assert_eq!(share.used(), expressions.text_bytes());

    let cancel = Cancel::default();
    let mut expressions = Expressions::new(Work::unbounded().until(cancel.clone()), u64::MAX);
    cancel.cancel();
    for text in ["1", &text, &doubled()] {
        assert!(matches!(parse_within(text, &mut expressions), Err(QueryError::Canceled)));
    }
    let work = Work::unbounded().charged_to(Account::default()).holding(1 << 20);
    let denied = parse_within(&text, &mut Expressions::new(work, u64::MAX));
    assert!(matches!(denied, Err(QueryError::Memory { limit: 1_048_576 })), "{denied:?}");
}

/// The bytes counted for a token suffice for the largest node that it may become, in a list that has grown.
#[test]
fn nodes_are_no_larger_than_they_are_counted() {
    assert!(2 * size_of::<Expr>() as u64 <= NODE_BYTES, "{}", size_of::<Expr>());
    assert!(2 * size_of::<Matcher>() as u64 <= 2 * NODE_BYTES, "a matcher has a name and a value");
}

/// The text written from a tree has at most four times the bytes counted for the tree, which a writer takes.
#[test]
fn what_is_written_of_a_tree_is_bounded_by_it() {
    let nested = format!("{}x{}", "abs(".repeat(150), ")".repeat(150));
    let high = format!("a{}", " + a".repeat(500));
    let escapes = format!("x{{a=\"{}\"}}", "\\u0001".repeat(100));
    let lists = format!("sum by ({}) (x)", vec!["a"; 500].join(","));
    for text in [
        "1",
        "-x",
        "a",
        "time()",
        "{a=\"b\"}",
        "a{b!=\"c\"}[5m] offset 1h",
        "((((1))))",
        "sum(rate(x[5m:1m])) / on(a) y",
        "label_replace(x, \"a\", \"$1\", \"b\", \"(.*)\")",
        "a @ start()",
        "quantile(0.5, x) > bool 1",
        "WITH (f(x) = x + x) f(f(f(a)))",
        &nested,
        &high,
        &escapes,
        &lists,
    ] {
        let (_, mut expressions) = counted(32 << 20);
        let expr = parse_within(text, &mut expressions).unwrap_or_else(|error| panic!("{text}: {error}"));
        let most = 4 * expressions.text_bytes() as usize;
        for written in [crate::syntax::json(&expr), crate::syntax::pretty(&expr), print(&expr)] {
            assert!(written.len() <= most, "{} of {most} bytes: {text}", written.len());
        }
    }
}
