//! From a tree back to text, on one line, or on several if one would be too long.
//!
//! The printed text parses to an equal tree. The tree contains parentheses where they were written; for trees that were
//! built in other ways, the printer adds the necessary ones.
//!
//! All printing goes through [`Printer`], which writes to any [`fmt::Write`]. A second sink, [`Columns`], only counts
//! and stops at the limit, so that checking whether a node fits on a line costs at most one line's width.

use std::fmt::{self, Write};

use barograph_engine::model::{METRIC_NAME, MatchOp, Matcher};

use crate::functions::aggregates;
use crate::syntax::ast::{
    Aggregate, AtModifier, Binary, BinaryOp, Cardinality, DurationExpr, Expr, ExprKind, Grouping,
    MatchLabels, NamedArg, NamedLiteral, NumberLiteral, Selector, Subquery, TimeModifiers, VectorMatching,
};
use crate::syntax::literal::UNITS;
use crate::syntax::precedence::{UNARY_BINDING, binding};

/// [`pretty`] breaks lines longer than this, bytes.
const LINE_MAX: usize = 100;

/// The modifier after a call or a binary expression in parentheses.
const KEEP_NAMES: &str = " keep_metric_names";

/// A precedence above that of every operator.
const PRIMARY: u8 = u8::MAX;

/// The query on one line, in the canonical form.
pub fn print(expr: &Expr) -> String {
    let mut text = String::new();
    Printer { out: &mut text }.expr(expr).expect("writing to a string does not fail");
    text
}

/// The query in canonical form, broken into indented lines if one line would be longer than 100 bytes.
pub fn pretty(expr: &Expr) -> String {
    let mut text = String::new();
    lines(&mut text, expr, 0).expect("writing to a string does not fail");
    text
}

/// A duration in the format of queries: `1h30m`.
pub(crate) fn duration_text(seconds: f64) -> String {
    let mut text = String::new();
    Printer { out: &mut text }.duration_literal(seconds).expect("writing to a string does not fail");
    text
}

/// A sink that counts bytes and fails beyond [`LINE_MAX`].
struct Columns {
    used: usize,
}

impl Write for Columns {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.used += text.len();
        if self.used > LINE_MAX { Err(fmt::Error) } else { Ok(()) }
    }
}

fn fits_a_line(expr: &Expr) -> bool {
    Printer { out: &mut Columns { used: 0 } }.expr(expr).is_ok()
}

/// Writes `expr` from the start of a line, indented by `level`.
fn lines(out: &mut String, expr: &Expr, level: usize) -> fmt::Result {
    let indent = level * 2;
    write!(out, "{:indent$}", "")?;
    if fits_a_line(expr) {
        return Printer { out }.expr(expr);
    }
    match &expr.kind {
        ExprKind::Paren(inner) if keeps_names(inner) => {
            out.truncate(out.len() - indent);
            lines(out, inner, level)
        }
        ExprKind::Paren(inner) => {
            out.push_str("(\n");
            lines(out, inner, level + 1)?;
            write!(out, "\n{:indent$})", "")
        }
        ExprKind::Call(call) => {
            out.push_str(call.function.name);
            argument_lines(out, call.args.iter(), &call.named, level)?;
            out.push_str(if call.keep_names { KEEP_NAMES } else { "" });
            Ok(())
        }
        ExprKind::Aggregate(aggregate) => {
            Printer { out }.aggregate_head(aggregate)?;
            argument_lines(out, aggregate_args(aggregate), &[], level)
        }
        ExprKind::Binary(binary) if binary.keep_names => {
            out.push_str("(\n");
            binary_lines(out, binary, level + 1)?;
            write!(out, "\n{:indent$}){KEEP_NAMES}", "")
        }
        ExprKind::Binary(binary) => {
            out.truncate(out.len() - indent);
            binary_lines(out, binary, level)
        }
        ExprKind::Unary(unary) => {
            out.push_str(unary.op.as_str());
            let start = out.len();
            operand_lines(out, &unary.expr, level, unless_sign(&unary.expr, UNARY_BINDING))?;
            let blanks = out[start..].len() - out[start..].trim_start().len();
            out.replace_range(start..start + blanks, "");
            Ok(())
        }
        ExprKind::Subquery(subquery) => {
            out.truncate(out.len() - indent);
            operand_lines(out, &subquery.expr, level, PRIMARY)?;
            Printer { out }.subquery_suffix(subquery)
        }
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Selector(_) | ExprKind::Range(_) => {
            Printer { out }.expr(expr)
        }
    }
}

