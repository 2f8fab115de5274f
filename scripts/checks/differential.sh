#!/usr/bin/env bash
# The same queries to Prometheus and to the real server, over made-up data: scripts/differential/run.py says how.
set -euo pipefail
CHECK=differential
here=$(cd "$(dirname "$0")" && pwd)
: "${BAROGRAPH:?path of the server binary}"
. "$here/../tools.bash"

command -v python3 >/dev/null || skip 'no python3'
need_prometheus
export PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/../differential/run.py" --barograph "$BAROGRAPH"
