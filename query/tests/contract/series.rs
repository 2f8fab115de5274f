//! Series to check: generated ones of many kinds, and recorded ones.

use barograph_engine::model::STALE_NAN_BITS;

use crate::random::Random;

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;

/// The time around which all series are: a multiple of all widths.
pub const BASE: i64 = 1_700_006_400 * SECOND;

/// One entry of a series; a stale marker has the value of one.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Nanoseconds.
    pub time: i64,
    /// The value.
    pub value: f64,
    /// The start timestamp, 0 if it is unknown.
    pub start: i64,
}

impl Sample {
    /// Whether it is a stale marker.
    pub fn is_marker(&self) -> bool {
        self.value.to_bits() == STALE_NAN_BITS
    }
}

/// A series.
#[derive(Debug, Clone)]
pub struct Series {
    /// What it is, for messages.
    pub name: String,
    /// In ascending order of time.
    pub samples: Vec<Sample>,
    /// The usual distance of samples.
    pub interval: i64,
}

/// How the values of a generated series come about.
type Values = fn(&mut Random, usize) -> Vec<f64>;

const KINDS: [(&str, Values); 12] = [
    ("decimal walk", |random, n| walk(random, n, 0.1, |v| (v * 10.0).round() / 10.0)),
    ("walk", |random, n| walk(random, n, 0.37, |v| v)),
    ("integers", |random, n| (0..n).map(|_| (random.normal() * 5.0 + 40.0).round()).collect()),
    ("lognormal", |random, n| (0..n).map(|_| (random.normal() - 3.0).exp()).collect()),
    ("tight", |random, n| (0..n).map(|_| 1e9 + random.normal() * 1e-3).collect()),
    ("wide", |random, n| (0..n).map(|_| wide(random)).collect()),
    ("canceling", canceling),
    ("large integers", |random, n| walk(random, n, 1000.0, |v| (v + 18_014_398_509_481_984.0).round())),
    ("counter", |random, n| counter(random, n, |random| random.below(50) as f64)),
    ("float counter", |random, n| counter(random, n, |random| random.unit() * 3.0)),
    ("special", |random, n| (0..n).map(|_| special(random)).collect()),
    ("constant", |random, n| {
        let (usual, other) = (random.normal(), random.normal());
        (0..n).map(|_| if random.percent(3) { other } else { usual }).collect()
    }),
];

fn walk(random: &mut Random, n: usize, step: f64, shape: fn(f64) -> f64) -> Vec<f64> {
    let mut at = 50.0 * random.unit();
    let mut next = || {
        if !random.percent(20) {
            at += step * random.normal();
        }
        shape(at)
    };
    (0..n).map(|_| next()).collect()
}

fn wide(random: &mut Random) -> f64 {
    let magnitude = 10f64.powf(24.0 * random.unit() - 12.0);
    if random.percent(50) { magnitude } else { -magnitude }
}

fn canceling(random: &mut Random, n: usize) -> Vec<f64> {
    let mut values: Vec<f64> = (0..n.div_ceil(2))
        .map(|_| random.pick(&[1e200, 1e100, 1.0, 3.7, 1e-30]) * (1.0 + random.unit()))
        .collect();
    let negative: Vec<f64> = values.iter().map(|value| -value).collect();
    values.extend(negative);
    values.truncate(n);
    if random.percent(50) {
        for i in (1..values.len()).rev() {
            values.swap(i, random.below(i as u64 + 1) as usize);
        }
    }
    values
}

fn counter(random: &mut Random, n: usize, grow: fn(&mut Random) -> f64) -> Vec<f64> {
    let often = random.pick(&[0, 1, 5, 25]);
    let mut at = if random.percent(50) { 1e4 * random.unit() } else { 0.0 };
    let mut next = || {
        at = if random.percent(often) { grow(random) } else { at + grow(random) };
        at
    };
    (0..n).map(|_| next()).collect()
}

fn special(random: &mut Random) -> f64 {
    match random.below(40) {
        0 | 1 => f64::NAN,
        2 => f64::INFINITY,
        3 => f64::NEG_INFINITY,
        4 => -0.0,
        5 => 0.0,
        6 => 5e-324 * random.below(1 << 50) as f64,
        _ => random.normal() * 10.0,
    }
}

/// The next random series. Half of all have their samples on a grid that bounds of buckets are on.
pub fn generate(random: &mut Random) -> Series {
    let (kind, values) = random.pick(&KINDS);
    let count = random.between(2, 400) as usize;
    let interval = random.pick(&[10, 15, 30, 60, 300]) * SECOND;
    let on_grid = random.percent(50);
    let jitter = if on_grid || random.percent(30) { 0 } else { random.between(1, interval / 3) };
    let phase = if on_grid { 0 } else { random.between(1, interval) };
    let (gaps, markers) = (random.pick(&[0, 0, 2, 10]), random.pick(&[0, 0, 1, 4]));
    let mut time = BASE + interval * random.between(-50, 50) + phase;
    let mut samples = Vec::with_capacity(count);
    for value in values(random, count) {
        time += interval * if random.percent(gaps) { random.between(2, 40) } else { 1 };
        let at = if jitter == 0 { time } else { time + random.between(-jitter, jitter + 1) };
        let value = if random.percent(markers) { f64::from_bits(STALE_NAN_BITS) } else { value };
        samples.push(Sample { time: at, value, start: 0 });
    }
    if kind.contains("counter") && random.percent(50) {
        add_starts(random, &mut samples);
    }
    let grid = if on_grid { "on the grid" } else { "off the grid" };
    Series { name: format!("{kind}, {grid}, {} s", interval / SECOND), samples, interval }
}

/// Start timestamps as an exporter sends them: new after a drop, and sometimes without one.
fn add_starts(random: &mut Random, samples: &mut [Sample]) {
    let mut start = samples[0].time - random.between(0, 1000) * SECOND;
    for i in 0..samples.len() {
        let dropped = i > 0 && samples[i].value < samples[i - 1].value;
        if i > 0 && (dropped || random.percent(3)) {
            let (before, now) = (samples[i - 1].time, samples[i].time);
            start = random.pick(&[before, before + (now - before) / 2, now - 1, before - SECOND]);
        }
        samples[i].start = if random.percent(2) { 0 } else { start };
    }
}
