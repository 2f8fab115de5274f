#!/usr/bin/env bash
# Runs the same queries on Prometheus and on the real server over generated data; see scripts/differential/run.py.
set -euo pipefail
CHECK=differential
here=$(cd "$(dirname "$0")" && pwd)
: "${BAROGRAPH:?path of the server binary}"
. "$here/../tools.bash"

command -v python3 >/dev/null || skip 'no python3'
need_prometheus
export PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/../differential/run.py" --barograph "$BAROGRAPH"
