//! Calls that stand for other queries ([`Expansion`]): windows that are an argument, and templates of the table.
//!
//! A template is filled with the printed arguments and parsed like any other text. All its nodes have the span of the
//! call, because they are nowhere in the text of the query.

use super::template::EXPANSION_BYTES_MAX;
use super::{Parser, Tree};
use crate::functions::expansion::{Expansion, When};
use crate::functions::named::NamedValue;
use crate::functions::{Function, ValueType};
use crate::span::Span;
use crate::syntax::ast::{
    DurationExpr, Expr, ExprKind, NamedArg, NumberLiteral, RangeSelector, Selector, Subquery, TimeModifiers,
};
use crate::syntax::lexer::{Fault, Parsed};
use crate::syntax::{check, literal, print};

/// The highlighted span is preceded by this many times its length.
const BASELINE: f64 = 4.0;

/// The arguments of a call that is being parsed.
pub(super) struct Given {
    pub function: &'static Function,
    pub args: Vec<Expr>,
    /// The types of the arguments.
    pub types: Vec<ValueType>,
    pub named: Vec<NamedArg>,
    pub span: Span,
}

impl Parser<'_> {
    /// Gives windows to arguments, or returns the query that replaces the call.
    pub(super) fn expand_call(&mut self, given: &mut Given) -> Parsed<Option<Tree>> {
        match given.function.expansion {
            None => return Ok(None),
            Some(Expansion::Window) => {
                if let Some(window) = given.args.get(2) {
                    let seconds = literal_seconds(given.function, window)?;
                    given.refuse_ranges(window.span)?;
                    given.give_windows(2, seconds);
                    given.args.truncate(2);
                    given.types.truncate(2);
                }
            }
            Some(Expansion::Highlight) => given.highlight()?,
            Some(Expansion::Query(when, parts)) => return self.query_of(given, when, parts),
        }
        for (index, (argument, value_type)) in given.args.iter().zip(&given.types).enumerate() {
            check::argument(given.function, index, argument, *value_type)?;
        }
        Ok(None)
    }

    fn query_of(&mut self, given: &Given, when: When, parts: &[&str]) -> Parsed<Option<Tree>> {
        let (name, span) = (given.function.name, given.span);
        if !when.holds(given.args.len(), given.named.iter().map(|arg| arg.named.name)) {
            let Some(unused) = given.named.first() else { return Ok(None) };
            let message = format!("argument {:?} of {name:?} needs {}", unused.named.name, when.text());
            return Err(Fault::new(unused.span, message));
        }
        let parts: Vec<String> =
            parts.iter().filter_map(|part| given.fill(part).transpose()).collect::<Parsed<_>>()?;
        let text = if parts.len() == 1 { parts.concat() } else { format!("union({})", parts.join(", ")) };
        if text.len() as u64 > EXPANSION_BYTES_MAX {
            let message =
                format!("{name:?} expands to more than {EXPANSION_BYTES_MAX} bytes: shorten its selectors");
            return Err(Fault::new(span, message));
        }
        self.expressions.take_text(text.len() as u64).map_err(|error| Fault::of(span, error))?;
        let nesting = self.nesting;
        let parsed = self.nested(|parser| {
            let mut inner = Parser::new(&text, parser.expressions)?;
            inner.nesting = nesting + 1;
            let tree = inner.expression(0)?;
            inner.count()?;
            Ok(tree)
        });
        let mut tree = parsed.map_err(|fault| {
            let message = format!("{} (in what {name:?} stands for: {text})", fault.message);
            Box::new(Fault { span, message, ..*fault })
        })?;
        respan(&mut tree.expr, span);
        Ok(Some(self.as_operand(tree, span)?))
    }
}

impl Given {
    /// Refuses a window, which has this span, if one of the first two arguments is a range vector.
    fn refuse_ranges(&self, span: Span) -> Parsed<()> {
        let Some(index) = self.types.iter().take(2).position(|of| *of == ValueType::RangeVector) else {
            return Ok(());
        };
        let (which, name) = (["first", "second"][index], self.function.name);
        let message = format!(
            "the {which} argument of {name:?} has a range already: leave out the range or the window"
        );
        Err(Fault::new(span, message))
    }

    /// Turns the first arguments into range vectors.
    fn give_windows(&mut self, count: usize, seconds: f64) {
        for (argument, value_type) in self.args.iter_mut().zip(&mut self.types).take(count) {
            if *value_type == ValueType::InstantVector {
                *argument = with_window(argument, seconds);
                *value_type = ValueType::RangeVector;
            }
        }
    }

    /// Gives the window of `metric_correlations`.
    fn highlight(&mut self) -> Parsed<()> {
        let baseline = self.named.iter().position(|arg| arg.named.name == "baseline");
        let baseline = baseline.map(|place| self.named.remove(place));
        if self.types.first() != Some(&ValueType::InstantVector) {
            return match baseline {
                None => Ok(()),
                Some(baseline) => Err(Fault::new(
                    baseline.span,
                    format!(
                        "the window of the first argument of {:?} includes the baseline: leave out the window or \"baseline\"",
                        self.function.name
                    ),
                )),
            };
        }
        let Some(highlight) = self.args.get(1) else { return Ok(()) };
        let highlight = literal_seconds(self.function, highlight)?;
        let given = baseline.and_then(|arg| check::named_value(arg.named, &arg.value).ok());
        let baseline =
            if let Some(NamedValue::Number(seconds)) = given { seconds } else { BASELINE * highlight };
        self.give_windows(1, highlight + baseline);
        Ok(())
    }

