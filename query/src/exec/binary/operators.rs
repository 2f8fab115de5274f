//! Binary operators on numbers, histograms, and columns of both.

use std::sync::Arc;

use barograph_engine::model::Histogram;

use crate::annotations::flags::Flags;
use crate::annotations::{Annotations, note_flags};
use crate::histogram::{arithmetic, trim};
use crate::series::{ABSENT, Point, Points, is_absent};
use crate::span::Span;
use crate::syntax::ast::BinaryOp;

/// The result of a comparison that is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The left value.
    Left,
    /// The right value.
    Right,
    /// 1 if it is true, and 0 otherwise.
    Bool,
}

/// Problems with the operands, for annotations.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// Types of operands that the operator does not support: whether left and right are histograms.
    incompatible: Vec<(bool, bool)>,
    /// Exponential and custom buckets.
    layouts: bool,
    flags: Flags,
}

impl Noted {
    /// Adds the annotations about the operation at `span`.
    pub fn write(&self, annotations: &mut Annotations, op: BinaryOp, span: Span) {
        let text = op.as_str();
        let kind = |is_histogram| if is_histogram { "histogram" } else { "float" };
        for &(l, r) in &self.incompatible {
            annotations.info(
                span,
                format!(
                    "incompatible sample types encountered for binary operator {text:?}: {} {text} {}",
                    kind(l),
                    kind(r)
                ),
            );
        }
        if self.layouts {
            annotations
                .warn(span, format!("incompatible bucket layout encountered for binary operator {text}"));
        }
        note_flags(annotations, self.flags, "", span);
    }

    fn refuse(&mut self, left: &Point, right: &Point) -> Option<Point> {
        let types = (matches!(left, Point::Histogram(_)), matches!(right, Point::Histogram(_)));
        if !self.incompatible.contains(&types) {
            self.incompatible.push(types);
        }
        None
    }
}

/// The operator on two scalars; comparisons give 0 or 1.
pub(crate) fn scalar(op: BinaryOp, l: f64, r: f64) -> f64 {
    match op {
        BinaryOp::Pow => pow(l, r),
        BinaryOp::Mul => l * r,
        BinaryOp::Div => l / r,
        BinaryOp::Mod => l % r,
        BinaryOp::Atan2 => l.atan2(r),
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Eq => f64::from(u8::from(l == r)),
        BinaryOp::Ne => f64::from(u8::from(l != r)),
        BinaryOp::Lt => f64::from(u8::from(l < r)),
        BinaryOp::Gt => f64::from(u8::from(l > r)),
        BinaryOp::Le => f64::from(u8::from(l <= r)),
        BinaryOp::Ge => f64::from(u8::from(l >= r)),
        _ => f64::NAN,
    }
}

/// Multiplication is exact for small whole exponents, where `powf` may be off by an ulp.
fn pow(l: f64, r: f64) -> f64 {
    l.powf(r)
}

/// The operator on two columns, step by step.
pub(crate) fn combine(op: BinaryOp, l: &Points, r: &Points, keep: Keep, noted: &mut Noted) -> Points {
    if l.histograms.is_none() && r.histograms.is_none() {
        let floats = float_column(op, &l.floats, &r.floats, keep, noted);
        return Points { floats, histograms: None };
    }
    let mut points = Points::absent(l.len());
    for i in 0..l.len() {
        if let (Some(a), Some(b)) = (l.get(i), r.get(i)) {
            points.set(i, element(op, &a, &b, keep, noted));
        }
    }
    points
}

