#!/usr/bin/env bash
# One series of very many samples in little memory: the process stays within its setting while it loads and merges.
# BAROGRAPH_MEMORY_SAMPLES=20000000 for twenty million of them.
set -euo pipefail
exec python3 -B "$(dirname "$0")/memory.py"
