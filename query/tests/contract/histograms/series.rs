//! Random series of native histograms.

use std::sync::Arc;

use barograph_engine::model::{Histogram, ResetHint, STALE_NAN_BITS, Span, Value};

use crate::random::Random;
use crate::series::{BASE, SECOND};

/// One entry of a series.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Nanoseconds.
    pub time: i64,
    /// A histogram or a float; stale markers have either form.
    pub value: Value,
    /// The start timestamp, 0 if it is unknown.
    pub start: i64,
}

/// A series.
#[derive(Debug, Clone)]
pub struct Series {
    /// What it is, for messages.
    pub name: String,
    /// In ascending order of time.
    pub samples: Vec<Sample>,
}

/// What changes in the histograms of a series beside their counts.
#[derive(Debug, Clone, Copy)]
struct Kind {
    name: &'static str,
    custom: bool,
    gauge: bool,
    /// Writers say whether the counter was reset.
    hints: bool,
    /// Counts that are no integers.
    fractions: bool,
    /// Percent of samples at which the layout changes.
    layouts: u64,
    /// Percent of samples at which exponential and explicit bounds alternate.
    bounds: u64,
    /// Percent of samples at which floats and histograms alternate.
    floats: u64,
}

const PLAIN: Kind = Kind {
    name: "counter",
    custom: false,
    gauge: false,
    hints: false,
    fractions: false,
    layouts: 0,
    bounds: 0,
    floats: 0,
};

const KINDS: [Kind; 12] = [
    PLAIN,
    Kind { name: "layouts", layouts: 6, ..PLAIN },
    Kind { name: "layouts and hints", hints: true, layouts: 6, ..PLAIN },
    Kind { name: "bounds of both kinds, and hints", hints: true, bounds: 1, layouts: 2, ..PLAIN },
    Kind { name: "explicit bounds", custom: true, ..PLAIN },
    Kind { name: "explicit bounds that change", custom: true, layouts: 6, ..PLAIN },
    Kind { name: "float counts", fractions: true, ..PLAIN },
    Kind { name: "gauge", gauge: true, ..PLAIN },
    Kind { name: "gauge of float counts and layouts", gauge: true, fractions: true, layouts: 6, ..PLAIN },
    Kind { name: "bounds of both kinds", bounds: 1, layouts: 2, ..PLAIN },
    Kind { name: "floats and histograms", floats: 3, ..PLAIN },
    Kind { name: "gauge with floats", gauge: true, floats: 2, layouts: 2, ..PLAIN },
];

/// A histogram on the way: its counts by bucket, of the layout that the next sample has.
struct State {
    kind: Kind,
    custom: bool,
    schema: i32,
    zero_threshold: f64,
    bounds: Vec<f64>,
    zero: f64,
    positive: [f64; 12],
    negative: [f64; 4],
    sum: f64,
    is_float: bool,
}

/// The bounds that series with explicit ones have.
const BOUNDS: [&[f64]; 4] = [&[1.0, 2.0, 5.0], &[2.0, 5.0, 10.0], &[1.0, 5.0], &[0.5, 1.0, 2.0, 5.0, 10.0]];

impl State {
    fn new(kind: Kind, random: &mut Random) -> Self {
        let mut state = State {
            kind,
            custom: kind.custom,
            schema: 2,
            zero_threshold: 0.001,
            bounds: BOUNDS[0].to_vec(),
            zero: 0.0,
            positive: [0.0; 12],
            negative: [0.0; 4],
            sum: 0.0,
            is_float: kind.floats > 0 && random.percent(50),
        };
        state.grow(random);
        state
    }

    fn reset(&mut self) {
        (self.zero, self.sum, self.positive, self.negative) = (0.0, 0.0, [0.0; 12], [0.0; 4]);
    }

    fn grow(&mut self, random: &mut Random) {
        let unit = if self.kind.fractions { 0.1 + random.unit() } else { 1.0 };
        let falls = self.kind.gauge;
        let mut add = |count: &mut f64| {
            if random.percent(30) {
                let by = random.between(if falls { -5 } else { 0 }, 9) as f64 * unit;
                *count = (*count + by).max(0.0);
            }
        };
        add(&mut self.zero);
        self.positive.iter_mut().for_each(&mut add);
        self.negative.iter_mut().for_each(&mut add);
        self.sum += random.normal() * 10.0 + random.pick(&[0.0, 0.0, 0.0, 1e15, 3.7e-9]);
        if random.percent(1) {
            self.sum = random.pick(&[f64::NAN, 1e200, -1e200, f64::INFINITY]);
        }
    }

