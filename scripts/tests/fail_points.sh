#!/usr/bin/env bash
# Ends a process at each named point of the engine and opens the directory it leaves: fail_points.sh [ROUNDS]
#
# ROUNDS  how often at each point, each time with other steps and options; default 1, as in `cargo test`
set -euo pipefail
cd "$(dirname "$0")/../.."
BAROGRAPH_FAIL_ROUNDS=${1:-1} cargo test --release --workspace --lib engine::tests::points -- --nocapture |
    { grep -E '^fail_points|panicked|^test |FAILED' || true; }
