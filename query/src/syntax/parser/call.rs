//! Function calls and aggregations.

use super::expansion::Given;
use super::{Parser, Tree};
use crate::functions::aggregates::AggregateInfo;
use crate::functions::expansion::Expansion;
use crate::functions::{self, Function, Named, ValueType};
use crate::span::Span;
use crate::syntax::ast::{
    Aggregate, AggregateOp, Call, Expr, ExprKind, Grouping, NamedArg, NamedLiteral, NumberLiteral,
};
use crate::syntax::check;
use crate::syntax::lexer::{Fault, Parsed, Token, TokenKind};
use crate::syntax::literal;

impl Parser<'_> {
    /// `name(args)`. The name is consumed, and the parenthesis is the current token.
    pub(super) fn call(&mut self, name: Token) -> Parsed<Tree> {
        let text = self.token_text(name);
        let function = functions::find(text).ok_or_else(|| self.unknown_function(name))?;
        let open = self.advance()?;
        let mut args = Vec::with_capacity(function.args.len());
        let mut types = Vec::with_capacity(function.args.len());
        let mut height = 0;
        let mut named = Vec::new();
        while self.token.kind != TokenKind::RightParen {
            if self.at_named(function) {
                let argument = self.named_argument(function, &named)?;
                named.push(argument);
                if !self.another_argument(open)? {
                    break;
                }
                continue;
            }
            if let Some(NamedArg { named, .. }) = named.last() {
                let what =
                    format!("another named argument after {:?}: those without a name come first", named.name);
                return Err(self.expected(&what));
            }
            let argument = self.argument(function, args.len())?;
            height = height.max(argument.height);
            types.push(argument.value_type);
            args.push(argument.expr);
            if !self.another_argument(open)? {
                break;
            }
        }
        self.expect_closing(TokenKind::RightParen, ")", open)?;
        let span = self.span_from(name.span.start);
        check::arity(function, args.len(), span)?;
        let mut given = Given { function, args, types, named, span };
        if let Some(tree) = self.expand_call(&mut given)? {
            return Ok(tree);
        }
        let Given { args, types, named, .. } = given;
        let typed: Vec<_> = types.into_iter().zip(args.iter().map(|arg| arg.span)).collect();
        check::last_argument(function, &typed)?;
        // An argument may have become a subquery.
        let height = self.height_above(height + u32::from(function.expansion.is_some()), span)?;
        let kind = ExprKind::Call(Call { function, name_span: name.span, args, named, keep_names: false });
        Ok(Tree { expr: Expr { kind, span }, value_type: function.returns, height })
    }

    /// Whether `name=` is looked at, in a call of a function that takes arguments by name.
    fn at_named(&self, function: &Function) -> bool {
        function.options().next().is_some()
            && self.token.kind == TokenKind::Word
            && self.peek_kind() == Some(TokenKind::Assign)
    }

    /// `name=value`; the value is a literal.
    fn named_argument(&mut self, function: &'static Function, given: &[NamedArg]) -> Parsed<NamedArg> {
        let name = self.advance()?;
        let text = self.token_text(name);
        let Some(named) = function.options().find(|named| named.name == text) else {
            let names: Vec<&str> = function.options().map(|named| named.name).collect();
            let message = format!(
                "function {:?} has no argument named {text:?}; it has {}",
                function.name,
                names.join(", ")
            );
            return Err(Fault::new(name.span, message));
        };
        if given.iter().any(|other| other.named.name == named.name) {
            return Err(Fault::new(name.span, format!("argument {text:?} is given twice")));
        }
        self.advance()?;
        let value = self.named_literal(named)?;
        let span = self.span_from(name.span.start);
        check::named(named, &value, span)?;
        Ok(NamedArg { named, value, span })
    }

    fn named_literal(&mut self, named: &Named) -> Parsed<NamedLiteral> {
        match self.token.kind {
            TokenKind::String => {
                let token = self.advance()?;
                Ok(NamedLiteral::Text(literal::string(self.token_text(token), token.span)?))
            }
            TokenKind::Minus => {
                self.advance()?;
                let (literal, _) = self.number_or_duration()?;
                Ok(NamedLiteral::Number(NumberLiteral { value: -literal.value, ..literal }))
            }
            TokenKind::Number | TokenKind::Duration => Ok(NamedLiteral::Number(self.number_or_duration()?.0)),
            TokenKind::Word if matches!(self.token_text(self.token), "true" | "false") => {
                let token = self.advance()?;
                Ok(NamedLiteral::Flag(self.token_text(token) == "true"))
            }
            _ => Err(self.expected(&format!("{} as the value of {:?}", named.accepted(), named.name))),
        }
    }

    fn unknown_function(&self, name: Token) -> Box<Fault> {
        let text = self.token_text(name);
        let mut message = format!("unknown function with name {text:?}");
        let template = functions::nearest_of(text, self.templates.callable());
        if let Some(near) = template.or_else(|| functions::nearest(text)) {
            message.push_str(&format!(", did you mean {near:?}?"));
        }
        Fault::new(name.span, message)
    }

    fn argument(&mut self, function: &'static Function, index: usize) -> Parsed<Tree> {
        if function.second_is_labels && index == 1 {
            return self.bare_labels(function.name);
        }
        let argument = self.expression(0)?;
        // The type of an argument that may get a window is checked after that.
        if !matches!(function.expansion, Some(Expansion::Window | Expansion::Highlight)) {
            check::argument(function, index, &argument.expr, argument.value_type)?;
        }
        Ok(argument)
    }

    /// The second argument of a function like `info`: matchers in braces, which may match every series.
    fn bare_labels(&mut self, name: &str) -> Parsed<Tree> {
        if self.token.kind != TokenKind::LeftBrace {
            return Err(
                self.expected(&format!("label matchers in braces as the second argument of {name:?}"))
            );
        }
        let (selector, span) = self.bare_selector(None)?;
        let expr = Expr { kind: ExprKind::Selector(selector), span };
        let tree = self.postfix(Tree::leaf(expr, ValueType::InstantVector))?;
        if matches!(tree.expr.kind, ExprKind::Selector(_)) {
            return Ok(tree);
        }
        let message = format!("the second argument of {name:?} must be label matchers in braces");
        Err(Fault::new(tree.expr.span, message))
    }

    /// Consumes a comma, if it is the current token; an argument must then follow.
    fn another_argument(&mut self, open: Token) -> Parsed<bool> {
        if self.token.kind != TokenKind::Comma {
            return Ok(false);
        }
        let comma = self.advance()?;
        match self.token.kind {
            TokenKind::RightParen => {
                Err(Fault::new(comma.span, "trailing commas not allowed in function call args"))
            }
            TokenKind::End => self.expect_closing(TokenKind::RightParen, ")", open).map(|_| true),
            _ => Ok(true),
        }
    }

    /// `sum by (a) (x)`, `sum(x) by (a)`, `topk(5, x)`. The name is consumed.
    pub(super) fn aggregate(&mut self, info: &'static AggregateInfo, name: Token) -> Parsed<Tree> {
        let before = self.grouping()?;
        let open = self.expect(TokenKind::LeftParen, "\"(\"")?;
        let param = match info.param {
            Some(expected) => Some(self.aggregate_param(info, expected, open)?),
            None => None,
        };
        if self.token.kind == TokenKind::RightParen {
            return Err(self.wrong_count(info, usize::from(param.is_some()), name));
        }
        let mut more = Vec::new();
        let mut operand = self.expression(0)?;
        while self.another_argument(open)? {
            let Some(expected) = info.more else {
                return Err(self.wrong_count(info, 2 + usize::from(param.is_some()), name));
            };
            check::aggregate_param(expected, operand.value_type, operand.expr.span)?;
            more.push(std::mem::replace(&mut operand, self.expression(0)?));
        }
        if info.more.is_some() && more.is_empty() {
            return Err(self.wrong_count(info, 2, name));
        }
        check::aggregate_operand(operand.value_type, operand.expr.span)?;
        self.expect_closing(TokenKind::RightParen, ")", open)?;
        let grouping = match before {
            Some(grouping) => grouping,
            None => self.grouping()?.unwrap_or(Grouping::None),
        };
        let span = self.span_from(name.span.start);
        let below = param.iter().chain(&more).map(|tree| tree.height).fold(operand.height, u32::max);
        let height = self.height_above(below, span)?;
        let param = param.map(|param| Box::new(param.expr));
        let more = more.into_iter().map(|tree| tree.expr).collect();
        let expr = Box::new(operand.expr);
        let kind = ExprKind::Aggregate(Aggregate { op: info.op, param, more, expr, grouping });
        Ok(Tree { expr: Expr { kind, span }, value_type: ValueType::InstantVector, height })
    }

    fn aggregate_param(
        &mut self,
        info: &'static AggregateInfo,
        expected: ValueType,
        open: Token,
    ) -> Parsed<Tree> {
        if self.token.kind == TokenKind::RightParen {
            return Err(self.wrong_count(info, 0, open));
        }
        let token = self.token;
        let mut param = self.expression(0);
        if info.op == AggregateOp::CountValues && token.kind == TokenKind::String {
            // The only error within a string itself here is that it is not UTF-8.
            param = param.map_err(|fault| match fault.message.ends_with("is not UTF-8") {
                true => Fault::new(fault.span, format!("invalid label name {}", self.token_text(token))),
                false => fault,
            });
        }
        let param = param?;
        if !self.another_argument(open)? {
            return Err(self.wrong_count(info, 1, open));
        }
        check::aggregate_param(expected, param.value_type, param.expr.span)?;
        Ok(param)
    }

    fn wrong_count(&self, info: &'static AggregateInfo, given: usize, token: Token) -> Box<Fault> {
        let least = if info.more.is_some() { "at least " } else { "" };
        let expected = 1 + usize::from(info.param.is_some()) + usize::from(info.more.is_some());
        let span = Span { start: token.span.start, end: self.token.span.end };
        let message = format!(
            "wrong number of arguments for aggregate expression provided, expected {least}{expected}, got {given}"
        );
        Fault::new(span, message)
    }

    /// `by (…)` or `without (…)`, if it is next.
    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let by = self.at_keyword("by");
        if !by && !self.at_keyword("without") {
            return Ok(None);
        }
        self.advance()?;
        let labels = self.label_list()?;
        Ok(Some(if by { Grouping::By(labels) } else { Grouping::Without(labels) }))
    }
}
