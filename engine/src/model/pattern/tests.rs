//! Patterns against RE2's rules, the `regex` crate, and themselves by other ways.

use proptest::prelude::*;

use super::*;
use crate::budget::{Account, Cancel, Denied, Share, Stopped};

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The automaton of a text, past all fast paths.
fn automaton(text: &str) -> Automaton {
    let parsed = syntax::parse(text, &Work::unbounded()).expect("a pattern");
    Automaton::build(&hir::of(&parsed.root, &|_| None)).expect("the automaton can be built")
}

/// What it says of a value.
fn automaton_matches(pattern: &Pattern, value: &str) -> bool {
    automaton(pattern.text()).is_match(value.as_bytes())
}

fn expand(text: &str, value: &str, template: &str) -> Option<String> {
    Rewrite::new(text, template).unwrap_or_else(|error| panic!("{error}")).apply(value)
}

/// Pattern, values that match, values that do not.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn where_go_and_the_regex_crate_differ() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        // Anchored as a whole, and `.` matches a newline.
        ("a|b", &["a", "b"], &["ab", "xa", "bx"]),
        ("a.b", &["axb", "a\nb", "aéb"], &["ab", "axxb"]),
        ("(?-s)a.b", &["axb"], &["a\nb"]),
        ("a$", &["a"], &["a\n"]),
        ("(?m)a$\nb", &["a\nb"], &["a"]),
        ("", &[""], &["a"]),
        // Classes are ASCII.
        (r"\d+", &["019"], &["٣", ""]),
        (r"\w", &["a", "_", "0"], &["é"]),
        (r"\W", &["é", "-"], &["a"]),
        (r"\s", &["\t", "\n", "\x0c", "\r", " "], &["\x0b", "\u{a0}"]),
        (r"\S", &["\x0b", "\u{a0}", "x"], &[" "]),
        (r"[[:space:]]", &["\x0b", " "], &["\u{a0}"]),
        (r"[[:alpha:]]", &["a"], &["é", "1", ":"]),
        (r"[[:^alpha:]]", &["é", "1"], &["a"]),
        (r"[[:word:]-]+", &["a-b_1"], &["a b"]),
        (r"a\bé", &["aé"], &[]),
        (r"é\Bé", &["éé"], &[]),
        (r"a\Bé", &[], &["aé"]),
        // Braces that are no repetition are literal.
        ("a{", &["a{"], &["a"]),
        ("a{,2}", &["a{,2}"], &["a", "aa"]),
        ("a{x}", &["a{x}"], &["a"]),
        ("{", &["{"], &[""]),
        ("a{01}", &["a{01}"], &["a"]),
        ("a{2}", &["aa"], &["a", "aaa"]),
        ("a{1,2}?", &["a", "aa"], &["aaa"]),
        ("{foo}", &["{foo}"], &["foo"]),
        // Inside classes only `\`, `]`, `-`, `^` and `[:` are special.
        ("[[a]", &["[", "a"], &["]"]),
        ("[[a]]", &["[]", "a]"], &["a"]),
        ("[a&&b]", &["a", "&", "b"], &["-"]),
        ("[+--]", &["+", ",", "-"], &["."]),
        ("[a~~b]", &["a", "~", "b"], &["c"]),
        ("[]a]", &["]", "a"], &["["]),
        ("[^]a]", &["b"], &["]", "a"]),
        ("[a-]", &["a", "-"], &["b"]),
        (r"[\d-z]", &["1", "-", "z"], &["y"]),
        ("[[:alpha]", &["[", ":", "a", "h"], &["z", "]"]),
        // Escapes.
        (r"\<a\>", &["<a>"], &["a"]),
        (r"\Qa.b*\E+", &["a.b*", "a.b***"], &["axb"]),
        (r"\Qa.b", &["a.b"], &["axb"]),
        (r"a\Q\E*", &["", "aa"], &["b"]),
        (r"\101\0\x41\x{1F600}", &["A\0A😀"], &[]),
        (r"\12", &["\n"], &["12"]),
        (r"\-\_\/\ \@", &["-_/ @"], &[]),
        (r"\Aa\z", &["a"], &["aa"]),
        (r"\pN\p{Greek}\P{^Lu}\p{^Lu}", &["1αAa"], &["aaaa"]),
        // Without regard to case.
        ("(?i)straße", &["STRAßE", "ſtraße"], &["STRASSE"]),
        ("(?i)k", &["k", "K", "\u{212a}"], &["x"]),
        (r"(?i)\w", &["ſ", "k"], &["é"]),
        (r"(?i)\W", &["é"], &["ſ", "s", "S"]),
        (r"(?i)[^k]", &["a"], &["k", "K", "\u{212a}"]),
        ("a(?i)b|c", &["ab", "aB", "C"], &["AB"]),
        ("(a(?i)b)c", &["aBc"], &["aBC"]),
        ("(?i:a)b", &["Ab"], &["AB"]),
        ("(?i)a(?-i)b", &["Ab"], &["AB"]),
        // Groups and repetition.
        ("(?P<x>a)(?<y>b)", &["ab"], &["a"]),
        ("(?:ab)*", &["", "abab"], &["aba"]),
        ("ab*", &["a", "abb"], &["abab"]),
        ("(|a)+b", &["b", "aab"], &["a"]),
        ("^a$|^b$", &["a", "b"], &["ab"]),
        ("(^a|b)c", &["ac", "bc"], &["c"]),
        ("a^", &[], &["a"]),
        ("^*a", &["a"], &["^a"]),
    ];
    for (text, matching, others) in cases {
        let pattern = pattern(text);
        for value in *matching {
            assert!(pattern.is_match(value), "{text:?} should match {value:?}");
        }
        for value in *others {
            assert!(!pattern.is_match(value), "{text:?} should not match {value:?}");
        }
        for value in matching.iter().chain(*others) {
            assert_eq!(pattern.is_match(value), automaton_matches(&pattern, value), "{text:?} on {value:?}");
        }
    }
}

