//! Templates with groups, as Go's `Regexp.Expand` reads them.

/// What a template asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group<'t> {
    /// `$1`, `${1}`; 0 is the whole match.
    Number(usize),
    /// `$name`, `${name}`
    Name(&'t str),
}

/// `template` with each group replaced by what `value_of` says, or by nothing.
pub(super) fn expand<'v>(template: &str, mut value_of: impl FnMut(Group<'_>) -> Option<&'v str>) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = group(rest) {
            text.push_str(value_of(name).unwrap_or(""));
            rest = after;
        } else {
            text.push('$');
        }
    }
    text.push_str(rest);
    text
}

/// The group at the start of `text`, which follows a dollar sign, and what follows it.
fn group(text: &str) -> Option<(Group<'_>, &str)> {
    let inside = text.strip_prefix('{').unwrap_or(text);
    let length = inside.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(inside.len());
    let (name, mut after) = inside.split_at(length);
    if name.is_empty() {
        return None;
    }
    if inside.len() < text.len() {
        after = after.strip_prefix('}')?;
    }
    Some((number(name).map_or(Group::Name(name), Group::Number), after))
}

/// A number without leading zeros; others are names, which no group has.
fn number(name: &str) -> Option<usize> {
    let plain = name.bytes().all(|byte| byte.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
    if plain && name.len() <= 8 { name.parse().ok() } else { None }
}
