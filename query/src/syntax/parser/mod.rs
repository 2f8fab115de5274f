//! From tokens to a checked syntax tree: a Pratt parser, split by construct.
//!
//! ```text
//! expression.rs   operators by precedence, unary signs, parentheses, literals
//! binary.rs       the table of operators; bool, on, ignoring, group_*, fill*
//! selector.rs     metric{matchers}, and what may follow a selector: [5m], [1h:5m], offset, @
//! duration.rs     arithmetic on durations inside [ ] and after offset
//! call.rs         functions and aggregations
//! expansion.rs    calls that stand for other queries
//! template.rs     WITH: templates and their expansion
//! ```
//!
//! Types are checked while the tree is built, by the rules of `check.rs`. Each part has its type, so no second pass is
//! needed, and the first error in the text is the one that is reported.
//!
//! # Invariants
//! - I1: no text, however deeply nested, makes the parser or a later traversal of its tree exhaust the stack: recursion
//!   stops at [`NESTING_MAX`], and a tree is never higher than [`HEIGHT_MAX`].
//! - I2: the span of every error is inside the text.
//! - I3: the memory of the tree and its regular expressions is counted against the request before it is allocated, and
//!   cancellation is checked at least every 64 KiB of tree.

mod binary;
mod call;
mod duration;
mod expansion;
mod expression;
mod selector;
mod template;

pub use template::EXPANSION_TOKENS_MAX;

use barograph_engine::model::{CompileError, Expressions, Matcher};

use crate::error::QueryError;
use crate::functions::{self, ValueType};
use crate::span::Span;
use crate::syntax::ast::{Expr, ExprKind};
use crate::syntax::lexer::{Fault, Lexer, Parsed, Token, TokenKind};

/// Maximum length of a text, bytes. `Limits::query_bytes_max` limits a query further.
pub const QUERY_BYTES_MAX: usize = 64 << 20;

/// Maximum nesting of parentheses, calls and signs.
pub const NESTING_MAX: u32 = 200;

/// Maximum height of a tree. A chain of operators (`a + b + c …`) grows by one level per operator, without nesting. The
/// executor recurses over the tree and uses at most about 2.6 KB of stack per level, of the 2 MiB that a thread has.
pub const HEIGHT_MAX: u32 = 600;

/// Parses and checks a query.
///
/// # Errors
/// [`QueryError::Parse`] with the position of the first error and what was expected there; [`QueryError::Expressions`]
/// if the regular expressions may take more than
/// [`EXPRESSIONS_BYTES_MAX`](barograph_engine::model::pattern::EXPRESSIONS_BYTES_MAX).
pub fn parse(text: &str) -> Result<Expr, QueryError> {
    parse_within(text, &mut Expressions::default())
}

/// Like [`parse`], within the memory limit for the expressions of a request, which includes the tree, and until the
/// request's work is stopped.
///
/// # Errors
/// Same as [`parse`]; also [`QueryError::Canceled`], [`QueryError::Timeout`], [`QueryError::Memory`],
/// [`QueryError::MemoryPool`].
pub fn parse_within(text: &str, expressions: &mut Expressions) -> Result<Expr, QueryError> {
    check_length(text)?;
    Parser::new(text, expressions).and_then(Parser::whole).map_err(|fault| located(text, *fault))
}

fn check_length(text: &str) -> Result<(), QueryError> {
    if text.len() > QUERY_BYTES_MAX {
        let message = format!("the query has {} bytes, the limit is {QUERY_BYTES_MAX}: split it", text.len());
        return Err(QueryError::parse("", Span::default(), message));
    }
    Ok(())
}

/// Parses a series selector into matchers for the reads of a database. A selector is a name, matchers in braces, or
/// both, without a range, `offset` or `@`. Unlike a selector in a query, it may match every series: `{}` gives an empty
/// list.
///
/// ```
/// use barograph_query::syntax::parse_selector;
///
/// let matchers = parse_selector(r#"http_requests_total{job=~"a.*"}"#)?;
/// assert_eq!(matchers.len(), 2, "that of the name is the first");
///
/// let error = parse_selector("up{job=a}").unwrap_err();
/// assert!(error.to_string().starts_with("1:8: parse error: "), "{error}");
/// # Ok::<(), barograph_query::QueryError>(())
/// ```
///
/// # Errors
/// Same as [`parse`].
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    parse_selector_within(text, &mut Expressions::default())
}

