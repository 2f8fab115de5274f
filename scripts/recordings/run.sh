#!/usr/bin/env bash
# Takes directories of recorded CSV files through the whole database: line protocol, `barograph import`, a server, and
# queries. For every series, count, minimum, maximum and sum must equal those computed from the files: run.sh FOLDER...
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${BAROGRAPH:?path of the server binary}"
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT

failed=0
for folder in "$@"; do
    echo "recordings in $folder"
    python3 -B "$here/to_lines.py" "$folder" "$work/lines" | tail -n 1
    "$BAROGRAPH" import --data-dir "$work/data" "$work/lines"/*.lp
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    "$BAROGRAPH" serve --data-dir "$work/data" --listen "127.0.0.1:$port" --self-interval 0s 2>"$work/log" &
    server=$!
    for _ in $(seq 6000); do
        curl -sf "http://127.0.0.1:$port/-/ready" >/dev/null && break
        kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
        sleep 0.1
    done
    python3 -B "$here/check.py" "$folder" "http://127.0.0.1:$port" || failed=1
    kill "$server"
    wait "$server"
    server=
    rm -rf "$work/data" "$work/lines"
done
exit $failed
