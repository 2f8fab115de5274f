//! The fuzzers' checks of patterns and test scripts.

use std::collections::BTreeSet;

use barograph_engine::model::pattern::{Pattern, Rewrite, Verdict};
use promqltest::{MemoryStorage, Script};

/// A pattern and, after the first newline, values. Fast paths, literals, prefix and templates must agree with the
/// match, and a pattern of plain characters must agree with the `regex` crate.
pub fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, values) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(pattern) = Pattern::new(text) else { return };
    let plain = |c: char| c.is_ascii_alphanumeric() || " .*+?|()_-:/%é".contains(c);
    let reference =
        if text.chars().all(plain) { regex::Regex::new(&format!("^(?s:{text})$")).ok() } else { None };
    let mut whole = Rewrite::new(text, "$0").ok();
    let mut groups = Rewrite::new(text, "$1${2}$name$$").ok();
    for value in values.split('\n').take(8).chain([text, ""]) {
        let is_match = pattern.is_match(value);
        if let Some(reference) = &reference {
            assert_eq!(is_match, reference.is_match(value), "{text:?} on {value:?}");
        }
        if let Some(literals) = pattern.as_literals() {
            assert_eq!(is_match, literals.iter().any(|l| l == value), "literals of {text:?} on {value:?}");
        }
        let prefix = pattern.prefix().unwrap_or("");
        assert!(!is_match || value.starts_with(prefix), "prefix {prefix:?} of {text:?} on {value:?}");
        let expanded = whole.as_mut().and_then(|whole| whole.apply(value));
        // The groups of a very long list are refused.
        assert!(whole.is_none() || expanded.is_some() == is_match, "{text:?} on {value:?}");
        assert!(expanded.is_none_or(|all| all == value), "{text:?} on {value:?}");
        let _ = groups.as_mut().and_then(|groups| groups.apply(value));
    }
    walk(&pattern, values);
}

/// A walk through ascending values, including skips, finds the same values as the match.
fn walk(pattern: &Pattern, values: &str) {
    // The walk builds its automaton only after some values.
    let mut all: BTreeSet<String> = (0..40).map(|i| format!("\u{1}{i}")).collect();
    for value in values.split('\n').take(8) {
        all.extend(["", "\0", "0", "a", "\u{10ffff}"].map(|end| format!("{value}{end}")));
        all.extend(value.char_indices().map(|(at, _)| value[..at].to_owned()));
    }
    let mut walk = pattern.walk();
    let (mut target, mut is_over) = (String::new(), false);
    for value in &all {
        let is_match = pattern.is_match(value);
        if is_over || *value < target {
            assert!(!is_match, "{pattern:?}: {value:?} was skipped");
            continue;
        }
        let verdict = walk.judge(value.as_bytes());
        assert_eq!(verdict == Verdict::Match, is_match, "{pattern:?} walks to {value:?}");
        match verdict {
            Verdict::Match | Verdict::Other => {}
            Verdict::Seek => walk.target().clone_into(&mut target),
            Verdict::End => is_over = true,
        }
    }
}

/// A script of arbitrary text: an error, or a run in which no query panics.
pub fn script(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Long scripts are slow and find no more than short ones.
    if text.len() > 4096 {
        return;
    }
    let Ok(script) = Script::parse(text) else { return };
    if script.samples() > 20_000 {
        return;
    }
    let report = promqltest::run(&script, &mut MemoryStorage::default());
    for case in &report.cases {
        for failure in &case.failures {
            assert!(!failure.contains("panic: "), "{}: {failure}", case.query);
        }
    }
}