/// Like [`parse_selector`], within the memory limit for the expressions of a request.
///
/// # Errors
/// Same as [`parse_within`].
pub fn parse_selector_within(text: &str, expressions: &mut Expressions) -> Result<Vec<Matcher>, QueryError> {
    check_length(text)?;
    Parser::new(text, expressions).and_then(Parser::whole_selector).map_err(|fault| located(text, *fault))
}

fn located(text: &str, fault: Fault) -> QueryError {
    let Fault { span, message, cause } = fault;
    match cause {
        Some(CompileError::Weight { limit, .. }) => {
            QueryError::Expressions { place: span.position(text).to_string(), limit, message }
        }
        Some(CompileError::Stopped(stopped)) => stopped.into(),
        Some(CompileError::Memory(denied)) => denied.into(),
        Some(CompileError::Pattern(_)) | None => QueryError::parse(text, span, message),
    }
}

/// An expression with everything that checks and limits need to know about it.
struct Tree {
    expr: Expr,
    value_type: ValueType,
    /// The number of levels, including the root.
    height: u32,
}

impl Tree {
    fn leaf(expr: Expr, value_type: ValueType) -> Self {
        Tree { expr, value_type, height: 1 }
    }
}

/// The state of the parser, with one token of look-ahead.
struct Parser<'q> {
    text: &'q str,
    lexer: Lexer<'q>,
    /// The current token.
    token: Token,
    /// The end of the previous token.
    previous_end: u32,
    nesting: u32,
    templates: template::Templates<'q>,
    expressions: &'q mut Expressions,
    /// Bytes of the tree that have not been counted yet.
    uncounted: u64,
}

/// Bytes of the tree per token: a node, a matcher or a name, in a list that has grown to twice its length.
const NODE_BYTES: u64 = 320;
/// Bytes of the tree per token that only separates or closes.
const SIGN_BYTES: u64 = 16;
/// Number of bytes that are counted at a time, after which cancellation is checked.
const COUNTED: u64 = 64 << 10;

impl<'q> Parser<'q> {
    fn new(text: &'q str, expressions: &'q mut Expressions) -> Parsed<Self> {
        let mut lexer = Lexer::new(text);
        let token = lexer.next()?;
        let templates = template::Templates::default();
        let mut parser =
            Parser { text, lexer, token, previous_end: 0, nesting: 0, templates, expressions, uncounted: 0 };
        parser.count()?;
        Ok(parser)
    }

    /// Counts the growth of the tree.
    fn count(&mut self) -> Parsed<()> {
        let bytes = std::mem::take(&mut self.uncounted);
        self.expressions.take_text(bytes).map_err(|error| Fault::of(self.token.span, error))
    }

    /// Counts the growth of the tree by the current token.
    fn count_node(&mut self) -> Parsed<()> {
        let span = self.token.span;
        self.uncounted += match self.token.kind {
            TokenKind::Comma
            | TokenKind::RightParen
            | TokenKind::RightBrace
            | TokenKind::RightBracket
            | TokenKind::Assign
            | TokenKind::RegexMatch
            | TokenKind::RegexNoMatch
            | TokenKind::Colon => SIGN_BYTES,
            _ => NODE_BYTES + 2 * u64::from(span.end.saturating_sub(span.start)),
        };
        if self.uncounted >= COUNTED { self.count() } else { Ok(()) }
    }

    /// Parses the whole text as one expression.
    fn whole(mut self) -> Parsed<Expr> {
        if self.token.kind == TokenKind::End {
            return Err(Fault::new(self.token.span, "no expression found in input"));
        }
        let tree = self.expression(0)?;
        self.count()?;
        if self.token.kind == TokenKind::End {
            Ok(self.without_added_parens(tree.expr))
        } else {
            Err(self.with_operator_meant(self.expected("an operator or the end")))
        }
    }

    /// Removes parentheses around the whole query that templates have added.
    fn without_added_parens(&self, mut expr: Expr) -> Expr {
        while let ExprKind::Paren(inner) = expr.kind {
            let keeps_names = matches!(&inner.kind, ExprKind::Binary(binary) if binary.keep_names);
            if keeps_names || self.text.as_bytes().get(expr.span.start as usize) == Some(&b'(') {
                return Expr { kind: ExprKind::Paren(inner), span: expr.span };
            }
            expr = *inner;
        }
        expr
    }

