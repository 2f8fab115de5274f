#!/usr/bin/env bash
# Compares the counted memory of queries with that of the process, and checks that stopped queries stop using the CPU.
set -euo pipefail
exec python3 -B "$(dirname "$0")/queries.py"
