#!/usr/bin/env bash
# Runs the server under steady load and compares what it holds early with what it holds at the end: soak.sh
# [quick|long|SECONDS]. Long is two hours.
set -euo pipefail
exec python3 -B "$(dirname "$0")/soak.py" "$@"