#[test]
fn refused_patterns() {
    let cases = [
        "(",
        ")",
        "a)(b",
        "[",
        "[a",
        "[b-a]",
        "[a--b]",
        "[]",
        "*",
        "+a",
        "a**",
        "a*+",
        "a+*",
        "a???",
        "a|*",
        "(*)",
        "{2}",
        "a{2}{3}",
        "a{1001}",
        "a{2,1}",
        "a{99999999999}",
        "(a{100}){100}",
        "(?i)*",
        "a(?i)*",
        r"\C",
        r"\8",
        r"\1",
        r"(a)\1",
        r"\Z",
        r"\y",
        "\\",
        r"\é",
        r"\x",
        r"\xg0",
        r"\x{110000}",
        r"\x{",
        r"\p{Nope}",
        r"\p",
        r"\p{L",
        r"[[:nope:]]",
        r"[a-\d]",
        r"[\b]",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        "(?>a)",
        "(?x)a",
        "(?u)a",
        "(?-)",
        "(?i-)",
        "(?i",
        "(?P<>a)",
        "(?P<a b>a)",
        "(?P<a>a)(?P<a>b)",
        "(?P<a",
        "(?P=a)",
        "a++",
        "(?#c)",
    ];
    for text in cases {
        let error = Pattern::new(text).expect_err(text);
        assert!(!error.reason.is_empty() && error.pattern == text);
    }
    let error = Pattern::new("ab(c").expect_err("unclosed");
    assert_eq!(error.to_string(), "bad regular expression \"ab(c\": no \")\" closes the \"(\" at byte 3");
}

#[test]
fn size_is_bounded() {
    for text in [
        "a".repeat(TEXT_BYTES_MAX) + ".*",
        format!("{}[{}]", "a|".repeat(TEXT_BYTES_MAX), "ab".repeat(100)),
        r"\pL".repeat(1000) + "|a",
        "(".repeat(1000) + &")".repeat(1000),
        r"(\pL{100}){10}".repeat(50),
        r"[^x]{1000}".repeat(40),
    ] {
        assert!(Pattern::new(&text).is_err(), "{}…", &text[..20]);
    }
    let deep = "(".repeat(200) + "a*b" + &")".repeat(200);
    assert!(pattern(&deep).is_match("aab"));
    let long = (0..5000).map(|n| format!("instance-{n}")).collect::<Vec<_>>().join("|");
    assert_eq!(long.len() / 5000, 13);
    assert!(Pattern::new(&long[..TEXT_BYTES_MAX]).is_ok_and(|p| p.is_match("instance-4000")));
}

