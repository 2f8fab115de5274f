//! Calls that stand for other queries. The parser replaces them, so plans, limits and `format_query` see plain queries.

/// What a call is replaced by.
#[derive(Debug, Clone, Copy)]
pub enum Expansion {
    /// With a third argument, a duration, the first two are instant vectors, and their window is the third argument.
    Window,
    /// If the first argument is an instant vector, its window is the second argument and the argument named `baseline`
    /// together, which is four times the second argument unless it is given.
    Highlight,
    /// The call is replaced by a query.
    Query(When, &'static [&'static str]),
}

/// Which calls are replaced by a query.
///
/// The parts of the query are elements of a union. In a part, `$1` is the first argument, `$1[5m]` a window of the first
/// argument, which must be a selector, and `$window` the argument of this name. `$by` is the grouping of the argument
/// named `by`, `$by,le` the same with the label `le`, and `$labels` its text. A part with a
/// numbered argument that is not given is left out; a named argument that is not given has its default.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// All.
    Always,
    /// Those with this number of arguments.
    Arguments(usize),
    /// Those with an argument of this name.
    Named(&'static str),
}

impl When {
    /// Whether a call with these arguments is replaced.
    pub fn holds(self, arguments: usize, mut named: impl Iterator<Item = &'static str>) -> bool {
        match self {
            When::Always => true,
            When::Arguments(count) => arguments == count,
            When::Named(name) => named.any(|other| other == name),
        }
    }

    /// What a call needs so that it is replaced.
    pub fn text(self) -> String {
        match self {
            When::Always => "nothing".to_owned(),
            When::Arguments(count) => format!("{count} arguments"),
            When::Named(name) => format!("the argument {name:?}"),
        }
    }
}
