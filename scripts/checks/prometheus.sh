#!/usr/bin/env bash
# A real Prometheus beside the real server: it scrapes, writes here by remote write, and a second one with an empty
# storage reads back by remote read and federation; both must answer queries alike. Native histograms and exemplars pass
# through it too. scripts/checks/prometheus.py says how. Everything stays on loopback. What it needs is fetched once into
# ~/.cache/barograph: prometheus and promtool out of Debian's package, unpacked and not installed, so that no daemon
# starts and no root is needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${BAROGRAPH:?path of the server binary}"
tools="${XDG_CACHE_HOME:-$HOME/.cache}/barograph/tools"
mkdir -p "$tools"

skip() {
    echo "prometheus: SKIPPED ($1)"
    exit 77
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

command -v python3 >/dev/null || skip 'no python3'
if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
    if [ ! -x "$tools/prometheus-bin/prometheus" ]; then
        unpacked=$(mktemp -d)
        (
            cd "$unpacked"
            apt-get -qq download prometheus 2>/dev/null || { as_root apt-get -qq update && apt-get -qq download prometheus; }
            dpkg -x prometheus_*.deb .
        ) >/dev/null 2>&1 || skip 'no prometheus: sudo apt-get install prometheus'
        rm -rf "$tools/prometheus-bin"
        mv "$unpacked/usr/bin" "$tools/prometheus-bin"
        rm -rf "$unpacked"
    fi
    PATH="$tools/prometheus-bin:$PATH"
fi
export PATH PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/prometheus.py"
