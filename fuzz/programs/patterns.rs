//! Compares patterns with the definition of matching, and prints the number of comparisons.
//!
//! `cargo run --release --manifest-path fuzz/Cargo.toml --bin patterns -- [PATTERNS] [COMPARISONS] [SEED]`

use std::time::Instant;

use barograph_fuzz::harness::generated;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let mut next = |default| numbers.next().unwrap_or(default);
    let (patterns, comparisons, seed) = (next(1_000_000), next(100_000_000), next(1));
    let began = Instant::now();
    let compared = generated(seed, |so_far| so_far.patterns >= patterns && so_far.comparisons >= comparisons);
    println!(
        "{} patterns, {} comparisons, 0 differ, seed {seed}, {:.0} s",
        compared.patterns,
        compared.comparisons,
        began.elapsed().as_secs_f64()
    );
}
