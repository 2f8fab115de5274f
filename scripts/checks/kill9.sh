#!/usr/bin/env bash
# Kills the server at random moments under load and compares what it kept: kill9.sh [ROUNDS] [SEED]
set -euo pipefail
exec python3 -B "$(dirname "$0")/crash.py" kill9 "${1:-50}" ${2:+"$2"}
