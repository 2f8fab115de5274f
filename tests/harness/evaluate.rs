//! Random data and random queries: memory and engine must give the same answer.

use std::sync::Arc;
use std::time::Duration;

use barograph_engine::model::{
    Histogram, Labels, Matcher, ResetHint, STALE_NAN_BITS, Span, TimeRange, Value,
};
use barograph_engine::{Batch, Engine, Options, Timestamp};
use barograph_query::source::engine::EngineSource;
use barograph_query::source::{MemorySource, SeriesSource};
use barograph_query::{Limits, QueryError, Request, execute};

use super::choices::Choices;
use super::expression::expression;

/// The oldest instant of the data.
pub const START_MS: i64 = 1_700_000_000_000;
const NS: i64 = 1_000_000;

/// Sixteen label sets: most hold floats; every fourth holds native histograms and, rarely, a float between them.
fn labels(series: usize) -> Labels {
    let (name, job) = (["m_total", "m", "m_total", "h"][series % 4], ["a", "b", "c"][series / 4 % 3]);
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
    /// All data in one partition. The engine looks back at most one stored partition to find whether a histogram was
    /// reset, so with more partitions the two may differ in that.
    is_whole: bool,
}

impl Both {
    fn new(choices: &mut Choices<'_>) -> Both {
        let is_whole = choices.next().is_multiple_of(2);
        let options = Options::default()
            .with_background(false)
            .with_partition_width(Duration::from_secs(if is_whole { 86_400 } else { 60 }))
            .with_chunk_samples(16);
        let engine = Engine::in_memory(options).expect("an engine in memory");
        let mut both = Both { memory: MemorySource::new(), engine, is_whole };
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
                let series = choices.next();
                let mut source = Series { labels: labels(series), last: None, resets: self.is_whole };
                let mut time = at(choices);
                let mut batch = Batch::new();
                for _ in 0..choices.next() % 24 {
                    let value = if series % 4 == 3 { source.histogram(choices) } else { float(choices) };
                    let started = start_timestamp(choices, time);
                    self.memory.insert(&source.labels, time, value.clone(), started);
                    batch.push_started(&source.labels, time, started, value);
                    time += (1 + choices.next() as i64) * 250 * NS;
                }
                self.engine.append(&batch).expect("an append in memory");
            }
        }
    }
}

/// Usually unknown; otherwise some time before the sample, so that several samples share it.
fn start_timestamp(choices: &mut Choices<'_>, time: i64) -> i64 {
    match choices.next() {
        n if n < 200 => 0,
        n if n < 230 => (START_MS - 5000) * NS,
        n => time - (n as i64 - 229) * 700 * NS,
    }
}

fn float(choices: &mut Choices<'_>) -> Value {
    match choices.next() {
        0 => Value::Float(f64::from_bits(STALE_NAN_BITS)),
        1 => Value::Float(f64::NAN),
        2 => Value::Float(f64::INFINITY),
        3 => Value::Float(-0.0),
        4 => Value::Float(1e300),
        n if n % 2 == 0 => Value::Int(n as i64 - 100),
        n => Value::Float(n as f64 / 8.0),
    }
}

/// A series of histograms: the state from which it continues.
struct Series {
    labels: Labels,
    last: Option<Histogram>,
    /// Whether its writer sends reset hints.
    resets: bool,
}

impl Series {
    fn histogram(&mut self, choices: &mut Choices<'_>) -> Value {
        let next = match (choices.next(), self.last.take()) {
            (0, _) => return Value::Float(choices.next() as f64),
            (1, _) => Histogram { sum: f64::from_bits(STALE_NAN_BITS), ..Histogram::default() },
            (n, Some(last)) if n < 160 => counted_on(last, choices),
            _ => fresh(choices, self.resets),
        };
        if let Err(error) = next.validate() {
            panic!("the harness made a histogram that is none: {error}: {next:?}");
        }
        self.last = Some(next.clone());
        Value::Histogram(Arc::new(next))
    }
}

