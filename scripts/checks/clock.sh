#!/usr/bin/env bash
# Sets the wall clock of a real server while it writes and expires data, and checks which samples are still present.
set -euo pipefail
cd "$(dirname "$0")"
CHECK=clock
. ../tools.bash
fault_library clock
CLOCK="$LIBRARY" python3 -B clock.py
