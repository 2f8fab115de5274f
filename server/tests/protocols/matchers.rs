//! Label matchers with regular expressions: every endpoint that takes one selects the same series.

use std::collections::BTreeSet;

use crate::harness::{Server, escape, server};

/// Patterns, and which of `VALUES` they match.
const CASES: &[(&str, &[&str])] = &[
    ("x{0}ab.*", &["ab", "abc"]),
    ("(?:c|d){0,0}b", &["b"]),
    (".{0}ab.*", &["ab", "abc"]),
    (".{0,0}b.{0,}", &["b"]),
    ("(?:.){0}c.*", &["cab", "cb"]),
    ("(?:c|d)?b", &["b", "cb"]),
    ("^(?:(x)*ab|cab)$", &["ab", "cab"]),
    ("(|c)(?:ab){1}", &["ab", "cab"]),
    ("(?i)K{0}aB", &["ab"]),
    ("[^\\d\\D]|cab", &["cab"]),
    ("(?:.*){0}cab", &["cab"]),
    ("a$b", &[]),
];
const VALUES: &[&str] = &["ab", "abc", "b", "cab", "cb"];

/// Enough values that an index is walked by an automaton.
fn filled() -> Server {
    let server = server(&[("enable_admin", "true")]);
    let values = VALUES.iter().map(|value| (*value).to_owned()).chain((0..100).map(|n| format!("other{n}")));
    let lines: String = values.map(|value| format!("m,v={value} value=1 1000000000\n")).collect();
    server.write(&lines);
    server
}

fn values_of(server: &Server, path: &str, form: &str) -> BTreeSet<String> {
    let data = server.form(path, form).data();
    let list = if data.is_array() { &data } else { &data["result"] };
    let list = list.as_array().expect("a list").iter();
    list.map(|one| one["metric"]["v"].as_str().or(one["v"].as_str()).expect("the label").to_owned()).collect()
}

#[test]
fn a_matcher_selects_the_same_series_everywhere() {
    let server = filled();
    for (pattern, matching) in CASES {
        let expected: BTreeSet<String> = matching.iter().map(|value| (*value).to_owned()).collect();
        let quoted = pattern.replace('\\', "\\\\");
        let selector = format!("m{{v=~\"{quoted}\"}}");
        let (escaped, found) = (escape(&selector), |path: &str, form: &str| values_of(&server, path, form));
        assert_eq!(found("/api/v1/query", &format!("time=1&query={escaped}")), expected, "{pattern}");
        assert_eq!(found("/api/v1/series", &format!("start=0&match[]={escaped}")), expected, "{pattern}");
        let negated = escape(&format!("m{{v!~\"{quoted}\",v!~\"other.*\"}}"));
        let others = found("/api/v1/query", &format!("time=1&query={negated}"));
        assert!(
            others.is_disjoint(&expected) && others.len() + expected.len() == VALUES.len(),
            "{pattern}: {others:?}"
        );
        let replaced = escape(&format!("label_replace(m, \"new\", \"$0\", \"v\", \"{quoted}\")"));
        let replaced = server.form("/api/v1/query", &format!("time=1&query={replaced}")).data();
        let replaced = replaced["result"].as_array().expect("a list").iter();
        let replaced: BTreeSet<String> =
            replaced.filter_map(|one| one["metric"]["new"].as_str().map(str::to_owned)).collect();
        assert_eq!(replaced, expected, "{pattern}");
        let absent = escape(&format!("absent({selector})"));
        let absent = server.form("/api/v1/query", &format!("time=1&query={absent}")).data();
        assert_eq!(absent["result"].as_array().map(Vec::is_empty), Some(!expected.is_empty()), "{pattern}");
    }
}

#[test]
fn a_delete_takes_what_its_matcher_matches_and_nothing_else() {
    for (pattern, matching) in CASES {
        let server = filled();
        let selector = escape(&format!("m{{v=~\"{}\"}}", pattern.replace('\\', "\\\\")));
        let delete = server.form("/api/v1/admin/tsdb/delete_series", &format!("match[]={selector}"));
        assert_eq!(delete.status, 204, "{pattern}");
        let left =
            values_of(&server, "/api/v1/query", &format!("time=1&query={}", escape("m{v!~\"other.*\"}")));
        let expected =
            VALUES.iter().filter(|value| !matching.contains(value)).map(|value| (*value).to_owned());
        assert_eq!(left, expected.collect(), "{pattern}");
    }
}

#[test]
fn ten_thousand_names_pass() {
    let server = server(&[]);
    let names: Vec<String> = (0..10_000).map(|n| format!("a-name-of-20-b{n:06}")).collect();
    let some = names.iter().step_by(100);
    server.write(&some.map(|name| format!("m,v={name} value=1 1000000000\n")).collect::<String>());
    server.write("m,v=other value=1 1000000000\n");
    for list in [names.join("|"), format!("({})", names.join("|")), format!("^(?:{})$", names.join("|"))] {
        let selector = escape(&format!("m{{v=~\"{list}\"}}"));
        let found = values_of(&server, "/api/v1/query", &format!("time=1&query={selector}"));
        assert_eq!(found.len(), 100, "{}", &list[..30]);
        let found = values_of(&server, "/api/v1/series", &format!("start=0&match[]={selector}"));
        assert_eq!(found.len(), 100, "{}", &list[..30]);
    }
    let not_a_list = escape(&format!("m{{v=~\"{}.*\"}}", names.join(".*|")));
    let message = server.form("/api/v1/query", &format!("time=1&query={not_a_list}")).error(400, "bad_data");
    assert!(message.contains("the limit is 65536") && message.len() < 1_000, "{message}");
}
