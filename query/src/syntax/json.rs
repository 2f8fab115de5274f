//! A tree as JSON, in the format that Prometheus' `parse_query` returns and its query editor draws.
//!
//! Each node is an object with a `type`: `numberLiteral`, `stringLiteral`, `vectorSelector`, `matrixSelector`,
//! `subquery`, `call`, `aggregation`, `binaryExpr`, `unaryExpr`, `parenExpr`, and inside ranges and offsets
//! `durationExpr`. Durations that are plain literals are whole milliseconds under `range`, `step`, `offset`; other
//! durations are under `rangeExpr`, `stepExpr`, `offsetExpr`. A sign before a number is part of it. Keys that
//! Prometheus does not have are present only if they are needed: `keepMetricNames`, `namedArgs`, and `moreParams` with
//! the parameters of an aggregation after the first.

use std::fmt::Write;

use barograph_engine::model::Matcher;

use crate::functions::{Function, ValueType, aggregates};
use crate::syntax::ast::{
    Aggregate, AtModifier, Binary, Call, Cardinality, DurationExpr, Edges, Expr, ExprKind, Grouping,
    MatchLabels, NamedArg, NamedLiteral, NumberLiteral, Selector, Subquery, TimeModifiers, UnaryOp,
    VectorMatching,
};

/// The tree as one JSON object, without white space.
pub fn json(expr: &Expr) -> String {
    let mut writer = Writer { text: String::new() };
    writer.expr(expr);
    writer.text
}

struct Writer {
    text: String,
}

