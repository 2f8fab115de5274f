#!/usr/bin/env bash
# Simulates the engine over a simulated disk, store, clock and scheduler: simulation.sh [SEEDS] [FIRST]
#
# SEEDS  number of seeds (default 2,000); each is one run, always the same
# FIRST  the first of them (default 1); a seed that fails is printed with its steps
set -euo pipefail
cd "$(dirname "$0")/../.."
export BAROGRAPH_SIMULATION_SEEDS="${1:-2000}" BAROGRAPH_SIMULATION_FIRST="${2:-1}"
exec cargo test --quiet --release --workspace --lib nothing_acknowledged_is_lost_in_any_simulation -- --nocapture
