"""Prometheus 2.42 and the server, each way: remote write with native histograms, exemplars and metadata; the same
queries to both; remote read in both forms; federation. Run by prometheus.sh."""

import contextlib
import http.server
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import wire
from harness import PATIENCE, Checks, Server, free_port, wait_for

# The comparison ends just after this number of seconds in which every scrape succeeded.
SECONDS_WANTED = 12

INSTANT = [
    "up",
    # Without native histograms, which the remote-read client of Prometheus 2.42 does not support.
    "count by (job) ({__name__=~\".+\", kind=\"\"})",
    "sum by (job) (scrape_samples_scraped)",
    "prometheus_build_info",
    "go_goroutines{job=\"prometheus\"}",
    "max_over_time(go_memstats_alloc_bytes{job=\"prometheus\"}[8s])",
    "sum by (handler) (prometheus_http_requests_total)",
    "barograph_ingest_samples_total",
    "made_total",
    "histogram_quantile(0.9, sum by (le) (prometheus_http_request_duration_seconds_bucket))",
    "absent(nothing)",
]
RANGE = ["up", "sum(go_goroutines)", "min_over_time(go_memstats_alloc_bytes{job=\"prometheus\"}[3s])", "made_total * 2"]


class Exporter:
    """Exposes a counter with an exemplar and a native histogram, in the protobuf format that Prometheus requests."""

    def __init__(self):
        self.scrapes = 0
        exporter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                exporter.scrapes += 1
                kind = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
                body = exporter.families(exporter.scrapes)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                # A scraper that timed out has disconnected.
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def families(n):
        exemplar = wire.message(2, wire.message(1, wire.message(1, "trace_id"), wire.message(2, f"trace-{n}")),
                                wire.double(2, 0.5))
        counter = wire.message(3, wire.double(1, float(n)), exemplar)
        # Buckets 0, 1 and 3 hold n, 2n and n observations, the zero bucket n.
        spans = [wire.message(12, wire.zigzag(1, offset), wire.integer(2, length)) for offset, length in ((0, 2), (1, 1))]
        histogram = wire.message(7, wire.integer(1, 5 * n), wire.double(2, 12.5 * n), wire.zigzag(5, 1),
                                 wire.double(6, 0.001), wire.integer(7, n), *spans,
                                 wire.packed_zigzag(13, [n, n, -n]))
        families = [
            (wire.message(1, "made_total"), wire.message(2, "Scrapes so far."), wire.integer(3, 0), wire.message(4, counter)),
            (wire.message(1, "made_sizes"), wire.message(2, "Made-up sizes."), wire.integer(3, 4),
             wire.message(4, wire.message(1, wire.message(1, "kind"), wire.message(2, "a")), histogram)),
        ]
        return b"".join(wire.varint(len(body)) + body for body in map(b"".join, families))


class Prometheus:
    """One process with its own storage."""

    def __init__(self, folder, name, config):
        self.folder, self.port = os.path.join(folder, name), free_port()
        os.makedirs(self.folder)
        self.config = config
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self):
        path = os.path.join(self.folder, "prometheus.yml")
        with open(path, "w") as file:
            # YAML is a superset of JSON.
            json.dump(self.config(self), file)
        command = ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.folder}/data",
                   f"--web.listen-address=127.0.0.1:{self.port}",
                   "--enable-feature=native-histograms,exemplar-storage", "--web.enable-remote-write-receiver"]
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for("Prometheus", lambda: get(self.url + "/-/ready") is not None)
            yield self
        finally:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def get(url, **parameters):
    """The body, or None if nothing answers."""
    if parameters:
        url += "?" + urllib.parse.urlencode(parameters, doseq=True)
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.read()
    except OSError:
        return None


def post(url, body, **headers):
    request = urllib.request.Request(url, body, {name.replace("_", "-"): text for name, text in headers.items()})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read()


def data(url, path, **parameters):
    body = get(f"{url}/api/v1/{path}", **parameters)
    return json.loads(body)["data"] if body else None


class Patience:
    """Prometheus sends at its own pace, so answers are compared until they are equal or the time is up."""

    def __init__(self):
        self.deadline = time.monotonic() + PATIENCE

    def both(self, ask, are_equal=lambda got, want: got == want):
        """The pair that `ask` returns, when both are equal or at the end."""
        while True:
            got, want = ask()
            if are_equal(got, want) or time.monotonic() > self.deadline:
                return got, want
            time.sleep(0.2)


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=PATIENCE)
    return sorted(done.stdout.splitlines()) if done.returncode == 0 else f"{done.returncode}: {done.stderr.strip()}"