#[test]
fn a_list_of_literals_is_a_set_however_long() {
    let names: Vec<String> = (0..10_000).map(|n| format!("a-name-of-20-b{n:06}")).collect();
    let list = names.join("|");
    let escaped = list.replace('-', r"\-");
    let texts = [
        list.clone(),
        format!("({list})"),
        format!("^(?:{escaped})$"),
        format!("x{{0}}(?:{list})"),
        format!("{list}|"),
        names.iter().map(|name| format!("({name})")).collect::<Vec<_>>().join("|"),
        names.iter().map(|name| format!("{}[{}]", &name[..19], &name[19..])).collect::<Vec<_>>().join("|"),
    ];
    for text in texts {
        let pattern = pattern(&text);
        let set = pattern.as_literals().expect("a set");
        assert!(
            set.len() >= 10_000 && set.iter().filter(|name| !name.is_empty()).eq(&names),
            "{}",
            &text[..30]
        );
        assert!(pattern.inner.runs.is_none());
        assert!(pattern.is_match(&names[4711]) && !pattern.is_match("a-name-of-20-b0"));
        assert_eq!(pattern.is_match(""), text.ends_with('|'));
    }
    let hosts = pattern(&format!("(?:{list})(?::9100)?"));
    assert_eq!(hosts.as_literals().map(<[String]>::len), Some(20_000));
    assert!(hosts.is_match("a-name-of-20-b000000:9100"));
    let most = pattern(&"b|".repeat((1 << 20) / 2));
    assert_eq!(most.as_literals().map(<[String]>::len), Some(2));
}

#[test]
fn groups_of_a_long_list_are_refused() {
    assert_eq!(expand("(a|b)c", "bc", "$1").as_deref(), Some("b"));
    let text = format!("({})", "a|".repeat(TEXT_BYTES_MAX));
    assert_eq!(expand(&text, "a", "x").as_deref(), Some("x"));
    let error = Rewrite::new(&text, "$1").expect_err("too long").to_string();
    assert!(error.contains("it has 131074 bytes, the limit is 65536"), "{error}");
    assert!(error.contains("\"… (131074 bytes)") && error.len() < 500, "{error}");
}

