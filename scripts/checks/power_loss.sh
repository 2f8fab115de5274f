#!/usr/bin/env bash
# Cuts the power of the file system under the server and compares what it kept: power_loss.sh [ROUNDS] [SEED]
# Mounts need root; without it, or where mounts are forbidden, the check says so and counts as skipped.
set -euo pipefail
crash="$(dirname "$0")/crash.py"
rounds="${1:-10}"
if [ "$(id -u)" = 0 ]; then
    exec python3 -B "$crash" power "$rounds" ${2:+"$2"}
elif sudo -n true 2>/dev/null; then
    exec sudo -n --preserve-env=BAROGRAPH python3 -B "$crash" power "$rounds" ${2:+"$2"}
fi
echo 'power loss: SKIPPED (mounting a file system needs root)'
exit 77