def scraping(exporter, server):
    """The first Prometheus scrapes itself, the exporter and the server, and writes to the server."""
    def job(name, *ports):
        return {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}

    return lambda own: {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [job("prometheus", own.port), job("made", exporter.port), job("barograph", server.port)],
        "remote_write": [{
            "url": f"{server.url}/api/v1/write", "send_exemplars": True, "send_native_histograms": True,
            "metadata_config": {"send_interval": "2s"}, "queue_config": {"batch_send_deadline": "1s", "retry_on_http_429": True},
        }],
    }


def reading(server):
    """The second one reads from the server, and scrapes its federation."""
    return lambda _: {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "remote_read": [{"url": f"{server.url}/api/v1/read", "read_recent": True}],
        "scrape_configs": [{
            "job_name": "federate", "metrics_path": "/federate", "params": {"match[]": ["{job=\"prometheus\"}"]},
            "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}],
        }],
    }


def newest(url, query):
    """The oldest of the newest sample times of the series of a query; None if there are none."""
    found = data(url, "query", query=f"timestamp({query})")
    times = [float(item["value"][1]) for item in found["result"]] if found else []
    return min(times) if times else None


def close(a, b):
    """Equal answers of the query API, numbers to nine digits."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    try:
        return math.isclose(float(a), float(b), rel_tol=1e-9) or str(a) == str(b)
    except (TypeError, ValueError):
        return a == b


def answers(url, query, at):
    found = data(url, "query", query=query, time=at)
    return sorted(found["result"], key=lambda item: sorted(item["metric"].items())) if found else None


def compare_queries(checks, patience, first, second, title, at):
    def compare(name, arguments):
        got, want = patience.both(lambda: [promtool("query", *arguments(url)) for url in (second, first)])
        checks.holds(f"{title}: {name}", got == want and want != [], f"got {got}, Prometheus says {want}")

    for query in INSTANT:
        compare(query, lambda url: ("instant", url, query, "--time", str(at)))
    for query in RANGE:
        compare(f"range of {query}", lambda url: ("range", "--start", str(at - 6), "--end", str(at), "--step", "1s", url, query))


def compare_histograms(checks, patience, first, second, title, at):
    def compare(name, query, is_right=bool):
        got, want = patience.both(lambda: [answers(url, query, at) for url in (second, first)], close)
        checks.holds(f"{title}: {name}", is_right(want) and close(got, want), f"got {got}, Prometheus says {want}")

    compare("a native histogram", "made_sizes", lambda want: bool(want) and "histogram" in want[0])
    for query in ("histogram_count(made_sizes)", "histogram_sum(rate(made_sizes[6s]))"):
        compare(query, query)


def exemplars(url, at):
    found = data(url, "query_exemplars", query="made_total", start=at - 300, end=at) or []
    return {json.dumps(series["seriesLabels"], sort_keys=True): sorted(json.dumps(e, sort_keys=True) for e in series["exemplars"])
            for series in found}


def compare_notes(checks, patience, first, server, at):
    # Prometheus sends the last data of its targets in any order.
    for metric in ("go_goroutines", "made_total", "made_sizes", "prometheus_http_requests_total"):
        got, want = patience.both(lambda: [data(url, "metadata", metric=metric) for url in (server.url, first.url)])
        checks.equal(f"metadata of {metric}", got, want)
    got, want = patience.both(lambda: [exemplars(url, at) for url in (server.url, first.url)])
    checks.holds("exemplars", bool(want) and got == want, f"got {got}, Prometheus says {want}")


def send_float_histograms(url):
    """Float histograms, which no exporter has: sent to Prometheus by remote write, so that it forwards them."""
    labels = [wire.message(1, wire.message(1, name), wire.message(2, value))
              for name, value in (("__name__", "made_floats"), ("kind", "b"))]
    now = int(time.time() * 1000)
    samples = []
    for i in range(20):
        n = i + 1
        samples.append(wire.message(
            4, wire.double(2, 5.0 * n), wire.double(3, 12.5 * n), wire.zigzag(4, 1), wire.double(5, 2.0 ** -128),
            wire.double(7, float(n)), wire.message(8, wire.zigzag(1, -3), wire.integer(2, 1)),
            wire.message(10, wire.struct.pack("<d", n / 3)), wire.message(11, wire.zigzag(1, 0), wire.integer(2, 2)),
            wire.message(11, wire.zigzag(1, 1), wire.integer(2, 1)),
            wire.message(13, wire.struct.pack("<3d", 1.5 * n, 2.25 * n, 0.25 * n)),
            wire.integer(15, now - 8_000 + i * 150 + i * i % 7)))
    post(f"{url}/api/v1/write", wire.snappy(wire.message(1, *labels, *samples)), Content_Type="application/x-protobuf",
         Content_Encoding="snappy", X_Prometheus_Remote_Write_Version="0.1.0")


def remote_read(url, start_ms, end_ms, name, form):
    matcher = wire.message(3, wire.integer(1, 2), wire.message(2, "__name__"), wire.message(3, name))
    query = wire.message(1, wire.integer(1, start_ms), wire.integer(2, end_ms), matcher)
    body = wire.snappy(query + wire.integer(2, form))
    return post(f"{url}/api/v1/read", body, Content_Type="application/x-protobuf", Content_Encoding="snappy")


def streamed_chunks(body):
    """Labels -> list of chunks (type, bytes)."""
    series = {}
    for frame in wire.frames(body):
        inner = dict(wire.fields(frame))[1]
        chunks = [dict(wire.fields(value)) for number, value in wire.fields(inner) if number == 2]
        series.setdefault(wire.label_pairs(inner), []).extend((chunk[3], chunk[4]) for chunk in chunks)
    return series


def sampled_series(body):
    series = {}
    result = dict(wire.fields(wire.unsnappy(body)))[1]
    for _, inner in wire.fields(result):
        samples = [dict(wire.fields(value)) for number, value in wire.fields(inner) if number == 2]
        pairs = [(sample.get(2, 0), wire.struct.unpack(">Q", wire.struct.pack(">d", sample.get(1, 0.0)))[0]) for sample in samples]
        series[wire.label_pairs(inner)] = pairs
    return series


def compare_remote_read(checks, patience, first, server, sent, at):
    end = int(at * 1000)
    span = end - 20_000, end
    names = "up|go_goroutines|go_memstats_alloc_bytes|process_cpu_seconds_total|made_total"
    for name in names.split("|"):
        patience.both(lambda: [answers(url, f"count_over_time({name}[25s])", at) for url in (server.url, first.url)])
    # Windows of all lengths, because the bit at which a chunk ends affects its last byte.
    compared, unlike = 0, []
    for start in range(end - 20_000, end, 500):
        ours, theirs = (streamed_chunks(remote_read(url, start, end, names, 1)) for url in (server.url, first.url))
        decoded = [{labels: sum((wire.xor_chunk(chunk) for _, chunk in chunks), []) for labels, chunks in found.items()}
                   for found in (ours, theirs)]
        if start == span[0]:
            checks.holds("remote read, streamed: the same samples", bool(decoded[1]) and decoded[0] == decoded[1], f"{decoded}")
        alike = [labels for labels, chunks in theirs.items() if len(chunks) == 1]
        compared += len(alike)
        unlike += [f"{start} {labels}: {ours.get(labels)}, Prometheus sends {theirs[labels]}"
                   for labels in alike if ours.get(labels) != theirs[labels]]
    checks.holds("remote read, streamed: chunks of the same bytes", compared > 100 and not unlike,
                 f"of {compared} these are not: " + "\n    ".join(unlike[:4]))
    ours, theirs = (streamed_chunks(remote_read(url, int(sent * 1000) - 20_000, end, "made_floats", 1)) for url in (server.url, first.url))
    checks.holds("remote read, streamed: float histograms in the same bytes", bool(theirs) and ours == theirs,
                 f"{ours}, Prometheus sends {theirs}")
    ours, theirs = (sampled_series(remote_read(url, *span, names, 0)) for url in (server.url, first.url))
    checks.holds("remote read, sampled: the same samples", bool(theirs) and ours == theirs, f"{ours} and {theirs}")


def compare_read_histograms(checks, first, server, at):
    """The newest histogram of a sampled response, compared with Prometheus' own query."""
    body = remote_read(server.url, int(at * 1000) - 5_000, int(at * 1000), "made_sizes", 0)
    result = dict(wire.fields(wire.unsnappy(body)))[1]
    series = dict(wire.fields(dict(wire.fields(result)).get(1, b"")))
    read = dict(wire.fields(series[4])) if 4 in series else {}
    counts = [count for count, in wire.struct.iter_unpack("<d", read.get(13, b""))]
    got = [read.get(2), read.get(3), read.get(7), *counts]
    found = answers(first.url, "made_sizes", at)[0]["histogram"][1]
    want = [float(text) for text in (found["count"], found["sum"], *(bucket[3] for bucket in found["buckets"]))]
    checks.holds("remote read, sampled: a native histogram", got == want, f"got {got}, Prometheus says {want}")


