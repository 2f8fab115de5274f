//! Operators by precedence, signs, parentheses, literals.

use super::{Parser, Tree};
use crate::functions::{ValueType, aggregates};
use crate::syntax::ast::{Expr, ExprKind, NumberLiteral, Unary, UnaryOp};
use crate::syntax::check;
use crate::syntax::lexer::{Parsed, Token, TokenKind};
use crate::syntax::literal;
use crate::syntax::precedence::UNARY_BINDING;

/// Words that are keywords wherever an expression may begin.
const RESERVED: [&str; 6] = ["on", "ignoring", "group_left", "group_right", "bool", "atan2"];

impl Parser<'_> {
    /// Parses operands and the operators between them whose precedence is at least `binding_min`.
    pub(super) fn expression(&mut self, binding_min: u8) -> Parsed<Tree> {
        let mut left = self.operand()?;
        while let Some(operator) = self.operator() {
            if operator.binding < binding_min {
                break;
            }
            left = self.binary(left, operator)?;
        }
        Ok(left)
    }

    /// An operand with its signs.
    fn operand(&mut self) -> Parsed<Tree> {
        let op = match self.token.kind {
            TokenKind::Plus => UnaryOp::Plus,
            TokenKind::Minus => UnaryOp::Minus,
            _ => {
                let primary = self.primary()?;
                return self.postfix(primary);
            }
        };
        let sign = self.advance()?;
        // A sign has the precedence of `*`: higher than `+`, lower than `^`.
        let operand = self.nested(|parser| parser.expression(UNARY_BINDING))?;
        let span = self.span_from(sign.span.start);
        check::unary(operand.value_type, span)?;
        let height = self.height_above(operand.height, span)?;
        let kind = ExprKind::Unary(Unary { op, expr: Box::new(operand.expr) });
        Ok(Tree { expr: Expr { kind, span }, value_type: operand.value_type, height })
    }

    fn primary(&mut self) -> Parsed<Tree> {
        match self.token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let (literal, token) = self.number_or_duration()?;
                Ok(self.number(literal, token))
            }
            TokenKind::String => {
                let token = self.advance()?;
                let text = literal::string(self.token_text(token), token.span)?;
                let expr = Expr { kind: ExprKind::String(text), span: token.span };
                Ok(Tree::leaf(expr, ValueType::String))
            }
            TokenKind::LeftParen => self.parenthesised(),
            TokenKind::LeftBrace => self.selector(None),
            TokenKind::Word => self.word(),
            _ => Err(self.expected("an expression")),
        }
    }

    fn parenthesised(&mut self) -> Parsed<Tree> {
        let open = self.advance()?;
        let inner = self.nested(|parser| parser.expression(0))?;
        self.expect_closing(TokenKind::RightParen, ")", open)?;
        let span = self.span_from(open.span.start);
        let height = self.height_above(inner.height, span)?;
        let expr = Expr { kind: ExprKind::Paren(Box::new(inner.expr)), span };
        Ok(Tree { expr, value_type: inner.value_type, height })
    }

    /// Parses what begins with a word: an aggregation, a call, `Inf`, `NaN`, or a metric.
    fn word(&mut self) -> Parsed<Tree> {
        let text = self.token_text(self.token);
        if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(text)) {
            return Err(self.expected("an expression"));
        }
        if self.at_with() {
            return self.nested(Parser::with_expression);
        }
        if let Some(value) = special_number(text) {
            let token = self.advance()?;
            return Ok(self.number(NumberLiteral { value, is_duration: false }, token));
        }
        let name = self.advance()?;
        let called = self.token.kind == TokenKind::LeftParen;
        let grouped = self.at_keyword("by") || self.at_keyword("without");
        if !grouped && let Some(tree) = self.template(name)? {
            return Ok(tree);
        }
        if (called || grouped)
            && let Some(aggregate) = aggregates::find(text)
        {
            return self.nested(|parser| parser.aggregate(aggregate, name));
        }
        if called { self.nested(|parser| parser.call(name)) } else { self.selector(Some(name)) }
    }

    fn number(&self, literal: NumberLiteral, token: Token) -> Tree {
        let expr = Expr { kind: ExprKind::Number(literal), span: token.span };
        Tree::leaf(expr, ValueType::Scalar)
    }

    /// Consumes a number or a duration.
    pub(super) fn number_or_duration(&mut self) -> Parsed<(NumberLiteral, Token)> {
        let token = self.token;
        let text = self.token_text(token);
        let literal = match token.kind {
            TokenKind::Number => {
                NumberLiteral { value: literal::number(text, token.span)?, is_duration: false }
            }
            TokenKind::Duration => {
                NumberLiteral { value: literal::duration(text, token.span)?, is_duration: true }
            }
            TokenKind::Word if let Some(value) = special_number(text) => {
                NumberLiteral { value, is_duration: false }
            }
            _ => return Err(self.expected("a number or a duration")),
        };
        self.advance()?;
        Ok((literal, token))
    }
}

/// Whether a word can never be a name at the beginning of an expression.
pub(super) fn is_reserved(word: &str) -> bool {
    special_number(word).is_some() || RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

/// `Inf` and `NaN`, in any case.
fn special_number(word: &str) -> Option<f64> {
    if word.eq_ignore_ascii_case("inf") {
        Some(f64::INFINITY)
    } else if word.eq_ignore_ascii_case("nan") {
        // The quiet NaN that storage writes for an ordinary NaN.
        Some(f64::from_bits(0x7ff8_0000_0000_0001))
    } else {
        None
    }
}
