#!/usr/bin/env bash
# A real Prometheus next to the real server: it scrapes and writes here by remote write, and a second one with an empty
# storage reads back by remote read and federation. All must answer queries alike. Native histograms and exemplars are
# included. scripts/checks/prometheus.py has the details. Everything stays on loopback.
set -euo pipefail
CHECK=prometheus
here=$(cd "$(dirname "$0")" && pwd)
: "${BAROGRAPH:?path of the server binary}"
. "$here/../tools.bash"

command -v python3 >/dev/null || skip 'no python3'
need_prometheus
export PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/prometheus.py"
