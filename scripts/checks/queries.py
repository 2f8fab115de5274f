"""Runs large queries against a real server and compares the memory they count with the process' own, then stops queries in
each way and watches the CPU.

Memory: the high-water mark of the resident set (VmHWM, reset before each query) against `stats.memory.peakBytes` and the
limits. CPU: ticks of the process in the second after a query was cancelled or its client disconnected.
"""

import json
import os
import socket
import tempfile
import threading
import time
import urllib.parse

from harness import Checks, Server, wait_for

SERIES, SAMPLES, SPACING = 2000, 240, 15
MIB = 1 << 20
# 10^12 steps, each of which depends on the one before, so no machine finishes.
ENDLESS = "max_over_time(double_exponential_smoothing(vector(time())[300h:1s], 0.5, 0.5)[300h:1s])"
# Memory of the process that queries do not count: allocator, buffers of threads, spare capacity of the JSON.
SLACK = 96 * MIB


def ticks(server):
    """CPU time of the process in seconds."""
    with open(f"/proc/{server.process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fill(server):
    for i in range(0, SERIES, 100):
        lines = [f"load,host=h{s:04d},zone=z{s % 7} value={s * 1000 + at}.25 {at * SPACING}"
                 for s in range(i, i + 100) for at in range(SAMPLES)]
        code, text = server.write(lines, precision="s")
        assert code == 204, text


def measured(server, text, step):
    """Status, response, and the maximum growth of the resident set."""
    server.reset_peak()
    before = server.resident()
    code, body = server.request("GET", "/api/v1/query_range", query=text, start=0, end=SAMPLES * SPACING, step=step, stats="true")
    return code, json.loads(body), server.resident("VmHWM") - before


def memory(server, checks):
    # The first round warms buffers, caches and the allocator.
    for text in ("load", "rate(load[5m])"):
        measured(server, text, 1)
    for text in ("load", "rate(load[5m])", "sum by (zone) (rate(load[5m]))", "load + load", "topk(5, load)", "load @ 600"):
        code, answer, grown = measured(server, text, 1)
        checks.equal(f"memory: {text} is answered", code, 200)
        peak = answer["data"]["stats"]["memory"]["peakBytes"]
        held = server.metric("barograph_query_memory_bytes")
        checks.holds(f"memory: {text} counts {peak / MIB:.0f} MiB, the process grew by {grown / MIB:.0f} MiB",
                     grown < peak * 1.3 + SLACK, "the process took more than the query counted")
        checks.equal(f"memory: {text} gave everything back", held, 0.0)


def limits(server, checks):
    for text in ("load", "load @ 600", "load * on (host) group_left () load", 'count_values("v", load + time())'):
        code, answer, grown = measured(server, text, 1)
        checks.equal(f"limit: {text} is refused", (code, answer.get("errorType")), (422, "execution"))
        checks.contains(f"limit: {text} says why", answer["error"], "32MiB", "query_memory")
        checks.holds(f"limit: {text} grew by {grown / MIB:.0f} MiB", grown < 32 * MIB + SLACK, "more than its limit")
    # Many at once share the total: a query that finds it used up waits for its turn.
    server.reset_peak()
    before, codes = server.resident(), []

    def one():
        code, _ = server.request("GET", "/api/v1/query_range", query="rate(load{host=~\"h00..\"}[5m])",
                                 start=0, end=SAMPLES * SPACING, step=1)
        codes.append(code)

    threads = [threading.Thread(target=one) for _ in range(12)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    grown = server.resident("VmHWM") - before
    checks.equal("limit: twelve at once, each of which fits alone, are answered", codes, [200] * 12)
    checks.holds(f"limit: twelve at once grew by {grown / MIB:.0f} MiB", grown < 64 * MIB + SLACK, "more than the total")


def begin(server):
    """Sends a query that does not end. Returns the connection, and the number of the query when it runs."""
    body = urllib.parse.urlencode({"query": ENDLESS})
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = "POST /api/v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    running = lambda: [query["id"] for query in listed(server) if query["state"] == "running"]
    wait_for("the query", running, 0.01)
    return connection, running()[0]


def listed(server):
    return server.api_get("status/active_queries")["queries"]


def spin(seconds):
    """Uses `seconds` of CPU time, however long that takes: on a busy machine, the server needs more time too."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def idle_after(server, checks, name, stop):
    connection, number = begin(server)
    busy = ticks(server)
    wait_for("the query to use the CPU", lambda: ticks(server) - busy > 0.1)
    stop(connection, number)
    wait_for("an empty list", lambda: not listed(server))
    # Memory is released in the first second.
    spin(1)
    settled = ticks(server)
    spin(1)
    used = ticks(server) - settled
    checks.holds(f"{name}: {used:.2f} s of CPU beside the second second of ours", used < 0.1, "it still runs")
    connection.close()


def stopping(server, checks):
    idle_after(server, checks, "client gone", lambda connection, _: connection.close())

    def cancel(connection, number):
        code, _ = server.request("POST", f"/api/v1/status/active_queries/{number}/cancel")
        checks.equal("cancel: the call", code, 200)
        answer = connection.recv(4096).decode()
        checks.contains("cancel: the query's client", answer, "HTTP/1.1 499", '"errorType":"canceled"')

    idle_after(server, checks, "cancel", cancel)


class Asked(Server):
    def api_get(self, path):
        return json.loads(self.request("GET", f"/api/v1/{path}")[1])["data"]


def main():
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        narrow = ("--query-memory", "32MiB", "--query-memory-total", "64MiB")
        for name, options, parts in (("wide", (), (memory, stopping)), ("narrow", narrow, (limits,))):
            server = Asked(f"{folder}/{name}", f"{folder}/{name}.log", "--self-interval", "0", "--durability", "off",
                           "--query-timeout", "1h", *options)
            with server.running():
                fill(server)
                for part in parts:
                    part(server, checks)
    checks.finish("queries")


main()
