//! Values per second of the functions that dashboards and alert rules use most.

use std::hint::black_box;

use barograph_analytics::anomaly::{self, Method};
use barograph_analytics::compare::correlate;
use barograph_analytics::decompose::{Options, Precision, decompose};
use barograph_analytics::forecast;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// A day of 288 values, quieter at weekends, and noise.
fn series(len: u64) -> Vec<f64> {
    let value = |i: u64| {
        let bits = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let noise = ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        let week = if (i / 288) % 7 >= 5 { 0.5 } else { 1.0 };
        50.0 + 20.0 * week * ((i % 288) as f64 / 288.0 * std::f64::consts::TAU).sin() + noise
    };
    (0..len).map(value).collect()
}

fn anomalies(c: &mut Criterion) {
    let values = series(8064);
    let mut group = c.benchmark_group("anomaly_score");
    group.throughput(Throughput::Elements(values.len() as u64));
    for (name, method) in Method::ALL {
        group.bench_function(name, |b| {
            b.iter(|| anomaly::score(black_box(&values), method, Some(288), &mut || Ok(())));
        });
    }
    group.finish();
}

fn decompositions(c: &mut Criterion) {
    let values = series(8064);
    let mut group = c.benchmark_group("decompose");
    group.throughput(Throughput::Elements(values.len() as u64)).sample_size(10);
    for (name, seasons, robust) in [
        ("48", &[48][..], false),
        ("288", &[288], false),
        ("288, robust", &[288], true),
        ("288 and 2016", &[288, 2016], false),
    ] {
        let options = Options { seasons, robust, precision: Precision::Auto };
        group.bench_function(name, |b| b.iter(|| decompose(black_box(&values), &options, &mut || Ok(()))));
    }
    group.finish();
}

fn forecasts(c: &mut Criterion) {
    let values = series(2016);
    for (name, seasons) in [("a day", &[288][..]), ("a day and a week", &[144, 1008])] {
        let options =
            forecast::Options { method: forecast::Method::Auto, seasons, horizon: 288, level: 0.95 };
        c.bench_function(&format!("forecast of 2016 values, {name}"), |b| {
            b.iter(|| forecast::forecast(black_box(&values), &options, &mut || Ok(())));
        });
    }
}

fn correlations(c: &mut Criterion) {
    let (values, other) = (series(360), series(720).split_off(360));
    let target = correlate::Target::new(&values).expect("the series varies");
    let mut scratch = correlate::Scratch::default();
    c.bench_function("correlation of 360 values at lags of 10", |b| {
        b.iter(|| target.compare(black_box(&other), 10, &mut scratch, &mut || Ok(())));
    });
}

criterion_group!(benches, anomalies, decompositions, forecasts, correlations);
criterion_main!(benches);
