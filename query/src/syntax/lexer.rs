//! From text to tokens: hand-written, one token at a time, without allocation.
//!
//! A token is a kind and a span. The lexer knows no keywords: `sum`, `by` and `offset` are words, and the parser, which
//! knows what may come next, distinguishes a keyword from a metric of that name.
//!
//! # Invariants
//! - Spans ascend, do not overlap, and are at character boundaries of the text.
//! - Inside `[ ]`, a colon is a separate token (`[5m:step()]`); elsewhere it is part of a word (`job:errors:rate5m`).
//!   The parser selects the mode with [`Lexer::set_in_brackets`].
//! - Numbers and strings are only delimited here; `literal.rs` parses them.

use barograph_engine::model::CompileError;

use crate::span::Span;

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// The end of the text.
    End,
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`: a name or a keyword.
    Word,
    /// A token that begins like a number and has no unit of time.
    Number,
    /// A token that begins like a number and has a unit of time.
    Duration,
    /// A quoted string, including its quotes.
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    At,
    /// `=`
    Assign,
    /// `=~`
    RegexMatch,
    /// `!~`
    RegexNoMatch,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Caret,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `</`
    TrimUpper,
    /// `>/`
    TrimLower,
}

/// A token: its kind and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
}

/// What is wrong with the text, and where. Boxed, to keep the error-free path fast.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Span,
    pub(super) message: String,
    /// The cause, if it is not the text itself.
    pub(super) cause: Option<CompileError>,
}

impl Fault {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { span, message: message.into(), cause: None })
    }

    /// A regular expression that could not be compiled.
    pub(super) fn of(span: Span, error: CompileError) -> Box<Fault> {
        let message = error.to_string();
        Box::new(Fault { span, message, cause: Some(error) })
    }
}

/// The result of every step of parsing.
pub(super) type Parsed<T> = Result<T, Box<Fault>>;

/// Reads tokens from a text of less than 4 GiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexer<'q> {
    text: &'q str,
    position: usize,
    in_brackets: bool,
}

impl<'q> Lexer<'q> {
    pub(super) fn new(text: &'q str) -> Self {
        Lexer { text, position: 0, in_brackets: false }
    }

    /// Sets whether the next token is inside `[ ]`.
    pub(super) fn set_in_brackets(&mut self, in_brackets: bool) {
        self.in_brackets = in_brackets;
    }

    /// Continues at byte `position`, where a token begins.
    pub(super) fn seek(&mut self, position: u32) {
        self.position = position as usize;
    }

    /// The next token. After the last one, always [`TokenKind::End`].
    pub(super) fn next(&mut self) -> Parsed<Token> {
        self.skip_blanks();
        let start = self.position;
        let Some(byte) = self.byte(0) else {
            return Ok(Token { kind: TokenKind::End, span: Span::new(start, start) });
        };
        let kind = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(),
            b':' if !self.in_brackets => self.word(),
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(1).is_some_and(|next| next.is_ascii_digit()) => self.number(),
            b'"' | b'\'' | b'`' => self.string(byte)?,
            _ => self.symbol(byte)?,
        };
        Ok(Token { kind, span: Span::new(start, self.position) })
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.position + ahead).copied()
    }

    /// Skips white space and comments.
    fn skip_blanks(&mut self) {
        while let Some(byte) = self.byte(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.position += 1,
                b'#' => {
                    while self.byte(0).is_some_and(|byte| byte != b'\n' && byte != b'\r') {
                        self.position += 1;
                    }
                }
                _ => break,
            }
        }
    }

    fn word(&mut self) -> TokenKind {
        let colons = !self.in_brackets;
        while let Some(byte) = self.byte(0)
            && (byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':'))
        {
            self.position += 1;
        }
        TokenKind::Word
    }

    /// Delimits a token that begins like a number: letters, digits, `.` and `_`, and the sign of a decimal exponent.
    fn number(&mut self) -> TokenKind {
        let hexadecimal = self.byte(0) == Some(b'0') && matches!(self.byte(1), Some(b'x' | b'X'));
        let mut has_unit = false;
        let mut before = 0;
        while let Some(byte) = self.byte(0) {
            let exponent_sign = matches!(byte, b'+' | b'-')
                && matches!(before, b'e' | b'E')
                && !hexadecimal
                && self.byte(1).is_some_and(|next| next.is_ascii_digit());
            if !(byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' || exponent_sign) {
                break;
            }
            has_unit |= byte.is_ascii_alphabetic() && !matches!(byte, b'e' | b'E');
            before = byte;
            self.position += 1;
        }
        if has_unit && !hexadecimal { TokenKind::Duration } else { TokenKind::Number }
    }

    fn string(&mut self, quote: u8) -> Parsed<TokenKind> {
        let start = self.position;
        self.position += 1;
        while let Some(byte) = self.byte(0) {
            self.position += 1;
            match byte {
                _ if byte == quote => return Ok(TokenKind::String),
                b'\n' if quote != b'`' => break,
                // The escaped byte cannot end the string. If it begins a multi-byte character, the rest of that
                // character is skipped as ordinary text.
                b'\\' if quote != b'`' && self.byte(0).is_some_and(|next| next != b'\n') => {
                    self.position += 1
                }
                _ => {}
            }
        }
        let span = Span::new(start, self.text.len());
        Err(Fault::new(span, format!("unterminated string: expected a closing {}", char::from(quote))))
    }

    fn symbol(&mut self, byte: u8) -> Parsed<TokenKind> {
        let (kind, length) = match (byte, self.byte(1)) {
            (b'(', _) => (TokenKind::LeftParen, 1),
            (b')', _) => (TokenKind::RightParen, 1),
            (b'{', _) => (TokenKind::LeftBrace, 1),
            (b'}', _) => (TokenKind::RightBrace, 1),
            (b'[', _) => (TokenKind::LeftBracket, 1),
            (b']', _) => (TokenKind::RightBracket, 1),
            (b',', _) => (TokenKind::Comma, 1),
            (b':', _) => (TokenKind::Colon, 1),
            (b'@', _) => (TokenKind::At, 1),
            (b'+', _) => (TokenKind::Plus, 1),
            (b'-', _) => (TokenKind::Minus, 1),
            (b'*', _) => (TokenKind::Star, 1),
            (b'/', _) => (TokenKind::Slash, 1),
            (b'%', _) => (TokenKind::Percent, 1),
            (b'^', _) => (TokenKind::Caret, 1),
            (b'=', Some(b'=')) => (TokenKind::Equal, 2),
            (b'=', Some(b'~')) => (TokenKind::RegexMatch, 2),
            (b'=', _) => (TokenKind::Assign, 1),
            (b'!', Some(b'=')) => (TokenKind::NotEqual, 2),
            (b'!', Some(b'~')) => (TokenKind::RegexNoMatch, 2),
            (b'<', Some(b'=')) => (TokenKind::LessEqual, 2),
            (b'<', Some(b'/')) => (TokenKind::TrimUpper, 2),
            (b'<', _) => (TokenKind::Less, 1),
            (b'>', Some(b'=')) => (TokenKind::GreaterEqual, 2),
            (b'>', Some(b'/')) => (TokenKind::TrimLower, 2),
            (b'>', _) => (TokenKind::Greater, 1),
            _ => return Err(self.unexpected_character()),
        };
        self.position += length;
        Ok(kind)
    }

    fn unexpected_character(&self) -> Box<Fault> {
        let rest = &self.text[self.position..];
        let character = rest.chars().next().unwrap_or_default();
        let span = Span::new(self.position, self.position + character.len_utf8());
        Fault::new(span, format!("unexpected character {character:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TokenKind::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        let mut lexer = Lexer::new(text);
        let mut kinds = Vec::new();
        loop {
            match lexer.next().expect("the text lexes").kind {
                End => return kinds,
                kind => kinds.push(kind),
            }
        }
    }

    #[test]
    fn words_numbers_and_signs() {
        assert_eq!(kinds("a:b _x :y"), [Word, Word, Word]);
        assert_eq!(kinds("1 .5 2. 1e-7 1e+7 0x1f 1_000"), [Number; 7]);
        assert_eq!(kinds("5m 1h30m 5e2m 1x"), [Duration; 4]);
        assert_eq!(kinds("0xe+1"), [Number, Plus, Number]);
        assert_eq!(kinds("1-1"), [Number, Minus, Number]);
        assert_eq!(
            kinds("a</b>/c<=d>=e"),
            [Word, TrimUpper, Word, TrimLower, Word, LessEqual, Word, GreaterEqual, Word]
        );
        assert_eq!(kinds("a # b\n c #"), [Word, Word]);
    }

    #[test]
    fn strings_end_at_their_own_quote() {
        assert_eq!(kinds(r#""a'b" 'a"b' `a"\` "a\"b" "\\""#), [String; 5]);
        assert_eq!(kinds("`a\nb`"), [String]);
        for text in ["\"a", "'a\n'", "`a", "\"a\\", "\"a\\\n\""] {
            let fault = Lexer::new(text).next().expect_err(text);
            assert!(fault.message.starts_with("unterminated string"), "{text:?}: {}", fault.message);
        }
    }

    #[test]
    fn colons_inside_brackets() {
        let mut lexer = Lexer::new("5m:step");
        lexer.set_in_brackets(true);
        let read: Vec<_> = (0..3).map(|_| lexer.next().expect("the text lexes").kind).collect();
        assert_eq!(read, [Duration, Colon, Word]);
        let mut lexer = Lexer::new("step:5m");
        lexer.set_in_brackets(true);
        assert_eq!(lexer.next().expect("the text lexes").span, Span::new(0, 4));
        assert_eq!(Lexer::new("step:5m").next().expect("the text lexes").span, Span::new(0, 7));
    }

    #[test]
    fn characters_that_begin_nothing() {
        for text in ["ü", "!", "$a", ".", "\u{a0}", "\0"] {
            let fault = Lexer::new(text).next().expect_err(text);
            assert!(text.get(fault.span.start as usize..fault.span.end as usize).is_some(), "{text:?}");
        }
    }
}