#[test]
fn literals_and_prefixes() {
    let literals = |text: &str| pattern(text).as_literals().map(<[String]>::to_vec);
    let set = |list: &[&str]| Some(list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    assert_eq!(literals("b|a|b"), set(&["a", "b"]));
    assert_eq!(literals("^foo$"), set(&["foo"]));
    assert_eq!(literals("(GET|POST)"), set(&["GET", "POST"]));
    assert_eq!(literals("a[bc]d?"), set(&["ab", "abd", "ac", "acd"]));
    assert_eq!(literals("a|"), set(&["", "a"]));
    assert_eq!(literals(r"a\.b"), set(&["a.b"]));
    assert_eq!(literals("(?i)123"), set(&["123"]));
    assert_eq!(literals("x{2,3}"), set(&["xx", "xxx"]));
    assert_eq!(literals("(?:c|d){0,0}b"), set(&["b"]));
    assert_eq!(literals(r"a[^\d\D]"), set(&[]));
    assert_eq!(literals(r"web-[0-9]{3}\.prod\.example\.com").map(|all| all.len()), Some(1000));
    assert_eq!(literals("a.*"), None);
    assert_eq!(literals("(?i)a"), None);
    assert_eq!(literals("[0-9]{4}"), None);

    let prefix = |text: &str| pattern(text).prefix().map(str::to_owned);
    assert_eq!(prefix("foo.*").as_deref(), Some("foo"));
    assert_eq!(prefix("foo(bar|baz).+").as_deref(), Some("fooba"));
    assert_eq!(prefix("(foo|fox)").as_deref(), Some("fo"));
    assert_eq!(prefix("a+b").as_deref(), Some("a"));
    assert_eq!(prefix("x{0}ab.*").as_deref(), Some("ab"));
    assert_eq!(prefix(r"\bab.*").as_deref(), Some("ab"));
    assert_eq!(prefix("a*b"), None);
    assert_eq!(prefix("(?i)a"), None);
    assert_eq!(prefix("é|è"), None);
    assert_eq!(prefix(".*"), None);
}

#[test]
fn templates() {
    let cases = [
        ("(.*):(.*)", "host:80", "$1", Some("host")),
        ("(.*):(.*)", "host:80", "${2}x$1", Some("80xhost")),
        ("(.*):(.*)", "host:80", "$2x", Some("")),
        ("(.*):(.*)", "host:80", "$0", Some("host:80")),
        ("(?P<h>.*):.*", "host:80", "$h-${h}", Some("host-host")),
        ("(?P<h>.*):.*", "host:80", "$h_", Some("")),
        ("(a*)(a*)", "aa", "$1|$2", Some("aa|")),
        ("(a*?)(a*)", "aa", "$1|$2", Some("|aa")),
        ("(?U)(a*)(a*)", "aa", "$1|$2", Some("|aa")),
        ("(?U)(a*?)(a*)", "aa", "$1|$2", Some("aa|")),
        ("(a)|(b)", "b", "[$1$2]", Some("[b]")),
        ("a", "a", "$$ $ $- ${ ${1 $", Some("$ $ $- ${ ${1 $")),
        ("(a)", "a", "$01${01}$9${nope}", Some("")),
        ("(a)", "b", "$1", None),
        ("(a)", "b", "x", None),
        ("a|b", "b", "x", Some("x")),
        ("(.+)é(.*)", "aéü", "$2é$1", Some("a")),
    ];
    for (text, value, template, expected) in cases {
        assert_eq!(expand(text, value, template).as_deref(), expected, "{text} {value} {template}");
    }
}

#[test]
fn simple_patterns_need_no_automaton() {
    for (text, value) in [
        ("5..", "503"),
        ("api-.*", "api-1"),
        (".*err.*", "an error"),
        (".+", "x"),
        ("a|b|c", "b"),
        ("(?i)Foo", "fOO"),
        ("^(foo|bar)$", "bar"),
        (".*-(prod)", "x-prod"),
        ("a.*b.+c", "axxbxxc"),
    ] {
        let pattern = pattern(text);
        assert!(pattern.is_match(value), "{text}");
        assert!(pattern.inner.automaton.get().is_none(), "{text}");
    }
}

/// Patterns that the `regex` crate reads as Go does.
fn common_pattern() -> impl Strategy<Value = String> {
    let atom = prop::sample::select(vec![
        "a", "b", "ab", "é", "\\.", ".", ".", "[ab]", "[^a]", "(?i:ab)", "(?i:s)", "^", "$", "x", "(?:)",
    ]);
    atom.prop_map(str::to_owned).prop_recursive(3, 16, 4, |inner| {
        let repetition = prop::sample::select(vec!["*", "+", "?", "{2}", "{1,2}", "*?", ""]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join("|"))),
            (inner, repetition).prop_map(|(part, times)| format!("(?:{part}){times}")),
        ]
    })
}

proptest! {
    #[test]
    fn fast_paths_answer_as_the_regex_crate(text in common_pattern(), values in prop::collection::vec("[abxsSAB.éſ\n]{0,6}", 8)) {
        let pattern = Pattern::new(&text).expect("the syntax is common to both");
        let plain = regex::Regex::new(&format!("^(?s:{text})$")).expect("the syntax is common to both");
        for value in &values {
            let expected = plain.is_match(value);
            prop_assert_eq!(pattern.is_match(value), expected, "{} on {:?}", text, value);
            prop_assert_eq!(automaton_matches(&pattern, value), expected, "automaton of {} on {:?}", text, value);
            if expected {
                prop_assert!(value.starts_with(pattern.prefix().unwrap_or("")));
            }
        }
        for literal in pattern.as_literals().unwrap_or(&[]) {
            prop_assert!(plain.is_match(literal), "{text} on {literal:?}");
        }
        let template = "$0|$1|${2}";
        for value in &values {
            let expected = plain.captures(value).map(|captures| {
                let mut text = String::new();
                captures.expand(template, &mut text);
                text
            });
            prop_assert_eq!(expand(&text, value, template), expected, "{} on {:?}", text, value);
        }
    }

    #[test]
    fn globs_answer_as_the_automaton(
        parts in prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", ".", ".*", ".+", "é", ".{2}"]), 0..6),
        values in prop::collection::vec("[abé\n]{0,8}", 8),
    ) {
        let pattern = Pattern::new(&parts.concat()).expect("a glob");
        prop_assert!(!matches!(pattern.inner.shape, Shape::Automaton));
        for value in &values {
            prop_assert_eq!(pattern.is_match(value), automaton_matches(&pattern, value), "{:?} on {:?}", parts, value);
        }
    }

    #[test]
    fn any_text_is_answered(text in "[ab01.*+?(){}\\[\\],|^$\\\\:<>P=i!&~é-]{0,24}", value in "[ab01é-]{0,8}") {
        if let Ok(pattern) = Pattern::new(&text) {
            prop_assert_eq!(pattern.is_match(&value), automaton_matches(&pattern, &value), "{:?}", text);
        }
    }
}

