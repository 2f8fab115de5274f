//! Speed and size of sketches: building, merging, coding.

#![expect(clippy::print_stdout, reason = "a program")]

use std::hint::black_box;

use barograph_engine::rollup::Sketch;
use barograph_engine::rollup::sketch::Extremes;
use barograph_engine::rollup::sketch::coding::{Extent, decode, encode};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const BUCKETS: usize = 168;

/// The next number of a fixed sequence, from 0 to 1.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 11) as f64 / 2f64.powi(53)
}

/// Lognormal latencies with median e^-3 and sigma 1.
fn latencies(count: usize, state: &mut u64) -> Vec<f64> {
    (0..count).map(|_| ((0..12).map(|_| uniform(state)).sum::<f64>() - 9.0).exp()).collect()
}

fn extent_of(values: &[f64]) -> Extent {
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Extent { count: values.len() as u64, extremes: Extremes { min, max } }
}

fn encoded(extents: &[Extent], sketches: &[Sketch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let column = extents.iter().copied().zip(sketches.iter().map(Some));
    encode(column, &mut bytes).expect("the extents are those of the sketches");
    bytes
}

fn sketches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sketch");
    for count in [20, 60, 240, 3600] {
        let mut state = 1;
        let values: Vec<Vec<f64>> = (0..BUCKETS).map(|_| latencies(count, &mut state)).collect();
        let extents: Vec<Extent> = values.iter().map(|values| extent_of(values)).collect();
        let sketches: Vec<Sketch> = values.iter().map(|values| Sketch::of(values)).collect();
        let bytes = encoded(&extents, &sketches);
        let keys: usize = sketches.iter().map(|sketch| sketch.entries().len()).sum();
        println!("{count} values: {} keys, {} bytes a sketch", keys / BUCKETS, bytes.len() / BUCKETS);

        group.throughput(Throughput::Elements((BUCKETS * count) as u64));
        group.bench_function(format!("build/{count}"), |bencher| {
            bencher.iter(|| values.iter().map(|values| Sketch::of(values).entries().len()).sum::<usize>());
        });
        group.throughput(Throughput::Elements(BUCKETS as u64));
        group.bench_function(format!("merge/{count}"), |bencher| {
            bencher.iter_batched_ref(
                Sketch::default,
                |merged| sketches.iter().for_each(|sketch| merged.merge(sketch)),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(format!("encode/{count}"), |bencher| {
            bencher.iter(|| encoded(black_box(&extents), &sketches));
        });
        group.bench_function(format!("decode/{count}"), |bencher| {
            bencher.iter(|| decode(black_box(&extents), &bytes));
        });
    }
}

criterion_group!(benches, sketches);
criterion_main!(benches);
