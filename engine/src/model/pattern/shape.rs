//! What kind of pattern a tree is, so that the common kinds need no automaton.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::glob::Glob;
use super::syntax::{Look, Node};

/// A set of literals has at most so many, unless they are the branches of an alternation
/// as written, and together at most so many bytes.
const LITERALS_MAX: usize = 1024;
const LITERAL_BYTES_MAX: usize = 256 << 10;

/// The kinds of pattern.
#[derive(Debug)]
pub(super) enum Shape {
    /// `.*`
    Everything,
    /// `.+`
    Something,
    /// These values, sorted and each once.
    Literals(Vec<String>),
    /// This ASCII text in any case. (Two ASCII letters have a variant outside ASCII, so
    /// other values than ASCII ones go to the automaton.)
    AnyCase(String),
    /// Literals with `.`, `.*`, `.+` between them.
    Glob(Glob),
    /// Everything else.
    Automaton,
}

/// The shape of a tree without anchors.
pub(super) fn of(root: &Node) -> Shape {
    if let Node::Repeat { inner, min, max: None, .. } = uncaptured(root)
        && matches!(uncaptured(inner), Node::Any)
        && *min < 2
    {
        return if *min == 0 { Shape::Everything } else { Shape::Something };
    }
    if let Some(mut literals) = literals(root) {
        literals.sort_unstable();
        literals.dedup();
        return Shape::Literals(literals);
    }
    if let Node::Text { text, any_case: true } = uncaptured(root)
        && text.is_ascii()
    {
        return Shape::AnyCase(text.clone());
    }
    Glob::of(root).map_or(Shape::Automaton, Shape::Glob)
}

/// Whether a sorted list holds `value`.
pub(super) fn contains(sorted: &[String], value: &str) -> bool {
    match sorted {
        [only] => only == value,
        _ => sorted.binary_search_by(|literal| literal.as_str().cmp(value)).is_ok(),
    }
}

fn uncaptured(node: &Node) -> &Node {
    match node {
        Node::Capture(inner) => uncaptured(inner),
        Node::Concat(nodes) if nodes.len() == 1 => uncaptured(&nodes[0]),
        _ => node,
    }
}

/// The tree without the anchors that the whole pattern has anyway: `^` first, `$` last.
pub(super) fn without_anchors(root: Node) -> Node {
    stripped(root, true, true)
}

fn stripped(node: Node, first: bool, last: bool) -> Node {
    match node {
        Node::Look(Look::Start | Look::StartLine) if first => Node::Empty,
        Node::Look(Look::End | Look::EndLine) if last => Node::Empty,
        Node::Capture(inner) => Node::Capture(Box::new(stripped(*inner, first, last))),
        Node::Alternate(nodes) => {
            Node::Alternate(nodes.into_iter().map(|node| stripped(node, first, last)).collect())
        }
        Node::Concat(mut nodes) => {
            let mut index = 0;
            while first && index < nodes.len() {
                nodes[index] = stripped(std::mem::replace(&mut nodes[index], Node::Empty), true, false);
                if !matches!(nodes[index], Node::Empty) {
                    break;
                }
                index += 1;
            }
            let mut index = nodes.len();
            while last && index > 0 {
                index -= 1;
                nodes[index] = stripped(std::mem::replace(&mut nodes[index], Node::Empty), false, true);
                if !matches!(nodes[index], Node::Empty) {
                    break;
                }
            }
            nodes.retain(|node| !matches!(node, Node::Empty));
            match nodes.len() {
                0 => Node::Empty,
                1 => nodes.remove(0),
                _ => Node::Concat(nodes),
            }
        }
        other => other,
    }
}

