//! Named arguments: `f(x, name=value)`.
//!
//! Their values are literals, so the parser can check them. Functions of PromQL have none.

/// The kind of value that a named argument accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NamedKind {
    /// A number between two bounds, both included.
    Number {
        /// The lower bound.
        min: f64,
        /// The upper bound.
        max: f64,
    },
    /// A duration above 0, or a number of seconds.
    Duration,
    /// The same, or 0.
    Lag,
    /// `true` or `false`.
    Flag,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// Names of labels, separated by commas.
    Labels,
    /// The length of a season: a duration or `"auto"`.
    Season,
    /// The same, or several durations in a string, separated by commas.
    Seasons,
}

/// An argument that a function takes by name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Named {
    /// The name.
    pub name: &'static str,
    /// The accepted values.
    pub kind: NamedKind,
    /// The default, as it would be written.
    pub default: &'static str,
}

/// The value of a named argument.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NamedValue {
    /// A number; a duration is its seconds.
    Number(f64),
    /// `true` or `false`.
    Flag(bool),
    /// A string.
    Text(String),
    /// Names of labels.
    Labels(Vec<String>),
    /// Durations in seconds; empty for `"auto"`.
    Seasons(Vec<f64>),
}

/// The named arguments of a call, in the order of the query.
pub(crate) type NamedValues = Vec<(&'static str, NamedValue)>;

impl Named {
    /// The value, if the argument accepts it; otherwise a description of what it accepts.
    pub(crate) fn accept(
        &self,
        given: NamedValue,
        duration: impl Fn(&str) -> Option<f64>,
    ) -> Result<NamedValue, String> {
        match (self.kind, given) {
            (NamedKind::Number { min, max }, NamedValue::Number(value)) if (min..=max).contains(&value) => {
                Ok(NamedValue::Number(value))
            }
            (NamedKind::Duration, NamedValue::Number(value)) if value > 0.0 && value.is_finite() => {
                Ok(NamedValue::Number(value))
            }
            (NamedKind::Lag, NamedValue::Number(value)) if value >= 0.0 && value.is_finite() => {
                Ok(NamedValue::Number(value))
            }
            (NamedKind::Flag, NamedValue::Flag(value)) => Ok(NamedValue::Flag(value)),
            (NamedKind::Word(words), NamedValue::Text(text)) if words.contains(&text.as_str()) => {
                Ok(NamedValue::Text(text))
            }
            (NamedKind::Labels, NamedValue::Text(text)) => {
                let labels: Vec<String> = text
                    .split(',')
                    .map(|label| label.trim().to_owned())
                    .filter(|label| !label.is_empty())
                    .collect();
                match labels.iter().all(|label| is_label(label)) {
                    true => Ok(NamedValue::Labels(labels)),
                    false => Err(self.accepted()),
                }
            }
            (NamedKind::Season | NamedKind::Seasons, given) => {
                let seasons = match given {
                    NamedValue::Number(value) if value.is_finite() => Some(vec![value]),
                    NamedValue::Text(text) if text == "auto" => Some(Vec::new()),
                    NamedValue::Text(text) => text.split(',').map(|part| duration(part.trim())).collect(),
                    _ => None,
                };
                let fits = |seasons: &Vec<f64>| {
                    seasons.iter().all(|season| *season > 0.0)
                        && (self.kind == NamedKind::Seasons || seasons.len() <= 1)
                };
                seasons.filter(fits).map(NamedValue::Seasons).ok_or_else(|| self.accepted())
            }
            _ => Err(self.accepted()),
        }
    }

    /// What the argument accepts, for messages and for the reference.
    pub fn accepted(&self) -> String {
        match self.kind {
            NamedKind::Number { min, max } if max == f64::MAX => format!("a number of at least {min}"),
            NamedKind::Number { min, max } => format!("a number from {min} to {max}"),
            NamedKind::Duration => "a duration such as 12h".to_owned(),
            NamedKind::Lag => "a duration such as 5m, or 0".to_owned(),
            NamedKind::Flag => "true or false".to_owned(),
            NamedKind::Word(words) => {
                words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or ")
            }
            NamedKind::Labels => "names of labels such as \"service\" or \"service, zone\"".to_owned(),
            NamedKind::Season => "a duration such as 1d, or \"auto\"".to_owned(),
            NamedKind::Seasons => "a duration such as 1d, several such as \"1d,1w\", or \"auto\"".to_owned(),
        }
    }
}

/// Whether a name can be written without quotes.
fn is_label(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}