/// The operands with the operator, which is indented less, between them.
fn binary_lines(out: &mut String, binary: &Binary, level: usize) -> fmt::Result {
    let indent = level * 2;
    operand_lines(out, &binary.lhs, level + 1, left_min(binary.op))?;
    write!(out, "\n{:indent$}", "")?;
    Printer { out }.operator(binary)?;
    out.push('\n');
    operand_lines(out, &binary.rhs, level + 1, unless_sign(&binary.rhs, right_min(binary.op)))
}

/// The parameters of an aggregation and the expression that is aggregated.
fn aggregate_args(aggregate: &Aggregate) -> impl Iterator<Item = &Expr> {
    let param = aggregate.param.iter().map(AsRef::as_ref);
    param.chain(&aggregate.more).chain(std::iter::once(aggregate.expr.as_ref()))
}

/// Whether an expression prints its own parentheses, with `keep_metric_names` after them.
fn keeps_names(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Binary(binary) if binary.keep_names)
}

/// `(`, the arguments on separate lines, `)`.
fn argument_lines<'e>(
    out: &mut String,
    args: impl Iterator<Item = &'e Expr>,
    named: &[NamedArg],
    level: usize,
) -> fmt::Result {
    out.push('(');
    let mut separator = "\n";
    for arg in args {
        out.push_str(separator);
        lines(out, arg, level + 1)?;
        separator = ",\n";
    }
    let indent = level * 2;
    for arg in named {
        write!(out, "{separator}{:indent$}  ", "")?;
        Printer { out: &mut *out }.named(arg)?;
        separator = ",\n";
    }
    write!(out, "\n{:indent$})", "")
}

/// An operand, with parentheses if its precedence is below `binding_min`.
fn operand_lines(out: &mut String, expr: &Expr, level: usize, binding_min: u8) -> fmt::Result {
    if expr_binding(expr) >= binding_min {
        return lines(out, expr, level);
    }
    let indent = level * 2;
    writeln!(out, "{:indent$}(", "")?;
    lines(out, expr, level + 1)?;
    write!(out, "\n{:indent$})", "")
}

/// The minimum precedence of the left side of `op` without parentheses.
fn left_min(op: BinaryOp) -> u8 {
    if op == BinaryOp::Pow { binding(op) + 1 } else { binding(op) }
}

/// The minimum precedence of the right side of `op` without parentheses.
fn right_min(op: BinaryOp) -> u8 {
    if op == BinaryOp::Pow { binding(op) } else { binding(op) + 1 }
}

/// A sign always belongs to its operand, so it needs no parentheses to the right of an operator or of another sign.
fn unless_sign(expr: &Expr, binding_min: u8) -> u8 {
    if matches!(expr.kind, ExprKind::Unary(_)) { 0 } else { binding_min }
}

fn expr_binding(expr: &Expr) -> u8 {
    match &expr.kind {
        ExprKind::Binary(binary) if !binary.keep_names => binding(binary.op),
        ExprKind::Unary(_) => UNARY_BINDING - 1,
        _ => PRIMARY,
    }
}

/// Writes the canonical form on one line.
struct Printer<'o, W> {
    out: &'o mut W,
}

