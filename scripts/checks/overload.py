"""Clients that demand more than their share: many writers with large bodies, heavy queries, answers that are never
read, label calls, events, remote reads, bodies that never end, and ever new series. Honest writers and an honest
dashboard run during each attack.

What must hold under each attack, for each size of `memory`:
  - the resident memory of the process never exceeds 1.15 times `memory` (its high-water mark, reset before each
    attack);
  - each refusal has a reason, and a `Retry-After` if it clears with time;
  - every request of an honest client is served, if necessary after the wait that the server asked for; they run in a
    process of their own (honest.py);
  - when the attackers have disconnected, all memory is released: each share of queries, answers and bodies is at 0;
  - at the end every acknowledged sample is present, also after a kill.

    overload.py quick|long

Then there are twenty times as many writers as the server can serve.

In the long form the honest writers send 100,000 samples a second, and times are checked too: /-/healthy within 0.2 s, and
99 of 100 honest requests within 1 s; of twenty times the writers, within 2 s, and at 80 % of the rate of few. It prints for each kind of honest request within which time half of them, 99 of
100, and all were answered. A first round without an attack shows what the machine can do.
"""

import contextlib
import http.client
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import wire
from harness import PATIENCE, Server, checking, wait_for
from honest import BEGIN, START

MIB = 1 << 20
LONG = sys.argv[1:] == ["long"]
SIZES = [128, 256, 1024] if LONG else [128]
SECONDS = 20 if LONG else 3
WRITERS, QUERIES, SILENT = (600, 40, 64) if LONG else (64, 20, 16)
# The honest writers: how many, series of each, samples of each series in a request, seconds between requests. Together
# they send 100,000 samples a second in the long form.
HONEST = (4, 1000, 5, 0.2) if LONG else (2, 200, 5, 0.2)
SERIES, SAMPLES = 20_000, 30
# New series in one request, and how long they are sent: 5 million in about a minute.
NEW, BOMBED = (2000, 60) if LONG else (500, SECONDS)
END = START + SAMPLES * 10
ALLOWED = 1.15
# Statuses of temporary refusals, and of requests that may be refused permanently.
PASSES, STAYS = {429, 503}, {400, 408, 413, 422}


class Attack:
    """Threads that repeat one request until they are stopped, and the responses they got."""

    def __init__(self, server, number, work):
        self.server, self.work = server, work
        self.stopping = threading.Event()
        self.statuses, self.bad, self.sent, self.lock = {}, [], 0, threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(number)]

    def run(self, number):
        while not self.stopping.is_set():
            try:
                self.work(self, number)
            except OSError:
                # The connection was closed or refused: the attacker tries again.
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


