"""Writes with common client libraries, reads with Prometheus' promtool, and compares exactly.

Started by clients.sh, which installs `influxdb-client` (the 2.x protocol), `influxdb` (1.x) and promtool and names the
latter in PROMTOOL. Each part writes metrics of its own, so that one that fails leaves the others alone.
"""

import datetime
import json
import os
import subprocess
import tempfile

import influxdb
from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS

from harness import PATIENCE, Checks, Server

SECOND = 1_700_000_000
NANOS = SECOND * 1_000_000_000


def v2_synchronous(server, checks):
    """influxdb-client, one request per call, with gzip, in each precision."""
    with InfluxDBClient(server.url, token="any", org="home", enable_gzip=True, timeout=PATIENCE * 1000) as client:
        checks.equal("v2 ping", client.ping(), True)
        checks.equal("v2 health", client.health().status, "pass")
        with client.write_api(write_options=SYNCHRONOUS) as write:
            point = Point("weather").tag("city", "Oslo").field("temperature", 21.5).field("humidity", 60).field("rain", True)
            write.write("garden", "home", point.time(NANOS, WritePrecision.NS))
            units = {WritePrecision.S: 1, WritePrecision.MS: 1000, WritePrecision.US: 10**6, WritePrecision.NS: 10**9}
            for unit, factor in units.items():
                write.write("garden", "home", f"unit,in={unit} value={factor} {SECOND * factor}", write_precision=unit)
            odd = Point("odd name,x").tag("a tag", "x=y, z").tag("ünïcode", "naïve ☃").field("value", 1e-300)
            write.write("garden", "home", odd.time(datetime.datetime.fromtimestamp(SECOND, datetime.timezone.utc)))
        for field, value in (("temperature", 21.5), ("humidity", 60.0), ("rain", 1.0)):
            checks.equal(f"v2 field {field}", server.value(f'weather_{field}{{city="Oslo"}}', SECOND), value)
        for unit, factor in units.items():
            checks.equal(f"v2 precision {unit}", server.value(f'timestamp(unit{{in="{unit}"}})', SECOND), float(SECOND))
        labels = [item for item, _ in server.query('{__name__="odd name,x"}', SECOND)]
        checks.equal("v2 escaped and UTF-8 names", [(l.get("a tag"), l.get("ünïcode")) for l in labels], [("x=y, z", "naïve ☃")])
        checks.holds("v2 bucket is a label", labels and "garden" in labels[0].values(), f"{labels}")


def v2_batching(server, checks):
    """influxdb-client with its background batches: everything arrives once."""
    points, workers, errors = 6000, 4, []
    with InfluxDBClient(server.url, token="any", org="home", enable_gzip=True, timeout=PATIENCE * 1000) as client:
        options = WriteOptions(batch_size=500, flush_interval=200)
        with client.write_api(write_options=options, error_callback=lambda *error: errors.append(error)) as write:
            for i in range(points):
                point = Point("batch").tag("worker", str(i % workers)).field("value", i).time(NANOS + i * 10**9, WritePrecision.NS)
                write.write("garden", "home", point)
    checks.equal("v2 batching errors", errors, [])
    end = SECOND + points
    counts = server.query(f"count_over_time(batch[{points + 60}s])", end)
    checks.equal("v2 batching counts", sorted(value for _, value in counts), [points / workers] * workers)
    total = server.value(f"sum(sum_over_time(batch[{points + 60}s]))", end)
    checks.equal("v2 batching sum", total, float(sum(range(points))))


def v1_client(server, checks):
    """The 1.x library: it creates its database first and sends JSON points as lines."""
    client = influxdb.InfluxDBClient("127.0.0.1", server.port, "user", "secret", "plant", gzip=True)
    checks.holds("v1 ping", bool(client.ping()), "no version")
    client.create_database("plant")
    point = {"measurement": "pump", "tags": {"site": "a b"}, "fields": {"flow": 1.25, "open": False, "count": 7}, "time": SECOND}
    checks.equal("v1 write_points", client.write_points([point], time_precision="s"), True)
    client.write([f"valve,site=b value=-0.5 {SECOND}"], params={"db": "plant", "precision": "s"}, protocol="line")
    for text, value in (("pump_flow", 1.25), ("pump_open", 0.0), ("pump_count", 7.0), ("valve", -0.5)):
        checks.equal(f"v1 {text}", server.value(text, SECOND), value)
    labels = server.query("pump_flow", SECOND)[0][0]
    checks.equal("v1 database is the label db", labels.get("db"), "plant")
    point["tags"], point["fields"] = {"site": "far"}, {"flow": 2.5}
    client.switch_database("other")
    client.create_database("other")
    client.write_points([point], time_precision="s")
    checks.equal("v1 databases stay apart", len(server.query("pump_flow", SECOND)), 2)


def v1_http(server, checks):
    """The 1.x protocol by hand, as spoken by Telegraf and collectd."""
    status, answer = server.request("POST", "/query", b"q=CREATE+DATABASE+%22mine%22", {"Content-Type": "application/x-www-form-urlencoded"})
    checks.equal("v1 CREATE DATABASE", (status, "results" in json.loads(answer)), (200, True))
    status, _ = server.request("GET", "/ping")
    checks.equal("v1 GET /ping", status, 204)
    lines = [f"load,host=h{i} one={i}.5,five={i}i {SECOND}" for i in range(100)]
    checks.equal("v1 /write", server.write(lines, db="mine", precision="s")[0], 204)
    checks.equal("v1 /write gzip", server.write(lines, gzipped=True, db="mine", precision="s")[0], 204)
    checks.equal("v1 written twice, counted once", server.value("sum(count_over_time(load_one[1m]))", SECOND + 1), 100.0)
    checks.equal("v1 sum", server.value("sum(load_one)", SECOND), float(sum(range(100)) + 50))
    for letter, factor in (("n", 10**9), ("u", 10**6), ("ms", 1000), ("s", 1)):
        server.write([f"letter,p={letter} value={factor} {SECOND * factor}"], db="mine", precision=letter)
        checks.equal(f"v1 precision {letter}", server.value(f'letter{{p="{letter}"}}', SECOND), float(factor))