impl Writer {
    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Number(literal) => self.number(literal.value),
            ExprKind::String(text) => {
                self.begin("stringLiteral");
                self.key("val");
                self.string(text);
                self.end();
            }
            ExprKind::Selector(selector) => self.selector("vectorSelector", selector, None),
            ExprKind::Range(range) => self.selector("matrixSelector", &range.selector, Some(&range.range)),
            ExprKind::Subquery(subquery) => self.subquery(subquery),
            ExprKind::Call(call) => self.call(call),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Binary(binary) => self.binary(binary),
            ExprKind::Unary(unary) => match (&unary.expr.kind, unary.op) {
                (ExprKind::Number(literal), UnaryOp::Minus) => self.number(-literal.value),
                (ExprKind::Number(literal), UnaryOp::Plus) => self.number(literal.value),
                (_, op) => {
                    self.begin("unaryExpr");
                    self.key("op");
                    self.string(op.as_str());
                    self.key("expr");
                    self.expr(&unary.expr);
                    self.end();
                }
            },
            ExprKind::Paren(inner) => {
                self.begin("parenExpr");
                self.key("expr");
                self.expr(inner);
                self.end();
            }
        }
    }

    fn number(&mut self, value: f64) {
        self.begin("numberLiteral");
        self.key("val");
        self.float_string(value);
        self.end();
    }

    fn selector(&mut self, kind: &str, selector: &Selector, range: Option<&DurationExpr>) {
        self.begin(kind);
        self.key("name");
        self.string(selector.name.as_deref().unwrap_or(""));
        if let Some(range) = range {
            self.duration_fields("range", Some(range));
        }
        self.modifiers(&selector.modifiers);
        self.key("matchers");
        self.list(&selector.matchers, Writer::matcher);
        self.key("anchored");
        self.boolean(selector.edges == Edges::Anchored);
        self.key("smoothed");
        self.boolean(selector.edges == Edges::Smoothed);
        self.end();
    }

    fn matcher(&mut self, matcher: &Matcher) {
        self.text.push('{');
        self.key("name");
        self.string(&matcher.name);
        self.key("value");
        self.string(&matcher.value);
        self.key("type");
        self.string(matcher.op.as_str());
        self.end();
    }

    fn subquery(&mut self, subquery: &Subquery) {
        self.begin("subquery");
        self.key("expr");
        self.expr(&subquery.expr);
        self.duration_fields("range", Some(&subquery.range));
        self.duration_fields("step", subquery.step.as_ref());
        self.modifiers(&subquery.modifiers);
        self.end();
    }

    fn modifiers(&mut self, modifiers: &TimeModifiers) {
        self.duration_fields("offset", modifiers.offset.as_ref());
        let (timestamp, preprocessor) = match modifiers.at {
            None => (None, None),
            Some(AtModifier::Time(time_ms)) => (Some(time_ms), None),
            Some(AtModifier::Start) => (None, Some("start")),
            Some(AtModifier::End) => (None, Some("end")),
        };
        self.key("timestamp");
        match timestamp {
            Some(time_ms) => self.integer(time_ms),
            None => self.text.push_str("null"),
        }
        self.key("startOrEnd");
        match preprocessor {
            Some(word) => self.string(word),
            None => self.text.push_str("null"),
        }
    }

    /// `"range":300000,"rangeExpr":null` for a literal, 0 and the tree for others.
    fn duration_fields(&mut self, name: &str, duration: Option<&DurationExpr>) {
        let literal_ms = match duration {
            None => Some(0),
            Some(duration) => literal_ms(duration),
        };
        self.key(name);
        self.integer(literal_ms.unwrap_or(0));
        self.key(&format!("{name}Expr"));
        match duration {
            Some(duration) if literal_ms.is_none() => self.duration(duration),
            _ => self.text.push_str("null"),
        }
    }

    fn duration(&mut self, duration: &DurationExpr) {
        match duration {
            DurationExpr::Literal(literal, _) => self.duration_literal(literal),
            DurationExpr::Step(_) => self.duration_node("step", None, None),
            DurationExpr::Range(_) => self.duration_node("range", None, None),
            DurationExpr::MinOf(a, b, _) => self.duration_node("min_of", Some(a), Some(b)),
            DurationExpr::MaxOf(a, b, _) => self.duration_node("max_of", Some(a), Some(b)),
            DurationExpr::Unary(op, inner, _) => self.duration_node(op.as_str(), None, Some(inner)),
            DurationExpr::Binary(op, a, b, _) => self.duration_node(op.as_str(), Some(a), Some(b)),
            DurationExpr::Paren(inner, _) => {
                self.begin("parenExpr");
                self.key("expr");
                self.duration(inner);
                self.end();
            }
        }
    }

    fn duration_node(&mut self, op: &str, lhs: Option<&DurationExpr>, rhs: Option<&DurationExpr>) {
        self.begin("durationExpr");
        self.key("op");
        self.string(op);
        for (key, side) in [("lhs", lhs), ("rhs", rhs)] {
            self.key(key);
            match side {
                Some(duration) => self.duration(duration),
                None => self.text.push_str("null"),
            }
        }
        self.end();
    }

    fn duration_literal(&mut self, literal: &NumberLiteral) {
        self.begin("numberLiteral");
        self.key("val");
        self.float_string(literal.value);
        self.key("duration");
        self.boolean(literal.is_duration);
        self.end();
    }

    fn call(&mut self, call: &Call) {
        self.begin("call");
        self.key("func");
        self.function(call.function);
        self.key("args");
        self.list(&call.args, Writer::expr);
        self.named(&call.named);
        self.keep_names(call.keep_names);
        self.end();
    }

    /// Written only if there are any, because Prometheus' tree has no such key.
    fn named(&mut self, named: &[NamedArg]) {
        if named.is_empty() {
            return;
        }
        self.key("namedArgs");
        self.list(named, |writer, arg| {
            writer.text.push('{');
            writer.key("name");
            writer.string(arg.named.name);
            writer.key("value");
            match &arg.value {
                NamedLiteral::Number(literal) => writer.float_string(literal.value),
                NamedLiteral::Flag(flag) => writer.boolean(*flag),
                NamedLiteral::Text(text) => writer.string(text),
            }
            writer.end();
        });
    }

    /// Written only if it is set, because Prometheus' tree has no such key.
    fn keep_names(&mut self, keep_names: bool) {
        if keep_names {
            self.key("keepMetricNames");
            self.boolean(true);
        }
    }

    fn function(&mut self, function: &Function) {
        self.text.push('{');
        self.key("name");
        self.string(function.name);
        self.key("argTypes");
        self.list(function.args, |writer, &arg| writer.string(type_name(arg)));
        self.key("variadic");
        self.integer(variadic(function));
        self.key("returnType");
        self.string(type_name(function.returns));
        self.end();
    }

    fn aggregate(&mut self, aggregate: &Aggregate) {
        let (labels, without): (&[String], bool) = match &aggregate.grouping {
            Grouping::None => (&[], false),
            Grouping::By(labels) => (labels, false),
            Grouping::Without(labels) => (labels, true),
        };
        self.begin("aggregation");
        self.key("op");
        self.string(aggregates::of(aggregate.op).name);
        self.key("expr");
        self.expr(&aggregate.expr);
        self.key("param");
        match &aggregate.param {
            Some(param) => self.expr(param),
            None => self.text.push_str("null"),
        }
        if !aggregate.more.is_empty() {
            self.key("moreParams");
            self.list(&aggregate.more, Writer::expr);
        }
        self.key("grouping");
        self.list(labels, |writer, label| writer.string(label));
        self.key("without");
        self.boolean(without);
        self.end();
    }

    fn binary(&mut self, binary: &Binary) {
        self.begin("binaryExpr");
        self.key("op");
        self.string(binary.op.as_str());
        self.key("lhs");
        self.expr(&binary.lhs);
        self.key("rhs");
        self.expr(&binary.rhs);
        self.key("matching");
        match &binary.matching {
            Some(matching) => self.matching(matching),
            None => self.text.push_str("null"),
        }
        self.key("bool");
        self.boolean(binary.return_bool);
        self.keep_names(binary.keep_names);
        self.end();
    }

    fn matching(&mut self, matching: &VectorMatching) {
        let (card, include): (&str, &[String]) = match &matching.cardinality {
            Cardinality::OneToOne => ("one-to-one", &[]),
            Cardinality::GroupLeft(labels) => ("many-to-one", labels),
            Cardinality::GroupRight(labels) => ("one-to-many", labels),
            Cardinality::ManyToMany => ("many-to-many", &[]),
        };
        let (labels, on) = match &matching.labels {
            MatchLabels::On(labels) => (labels, true),
            MatchLabels::Ignoring(labels) => (labels, false),
        };
        self.text.push('{');
        self.key("card");
        self.string(card);
        self.key("labels");
        self.list(labels, |writer, label| writer.string(label));
        self.key("on");
        self.boolean(on);
        self.key("include");
        self.list(include, |writer, label| writer.string(label));
        self.key("fillValues");
        self.text.push('{');
        for (key, fill) in [("lhs", matching.fill_left), ("rhs", matching.fill_right)] {
            self.key(key);
            match fill {
                // JSON has no NaN and no infinities, so they are written as strings.
                Some(value) if value.is_finite() => write_to(&mut self.text, format_args!("{value}")),
                Some(value) => self.float_string(value),
                None => self.text.push_str("null"),
            }
        }
        self.end();
        self.end();
    }

    /// `{"type":"kind"`
    fn begin(&mut self, kind: &str) {
        self.text.push('{');
        self.key("type");
        self.string(kind);
    }

    fn end(&mut self) {
        self.text.push('}');
    }

    /// Writes a comma, unless an object has just begun, and the key.
    fn key(&mut self, key: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.string(key);
        self.text.push(':');
    }

    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.text.push('[');
        for (index, element) in items.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            item(self, element);
        }
        self.text.push(']');
    }

    fn integer(&mut self, value: i64) {
        self.text.push_str(itoa::Buffer::new().format(value));
    }

    fn boolean(&mut self, value: bool) {
        self.text.push_str(if value { "true" } else { "false" });
    }

    /// Writes a float as a string, without an exponent.
    fn float_string(&mut self, value: f64) {
        let text = if value == f64::INFINITY {
            "+Inf".to_owned()
        } else if value == f64::NEG_INFINITY {
            "-Inf".to_owned()
        } else {
            value.to_string()
        };
        self.string(&text);
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        for character in text.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                _ if character < ' ' => {
                    write_to(&mut self.text, format_args!("\\u{:04x}", u32::from(character)))
                }
                _ => self.text.push(character),
            }
        }
        self.text.push('"');
    }
}

