#!/usr/bin/env bash
# Random sequences of valid calls of every route, left in every way a client can leave: sequences.sh [quick|long|SECONDS]
# quick: some hundred sequences, counts and bytes alone. long: half an hour of them.
#
# SEED  runs this one sequence alone, as a failure prints it
set -euo pipefail
exec python3 -B "$(dirname "$0")/sequences.py" "${1:-quick}"
