//! One source file as the rules see it: its code with comments, strings and characters blanked out, its comments, and
//! which lines are production code and which are tests.
//!
//! Blanking keeps every line break and every column, so that a rule can search `code` for words without finding them in
//! a string or a comment, and can still report the line. This is a lexer for the little that this needs (comments,
//! quotes, raw strings, lifetimes), not a parser.

/// A source file, taken apart.
pub struct Source {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// The text with comments and the contents of quotes replaced by spaces.
    pub code: String,
    /// `code` with every item under `#[cfg(test)]` replaced by spaces; empty for a file of tests.
    pub production: String,
    /// Plain and doc comments: line number from 1, and the text with its slashes.
    pub comments: Vec<(usize, String)>,
    /// The first line of the text.
    pub first_line: String,
    /// Lines that are not in an item under `#[cfg(test)]`.
    pub production_lines: usize,
}

impl Source {
    /// Takes `text` apart. A file below `tests/`, `benches/` or `examples/`, or named `tests.rs`, has no production.
    pub fn new(path: &str, text: &str) -> Source {
        let (code, comments) = blank(text);
        let (without_tests, test_lines) = blank_tests(&code);
        let tests_only = is_test_path(path);
        Source {
            path: path.to_owned(),
            production: if tests_only { String::new() } else { without_tests },
            production_lines: if tests_only { 0 } else { text.lines().count() - test_lines },
            first_line: text.lines().next().unwrap_or_default().to_owned(),
            code,
            comments,
        }
    }

    /// Treats the whole file as tests: its parent declares it under `#[cfg(test)]`.
    pub fn mark_as_tests(&mut self) {
        self.production.clear();
        self.production_lines = 0;
    }
}

fn is_test_path(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples" | "fuzz" | "tests.rs"))
}

/// The line, from 1, of a byte offset.
pub fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Byte offsets of `word`, with no letter, digit or underscore on either side.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let end = at + word.len();
        (at == 0 || !is_ident(bytes[at - 1])) && (end == bytes.len() || !is_ident(bytes[end]))
    })
}

/// Whether `byte` can be part of a Rust name.
pub fn is_ident(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The offset just past the bracket that closes the one at `open`, or the end of the code.
pub fn close_of(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The end of the item that starts at `at`: past its `;`, or past its body in braces, whichever comes first.
pub fn item_end(code: &str, at: usize) -> (Option<usize>, usize) {
    let bytes = code.as_bytes();
    let mut here = at;
    while here < bytes.len() {
        match bytes[here] {
            b';' => return (None, here + 1),
            b'{' => return (Some(here), close_of(code, here)),
            b'(' | b'[' => here = close_of(code, here),
            _ => here += 1,
        }
    }
    (None, code.len())
}

/// Blanks the items under `#[cfg(test)]` and counts the lines they take.
fn blank_tests(code: &str) -> (String, usize) {
    let mut blanked = code.as_bytes().to_vec();
    let mut lines = 0;
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let (_, end) = item_end(code, start + "#[cfg(test)]".len());
        lines += line_at(code, end - 1) - line_at(code, start) + 1;
        blanked[start..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        from = end;
    }
    (String::from_utf8(blanked).expect("only whole characters were replaced by spaces"), lines)
}

/// What the lexer is inside of.
enum Quote {
    Line,
    Block { depth: usize },
    Text,
    Raw { hashes: usize },
}

/// Blanks comments, strings and characters; collects the comments.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut comments = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some((quote, body)) = opening(bytes, at) else {
            at += 1;
            continue;
        };
        let end = closing(bytes, body, &quote);
        if matches!(quote, Quote::Line | Quote::Block { .. }) {
            comments.push((line_at(text, at), text[at..end].to_owned()));
        }
        code[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    (String::from_utf8(code).expect("only whole characters were replaced by spaces"), comments)
}

/// Whether a comment, a string or a character begins at `at`, and where its content does.
fn opening(bytes: &[u8], at: usize) -> Option<(Quote, usize)> {
    let next = bytes.get(at + 1).copied();
    match bytes[at] {
        b'/' if next == Some(b'/') => Some((Quote::Line, at + 2)),
        b'/' if next == Some(b'*') => Some((Quote::Block { depth: 1 }, at + 2)),
        b'"' => Some((Quote::Text, at + 1)),
        b'r' if at == 0 || !is_ident(bytes[at - 1]) || matches!(bytes[at - 1], b'b' | b'c') => {
            let hashes = bytes[at + 1..].iter().take_while(|&&byte| byte == b'#').count();
            (bytes.get(at + 1 + hashes) == Some(&b'"')).then_some((Quote::Raw { hashes }, at + 2 + hashes))
        }
        b'\'' => char_end(bytes, at).map(|_| (Quote::Text, at + 1)),
        _ => None,
    }
}

/// The end of the character literal at `at`, or `None` if a lifetime begins there.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        let close = bytes[at + 3..].iter().position(|&byte| byte == b'\'')?;
        return Some(at + 3 + close + 1);
    }
    let width = match bytes.get(at + 1)? {
        0x00..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (bytes.get(at + 1 + width) == Some(&b'\'')).then_some(at + width + 2)
}

/// The offset just past the end of the token that began before `body`.
fn closing(bytes: &[u8], body: usize, quote: &Quote) -> usize {
    match quote {
        Quote::Line => {
            body + bytes[body..].iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len() - body)
        }
        Quote::Block { depth } => block_end(bytes, body, *depth),
        Quote::Text if bytes[body - 1] == b'\'' => char_end(bytes, body - 1).unwrap_or(body),
        Quote::Text => text_end(bytes, body),
        Quote::Raw { hashes } => {
            let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', *hashes)).collect();
            let found = bytes[body..].windows(close.len()).position(|window| window == close);
            found.map_or(bytes.len(), |found| body + found + close.len())
        }
    }
}

fn block_end(bytes: &[u8], body: usize, mut depth: usize) -> usize {
    let mut at = body;
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (b'/', b'*') => depth += 1,
            (b'*', b'/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn text_end(bytes: &[u8], body: usize) -> usize {
    let mut at = body;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_comments_are_blanked_in_place() {
        let text = "let a = \"un\\\"safe\"; // unsafe\nlet b = r#\"unsafe\"#; let c = '\\''; let d = '\"'; fn f<'a>() {}";
        let source = Source::new("engine/src/x.rs", text);
        assert_eq!(source.code.len(), text.len());
        assert!(!source.code.contains("unsafe"));
        assert!(source.code.contains("fn f<'a>() {}"));
        assert_eq!(source.comments, [(1, "// unsafe".to_owned())]);
    }

    #[test]
    fn nested_comments_end_where_the_outer_one_does() {
        let source = Source::new("engine/src/x.rs", "/* a /* b */ c */ d");
        assert_eq!(source.code.trim(), "d");
    }

    #[test]
    fn items_under_cfg_test_are_not_production() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod golden;\n";
        let source = Source::new("engine/src/x.rs", text);
        assert_eq!(source.production_lines, 2);
        assert!(source.production.contains("fn c") && !source.production.contains("fn b"));
        assert!(!source.production.contains("golden"));
    }

    #[test]
    fn a_word_has_borders() {
        assert_eq!(words("unsafe_code unsafe not_unsafe", "unsafe").collect::<Vec<_>>(), [12]);
    }
}
