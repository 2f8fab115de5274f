//! Binary operators: their table, and the keywords that may follow one.

use super::{Parser, Tree};
use crate::functions::ValueType;
use crate::span::Span;
use crate::syntax::ast::{
    Binary, BinaryOp, Cardinality, Expr, ExprKind, MatchLabels, UnaryOp, VectorMatching,
};
use crate::syntax::check;
use crate::syntax::lexer::{Fault, Parsed, TokenKind};
use crate::syntax::precedence::binding;

/// An operator and its precedence; larger numbers bind tighter.
#[derive(Clone, Copy)]
pub(super) struct Operator {
    op: BinaryOp,
    pub(super) binding: u8,
}

impl Operator {
    pub(super) fn op(self) -> BinaryOp {
        self.op
    }
}

/// The operators that are words, in any case.
pub(super) const OPERATOR_WORDS: [(&str, BinaryOp); 7] = [
    ("and", BinaryOp::And),
    ("or", BinaryOp::Or),
    ("unless", BinaryOp::Unless),
    ("atan2", BinaryOp::Atan2),
    ("default", BinaryOp::Default),
    ("if", BinaryOp::If),
    ("ifnot", BinaryOp::IfNot),
];

/// The keywords after an operator, before they are checked.
#[derive(Default)]
struct Modifiers {
    return_bool: bool,
    labels: Option<MatchLabels>,
    cardinality: Option<Cardinality>,
    fill_left: Option<f64>,
    fill_right: Option<f64>,
}

