//! How tightly operators bind: the parser groups by it, and the printer adds parentheses where it has to.

use crate::syntax::ast::BinaryOp;

/// The precedence of `*`.
const MULTIPLICATION: u8 = 7;

/// The minimum precedence of the operand of a sign: higher than that of `*`, so only `^`.
pub(super) const UNARY_BINDING: u8 = MULTIPLICATION + 1;

/// The precedence of an operator; larger numbers bind tighter.
pub(super) fn binding(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Default => 1,
        BinaryOp::If | BinaryOp::IfNot => 2,
        BinaryOp::Or => 3,
        BinaryOp::And | BinaryOp::Unless => 4,
        BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Gt | BinaryOp::Le | BinaryOp::Ge => 5,
        BinaryOp::TrimUpper | BinaryOp::TrimLower => 5,
        BinaryOp::Add | BinaryOp::Sub => 6,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => MULTIPLICATION,
        BinaryOp::Pow => MULTIPLICATION + 1,
    }
}
