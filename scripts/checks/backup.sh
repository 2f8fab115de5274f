#!/usr/bin/env bash
# Makes snapshots of a server under load, restores each, and compares it with the acknowledged writes: backup.sh
# [ROUNDS] [SEED]
set -euo pipefail
exec python3 -B "$(dirname "$0")/backup.py" "${1:-4}" ${2:+"$2"}
