"""Clients that demand more than their share: many writers with large bodies, heavy queries, answers that are never
read, label calls, events, remote reads, bodies that never end, and ever new series. An honest writer and an honest
dashboard run during each attack.

What must hold under each attack, for each size of `memory`:
  - the resident memory of the process never exceeds 1.15 times `memory` (its high-water mark, reset before each
    attack);
  - each refusal has a reason, and a `Retry-After` if it clears with time;
  - every request of an honest client is served, if necessary after the wait that the server asked for;
  - when the attackers have disconnected, all memory is released: each share of queries, answers and bodies is at 0;
  - at the end every acknowledged sample is present, also after a kill.

    overload.py quick|long

The long form also checks times: /-/healthy within 0.2 s, and 99 of 100 honest requests within 1 s.
"""

import contextlib
import http.client
import json
import socket
import sys
import threading
import time
import urllib.parse

import wire
from harness import PATIENCE, Server, checking, wait_for

MIB = 1 << 20
LONG = sys.argv[1:] == ["long"]
SIZES = [128, 256, 1024] if LONG else [128]
SECONDS = 20 if LONG else 3
WRITERS, QUERIES, SILENT = (600, 40, 64) if LONG else (64, 20, 16)
SERIES, SAMPLES = 20_000, 30
START = 1_700_000_000
END = START + SAMPLES * 10
ALLOWED = 1.15
# Statuses of temporary refusals, and of requests that may be refused permanently.
PASSES, STAYS = {429, 503}, {400, 408, 413, 422}


class Attack:
    """Threads that repeat one request until they are stopped, and the answers they got."""

    def __init__(self, server, number, work):
        self.server, self.work = server, work
        self.stopping = threading.Event()
        self.statuses, self.bad, self.lock = {}, [], threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(number)]

    def run(self, number):
        while not self.stopping.is_set():
            try:
                self.work(self, number)
            except OSError:
                # The connection was cut or refused: the attacker tries again.
                self.stopping.wait(0.01)

    def note(self, status, headers, body):
        with self.lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status in PASSES and not headers.get("Retry-After"):
                self.bad.append(f"{status} without Retry-After: {body[:200]!r}")
            elif status >= 400 and (status not in PASSES | STAYS or len(body) < 20):
                self.bad.append(f"{status}: {body[:200]!r}")

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            self.note(response.status, response.headers, response.read())
        finally:
            connection.close()

    @contextlib.contextmanager
    def running(self):
        for thread in self.threads:
            thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            for thread in self.threads:
                thread.join(PATIENCE)


class Honest(threading.Thread):
    """Sends one request after another, and retries when the server asks for it."""

    def __init__(self, server, request):
        super().__init__(daemon=True)
        self.server, self.request, self.stopping = server, request, threading.Event()
        self.served, self.failed, self.times = 0, [], []

    def run(self):
        number = 0
        while not self.stopping.is_set():
            began = time.monotonic()
            if self.once(number):
                number += 1
                self.served += 1
                self.times.append(time.monotonic() - began)
            self.stopping.wait(0.01)

    def once(self, number):
        """Whether the request was eventually served, after any number of refusals."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            method, path, body = self.request(number)
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
            try:
                connection.request(method, path, body)
                response = connection.getresponse()
                answer = response.read()
            except OSError:
                if self.stopping.wait(0.02):
                    return False
                continue
            finally:
                connection.close()
            if response.status in (200, 204):
                return True
            if response.status not in PASSES or not response.headers.get("Retry-After"):
                self.failed.append(f"{response.status}: {answer[:200]!r}")
                return False
            # Shorter than Retry-After, so that the check does not take that long.
            if self.stopping.wait(0.05):
                return False
        self.failed.append(f"not served within {PATIENCE} s")
        return False

    def slowest(self):
        """The time within which 99 of 100 requests were answered."""
        return sorted(self.times)[int(len(self.times) * 0.99)] if self.times else 0.0


def escaped(**parameters):
    return urllib.parse.urlencode(parameters, doseq=True)


def silent(path, body=None):
    """A request whose answer is not read: the client's buffer is small, and it stays until the attack ends."""

    def work(attack, _):
        connection = socket.socket()
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(PATIENCE)
            connection.connect(("127.0.0.1", attack.server.port))
            method = "GET" if body is None else "POST"
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
            if body is not None:
                head += f"Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nContent-Length: {len(body)}\r\n"
            connection.sendall(head.encode() + b"\r\n" + (body or b""))
            attack.stopping.wait(PATIENCE)
        finally:
            connection.close()

    return work