fn fresh(choices: &mut Choices<'_>, resets: bool) -> Histogram {
    let schema = choices.of(&[0, 0, 0, 1, 3, -2, Histogram::CUSTOM]);
    let is_custom = schema == Histogram::CUSTOM;
    let hint = choices.of(&[ResetHint::Unknown, ResetHint::Unknown, ResetHint::Gauge, ResetHint::Reset]);
    let mut made = Histogram {
        schema,
        sum: choices.next() as f64 - 64.0,
        reset_hint: if hint == ResetHint::Reset && !resets { ResetHint::Unknown } else { hint },
        ..Histogram::default()
    };
    if is_custom {
        made.custom_values =
            choices.of(&[&[1.0, 2.5, 5.0][..], &[1.0, 5.0, 25.0, 125.0], &[-1.0, 0.0, 2.5]]).to_vec();
        (made.positive_spans, made.positive_buckets) =
            buckets(choices, 0, made.custom_values.len() as u32 + 1);
    } else {
        made.zero_threshold = choices.of(&[0.0, 0.001, 0.001, 0.5]);
        made.zero_count = (choices.next() % 8) as f64;
        let first = choices.next() as i32 % 6 - 3;
        (made.positive_spans, made.positive_buckets) = buckets(choices, first, 7);
        (made.negative_spans, made.negative_buckets) = buckets(choices, first, 3);
    }
    made.count = total(&made);
    made
}

/// At most `many` buckets in one or two spans from index `first` on.
fn buckets(choices: &mut Choices<'_>, first: i32, many: u32) -> (Vec<Span>, Vec<f64>) {
    let length = choices.next() as u32 % (many + 1);
    let counts = (0..length).map(|_| (choices.next() % 32) as f64).collect();
    let spans = match length {
        0 => Vec::new(),
        1 => vec![Span { offset: first, length }],
        // The gap replaces a bucket, so that the last one stays within the bounds.
        _ if length < many && choices.next().is_multiple_of(2) => {
            vec![Span { offset: first, length: 1 }, Span { offset: 1, length: length - 1 }]
        }
        _ => vec![Span { offset: first, length }],
    };
    (spans, counts)
}

fn total(histogram: &Histogram) -> f64 {
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    histogram.zero_count + buckets.sum::<f64>()
}

/// The next histogram of its writer: every count grows, or, for a gauge, may shrink.
fn counted_on(mut last: Histogram, choices: &mut Choices<'_>) -> Histogram {
    if last.reset_hint != ResetHint::Gauge {
        last.reset_hint = ResetHint::Unknown;
    }
    last.zero_count += if last.schema == Histogram::CUSTOM { 0.0 } else { (choices.next() % 4) as f64 };
    for count in last.positive_buckets.iter_mut().chain(&mut last.negative_buckets) {
        *count += (choices.next() % 8) as f64;
    }
    last.sum = if last.sum.is_nan() { 0.0 } else { last.sum + choices.next() as f64 / 4.0 };
    last.count = total(&last);
    last
}

/// Random data and a random query, both made of the bytes: memory and engine must give the same answer.
pub fn evaluate(data: &[u8]) {
    let mut choices = Choices(data);
    let both = Both::new(&mut choices);
    let start = START_MS + choices.next() as i64 * 1000;
    let text = expression(&mut choices);
    let request = if choices.next() % 2 == 0 {
        Request::instant(&text, Timestamp::from_millis(start))
    } else {
        let end = start + choices.next() as i64 * 2000;
        let step = Duration::from_millis(1 + choices.next() as u64 * 500);
        Request::range(&text, Timestamp::from_millis(start), Timestamp::from_millis(end), step)
    };
    // A query may take long; an answer that is cut off is not compared.
    let limits = Limits::default().with_samples_max(100_000).with_timeout(Duration::from_secs(5));
    let request = request.with_limits(limits);
    let view = EngineSource::new(both.engine.view());
    let shown = |source: &dyn SeriesSource| {
        let shown = shown(source, &request)?;
        Some(if both.is_whole { shown } else { shown.replace("NotReset", "Unknown") })
    };
    if let (Some(memory), Some(engine)) = (shown(&both.memory), shown(&view)) {
        assert_eq!(memory, engine, "{text}");
    }
}

/// The answer as text, so that NaN equals NaN; statistics are left out because the sources count reads differently.
/// `None` if the query timed out, because how far it gets depends on the machine.
fn shown(source: &dyn SeriesSource, request: &Request) -> Option<String> {
    match execute(source, request) {
        Ok(response) => Some(format!("{:?} {:?} {:?}", response.value, response.warnings, response.infos)),
        Err(QueryError::Timeout { .. }) => None,
        Err(error) => Some(error.to_string()),
    }
}
