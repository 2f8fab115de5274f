#!/usr/bin/env bash
# Damages the log of a killed server: it must refuse to start, and with --recover-damaged-wal report what was lost.
set -euo pipefail
exec python3 -B "$(dirname "$0")/damage.py"
