//! Queries made of a fuzzer's choices: every function, every aggregation, most operators.

use barograph_engine::model::MatchOp;
use barograph_query::functions::{self, Function, ValueType, aggregates};

use super::choices::Choices;
use super::evaluate::START_MS;

/// An expression of any type that an answer may have.
pub fn expression(choices: &mut Choices<'_>) -> String {
    if choices.next().is_multiple_of(8) { scalar(choices, 3) } else { vector(choices, 4) }
}

fn selector(choices: &mut Choices<'_>) -> String {
    let matchers =
        choices.of(&["", "{job=\"a\"}", "{job!=\"a\"}", "{job=~\"a|b\"}", "{i!~\"1\"}", "{job=~\".+\"}"]);
    let name = choices.of(&["m", "m_total", "h", "h", "m", "nothing"]);
    format!("{name}{matchers}")
}

fn shift(choices: &mut Choices<'_>) -> String {
    match choices.next() {
        n if n < 160 => String::new(),
        n if n < 200 => format!(" offset {}s", n as i64 - 180),
        n if n < 240 => format!(" @ {}", START_MS / 1000 + n as i64),
        _ => " @ end()".to_owned(),
    }
}

fn range(choices: &mut Choices<'_>, depth: usize) -> String {
    let window = choices.of(&["10s", "1m", "3m", "30s"]);
    if depth > 0 && choices.next().is_multiple_of(4) {
        let step = choices.of(&["", "5s", "20s"]);
        return format!("({})[{window}:{step}]{}", vector(choices, depth - 1), shift(choices));
    }
    let edges = choices.of(&["", "", "", "", " anchored", " smoothed"]);
    format!("{}[{window}]{edges}{}", selector(choices), shift(choices))
}

fn scalar(choices: &mut Choices<'_>, depth: usize) -> String {
    match choices.next() % 8 {
        0 if depth > 0 => format!("scalar({})", vector(choices, depth - 1)),
        1 => "time()".to_owned(),
        2 if depth > 0 => format!("({} * {})", scalar(choices, depth - 1), scalar(choices, depth - 1)),
        _ => choices.of(&["0", "1", "0.5", "-2", "NaN", "Inf", "3", "1e9", "0.99"]).to_owned(),
    }
}

fn argument(kind: ValueType, choices: &mut Choices<'_>, depth: usize) -> String {
    match kind {
        ValueType::Scalar => scalar(choices, depth),
        ValueType::InstantVector => vector(choices, depth),
        ValueType::RangeVector => range(choices, depth),
        ValueType::String => {
            let text = choices.of(&["job", "i", "le", "(.*)", "$1", "x", "__name__", ".+", "a", "", "b"]);
            format!("\"{text}\"")
        }
    }
}

fn call(function: &Function, choices: &mut Choices<'_>, depth: usize) -> String {
    let extra = choices.next() % 3;
    let many = (function.required + extra).min(function.args_max);
    let kinds: Vec<ValueType> = (0..many).map_while(|index| function.arg_type(index)).collect();
    let args: Vec<String> = kinds.into_iter().map(|kind| argument(kind, choices, depth)).collect();
    format!("{}({})", function.name, args.join(", "))
}

fn vector(choices: &mut Choices<'_>, depth: usize) -> String {
    let Some(depth) = depth.checked_sub(1) else { return selector(choices) + &shift(choices) };
    match choices.next() % 8 {
        0 => selector(choices) + &shift(choices),
        1..4 => {
            let all = functions::all();
            let function = &all[(choices.next() * 256 + choices.next()) % all.len()];
            call(function, choices, depth)
        }
        4 => {
            let all = aggregates::all();
            let info = &all[choices.next() % all.len()];
            let grouping = choices.of(&["", " by (job)", " without (i)", " by (job, i)"]);
            let param = info.param.map(|kind| argument(kind, choices, depth) + ", ").unwrap_or_default();
            format!("{}{grouping} ({param}{})", info.name, vector(choices, depth))
        }
        5 => {
            let op = choices.of(&["+", "-", "/", "%", "^", "==", "> bool", "<=", "atan2", "*"]);
            let matching = choices.of(&["", "on (job)", "ignoring (i)", "on (job) group_left ()"]);
            format!("({} {op} {matching} {})", vector(choices, depth), vector(choices, depth))
        }
        6 => {
            let op = choices.of(&["and", "or", "unless", "and on (job)", "or ignoring (i)"]);
            format!("({} {op} {})", vector(choices, depth), vector(choices, depth))
        }
        _ => format!(
            "(-{} {} {})",
            vector(choices, depth),
            choices.of(&["+", ">", "*"]),
            scalar(choices, depth)
        ),
    }
}

/// Whether this file knows all matcher operators, so that a new one is added to [`selector`].
const _: fn(MatchOp) = |op| match op {
    MatchOp::Equal | MatchOp::NotEqual | MatchOp::Regex | MatchOp::NotRegex => {}
};
