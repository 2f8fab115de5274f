//! Services that call each other, their load, and a fault in one of them.
//!
//! Twelve services form a tree of calls with the frontend `s0` as its root. All have a part of one load, which has a
//! daily season, so their metrics are correlated before anything fails. A fault begins in one metric of one service and
//! raises that service's latency some steps later, then that of its callers, step by step and weaker with each call.
//! Meanwhile, other series have disturbances of their own, one of them shortly before the fault.

use std::fmt;
use std::time::Duration;

use crate::random::Random;

/// Samples in an hour, one each 15 s.
const STEPS: usize = 240;
const STEP_MS: u64 = 15_000;
const SERVICES: usize = 12;
/// Series of other programs.
const OTHERS: usize = 204;
const DAY: Duration = Duration::from_secs(86_400);

/// A metric of a service, in which a fault can begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Metric {
    Cpu,
    Memory,
    DiskLatency,
    Queue,
    Errors,
    Connections,
    Latency,
    Requests,
}

impl Metric {
    const ALL: [Metric; 8] = [
        Metric::Cpu,
        Metric::Memory,
        Metric::DiskLatency,
        Metric::Queue,
        Metric::Errors,
        Metric::Connections,
        Metric::Latency,
        Metric::Requests,
    ];

    fn name(self) -> &'static str {
        match self {
            Metric::Cpu => "cpu_ratio",
            Metric::Memory => "memory_bytes",
            Metric::DiskLatency => "disk_latency_seconds",
            Metric::Queue => "queue_length",
            Metric::Errors => "errors_total",
            Metric::Connections => "connections",
            Metric::Latency => "latency_seconds",
            Metric::Requests => "requests_total",
        }
    }

    fn is_counter(self) -> bool {
        matches!(self, Metric::Errors | Metric::Requests)
    }
}

/// The samples of a series: milliseconds before the end of the hour, and values.
pub struct Series {
    /// The metric.
    pub metric: &'static str,
    /// The service.
    pub service: String,
    /// The samples, oldest first.
    pub samples: Vec<(u64, f64)>,
}

/// A fault.
pub struct Scenario {
    seed: u64,
    metric: Metric,
    service: usize,
    service_name: String,
    /// The step at which it begins, and how many steps it lasts.
    begin: usize,
    lasts: usize,
    /// Steps until it is in full effect.
    ramp: usize,
    /// How much stronger than usual the metric is.
    size: f64,
    /// The caller of each service; the frontend calls itself.
    callers: [usize; SERVICES],
    /// For each service on the way to the frontend, the step at which its latency rises, and by what factor.
    reached: [Option<(usize, f64)>; SERVICES],
}

impl Scenario {
    /// A scenario; the same seed gives the same one.
    pub fn new(seed: u64) -> Scenario {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..20 {
            random.next();
        }
        let mut callers = [0; SERVICES];
        for (i, caller) in callers.iter_mut().enumerate().skip(1) {
            *caller = below(&mut random, i);
        }
        let service = 1 + below(&mut random, SERVICES - 1);
        let metric = Metric::ALL[below(&mut random, 6)];
        let begin = STEPS * 2 / 5 + below(&mut random, STEPS * 2 / 5);
        let lasts = if random.unit() < 0.5 { STEPS } else { 20 + below(&mut random, 40) };
        let slow = matches!(metric, Metric::Memory | Metric::Queue);
        let ramp = if slow { 4 + below(&mut random, 8) } else { 1 + below(&mut random, 3) };
        let size = 2.0 + 4.0 * random.unit();
        let mut reached = [None; SERVICES];
        let mut at = begin + ramp / 2 + 1 + below(&mut random, 3);
        let (mut on_the_way, mut factor) = (service, 1.5 + 3.0 * random.unit());
        loop {
            reached[on_the_way] = Some((at, factor));
            if on_the_way == 0 {
                break;
            }
            on_the_way = callers[on_the_way];
            at += 1 + below(&mut random, 3);
            factor = 1.0 + (factor - 1.0) * (0.6 + 0.3 * random.unit());
        }
        let service_name = format!("s{service}");
        Scenario { seed, metric, service, service_name, begin, lasts, ramp, size, callers, reached }
    }

    /// The metric and the service in which the fault begins.
    pub fn cause(&self) -> (&'static str, &str) {
        (self.metric.name(), &self.service_name)
    }

    /// The samples of the hour of the fault and of the hour one day before, with how long ago each ended.
    pub fn hours(&self) -> [(Duration, Vec<Series>); 2] {
        [(DAY, self.hour(false)), (Duration::ZERO, self.hour(true))]
    }

    fn hour(&self, is_faulty: bool) -> Vec<Series> {
        let mut random = Random(self.seed.wrapping_mul(31).wrapping_add(1 + u64::from(is_faulty)) | 1 << 40);
        let load = load(&mut random);
        let mut all = Vec::new();
        for service in 0..SERVICES {
            // What a service is like does not change from day to day.
            let mut own = Random((self.seed + 7) << 8 | (service as u64 + 1));
            for _ in 0..20 {
                own.next();
            }
            for metric in Metric::ALL {
                let values = self.values(metric, service, &load, is_faulty, &mut own, &mut random);
                let name = format!("s{service}");
                all.push(sampled(metric.name(), name, &values, metric.is_counter(), &mut random));
            }
        }
        let near = self.begin.saturating_sub(below(&mut random, 12));
        for other in 0..OTHERS {
            let begin = match other {
                _ if !is_faulty => STEPS,
                0 => near,
                1..=3 => below(&mut random, STEPS),
                _ => STEPS,
            };
            let values = unrelated(other, begin, &mut random);
            let metric = ["batch_active", "cache_bytes", "replica_lag_seconds", "sessions"][other % 4];
            all.push(sampled(metric, format!("other{other}"), &values, false, &mut random));
        }
        all
    }

