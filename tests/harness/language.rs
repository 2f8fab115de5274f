//! What the fuzzers check of the query language: patterns, whole queries, test scripts.

use std::time::Duration;

use barograph_engine::model::pattern::Pattern;
use barograph_engine::model::{Labels, MatchOp, Matcher, TimeRange, Value};
use barograph_engine::{Batch, Engine, Options};
use barograph_query::functions::{self, Function, ValueType, aggregates};
use barograph_query::source::engine::EngineSource;
use barograph_query::source::{MemorySource, SeriesSource};
use barograph_query::{Request, execute};
use promqltest::{MemoryStorage, Script};

/// Bytes as choices; zeros when they are used up.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn next(&mut self) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(first)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.next() % all.len()]
    }
}

/// A pattern and, behind the first newline, values: fast paths, literals, prefix and templates must agree with the
/// match, and a pattern of plain characters with the `regex` crate.
pub fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, values) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(pattern) = Pattern::new(text) else { return };
    let plain = |c: char| c.is_ascii_alphanumeric() || " .*+?|()_-:/%é".contains(c);
    let reference =
        if text.chars().all(plain) { regex::Regex::new(&format!("^(?s:{text})$")).ok() } else { None };
    for value in values.split('\n').take(8).chain([text, ""]) {
        let is_match = pattern.is_match(value);
        if let Some(reference) = &reference {
            assert_eq!(is_match, reference.is_match(value), "{text:?} on {value:?}");
        }
        if let Some(literals) = pattern.as_literals() {
            assert_eq!(is_match, literals.iter().any(|l| l == value), "literals of {text:?} on {value:?}");
        }
        let prefix = pattern.prefix().unwrap_or("");
        assert!(!is_match || value.starts_with(prefix), "prefix {prefix:?} of {text:?} on {value:?}");
        let expanded = pattern.expand(value, "$0");
        assert_eq!(expanded.is_some(), is_match, "{text:?} on {value:?}");
        assert!(expanded.is_none_or(|all| all == value), "{text:?} on {value:?}");
        let _ = pattern.expand(value, "$1${2}$name$$");
    }
}

/// A script of any text: an error, or a run in which no query panics.
pub fn script(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Long scripts are slow and find nothing that short ones do not.
    if text.len() > 4096 {
        return;
    }
    let Ok(script) = Script::parse(text) else { return };
    if script.samples() > 20_000 {
        return;
    }
    let report = promqltest::run(&script, &mut MemoryStorage::default());
    for case in &report.cases {
        for failure in &case.failures {
            assert!(!failure.contains("panic: "), "{}: {failure}", case.query);
        }
    }
}

const START_MS: i64 = 1_700_000_000_000;
const NS: i64 = 1_000_000;

fn labels(series: usize) -> Labels {
    let (name, job) = (["m_total", "m"][series % 2], ["a", "b", "c"][series / 2 % 3]);
    Labels::from_pairs([
        ("__name__", name),
        ("job", job),
        ("i", if series.is_multiple_of(5) { "" } else { "1" }),
    ])
    .expect("names differ")
}

/// The same data in memory and in an engine.
struct Both {
    memory: MemorySource,
    engine: Engine,
}

impl Both {
    fn new(choices: &mut Choices<'_>) -> Both {
        let options = Options {
            background: false,
            partition_width: Duration::from_secs(60),
            chunk_samples: 16,
            ..Options::default()
        };
        let engine = Engine::in_memory(options).expect("an engine in memory");
        let mut both = Both { memory: MemorySource::new(), engine };
        for _ in 0..choices.next() % 64 {
            both.change(choices);
        }
        both
    }

    fn change(&mut self, choices: &mut Choices<'_>) {
        let at = |choices: &mut Choices<'_>| (START_MS + choices.next() as i64 * 1003) * NS;
        match choices.next() % 16 {
            0 => drop(self.engine.flush().expect("a flush in memory")),
            1 => self.engine.compact().expect("a merge in memory"),
            2 => {
                let (from, to) = (at(choices), at(choices));
                let range = TimeRange::new(from.min(to), from.max(to));
                let matchers = [Matcher::equal("job", choices.of(&["a", "b", "c"]))];
                self.engine.delete(&matchers, range).expect("a delete in memory");
                self.memory.delete(&matchers, range);
            }
            _ => {
                let (series, mut time) = (labels(choices.next()), at(choices));
                let mut batch = Batch::new();
                for _ in 0..choices.next() % 24 {
                    let value = value(choices);
                    self.memory.insert(&series, time, value.clone(), 0);
                    batch.push(&series, time, value);
                    time += (1 + choices.next() as i64) * 250 * NS;
                }
                self.engine.append(&batch).expect("an append in memory");
            }
        }
    }
}

fn value(choices: &mut Choices<'_>) -> Value {
    match choices.next() {
        0 => Value::Float(f64::from_bits(barograph_engine::model::STALE_NAN_BITS)),
        1 => Value::Float(f64::NAN),
        2 => Value::Float(f64::INFINITY),
        3 => Value::Float(-0.0),
        4 => Value::Float(1e300),
        n if n % 2 == 0 => Value::Int(n as i64 - 100),
        n => Value::Float(n as f64 / 8.0),
    }
}

/// Random data and a random query, both made of the bytes: memory and engine must give the same answer.
pub fn evaluate(data: &[u8]) {
    let mut choices = Choices(data);
    let both = Both::new(&mut choices);
    let start = START_MS + choices.next() as i64 * 1000;
    let text = if choices.next() % 8 == 0 { scalar(&mut choices, 3) } else { vector(&mut choices, 4) };
    let mut request = if choices.next() % 2 == 0 {
        Request::instant(&text, start)
    } else {
        Request::range(&text, start, start + choices.next() as i64 * 2000, 1 + choices.next() as i64 * 500)
    };
    request.limits.samples_max = 100_000;
    request.limits.timeout = Duration::from_secs(5);
    let view = EngineSource::new(both.engine.view());
    assert_eq!(told(&both.memory, &request), told(&view, &request), "{text}");
}

/// An answer as text, which compares NaN with NaN; what was read is counted differently by each source.
fn told(source: &dyn SeriesSource, request: &Request) -> String {
    match execute(source, request) {
        Ok(response) => format!("{:?} {:?} {:?}", response.value, response.warnings, response.infos),
        Err(error) => error.to_string(),
    }
}

fn selector(choices: &mut Choices<'_>) -> String {
    let matchers =
        choices.of(&["", "{job=\"a\"}", "{job!=\"a\"}", "{job=~\"a|b\"}", "{i!~\"1\"}", "{job=~\".+\"}"]);
    let name = choices.of(&["m", "m_total", "m", "nothing"]);
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

/// Whether the matcher operators are all known here: a new one must find its way into [`selector`].
const _: fn(MatchOp) = |op| match op {
    MatchOp::Equal | MatchOp::NotEqual | MatchOp::Regex | MatchOp::NotRegex => {}
};