impl<W: Write> Printer<'_, W> {
    fn expr(&mut self, expr: &Expr) -> fmt::Result {
        match &expr.kind {
            ExprKind::Number(literal) => self.number(literal),
            ExprKind::String(text) => self.quoted(text),
            ExprKind::Selector(selector) => {
                self.selector(selector)?;
                self.selector_suffix(selector)
            }
            ExprKind::Range(range) => {
                self.selector(&range.selector)?;
                self.out.write_char('[')?;
                self.duration(&range.range)?;
                self.out.write_char(']')?;
                self.selector_suffix(&range.selector)
            }
            ExprKind::Subquery(subquery) => {
                self.operand(&subquery.expr, PRIMARY)?;
                self.subquery_suffix(subquery)
            }
            ExprKind::Call(call) => {
                self.out.write_str(call.function.name)?;
                self.arguments(call.args.iter(), &call.named)?;
                self.out.write_str(if call.keep_names { KEEP_NAMES } else { "" })
            }
            ExprKind::Aggregate(aggregate) => {
                self.aggregate_head(aggregate)?;
                self.arguments(aggregate_args(aggregate), &[])
            }
            ExprKind::Binary(binary) if binary.keep_names => {
                self.out.write_char('(')?;
                self.binary(binary)?;
                write!(self.out, "){KEEP_NAMES}")
            }
            ExprKind::Binary(binary) => self.binary(binary),
            ExprKind::Unary(unary) => {
                self.out.write_str(unary.op.as_str())?;
                self.operand(&unary.expr, unless_sign(&unary.expr, UNARY_BINDING))
            }
            ExprKind::Paren(inner) if keeps_names(inner) => self.expr(inner),
            ExprKind::Paren(inner) => self.parenthesised(inner),
        }
    }

    fn binary(&mut self, binary: &Binary) -> fmt::Result {
        self.operand(&binary.lhs, left_min(binary.op))?;
        self.out.write_char(' ')?;
        self.operator(binary)?;
        self.out.write_char(' ')?;
        self.operand(&binary.rhs, unless_sign(&binary.rhs, right_min(binary.op)))
    }

    fn operand(&mut self, expr: &Expr, binding_min: u8) -> fmt::Result {
        if expr_binding(expr) < binding_min { self.parenthesised(expr) } else { self.expr(expr) }
    }

    fn parenthesised(&mut self, expr: &Expr) -> fmt::Result {
        self.out.write_char('(')?;
        self.expr(expr)?;
        self.out.write_char(')')
    }

    fn arguments<'e>(&mut self, args: impl Iterator<Item = &'e Expr>, named: &[NamedArg]) -> fmt::Result {
        let mut separator = "(";
        let mut empty = true;
        for arg in args {
            self.out.write_str(separator)?;
            self.expr(arg)?;
            separator = ", ";
            empty = false;
        }
        for arg in named {
            self.out.write_str(separator)?;
            self.named(arg)?;
            separator = ", ";
            empty = false;
        }
        self.out.write_str(if empty { "()" } else { ")" })
    }

    /// `name=value`.
    fn named(&mut self, arg: &NamedArg) -> fmt::Result {
        self.out.write_str(arg.named.name)?;
        self.out.write_char('=')?;
        match &arg.value {
            NamedLiteral::Number(literal) => self.number(literal),
            NamedLiteral::Flag(flag) => write!(self.out, "{flag}"),
            NamedLiteral::Text(text) => self.quoted(text),
        }
    }

    /// `sum` or `sum by (a, b) `.
    fn aggregate_head(&mut self, aggregate: &Aggregate) -> fmt::Result {
        self.out.write_str(aggregates::of(aggregate.op).name)?;
        let (word, labels) = match &aggregate.grouping {
            Grouping::None => return Ok(()),
            Grouping::By(labels) => (" by ", labels),
            Grouping::Without(labels) => (" without ", labels),
        };
        self.out.write_str(word)?;
        self.labels(labels)?;
        self.out.write_char(' ')
    }

    /// The operator and the keywords after it.
    fn operator(&mut self, binary: &Binary) -> fmt::Result {
        self.out.write_str(binary.op.as_str())?;
        if binary.return_bool {
            self.out.write_str(" bool")?;
        }
        binary.matching.as_ref().map_or(Ok(()), |matching| self.matching(matching))
    }

    fn matching(&mut self, matching: &VectorMatching) -> fmt::Result {
        let (word, labels) = match &matching.labels {
            MatchLabels::On(labels) => (" on ", labels),
            MatchLabels::Ignoring(labels) => (" ignoring ", labels),
        };
        let group = match &matching.cardinality {
            Cardinality::GroupLeft(labels) => Some((" group_left ", labels)),
            Cardinality::GroupRight(labels) => Some((" group_right ", labels)),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if matching.explicit || group.is_some() {
            self.out.write_str(word)?;
            self.labels(labels)?;
        }
        if let Some((word, labels)) = group {
            self.out.write_str(word)?;
            self.labels(labels)?;
        }
        match (matching.fill_left, matching.fill_right) {
            (Some(left), Some(right)) if left.to_bits() == right.to_bits() => self.fill("fill", left),
            (left, right) => {
                left.map_or(Ok(()), |value| self.fill("fill_left", value))?;
                right.map_or(Ok(()), |value| self.fill("fill_right", value))
            }
        }
    }

    fn fill(&mut self, word: &str, value: f64) -> fmt::Result {
        write!(self.out, " {word} (")?;
        self.float(value)?;
        self.out.write_char(')')
    }

    fn labels(&mut self, labels: &[String]) -> fmt::Result {
        self.out.write_char('(')?;
        for (index, label) in labels.iter().enumerate() {
            if index > 0 {
                self.out.write_str(", ")?;
            }
            self.label(label)?;
        }
        self.out.write_char(')')
    }

    fn label(&mut self, label: &str) -> fmt::Result {
        if is_plain_label(label) { self.out.write_str(label) } else { self.quoted(label) }
    }

    fn selector(&mut self, selector: &Selector) -> fmt::Result {
        if let Some(name) = &selector.name {
            self.out.write_str(name)?;
        }
        let inside = &selector.matchers[usize::from(selector.name.is_some())..];
        if inside.is_empty() && selector.name.is_some() {
            return Ok(());
        }
        self.out.write_char('{')?;
        for (index, matcher) in inside.iter().enumerate() {
            if index > 0 {
                self.out.write_str(", ")?;
            }
            self.matcher(matcher)?;
        }
        self.out.write_char('}')
    }

    fn matcher(&mut self, matcher: &Matcher) -> fmt::Result {
        let is_name = matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal;
        // A name that needs quotes is written alone, as is usual.
        if is_name && !matcher.value.is_empty() && !is_plain_name(&matcher.value) {
            return self.quoted(&matcher.value);
        }
        self.label(&matcher.name)?;
        self.out.write_str(matcher.op.as_str())?;
        self.quoted(&matcher.value)
    }

    fn selector_suffix(&mut self, selector: &Selector) -> fmt::Result {
        let edges = selector.edges.as_str();
        if !edges.is_empty() {
            write!(self.out, " {edges}")?;
        }
        self.time_modifiers(&selector.modifiers)
    }

    fn subquery_suffix(&mut self, subquery: &Subquery) -> fmt::Result {
        self.out.write_char('[')?;
        self.duration(&subquery.range)?;
        self.out.write_char(':')?;
        if let Some(step) = &subquery.step {
            self.duration(step)?;
        }
        self.out.write_char(']')?;
        self.time_modifiers(&subquery.modifiers)
    }

    fn time_modifiers(&mut self, modifiers: &TimeModifiers) -> fmt::Result {
        if modifiers.at_first {
            self.at(modifiers)?;
            return self.offset(modifiers);
        }
        self.offset(modifiers)?;
        self.at(modifiers)
    }

    fn at(&mut self, modifiers: &TimeModifiers) -> fmt::Result {
        match modifiers.at {
            None => Ok(()),
            Some(AtModifier::Start) => self.out.write_str(" @ start()"),
            Some(AtModifier::End) => self.out.write_str(" @ end()"),
            Some(AtModifier::Time(time_ms)) => {
                let sign = if time_ms < 0 { "-" } else { "" };
                let absolute = time_ms.unsigned_abs();
                write!(self.out, " @ {sign}{}.{:03}", absolute / 1000, absolute % 1000)
            }
        }
    }

    fn offset(&mut self, modifiers: &TimeModifiers) -> fmt::Result {
        let Some(offset) = &modifiers.offset else { return Ok(()) };
        self.out.write_str(" offset ")?;
        match offset {
            DurationExpr::Unary(op, inner, _) => {
                self.out.write_str(op.as_str())?;
                self.duration_operand(inner, PRIMARY)
            }
            other => self.duration_operand(other, PRIMARY),
        }
    }

    fn duration(&mut self, duration: &DurationExpr) -> fmt::Result {
        match duration {
            DurationExpr::Literal(literal, _) => self.number(literal),
            DurationExpr::Step(_) => self.out.write_str("step()"),
            DurationExpr::Range(_) => self.out.write_str("range()"),
            DurationExpr::MinOf(a, b, _) => self.two_durations("min_of", a, b),
            DurationExpr::MaxOf(a, b, _) => self.two_durations("max_of", a, b),
            DurationExpr::Unary(op, inner, _) => {
                self.out.write_str(op.as_str())?;
                let is_sign = matches!(**inner, DurationExpr::Unary(..));
                self.duration_operand(inner, if is_sign { 0 } else { UNARY_BINDING })
            }
            DurationExpr::Binary(op, a, b, _) => {
                self.duration_operand(a, left_min(*op))?;
                write!(self.out, " {} ", op.as_str())?;
                let is_sign = matches!(**b, DurationExpr::Unary(..));
                self.duration_operand(b, if is_sign { 0 } else { right_min(*op) })
            }
            DurationExpr::Paren(inner, _) => self.parenthesised_duration(inner),
        }
    }

    fn two_durations(&mut self, name: &str, a: &DurationExpr, b: &DurationExpr) -> fmt::Result {
        write!(self.out, "{name}(")?;
        self.duration(a)?;
        self.out.write_str(", ")?;
        self.duration(b)?;
        self.out.write_char(')')
    }

    fn duration_operand(&mut self, duration: &DurationExpr, binding_min: u8) -> fmt::Result {
        let binds = match duration {
            DurationExpr::Binary(op, ..) => binding(*op),
            DurationExpr::Unary(..) => UNARY_BINDING - 1,
            _ => PRIMARY,
        };
        if binds < binding_min { self.parenthesised_duration(duration) } else { self.duration(duration) }
    }

    fn parenthesised_duration(&mut self, duration: &DurationExpr) -> fmt::Result {
        self.out.write_char('(')?;
        self.duration(duration)?;
        self.out.write_char(')')
    }

    fn number(&mut self, literal: &NumberLiteral) -> fmt::Result {
        if literal.is_duration { self.duration_literal(literal.value) } else { self.float(literal.value) }
    }

    fn float(&mut self, value: f64) -> fmt::Result {
        let sign = if value.is_sign_negative() && !value.is_nan() { "-" } else { "" };
        self.out.write_str(sign)?;
        let absolute = value.abs();
        if value.is_nan() {
            self.out.write_str("NaN")
        } else if value.is_infinite() {
            self.out.write_str("Inf")
        } else if absolute != 0.0 && !(1e-6..1e21).contains(&absolute) {
            write!(self.out, "{absolute:e}")
        } else {
            write!(self.out, "{absolute}")
        }
    }

    /// Years and weeks are used only if nothing remains, because `90d` is easier to read than `12w6d`.
    fn duration_literal(&mut self, seconds: f64) -> fmt::Result {
        if seconds < 0.0 {
            self.out.write_char('-')?;
        }
        let mut rest = (seconds.abs() * 1000.0).round() as u64;
        if rest == 0 {
            return self.out.write_str("0s");
        }
        for (unit, unit_ms) in UNITS {
            let whole_only = matches!(unit, "y" | "w");
            if rest < unit_ms || (whole_only && !rest.is_multiple_of(unit_ms)) {
                continue;
            }
            write!(self.out, "{}{unit}", rest / unit_ms)?;
            rest %= unit_ms;
        }
        Ok(())
    }

    /// A string in double quotes that parses back to `text`.
    fn quoted(&mut self, text: &str) -> fmt::Result {
        self.out.write_char('"')?;
        for character in text.chars() {
            match character {
                '"' => self.out.write_str("\\\"")?,
                '\\' => self.out.write_str("\\\\")?,
                '\n' => self.out.write_str("\\n")?,
                '\r' => self.out.write_str("\\r")?,
                '\t' => self.out.write_str("\\t")?,
                _ if character.is_control() => write!(self.out, "\\u{:04x}", u32::from(character))?,
                _ => self.out.write_char(character)?,
            }
        }
        self.out.write_char('"')
    }
}

/// Whether a label name needs no quotes.
fn is_plain_label(name: &str) -> bool {
    is_plain_name(name) && !name.contains(':')
}

/// Whether a metric name needs no quotes.
fn is_plain_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests;
