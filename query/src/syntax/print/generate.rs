//! Random checked trees, without parentheses: the printer must add those that are needed.

use barograph_engine::model::{METRIC_NAME, MatchOp, Matcher};
use proptest::prelude::*;

use crate::functions::{Named, NamedKind, ValueType, aggregates, all};
use crate::span::Span;
use crate::syntax::ast::*;
use crate::syntax::check::{is_comparison, is_many_to_many, is_set_operator};

const SPAN: Span = Span { start: 0, end: 0 };

fn expr(kind: ExprKind) -> Expr {
    Expr { kind, span: SPAN }
}

/// A tree of type scalar or instant vector.
pub(super) fn tree() -> impl Strategy<Value = Expr> {
    prop_oneof![vector(4), scalar(3)]
}

fn literal() -> impl Strategy<Value = NumberLiteral> {
    let number = prop_oneof![
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(f64::abs),
        (0..1000_u32).prop_map(f64::from),
        Just(f64::INFINITY),
        Just(f64::from_bits(0x7ff8_0000_0000_0001)),
    ];
    prop_oneof![
        number.prop_map(|value| NumberLiteral { value, is_duration: false }),
        (0..10_u64.pow(12)).prop_map(|ms| NumberLiteral { value: ms as f64 / 1000.0, is_duration: true }),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,4}", "[\\PC\n\t\u{1}\"'\\\\]{0,6}"]
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,4}",
        prop::sample::select(vec!["on", "by", "bool", "a.b", "ü", "0", "a:b", "inf"]).prop_map(str::to_owned),
    ]
}

fn labels() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(label(), 0..3)
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
    (label(), op, text()).prop_map(|(name, op, value)| {
        Matcher::new(&name, op, &value).unwrap_or_else(|_| Matcher::equal(&name, &value))
    })
}

fn duration() -> impl Strategy<Value = DurationExpr> {
    let leaf = prop_oneof![
        (1..10_u64.pow(9)).prop_map(|ms| {
            DurationExpr::Literal(NumberLiteral { value: ms as f64 / 1000.0, is_duration: true }, SPAN)
        }),
        (1..10_000_u32).prop_map(|value| {
            DurationExpr::Literal(NumberLiteral { value: f64::from(value), is_duration: false }, SPAN)
        }),
        Just(DurationExpr::Step(SPAN)),
        Just(DurationExpr::Range(SPAN)),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let ops =
            vec![BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Mod, BinaryOp::Pow];
        let two = (inner.clone(), inner.clone()).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
        prop_oneof![
            (prop::sample::select(ops), two.clone())
                .prop_map(|(op, (a, b))| DurationExpr::Binary(op, a, b, SPAN)),
            two.clone().prop_map(|(a, b)| DurationExpr::MinOf(a, b, SPAN)),
            two.prop_map(|(a, b)| DurationExpr::MaxOf(a, b, SPAN)),
            (sign(), inner).prop_map(|(op, a)| DurationExpr::Unary(op, Box::new(a), SPAN)),
        ]
    })
}

/// A duration that the check of ranges accepts.
fn positive_duration() -> impl Strategy<Value = DurationExpr> {
    duration().prop_filter("positive", |d| {
        d.depends_on_query() || (d.seconds(0.0, 0.0) > 0.0 && d.seconds(0.0, 0.0) < 9e9)
    })
}

fn sign() -> impl Strategy<Value = UnaryOp> {
    prop::sample::select(vec![UnaryOp::Plus, UnaryOp::Minus])
}

fn modifiers() -> impl Strategy<Value = TimeModifiers> {
    let at = prop_oneof![
        (-10_i64.pow(12)..10_i64.pow(12)).prop_map(AtModifier::Time),
        Just(AtModifier::Start),
        Just(AtModifier::End)
    ];
    (prop::option::of(duration()), prop::option::of(at), any::<bool>()).prop_map(|(offset, at, first)| {
        // `@` alone counts as first; without `@`, nothing does.
        let at_first = at.is_some() && (first || offset.is_none());
        TimeModifiers { offset, at, at_first }
    })
}

fn selector() -> impl Strategy<Value = Selector> {
    let edges = prop::sample::select(vec![Edges::Plain, Edges::Anchored, Edges::Smoothed]);
    let name = prop_oneof![
        "[a-h:_][a-z0-9:_]{0,5}",
        prop::sample::select(vec!["sum", "by", "fill", "offset", "start", "or"]).prop_map(str::to_owned)
    ];
    (prop::option::of(name), prop::collection::vec(matcher(), 0..3), modifiers(), edges).prop_map(
        |(name, mut matchers, modifiers, edges)| {
            match &name {
                Some(name) => matchers.insert(0, Matcher::equal(METRIC_NAME, name)),
                None => matchers.push(Matcher::equal(METRIC_NAME, "a b")),
            }
            Selector { matchers, name, modifiers, edges }
        },
    )
}