def check_reader(checks, patience, folder, first, server, at):
    second = Prometheus(folder, "second", reading(server))
    with second.running():
        compare_queries(checks, patience, first.url, second.url, "read back by a second Prometheus", at)
        scraped = "scrape_samples_scraped{job=\"federate\"} > bool 100 and up{job=\"federate\", exported_job=\"\"} == 1"
        got, want = patience.both(lambda: (values(second.url, scraped), ["1"]))
        checks.equal("federation is scraped", got, want)


def values(url, query, **parameters):
    return [item["value"][1] for item in data(url, "query", query=query, **parameters)["result"]]


def after_good_scrapes(url, since):
    """An instant after a period, later than `since`, in which all three targets were scraped each second."""
    window = f"[{SECONDS_WANTED + 1}s]"
    good = f"count(min_over_time(up{window}) == 1 and count_over_time(up{window}) >= {SECONDS_WANTED}) == 3"
    found = []

    def is_found():
        # Samples scraped a second ago are stored.
        at = round((newest(url, "up") or 0) - 1.5, 3)
        if at > since and values(url, good, time=at):
            found.append(at)
        return found

    wait_for("good scrapes", is_found, 0.5)
    return found[0]


def main():
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        exporter = Exporter()
        # Its own metrics are scraped here; if it wrote them as well, they would be the same series.
        server = Server(os.path.join(folder, "data"), os.path.join(folder, "server.log"), "--self-interval", "0")
        with server.running():
            first = Prometheus(folder, "first", scraping(exporter, server))
            with first.running():
                compare_all(checks, folder, first, server)
            survives_restart(checks, server)
        goes_on_beside_a_limit(checks, folder, exporter)
    checks.finish("prometheus")


