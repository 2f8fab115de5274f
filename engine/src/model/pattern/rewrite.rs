//! Rewriting a value with a template that refers to groups, in the syntax of Go's `Regexp.Expand`.
//!
//! Only the groups that the template names are tracked, since each costs memory for every state of the automaton.

use std::collections::BTreeMap;

use regex_automata::dfa::onepass;
use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{NFA, WhichCaptures};
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input};

use super::error::CompileError;
use super::expressions::Expressions;
use super::shape::Shape;
use super::weight::Weight;
use super::{AUTOMATON_BYTES_MAX, Pattern, PatternError, TEXT_BYTES_MAX, automaton, hir, syntax};

/// The maximum size of a one-pass automaton, bytes.
const ONE_PASS_BYTES_MAX: usize = 128 << 10;
/// The size of the visited set of the backtracker, bytes. Longer values are matched with the PikeVM.
const VISITED_BYTES: usize = 4 << 10;
/// The maximum size of the tracked group positions, bytes: for each state twice the start and the end of each group.
const PLACES_BYTES_MAX: u64 = 4 << 20;
/// The memory for running it besides that: the one-pass automaton, and the backtracker's stack, at most one entry for
/// each bit of the visited set.
const RUNNING_BYTES: u64 = 1 << 20;

/// A pattern with a template that replaces a matching value. `$1`, `${1}`, `$name`, `${name}` stand for groups, and
/// `$$` for a dollar sign. A name consists of letters, digits and underscores. Groups that are unknown or took no part
/// in the match are empty. A dollar sign that begins none of these stands for itself.
///
/// ```
/// use barograph_engine::model::Rewrite;
///
/// let mut port = Rewrite::new("(.*):(?P<port>[0-9]+)", "port-$port")?;
/// assert_eq!(port.apply("host:80").as_deref(), Some("port-80"));
/// assert_eq!(port.apply("host"), None);
/// # Ok::<(), barograph_engine::model::PatternError>(())
/// ```
#[derive(Debug)]
pub struct Rewrite {
    pattern: Pattern,
    pieces: Vec<Piece>,
    /// Present if the template names groups.
    groups: Option<Groups>,
}

/// A part of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The index of a tracked group; 0 is the whole match.
    Group(usize),
}

impl Rewrite {
    /// Compiles the pattern and the template.
    ///
    /// # Errors
    /// Same as [`Pattern::new`]; also if the template names groups of a pattern that is too large to track them.
    pub fn new(text: &str, template: &str) -> Result<Rewrite, PatternError> {
        Rewrite::within(text, template, &mut Expressions::default()).map_err(|error| error.of(text))
    }

    /// Same as [`Rewrite::new`], within the limit for the expressions of a request.
    ///
    /// # Errors
    /// Same as [`Expressions::pattern`].
    pub fn within(
        text: &str,
        template: &str,
        expressions: &mut Expressions,
    ) -> Result<Rewrite, CompileError> {
        let pattern = expressions.pattern(text)?;
        let parts = parts(template);
        if !parts.iter().any(|part| matches!(part, Part::Group(_))) {
            let pieces = parts.into_iter().filter_map(|part| match part {
                Part::Text(text) => Some(Piece::Text(text)),
                Part::Group(_) => None,
            });
            return Ok(Rewrite { pattern, pieces: pieces.collect(), groups: None });
        }
        let refused = |reason| CompileError::Pattern(PatternError { pattern: text.to_owned(), reason });
        if text.len() > TEXT_BYTES_MAX {
            let bytes = text.len();
            return Err(refused(format!(
                "it has {bytes} bytes, the limit is {TEXT_BYTES_MAX} where a template uses its groups"
            )));
        }
        let parsed = syntax::parse(text, expressions.work()).map_err(|fault| fault.of(text))?;
        let numbers = numbers(&parts, &parsed.group_names);
        let places = 2 * (numbers.len() as u64 + 1);
        let weight = Weight::of(&parsed.root);
        let states = weight.automaton.min(AUTOMATON_BYTES_MAX);
        expressions.take(text, states)?;
        // A state takes 24 bytes or more.
        expressions.take_text((states / 24 * places * 16).min(PLACES_BYTES_MAX) + RUNNING_BYTES)?;
        let nfa = {
            let _building = expressions.while_building(&weight)?;
            let form = hir::of(&parsed.root, &|number| numbers.get(&number).copied());
            automaton::nfa(&form, WhichCaptures::All).ok_or_else(|| refused(super::too_large()))?
        };
        let groups = Groups::new(nfa, places).map_err(refused)?;
        let pieces =
            parts.into_iter().filter_map(|part| piece(part, &numbers, &parsed.group_names)).collect();
        Ok(Rewrite { pattern, pieces, groups: Some(groups) })
    }

    /// The template with the groups of `value` inserted, if the whole of `value` matches.
    pub fn apply(&mut self, value: &str) -> Option<String> {
        // A fast path is far cheaper than the automaton. Without one, most values that do not match differ early.
        let may_match = match (&self.pattern.inner.shape, &self.groups) {
            (Shape::Automaton, Some(_)) => value.starts_with(&self.pattern.inner.prefix),
            _ => self.pattern.is_match(value),
        };
        if !may_match {
            return None;
        }
        if let Some(groups) = &mut self.groups
            && !groups.find(value)
        {
            return None;
        }
        let mut text = String::new();
        for piece in &self.pieces {
            text.push_str(match (piece, &self.groups) {
                (Piece::Text(text), _) => text,
                (Piece::Group(group), Some(groups)) => groups.text(*group, value),
                (Piece::Group(_), None) => "",
            });
        }
        Some(text)
    }
}

