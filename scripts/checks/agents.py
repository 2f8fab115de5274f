"""Writes through real agents and compares what arrives.

Started by agents.sh, which names vmagent in VMAGENT and Glances in GLANCES; a missing one is skipped.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import time

from harness import PATIENCE, Server, checking, free_port, wait_for

SECOND = 1_700_000_000
NANOS = SECOND * 1_000_000_000


class Vmagent:
    """VictoriaMetrics' agent, which accepts pushed samples and forwards them by remote write."""

    def __init__(self, folder, server):
        self.folder, self.server, self.port = folder, server, free_port()

    @contextlib.contextmanager
    def running(self):
        command = [os.environ["VMAGENT"], f"-httpListenAddr=127.0.0.1:{self.port}", f"-remoteWrite.tmpDataPath={self.folder}/queue",
                   f"-remoteWrite.url={self.server.url}/api/v1/write", "-remoteWrite.flushInterval=1s", "-remoteWrite.queues=1"]
        self.folder.mkdir()
        with open(self.folder / "log", "wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for("vmagent", self.answers)
            yield self
        finally:
            process.kill()
            process.wait()

    def answers(self):
        with contextlib.suppress(OSError):
            return self.request("GET", "/health")[0] == 200

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def counters(self):
        """Numbers of blocks answered 204, of blocks dropped, of retries."""
        text = self.request("GET", "/metrics")[1]
        names = 'requests_total{[^}]*status_code="2XX"}', "packets_dropped_total{[^}]*}", "retries_count_total{[^}]*}"
        return [sum(map(int, re.findall(rf"^vmagent_remotewrite_{name} (\d+)$", text, re.MULTILINE))) for name in names]

    def push(self, checks, path, *lines):
        status, text = self.request("POST", path, "\n".join(lines).encode())
        checks.holds(f"vmagent takes {path}", status in (200, 204), f"{status} {text}")


def arrived(server, query, at):
    """The answer as soon as it is not empty."""
    return wait_for(query, lambda: server.query(query, at))


def vmagent(checks, folder):
    """vmagent sends labels in the order they were pushed, empty ones included; all samples are stored."""
    server = Server(str(folder / "data"), str(folder / "log"))
    with server.running(), Vmagent(folder / "vmagent", server).running() as agent:
        agent.push(checks, "/write?db=plant", f"pump,zone=9,area=1 flow=1.25 {NANOS}")
        agent.push(checks, "/api/v1/import/prometheus", f'pushed{{zone="9",area="1",empty="",b="2"}} 5 {SECOND}000')
        agent.push(checks, "/api/v1/import", json.dumps({
            "metric": {"zone": "9", "area": "1", "__name__": "imported"}, "values": [1, 2.5], "timestamps": [NANOS // 10**6 - 1000, NANOS // 10**6]}))
        expected = {
            "pump_flow": ({"__name__": "pump_flow", "area": "1", "db": "plant", "zone": "9"}, 1.25),
            "pushed": ({"__name__": "pushed", "area": "1", "b": "2", "zone": "9"}, 5.0),
            "imported": ({"__name__": "imported", "area": "1", "zone": "9"}, 2.5),
        }
        for name, series in expected.items():
            checks.equal(f"vmagent forwards {name}", arrived(server, name, SECOND), [series])
        checks.equal("vmagent forwards older samples", server.value("count_over_time(imported[1m])", SECOND), 2.0)
        wait_for("vmagent to count its blocks", lambda: agent.counters()[0])
        checks.equal("vmagent has nothing to give up or repeat", agent.counters()[1:], [0, 0])


def vmagent_limit(checks, folder):
    """A permanent limit refuses the new series of one metric and does not block later samples."""
    server = Server(str(folder / "data"), str(folder / "log"), "--max-series-per-metric", "3")
    with server.running(), Vmagent(folder / "vmagent", server).running() as agent:
        agent.push(checks, "/api/v1/import/prometheus", *(f'wide{{n="{n}"}} 1 {SECOND}000' for n in range(10)))
        checks.equal("vmagent: what is within the limit is stored", arrived(server, "count(wide)", SECOND), [({}, 3.0)])
        agent.push(checks, "/api/v1/import/prometheus", f"behind 7 {SECOND}000")
        checks.equal("vmagent: what comes behind is stored", arrived(server, "sum(behind)", SECOND), [({}, 7.0)])
        _, dropped, repeated = agent.counters()
        checks.equal("vmagent: given up, repeated", (dropped, repeated), (1, 0))


def glances_export(folder, server):
    """Some rounds of Glances with its export to InfluxDB; its exit status and what it says."""
    settings = ["host=127.0.0.1", f"port={server.port}", "user=root", "password=root", "db=glances", "prefix=seen", "tags=rack:7"]
    lines = ["[global]", "check_update=false", "[influxdb]", *settings, ""]
    (folder / "glances.conf").write_text("\n".join(lines))
    command = [os.environ["GLANCES"], "-C", str(folder / "glances.conf"), "--export", "influxdb", "--quiet", "--time", "1",
               "--stop-after", "3", "--disable-plugin", "all", "--enable-plugin", "cpu,load,mem"]
    done = subprocess.run(command, env={**os.environ, "HOME": str(folder)}, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=PATIENCE, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def glances(checks, folder):
    """Glances requests the list of databases and gives up if its own is missing."""
    server = Server(str(folder / "data"), str(folder / "log"))
    with server.running():
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        status, answer = server.request("POST", "/query", b"q=CREATE+DATABASE+%22glances%22", form)
        checks.equal("CREATE DATABASE", (status, "error" in json.loads(answer)["results"][0]), (200, False))
    with server.running():
        answer = json.loads(server.request("GET", "/query", q="SHOW DATABASES")[1])
        series = answer["results"][0].get("series", [{}])[0]
        checks.holds("a database is listed before a sample came, and after a crash", ["glances"] in series.get("values", []), f"{answer}")
        status, said = glances_export(folder, server)
        checks.holds("Glances ends well", status == 0, f"{status}: {said}")
        # Gauges of the machine, under the name of the database and with the configured tags.
        names = {labels["__name__"] for labels, _ in server.query('{db="glances",rack="7"}', time.time() + 1)}
        wanted = {"seen.cpu_total", "seen.load_min1", "seen.mem_percent"}
        checks.holds("Glances stores its gauges", wanted <= names, f"{sorted(wanted - names)} not in {sorted(names)}; it says {said!r}")
        memory = int(re.search(r"^MemTotal: +(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.MULTILINE)[1]) * 1024
        checks.equal("Glances stores a value", server.value('{"seen.mem_total",db="glances"}', time.time() + 1), float(memory))


def main():
    parts = {
        vmagent: ("VMAGENT", "sudo apt-get install victoria-metrics"),
        vmagent_limit: ("VMAGENT", "sudo apt-get install victoria-metrics"),
        glances: ("GLANCES", "pip install Glances influxdb"),
    }
    with checking("agents") as (checks, folder):
        def arguments(part):
            own = pathlib.Path(folder) / part.__name__
            own.mkdir()
            return checks, own

        checks.run_where_there_is(parts, arguments)


main()
