#!/usr/bin/env bash
# Real clients against the real server: PyPI's influxdb-client and influxdb (1.x), in a separate Python environment,
# write; Prometheus' promtool reads.
set -euo pipefail
CHECK=clients
here=$(cd "$(dirname "$0")" && pwd)
: "${BAROGRAPH:?path of the server binary}"
. "$here/../tools.bash"

python_environment clients 'influxdb-client==1.50.0' 'influxdb==5.3.2' ||
    skip 'no Python packages: sudo apt-get install python3-venv; pip install influxdb-client influxdb'
need_prometheus
PROMTOOL=$(command -v promtool)
export BAROGRAPH PROMTOOL PYTHONDONTWRITEBYTECODE=1
exec "$PYTHON" "$here/clients.py"
