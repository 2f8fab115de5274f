#!/usr/bin/env bash
# New series each hour for ten hours, of which none expires: memory follows those that are alive.
# BAROGRAPH_KNOWN_SERIES=1000000 for ten million of them.
set -euo pipefail
exec python3 -B "$(dirname "$0")/known.py"