    /// A part of a template with the arguments in it; `None` if it needs a numbered argument that is not given.
    fn fill(&self, part: &str) -> Parsed<Option<String>> {
        let mut text = String::new();
        let mut pieces = part.split('$');
        text.push_str(pieces.next().unwrap_or_default());
        while let Some(piece) = pieces.next() {
            let (name, rest) =
                piece.split_at(piece.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(piece.len()));
            let Ok(number) = name.parse::<usize>() else {
                let after = rest.strip_prefix(LE);
                text.push_str(&self.fill_name(name, after.is_some())?);
                text.push_str(after.unwrap_or(rest));
                continue;
            };
            let Some(argument) = self.args.get(number - 1) else { return Ok(None) };
            if !rest.starts_with('[') {
                text.push_str(&print::print(argument));
                text.push_str(rest);
                continue;
            }
            // `$1[5m]`, or `$1[` and the name of the window in the next piece.
            let inside = if rest == "[" { pieces.next().unwrap_or_default() } else { &rest[1..] };
            let (window, after) = inside.split_once(']').unwrap_or((inside, ""));
            let range = with_window(self.selector(argument)?, self.window(window)?);
            text.push_str(&print::print(&range));
            text.push_str(after);
        }
        Ok(Some(text))
    }

    /// The text for `$by`, `$labels`, or the name of a window.
    fn fill_name(&self, name: &str, has_le: bool) -> Parsed<String> {
        let given = self.named.iter().find(|arg| arg.named.name == "by");
        let given = given.and_then(|arg| check::named_value(arg.named, &arg.value).ok());
        let mut labels = if let Some(NamedValue::Labels(labels)) = given { labels } else { Vec::new() };
        if has_le {
            labels.push("le".to_owned());
        }
        Ok(match name {
            "by" if labels.is_empty() => String::new(),
            "by" => format!(" by ({}) ", labels.join(", ")),
            "labels" => labels.join(", "),
            _ => print::duration_text(self.window(name)?),
        })
    }

    /// The seconds of a window: a duration, the number of an argument, or the name of one.
    fn window(&self, text: &str) -> Parsed<f64> {
        if let Ok(seconds) = literal::duration(text, self.span) {
            return Ok(seconds);
        }
        if let Some(argument) = text.parse::<usize>().ok().and_then(|number| self.args.get(number - 1)) {
            return literal_seconds(self.function, argument);
        }
        let given = self.named.iter().find(|arg| arg.named.name == text);
        let given = given.and_then(|arg| check::named_value(arg.named, &arg.value).ok());
        if let Some(NamedValue::Number(seconds)) = given {
            return Ok(seconds);
        }
        let named = self.function.options().find(|named| named.name == text);
        literal::duration(named.map_or("", |named| named.default), self.span)
    }

    fn selector<'a>(&self, argument: &'a Expr) -> Parsed<&'a Expr> {
        match &argument.kind {
            ExprKind::Paren(inner) => self.selector(inner),
            ExprKind::Selector(_) => Ok(argument),
            _ => {
                let message = format!(
                    "{:?} computes rates over windows of its own and takes a selector here, such as requests_total{{job=\"api\"}}",
                    self.function.name
                );
                Err(Fault::new(argument.span, message))
            }
        }
    }
}

/// After `$by`: the groups have the label of histograms too.
const LE: &str = ",le";

/// The seconds of an argument that must be a literal.
fn literal_seconds(function: &Function, argument: &Expr) -> Parsed<f64> {
    match &argument.kind {
        ExprKind::Paren(inner) => literal_seconds(function, inner),
        ExprKind::Number(NumberLiteral { value, .. }) if *value > 0.0 && value.is_finite() => Ok(*value),
        _ => {
            let message = format!("the window of {:?} must be a duration such as 6h", function.name);
            Err(Fault::new(argument.span, message))
        }
    }
}

/// An instant vector over a window: `x` becomes `x[6h]`, and another expression a subquery.
fn with_window(argument: &Expr, seconds: f64) -> Expr {
    let span = argument.span;
    let range = DurationExpr::Literal(NumberLiteral { value: seconds, is_duration: true }, span);
    let kind = match &argument.kind {
        ExprKind::Selector(selector) => {
            ExprKind::Range(RangeSelector { selector: Selector::clone(selector), range })
        }
        _ => ExprKind::Subquery(Subquery {
            expr: Box::new(argument.clone()),
            range,
            step: None,
            modifiers: TimeModifiers::default(),
        }),
    };
    Expr { kind, span }
}

/// Gives an expression and all its parts one span.
fn respan(expr: &mut Expr, span: Span) {
    expr.span = span;
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Selector(_) | ExprKind::Range(_) => {}
        ExprKind::Subquery(subquery) => respan(&mut subquery.expr, span),
        ExprKind::Call(call) => {
            call.name_span = span;
            call.args.iter_mut().for_each(|arg| respan(arg, span));
            call.named.iter_mut().for_each(|arg| arg.span = span);
        }
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.iter_mut().for_each(|param| respan(param, span));
            aggregate.more.iter_mut().for_each(|param| respan(param, span));
            respan(&mut aggregate.expr, span);
        }
        ExprKind::Binary(binary) => {
            binary.op_span = span;
            respan(&mut binary.lhs, span);
            respan(&mut binary.rhs, span);
        }
        ExprKind::Unary(unary) => respan(&mut unary.expr, span),
        ExprKind::Paren(inner) => respan(inner, span),
    }
}