def errors(server, checks):
    """Bad input: the right status, position and reason; the good lines are stored."""
    lines = [f"part,n=1 value=1 {SECOND}", "part,n=2 value= 5", f"part,n=3 value=3 {SECOND}", "part n"]
    status, text = server.write(lines, precision="s")
    checks.equal("a bad line gives 400", status, 400)
    checks.contains("... and names the lines", text, "2", "4")
    checks.equal("... and keeps the good ones", server.value("sum(part)", SECOND), 4.0)
    checks.equal("an unknown precision gives 400", server.write(["a value=1"], precision="fortnight")[0], 400)
    broken = {"Content-Encoding": "gzip"}
    checks.equal("broken gzip gives 400", server.request("POST", "/write", b"no gzip at all", broken)[0], 400)
    checks.equal("an unknown encoding gives 415", server.request("POST", "/write", b"x", {"Content-Encoding": "rot13"})[0], 415)
    for value in ("nan", "inf", "1e400", "0x10", "1_0"):
        checks.equal(f"value {value} gives 400", server.write([f"bad value={value} {SECOND}"], precision="s")[0], 400)
    checks.equal("a timestamp past the end gives 400", server.write(["bad value=1 9223372036854775808"])[0], 400)
    checks.equal("invalid UTF-8 gives 400", server.write(b"bad,t=\xff value=1 1")[0], 400)
    checks.equal("nothing bad was stored", server.query("bad", SECOND), [])
    status, answer = server.request("GET", "/api/v1/query", query="sum(", time=SECOND)
    answer = json.loads(answer)
    checks.equal("a bad query gives 400", (status, answer["status"], answer["errorType"]), (400, "error", "bad_data"))
    checks.contains("... and its place", answer["error"], "1:")
    status, answer = server.request("GET", "/api/v1/query_range", query="part", start=10, end=1, step=1)
    checks.equal("end before start gives 400", status, 400)
    status, answer = server.request("GET", "/api/v1/query_range", query="part", start=0, end=10**9, step=1)
    checks.equal("too many points give 400", status, 400)
    checks.equal("an unknown path gives 404", server.request("GET", "/api/v1/nothing")[0], 404)
    checks.equal("DELETE on a query gives 405", server.request("DELETE", "/api/v1/query")[0], 405)


class Promtool:
    """`promtool query …` against the server."""

    def __init__(self, server):
        self.server, self.binary = server, os.environ["PROMTOOL"]

    def text(self, *arguments):
        command = [self.binary, "query", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        return result.stdout.strip() if result.returncode == 0 else f"exit {result.returncode}: {result.stderr}"

    def json(self, *arguments):
        text = self.text(*arguments[:1], "--format=json", *arguments[1:])
        return json.loads(text) if text[:1] in "[{" else text


def promtool(server, checks):
    """The values that Prometheus' own tool reads back are exact."""
    lines = [f"tool,host=h{i} value={i * 0.1!r} {SECOND + step}" for i in range(3) for step in range(0, 300, 15)]
    checks.equal("promtool data", server.write(lines, precision="s")[0], 204)
    tool = Promtool(server)
    text = tool.text("instant", f"--time={SECOND}", server.url, "sum by (host) (tool)")
    expected = [f'{{host="h{i}"}} => {i * 0.1!r} @[{SECOND}]' for i in range(3)]
    expected[0] = f'{{host="h0"}} => 0 @[{SECOND}]'
    checks.equal("promtool query instant", sorted(text.splitlines()), expected)
    answer = tool.json("instant", f"--time={SECOND + 60}", server.url, 'sum_over_time(tool{host="h2"}[1m])')
    checks.equal("promtool instant json", [item["value"][1] for item in answer], ["0.8"])
    answer = tool.json("range", f"--start={SECOND}", f"--end={SECOND + 120}", "--step=30s", server.url, 'sum by (host) (tool{host="h1"})')
    values = [[SECOND + step, "0.1"] for step in range(0, 121, 30)]
    checks.equal("promtool query range", answer, [{"metric": {"host": "h1"}, "values": values}])
    text = tool.text("labels", f"--start={SECOND - 60}", f"--end={SECOND + 600}", server.url, "host")
    checks.holds("promtool query labels", {"h0", "h1", "h2"} <= set(text.split()), text)
    text = tool.text("series", '--match=tool{host=~"h[12]"}', f"--start={SECOND - 60}", f"--end={SECOND + 600}", server.url)
    checks.equal("promtool query series", sorted(line.split("host=")[1][:4] for line in text.splitlines() if "host=" in line), ['"h1"', '"h2"'])
    checks.contains("promtool shows an error", tool.text("instant", server.url, "sum("), "exit 1", "parse error")


def main():
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="barograph-clients-") as folder:
        server = Server(f"{folder}/data", f"{folder}/log").start()
        try:
            for part in (v2_synchronous, v2_batching, v1_client, v1_http, errors, promtool):
                checks.run(part, server, checks)
            checks.equal("the server ends well", server.stop(), 0)
        finally:
            if server.process.poll() is None:
                server.kill()
    checks.finish("clients")


main()
