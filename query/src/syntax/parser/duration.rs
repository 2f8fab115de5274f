//! Arithmetic on durations, inside `[ ]` and after `offset`.

use super::Parser;
use crate::numbers::one_float;
use crate::span::Span;
use crate::syntax::ast::{BinaryOp, DurationExpr, UnaryOp};
use crate::syntax::check;
use crate::syntax::lexer::{Fault, Parsed, TokenKind};
use crate::syntax::literal::DURATION_SECONDS_MAX;
use crate::syntax::precedence::UNARY_BINDING;

impl Parser<'_> {
    /// A duration inside `[ ]`. If its value is already known, it must be above 0.
    pub(super) fn positive_duration(&mut self, expected: &str) -> Parsed<DurationExpr> {
        if matches!(self.token.kind, TokenKind::RightBracket | TokenKind::Colon | TokenKind::End) {
            return Err(self.expected(expected));
        }
        let start = self.token.span.start;
        let duration = self.duration(0)?;
        check::positive(&duration, self.span_from(start))?;
        Ok(duration)
    }

    /// The duration after `offset`: one operand with at most one sign. `foo offset 2 ^ 2` is therefore `(foo offset 2)
    /// ^ 2`; arithmetic needs parentheses here.
    pub(super) fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        let start = self.token.span.start;
        let sign = self.sign()?;
        let operand = self.duration_primary()?;
        Ok(match sign {
            Some(op) => DurationExpr::Unary(op, Box::new(operand), self.span_from(start)),
            None => operand,
        })
    }

    pub(super) fn duration(&mut self, binding_min: u8) -> Parsed<DurationExpr> {
        let mut left = self.duration_operand()?;
        let mut chained = 0;
        while let Some(operator) = self.operator().filter(|operator| operator.binding >= binding_min) {
            let op = operator.op();
            if !is_arithmetic(op) {
                return Err(self.expected("one of + - * / % ^ in a duration"));
            }
            chained = self.height_above(chained, self.token.span)?;
            if self.nesting + chained > super::NESTING_MAX {
                let message =
                    format!("the duration has too many operators, the limit is {}", super::NESTING_MAX);
                return Err(Fault::new(self.token.span, message));
            }
            let op_span = self.advance()?.span;
            let right_min = if op == BinaryOp::Pow { operator.binding } else { operator.binding + 1 };
            let right = self.nested(|parser| parser.duration(right_min))?;
            if matches!(op, BinaryOp::Div | BinaryOp::Mod) && is_zero(&right) {
                return Err(Fault::new(op_span, ZeroDivisor { op, span: op_span }.message()));
            }
            let span = left.span().to(right.span());
            left = DurationExpr::Binary(op, Box::new(left), Box::new(right), span);
        }
        Ok(left)
    }

    fn duration_operand(&mut self) -> Parsed<DurationExpr> {
        let start = self.token.span.start;
        let Some(sign) = self.sign()? else { return self.duration_primary() };
        let operand = self.nested(|parser| parser.duration(UNARY_BINDING))?;
        Ok(DurationExpr::Unary(sign, Box::new(operand), self.span_from(start)))
    }

    fn duration_primary(&mut self) -> Parsed<DurationExpr> {
        let token = self.token;
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let (literal, token) = self.number_or_duration()?;
                if literal.value > DURATION_SECONDS_MAX {
                    return Err(Fault::new(token.span, "duration out of range"));
                }
                Ok(DurationExpr::Literal(literal, token.span))
            }
            TokenKind::LeftParen => {
                let open = self.advance()?;
                let inner = self.nested(|parser| parser.duration(0))?;
                self.expect_closing(TokenKind::RightParen, ")", open)?;
                Ok(DurationExpr::Paren(Box::new(inner), self.span_from(open.span.start)))
            }
            TokenKind::Word => match self.duration_template()? {
                Some(duration) => Ok(duration),
                None => self.duration_call(),
            },
            _ => Err(self.expected("a number, a duration, step(), range(), min_of() or max_of()")),
        }
    }

    /// `step()`, `range()`, `min_of(a, b)`, `max_of(a, b)`, in any case.
    fn duration_call(&mut self) -> Parsed<DurationExpr> {
        let word = self.token;
        let name = self.token_text(word).to_ascii_lowercase();
        if !matches!(name.as_str(), "step" | "range" | "min_of" | "max_of") {
            return Err(self.expected("a number, a duration, step(), range(), min_of() or max_of()"));
        }
        self.advance()?;
        let open = self.expect(TokenKind::LeftParen, "\"(\"")?;
        if name == "step" || name == "range" {
            self.expect_closing(TokenKind::RightParen, ")", open)?;
            let span = self.span_from(word.span.start);
            return Ok(if name == "step" { DurationExpr::Step(span) } else { DurationExpr::Range(span) });
        }
        let first = self.nested(|parser| parser.duration(0))?;
        self.expect(TokenKind::Comma, "\",\" between two durations")?;
        let second = self.nested(|parser| parser.duration(0))?;
        self.expect_closing(TokenKind::RightParen, ")", open)?;
        let span = self.span_from(word.span.start);
        let (first, second) = (Box::new(first), Box::new(second));
        Ok(match name.as_str() {
            "min_of" => DurationExpr::MinOf(first, second, span),
            _ => DurationExpr::MaxOf(first, second, span),
        })
    }
}

