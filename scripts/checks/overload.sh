#!/usr/bin/env bash
# Attacks a real server's memory while honest clients use it: overload.sh [quick|long]
# quick: `memory` of 128 MiB, counts and bytes only. long: 128 MiB, 256 MiB and 1 GiB, ten times the load, times as
# well.
set -euo pipefail
exec python3 -B "$(dirname "$0")/overload.py" "${1:-quick}"
