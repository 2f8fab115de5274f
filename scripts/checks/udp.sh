#!/usr/bin/env bash
# Bursts of datagrams: every lost one is counted, and none is lost if the kernel grants the buffer. Debian's collectd,
# which sends milliseconds, is one of the senders if it can be installed.
set -euo pipefail
CHECK=udp
# shellcheck source=../tools.bash
source "$(dirname "$0")/../tools.bash"
need_collectd || unset COLLECTD
exec python3 -B "$(dirname "$0")/udp.py"
