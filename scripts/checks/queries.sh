#!/usr/bin/env bash
# Measures what queries hold against what the process holds, and that stopped queries stop using the CPU.
set -euo pipefail
exec python3 -B "$(dirname "$0")/queries.py"
