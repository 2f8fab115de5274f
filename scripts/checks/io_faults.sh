#!/usr/bin/env bash
# Lets one call of the operating system fail under a real server and compares what it kept: io_faults.sh [EVERY]
#
# EVERY  each call of a kind fails once, or each N-th (1: every one); without it a few of each kind
set -euo pipefail
cd "$(dirname "$0")"
CHECK=io_faults
. ../tools.bash
command -v cc >/dev/null || skip 'no C compiler: sudo apt-get install gcc libc6-dev'
library=$(mktemp --suffix=.so)
trap 'rm -f "$library"' EXIT
cc -O1 -shared -fPIC -Wall -o "$library" ../faults/io.c -ldl
IO_FAULTS="$library" python3 -B io_faults.py "$@"