/// What a walk through sorted values finds, and how many it looked at.
fn walked<'v>(walk: &mut PatternWalk<'_>, values: &'v [String]) -> (Vec<&'v str>, usize) {
    let (mut found, mut looks, mut target) = (Vec::new(), 0, walk.target().to_owned());
    for value in values {
        if *value < target {
            continue;
        }
        looks += 1;
        match walk.judge(value.as_bytes()) {
            Verdict::Match => found.push(value.as_str()),
            Verdict::Other => {}
            Verdict::Seek => {
                assert!(*value.as_str() < *walk.target(), "{:?} after {value:?}", walk.target());
                target = walk.target().to_owned();
            }
            Verdict::End => break,
        }
    }
    (found, looks)
}

#[test]
fn a_walk_skips_what_cannot_match() {
    let values: Vec<String> = (0..100_000).map(|n| format!("pod-{n:05}")).collect();
    let looks = |text: &str| {
        let pattern = pattern(text);
        let (found, looks) = walked(&mut pattern.walk(), &values);
        let expected = values.iter().filter(|value| pattern.is_match(value)).count();
        assert_eq!(found.len(), expected, "{text}");
        looks
    };
    assert!(looks("pod-0000.") <= 11);
    assert!(looks("p(od|ad)-(0000[1-3]|99999)x*") < 40);
    assert!(looks("(?i)POD-12.*") < 1100);
    assert!(looks("pod-[0-9]{4}7") < 21_000, "one value in ten, and the one after it");
    assert_eq!(looks("nope.*|none"), 1);
}

#[test]
fn a_walk_takes_no_more_than_matches() {
    // A part that is left out stood before the text at the start, and all values were taken.
    let values = ["", "a", "ab", "abc", "b", "ba", "cab"].map(str::to_owned);
    for (text, expected) in [
        (".{0}ab.*", &["ab", "abc"][..]),
        (".{0,0}b.{0,}", &["b", "ba"]),
        ("(?:.{0})b.*", &["b", "ba"]),
        ("x{0}ab.*", &["ab", "abc"]),
        ("(?:c|d){0,0}b", &["b"]),
        ("b.{0}.*", &["b", "ba"]),
    ] {
        let pattern = pattern(text);
        assert_eq!(walked(&mut pattern.walk(), &values).0, expected, "{text}");
    }
}

#[test]
fn an_automaton_larger_than_its_cache_is_done_without() {
    // As many states as there are sets of places where an `a` was among the last twenty.
    let pattern = pattern("(?:.*a.{20}|x)");
    let mut random = 1u64;
    let mut values: Vec<String> = (0..3000)
        .map(|_| {
            let mut letter = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if random >> 63 == 0 { 'a' } else { 'b' }
            };
            (0..60).map(|_| letter()).collect()
        })
        .collect();
    values.sort_unstable();
    let expected: Vec<&str> = values.iter().map(String::as_str).filter(|v| pattern.is_match(v)).collect();
    assert!(expected.len() > 1000 && expected.len() < 2000);
    for _ in 0..2 {
        let mut walk = pattern.walk();
        assert_eq!(walked(&mut walk, &values).0, expected);
    }
}

