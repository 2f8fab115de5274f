//! `WITH` templates: their expansions, and the errors they are refused with.

use crate::span::Span;
use crate::syntax::ast::ExprKind;
use crate::syntax::{parse, print};

fn expanded(text: &str) -> String {
    let expr = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let printed = print(&expr);
    assert_eq!(parse(&printed).unwrap(), expr, "{text}: {printed}");
    printed
}

fn error(text: &str) -> String {
    match parse(text) {
        Ok(expr) => panic!("{text:?} became {}", print(&expr)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn expansions() {
    let cases = [
        ("WITH (x = up) x", "up"),
        ("with (x = up,) x + x", "up + up"),
        ("WITH (a = b + 1, b = c) 2 * a", "2 * (c + 1)"),
        ("WITH (a = -b) a ^ 2", "(-b) ^ 2"),
        ("2 * WITH (a = 1) a + 3", "2 * (1 + 3)"),
        ("WITH (f(x, y) = x / (x + y)) f(a, sum(b)) * 100", "(a / (a + sum(b))) * 100"),
        ("WITH (f(x) = x + 1) f(f(2))", "(2 + 1) + 1"),
        ("WITH (f() = 7) f()", "7"),
        ("WITH (m = up[5m]) rate(m) + rate(m offset 1h)", "rate(up[5m]) + rate(up[5m] offset 1h)"),
        ("WITH (m = up{a='b'}) rate(m[5m] @ 3) + m offset 5m", ""),
        ("WITH (w = 5m, d = 2 * w) rate(up[w]) + rate(up[d:w] offset w)", ""),
        ("WITH (c = {job='x', a!='b'}) up{c} + {c, d='e'} + c", ""),
        ("WITH (c = {job!='x'}) c{a='b'} + up{d='e', c,}", ""),
        ("WITH (c(j) = {job=j}, k = 'v') up{c('x')} + up{c(k)}", r#"up{job="x"} + up{job="v"}"#),
        ("WITH (r(m, f) = rate(m{f}[5m])) r(up, {a='b'})", r#"rate(up{a="b"}[5m])"#),
        ("WITH (q(p) = histogram_quantile(p, x)) q(0.9)", "histogram_quantile(0.9, x)"),
        ("WITH (l = 'dst') label_replace(up, l, '', '', '')", r#"label_replace(up, "dst", "", "", "")"#),
        ("WITH (x = a + b) x keep_metric_names", "(a + b) keep_metric_names"),
        ("WITH (x = 1) (x + a) keep_metric_names", "(1 + a) keep_metric_names"),
        ("sum by (x) (WITH (x = up) x) default with", "sum by (x) (up) default with"),
        // A template that takes arguments and one that takes none may share a name.
        ("WITH (a = 1, a(b) = b) a + a(2)", "1 + 2"),
        // A parameter hides a template, and an inner template hides an outer one; a metric is not affected.
        ("WITH (x = 1, f(x) = x + y, y = x) f(3)", "3 + 1"),
        ("WITH (x = 1) WITH (x = 2, y = x) x + y", "2 + 2"),
        ("WITH (x = 1, y = WITH (x = 2) x) x + y", "1 + 2"),
        ("WITH (rate(m) = m) rate(up)", "up"),
        ("WITH (rate = 1) rate(up[5m])", "rate(up[5m])"),
        ("WITH (sum = 1) sum by (a) (b)", "sum by (a) (b)"),
        // Arguments are resolved where they are written.
        ("WITH (x = 1, f(a) = WITH (x = 2) a + x) f(x)", "1 + 2"),
    ];
    for (text, expected) in cases {
        let printed = expanded(text);
        if !expected.is_empty() {
            assert_eq!(printed, expected, "{text}");
        }
    }
    assert_eq!(
        expanded("WITH (w = 5m, d = 2 * w) rate(up[d:w] offset w)"),
        "rate(up[(2 * 5m):5m] offset 5m)"
    );
    assert_eq!(expanded("WITH (c = {job!='x'}) c{a='b'}"), r#"{job!="x", a="b"}"#);
    assert_eq!(expanded("WITH (c = {job='x'}) up{d='e', c,}"), r#"up{d="e", job="x"}"#);
    assert_eq!(expanded("with{with='a'}"), r#"with{with="a"}"#);
}

#[test]
fn spans_point_at_what_was_written() {
    let text = "WITH (x = foo + bar) abs(x)";
    let ExprKind::Call(call) = parse(text).unwrap().kind else { panic!("a call") };
    assert_eq!(call.args[0].span.text(text), "x");
    let ExprKind::Paren(inner) = &call.args[0].kind else { panic!("parentheses") };
    assert_eq!(inner.span.text(text), "foo + bar");
    let ExprKind::Binary(binary) = &inner.kind else { panic!("a sum") };
    assert_eq!(binary.rhs.span.text(text), "bar");
    assert_eq!(parse("WITH (x = up) x").unwrap().span, Span::new(0, 15));
}

#[test]
fn faults() {
    let cases = [
        ("WITH (a = a) a", "1:11: parse error: template \"a\" uses itself (in template \"a\", used at 1:14)"),
        ("WITH (a = b, b = a) 1", "1:18: parse error: template \"a\" uses itself"),
        (
            "WITH (f(x) = f(x)) f(1)",
            "1:14: parse error: template \"f\" uses itself (in template \"f\", used at 1:20)",
        ),
        ("WITH (a = 1, a = 2) a", "1:14: parse error: template \"a\" is defined twice, first at 1:7"),
        ("WITH (f(x, x) = 1) 1", "1:12: parse error: parameter \"x\" occurs twice"),
        ("WITH (on = 1) 1", "1:7: parse error: \"on\" cannot be the name of a template"),
        ("WITH (inf = 1) 1", "1:7: parse error: \"inf\" cannot be the name of a template"),
        (
            "WITH (1 = 1) 1",
            "1:7: parse error: unexpected number \"1\", expected the name of a template or \")\"",
        ),
        (
            "WITH (a 1) 1",
            "1:9: parse error: unexpected number \"1\", expected \"=\" after the name of a template",
        ),
        ("WITH (a = ) 1", "1:11: parse error: unexpected \")\", expected an expression"),
        (
            "WITH (a = (b, c = d) a",
            "1:23: parse error: unexpected end of input, expected \",\" or \")\" after it",
        ),
        ("WITH (a = b] a", "1:12: parse error: unexpected \"]\", expected \",\" or \")\" after it"),
        ("WITH (a = {b) a", "1:13: parse error: unexpected \")\", expected \"}\" to close \"{\" at 1:11"),
        ("WITH (a = 1", "1:12: parse error: unexpected end of input, expected \",\" or \")\" after it"),
        ("WITH (a = 1) ", "1:14: parse error: unexpected end of input, expected an expression"),
        ("WITH (f(x) = x) f(1, 2)", "1:17: parse error: template \"f\" takes 1 argument(s), got 2"),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn faults_in_a_body() {
    let cases = [
        // An error in a body names its position there, and the position of the use.
        (
            "WITH (f(x) = rate(x)) f(1)",
            "1:19: parse error: expected type range vector in call to function \"rate\", got scalar (in template \"f\", used at 1:23)",
        ),
        (
            "WITH (a = sum(b c)) a",
            "1:17: parse error: unexpected identifier c, expected \")\" to close \"(\" at 1:14 (in template \"a\", used at 1:21)",
        ),
        (
            "WITH (a = b c) a",
            "1:13: parse error: unexpected identifier c, expected an operator or the end of the template (in template \"a\", used at 1:16)",
        ),
        // Unused templates are parsed too, and so are arguments.
        ("WITH (a = b +) 1", "1:14: parse error: unexpected \")\", expected an expression"),
        ("WITH (f(x) = 1) f(2 +)", "1:22: parse error: unexpected \")\", expected an expression"),
        ("WITH (f(x) = x) f", ""),
        (
            "WITH (ratio(x) = x) rati(1)",
            "1:21: parse error: unknown function with name \"rati\", did you mean \"ratio\"?",
        ),
        (
            "WITH (c = up) x{c}",
            "1:11: parse error: unexpected identifier up, expected label filters in braces (in template \"c\", used at 1:17)",
        ),
        (
            "WITH (c = {a!='b'}) c",
            "1:21: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "WITH (c = {'x'}) up{c}",
            "1:12: parse error: metric name must not be set twice: \"x\" is the second (in template \"c\", used at 1:21)",
        ),
        (
            "WITH (j = 1) up{job=j}",
            "1:11: parse error: unexpected number \"1\", expected a quoted string (in template \"j\", used at 1:21)",
        ),
        (
            "WITH (w = up) rate(x[w])",
            "1:11: parse error: unexpected identifier up, expected a number, a duration, step(), range(), min_of() or max_of() (in template \"w\", used at 1:22)",
        ),
    ];
    for (text, expected) in cases {
        if expected.is_empty() {
            assert_eq!(expanded(text), "f", "without parentheses the name is a metric's");
        } else {
            assert_eq!(error(text), expected, "{text}");
        }
    }
}

#[test]
fn the_size_of_an_expansion_is_limited() {
    let letters: Vec<char> = ('a'..='z').collect();
    let doubled = letters.windows(2).map(|pair| format!("{} = {1} + {1}", pair[0], pair[1]));
    let bomb = format!("WITH ({}) a", doubled.collect::<Vec<_>>().join(", "));
    let message = error(&bomb);
    assert!(message.contains("the templates expand to more than 100000 tokens"), "{message}");
    let long = format!("WITH (s = {:?}) {}", "a".repeat(100_000), "label_set(m, s, s) + ".repeat(100));
    assert!(error(&long).contains("the templates expand to more than 4194304 bytes"));
    let nested = format!("WITH (f(x) = x + x) {}a{}", "f(".repeat(60), ")".repeat(60));
    assert!(error(&nested).contains("the templates expand to more than 100000 tokens"));
    let small = format!("WITH ({}) a", ["a = b + b", "b = c + c", "c = up"].join(", "));
    assert_eq!(expanded(&small), "(up + up) + (up + up)");
    let deep = format!("{}1{}", "WITH (a = ".repeat(150), ") a".repeat(150));
    assert!(error(&deep).contains("nested deeper than 200"), "{}", error(&deep));
}