/// One loop for each operator, so that the compiler sees plain arithmetic.
fn float_column(op: BinaryOp, l: &[f64], r: &[f64], keep: Keep, noted: &mut Noted) -> Vec<f64> {
    match op {
        BinaryOp::Add => arithmetic_loop(l, r, |a, b| a + b),
        BinaryOp::Sub => arithmetic_loop(l, r, |a, b| a - b),
        BinaryOp::Mul => arithmetic_loop(l, r, |a, b| a * b),
        BinaryOp::Div => arithmetic_loop(l, r, |a, b| a / b),
        BinaryOp::Mod => arithmetic_loop(l, r, |a, b| a % b),
        BinaryOp::Pow => arithmetic_loop(l, r, pow),
        BinaryOp::Atan2 => arithmetic_loop(l, r, f64::atan2),
        BinaryOp::Eq => comparison_loop(l, r, keep, |a, b| a == b),
        BinaryOp::Ne => comparison_loop(l, r, keep, |a, b| a != b),
        BinaryOp::Lt => comparison_loop(l, r, keep, |a, b| a < b),
        BinaryOp::Gt => comparison_loop(l, r, keep, |a, b| a > b),
        BinaryOp::Le => comparison_loop(l, r, keep, |a, b| a <= b),
        BinaryOp::Ge => comparison_loop(l, r, keep, |a, b| a >= b),
        _ => {
            if l.iter().zip(r).any(|(a, b)| !is_absent(*a) && !is_absent(*b)) {
                noted.refuse(&Point::Float(0.0), &Point::Float(0.0));
            }
            vec![ABSENT; l.len()]
        }
    }
}

fn arithmetic_loop(l: &[f64], r: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    l.iter().zip(r).map(|(&a, &b)| if is_absent(a) || is_absent(b) { ABSENT } else { f(a, b) }).collect()
}

fn comparison_loop(l: &[f64], r: &[f64], keep: Keep, holds: impl Fn(f64, f64) -> bool) -> Vec<f64> {
    let value = |(&a, &b): (&f64, &f64)| {
        if is_absent(a) || is_absent(b) {
            return ABSENT;
        }
        match (keep, holds(a, b)) {
            (Keep::Bool, true) => 1.0,
            (Keep::Bool, false) => 0.0,
            (_, false) => ABSENT,
            (Keep::Left, true) => a,
            (Keep::Right, true) => b,
        }
    };
    l.iter().zip(r).map(value).collect()
}

/// The operator on two values of any kind.
fn element(op: BinaryOp, l: &Point, r: &Point, keep: Keep, noted: &mut Noted) -> Option<Point> {
    match (l, r) {
        (Point::Float(a), Point::Float(b)) => {
            let v = float_column(op, &[*a], &[*b], keep, noted)[0];
            (!is_absent(v)).then_some(Point::Float(v))
        }
        (Point::Histogram(h), Point::Float(v)) => match op {
            BinaryOp::Mul => histogram(arithmetic::scaled(h, *v)),
            BinaryOp::Div => histogram(arithmetic::divided(h, *v)),
            BinaryOp::TrimUpper => histogram(trim::below(h, *v)),
            BinaryOp::TrimLower => histogram(trim::above(h, *v)),
            _ => noted.refuse(l, r),
        },
        (Point::Float(v), Point::Histogram(h)) if op == BinaryOp::Mul => histogram(arithmetic::scaled(h, *v)),
        (Point::Histogram(a), Point::Histogram(b)) => histograms(op, a, b, keep, noted),
        _ => noted.refuse(l, r),
    }
}

fn histogram(h: Histogram) -> Option<Point> {
    Some(Point::Histogram(Arc::new(h)))
}

fn histograms(
    op: BinaryOp,
    a: &Arc<Histogram>,
    b: &Arc<Histogram>,
    keep: Keep,
    noted: &mut Noted,
) -> Option<Point> {
    let result = match op {
        BinaryOp::Add => arithmetic::sum(a, b, &mut noted.flags),
        BinaryOp::Sub => arithmetic::difference(a, b, &mut noted.flags),
        BinaryOp::Eq | BinaryOp::Ne => {
            let holds = arithmetic::equal(a, b) == (op == BinaryOp::Eq);
            return match (keep, holds) {
                (Keep::Bool, holds) => Some(Point::Float(f64::from(u8::from(holds)))),
                (_, false) => None,
                (Keep::Left, true) => Some(Point::Histogram(Arc::clone(a))),
                (Keep::Right, true) => Some(Point::Histogram(Arc::clone(b))),
            };
        }
        _ => return noted.refuse(&Point::Histogram(Arc::clone(a)), &Point::Histogram(Arc::clone(b))),
    };
    if result.is_none() {
        noted.layouts = true;
    }
    result.and_then(histogram)
}