fn is_arithmetic(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Pow
    )
}

fn is_zero(duration: &DurationExpr) -> bool {
    matches!(duration, DurationExpr::Literal(literal, _) if literal.value == 0.0)
}

/// A division by zero in a duration.
#[derive(Debug)]
pub(crate) struct ZeroDivisor {
    op: BinaryOp,
    /// Where it is.
    pub span: Span,
}

impl ZeroDivisor {
    /// What is wrong.
    pub fn message(&self) -> String {
        let what = if self.op == BinaryOp::Mod { "modulo" } else { "division" };
        format!("{what} by zero")
    }
}

impl DurationExpr {
    /// Its position in the query.
    pub fn span(&self) -> Span {
        match self {
            DurationExpr::Literal(_, span)
            | DurationExpr::Step(span)
            | DurationExpr::Range(span)
            | DurationExpr::MinOf(_, _, span)
            | DurationExpr::MaxOf(_, _, span)
            | DurationExpr::Unary(_, _, span)
            | DurationExpr::Binary(_, _, _, span)
            | DurationExpr::Paren(_, span) => *span,
        }
    }

    /// Its value in seconds for a query with this step and this length, both in seconds and both 0 in an instant query.
    /// It may be negative, infinite or NaN; NaN if it divides by zero.
    pub fn seconds(&self, step: f64, range: f64) -> f64 {
        self.evaluate(step, range).unwrap_or(f64::NAN)
    }

    /// Like [`DurationExpr::seconds`].
    ///
    /// # Errors
    /// It divides by zero.
    pub(crate) fn evaluate(&self, step: f64, range: f64) -> Result<f64, ZeroDivisor> {
        Ok(match self {
            DurationExpr::Literal(literal, _) => literal.value,
            DurationExpr::Step(_) => step,
            DurationExpr::Range(_) => range,
            DurationExpr::MinOf(a, b, _) => {
                one_float::min(a.evaluate(step, range)?, b.evaluate(step, range)?)
            }
            DurationExpr::MaxOf(a, b, _) => {
                one_float::max(a.evaluate(step, range)?, b.evaluate(step, range)?)
            }
            DurationExpr::Unary(UnaryOp::Plus, inner, _) | DurationExpr::Paren(inner, _) => {
                inner.evaluate(step, range)?
            }
            DurationExpr::Unary(UnaryOp::Minus, inner, _) => -inner.evaluate(step, range)?,
            DurationExpr::Binary(op, a, b, span) => {
                let (a, b) = (a.evaluate(step, range)?, b.evaluate(step, range)?);
                match op {
                    BinaryOp::Add => a + b,
                    BinaryOp::Sub => a - b,
                    BinaryOp::Mul => a * b,
                    BinaryOp::Div | BinaryOp::Mod if b == 0.0 => {
                        return Err(ZeroDivisor { op: *op, span: *span });
                    }
                    BinaryOp::Div => a / b,
                    BinaryOp::Mod => a % b,
                    BinaryOp::Pow => a.powf(b),
                    // The parser accepts no other operator in a duration.
                    _ => f64::NAN,
                }
            }
        })
    }

    /// Whether the value depends on the step or the length of the query.
    pub fn depends_on_query(&self) -> bool {
        match self {
            DurationExpr::Literal(..) => false,
            DurationExpr::Step(_) | DurationExpr::Range(_) => true,
            DurationExpr::MinOf(a, b, _)
            | DurationExpr::MaxOf(a, b, _)
            | DurationExpr::Binary(_, a, b, _) => a.depends_on_query() || b.depends_on_query(),
            DurationExpr::Unary(_, inner, _) | DurationExpr::Paren(inner, _) => inner.depends_on_query(),
        }
    }
}
