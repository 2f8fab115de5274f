#!/usr/bin/env bash
# Damages files of a database and opens it in every way: flips.sh [long]
# The long form also runs the tests of tests/scenarios/flips/ with each byte of each file; the quick form leaves these
# to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "${1:-}" = long ]; then
    BAROGRAPH_FLIP_STRIDE=1 BAROGRAPH_TRUNCATE_STRIDE=1 BAROGRAPH_TABLE_STRIDE=37 \
        cargo test --release --workspace --test scenarios flips:: -- --nocapture --test-threads 1
    exec python3 -B scripts/checks/flips.py 600
fi
exec python3 -B scripts/checks/flips.py 16
