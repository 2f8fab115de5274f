#!/usr/bin/env bash
# Fuzzes one target of fuzz/ for a number of seconds: scripts/fuzz.sh TARGET SECONDS
#
# Works on stable Rust: the coverage instrumentation that libFuzzer needs is asked of LLVM directly. The seeds in the
# repository are read, new inputs go to fuzz/target/corpus, crashes to fuzz/artifacts. Links no RocksDB.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
target=${1:?which target? one of: $(ls fuzz_targets | sed 's/\.rs$//' | tr '\n' ' ')}
seconds=${2:-60}

export CARGO_TARGET_DIR="$PWD/target"
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
cargo build --release --bin "$target"

corpus="target/corpus/$target"
mkdir -p "$corpus" artifacts "seeds/$target"
"target/release/$target" "$corpus" "seeds/$target" -max_total_time="$seconds" -rss_limit_mb=512 -timeout=5 \
    -artifact_prefix="artifacts/$target-" -print_final_stats=1
