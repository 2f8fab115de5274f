//! `WITH (name = expr, f(a, b) = expr) expr`: templates, which are expanded while the text is parsed.
//!
//! A template is a range of the text. Where it is used, the parser jumps to that range, parses it again with the names
//! that are visible there, and returns. An expansion is therefore checked like any other text, whatever it is (an
//! expression, label filters, a string, a duration), and the resulting nodes have spans in the original text. Arguments
//! are ranges of the text too, and are parsed where the parameter is used.
//!
//! # Scopes
//! All templates of a `WITH` can refer to each other, in any order, and to those of the enclosing `WITH`s; they hide
//! outer templates with the same name. A parameter hides everything with its name. A template with parameters and one
//! without may share a name.
//!
//! # Invariants
//! - T1: no template is parsed while it is already being parsed, so expansion ends. An argument is parsed as if at the
//!   place of the call: `f(f(x))` is not a recursion.
//! - T2: parsing stops at [`EXPANSION_TOKENS_MAX`] tokens in addition to the written ones, and at
//!   [`EXPANSION_BYTES_MAX`] bytes of them.

use super::{Parser, Tree};
use crate::span::Span;
use crate::syntax::ast::{DurationExpr, Edges, Expr, ExprKind, TimeModifiers};
use crate::syntax::check;
use crate::syntax::lexer::{Fault, Parsed, Token, TokenKind};
use crate::syntax::literal;

use barograph_engine::model::Matcher;

/// Maximum number of tokens that all expansions of a query may read.
pub const EXPANSION_TOKENS_MAX: u32 = 100_000;

/// Maximum bytes of these tokens, because one long string in a template could be used often.
pub(super) const EXPANSION_BYTES_MAX: u64 = 4 << 20;

/// A range of the text that replaces its name.
struct Template<'q> {
    name: &'q str,
    name_span: Span,
    /// The parameters; `None` if it is used without parentheses.
    params: Option<Vec<&'q str>>,
    body: Stretch,
    /// The scope in which the names of the body are looked up.
    scope: Option<usize>,
    /// For an argument, the template that was being parsed at the call: the argument is parsed as if at that place.
    argument_of: Option<Option<usize>>,
    used: bool,
}

/// The range from the first byte of a body to the token after it.
#[derive(Clone, Copy)]
struct Stretch {
    start: u32,
    end: u32,
    /// Whether it is a pair of braces.
    is_filters: bool,
}

/// Templates that are visible together.
struct Scope {
    parent: Option<usize>,
    /// The index of the first template in the scope.
    from: usize,
    to: usize,
}

/// A template that is being parsed, and the enclosing one.
struct Frame {
    template: usize,
    parent: Option<usize>,
}

/// All templates of a text, and the position of the parser among them.
#[derive(Default)]
pub(super) struct Templates<'q> {
    all: Vec<Template<'q>>,
    scopes: Vec<Scope>,
    frames: Vec<Frame>,
    scope: Option<usize>,
    frame: Option<usize>,
    depth: u32,
    read: u32,
    read_bytes: u64,
}

impl<'q> Templates<'q> {
    /// The template that `name` refers to here; `called` is true if parentheses follow the name.
    fn find(&self, name: &str, called: bool) -> Option<usize> {
        self.visible().find(|&id| self.all[id].name == name && self.all[id].params.is_some() == called)
    }

    /// All templates that are visible here, the nearest first.
    fn visible(&self) -> impl Iterator<Item = usize> {
        let scopes = std::iter::successors(self.scope, move |&scope| self.scopes[scope].parent);
        scopes.flat_map(move |scope| self.scopes[scope].from..self.scopes[scope].to)
    }

