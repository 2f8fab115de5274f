#!/usr/bin/env bash
# One series with millions of samples and little memory: the process stays within its setting while it loads and merges.
# BAROGRAPH_MEMORY_SAMPLES=20000000 for twenty million samples.
set -euo pipefail
exec python3 -B "$(dirname "$0")/memory.py"