/// Patterns whose automata are as large as they may be and larger, of every kind of part.
#[test]
fn an_automaton_takes_no_more_than_its_weight() {
    let texts = [
        r"\pL{100}",
        r"\pL+",
        "(?i)straßeks{30}",
        "[^x]{300}",
        ".{500}",
        ".*x.+",
        "(a|b|cd|)*e",
        "(((a)b)c)*d?",
        r"\ba\B$^",
        "[0-9a-f]{8}-[0-9]{4}",
        "(?:ab?c*){2,7}",
        "(?:x{0,20}y{3,}){4}",
        "[a-zA-Zé-ü]*",
        r"(?-s).+\W",
        "(one|two|three|four)(?::[0-9]+)?",
        r"\p{Greek}|\P{Lu}",
        "(?i)[a-z]{0,50}",
        "a{0}b",
        "()()()x",
        "[\u{0}-\u{10ffff}]",
        "[\u{7f}-\u{800}\u{fff0}-\u{10400}]{3}",
    ];
    for text in texts {
        let parsed = syntax::parse(text, &Work::unbounded()).expect(text);
        let weight = weight::Weight::of(&parsed.root).automaton;
        let bytes = automaton(text).bytes();
        assert!(bytes <= weight, "{text:?} takes {bytes}, its weight is {weight}");
        assert!(weight < 64 * bytes, "{text:?} takes {bytes}, its weight is {weight}");
    }
}

proptest! {
    #[test]
    fn weights_are_bounds(text in common_pattern()) {
        let parsed = syntax::parse(&text, &Work::unbounded()).expect("a pattern");
        let weight = weight::Weight::of(&parsed.root).automaton;
        let bytes = automaton(&text).bytes();
        prop_assert!(bytes <= weight, "{text:?} takes {bytes}, its weight is {weight}");
    }
}

/// A pattern of some 700 KiB that is unlike any other.
fn heavy(n: usize) -> String {
    format!(r"\pL{{60}}{n}")
}

#[test]
fn a_pattern_is_compiled_and_counted_once_in_a_request() {
    let share = Share::new("queries", 64 << 20);
    let mut expressions = Expressions::new(Work::unbounded().of(share.clone()), EXPRESSIONS_BYTES_MAX);
    let first = expressions.pattern(&heavy(1)).expect("it fits");
    let bytes = share.used();
    assert!(bytes > first.bytes() && first.bytes() > 100 << 10, "{bytes}, {}", first.bytes());
    for _ in 0..1024 {
        let again = expressions.pattern(&heavy(1)).expect("it is there");
        assert!(Arc::ptr_eq(&first.inner, &again.inner));
    }
    assert_eq!((share.used(), expressions.bytes(), expressions.len()), (bytes, bytes, 1));
    // Another request counts it too, and compiles nothing.
    let mut other = Expressions::new(Work::unbounded().of(share.clone()), EXPRESSIONS_BYTES_MAX);
    assert!(Arc::ptr_eq(&first.inner, &other.pattern(&heavy(1)).expect("it fits").inner));
    assert_eq!(share.used(), 2 * bytes);
    drop((expressions, other));
    assert_eq!(share.used(), 0);
}

#[test]
fn what_the_patterns_of_a_request_may_take_is_limited_before_they_are_built() {
    let share = Share::new("queries", 1 << 30);
    let mut expressions = Expressions::new(Work::unbounded().of(share.clone()), 8 << 20);
    let refused = (0..300).map(|n| expressions.pattern(&heavy(n))).position(|result| match result {
        Ok(_) => false,
        Err(CompileError::Weight { limit, .. }) => {
            assert_eq!(limit, 8 << 20);
            true
        }
        Err(other) => panic!("{other}"),
    });
    assert!(refused.is_some_and(|n| n > 4), "{refused:?}");
    assert!(share.peak() < 24 << 20, "{} bytes, also while they are built", share.peak());
    assert_eq!(share.used(), expressions.bytes(), "what is refused is not counted");
    // What is light still fits.
    expressions.pattern("a.*b").expect("it fits");
}

