"""The servers under measurement: how each is started with its documented best settings, flushed, merged and queried.

`settle` brings a server to rest by its own rules: everything flushed, no merge left to do, CPU idle. `force` requests
the merges that those rules would leave for later. Both return a description of what they did.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

import process

READY_S, IDLE_LIMIT_S, QUIET_S = 600, 300, 4
DAY_NS = 86_400 * 1_000_000_000
CENTURY = "100y"


class Missing(RuntimeError):
    """The peer is not installed."""


class Server:
    """A server in its own process with its own folder."""

    title, package, binary, protocol, asks_promql = "", "", "", "lp", True
    ready_path = "/-/ready"
    lanes_of_queries = [("", {})]  # name and further parameters; VictoriaMetrics is queried with its cache and without

    def __init__(self, folder, data, path=None):
        self.folder, self.data = folder, data
        self.program = path or shutil.which(self.binary)
        if not self.program:
            raise Missing(f"{self.title}: no program `{self.binary}`; {self.how_to_get()}")
        self.port, self.process = None, None

    def how_to_get(self):
        return f"apt-get install --no-install-recommends {self.package}"

    def arguments(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def version_arguments(self):
        return ["--version"]

    def version(self):
        done = subprocess.run([self.program, *self.version_arguments()], capture_output=True, text=True)
        return next((line for line in (done.stdout + done.stderr).splitlines() if line.strip()), "unknown").strip()

    def start(self):
        """Starts it, and returns when it is ready."""
        os.makedirs(self.folder, exist_ok=True)
        self.port = free_port()
        with open(self.folder + ".log", "ab") as log:
            self.process = subprocess.Popen([self.program, *self.arguments()], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**os.environ, **self.environment()}, cwd=self.folder)
        self.wait_for(lambda: self.get(self.ready_path)[0] < 300, "ready")
        return self

    def wait_for(self, condition, what):
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.title} ended with {self.process.returncode}; its output is in {self.folder}.log")
            try:
                if condition():
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.01)
        raise RuntimeError(f"{self.title} was not {what} after {READY_S} s; its output is in {self.folder}.log")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(READY_S)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def pid(self):
        return self.process.pid

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path):
        return self.request("GET", path)

    def call(self, method, path, body=None):
        status, text = self.request(method, path, body)
        if status >= 300:
            raise RuntimeError(f"{self.title}: {method} {path}: {status} {text[:300]!r}")
        return text

    def write_request(self, protocol):
        if protocol == "lp":
            return "/write?precision=ns", {"Content-Type": "text/plain"}
        return "/api/v1/write", {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
                                 "X-Prometheus-Remote-Write-Version": "0.1.0"}

    def idle(self, quiet_s=QUIET_S):
        if process.wait_idle(self.pid, quiet_s, IDLE_LIMIT_S):
            return f"CPU idle for {quiet_s} s"
        return f"STILL BUSY after {IDLE_LIMIT_S} s"

    def settle(self):
        return self.idle()

    def force(self):
        """None if the server has no such call."""
        return None

    def stored_bytes(self):
        return process.disk_bytes(self.folder)

    def first_answer(self, probe, last_s):
        """Waits for an answer with data."""
        self.wait_for(lambda: self.samples_of(probe, last_s) is not None, "answering")

    def samples_of(self, query, at_s):
        """The single value of an instant query; None if there is none."""
        text = urllib.parse.urlencode({"query": query, "time": at_s, **dict(self.lanes_of_queries[0][1])})
        status, answer = self.get("/api/v1/query?" + text)
        if status != 200:
            return None
        result = json.loads(answer)["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def count(self, first_s, last_s):
        """The number of samples it has, in all series."""
        span = f"[{last_s - first_s + 2}s]"
        return sum(self.samples_of(f"sum(count_over_time({name}{span}))", last_s + 1) or 0 for name in self.data.metrics)


class Barograph(Server):
    title, binary = "barograph", "barograph"

    def arguments(self):
        return ["serve", "--data-dir", self.folder, "--listen", f"127.0.0.1:{self.port}", "--enable-admin",
                "--self-interval", "0", "--query-max-series", "20000000", "--query-max-samples", "1000000000"]

    def settle(self):
        self.call("POST", "/api/v1/admin/tsdb/flush")
        return f"flush call (fsync before every answer all along), then {self.idle()}"

    def force(self):
        """A sample from days later closes the partitions; closed partitions are merged to one generation each."""
        self.call("POST", "/write?precision=ns", f"compare_marker value=1 {self.data.last_ns + 3 * DAY_NS}\n".encode())
        path, deadline = "/api/v1/admin/tsdb/clean_tombstones", time.monotonic() + IDLE_LIMIT_S
        # 503 while an earlier read still needs the replaced files.
        while (answer := self.request("POST", path))[0] == 503 and time.monotonic() < deadline:
            time.sleep(0.1)
        if answer[0] >= 300:
            raise RuntimeError(f"{self.title}: clean_tombstones: {answer[0]} {answer[1][:300]!r}")
        return f"a sample three days later, which closes the partitions, a call to merge, then {self.idle()}"


class VictoriaMetrics(Server):
    title, package, binary = "victoria-metrics", "victoria-metrics", "victoria-metrics"
    ready_path = "/health"
    lanes_of_queries = [("", {"nocache": "1"}), ("+cache", {})]
    QUIET_S = 12  # it writes its parts from memory to disk every five seconds

    def arguments(self):
        return [f"-storageDataPath={self.folder}", f"-httpListenAddr=127.0.0.1:{self.port}", f"-retentionPeriod={CENTURY}",
                "-search.latencyOffset=0s", "-influxSkipSingleField", "-search.maxUniqueTimeseries=20000000",
                "-search.maxSeries=20000000", "-search.maxQueryDuration=2m", "-search.maxPointsPerTimeseries=100000"]

    def version_arguments(self):
        return ["-version"]

    def version(self):
        """Debian's build prints no version, so this is the version of the package."""
        text = super().version()
        if text != "unknown":
            return text
        done = subprocess.run(["dpkg-query", "-W", self.package], capture_output=True, text=True)
        return "Debian " + done.stdout.strip().replace("\t", " ")

    def stored_bytes(self):
        """Without the caches that a graceful stop saves."""
        return super().stored_bytes() - process.disk_bytes(os.path.join(self.folder, "cache"))

    def settle(self):
        self.call("GET", "/internal/force_flush")
        return f"/internal/force_flush, then {self.idle(self.QUIET_S)}"

    def force(self):
        self.call("GET", "/internal/force_merge")
        return f"/internal/force_merge, then {self.idle(self.QUIET_S)}"


