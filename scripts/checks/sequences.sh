#!/usr/bin/env bash
# Random sequences of valid calls of every route, abandoned in every way a client can: sequences.sh [quick|long|SECONDS]
# quick: some hundred sequences, counts and bytes only. long: half an hour of them.
#
# SEED  runs only this sequence, as printed by a failure
set -euo pipefail
exec python3 -B "$(dirname "$0")/sequences.py" "${1:-quick}"
