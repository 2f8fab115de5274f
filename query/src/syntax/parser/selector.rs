//! Selectors, and what may follow one: a range, a subquery, `offset`, `@`, `anchored`,
//! `smoothed`.

use barograph_engine::model::{METRIC_NAME, MatchOp, Matcher};

use super::{Parser, Tree};
use crate::functions::ValueType;
use crate::span::Span;
use crate::syntax::ast::{
    AtModifier, Edges, Expr, ExprKind, RangeSelector, Selector, Subquery, TimeModifiers,
};
use crate::syntax::check;
use crate::syntax::lexer::{Fault, Parsed, Token, TokenKind};
use crate::syntax::literal;

impl Parser<'_> {
    /// `name`, `name{…}` or `{…}`. The name is already consumed.
    pub(super) fn selector(&mut self, name: Option<Token>) -> Parsed<Tree> {
        let (selector, span) = self.bare_selector(name)?;
        check::selects_something(&selector, span)?;
        Ok(Tree::leaf(Expr { kind: ExprKind::Selector(selector), span }, ValueType::InstantVector))
    }

    /// The whole text as one selector, which may match every series.
    pub(super) fn whole_selector(mut self) -> Parsed<Vec<Matcher>> {
        let name = match self.token.kind {
            TokenKind::Word => Some(self.advance()?),
            TokenKind::LeftBrace => None,
            _ => return Err(self.expected("a series selector")),
        };
        let (selector, _) = self.bare_selector(name)?;
        self.count()?;
        if self.token.kind == TokenKind::End {
            return Ok(selector.matchers);
        }
        Err(self.expected("the end: a series selector is a name, matchers in braces, or both"))
    }

    /// A selector that may match every series.
    pub(super) fn bare_selector(&mut self, name: Option<Token>) -> Parsed<(Selector, Span)> {
        let start = name.unwrap_or(self.token).span.start;
        let name = name.map(|token| self.token_text(token).to_owned());
        let mut matchers: Vec<Matcher> = name.iter().map(|name| Matcher::equal(METRIC_NAME, name)).collect();
        if self.token.kind == TokenKind::LeftBrace {
            let open = self.advance()?;
            self.matchers(&mut matchers, name.is_some())?;
            self.expect_closing(TokenKind::RightBrace, "}", open)?;
        }
        let span = self.span_from(start);
        check::name_given_once(name.as_deref(), &matchers, span)?;
        Ok((Selector { matchers, name, modifiers: TimeModifiers::default(), edges: Edges::Plain }, span))
    }

    /// The matchers up to the closing brace. A comma may follow the last one.
    pub(super) fn matchers(&mut self, matchers: &mut Vec<Matcher>, mut named: bool) -> Parsed<()> {
        while self.token.kind != TokenKind::RightBrace {
            let token = self.token;
            if !self.filter_template(matchers, &mut named)? {
                let (matcher, is_name) = self.matcher()?;
                if is_name && std::mem::replace(&mut named, true) {
                    let message =
                        format!("metric name must not be set twice: {:?} is the second", matcher.value);
                    return Err(Fault::new(token.span, message));
                }
                matchers.push(matcher);
            }
            match self.token.kind {
                TokenKind::Comma => self.advance()?,
                TokenKind::RightBrace => break,
                _ => return Err(self.expected("\",\" or \"}\" after a label matcher")),
            };
        }
        Ok(())
    }

    /// `label="value"`, or a quoted metric name alone; the second value tells which.
    fn matcher(&mut self) -> Parsed<(Matcher, bool)> {
        let start = self.token.span.start;
        let quoted = self.token.kind == TokenKind::String;
        let label = self.label("a label name or \"}\"")?;
        let op = match self.token.kind {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::NotEqual => MatchOp::NotEqual,
            TokenKind::RegexMatch => MatchOp::Regex,
            TokenKind::RegexNoMatch => MatchOp::NotRegex,
            _ if quoted => return Ok((Matcher::equal(METRIC_NAME, &label), true)),
            _ => return Err(self.expected("one of =, !=, =~, !~ after a label name")),
        };
        self.advance()?;
        let value = match self.string_template()? {
            Some(value) => value,
            None if self.token.kind == TokenKind::String => {
                let token = self.advance()?;
                literal::string(self.token_text(token), token.span)?
            }
            None => return Err(self.expected("a quoted string after a label matching operator")),
        };
        let matcher = Matcher::within(&label, op, &value, self.expressions)
            .map_err(|error| Fault::of(self.span_from(start), error))?;
        Ok((matcher, false))
    }

    /// A label name, as a word or quoted. Every keyword is a valid label name.
    fn label(&mut self, expected: &str) -> Parsed<String> {
        let token = self.token;
        let text = self.token_text(token);
        let label = match token.kind {
            TokenKind::Word if !text.contains(':') => text.to_owned(),
            TokenKind::String => literal::string(text, token.span)?,
            _ => return Err(self.expected(expected)),
        };
        if label.is_empty() {
            return Err(Fault::new(token.span, "invalid label name \"\": it must not be empty"));
        }
        self.advance()?;
        Ok(label)
    }

    /// `(a, b, "c.d")`. A comma may follow the last one.
    pub(super) fn label_list(&mut self) -> Parsed<Vec<String>> {
        let open = self.expect(TokenKind::LeftParen, "\"(\" before a list of labels")?;
        let mut labels = Vec::new();
        while self.token.kind != TokenKind::RightParen {
            labels.push(self.label("a label name or \")\"")?);
            if self.token.kind != TokenKind::Comma {
                break;
            }
            self.advance()?;
        }
        self.expect_closing(TokenKind::RightParen, ")", open)?;
        Ok(labels)
    }

    /// Parses everything that follows `tree` and applies only to it.
    pub(super) fn postfix(&mut self, mut tree: Tree) -> Parsed<Tree> {
        loop {
            match self.token.kind {
                TokenKind::LeftBracket => tree = self.brackets(tree)?,
                TokenKind::At => self.at(&mut tree.expr)?,
                TokenKind::Word if self.at_keyword("offset") => self.offset(&mut tree.expr)?,
                TokenKind::Word if self.at_keyword("anchored") => {
                    self.edges(&mut tree.expr, Edges::Anchored)?
                }
                TokenKind::Word if self.at_keyword("smoothed") => {
                    self.edges(&mut tree.expr, Edges::Smoothed)?
                }
                TokenKind::Word if self.at_keyword("keep_metric_names") => self.keep_names(&mut tree.expr)?,
                _ => return Ok(tree),
            }
        }
    }

    fn keep_names(&mut self, expr: &mut Expr) -> Parsed<()> {
        let word = self.advance()?;
        let message = match check::names_mark(expr) {
            Some(mark) if !*mark => {
                *mark = true;
                expr.span.end = self.previous_end;
                return Ok(());
            }
            Some(_) => "keep_metric_names may not be set multiple times",
            None => "keep_metric_names must follow a function call or a binary expression in parentheses",
        };
        Err(Fault::new(word.span, message))
    }

    /// `[range]` or `[range:step]`.
    fn brackets(&mut self, tree: Tree) -> Parsed<Tree> {
        self.lexer.set_in_brackets(true);
        let open = self.advance()?;
        let range = self.positive_duration("a duration after \"[\"")?;
        let mut step = None;
        let is_subquery = self.token.kind == TokenKind::Colon;
        if is_subquery {
            self.advance()?;
            if self.token.kind != TokenKind::RightBracket {
                step = Some(self.positive_duration("a duration or \"]\" after \":\"")?);
            }
        }
        self.lexer.set_in_brackets(false);
        self.expect_closing(TokenKind::RightBracket, "]", open)?;
        let span = self.span_from(tree.expr.span.start);
        if !is_subquery {
            let selector = check::range_operand(tree.expr, self.span_from(open.span.start))?;
            let kind = ExprKind::Range(RangeSelector { selector, range });
            return Ok(Tree {
                expr: Expr { kind, span },
                value_type: ValueType::RangeVector,
                height: tree.height,
            });
        }
        check::subquery(tree.value_type, span)?;
        let height = self.height_above(tree.height, span)?;
        let modifiers = TimeModifiers::default();
        let kind = ExprKind::Subquery(Subquery { expr: Box::new(tree.expr), range, step, modifiers });
        Ok(Tree { expr: Expr { kind, span }, value_type: ValueType::RangeVector, height })
    }

    fn offset(&mut self, expr: &mut Expr) -> Parsed<()> {
        let word = self.advance()?;
        let offset = self.offset_duration()?;
        let modifiers = modifiers_of(expr, "offset", word.span)?;
        if modifiers.offset.replace(offset).is_some() {
            return Err(Fault::new(word.span, "offset may not be set multiple times"));
        }
        expr.span.end = self.previous_end;
        Ok(())
    }

    fn at(&mut self, expr: &mut Expr) -> Parsed<()> {
        let sign = self.advance()?;
        let at = self.at_time()?;
        let modifiers = modifiers_of(expr, "@", sign.span)?;
        if modifiers.at.replace(at).is_some() {
            return Err(Fault::new(sign.span, "@ <timestamp> may not be set multiple times"));
        }
        modifiers.at_first = modifiers.offset.is_none();
        expr.span.end = self.previous_end;
        Ok(())
    }

    fn at_time(&mut self) -> Parsed<AtModifier> {
        let start = self.at_keyword("start");
        if start || self.at_keyword("end") {
            self.advance()?;
            let open = self.expect(TokenKind::LeftParen, "\"(\"")?;
            self.expect_closing(TokenKind::RightParen, ")", open)?;
            return Ok(if start { AtModifier::Start } else { AtModifier::End });
        }
        let first = self.token;
        if !matches!(
            first.kind,
            TokenKind::Plus | TokenKind::Minus | TokenKind::Number | TokenKind::Duration | TokenKind::Word
        ) {
            return Err(self.expected("a timestamp, start() or end() after \"@\""));
        }
        let seconds = self.signed_number()?;
        // The milliseconds must fit into 64 bits, and so must the nanoseconds of storage.
        if seconds.is_nan() || seconds.abs() > literal::DURATION_SECONDS_MAX {
            let message = format!("timestamp out of bounds for @ modifier: {seconds}");
            return Err(Fault::new(self.span_from(first.span.start), message));
        }
        Ok(AtModifier::Time((seconds * 1000.0).round() as i64))
    }

    fn edges(&mut self, expr: &mut Expr, edges: Edges) -> Parsed<()> {
        let word = self.advance()?;
        let name = edges.as_str();
        let selector = match &mut expr.kind {
            ExprKind::Selector(selector) => selector,
            ExprKind::Range(range) => &mut range.selector,
            ExprKind::Subquery(_) => {
                return Err(Fault::new(
                    word.span,
                    format!("{name} modifier is not supported for subqueries"),
                ));
            }
            _ => {
                return Err(Fault::new(word.span, format!("{name} modifier must be preceded by a selector")));
            }
        };
        if selector.edges != Edges::Plain && selector.edges != edges {
            return Err(Fault::new(word.span, "anchored and smoothed modifiers cannot be used together"));
        }
        selector.edges = edges;
        expr.span.end = self.previous_end;
        Ok(())
    }
}

/// The modifiers of a selector or subquery.
fn modifiers_of<'e>(expr: &'e mut Expr, word: &str, span: Span) -> Parsed<&'e mut TimeModifiers> {
    match &mut expr.kind {
        ExprKind::Selector(selector) => Ok(&mut selector.modifiers),
        ExprKind::Range(range) => Ok(&mut range.selector.modifiers),
        ExprKind::Subquery(subquery) => Ok(&mut subquery.modifiers),
        _ => {
            let message = format!(
                "{word} modifier must be preceded by an instant vector selector or range vector selector or a subquery"
            );
            Err(Fault::new(span, message))
        }
    }
}