class Prometheus(Server):
    title, package, binary, protocol = "prometheus", "prometheus", "prometheus", "rw"

    def arguments(self):
        config = self.folder + ".yml"
        open(config, "w").close()
        arguments = [f"--config.file={config}", f"--storage.tsdb.path={self.folder}", "--web.enable-remote-write-receiver",
                     f"--web.listen-address=127.0.0.1:{self.port}", f"--storage.tsdb.retention.time={CENTURY}",
                     "--web.enable-admin-api", "--query.max-samples=1000000000", "--storage.tsdb.wal-compression"]
        if self.data.head_block:
            arguments += [f"--storage.tsdb.m{edge}-block-duration={self.data.head_block}" for edge in ("in", "ax")]
        return arguments

    def force(self):
        """Its head becomes a block only after newer samples arrive; a snapshot writes all of it as blocks."""
        self.call("POST", "/api/v1/admin/tsdb/snapshot")
        return f"a snapshot, whose blocks alone are counted, then {self.idle()}"

    def stored_bytes(self):
        snapshots = os.path.join(self.folder, "snapshots")
        return process.disk_bytes(snapshots if os.path.isdir(snapshots) else self.folder)


class InfluxDb(Server):
    title, package, binary, asks_promql = "influxdb", "influxdb", "influxd", False
    ready_path = "/ping"

    def arguments(self):
        config = self.folder + ".conf"
        with open(config, "w") as text:
            text.write(INFLUX_CONFIG.format(folder=self.folder, port=self.port, other=free_port()))
        return ["run", "-config", config]

    def version_arguments(self):
        return ["version"]

    def start(self):
        super().start()
        self.call("POST", "/query?" + urllib.parse.urlencode({"q": "CREATE DATABASE compare"}))
        return self

    def write_request(self, protocol):
        return "/write?db=compare&precision=ns", {"Content-Type": "text/plain"}

    def settle(self):
        return f"cold shards flush and compact after 10 s, then {self.idle(15)}"

    def ask(self, text):
        query = urllib.parse.urlencode({"db": "compare", "q": text})
        return json.loads(self.call("POST", "/query?" + query))["results"][0].get("series", [])

    def first_answer(self, probe, last_s):
        self.wait_for(lambda: self.ask("SELECT * FROM /.*/ LIMIT 1"), "answering")

    def count(self, first_s, last_s):
        return sum(value for series in self.ask("SELECT count(*) FROM /.*/") for value in series["values"][0][1:])


class Tsink(Server):
    """The embedded peer, through its own project's server for the crate. By default it syncs each append."""

    title, binary = "tsink", "tsink-server"
    ready_path = "/ready"

    def how_to_get(self):
        return ("cargo build --release -p tsink-server in a checkout of https://github.com/h2337/tsink, then "
                "--program tsink=PATH")

    def arguments(self):
        return ["--listen", f"127.0.0.1:{self.port}", "--data-path", self.folder, "--retention", "36500d"]

    def version(self):
        return "0.10, " + os.path.basename(self.program)

    def settle(self):
        return f"its own rules, then {self.idle(10)}"


INFLUX_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{other}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  index-version = "tsi1"
  max-series-per-database = 0
  max-values-per-tag = 0
  cache-snapshot-write-cold-duration = "10s"
  compact-full-write-cold-duration = "10s"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  max-body-size = 0
[monitor]
  store-enabled = false
[logging]
  level = "warn"
"""


def free_port():
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


KINDS = {kind.title: kind for kind in (Barograph, VictoriaMetrics, Prometheus, InfluxDb, Tsink)}