#[test]
fn a_list_is_weighed_by_its_texts() {
    let list: String = (0..10_000).map(|n| format!("host-{n:05}|")).collect();
    let mut expressions = Expressions::new(Work::unbounded(), 1 << 20);
    let pattern = expressions.pattern(&list).expect("ten thousand hosts are no burden");
    assert_eq!(pattern.as_literals().map(<[String]>::len), Some(10_001));
    assert!(pattern.bytes() > 10_000 * (10 + 24), "{}", pattern.bytes());
    assert!(matches!(expressions.pattern(&list[1..]), Err(CompileError::Weight { .. })));
}

#[test]
fn compiling_stops_with_its_request_and_takes_no_more_than_that_may() {
    let cancel = Cancel::default();
    let mut expressions = Expressions::new(Work::unbounded().until(cancel.clone()), u64::MAX);
    cancel.cancel();
    for text in ["a".to_owned(), r"[\pL\pN]".repeat(8000), "(a|b".repeat(500_000)] {
        assert_eq!(expressions.pattern(&text).err(), Some(CompileError::Stopped(Stopped::Canceled)));
    }
    // A long text is left in its midst.
    for text in [r"[\pL\pN]".repeat(8000), "(a|b".repeat(50_000)] {
        let fault = syntax::parse(&text, &Work::unbounded().until(cancel.clone()));
        assert!(matches!(fault, Err(syntax::Fault::Stopped(Stopped::Canceled))));
    }
    let account = Account::default();
    let work = Work::unbounded().charged_to(account.clone()).holding(1 << 20);
    let denied = Expressions::new(work, u64::MAX).pattern(&heavy(7777)).err();
    assert_eq!(denied, Some(CompileError::Memory(Denied::Own { limit: 1 << 20 })));
    assert_eq!(account.bytes(), 0);
}

#[test]
fn what_threads_find_is_counted_and_bounded() {
    for text in ["(?:.*a.{18}|counted)", &heavy(4242)] {
        let pattern = pattern(text);
        let automaton = pattern.automaton().expect("it needs one");
        let value: String = (0..50_000_u64).map(|n| if (n * n) >> 3 & 1 == 0 { 'a' } else { 'b' }).collect();
        for end in 0..4 {
            let value = &value[..value.len() - end];
            let expected = value.as_bytes()[value.len() - 19] == b'a' && text.contains("counted");
            assert_eq!(pattern.is_match(value), expected);
        }
        let mut scratch = automaton.scratch();
        let bytes = scratch.cache().memory_usage() as u64;
        assert!(bytes <= automaton::scratch_bytes(automaton.bytes()), "{bytes}");
        drop(scratch);
        assert!(patterns().share().used() >= bytes, "what is kept is counted");
    }
}

/// Each group used to cost memory for every state of the automaton: 21,000 groups of 64,000 states are 40 GB.
#[test]
fn only_the_groups_of_the_template_are_followed() {
    let text = "()".repeat(TEXT_BYTES_MAX / 2 - 100) + "(a*)b";
    let mut expressions = Expressions::new(Work::unbounded(), 64 << 20);
    let last = TEXT_BYTES_MAX / 2 - 99;
    let mut rewrite = Rewrite::within(&text, &format!("<${last}>"), &mut expressions).expect("one group");
    assert_eq!(rewrite.apply("aab").as_deref(), Some("<aa>"));
    let all: String = (1..=1000).map(|n| format!("${{{n}}}")).collect();
    let wide = "(x?)".repeat(1000);
    let error = Rewrite::within(&wide, &all, &mut expressions).expect_err("too much").to_string();
    assert!(error.contains("the template uses 1000 groups"), "{error}");
    // Within the limit the groups of long values are found too, where nothing marks every place.
    let (mut rewrite, long) = (Rewrite::new("(.*)-(.*)x", "$2$1").expect("two groups"), "a".repeat(100_000));
    assert_eq!(rewrite.apply(&format!("{long}-bx")), Some(format!("b{long}")));
}

#[test]
fn a_plain_list_is_what_it_is_by_the_long_way() {
    for text in ["", "a", "a|b", "b|a|b|", "foo|fox", "é|è", "|", "a-b/c|a-b/d", "]|}", "a|a"] {
        let plain = pattern(text);
        let long = pattern(&format!("(?:{text})"));
        assert_eq!((plain.as_literals(), plain.prefix()), (long.as_literals(), long.prefix()), "{text:?}");
    }
}
