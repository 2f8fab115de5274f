#!/usr/bin/env bash
# Sets the wall clock of a real server while it writes and expires data, and checks which samples are still there.
set -euo pipefail
cd "$(dirname "$0")"
CHECK=clock
. ../tools.bash
need_command cc gcc libc6-dev
library=$(mktemp --suffix=.so)
trap 'rm -f "$library"' EXIT
cc -O1 -shared -fPIC -Wall -o "$library" ../faults/clock.c
CLOCK="$library" python3 -B clock.py
