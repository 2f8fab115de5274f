#!/bin/sh
# Runs one fuzzer for some seconds, on stable Rust and without RocksDB.
#   fuzz/run.sh TARGET SECONDS [libFuzzer options]
# Starts from seeds/TARGET and regressions/TARGET, keeps what it learns in corpus/TARGET.
# Without a fuzzer, a million patterns compared with what they match by definition, in a quarter of an hour:
#   cargo run --release --manifest-path fuzz/Cargo.toml --bin patterns
# An input that fails lands in artifacts/TARGET: fix the code, then move it to regressions/TARGET.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: fuzz/run.sh TARGET SECONDS [libFuzzer options]" >&2
    echo "targets: $(cd "$(dirname "$0")/targets" && ls | sed 's/\.rs$//' | tr '\n' ' ')" >&2
    exit 2
fi
cd "$(dirname "$0")"
target=$1
seconds=$2
shift 2
triple=$(rustc -vV | sed -n 's/^host: //p')
# The sanitizer's coverage pass belongs to LLVM, so stable rustc has it; --target keeps it out of build scripts.
RUSTFLAGS="--cfg fuzzing -Clink-dead-code -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS
cargo build --quiet --release --target "$triple" --bin "$target"
mkdir -p "corpus/$target" "artifacts/$target" "seeds/$target" "regressions/$target"
exec "${CARGO_TARGET_DIR:-target}/$triple/release/$target" "corpus/$target" "seeds/$target" "regressions/$target" \
    -max_total_time="$seconds" -artifact_prefix="artifacts/$target/" -timeout=10 -rss_limit_mb=1024 "$@"
