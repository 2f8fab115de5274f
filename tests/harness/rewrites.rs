//! Compares patterns with the definition of matching: every shortcut, the automaton, the walk, and the `regex` crate.

use std::sync::OnceLock;

use barograph_engine::model::pattern::{Pattern, Rewrite, Verdict};
use regex::bytes::Regex;

use super::choices::Choices;
use super::patterns::{self, Made};

/// Alphabets, and the lengths of their values. Each yields about a hundred values, enough for a walk to build its
/// automaton.
const ALPHABETS: &[(&str, usize)] = &[
    ("ab", 6),
    ("abc", 4),
    ("aAb", 4),
    ("kK\u{212a}", 4),
    ("sS\u{17f}", 4),
    ("éÉa", 4),
    ("σςΣ", 4),
    ("aß\u{1e9e}", 4),
    ("a\nb", 4),
    ("a\n", 6),
    ("a-b", 4),
    ("a_.-\n", 3),
    ("x\u{10ffff}é", 4),
    ("abcx", 3),
];

/// What was compared so far.
#[derive(Debug, Default, Clone, Copy)]
pub struct Compared {
    /// Patterns.
    pub patterns: u64,
    /// Values that were matched, once for each way to match.
    pub comparisons: u64,
}

/// All values over an alphabet.
struct Values {
    alphabet: Vec<char>,
    /// In ascending order, with the letters as indexes into the alphabet.
    values: Vec<(String, Vec<u8>)>,
}

fn all_values() -> &'static [Values] {
    static ALL: OnceLock<Vec<Values>> = OnceLock::new();
    ALL.get_or_init(|| ALPHABETS.iter().map(|(letters, length)| values_over(letters, *length)).collect())
}

fn values_over(letters: &str, length: usize) -> Values {
    let alphabet: Vec<char> = letters.chars().collect();
    let mut values = vec![(String::new(), Vec::new())];
    let mut from = 0;
    for _ in 0..length {
        let until = values.len();
        for at in from..until {
            for (place, letter) in alphabet.iter().enumerate() {
                let (mut text, mut places) = values[at].clone();
                text.push(*letter);
                places.push(place as u8);
                values.push((text, places));
            }
        }
        from = until;
    }
    values.sort();
    Values { alphabet, values }
}

/// Compares a pattern made of the bytes with its definition.
pub fn rewrites(data: &[u8]) {
    compare(&mut Choices(data), &mut Compared::default());
}

/// Makes one pattern and compares everything derived from it.
pub fn compare(choices: &mut Choices<'_>, compared: &mut Compared) {
    let all = all_values();
    let over = &all[choices.next() % all.len()];
    let made = patterns::make(choices, &over.alphabet);
    let text = &made.text;
    let pattern = Pattern::new(text).unwrap_or_else(|error| panic!("{error}"));
    let expected: Vec<bool> = over
        .values
        .iter()
        .map(|(_, places)| made.tree.ends(1, places, &over.alphabet) >> places.len() & 1 == 1)
        .collect();
    let values = || over.values.iter().map(|(value, _)| value.as_str()).zip(&expected);

    for (value, &expected) in values() {
        assert_eq!(pattern.is_match(value), expected, "{text:?} on {value:?}");
    }
    shortcuts(text, &pattern, values());
    walk(text, &pattern, values());
    references(&made, &pattern, values());
    compared.patterns += 1;
    compared.comparisons += 4 * over.values.len() as u64;
}

/// Compares the literals, the prefix, and whether everything or nothing matches.
fn shortcuts<'v>(text: &str, pattern: &Pattern, values: impl Iterator<Item = (&'v str, &'v bool)>) {
    let prefix = pattern.prefix().unwrap_or("");
    let literals = pattern.as_literals();
    assert!(
        literals.is_none_or(|all| all.windows(2).all(|pair| pair[0] < pair[1])),
        "{text:?}: {literals:?}"
    );
    for (value, &expected) in values {
        assert!(!expected || value.starts_with(prefix), "{text:?} has prefix {prefix:?}, not so {value:?}");
        if let Some(literals) = literals {
            let is_one = literals.iter().any(|literal| literal == value);
            assert_eq!(is_one, expected, "{text:?} as literals, on {value:?}");
        }
        assert!(!pattern.is_everything() || expected, "{text:?} is everything, not so {value:?}");
        if pattern.is_something() {
            assert_eq!(!value.is_empty(), expected, "{text:?} is something, on {value:?}");
        }
    }
}

/// Compares two walks: one that builds its automaton after the values that precede all others, and one that continues
/// with its states.
fn walk<'v>(text: &str, pattern: &Pattern, values: impl Iterator<Item = (&'v str, &'v bool)> + Clone) {
    for _ in 0..2 {
        let mut walk = pattern.walk();
        let (mut target, mut is_over) = (walk.target().to_owned(), false);
        for (value, &expected) in values.clone() {
            if is_over || *value < *target {
                assert!(!expected, "{text:?}: a walk skips {value:?}");
                continue;
            }
            let verdict = walk.judge(value.as_bytes());
            assert_eq!(verdict == Verdict::Match, expected, "{text:?} walks to {value:?}");
            match verdict {
                Verdict::Match | Verdict::Other => {}
                Verdict::Seek => walk.target().clone_into(&mut target),
                Verdict::End => is_over = true,
            }
        }
    }
}

/// Compares the automaton of the unmodified pattern, obtained through a template, and the `regex` crate.
fn references<'v>(made: &Made, pattern: &Pattern, values: impl Iterator<Item = (&'v str, &'v bool)>) {
    let Made { text, reference, .. } = made;
    let regex =
        Regex::new(&format!("^(?s:{reference})$")).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let mut rewrite = Rewrite::new(text, "$0").unwrap_or_else(|error| panic!("{error}"));
    for (value, &expected) in values {
        assert_eq!(regex.is_match(value.as_bytes()), expected, "the regex crate: {text:?} on {value:?}");
        let expanded = rewrite.apply(value);
        assert_eq!(expanded.as_deref(), expected.then_some(value), "the automaton of {text:?} on {value:?}");
    }
    for literal in pattern.as_literals().unwrap_or(&[]) {
        assert!(regex.is_match(literal.as_bytes()), "{text:?} has the literal {literal:?}");
    }
}

/// Compares the patterns that follow from `seed` until `done` returns true.
pub fn generated(seed: u64, mut done: impl FnMut(Compared) -> bool) -> Compared {
    let (mut state, mut compared) = (seed, Compared::default());
    let mut bytes = [0; 192];
    while !done(compared) {
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&next(&mut state).to_le_bytes());
        }
        compare(&mut Choices(&bytes), &mut compared);
    }
    compared
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
