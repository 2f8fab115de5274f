//! Rewriting a value by a template with groups, as Go's `Regexp.Expand` reads it.
//!
//! Only the groups that the template names are followed, since each costs memory for every state of the automaton.

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

/// An automaton that needs no searching is used up to this size, bytes.
const ONE_PASS_BYTES_MAX: usize = 128 << 10;
/// What marks where the automaton was already, bytes: longer values are followed state by state.
const VISITED_BYTES: usize = 4 << 10;
/// What may be kept of groups, bytes: for each state twice where each of them begins and ends.
const PLACES_BYTES_MAX: u64 = 4 << 20;
/// What running it takes beside that: the automaton that needs no searching, and of the other one the ways not tried
/// yet, at most one for each place that can be marked.
const RUNNING_BYTES: u64 = 1 << 20;

/// A pattern with a template that a matching value is rewritten by: `$1`, `${1}`, `$name`, `${name}` stand for groups,
/// `$$` for a dollar sign. A name runs as far as letters, digits and underscores do; groups that are unknown or took
/// no part are empty. A dollar sign that begins none of these is itself.
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
    /// Where the template names groups.
    groups: Option<Groups>,
}

/// A part of what is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// Of those that are followed; 0 is the whole.
    Group(usize),
}

impl Rewrite {
    /// Compiles both.
    ///
    /// # Errors
    /// As [`Pattern::new`], and where the template names groups of a pattern that is too large for that.
    pub fn new(text: &str, template: &str) -> Result<Rewrite, PatternError> {
        Rewrite::within(text, template, &mut Expressions::default()).map_err(|error| error.of(text))
    }

    /// As [`Rewrite::new`], within what the expressions of a request may take.
    ///
    /// # Errors
    /// As [`Expressions::pattern`].
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

    /// The template with the groups of `value` in it, if the whole of `value` matches.
    pub fn apply(&mut self, value: &str) -> Option<String> {
        // A shortcut is far cheaper than the automaton; without one, most that do not match differ at once.
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

/// The automaton that follows groups, and the memory to run it in.
struct Groups {
    one_pass: Option<(onepass::DFA, onepass::Cache)>,
    backtracker: BoundedBacktracker,
    backtracker_cache: backtrack::Cache,
    /// For values that are too long for that one.
    machine: PikeVM,
    machine_cache: Option<pikevm::Cache>,
    /// Where groups begin and end in the last value.
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

    /// Finds where the groups are, if the whole of `value` matches.
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

/// A part of a template as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(Name),
}

/// What a template asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    /// `$1`, `${1}`; 0 is the whole match.
    Number(usize),
    /// `$name`, `${name}`
    Text(String),
}

impl Name {
    /// The number of the group, if there is one.
    fn number(&self, names: &[Option<String>]) -> Option<usize> {
        match self {
            Name::Number(number) => (*number <= names.len()).then_some(*number),
            Name::Text(name) => names.iter().position(|n| n.as_ref() == Some(name)).map(|at| at + 1),
        }
    }
}

/// The groups that a template names, but for the whole, with the numbers under which they are followed.
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

/// The group at the start of `text`, which follows a dollar sign, and what follows it.
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

/// A number without leading zeros; others are names, which no group has.
fn number(name: &str) -> Option<usize> {
    let plain = name.bytes().all(|byte| byte.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
    if plain && name.len() <= 8 { name.parse().ok() } else { None }
}