    fn change(&mut self, random: &mut Random) {
        if random.percent(self.kind.layouts) {
            self.schema = random.pick(&[-1, 0, 1, 2, 3]);
            self.bounds = random.pick(&BOUNDS).to_vec();
            if random.percent(30) {
                self.zero_threshold = random.pick(&[0.001, 0.3, 1.0, 2.5]);
            }
        }
        if random.percent(self.kind.bounds) {
            self.custom = !self.custom;
        }
        if random.percent(self.kind.floats) {
            self.is_float = !self.is_float;
        }
    }

    fn histogram(&self, random: &mut Random) -> Histogram {
        let hint = if self.kind.gauge {
            ResetHint::Gauge
        } else if self.kind.hints {
            match random.below(40) {
                0 => ResetHint::Reset,
                1 => ResetHint::Unknown,
                _ => ResetHint::NotReset,
            }
        } else {
            ResetHint::Unknown
        };
        let negative = if self.custom { &[][..] } else { &self.negative[..] };
        let positive = if self.custom { &self.positive[..=self.bounds.len()] } else { &self.positive[..] };
        let zero_count = if self.custom { 0.0 } else { self.zero };
        let span = |offset: i32, counts: &[f64]| Span { offset, length: counts.len() as u32 };
        let mut histogram = Histogram {
            schema: if self.custom { Histogram::CUSTOM } else { self.schema },
            zero_threshold: if self.custom { 0.0 } else { self.zero_threshold },
            zero_count,
            count: zero_count + positive.iter().chain(negative).sum::<f64>(),
            sum: self.sum,
            positive_spans: vec![span(if self.custom { 0 } else { -3 }, positive)],
            positive_buckets: positive.to_vec(),
            reset_hint: hint,
            ..Histogram::default()
        };
        if self.custom {
            histogram.custom_values = self.bounds.clone();
        } else {
            histogram.negative_spans = vec![span(1, negative)];
            histogram.negative_buckets = negative.to_vec();
        }
        histogram
    }

    fn value(&self, random: &mut Random) -> Value {
        if self.is_float {
            return Value::Float(self.positive.iter().sum());
        }
        Value::Histogram(Arc::new(self.histogram(random)))
    }
}

fn marker(random: &mut Random) -> Value {
    let stale = f64::from_bits(STALE_NAN_BITS);
    if random.percent(50) {
        return Value::Float(stale);
    }
    Value::Histogram(Arc::new(Histogram { sum: stale, ..Histogram::default() }))
}

/// The next random series. Half of all have their samples on a grid that bounds of buckets are on.
pub fn generate(random: &mut Random) -> Series {
    let kind = random.pick(&KINDS);
    let count = random.between(2, 160);
    let interval = random.pick(&[15, 30, 60, 300]) * SECOND;
    let on_grid = random.percent(50);
    let phase = if on_grid { 0 } else { random.between(1, interval) };
    let (gaps, markers) = (random.pick(&[0, 0, 2, 10]), random.pick(&[0, 0, 1, 4]));
    let (resets, starts) = (random.pick(&[0, 1, 5, 25]), random.percent(25));
    let mut time = BASE + interval * random.between(-50, 50) + phase;
    let (mut state, mut start) = (State::new(kind, random), time - 100 * SECOND);
    let mut samples = Vec::new();
    for _ in 0..count {
        let before = time;
        time += interval * if random.percent(gaps) { random.between(2, 40) } else { 1 };
        if random.percent(resets) {
            state.reset();
            start = random.pick(&[before, before + (time - before) / 2, time - 1]);
        } else if random.percent(2) {
            start = before + 1;
        }
        state.change(random);
        state.grow(random);
        let value = if random.percent(markers) { marker(random) } else { state.value(random) };
        samples.push(Sample { time, value, start: if starts { start } else { 0 } });
    }
    let grid = if on_grid { "on the grid" } else { "off the grid" };
    Series { name: format!("histograms, {}, {grid}, {} s", kind.name, interval / SECOND), samples }
}
