#!/usr/bin/env bash
# New series every hour for ten hours, none of which expires: memory follows the active ones.
# BAROGRAPH_KNOWN_SERIES=1000000 for ten million series.
set -euo pipefail
exec python3 -B "$(dirname "$0")/known.py"