    /// How much of the fault is in effect at a step, from 0 to 1, if it arrives at `begin`.
    fn share(&self, step: usize, begin: usize, ramp: usize) -> f64 {
        let since = (step + 1).saturating_sub(begin);
        let over = (step + 1).saturating_sub(begin + self.lasts);
        let ramped = |steps: usize| (steps as f64 / ramp.max(1) as f64).min(1.0);
        ramped(since) - ramped(over)
    }

    fn values(
        &self,
        metric: Metric,
        service: usize,
        load: &[f64],
        is_faulty: bool,
        own: &mut Random,
        random: &mut Random,
    ) -> Vec<f64> {
        let (weight, noise) = (0.5 + own.unit(), 0.02 + 0.08 * own.unit());
        let (mut level, mut persistent) = (0.0, 0.0);
        let mut values = Vec::with_capacity(STEPS);
        for (step, load) in load.iter().enumerate() {
            persistent = 0.8 * persistent + 0.6 * random.normal();
            level += random.normal();
            let busy = load * weight;
            let shake = noise * (0.5 * persistent + random.normal());
            let fault = is_faulty && metric == self.metric && service == self.service;
            let fault = if fault { self.share(step, self.begin, self.ramp) } else { 0.0 };
            let latency = self.reached[service]
                .filter(|_| is_faulty)
                .map_or(0.0, |(at, factor)| self.share(step, at, 2) * (factor - 1.0));
            values.push(match metric {
                Metric::Cpu => {
                    (0.3 * busy * (1.0 + shake) + 0.08 * self.size * fault + 0.03 * latency).min(1.0)
                }
                Metric::Memory => 2e9 + 3e6 * level + 2e7 * shake + 1.5e8 * self.size * fault,
                Metric::DiskLatency => 0.004 * (1.0 + 2.0 * shake.abs() + self.size * fault),
                Metric::Queue => {
                    (4.0 * busy * (1.0 + 2.0 * shake) + 8.0 * self.size * fault + 3.0 * latency).round()
                }
                Metric::Errors => {
                    (0.5 * busy * (1.0 + 4.0 * shake.abs()) + 3.0 * self.size * fault + 0.5 * latency)
                        .max(0.0)
                }
                Metric::Connections => 100.0 * (1.0 + 0.1 * busy + shake) - 12.0 * self.size * fault,
                Metric::Latency => 0.05 * (1.0 + 0.4 * busy * busy) * (1.0 + shake) * (1.0 + latency),
                Metric::Requests => (80.0 * busy * (1.0 + shake) * (1.0 - 0.05 * latency)).max(0.0),
            });
        }
        values
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hops =
            std::iter::successors(Some(self.service), |&at| (at != 0).then(|| self.callers[at])).count() - 1;
        let (metric, service) = self.cause();
        write!(f, "{metric} of {service}, {hops} calls below the frontend, from step {}", self.begin)
    }
}

/// A number below `end`.
fn below(random: &mut Random, end: usize) -> usize {
    (random.unit() * end as f64) as usize
}

/// The load: the slope of a day, and waves that persist for some minutes.
fn load(random: &mut Random) -> Vec<f64> {
    let mut wave = 0.0;
    let at = |step: usize, wave: f64| {
        1.0 + 0.3 * (step as f64 / 5760.0 * std::f64::consts::TAU).sin() + 0.1 * wave
    };
    (0..STEPS)
        .map(|step| {
            wave = 0.95 * wave + 0.3 * random.normal();
            at(step, wave).max(0.1)
        })
        .collect()
}

/// A series of another program: on and off, a random walk, spikes, or noise. `begin` is the step of a disturbance.
fn unrelated(kind: usize, begin: usize, random: &mut Random) -> Vec<f64> {
    let (mut level, mut is_on) = (50.0, false);
    (0..STEPS)
        .map(|step| {
            level += random.normal();
            is_on ^= random.unit() < 0.02;
            let value = match kind % 4 {
                0 => f64::from(u8::from(is_on)) * 10.0 + 0.5 * random.normal(),
                1 => 1e6 * (100.0 + level),
                2 => {
                    if random.unit() < 0.03 {
                        5.0
                    } else {
                        0.2 + 0.1 * random.normal().abs()
                    }
                }
                _ => 20.0 + 3.0 * random.normal(),
            };
            let disturbed = if step >= begin { 1.5 } else { 1.0 };
            value * disturbed
        })
        .collect()
}

/// Samples with the jitter and the losses of a scrape. A counter adds up its values.
fn sampled(
    metric: &'static str,
    service: String,
    values: &[f64],
    is_counter: bool,
    random: &mut Random,
) -> Series {
    let (mut total, phase) = (0.0, below(random, 10_000) as u64);
    let mut samples = Vec::with_capacity(values.len());
    for (step, value) in values.iter().enumerate() {
        total += value * STEP_MS as f64 / 1000.0;
        let jitter = below(random, 300) as u64;
        if random.unit() < 0.01 {
            continue;
        }
        let before_end = (values.len() - step) as u64 * STEP_MS - phase - jitter;
        samples.push((before_end, if is_counter { total.floor() } else { *value }));
    }
    Series { metric, service, samples }
}
