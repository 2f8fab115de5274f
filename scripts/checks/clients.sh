#!/usr/bin/env bash
# Real clients against the real server: writes with PyPI's influxdb-client and influxdb (1.x), in a Python environment of
# their own, reads with Prometheus' promtool.
set -euo pipefail
CHECK=clients
here=$(cd "$(dirname "$0")" && pwd)
: "${BAROGRAPH:?path of the server binary}"
. "$here/../tools.bash"

python_environment() {
    local venv="$tools/python-clients-1"
    if [ ! -e "$venv/ready" ]; then
        rm -rf "$venv"
        if ! python3 -m venv "$venv" >/dev/null 2>&1; then
            as_root apt-get -qq update >/dev/null 2>&1 || true
            as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3-venv >/dev/null 2>&1 ||
                skip 'no Python environment: sudo apt-get install python3-venv'
            python3 -m venv "$venv" >/dev/null
        fi
        "$venv/bin/pip" -q --disable-pip-version-check install 'influxdb-client==1.50.0' 'influxdb==5.3.2' ||
            skip 'PyPI cannot be reached: pip install influxdb-client influxdb'
        touch "$venv/ready"
    fi
    PYTHON="$venv/bin/python3"
}

python_environment
need_prometheus
PROMTOOL=$(command -v promtool)
export BAROGRAPH PROMTOOL PYTHONDONTWRITEBYTECODE=1
exec "$PYTHON" "$here/clients.py"
