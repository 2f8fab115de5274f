#!/usr/bin/env bash
# Makes one system call of a real server or command fail and checks what is left: io_faults.sh [EVERY [KIND]]
#
# EVERY  fail every EVERY-th call of a kind, each in a separate run (1: all of them); default: a few of each kind
# KIND   only kinds that have this in their name, such as `EINTR`
set -euo pipefail
cd "$(dirname "$0")"
CHECK=io_faults
. ../tools.bash
fault_library io -ldl
IO_FAULTS="$LIBRARY" python3 -B io_faults.py "$@"