def compare_all(checks, folder, first, server):
    # Remote write forwards only samples that are younger than Prometheus itself.
    after_good_scrapes(first.url, 0)
    sent = time.time()
    send_float_histograms(first.url)
    at = after_good_scrapes(first.url, sent)
    wait_for("the queue to be sent", lambda: (newest(server.url, "up") or 0) > at + 3)
    patience = Patience()
    compare_queries(checks, patience, first.url, server.url, "remote write", at)
    compare_histograms(checks, patience, first.url, server.url, "remote write", at)
    compare_notes(checks, patience, first, server, at)
    compare_remote_read(checks, patience, first, server, sent, at)
    compare_read_histograms(checks, first, server, at)
    check_reader(checks, patience, folder, first, server, at)
    failed = "sum(prometheus_remote_storage_samples_failed_total) + sum(prometheus_remote_storage_histograms_failed_total) + " \
             "sum(prometheus_remote_storage_exemplars_failed_total)"
    got, want = patience.both(lambda: (values(first.url, failed), ["0"]))
    checks.equal("nothing that was sent was refused", got, want)


def goes_on_beside_a_limit(checks, folder, exporter):
    """A Prometheus that retries on 429, and a metric with more series than allowed: all other metrics continue."""
    server = Server(os.path.join(folder, "limited"), os.path.join(folder, "limited.log"), "--self-interval", "0",
                    "--max-series-per-metric", "3")
    with server.running():
        sender = Prometheus(folder, "sender", scraping(exporter, server))
        with sender.running():
            enough = "count_over_time(up{job='made'}[1h]) >= 12"
            wait_for("samples beside a limit", lambda: data(server.url, "query", query=enough)["result"])
            at = newest(server.url, "up")
            wait_for("the samples after them", lambda: (newest(server.url, "up") or 0) > at + 2)

            def value(url, query):
                return [float(item["value"][1]) for item in data(url, "query", query=query)["result"]]

            metric = "count(prometheus_tsdb_compaction_chunk_size_bytes_bucket)"
            checks.holds("more series than the limit are sent", value(sender.url, metric)[0] > 3)
            checks.equal("as many as the limit are stored", value(server.url, metric), [3.0])
            retried = value(sender.url, "sum(prometheus_remote_storage_samples_retried_total)")
            checks.equal("nothing is sent again", retried, [0.0])
            with open(os.path.join(sender.folder, "log"), errors="replace") as log:
                checks.holds("its log names the setting", "max_series_per_metric" in log.read())


def survives_restart(checks, server):
    """Metadata and exemplars survive a kill, and a flush followed by a kill."""
    def known():
        return (data(server.url, "metadata", metric="made_total"),
                data(server.url, "query_exemplars", query="made_total", start=0, end=time.time()))

    before = known()
    server.kill()
    server.start()
    checks.holds("metadata and exemplars survive kill -9", before[0] and before[1] and known() == before, f"{known()}")
    server.stop()
    server.start()
    checks.holds("and a flush with a restart", known() == before, f"{known()}")


if __name__ == "__main__":
    sys.exit(main())
