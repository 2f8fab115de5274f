"""Honest clients during an attack, in a separate process, so that the threads of the attackers do not delay them:
writers that send at an even rate, a dashboard that reads a few small ranges every second, and a probe of
/-/healthy. A client that is refused waits and sends the same request again.

    honest.py PORT FIRST WRITERS SERIES TICKS PERIOD SECONDS

Each of WRITERS sends SERIES x TICKS samples every PERIOD seconds, from tick FIRST on. When each client was served once,
it writes the line "ready" and waits for a line of input: then the attack has begun. It ends SECONDS later, or when each
client was served three times more. The last line of the output is JSON: for each client its kind, the requests served, and
of those since the attack began how many were refused and failed, and the times."""

import http.client
import json
import sys
import threading
import time
import urllib.parse

from harness import PATIENCE, wait_for

START = 1_700_000_000
# The ticks of writers have this length in seconds, and begin after all other samples of the check.
TICK, BEGIN = 1, START + 3600
LEAST = 3
PASSES = {429, 503}


class Client(threading.Thread):
    """Sends one request each period over one connection, and repeats a refused one."""

    def __init__(self, port, kind, period, request):
        super().__init__(daemon=True)
        self.port, self.kind, self.period, self.request = port, kind, period, request
        self.stopping = threading.Event()
        self.served, self.refused, self.failed, self.times = 0, 0, [], []
        self.connection = None

    def attacked(self):
        """Earlier results do not count."""
        self.refused, self.times = 0, []

    def run(self):
        due = time.monotonic()
        while not self.stopping.is_set():
            began = time.monotonic()
            if self.patiently(self.request(self.served)):
                self.served += 1
                self.times.append(time.monotonic() - began)
            # A late client does not catch up with a burst.
            due = max(due + self.period, time.monotonic() - self.period)
            self.stopping.wait(max(0, due - time.monotonic()))

    def patiently(self, request):
        """Whether the request was served, after any number of refusals."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                status, retry_after, answer = self.once(*request)
            except (OSError, http.client.HTTPException):
                self.connection = None
                if self.stopping.wait(0.02):
                    return False
                continue
            if status in (200, 204):
                return True
            if status not in PASSES or not retry_after:
                self.failed.append(f"{status}: {answer[:200]!r}")
                return False
            self.refused += 1
            # Shorter than Retry-After, so that the check takes less time.
            if self.stopping.wait(0.05):
                return False
        self.failed.append(f"not served within {PATIENCE} s")
        return False

    def once(self, method, path, body=None):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.connection.request(method, path, body)
        response = self.connection.getresponse()
        answer = response.read()
        if response.will_close:
            self.connection = None
        return response.status, response.headers.get("Retry-After"), answer

    def result(self):
        return {"kind": self.kind, "served": self.served, "refused": self.refused, "failed": self.failed[:3],
                "times": self.times}


def batches(writer, first, series, ticks):
    """The requests of a writer: a text generated once, in which only the times change."""
    marks = [b"@%09d" % tick for tick in range(ticks)]
    lines = [b"honest,client=w%d,i=%d value=%d %s\n" % (writer, i, i, mark) for mark in marks for i in range(series)]
    template = b"".join(lines)

    def request(number):
        body = template
        for tick, mark in enumerate(marks):
            body = body.replace(mark, b"%d" % (BEGIN + (first + number * ticks + tick) * TICK))
        return "POST", "/write?precision=s", body

    return request


def ranges(query, start, end, step):
    return "GET", "/api/v1/query_range?" + urllib.parse.urlencode(
        {"query": query, "start": start, "end": end, "step": step})


def panels(first):
    """The queries of the dashboard."""
    now = BEGIN + first * TICK
    return [
        ranges('sum(rate(honest{i=~"1.?"}[30s])) by (client)', now - 300, now, 15),
        ranges('honest{client="w0",i="7"}', now - 300, now, 5),
        ranges('h1{host="h11"}', START, START + 300, 10),
        ranges("max(h2)", START, START + 300, 30),
        ("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": "sum(h1)", "time": START + 60})),
    ]


def main():
    port, first, writers, series, ticks = map(int, sys.argv[1:6])
    period, seconds = map(float, sys.argv[6:])
    clients = [Client(port, "write", period, batches(writer, first, series, ticks)) for writer in range(writers)]
    clients += [Client(port, "panel", 1, lambda _, panel=panel: panel) for panel in panels(first)]
    clients.append(Client(port, "health", 0.05, lambda _: ("GET", "/-/healthy")))
    for client in clients:
        client.start()
    wait_for("the first answers", lambda: all(client.served for client in clients))
    print("ready", flush=True)
    sys.stdin.readline()
    for client in clients:
        client.attacked()
    began = time.monotonic()
    while time.monotonic() < began + seconds or any(len(client.times) < LEAST for client in clients):
        if time.monotonic() > began + seconds + PATIENCE:
            break
        time.sleep(0.05)
    took = time.monotonic() - began
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(PATIENCE)
    print(json.dumps({"seconds": took, "clients": [client.result() for client in clients]}))


if __name__ == "__main__":
    main()
