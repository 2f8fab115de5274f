//! Sets of characters: `[…]`, `\d`, `\pL`, `[[:alpha:]]`, and escaped characters.
//!
//! The Perl and POSIX classes are ASCII. If case is ignored, each range and each class is folded separately and then
//! negated where required, as in Go.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::cursor::Cursor;

/// The number of ranges that are collected before they are merged.
const JOINED: usize = 1024;

const DIGIT: &[(char, char)] = &[('0', '9')];
const SPACE: &[(char, char)] = &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// The names and ranges of the POSIX classes.
const POSIX: [(&str, &[(char, char)]); 14] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", DIGIT),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", WORD),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

/// Reads `[…]`.
pub(super) fn bracketed(cursor: &mut Cursor<'_>, any_case: bool) -> Result<ClassUnicode, String> {
    let open = *cursor;
    let unclosed = || open.fault("no \"]\" closes the \"[\"");
    cursor.take("[");
    let negated = cursor.take("^");
    let mut set = ClassUnicode::empty();
    // Merging each range with all previous ones would take quadratic time.
    let mut more: Vec<ClassUnicodeRange> = Vec::new();
    let mut first = true;
    while first || cursor.peek() != Some(']') {
        first = false;
        let class = match posix(cursor, any_case)? {
            Some(class) => class,
            None => match named(cursor, any_case)? {
                Some(class) => class,
                None => range(cursor, any_case)?.ok_or_else(unclosed)?,
            },
        };
        more.extend_from_slice(class.ranges());
        if more.len() > JOINED.max(set.ranges().len()) {
            cursor.go_on()?;
            set.union(&ClassUnicode::new(std::mem::take(&mut more)));
        }
    }
    set.union(&ClassUnicode::new(more));
    cursor.take("]");
    if negated {
        set.negate();
    }
    Ok(set)
}

/// A character or `a-z`; `None` at the end of the text.
fn range(cursor: &mut Cursor<'_>, any_case: bool) -> Result<Option<ClassUnicode>, String> {
    let start = *cursor;
    let Some(low) = character(cursor)? else { return Ok(None) };
    let mut ahead = *cursor;
    let is_range = ahead.take("-") && ahead.peek().is_some_and(|next| next != ']');
    let mut high = low;
    if is_range {
        *cursor = ahead;
        let Some(last) = character(cursor)? else { return Ok(None) };
        high = last;
        if high < low {
            return Err(start.fault("the range of characters ends before it begins"));
        }
    }
    Ok(Some(of_ranges(&[(low, high)], any_case)))
}

fn character(cursor: &mut Cursor<'_>) -> Result<Option<char>, String> {
    if cursor.peek() == Some('\\') { escaped_character(cursor).map(Some) } else { Ok(cursor.next()) }
}

fn of_ranges(ranges: &[(char, char)], any_case: bool) -> ClassUnicode {
    let mut set = ClassUnicode::new(ranges.iter().map(|&(low, high)| ClassUnicodeRange::new(low, high)));
    if any_case {
        set.case_fold_simple();
    }
    set
}

/// `[:alpha:]` or `[:^alpha:]`; without `:]` the bracket is an ordinary character.
fn posix(cursor: &mut Cursor<'_>, any_case: bool) -> Result<Option<ClassUnicode>, String> {
    let Some(inside) = cursor.rest().strip_prefix("[:") else { return Ok(None) };
    let Some(end) = inside.find(":]") else { return Ok(None) };
    let name = &inside[..end];
    let plain = name.strip_prefix('^').unwrap_or(name);
    let Some((_, ranges)) = POSIX.iter().find(|(known, _)| *known == plain) else {
        return Err(cursor.fault("unknown class"));
    };
    let mut set = of_ranges(ranges, any_case);
    if plain.len() < name.len() {
        set.negate();
    }
    cursor.position += "[:".len() + end + ":]".len();
    Ok(Some(set))
}

/// `\d`, `\S`, `\pL`, `\p{^Greek}` …; `None`, with nothing read, if it is something else.
pub(super) fn named(cursor: &mut Cursor<'_>, any_case: bool) -> Result<Option<ClassUnicode>, String> {
    let mut ahead = *cursor;
    if ahead.next() != Some('\\') {
        return Ok(None);
    }
    let Some(letter) = ahead.next() else { return Ok(None) };
    let mut set = match letter.to_ascii_lowercase() {
        'd' => of_ranges(DIGIT, any_case),
        's' => of_ranges(SPACE, any_case),
        'w' => of_ranges(WORD, any_case),
        'p' => unicode(&mut ahead, any_case)?,
        _ => return Ok(None),
    };
    if letter.is_ascii_uppercase() {
        set.negate();
    }
    *cursor = ahead;
    Ok(Some(set))
}

/// The part after `\p`: one letter, or a name in braces.
fn unicode(cursor: &mut Cursor<'_>, any_case: bool) -> Result<ClassUnicode, String> {
    let start = *cursor;
    let bad = || start.fault("unknown class of Unicode");
    let name = match cursor.next().ok_or_else(bad)? {
        '{' => {
            let rest = cursor.rest();
            let end = rest.find('}').ok_or_else(bad)?;
            cursor.position += end + 1;
            rest[..end].to_owned()
        }
        letter => letter.to_string(),
    };
    let plain = name.strip_prefix('^').unwrap_or(&name);
    if !plain.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
        return Err(bad());
    }
    cursor.go_on()?;
    let parsed = regex_syntax::parse(&format!("\\p{{{plain}}}")).map_err(|_| bad())?;
    let mut set = match parsed.kind() {
        HirKind::Class(Class::Unicode(set)) => set.clone(),
        // A class of one character.
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).map_err(|_| bad())?;
            ClassUnicode::new(text.chars().map(|only| ClassUnicodeRange::new(only, only)))
        }
        _ => return Err(bad()),
    };
    if any_case {
        set.case_fold_simple();
    }
    if plain.len() < name.len() {
        set.negate();
    }
    Ok(set)
}

/// The character that an escape stands for.
pub(super) fn escaped_character(cursor: &mut Cursor<'_>) -> Result<char, String> {
    let start = *cursor;
    let bad = || start.fault("unknown escape");
    cursor.take("\\");
    let character = cursor.next().ok_or_else(|| start.fault("a backslash at the end"))?;
    Ok(match character {
        'a' => '\x07',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' => return hexadecimal(cursor).ok_or_else(bad),
        // A single digit other than 0 would be a back reference.
        '1'..='7' if !cursor.peek().is_some_and(|next| next.is_digit(8)) => return Err(bad()),
        '0'..='7' => {
            let rest = cursor.rest();
            let digits = rest.bytes().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
            cursor.position += digits;
            let octal = &cursor.text[start.position + 1..cursor.position];
            u32::from_str_radix(octal, 8).ok().and_then(char::from_u32).ok_or_else(bad)?
        }
        _ if character.is_ascii() && !character.is_ascii_alphanumeric() => character,
        _ => return Err(bad()),
    })
}

/// The part after `\x`: two digits, or any number of digits in braces.
fn hexadecimal(cursor: &mut Cursor<'_>) -> Option<char> {
    let digits = if cursor.take("{") {
        let digits = cursor.rest().split('}').next().filter(|digits| digits.len() < cursor.rest().len())?;
        cursor.position += digits.len() + 1;
        digits
    } else {
        let digits = cursor.rest().get(..2)?;
        cursor.position += 2;
        digits
    };
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)
}