fn range_vector(depth: u32) -> BoxedStrategy<Expr> {
    let range = (selector(), positive_duration()).prop_map(|(mut selector, range)| {
        selector.edges = Edges::Plain;
        expr(ExprKind::Range(RangeSelector { selector, range }))
    });
    let subquery = (vector(depth), positive_duration(), prop::option::of(positive_duration()), modifiers())
        .prop_map(|(inner, range, step, modifiers)| {
            expr(ExprKind::Subquery(Subquery { expr: Box::new(inner), range, step, modifiers }))
        });
    prop_oneof![range, subquery].boxed()
}

/// A selector with the default window.
fn without_window() -> impl Strategy<Value = Expr> {
    selector().prop_map(|selector| expr(ExprKind::Selector(Selector { edges: Edges::Plain, ..selector })))
}

fn argument(value_type: ValueType, depth: u32) -> BoxedStrategy<Expr> {
    match value_type {
        ValueType::Scalar => scalar(depth),
        ValueType::InstantVector => vector(depth),
        ValueType::RangeVector => prop_oneof![4 => range_vector(depth), 1 => without_window()].boxed(),
        ValueType::String => text().prop_map(|text| expr(ExprKind::String(text))).boxed(),
    }
}

fn call(returns: ValueType, depth: u32) -> impl Strategy<Value = Expr> {
    let functions: Vec<_> = all()
        .iter()
        .filter(|f| {
            // Calls that stand for other queries are not in trees.
            f.returns == returns && !f.second_is_labels && f.expansion.is_none()
        })
        .collect();
    (prop::sample::select(functions), any::<bool>()).prop_flat_map(move |(function, short)| {
        let count = if short { function.required } else { function.args.len() };
        let args: Vec<_> = function.args[..count].iter().map(|&arg| argument(arg, depth)).collect();
        let named: Vec<_> = function.options().map(named).collect();
        (args, named, any::<bool>()).prop_map(move |(args, named, keep)| {
            let keep_names = keep && short;
            let named = named.into_iter().flatten().collect();
            expr(ExprKind::Call(Call { function, name_span: SPAN, args, named, keep_names }))
        })
    })
}

/// A named argument, or none.
fn named(named: &'static Named) -> impl Strategy<Value = Option<NamedArg>> + use<> {
    let number = |value, is_duration| NamedLiteral::Number(NumberLiteral { value, is_duration });
    let values = match named.kind {
        NamedKind::Number { min, max } => vec![number(min, false), number(max.min(1e6), false)],
        NamedKind::Duration => vec![number(90.0, true), number(0.5, false)],
        NamedKind::Lag => vec![number(90.0, true), number(0.0, true), number(0.0, false)],
        NamedKind::Flag => vec![NamedLiteral::Flag(true), NamedLiteral::Flag(false)],
        NamedKind::Word(words) => words.iter().map(|word| NamedLiteral::Text((*word).to_owned())).collect(),
        NamedKind::Labels => vec![NamedLiteral::Text("a, b".into()), NamedLiteral::Text("".into())],
        NamedKind::Season => vec![number(86_400.0, true), NamedLiteral::Text("auto".into())],
        NamedKind::Seasons => {
            vec![
                number(86_400.0, true),
                NamedLiteral::Text("auto".into()),
                NamedLiteral::Text("1d, 1w".into()),
            ]
        }
    };
    let arg = move |value| NamedArg { named, value, span: SPAN };
    prop::option::of(prop::sample::select(values).prop_map(arg))
}

fn aggregate(depth: u32) -> impl Strategy<Value = Expr> {
    let grouping = prop_oneof![
        Just(Grouping::None),
        labels().prop_map(Grouping::By),
        labels().prop_map(Grouping::Without)
    ];
    (prop::sample::select(aggregates::all()), grouping).prop_flat_map(move |(info, grouping)| {
        let param: Vec<_> = info.param.iter().map(|&param| argument(param, depth)).collect();
        let more = match info.more {
            Some(more) => prop::collection::vec(argument(more, depth), 1..3).boxed(),
            None => Just(Vec::new()).boxed(),
        };
        (param, more, vector(depth)).prop_map(move |(mut param, more, inner)| {
            let param = param.pop().map(Box::new);
            let (op, grouping) = (info.op, grouping.clone());
            expr(ExprKind::Aggregate(Aggregate { op, param, more, expr: Box::new(inner), grouping }))
        })
    })
}