impl Parser<'_> {
    /// The current token as a binary operator.
    pub(super) fn operator(&self) -> Option<Operator> {
        let op = match self.token.kind {
            TokenKind::Plus => BinaryOp::Add,
            TokenKind::Minus => BinaryOp::Sub,
            TokenKind::Star => BinaryOp::Mul,
            TokenKind::Slash => BinaryOp::Div,
            TokenKind::Percent => BinaryOp::Mod,
            TokenKind::Caret => BinaryOp::Pow,
            TokenKind::Equal => BinaryOp::Eq,
            TokenKind::NotEqual => BinaryOp::Ne,
            TokenKind::Less => BinaryOp::Lt,
            TokenKind::LessEqual => BinaryOp::Le,
            TokenKind::Greater => BinaryOp::Gt,
            TokenKind::GreaterEqual => BinaryOp::Ge,
            TokenKind::TrimUpper => BinaryOp::TrimUpper,
            TokenKind::TrimLower => BinaryOp::TrimLower,
            TokenKind::Word => self.operator_word()?,
            _ => return None,
        };
        Some(Operator { op, binding: binding(op) })
    }

    fn operator_word(&self) -> Option<BinaryOp> {
        let text = self.token_text(self.token);
        OPERATOR_WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|&(_, op)| op)
    }

    /// Parses the rest of a binary expression after `left`: the operator, which is the current token, and its right
    /// side.
    pub(super) fn binary(&mut self, left: Tree, operator: Operator) -> Parsed<Tree> {
        let Operator { op, binding } = operator;
        let op_span = self.advance()?.span;
        let modifiers = self.modifiers()?;
        // Only `^` is right-associative.
        let right_min = if op == BinaryOp::Pow { binding } else { binding + 1 };
        let right = self.nested(|parser| parser.expression(right_min))?;
        let span = left.expr.span.to(right.expr.span);
        let return_bool = modifiers.return_bool;
        let types = (left.value_type, right.value_type);
        check::operands(op, return_bool, types, (op_span, left.expr.span, right.expr.span))?;
        let vectors = types == (ValueType::InstantVector, ValueType::InstantVector);
        let matching = if vectors {
            Some(matching(op, modifiers))
        } else {
            check_no_matching(&modifiers, op_span)?;
            None
        };
        if let Some(matching) = &matching {
            check::matching(op, matching, op_span)?;
        }
        let scalars = types == (ValueType::Scalar, ValueType::Scalar);
        let value_type = if scalars { ValueType::Scalar } else { ValueType::InstantVector };
        let height = self.height_above(left.height.max(right.height), op_span)?;
        let (lhs, rhs) = (Box::new(left.expr), Box::new(right.expr));
        let kind =
            ExprKind::Binary(Binary { op, op_span, lhs, rhs, return_bool, matching, keep_names: false });
        Ok(Tree { expr: Expr { kind, span }, value_type, height })
    }

    /// `[bool] [on|ignoring (…) [group_left|group_right [(…)]]] [fill…(x)]`
    fn modifiers(&mut self) -> Parsed<Modifiers> {
        let mut modifiers = Modifiers::default();
        if self.token.kind != TokenKind::Word {
            return Ok(modifiers);
        }
        if self.at_keyword("bool") {
            self.advance()?;
            modifiers.return_bool = true;
        }
        if self.at_keyword("on") {
            self.advance()?;
            modifiers.labels = Some(MatchLabels::On(self.label_list()?));
        } else if self.at_keyword("ignoring") {
            self.advance()?;
            modifiers.labels = Some(MatchLabels::Ignoring(self.label_list()?));
        }
        if self.at_keyword("group_left") || self.at_keyword("group_right") {
            if modifiers.labels.is_none() {
                return Err(self.expected("\"on\" or \"ignoring\" before it"));
            }
            let left = self.at_keyword("group_left");
            self.advance()?;
            let labels =
                if self.token.kind == TokenKind::LeftParen { self.label_list()? } else { Vec::new() };
            let cardinality = if left { Cardinality::GroupLeft } else { Cardinality::GroupRight };
            modifiers.cardinality = Some(cardinality(labels));
        }
        self.fill(&mut modifiers)?;
        Ok(modifiers)
    }

    /// `fill(x)`, or `fill_left(x)` and `fill_right(x)`, each at most once. Without a parenthesis after them, these
    /// words are metric names.
    fn fill(&mut self, modifiers: &mut Modifiers) -> Parsed<()> {
        while self.token.kind == TokenKind::Word && self.peek_kind() == Some(TokenKind::LeftParen) {
            let (left, right) = match self.token_text(self.token).to_ascii_lowercase().as_str() {
                "fill" => (true, true),
                "fill_left" => (true, false),
                "fill_right" => (false, true),
                _ => break,
            };
            if (left && modifiers.fill_left.is_some()) || (right && modifiers.fill_right.is_some()) {
                return Err(Fault::new(self.token.span, "each side may be filled only once"));
            }
            self.advance()?;
            let value = self.fill_value()?;
            if left {
                modifiers.fill_left = Some(value);
            }
            if right {
                modifiers.fill_right = Some(value);
            }
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        let open = self.expect(TokenKind::LeftParen, "\"(\"")?;
        let value = self.signed_number()?;
        self.expect_closing(TokenKind::RightParen, ")", open)?;
        Ok(value)
    }

    /// A number or duration with at most one sign.
    pub(super) fn signed_number(&mut self) -> Parsed<f64> {
        let sign = self.sign()?;
        let (literal, _) = self.number_or_duration()?;
        Ok(if sign == Some(UnaryOp::Minus) { -literal.value } else { literal.value })
    }

    /// Consumes a sign, if the current token is one.
    pub(super) fn sign(&mut self) -> Parsed<Option<UnaryOp>> {
        let sign = match self.token.kind {
            TokenKind::Plus => UnaryOp::Plus,
            TokenKind::Minus => UnaryOp::Minus,
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some(sign))
    }
}

fn matching(op: BinaryOp, modifiers: Modifiers) -> VectorMatching {
    let one = if check::is_many_to_many(op) { Cardinality::ManyToMany } else { Cardinality::OneToOne };
    VectorMatching {
        explicit: modifiers.labels.is_some(),
        labels: modifiers.labels.unwrap_or(MatchLabels::Ignoring(Vec::new())),
        cardinality: modifiers.cardinality.unwrap_or(one),
        fill_left: modifiers.fill_left,
        fill_right: modifiers.fill_right,
    }
}

/// Checks that, unless both sides are vectors, `on()` and `ignoring()` appear only without labels, where they have no
/// effect.
fn check_no_matching(modifiers: &Modifiers, op_span: Span) -> Parsed<()> {
    let labelled = match &modifiers.labels {
        Some(MatchLabels::On(labels) | MatchLabels::Ignoring(labels)) => !labels.is_empty(),
        None => false,
    };
    if labelled || modifiers.cardinality.is_some() {
        return Err(Fault::new(op_span, "vector matching only allowed between instant vectors"));
    }
    if modifiers.fill_left.is_some() || modifiers.fill_right.is_some() {
        return Err(Fault::new(op_span, "filling in missing series only allowed between instant vectors"));
    }
    Ok(())
}
