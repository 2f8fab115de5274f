#!/usr/bin/env bash
# Bursts of datagrams: all of them are kept where the kernel grants the buffer, and everywhere what is lost is counted.
# Debian's collectd, which sends milliseconds, is one of the senders where it can be had.
set -euo pipefail
CHECK=udp
# shellcheck source=../tools.bash
source "$(dirname "$0")/../tools.bash"
need_collectd || { unset COLLECTD && echo '        no collectd: sudo apt-get install collectd-core'; }
exec python3 -B "$(dirname "$0")/udp.py"