class Honest:
    """The clients of honest.py, which run during an attack, and their results."""

    def __init__(self, server, first, seconds, writers=HONEST):
        number, self.series, self.batch, period = writers
        command = [sys.executable, "-B", pathlib.Path(__file__).with_name("honest.py"), server.port, first,
                   number, self.series, self.batch, period, seconds]
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"honest.py ended with {self.process.wait()}")

    def beside_the_attack(self):
        """Signals the clients that the attack has begun, and waits for their results."""
        found = json.loads(self.process.communicate("\n")[0].splitlines()[-1])
        self.seconds, self.clients = found["seconds"], found["clients"]
        self.writers = self.of("write")
        return self

    def of(self, kind):
        return [client for client in self.clients if client["kind"] == kind]

    def times(self, *kinds):
        return sorted(time for client in self.clients if client["kind"] in kinds for time in client["times"])

    def within(self, *kinds):
        """The time within which 99 of 100 requests were answered."""
        times = self.times(*kinds)
        return times[int(len(times) * 0.99)] if times else 0.0

    def rate(self):
        """Samples stored per second."""
        return len(self.times("write")) * self.batch * self.series / self.seconds

    def ticks(self):
        """Ticks that were acknowledged to each writer."""
        return [client["served"] * self.batch for client in self.writers]

    def failed(self):
        return [text for client in self.clients for text in client["failed"]]

    def __str__(self):
        texts = [f"{self.rate():.0f} samples/s"]
        for kind in ("write", "panel", "health"):
            times, refused = self.times(kind), sum(client["refused"] for client in self.of(kind))
            middle, most = times[len(times) // 2] if times else 0, times[-1] if times else 0
            texts.append(f"{len(times)} x {kind} {middle:.2f}/{self.within(kind):.2f}/{most:.2f} s, {refused} refused")
        return "; ".join(texts)


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


BOMB = b"".join(b"bomb,pod=pod-@@@@@@@-%d-with-a-name-as-long-as-they-are value=1 %d\n" % (i, START) for i in range(NEW))


def new_series(attack, number):
    """Series of another tenant that are written once and never again."""
    with attack.lock:
        attack.sent += NEW
        body = BOMB.replace(b"@@@@@@@", b"%07d" % (attack.sent // NEW))
    attack.ask("POST", "/write?precision=s&db=bomb", body)


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
    "no attack": (0, None),
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


def memory(server):
    return json.loads(server.request("GET", "/api/v1/status/memory")[1])["data"]


def held(server):
    shares = {share["name"]: share["usedBytes"] for share in memory(server)["shares"]}
    return {name: shares[name] for name in ("queries", "answers", "bodies") if shares[name] > 0}


def attacked(server, checks, size, name, ledger):
    """One attack; the ledger gets what was acknowledged to the honest writers."""
    number, work = ATTACKS[name]
    title = f"{size} MiB, {name}"
    server.reset_peak()
    attack = Attack(server, number, work)
    # Agents and dashboards are connected before an attack begins.
    honest = Honest(server, ledger.next, BOMBED if work is new_series else SECONDS)
    with attack.running():
        honest.beside_the_attack()
    ledger.note(honest)
    peak = server.resident("VmHWM") / MIB
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(attack.statuses.items()))
    statuses += f", {attack.sent} new series sent" if attack.sent else ""
    print(f"        {title}: {peak:.0f} MiB at most; answers: {statuses or 'none read'}; honest (half/99 %/all within): "
          f"{honest}")
    checks.holds(f"{title}: memory", peak <= size * ALLOWED, f"{peak:.0f} MiB")
    checks.holds(f"{title}: refusals have a reason", not attack.bad, attack.bad[:3])
    checks.holds(f"{title}: honest clients are served", not honest.failed(), honest.failed()[:3])
    try:
        wait_for("all memory released", lambda: not held(server), 0.1)
        checks.holds(f"{title}: all memory is released", True)
    except RuntimeError:
        checks.holds(f"{title}: all memory is released", False, held(server))
    if LONG:
        slowest = max(honest.times("health"))
        checks.holds(f"{title}: healthy in time", slowest <= 0.2, f"{slowest:.2f} s")
        slowest = max(honest.within("write"), honest.within("panel"))
        checks.holds(f"{title}: honest clients in time", slowest <= 1, f"{slowest:.2f} s")
    if LONG and work is new_series:
        checks.holds(f"{title}: the limit is enforced", PASSES & set(attack.statuses), attack.statuses)


def flooded(server, checks, size, ledger):
    """Twenty times as many writers as the server can serve, each with the next batch ready. The server must continue
    storing, and be as before afterwards."""
    title, rates = f"{size} MiB, twenty times the writers", []
    server.reset_peak()
    for name, writers in (("few", (4, 50, 20, 0)), ("twenty times as many", (80, 50, 20, 0)), ("after", HONEST)):
        load = Honest(server, ledger.next, SECONDS, writers).beside_the_attack()
        ledger.note(load)
        rates.append(load.rate())
        print(f"        {title}: {name} (half/99 %/all within): {load}")
        checks.holds(f"{title}: {name}: all are served", not load.failed(), load.failed()[:3])
        if LONG:
            slowest = load.within("write")
            checks.holds(f"{title}: {name}: in time", slowest <= (1 if name == "after" else 2), f"{slowest:.2f} s")
    peak = server.resident("VmHWM") / MIB
    checks.holds(f"{title}: memory", peak <= size * ALLOWED, f"{peak:.0f} MiB")
    if LONG:
        checks.holds(f"{title}: the rate stays", rates[1] >= rates[0] * 0.8, f"{rates[1]:.0f} of {rates[0]:.0f} samples/s")


class Ledger:
    """The ticks acknowledged to the honest writers: for each time they ran, the first tick, and the ticks of each
    writer."""

    # Maximum number of samples in one query.
    AT_ONCE = 500_000

    def __init__(self):
        self.next, self.runs = 0, []

    def note(self, honest):
        acknowledged = honest.ticks()
        self.runs.append((self.next, acknowledged, honest.series))
        # After the last batch of a writer, one more may be stored whose response did not arrive; the ticks of that one
        # stay unused.
        self.next += max(acknowledged) + honest.batch

    def missing(self, server):
        """The samples that are missing."""
        for first, acknowledged, series in self.runs:
            for writer, ticks in enumerate(acknowledged):
                found = sum(self.count(server, writer, first + done, min(self.AT_ONCE // series, ticks - done))
                            for done in range(0, ticks, self.AT_ONCE // series))
                if found != ticks * series:
                    yield f"writer {writer}, {ticks} ticks from {first}: {found} samples of {ticks * series}"

    @staticmethod
    def count(server, writer, first, ticks):
        query = f'sum(count_over_time(honest{{client="w{writer}"}}[{ticks}s]))'
        return server.value(query, BEGIN + first + ticks - 1) or 0


def run(folder, checks, size):
    server = Server(f"{folder}/{size}", f"{folder}/{size}.log", f"--memory={size}MiB", "--self-interval=0s",
                    "--query-timeout=30s")
    ledger = Ledger()
    with server.running():
        load(server)
        for name in ATTACKS:
            attacked(server, checks, size, name, ledger)
        flooded(server, checks, size, ledger)
        missing = list(ledger.missing(server))
        checks.holds(f"{size} MiB: samples acknowledged to the honest writers", not missing, missing[:3])
    with server.running():
        missing = list(ledger.missing(server))
        checks.holds(f"{size} MiB: the same after a kill", not missing, missing[:3])


with checking("overload") as (checks, folder):
    for size in SIZES:
        run(folder, checks, size)
