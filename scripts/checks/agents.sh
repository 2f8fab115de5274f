#!/usr/bin/env bash
# Real agents against the real server: VictoriaMetrics' vmagent (Debian's package, unpacked) forwards pushed samples,
# and Glances (PyPI) exports as if to InfluxDB 1.
set -euo pipefail
CHECK=agents
here=$(cd "$(dirname "$0")" && pwd)
: "${BAROGRAPH:?path of the server binary}"
. "$here/../tools.bash"

command -v python3 >/dev/null || skip 'no python3'
VMAGENT=$(command -v vmagent || true)
if [ -z "$VMAGENT" ] && unpack_package victoria-metrics "$tools/victoria-metrics"; then
    VMAGENT="$tools/victoria-metrics/usr/bin/vmagent"
fi
GLANCES=
if python_environment agents 'Glances==4.5.8' 'influxdb==5.3.2'; then
    GLANCES="$(dirname "$PYTHON")/glances"
fi
export BAROGRAPH VMAGENT GLANCES PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/agents.py"
