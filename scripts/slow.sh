#!/usr/bin/env bash
# Runs a command and its child processes with the CPU limited to a fraction of one core: slow.sh COMMAND...
# Tests must pass under this limit. `make test-slow` runs them with it, after they are built at full speed.
#
# CORES  the fraction, default 0.5
#
# The kernel enforces the limit, set through systemd or through a separate control group, which needs root.
set -euo pipefail
cores=${CORES:-0.5}
[ $# -gt 0 ] || { echo "usage: $0 COMMAND..." >&2; exit 2; }
percent=$(awk -v cores="$cores" 'BEGIN { printf "%d", cores * 100 }')
period=100000
quota=$((percent * period / 100))
[ "$quota" -ge 1000 ] || { echo "CORES=$cores: a number from 0.01 up" >&2; exit 2; }

if [ "$(id -u)" != 0 ]; then
    if systemd-run --user --scope --quiet -p CPUQuota="$percent%" true 2>/dev/null; then
        exec systemd-run --user --scope --quiet -p CPUQuota="$percent%" "$@"
    fi
    echo "Limiting the CPU needs root here: sudo -E $0 $*" >&2
    exit 1
fi

if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    group=/sys/fs/cgroup/barograph-slow-$$
    echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
    mkdir "$group"
    echo "$quota $period" >"$group/cpu.max"
elif [ -e /sys/fs/cgroup/cpu/cpu.cfs_quota_us ]; then
    group=/sys/fs/cgroup/cpu/barograph-slow-$$
    mkdir "$group"
    echo "$period" >"$group/cpu.cfs_period_us"
    echo "$quota" >"$group/cpu.cfs_quota_us"
else
    echo 'This kernel has no control group for the CPU (/sys/fs/cgroup)' >&2
    exit 1
fi
trap 'rmdir "$group" 2>/dev/null || true' EXIT
(
    echo "$BASHPID" >"$group/cgroup.procs"
    exec "$@"
)