fn write_to(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a string does not fail");
}

/// The milliseconds of a literal with at most one sign.
fn literal_ms(duration: &DurationExpr) -> Option<i64> {
    let is_literal = match duration {
        DurationExpr::Literal(..) => true,
        DurationExpr::Unary(_, inner, _) => matches!(**inner, DurationExpr::Literal(..)),
        _ => false,
    };
    is_literal.then(|| (duration.seconds(0.0, 0.0) * 1000.0).round() as i64)
}

/// The type's name in the API.
fn type_name(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Scalar => "scalar",
        ValueType::InstantVector => "vector",
        ValueType::RangeVector => "matrix",
        ValueType::String => "string",
    }
}

/// How many arguments may follow the required ones: 0 means none, -1 any number.
fn variadic(function: &Function) -> i64 {
    if function.args_max == usize::MAX { -1 } else { (function.args_max - function.required) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::parse;

    fn of(text: &str) -> String {
        json(&parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}")))
    }

    #[test]
    fn nodes() {
        let cases = [
            ("-1.5", r#"{"type":"numberLiteral","val":"-1.5"}"#),
            ("(Inf)", r#"{"type":"parenExpr","expr":{"type":"numberLiteral","val":"+Inf"}}"#),
            ("\"a\\\"\\n\\u0001\"", r#"{"type":"stringLiteral","val":"a\"\n\u0001"}"#),
            (
                "time()",
                r#"{"type":"call","func":{"name":"time","argTypes":[],"variadic":0,"returnType":"scalar"},"args":[]}"#,
            ),
            (
                "a[5m] offset -1m @ 2",
                concat!(
                    r#"{"type":"matrixSelector","name":"a","range":300000,"rangeExpr":null,"offset":-60000,"#,
                    r#""offsetExpr":null,"timestamp":2000,"startOrEnd":null,"#,
                    r#""matchers":[{"name":"__name__","value":"a","type":"="}],"anchored":false,"smoothed":false}"#
                ),
            ),
            (
                "sum without (b) ({c=~\"d\"} @ end())",
                concat!(
                    r#"{"type":"aggregation","op":"sum","expr":{"type":"vectorSelector","name":"","offset":0,"#,
                    r#""offsetExpr":null,"timestamp":null,"startOrEnd":"end","#,
                    r#""matchers":[{"name":"c","value":"d","type":"=~"}],"anchored":false,"smoothed":false},"#,
                    r#""param":null,"grouping":["b"],"without":true}"#
                ),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn keys_that_prometheus_does_not_have() {
        assert!(of("abs(a) keep_metric_names").ends_with(r#"],"keepMetricNames":true}"#));
        let named = r#"],"namedArgs":[{"name":"period","value":"86400"},{"name":"robust","value":true}]}"#;
        assert!(of("seasonal_decompose(a[1d], period=1d, robust=true)").ends_with(named));
        assert!(
            of(r#"outliers(a, method="mad")"#).ends_with(r#""namedArgs":[{"name":"method","value":"mad"}]}"#)
        );
        let text = of("(a default 1) keep_metric_names");
        assert!(text.contains(r#""op":"default""#), "{text}");
        assert!(text.ends_with(r#""matching":null,"bool":false,"keepMetricNames":true}}"#), "{text}");
        let params = concat!(
            r#""param":{"type":"stringLiteral","val":"q"},"moreParams":[{"type":"numberLiteral","val":"0.5"},"#,
            r#"{"type":"numberLiteral","val":"1"}],"grouping":[]"#
        );
        assert!(of("quantiles(\"q\", 0.5, 1, a)").contains(params));
        assert!(!of("abs(a) + (b)").contains("keepMetricNames"));
    }

    #[test]
    fn matching_and_duration_expressions() {
        let text = of("a == bool on(x) group_left(y) fill_left(Inf) fill_right(-2) b");
        let matching = concat!(
            r#""matching":{"card":"many-to-one","labels":["x"],"on":true,"include":["y"],"#,
            r#""fillValues":{"lhs":"+Inf","rhs":-2}},"bool":true}"#
        );
        assert!(text.ends_with(matching), "{text}");
        let text = of("a[step() + 1m:30]");
        let range = concat!(
            r#""range":0,"rangeExpr":{"type":"durationExpr","op":"+","lhs":{"type":"durationExpr","op":"step","lhs":null,"rhs":null},"#,
            r#""rhs":{"type":"numberLiteral","val":"60","duration":true}},"step":30000,"stepExpr":null"#
        );
        assert!(text.contains(range), "{text}");
    }
}
