//! Classifies a form, so that the common kinds of pattern need no automaton.

use regex_syntax::hir::ClassUnicode;

use super::form::Form;
use super::glob::Glob;

/// The maximum number of texts in a set, unless the length of the pattern allows more: an alternation that is written
/// out is always a set.
const WORDS_MAX: usize = 1024;
const WORD_BYTES_MAX: usize = 256 << 10;

/// The kinds of pattern.
#[derive(Debug)]
pub(super) enum Shape {
    /// `.*`
    Everything,
    /// `.+`
    Something,
    /// These values, sorted and without duplicates.
    Literals(Vec<String>),
    /// This ASCII text in any case. (Two ASCII letters have a variant outside ASCII, so values that are not ASCII are
    /// matched with the automaton.)
    AnyCase(String),
    /// Literals with `.`, `.*`, `.+` between them.
    Glob(Glob),
    /// Everything else.
    Automaton,
}

/// The shape of a form; `text_len` is the length of the pattern as written.
pub(super) fn of(form: &Form, text_len: usize) -> Shape {
    let limits = Limits {
        count: WORDS_MAX.max(text_len / 2 + 1),
        bytes: WORD_BYTES_MAX.max(text_len.saturating_mul(4)),
    };
    if let Some(mut words) = words(form, limits) {
        words.sort_unstable();
        words.dedup();
        return Shape::Literals(words);
    }
    match form {
        Form::Any { min: 0, max: None } => Shape::Everything,
        Form::Any { min: 1, max: None } => Shape::Something,
        Form::AnyCase(text) if text.is_ascii() => Shape::AnyCase(text.clone()),
        _ => Glob::of(form).map_or(Shape::Automaton, Shape::Glob),
    }
}

/// Whether a sorted list holds `value`.
pub(super) fn contains(sorted: &[String], value: &str) -> bool {
    match sorted {
        [only] => only == value,
        _ => sorted.binary_search_by(|literal| literal.as_str().cmp(value)).is_ok(),
    }
}

/// The limits of a set.
#[derive(Debug, Clone, Copy)]
struct Limits {
    count: usize,
    bytes: usize,
}

impl Limits {
    fn check(self, words: &[String]) -> Option<()> {
        (words.len() <= self.count).then_some(())
    }
}

/// All texts that a form matches, if their number is finite and not too large.
fn words(form: &Form, limits: Limits) -> Option<Vec<String>> {
    match form {
        Form::Never => Some(Vec::new()),
        Form::Text(text) => Some(vec![text.clone()]),
        Form::Class(set) => characters(set, limits),
        Form::Concat(parts) => {
            let mut all = vec![String::new()];
            for part in parts {
                all = product(all, &words(part, limits)?, limits)?;
            }
            Some(all)
        }
        Form::Alternate(parts) => {
            let (mut all, mut bytes) = (Vec::with_capacity(parts.len()), 0);
            for part in parts {
                let mut more = words(part, limits)?;
                bytes += more.iter().map(String::len).sum::<usize>();
                all.append(&mut more);
                limits.check(&all)?;
                if bytes > limits.bytes {
                    return None;
                }
            }
            Some(all)
        }
        Form::Repeat { inner, min, max: Some(max) } => powers(&words(inner, limits)?, *min, *max, limits),
        // Infinite, or too many to try. A condition cannot be expressed as a text.
        Form::Repeat { max: None, .. } | Form::Any { .. } | Form::AnyCase(_) | Form::Look(_) => None,
    }
}

fn characters(set: &ClassUnicode, limits: Limits) -> Option<Vec<String>> {
    let count: usize = set.iter().map(|range| range.len()).sum();
    if count > WORDS_MAX.min(limits.count) {
        return None;
    }
    Some(set.iter().flat_map(|range| range.start()..=range.end()).map(String::from).collect())
}

/// `once` at least `min` and at most `max` times.
fn powers(once: &[String], min: u32, max: u32, limits: Limits) -> Option<Vec<String>> {
    let mut power = vec![String::new()];
    let (mut all, mut bytes) = (Vec::new(), 0);
    for count in 0..=max {
        if count >= min {
            bytes += power.iter().map(String::len).sum::<usize>();
            all.extend_from_slice(&power);
            limits.check(&all)?;
        }
        if bytes > limits.bytes {
            return None;
        }
        if count < max {
            power = product(power, once, limits)?;
        }
    }
    Some(all)
}

/// Each of `heads` followed by each of `tails`. A single tail is appended in place: a pattern may have as many single
/// tails as characters, and copying all heads for each would take quadratic time.
fn product(mut heads: Vec<String>, tails: &[String], limits: Limits) -> Option<Vec<String>> {
    if let [tail] = tails {
        let bytes = heads.iter().map(String::len).sum::<usize>() + heads.len() * tail.len();
        heads.iter_mut().filter(|_| bytes <= limits.bytes).for_each(|head| head.push_str(tail));
        return (bytes <= limits.bytes).then_some(heads);
    }
    let count = heads.len().checked_mul(tails.len()).filter(|&count| count <= limits.count)?;
    let mut all = Vec::with_capacity(count);
    let mut bytes = 0;
    for head in &heads {
        for tail in tails {
            bytes += head.len() + tail.len();
            if bytes > limits.bytes {
                return None;
            }
            all.push(format!("{head}{tail}"));
        }
    }
    Some(all)
}

/// The common beginning of all texts that a form matches.
pub(super) fn prefix(form: &Form) -> String {
    let mut prefix = String::new();
    push_prefix(form, &mut prefix);
    prefix
}

/// Appends the common beginning of all texts that `form` matches. Returns whether `form` matches exactly that text.
fn push_prefix(form: &Form, prefix: &mut String) -> bool {
    match form {
        Form::Text(text) => {
            prefix.push_str(text);
            true
        }
        // It matches no character.
        Form::Look(_) => true,
        Form::Concat(parts) => parts.iter().all(|part| push_prefix(part, prefix)),
        Form::Alternate(parts) => {
            prefix.push_str(&common_prefix(parts));
            false
        }
        Form::Repeat { inner, min, .. } => {
            // If it is optional, none of it is certain.
            if *min > 0 {
                push_prefix(inner, prefix);
            }
            false
        }
        Form::Never | Form::AnyCase(_) | Form::Class(_) | Form::Any { .. } => false,
    }
}

fn common_prefix(branches: &[Form]) -> String {
    let mut prefixes = branches.iter().map(prefix);
    let mut common = prefixes.next().unwrap_or_default();
    for other in prefixes {
        let length = shared(&common, &other).len();
        common.truncate(length);
    }
    common
}

/// The common beginning of two texts.
pub(super) fn shared<'t>(one: &'t str, other: &str) -> &'t str {
    let same = one.char_indices().zip(other.chars()).take_while(|((_, a), b)| a == b);
    let length = same.last().map_or(0, |((start, character), _)| start + character.len_utf8());
    &one[..length]
}