    /// Adds a suggestion to an error if a word that resembles an operator is where an operator should be.
    fn with_operator_meant(&self, mut fault: Box<Fault>) -> Box<Fault> {
        /// Almost anything resembles a shorter word.
        const LETTERS_MIN: usize = 3;
        let word = self.token_text(self.token);
        if self.token.kind != TokenKind::Word || word.len() < LETTERS_MIN {
            return fault;
        }
        let words = binary::OPERATOR_WORDS.iter().map(|(word, _)| *word);
        let modifiers = ["offset", "anchored", "smoothed", "keep_metric_names"];
        if let Some(near) = functions::nearest_of(word, words.chain(modifiers)) {
            fault.message.push_str(&format!(", did you mean {near:?}?"));
        }
        fault
    }

    /// Advances to the next token and returns the current one.
    fn advance(&mut self) -> Parsed<Token> {
        self.count_token()?;
        self.count_node()?;
        let next = self.lexer.next()?;
        self.previous_end = self.token.span.end;
        Ok(std::mem::replace(&mut self.token, next))
    }

    /// The kind of the token after the current one. An error there is reported when it is reached.
    fn peek_kind(&self) -> Option<TokenKind> {
        let mut ahead = self.lexer;
        ahead.next().ok().map(|token| token.kind)
    }

    fn token_text(&self, token: Token) -> &'q str {
        token.span.text(self.text)
    }

    /// The span from `start` to the end of the previous token.
    fn span_from(&self, start: u32) -> Span {
        Span { start, end: self.previous_end }
    }

    /// Whether the current token is the word `keyword`, in any case.
    fn at_keyword(&self, keyword: &str) -> bool {
        self.token.kind == TokenKind::Word && self.token_text(self.token).eq_ignore_ascii_case(keyword)
    }

    /// Consumes a token of this kind, or reports what was expected.
    fn expect(&mut self, kind: TokenKind, expected: &str) -> Parsed<Token> {
        if self.token.kind == kind { self.advance() } else { Err(self.expected(expected)) }
    }

    /// Consumes the token that closes `open`.
    fn expect_closing(&mut self, kind: TokenKind, closing: &str, open: Token) -> Parsed<Token> {
        if self.token.kind == kind {
            return self.advance();
        }
        let place = open.span.position(self.text);
        let expected = format!("{closing:?} to close {:?} at {place}", self.token_text(open));
        Err(self.with_operator_meant(self.expected(&expected)))
    }

    /// The error that something other than `expected` was found.
    fn expected(&self, expected: &str) -> Box<Fault> {
        Fault::new(self.token.span, format!("unexpected {}, expected {expected}", self.found()))
    }

    /// The current token in a message.
    fn found(&self) -> String {
        /// Longer texts are cut. Characters.
        const SHOWN_MAX: usize = 32;
        let text = self.token_text(self.token);
        let what = match self.token.kind {
            TokenKind::End => return "end of input".to_owned(),
            TokenKind::String => "string ",
            TokenKind::Number => "number ",
            TokenKind::Duration => "duration ",
            TokenKind::Word => "identifier ",
            _ => "",
        };
        let cut = text.char_indices().nth(SHOWN_MAX).map_or(text, |(index, _)| &text[..index]);
        let dots = if cut.len() < text.len() { "…" } else { "" };
        match self.token.kind {
            TokenKind::Word | TokenKind::String => format!("{what}{cut}{dots}"),
            _ => format!("{what}{cut:?}{dots}"),
        }
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting == NESTING_MAX {
            let message = format!("the expression is nested deeper than {NESTING_MAX} levels");
            return Err(Fault::new(self.token.span, message));
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    /// One level above `below`, if that is within the limit.
    fn height_above(&self, below: u32, span: Span) -> Parsed<u32> {
        if below >= HEIGHT_MAX {
            let message = format!("the expression chains more than {HEIGHT_MAX} operators");
            return Err(Fault::new(span, message));
        }
        Ok(below + 1)
    }
}

#[cfg(test)]
mod tests;
