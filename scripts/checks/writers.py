"""Writes with the client libraries of PyPI and npm, and compares what arrives.

Started by writers.sh, which names a Python that has the libraries in PYPI and the folder of npm's modules in MODULES. Each
client runs in a process of its own (writers_pypi.py, writers_otel.py, writers_npm.js) and prints what its calls returned.
"""

import json
import os
import pathlib
import subprocess
import time

from harness import PATIENCE, Server, checking

SECOND = 1_700_000_000
HERE = pathlib.Path(__file__).parent


def client(interpreter, script, *arguments):
    """What a client prints: a JSON object, one entry for each call; the text of an exception begins with `error`."""
    command = [interpreter, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{script} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def series(server, name, at=SECOND):
    """Labels without the name, and value, of a metric's series."""
    found = server.query(f'{{__name__="{name}"}}', at)
    return [({k: v for k, v in labels.items() if k != "__name__"}, value) for labels, value in found]


def pypi(server, checks):
    """prometheus-remote-writer sends labels in the order in which its caller named them."""
    said = client(os.environ["PYPI"], "writers_pypi.py", server.url, SECOND)
    checks.equal("prometheus-remote-writer: answers", said, {"unsorted": 204, "many": 204, "empty": 204})
    checks.equal("prometheus-remote-writer: labels in any order", series(server, "pypi_unsorted"), [({"a": "2", "z": "1"}, 1.5)])
    checks.equal("... an empty label", series(server, "pypi_empty"), [({"z": "1"}, 3.0)])
    checks.equal("... many series", server.value("sum(pypi_many)", SECOND), float(sum(range(3000))))
    checks.equal("... each once", server.value("count(pypi_many)", SECOND), 3000.0)


def opentelemetry(server, checks):
    """OpenTelemetry's exporter sends attributes without a value as empty labels."""
    said = client(os.environ["PYPI"], "writers_otel.py", server.url)
    checks.equal("OpenTelemetry: the export", said, {"export": "SUCCESS"})
    now = time.time() + 1
    checks.equal("OpenTelemetry: an empty attribute", series(server, "orders", now), [({"route": "/a", "service_name": "shop"}, 3.0)])
    checks.equal("... a counter that goes down", series(server, "open", now), [({"service_name": "shop"}, -2.0)])
    checks.equal("... a histogram's sum", series(server, "sizes_sum", now), [({"service_name": "shop"}, 7.5)])
    buckets = {labels["le"]: value for labels, value in series(server, "sizes", now)}
    checks.equal("... a histogram's buckets", buckets, {"1": 1.0, "10": 1.0, "+Inf": 0.0})


def npm(server, checks):
    """The clients of Node.js, each in its own manner."""
    said = client("node", "writers_npm.js", server.url, SECOND)
    for name, answer in npm_answers().items():
        checks.equal(f"npm {name}", said.get(name), answer)
    stored = {
        "npm_unsorted": [({"a": "2", "b": "x", "z": "1"}, 2.5)],
        "v1_flow": [({"db": "plant", "site": "a b"}, 1.25)],
        "v2_flow": [({"db": "house", "site": "c"}, 2.25)],
        "v3_flow": [({"db": "lab", "site": "d"}, 3.25)],
        "v3_now_flow": [({"db": "lab", "site": "e"}, 4.25)],
        "trades_price": [({"pair": "a b"}, 5.25)],
        "trades_count": [({"pair": "a b"}, 7.0)],
    }
    for name, expected in stored.items():
        checks.equal(f"npm stored {name}", series(server, name), expected)


def npm_answers():
    """The results of the calls: some return nothing, others return the server's response."""
    return {
        "prometheus-remote-write": 204,
        "influx: databases before": [],
        "influx: databases after": ["plant"],
        "influx: write": "done",
        "influx: ping": [True],
        "influxdb-client: write": "done",
        "influxdb-client: health": "pass",
        "influxdb-client: ready": "ready",
        "influxdb-client: the bucket": ["house"],
        "influxdb-client: the organization": ["home"],
        "influxdb3-client: write": "done",
        "influxdb3-client: write without sync": "done",
        "questdb: automatic version": "done",
    }


def main():
    parts = {
        pypi: ("PYPI", "pip install prometheus-remote-writer"),
        opentelemetry: ("PYPI", "pip install opentelemetry-exporter-prometheus-remote-write"),
        npm: ("MODULES", "sudo apt-get install npm"),
    }
    with checking("writers") as (checks, folder):
        server = Server(f"{folder}/data", f"{folder}/log")
        with server.running():
            # Without any client nothing was checked, and the whole check counts as skipped.
            if checks.run_where_there_is(parts, lambda part: (server, checks)):
                checks.equal("the server ends well", server.stop(), 0)


main()