/// All texts that a tree matches, if they are finitely many and not too many.
fn literals(node: &Node) -> Option<Vec<String>> {
    match node {
        Node::Empty => Some(vec![String::new()]),
        Node::Text { text, any_case } => (!any_case || !has_case(text)).then(|| vec![text.clone()]),
        Node::Class(set) => class_literals(set),
        Node::Capture(inner) => literals(inner),
        Node::Alternate(nodes) => {
            let mut all = Vec::with_capacity(nodes.len());
            for node in nodes {
                all.append(&mut literals(node)?);
                within_limits(&all, LITERALS_MAX.max(nodes.len()))?;
            }
            Some(all)
        }
        Node::Concat(nodes) => {
            nodes.iter().try_fold(vec![String::new()], |before, node| product(&before, &literals(node)?))
        }
        Node::Repeat { inner, min, max: Some(max), .. } => {
            let once = literals(inner)?;
            let mut power = vec![String::new()];
            let mut all = Vec::new();
            for count in 0..=*max {
                if count >= *min {
                    all.extend_from_slice(&power);
                    within_limits(&all, LITERALS_MAX)?;
                }
                if count < *max {
                    power = product(&power, &once)?;
                }
            }
            Some(all)
        }
        Node::Any | Node::AnyButNewline | Node::Look(_) | Node::Repeat { max: None, .. } => None,
    }
}

fn class_literals(set: &ClassUnicode) -> Option<Vec<String>> {
    let count: usize = set.iter().map(|range| range.len()).sum();
    if count == 0 || count > LITERALS_MAX {
        return None;
    }
    let characters = set.iter().flat_map(|range| range.start()..=range.end());
    Some(characters.map(String::from).collect())
}

/// Each of `heads` followed by each of `tails`.
fn product(heads: &[String], tails: &[String]) -> Option<Vec<String>> {
    let count = heads
        .len()
        .checked_mul(tails.len())
        .filter(|&count| count <= LITERALS_MAX.max(heads.len()).max(tails.len()))?;
    let mut all = Vec::with_capacity(count);
    let mut bytes = 0;
    for head in heads {
        for tail in tails {
            bytes += head.len() + tail.len();
            if bytes > LITERAL_BYTES_MAX {
                return None;
            }
            all.push(format!("{head}{tail}"));
        }
    }
    Some(all)
}

fn within_limits(literals: &[String], count_max: usize) -> Option<()> {
    (literals.len() <= count_max).then_some(())
}

/// Whether a character of `text` has another case.
fn has_case(text: &str) -> bool {
    text.chars().any(|character| {
        let mut set = ClassUnicode::new([ClassUnicodeRange::new(character, character)]);
        set.case_fold_simple();
        set.iter().map(|range| range.len()).sum::<usize>() > 1
    })
}

/// What every text that a tree matches begins with.
pub(super) fn prefix(root: &Node) -> String {
    let mut prefix = String::new();
    push_prefix(root, &mut prefix);
    prefix
}

/// Appends what `node` begins with; whether that is the only text it matches.
fn push_prefix(node: &Node, prefix: &mut String) -> bool {
    match node {
        Node::Empty => true,
        Node::Text { text, any_case } => {
            let exact = !any_case || !has_case(text);
            if exact {
                prefix.push_str(text);
            }
            exact
        }
        Node::Capture(inner) => push_prefix(inner, prefix),
        Node::Concat(nodes) => nodes.iter().all(|node| push_prefix(node, prefix)),
        Node::Repeat { inner, min, .. } if *min > 0 => {
            push_prefix(inner, prefix);
            false
        }
        Node::Alternate(nodes) => {
            prefix.push_str(&common_prefix(nodes));
            false
        }
        _ => false,
    }
}

fn common_prefix(branches: &[Node]) -> String {
    let mut prefixes = branches.iter().map(prefix);
    let mut common = prefixes.next().unwrap_or_default();
    for other in prefixes {
        let same = common.char_indices().zip(other.chars()).take_while(|((_, a), b)| a == b);
        let length = same.last().map_or(0, |((start, character), _)| start + character.len_utf8());
        common.truncate(length);
    }
    common
}