    /// The names of the templates with parameters.
    pub(super) fn callable(&self) -> impl Iterator<Item = &'q str> {
        self.visible().filter(move |&id| self.all[id].params.is_some()).map(move |id| self.all[id].name)
    }

    fn add_scope(&mut self, parent: Option<usize>, templates: Vec<Template<'q>>) -> usize {
        let from = self.all.len();
        self.all.extend(templates);
        self.scopes.push(Scope { parent, from, to: self.all.len() });
        self.scopes.len() - 1
    }

    /// Whether `template` is being parsed.
    fn is_open(&self, template: usize) -> bool {
        let mut frames = std::iter::successors(self.frame, |&frame| self.frames[frame].parent);
        frames.any(|frame| self.frames[frame].template == template)
    }
}

impl<'q> Parser<'q> {
    /// Whether a `WITH` begins here; a single word `WITH` is a metric.
    pub(super) fn at_with(&self) -> bool {
        self.at_keyword("with") && self.peek_kind() == Some(TokenKind::LeftParen)
    }

    /// `WITH (…) expr`; the word is the current token.
    pub(super) fn with_expression(&mut self) -> Parsed<Tree> {
        let word = self.advance()?;
        let open = self.advance()?;
        let mut defined: Vec<Template<'q>> = Vec::new();
        while self.token.kind != TokenKind::RightParen {
            let template = self.definition()?;
            let same = |known: &&Template<'q>| {
                known.name == template.name && known.params.is_some() == template.params.is_some()
            };
            if let Some(first) = defined.iter().find(same) {
                let place = first.name_span.position(self.text);
                let message = format!("template {:?} is defined twice, first at {place}", template.name);
                return Err(Fault::new(template.name_span, message));
            }
            defined.push(template);
            if self.token.kind != TokenKind::Comma {
                break;
            }
            self.advance()?;
        }
        self.expect_closing(TokenKind::RightParen, ")", open)?;
        let outside = self.templates.scope;
        // The bodies see the scope that they are in.
        let scope = self.templates.scopes.len();
        defined.iter_mut().for_each(|template| template.scope = Some(scope));
        let scope = self.templates.add_scope(outside, defined);
        self.templates.scope = Some(scope);
        let body = self.nested(|parser| parser.expression(0))?;
        self.check_unused(scope)?;
        self.templates.scope = outside;
        let span = self.span_from(word.span.start);
        self.as_operand(body, span)
    }

    /// `name = body` or `name(a, b) = body`, up to the comma or parenthesis after it.
    fn definition(&mut self) -> Parsed<Template<'q>> {
        let (name, name_span) = self.template_name("the name of a template or \")\"")?;
        let mut params = None;
        if self.token.kind == TokenKind::LeftParen {
            params = Some(self.params()?);
        }
        self.expect(TokenKind::Assign, "\"=\" after the name of a template")?;
        let body = self.stretch()?;
        Ok(Template { name, name_span, params, body, scope: None, argument_of: None, used: false })
    }

    fn template_name(&mut self, expected: &str) -> Parsed<(&'q str, Span)> {
        let token = self.token;
        let name = self.token_text(token);
        if token.kind != TokenKind::Word {
            return Err(self.expected(expected));
        }
        if super::expression::is_reserved(name) || name.contains(':') {
            return Err(Fault::new(token.span, format!("{name:?} cannot be the name of a template")));
        }
        self.advance()?;
        Ok((name, token.span))
    }

    /// `(a, b)`
    fn params(&mut self) -> Parsed<Vec<&'q str>> {
        let open = self.advance()?;
        let mut params = Vec::new();
        while self.token.kind != TokenKind::RightParen {
            let (name, span) = self.template_name("the name of a parameter or \")\"")?;
            if params.contains(&name) {
                return Err(Fault::new(span, format!("parameter {name:?} occurs twice")));
            }
            params.push(name);
            if self.token.kind != TokenKind::Comma {
                break;
            }
            self.advance()?;
        }
        self.expect_closing(TokenKind::RightParen, ")", open)?;
        Ok(params)
    }

    /// Consumes everything up to a comma or a closing parenthesis outside of brackets.
    fn stretch(&mut self) -> Parsed<Stretch> {
        let first = self.token;
        let mut open: Vec<Token> = Vec::new();
        let (mut groups, mut others) = (0, 0);
        loop {
            match self.token.kind {
                TokenKind::Comma | TokenKind::RightParen if open.is_empty() => break,
                TokenKind::LeftParen | TokenKind::LeftBrace | TokenKind::LeftBracket => {
                    groups += u32::from(open.is_empty());
                    open.push(self.token);
                }
                TokenKind::RightParen | TokenKind::RightBrace | TokenKind::RightBracket | TokenKind::End => {
                    let Some(opened) = open.pop() else {
                        return Err(self.expected("\",\" or \")\" after it"));
                    };
                    self.check_closes(opened)?;
                }
                _ => others += u32::from(open.is_empty()),
            }
            self.lexer.set_in_brackets(open.iter().any(|token| token.kind == TokenKind::LeftBracket));
            self.advance()?;
        }
        let end = self.token.span.start;
        if first.span.start == end {
            return Err(self.expected("an expression"));
        }
        let is_filters = first.kind == TokenKind::LeftBrace && (groups, others) == (1, 0);
        Ok(Stretch { start: first.span.start, end, is_filters })
    }

    /// Checks that the current token closes `open`.
    fn check_closes(&self, open: Token) -> Parsed<()> {
        let (kind, closing) = match open.kind {
            TokenKind::LeftParen => (TokenKind::RightParen, ")"),
            TokenKind::LeftBrace => (TokenKind::RightBrace, "}"),
            _ => (TokenKind::RightBracket, "]"),
        };
        if self.token.kind == kind {
            return Ok(());
        }
        let place = open.span.position(self.text);
        Err(self.expected(&format!("{closing:?} to close {:?} at {place}", self.token_text(open))))
    }

    /// Expands a template whose name is consumed into an expression. `None` if no template has this name.
    pub(super) fn template(&mut self, name: Token) -> Parsed<Option<Tree>> {
        let called = self.token.kind == TokenKind::LeftParen;
        let Some(id) = self.templates.find(self.token_text(name), called) else { return Ok(None) };
        let is_filters = self.templates.all[id].body.is_filters;
        let mut tree = self.expand(id, name, |parser| match is_filters {
            // Whether it selects something is checked once all filters are known.
            true => {
                let (selector, span) = parser.bare_selector(None)?;
                let kind = ExprKind::Selector(selector);
                Ok(Tree::leaf(Expr { kind, span }, crate::functions::ValueType::InstantVector))
            }
            false => parser.expression(0),
        })?;
        if let ExprKind::Selector(selector) = &mut tree.expr.kind
            && self.token.kind == TokenKind::LeftBrace
            && selector.modifiers == TimeModifiers::default()
            && selector.edges == Edges::Plain
        {
            let open = self.advance()?;
            let named = selector.matchers.iter().any(|m| m.name == barograph_engine::model::METRIC_NAME);
            self.matchers(&mut selector.matchers, named)?;
            self.expect_closing(TokenKind::RightBrace, "}", open)?;
        }
        let span = self.span_from(name.span.start);
        if let ExprKind::Selector(selector) = &tree.expr.kind {
            check::name_given_once(selector.name.as_deref(), &selector.matchers, span)?;
            check::selects_something(selector, span)?;
        }
        self.as_operand(tree, span).map(Some)
    }

    /// An expansion as an operand: in parentheses if it has an operator. Its root has the span `span`, and its parts
    /// have the spans where they were written.
    pub(super) fn as_operand(&self, mut tree: Tree, span: Span) -> Parsed<Tree> {
        if matches!(tree.expr.kind, ExprKind::Binary(_) | ExprKind::Unary(_)) {
            tree.height = self.height_above(tree.height, span)?;
            tree.expr = Expr { kind: ExprKind::Paren(Box::new(tree.expr)), span };
        }
        tree.expr.span = span;
        Ok(tree)
    }

    /// Parses the body of a template with `read`, and returns to the place of use. If the template has parameters,
    /// their arguments are parsed first.
    fn expand<T>(&mut self, id: usize, name: Token, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.templates.all[id].used = true;
        let params = self.templates.all[id].params.clone();
        let arguments = match params {
            Some(params) => Some(self.arguments(id, name, &params)?),
            None => None,
        };
        if self.templates.all[id].argument_of.is_none() && self.templates.is_open(id) {
            let text = self.token_text(name);
            return Err(Fault::new(name.span, format!("template {text:?} uses itself")));
        }
        let scope = arguments.or(self.templates.all[id].scope);
        let result = self.elsewhere(id, scope, |parser| {
            let found = read(parser)?;
            if parser.token.span.start != parser.templates.all[id].body.end {
                return Err(parser.expected("an operator or the end of the template"));
            }
            Ok(found)
        });
        let result = result.map_err(|fault| self.told_where(fault, id, name))?;
        if let Some(arguments) = arguments {
            self.check_unused(arguments)?;
        }
        Ok(result)
    }

    /// An error inside an expansion also names the use that the user wrote.
    fn told_where(&self, mut fault: Box<Fault>, id: usize, name: Token) -> Box<Fault> {
        if self.templates.depth == 0 && self.templates.all[id].name_span != name.span {
            let place = name.span.position(self.text);
            fault.message.push_str(&format!(" (in template {:?}, used at {place})", self.token_text(name)));
        }
        fault
    }

    /// Runs `inner` at the body of a template.
    fn elsewhere<T>(
        &mut self,
        id: usize,
        scope: Option<usize>,
        inner: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let here = (self.lexer, self.token, self.previous_end);
        let outside = (self.templates.scope, self.templates.frame, self.templates.depth);
        let template = &self.templates.all[id];
        let frame = match template.argument_of {
            Some(caller) => caller,
            None => {
                self.templates.frames.push(Frame { template: id, parent: self.templates.frame });
                Some(self.templates.frames.len() - 1)
            }
        };
        self.lexer.seek(template.body.start);
        self.previous_end = template.body.start;
        (self.templates.scope, self.templates.frame) = (scope, frame);
        self.templates.depth += 1;
        let result = self.nested(|parser| {
            parser.count_token()?;
            parser.token = parser.lexer.next()?;
            inner(parser)
        });
        (self.lexer, self.token, self.previous_end) = here;
        (self.templates.scope, self.templates.frame, self.templates.depth) = outside;
        result
    }

    /// Called for every token; the tokens of expansions are limited.
    pub(super) fn count_token(&mut self) -> Parsed<()> {
        if self.templates.depth == 0 {
            return Ok(());
        }
        self.templates.read += 1;
        if self.templates.read > EXPANSION_TOKENS_MAX {
            let message = format!("the templates expand to more than {EXPANSION_TOKENS_MAX} tokens");
            return Err(Fault::new(self.token.span, message));
        }
        self.templates.read_bytes += u64::from(self.token.span.end.saturating_sub(self.token.span.start));
        if self.templates.read_bytes > EXPANSION_BYTES_MAX {
            let message = format!("the templates expand to more than {EXPANSION_BYTES_MAX} bytes");
            return Err(Fault::new(self.token.span, message));
        }
        Ok(())
    }

    /// `(x, y)` after the name of a template, as a scope of its parameters.
    fn arguments(&mut self, id: usize, name: Token, params: &[&'q str]) -> Parsed<usize> {
        let open = self.expect(TokenKind::LeftParen, "\"(\"")?;
        let mut stretches = Vec::new();
        while self.token.kind != TokenKind::RightParen {
            let start = self.token.span.start;
            let body = self.stretch()?;
            stretches.push((body, Span { start, end: self.previous_end }));
            if self.token.kind != TokenKind::Comma {
                break;
            }
            self.advance()?;
        }
        self.expect_closing(TokenKind::RightParen, ")", open)?;
        if stretches.len() != params.len() {
            let (text, given) = (self.token_text(name), stretches.len());
            let message = format!("template {text:?} takes {} argument(s), got {given}", params.len());
            return Err(Fault::new(self.span_from(name.span.start), message));
        }
        let (scope, frame) = (self.templates.scope, self.templates.frame);
        let argument = |(&name, (body, name_span)): (&&'q str, (Stretch, Span))| Template {
            name,
            name_span,
            params: None,
            body,
            scope,
            argument_of: Some(frame),
            used: false,
        };
        let arguments = params.iter().zip(stretches).map(argument).collect();
        let parent = self.templates.all[id].scope;
        Ok(self.templates.add_scope(parent, arguments))
    }

    /// Parses templates that were not used, so that their errors are reported. The body of a template with parameters
    /// cannot be parsed without arguments and is skipped.
    fn check_unused(&mut self, scope: usize) -> Parsed<()> {
        let (from, to) = (self.templates.scopes[scope].from, self.templates.scopes[scope].to);
        for id in from..to {
            let template = &self.templates.all[id];
            if template.used || template.params.is_some() {
                continue;
            }
            let (is_filters, span) = (template.body.is_filters, template.name_span);
            let name = Token { kind: TokenKind::Word, span };
            self.expand(id, name, |parser| match is_filters {
                true => parser.bare_selector(None).map(|_| ()),
                false => parser.expression(0).map(|_| ()),
            })?;
        }
        Ok(())
    }

    /// Adds the filters of a template to `matchers`, if the current token is its name, without an operator after it.
    /// Returns whether it was.
    pub(super) fn filter_template(&mut self, matchers: &mut Vec<Matcher>, named: &mut bool) -> Parsed<bool> {
        let Some((id, name)) = self.template_in_list()? else { return Ok(false) };
        let before = matchers.len();
        self.expand(id, name, |parser| {
            if parser.filter_template(matchers, named)? {
                return Ok(());
            }
            let open = parser.expect(TokenKind::LeftBrace, "label filters in braces")?;
            parser.matchers(matchers, *named)?;
            parser.expect_closing(TokenKind::RightBrace, "}", open)?;
            Ok(())
        })?;
        *named |= matchers[before..].iter().any(|m| m.name == barograph_engine::model::METRIC_NAME);
        Ok(true)
    }

    /// A template that is alone between commas and braces. Consumes its name.
    fn template_in_list(&mut self) -> Parsed<Option<(usize, Token)>> {
        if self.token.kind != TokenKind::Word {
            return Ok(None);
        }
        let called = match self.peek_kind() {
            Some(TokenKind::LeftParen) => true,
            Some(TokenKind::Comma | TokenKind::RightBrace | TokenKind::RightParen) => false,
            _ => return Ok(None),
        };
        match self.templates.find(self.token_text(self.token), called) {
            Some(id) => Ok(Some((id, self.advance()?))),
            None => Ok(None),
        }
    }

    /// The string of a template, if the current token is its name.
    pub(super) fn string_template(&mut self) -> Parsed<Option<String>> {
        let Some((id, name)) = self.template_in_list()? else { return Ok(None) };
        let text = self.expand(id, name, |parser| {
            if let Some(text) = parser.string_template()? {
                return Ok(text);
            }
            let token = parser.expect(TokenKind::String, "a quoted string")?;
            literal::string(parser.token_text(token), token.span)
        })?;
        Ok(Some(text))
    }

    /// The duration of a template, if the current token is its name.
    pub(super) fn duration_template(&mut self) -> Parsed<Option<DurationExpr>> {
        let called = self.peek_kind() == Some(TokenKind::LeftParen);
        let Some(id) = self.templates.find(self.token_text(self.token), called) else { return Ok(None) };
        let name = self.advance()?;
        let duration = self.expand(id, name, |parser| parser.duration(0))?;
        let span = self.span_from(name.span.start);
        Ok(Some(match duration {
            DurationExpr::Unary(..) | DurationExpr::Binary(..) => {
                DurationExpr::Paren(Box::new(duration), span)
            }
            other => other,
        }))
    }
}

#[cfg(test)]
mod tests;
