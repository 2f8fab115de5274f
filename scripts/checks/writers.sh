#!/usr/bin/env bash
# Client libraries that write, against the real server: PyPI's and npm's clients of remote write, OpenTelemetry's
# exporter, and the clients of InfluxDB 1, 2 and 3 and of QuestDB for Node.js.
set -euo pipefail
CHECK=writers
here=$(cd "$(dirname "$0")" && pwd)
: "${BAROGRAPH:?path of the server binary}"
. "$here/../tools.bash"

command -v python3 >/dev/null || skip 'no python3'
PYPI= MODULES=
if python_environment writers 'prometheus-remote-writer==1.1.3' 'opentelemetry-exporter-prometheus-remote-write==0.66b1'; then
    PYPI=$PYTHON
fi
npm_modules writers 'prometheus-remote-write@0.5.1' 'node-fetch@2.7.0' 'influx@5.12.0' '@influxdata/influxdb-client@1.35.0' \
    '@influxdata/influxdb-client-apis@1.35.0' '@influxdata/influxdb3-client@2.1.0' '@questdb/nodejs-client@4.2.0' || MODULES=
export BAROGRAPH PYPI MODULES PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/writers.py"