def left_alone(path):
    """A request whose client disconnects right after sending it."""

    def work(attack, _):
        with socket.create_connection(("127.0.0.1", attack.server.port), timeout=PATIENCE) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            attack.stopping.wait(0.05)

    return work


def drip(attack, _):
    """A body that stops shortly before its end."""
    with socket.create_connection(("127.0.0.1", attack.server.port), timeout=PATIENCE) as connection:
        line = b"drip value=1 1\n"
        length = 4 * MIB
        connection.sendall(f"POST /write HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
        connection.sendall(line * ((length - 500) // len(line)))
        while not attack.stopping.wait(0.2):
            connection.sendall(b" ")


def large_bodies(attack, number):
    """Samples of known series, in a body of the maximum size."""
    lines = "".join(f"h{i % 10},host=h{i} value={number} {START + number % 300}\n" for i in range(SERIES // 4))
    attack.ask("POST", "/write?precision=s", (lines * 4).encode())


def new_series(attack, number):
    """Series that are written once and never again."""
    with attack.lock:
        attack.next = getattr(attack, "next", 0) + 1
        first = attack.next * 1000
    lines = "".join(f"bomb,pod=pod-{first + i}-with-a-name-as-long-as-they-are value=1 {START}\n" for i in range(1000))
    attack.ask("POST", "/write?precision=s", lines.encode())


def events(attack, _):
    lines = "".join(f'log,host=h{i} msg="{"x" * 900}" {START + i}\n' for i in range(500))
    attack.ask("POST", "/write?precision=s", lines.encode())
    attack.ask("GET", "/api/v1/events?limit=1&" + escaped(start=START, end=END))


def asking(*paths):
    def work(attack, number):
        attack.ask("GET", paths[number % len(paths)])

    return work


def remote_read():
    """A remote read of everything."""
    matcher = wire.message(3, wire.integer(1, 2), wire.message(2, "__name__"), wire.message(3, "h.*"))
    return wire.snappy(wire.message(1, wire.integer(1, START * 1000), wire.integer(2, END * 1000), matcher))


RANGE = escaped(start=START, end=END, step=1)
EVERYTHING = escaped(**{"match[]": '{__name__=~"h.*"}', "start": START, "end": END})
HEAVY = [
    "/api/v1/query_range?" + escaped(query=query) + "&" + RANGE
    for query in (
        "sum by (host) (rate({__name__=~'h.*'}[2m]))",
        "quantile_over_time(0.9, {__name__=~'h.*'}[3m])",
        "topk(5, {__name__=~'h.*'}) * on (host) group_left () h1",
        "label_replace({__name__=~'h.*'}, 'x', '$1-$1', 'host', '(.*)')",
    )
]
LABELS = [
    "/api/v1/series?limit=1&" + EVERYTHING,
    "/api/v1/series?" + EVERYTHING,
    "/api/v1/labels?" + EVERYTHING,
    "/api/v1/label/host/values?" + EVERYTHING,
    "/federate?" + escaped(**{"match[]": '{__name__=~"h.*"}'}),
]


def both(one, other):
    def work(attack, number):
        (one if number < WRITERS else other)(attack, number)

    return work


ATTACKS = {
    "writers and heavy queries": (WRITERS + QUERIES, both(large_bodies, asking(*HEAVY))),
    "label calls": (SILENT, asking(*LABELS)),
    "unread series": (SILENT, silent("/api/v1/series?" + EVERYTHING)),
    "unread queries": (SILENT, silent(HEAVY[1])),
    "unread exports": (SILENT, silent("/api/v1/export?" + EVERYTHING)),
    "unread remote reads": (SILENT, silent("/api/v1/read", remote_read())),
    "questions left alone": (SILENT, left_alone("/api/v1/series?" + EVERYTHING)),
    "bodies that never end": (SILENT * 2, drip),
    "events": (4, events),
    "new series": (8, new_series),
}


def load(server):
    """The series that queries read; not part of any attack."""
    for second in range(SAMPLES):
        lines = [f"h{i % 10},host=h{i} value={i + second} {START + second * 10}" for i in range(SERIES)]
        server.write_patiently(lines, precision="s")


def honest_write(number):
    return "POST", "/write?precision=s", f"honest,client=writer value={number} {START + number}\n".encode()


def honest_question(_):
    return "GET", "/api/v1/query?" + escaped(query="sum(h1)", time=START + 60), None


def memory(server):
    return json.loads(server.request("GET", "/api/v1/status/memory")[1])["data"]


def held(server):
    shares = {share["name"]: share["usedBytes"] for share in memory(server)["shares"]}
    return {name: shares[name] for name in ("queries", "answers", "bodies") if shares[name] > 0}


def attacked(server, checks, size, name, first):
    """One attack; returns the total number of samples acknowledged to the honest writer."""
    number, work = ATTACKS[name]
    title = f"{size} MiB, {name}"
    server.reset_peak()
    writer = Honest(server, lambda number: honest_write(first + number))
    dashboard = Honest(server, honest_question)
    health = []
    attack = Attack(server, number, work)
    with attack.running():
        writer.start()
        dashboard.start()
        until = time.monotonic() + SECONDS
        # Runs until both were served: a slow machine takes longer, but must meet the same counts.
        while time.monotonic() < until or not (writer.served > 2 and dashboard.served > 2):
            began = time.monotonic()
            with contextlib.suppress(OSError):
                if server.request("GET", "/-/healthy")[0] == 200:
                    health.append(time.monotonic() - began)
            time.sleep(0.05)
            if server.process.poll() is not None or time.monotonic() > until + PATIENCE:
                break
        writer.stopping.set()
        dashboard.stopping.set()
        writer.join(PATIENCE)
        dashboard.join(PATIENCE)
    peak = server.resident("VmHWM") / MIB
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(attack.statuses.items()))
    print(f"        {title}: {peak:.0f} MiB at most; answers: {statuses or 'none read'}; honest: {writer.served} writes, "
          f"{dashboard.served} questions; 99 % within {writer.slowest():.2f} and {dashboard.slowest():.2f} s")
    checks.holds(f"{title}: memory", peak <= size * ALLOWED, f"{peak:.0f} MiB")
    checks.holds(f"{title}: refusals have a reason", not attack.bad, attack.bad[:3])
    checks.holds(f"{title}: honest clients are served", writer.served > 2 and dashboard.served > 2
                 and not writer.failed and not dashboard.failed, (writer.failed + dashboard.failed)[:3])
    try:
        wait_for("all memory released", lambda: not held(server), 0.1)
        checks.holds(f"{title}: all memory is released", True)
    except RuntimeError:
        checks.holds(f"{title}: all memory is released", False, held(server))
    if LONG:
        checks.holds(f"{title}: healthy in time", health and max(health) <= 0.2, f"{max(health, default=0):.2f} s")
        slowest = max(writer.slowest(), dashboard.slowest())
        checks.holds(f"{title}: honest clients in time", slowest <= 1, f"{slowest:.2f} s")
    return first + writer.served


def run(folder, checks, size):
    server = Server(f"{folder}/{size}", f"{folder}/{size}.log", f"--memory={size}MiB", "--self-interval=0s",
                    "--query-timeout=30s")
    acknowledged = 0
    with server.running():
        load(server)
        for name in ATTACKS:
            acknowledged = attacked(server, checks, size, name, acknowledged)
        found = server.value("count_over_time(honest[1d])", START + 80_000)
        # One more may have been stored whose answer arrived too late to be counted.
        checks.holds(f"{size} MiB: samples acknowledged to the honest writer", 0 <= found - acknowledged <= 1,
                     f"{found} of {acknowledged}")
    with server.running():
        found = server.value("count_over_time(honest[1d])", START + 80_000)
        checks.holds(f"{size} MiB: the same after a kill", 0 <= found - acknowledged <= 1, f"{found} of {acknowledged}")


with checking("overload") as (checks, folder):
    for size in SIZES:
        run(folder, checks, size)