fn any_op() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp::*;
    prop::sample::select(vec![
        Pow, Mul, Div, Mod, Atan2, Add, Sub, Eq, Ne, Lt, Gt, Le, Ge, TrimUpper, TrimLower, And, Unless, Or,
        If, IfNot, Default,
    ])
}

fn matching(op: BinaryOp) -> impl Strategy<Value = VectorMatching> {
    let list = || {
        labels().prop_filter("apart from those that are copied", |l| !l.iter().any(|l| l.starts_with('z')))
    };
    let labels = prop_oneof![list().prop_map(MatchLabels::On), list().prop_map(MatchLabels::Ignoring)];
    let fill = || prop::option::of(prop_oneof![(-5..5_i32).prop_map(f64::from), Just(f64::NEG_INFINITY)]);
    let copied = prop::collection::vec("z[a-z]", 0..2);
    (prop::option::of(labels), 0..3, copied, fill(), fill()).prop_map(
        move |(labels, group, copied, left, right)| {
            let explicit = labels.is_some();
            let set = is_many_to_many(op);
            let cardinality = match group {
                _ if set => Cardinality::ManyToMany,
                1 if explicit => Cardinality::GroupLeft(copied),
                2 if explicit => Cardinality::GroupRight(copied),
                _ => Cardinality::OneToOne,
            };
            let labels = labels.unwrap_or(MatchLabels::Ignoring(Vec::new()));
            let (fill_left, fill_right) = if set { (None, None) } else { (left, right) };
            VectorMatching { labels, explicit, cardinality, fill_left, fill_right }
        },
    )
}

fn binary(op: BinaryOp, lhs: Expr, rhs: Expr, return_bool: bool, matching: Option<VectorMatching>) -> Expr {
    let (lhs, rhs) = (Box::new(lhs), Box::new(rhs));
    let keep_names = false;
    expr(ExprKind::Binary(Binary { op, op_span: SPAN, lhs, rhs, return_bool, matching, keep_names }))
}

/// Some binary expressions with `keep_metric_names`.
fn keeping_names(inner: impl Strategy<Value = Expr>) -> impl Strategy<Value = Expr> {
    (inner, prop::bool::weighted(0.2)).prop_map(|(mut tree, keep)| {
        if let ExprKind::Binary(binary) = &mut tree.kind {
            binary.keep_names = keep;
        }
        tree
    })
}

fn unary(inner: BoxedStrategy<Expr>) -> impl Strategy<Value = Expr> {
    (sign(), inner).prop_map(|(op, inner)| expr(ExprKind::Unary(Unary { op, expr: Box::new(inner) })))
}

fn scalar(depth: u32) -> BoxedStrategy<Expr> {
    let leaf = literal().prop_map(|literal| expr(ExprKind::Number(literal)));
    if depth == 0 {
        return leaf.boxed();
    }
    let below = depth - 1;
    let operation = (any_op(), scalar(below), scalar(below))
        .prop_filter("no set operators between scalars", |(op, ..)| !is_set_operator(*op))
        .prop_map(|(op, lhs, rhs)| binary(op, lhs, rhs, is_comparison(op), None));
    prop_oneof![2 => leaf, 1 => unary(scalar(below)), 3 => keeping_names(operation), 1 => call(ValueType::Scalar, below)]
        .boxed()
}

fn vector(depth: u32) -> BoxedStrategy<Expr> {
    let leaf = selector().prop_map(|selector| expr(ExprKind::Selector(selector)));
    if depth == 0 {
        return leaf.boxed();
    }
    let below = depth - 1;
    let vectors =
        (any_op(), vector(below), vector(below), any::<bool>()).prop_flat_map(|(op, lhs, rhs, boolean)| {
            matching(op).prop_map(move |matching| {
                binary(op, lhs.clone(), rhs.clone(), boolean && is_comparison(op), Some(matching))
            })
        });
    let mixed = (any_op(), vector(below), scalar(below), any::<bool>())
        .prop_filter("no set operators with a scalar", |(op, ..)| !is_set_operator(*op))
        .prop_map(|(op, lhs, rhs, swap)| {
            if swap {
                binary(op, rhs, lhs, false, None)
            } else {
                binary(op, lhs, rhs, is_comparison(op), None)
            }
        });
    prop_oneof![
        2 => leaf,
        1 => unary(vector(below)),
        3 => keeping_names(vectors),
        2 => keeping_names(mixed),
        2 => call(ValueType::InstantVector, below),
        2 => aggregate(below),
    ]
    .boxed()
}