/// The automaton that tracks groups, and the memory to run it in.
struct Groups {
    one_pass: Option<(onepass::DFA, onepass::Cache)>,
    backtracker: BoundedBacktracker,
    backtracker_cache: backtrack::Cache,
    /// For values that are too long for the others.
    machine: PikeVM,
    machine_cache: Option<pikevm::Cache>,
    /// The starts and ends of groups in the last value.
    places: Vec<Option<NonMaxUsize>>,
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Groups").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

impl Groups {
    fn new(nfa: NFA, places: u64) -> Result<Groups, String> {
        let bytes = nfa.states().len() as u64 * places * 16;
        if bytes > PLACES_BYTES_MAX {
            return Err(format!(
                "the template uses {} groups of so large a pattern that following them takes {bytes} bytes, the limit \
                 is {PLACES_BYTES_MAX}; use fewer groups, or match less",
                places / 2 - 1
            ));
        }
        let failed = |_| super::too_large();
        let config = onepass::Config::new().size_limit(Some(ONE_PASS_BYTES_MAX));
        let one_pass = onepass::Builder::new().configure(config).build_from_nfa(nfa.clone()).ok();
        let config = backtrack::Config::new().visited_capacity(VISITED_BYTES);
        let backtracker =
            backtrack::Builder::new().configure(config).build_from_nfa(nfa.clone()).map_err(failed)?;
        Ok(Groups {
            one_pass: one_pass.map(|dfa| {
                let cache = dfa.create_cache();
                (dfa, cache)
            }),
            backtracker_cache: backtracker.create_cache(),
            backtracker,
            machine: pikevm::Builder::new().build_from_nfa(nfa).map_err(|_| super::too_large())?,
            machine_cache: None,
            places: vec![None; places as usize],
        })
    }

    /// Finds the positions of the groups, if the whole of `value` matches.
    fn find(&mut self, value: &str) -> bool {
        let input = Input::new(value).anchored(Anchored::Yes);
        let places = &mut self.places;
        places.fill(None);
        if let Some((dfa, cache)) = &mut self.one_pass
            && let Ok(found) = dfa.try_search_slots(cache, &input, places)
        {
            return found.is_some();
        }
        if value.len() < self.backtracker.max_haystack_len()
            && let Ok(found) = self.backtracker.try_search_slots(&mut self.backtracker_cache, &input, places)
        {
            return found.is_some();
        }
        let cache = self.machine_cache.get_or_insert_with(|| self.machine.create_cache());
        self.machine.search_slots(cache, &input, places).is_some()
    }

    fn text<'v>(&self, group: usize, value: &'v str) -> &'v str {
        let place = |at: usize| self.places.get(at).copied().flatten().map(NonMaxUsize::get);
        let (start, end) = (place(2 * group), place(2 * group + 1));
        start.zip(end).and_then(|(start, end)| value.get(start..end)).unwrap_or("")
    }
}

/// A part of a template as written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(Name),
}

/// A reference in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    /// `$1`, `${1}`; 0 is the whole match.
    Number(usize),
    /// `$name`, `${name}`
    Text(String),
}

impl Name {
    /// The number of the group, if it exists.
    fn number(&self, names: &[Option<String>]) -> Option<usize> {
        match self {
            Name::Number(number) => (*number <= names.len()).then_some(*number),
            Name::Text(name) => names.iter().position(|n| n.as_ref() == Some(name)).map(|at| at + 1),
        }
    }
}

/// The groups that a template names, except for the whole match, and the numbers under which they are tracked.
fn numbers(parts: &[Part], names: &[Option<String>]) -> BTreeMap<usize, u32> {
    let named = parts.iter().filter_map(|part| match part {
        Part::Text(_) => None,
        Part::Group(name) => name.number(names).filter(|&number| number > 0),
    });
    let ascending: std::collections::BTreeSet<usize> = named.collect();
    ascending.into_iter().zip(1..).collect()
}

fn piece(part: Part, numbers: &BTreeMap<usize, u32>, names: &[Option<String>]) -> Option<Piece> {
    match part {
        Part::Text(text) => Some(Piece::Text(text)),
        Part::Group(name) => match name.number(names)? {
            0 => Some(Piece::Group(0)),
            number => numbers.get(&number).map(|&followed| Piece::Group(followed as usize)),
        },
    }
}

fn parts(template: &str) -> Vec<Part> {
    let (mut parts, mut text) = (Vec::new(), String::new());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = group(rest) {
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(Part::Group(name));
            rest = after;
        } else {
            text.push('$');
        }
    }
    text.push_str(rest);
    parts.push(Part::Text(text));
    parts
}

/// The group reference at the start of `text`, which follows a dollar sign, and the rest.
fn group(text: &str) -> Option<(Name, &str)> {
    let inside = text.strip_prefix('{').unwrap_or(text);
    let length = inside.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(inside.len());
    let (name, mut after) = inside.split_at(length);
    if name.is_empty() {
        return None;
    }
    if inside.len() < text.len() {
        after = after.strip_prefix('}')?;
    }
    Some((number(name).map_or_else(|| Name::Text(name.to_owned()), Name::Number), after))
}

/// A number without leading zeros. Others are names, which no group has.
fn number(name: &str) -> Option<usize> {
    let plain = name.bytes().all(|byte| byte.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
    if plain && name.len() <= 8 { name.parse().ok() } else { None }
}
