#!/usr/bin/env bash
# Real clients against the real server: writes with PyPI's influxdb-client and influxdb (1.x), reads with Prometheus'
# promtool. What it needs is fetched once into ~/.cache/barograph: a Python environment, and promtool out of Debian's
# prometheus package, unpacked and not installed, so that no daemon starts and no root is needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${BAROGRAPH:?path of the server binary}"
tools="${XDG_CACHE_HOME:-$HOME/.cache}/barograph/tools"
mkdir -p "$tools"

skip() {
    echo "clients: SKIPPED ($1)"
    exit 77
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

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

promtool_binary() {
    PROMTOOL=$(command -v promtool || true)
    [ -z "$PROMTOOL" ] || return 0
    PROMTOOL="$tools/promtool"
    [ ! -x "$PROMTOOL" ] || return 0
    local unpacked
    unpacked=$(mktemp -d)
    (
        cd "$unpacked"
        apt-get -qq download prometheus 2>/dev/null || { as_root apt-get -qq update && apt-get -qq download prometheus; }
        dpkg -x prometheus_*.deb .
    ) >/dev/null 2>&1 || skip 'no promtool: sudo apt-get install prometheus'
    mv "$unpacked/usr/bin/promtool" "$PROMTOOL"
    rm -rf "$unpacked"
}

python_environment
promtool_binary
export BAROGRAPH PROMTOOL PYTHONDONTWRITEBYTECODE=1
exec "$PYTHON" "$here/clients.py"
