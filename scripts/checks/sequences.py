"""Random sequences of valid calls of every route of the server, on many connections at once, by clients that abandon
their requests in every way a client can (abandoning.py). The server has `memory` of 128 MiB.

What must hold:
  - the resident memory of the process never exceeds 1.15 times `memory`;
  - each refusal of a valid call has a reason, and a `Retry-After` if it clears with time; nothing fails;
  - each route was answered with success;
  - when the clients have disconnected, everything is released: each gauge of requests, connections and bodies is 0, and the
    resident memory is within 10 % of what it was after a warm-up;
  - exactly the samples that were acknowledged and not deleted are present, also after a kill (ledger.py).

    sequences.py quick|long|SECONDS

One seed determines a sequence. `SEED=n sequences.py quick` runs that one alone.
"""

import contextlib
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import sys
import threading
import time
import traceback

from abandoning import Client, Fault
from calls import EVENT, PLAIN, V3, Caller, routes_once
from harness import PATIENCE, Server, checking, free_port, wait_for
from ledger import STORED, TICK_NS, Ledger

MIB = 1 << 20
MEMORY, ALLOWED, KEPT = 128 * MIB, 1.15, 1.10
WORKERS = 10
# Sequences of the warm-up and after it; the long form counts seconds instead.
QUICK = (80, 160)
LONG = (240, 1_800)
STEPS_MAX = 20
# Ticks that one export covers.
STRETCH = 50_000
# Weights of routes; others have 1.
WEIGHTS = {
    "/write": 9, "/api/v2/write": 5, "/api/v3/write_lp": 5, "/api/v1/write": 9, "/api/v1/query": 6,
    "/api/v1/query_range": 8, "/api/v1/series": 4, "/api/v1/labels": 3, "/api/v1/label/{name}/values": 3,
    "/api/v1/events": 3, "/api/v1/export": 4, "/api/v1/read": 4, "/federate": 4, "/api/v1/admin/tsdb/delete_series": 2,
    "/api/v1/admin/tsdb/flush": 0.4, "/api/v1/admin/tsdb/clean_tombstones": 0.2, "/api/v1/admin/tsdb/snapshot": 0.3,
    "Tcp": 4, "Udp": 4, "Reload": 0.5,
}
# Statuses of temporary refusals; and reasons to refuse a read: its memory, or another client canceled it.
PASSES, READS = {429, 503}, {422, 499}
RELOADS = {
    "query_memory_total": ["8MiB", "16MiB", "0"], "query_memory": ["4MiB", "0"], "max_url": ["16KiB", "64KiB"],
    "answer_rate": ["1KiB", "0"], "body_rate": ["1KiB", "0"], "query_timeout": ["20s", "30s"],
}


class Shared:
    """The state shared by all workers: the server, the seeds, and the faults."""

    def __init__(self, server, folder, tcp, udp, seed):
        self.server, self.folder, self.tcp, self.udp = server, folder, tcp, udp
        self.seeds, self.lock = itertools.count(seed), threading.Lock()
        self.faults, self.calls, self.ways = [], {}, {}
        self.until, self.left = 0.0, 0

    def next(self):
        """The seed of the next sequence; None when enough have run."""
        with self.lock:
            if self.faults or (time.monotonic() >= self.until if self.until else self.left <= 0):
                return None
            self.left -= 1
            return next(self.seeds)

    def fault(self, text):
        with self.lock:
            self.faults.append(text)

    def count(self, calls, ways):
        with self.lock:
            for total, more in ((self.calls, calls), (self.ways, ways)):
                for key, number in more.items():
                    total[key] = total.get(key, 0) + number

    def reload(self, settings):
        """Writes other settings into the file and has the server read it."""
        with self.lock:
            new = pathlib.Path(self.folder, "new.toml")
            new.write_text("".join(f'{name} = "{value}"\n' for name, value in settings.items()))
            new.rename(pathlib.Path(self.folder, "settings.toml"))
            self.server.process.send_signal(signal.SIGHUP)


class Worker(threading.Thread):
    """Runs sequences one after another."""

    def __init__(self, shared, ledger):
        super().__init__(daemon=True)
        self.shared, self.ledger, self.caller = shared, ledger, Caller(ledger)
        self.doing, self.calls = "", {}

    def run(self):
        while (seed := self.shared.next()) is not None:
            try:
                self.sequence(seed)
            except Exception:
                self.shared.fault(f"SEED={seed}: {self.doing}\n{traceback.format_exc()}")

    def sequence(self, seed):
        numbers = random.Random(seed)
        client = Client(self.shared.server.port, numbers, self.seen)
        names = [*routes_once(), "Tcp", "Udp", "Reload"]
        weights = [WEIGHTS.get(name, 1) for name in names]
        try:
            for step in range(numbers.randint(1, STEPS_MAX)):
                name = numbers.choices(names, weights)[0]
                self.doing = f"SEED={seed} step {step} {name}"
                self.calls[name] = self.calls.get(name, 0) + 1
                if name in routes_once():
                    self.call(client, numbers, name, names[:-3])
                else:
                    getattr(self, name.lower())(numbers)
        finally:
            client.close()
            self.shared.count(self.calls, client.counts)
            self.calls, self.doing = {}, ""

    def call(self, client, numbers, name, names):
        call = self.caller.make(numbers, name)
        self.doing += f": {call}"
        more = []
        if numbers.random() < 0.08:
            others = numbers.choices(names, [WEIGHTS.get(name, 1) for name in names], k=numbers.randint(1, 3))
            more = [self.caller.make(numbers, other) for other in others]
        client.make(call, more)

    def seen(self, call, status, fields, body):
        text = f"{call}: {status} {fields} {body[:300]!r}"
        is_timeout = b'"timeout"' in body
        if status in PASSES and not fields.get("retry-after") and not is_timeout:
            raise Fault(f"no Retry-After: {text}")
        is_read = call.path not in ("/write", "/api/v2/write", "/api/v3/write_lp", "/api/v1/write")
        if status >= 300 and status not in PASSES | call.is_valid_with and not (is_read and status in READS):
            raise Fault(f"refused: {text}")
        if status >= 400 and call.method != "HEAD" and len(body) < 10:
            raise Fault(f"no reason: {text}")
        is_json = fields.get("content-type", "").startswith("application/json") and "content-encoding" not in fields
        if status != 200 or call.method == "HEAD" or not is_json:
            return
        answer = json.loads(body)
        if call.path == "/api/v1/status/active_queries":
            self.caller.active = [query["id"] for query in answer["data"]["queries"]][:5]
        elif call.path == "/api/v1/admin/tsdb/snapshot":
            shutil.rmtree(f"{self.shared.server.data_dir}/snapshots/{answer['data']['name']}", ignore_errors=True)

    # Protocols other than HTTP.

    def tcp(self, numbers):
        blocks = self.caller.take(numbers, PLAIN, numbers.random() < 0.05)
        data = self.caller.lines(numbers, blocks, 1_000_000)
        with socket.create_connection(("127.0.0.1", self.shared.tcp), timeout=PATIENCE) as connection:
            match numbers.randrange(3):
                case 0:
                    # Half a line at the end of a connection that breaks is not stored.
                    data = data[:numbers.randrange(len(data))]
                    connection.sendall(data)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                case 1:
                    connection.sendall(data)
                case _:
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                    if answer := connection.recv(1000):
                        raise Fault(f"TCP lines were refused: {answer!r}")

    def udp(self, numbers):
        blocks = self.caller.take(numbers, PLAIN)
        lines = self.caller.lines(numbers, blocks, 1_000_000).splitlines(keepends=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for at in range(0, len(lines), 20):
                sender.sendto(b"".join(lines[at:at + 20]), ("127.0.0.1", self.shared.udp))

    def reload(self, numbers):
        self.shared.reload({name: numbers.choice(values) for name, values in RELOADS.items()})


def run_phase(shared, ledgers, sequences, seconds):
    """Runs a number of sequences, or for a number of seconds; watches the memory."""
    workers = [Worker(shared, ledger) for ledger in ledgers]
    shared.left, shared.until = sequences, time.monotonic() + seconds if seconds else 0.0
    for worker in workers:
        worker.start()
    snapshots = pathlib.Path(shared.server.data_dir, "snapshots")
    while any(worker.is_alive() for worker in workers):
        peak = shared.server.resident("VmHWM")
        if shared.server.process.poll() is not None:
            shared.fault(f"the server ended with {shared.server.process.poll()}: {shared.server.log_tail()}")
        elif peak > MEMORY * ALLOWED:
            doing = "\n".join(worker.doing for worker in workers)
            shared.fault(f"{peak / MIB:.0f} MiB resident, while there ran\n{doing}")
        # Removes the snapshots of abandoned calls.
        for folder in snapshots.iterdir() if snapshots.exists() else []:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - folder.stat().st_mtime > 120:
                    shutil.rmtree(folder, ignore_errors=True)
        if shared.faults:
            break
        time.sleep(0.1)
    for worker in workers:
        worker.join(PATIENCE)


def held(server):
    """What is held while no other request runs: gauges that are not at rest."""
    data = json.loads(server.request("GET", "/api/v1/status/memory")[1])["data"]
    used = {share["name"]: share["usedBytes"] for share in data["shares"]}
    found = {name: used[name] for name in ("queries", "answers", "bodies", "forms", "datagrams")}
    lines = server.request("GET", "/metrics")[1].decode().splitlines()
    values = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}
    # The request that reads them counts as one itself.
    at_rest = {"barograph_http_requests_running": 1, "barograph_http_connections": 1, "barograph_line_connections": 0,
               "barograph_udp_queue_bytes": 0, "barograph_query_memory_bytes": 0}
    found.update({name: values[name] - rest for name, rest in at_rest.items()})
    found.update({name: value for name, value in values.items() if name.startswith(("barograph_reads_running", "barograph_reads_waiting"))})
    return {name: value for name, value in found.items() if value}


def settle(server, limit=None):
    """Waits until nothing is held, flushes, and returns the resident memory: as soon as it is below the limit, or after a
    while."""
    nothing = wait_for("everything released", lambda: not held(server), 0.1)
    server.flush()
    until = time.monotonic() + (60 if limit else 3)
    while time.monotonic() < until:
        time.sleep(0.5)
        if limit and server.resident() <= limit:
            break
    return nothing and server.resident()


def successes(server):
    """Routes that were answered successfully, as counted by the server."""
    text = server.request("GET", "/metrics")[1].decode()
    return {path for path in routes_once() if f'{{code="2xx",endpoint="{path}"}}' in text}


def exported(server, ledger):
    """The lines of one worker, one time range after another: an export holds the samples of one series at once."""
    match = f'{{__name__=~"s[0-9]|{EVENT}",w="{ledger.worker}"}}'
    for first in range(0, ledger.latest() + STRETCH, STRETCH):
        start, end = ((ledger.time(tick) - TICK_NS // 2) / 1e9 for tick in (first, first + STRETCH))
        status, body = server.request("GET", "/api/v1/export", **{"match[]": match, "start": start, "end": end})
        yield from body.splitlines() if status == 200 else [f"{status} {body[:200]!r}".encode()]


def judge(server, checks, ledgers, title):
    faults, stored = [], 0
    for ledger in ledgers:
        faults += ledger.judge(exported(server, ledger))
        stored += sum(series.count(STORED) for series in ledger.series.values())
        counted = server.value(f'count_over_time(hist{{w="{ledger.worker}"}}[300d])', time.time()) or 0
        if not ledger.histograms_stored <= counted <= ledger.histograms_sent:
            faults.append(f"{counted} histograms, {ledger.histograms_stored} acknowledged, {ledger.histograms_sent} sent")
    checks.holds(f"{title}: {stored} acknowledged samples are present, none that was deleted or refused", not faults, faults[:5])


def run(checks, folder, warm_up, measured, is_timed):
    seed = int(os.environ.get("SEED", "0"))
    pathlib.Path(folder, "settings.toml").write_text("")
    tcp, udp = free_port(), free_port()
    server = Server(f"{folder}/data", f"{folder}/log", f"--config={folder}/settings.toml", f"--memory={MEMORY}",
                    "--self-interval=0s", "--enable-admin", f"--tcp-listen=127.0.0.1:{tcp}", f"--udp-listen=127.0.0.1:{udp}",
                    "--line-precision=ms", "--partition-width=1h", "--flush-interval=10s", "--wal-size=8MiB", "--write-wait=2s",
                    # Abandoned requests must be noticed by the disconnect, not by a time-out.
                    "--idle-timeout=1h", "--header-timeout=1h")
    base = (time.time_ns() - 20 * 86_400 * 10**9) // (3_600 * 10**9) * 3_600 * 10**9
    ledgers = [Ledger(worker, base, [*PLAIN, *V3, EVENT]) for worker in range(1, 1 + (1 if seed else WORKERS))]
    with server.running():
        shared = Shared(server, folder, tcp, udp, seed or 1)
        if not seed:
            run_phase(shared, ledgers, *((0, warm_up) if is_timed else (warm_up, 0)))
        warm = settle(server)
        run_phase(shared, ledgers, *((1, 0) if seed else (0, measured) if is_timed else (measured, 0)))
        checks.holds("no call went wrong", not shared.faults, "\n".join(shared.faults[:3]))
        peak = server.resident("VmHWM")
        checks.holds("memory", peak <= MEMORY * ALLOWED, f"{peak / MIB:.0f} MiB")
        shared.reload({})
        wait_for("the settings", lambda: json.loads(server.request("GET", "/api/v1/status/flags")[1])["data"]["query-memory"] == "", 0.1)
        rest = settle(server, warm * KEPT)
        # The connection of the last request may still be closing.
        checks.holds("everything is released", wait_for("everything released", lambda: not held(server), 0.1))
        checks.holds("memory at rest is that after the warm-up", seed or rest <= warm * KEPT,
                     f"{rest / MIB:.0f} MiB, {warm / MIB:.0f} MiB after the warm-up")
        covered, all_routes = successes(server), set(routes_once())
        # There may be no query to cancel, and there is no tier that is no longer kept (tests/protocols/tiers.rs drops one).
        missing = all_routes - covered - {"/api/v1/status/active_queries/{name}/cancel", "/api/v1/admin/tsdb/drop_tier"}
        checks.holds(f"{len(covered)} of {len(all_routes)} routes answered successfully", seed or not missing, sorted(missing))
        judge(server, checks, ledgers, "at the end")
        print(f"        {sum(shared.calls.values())} calls, {shared.ways}; {peak / MIB:.0f} MiB at most, {warm / MIB:.0f} MiB "
              f"after the warm-up, {rest / MIB:.0f} MiB at the end")
    with server.running():
        judge(server, checks, ledgers, "after a kill")
    checks.holds("no panic", "panicked" not in pathlib.Path(server.log_path).read_text(errors="replace"), server.log_tail())


with checking("sequences") as (checks, folder):
    form = sys.argv[1]
    is_timed = form != "quick"
    warm_up, measured = QUICK if not is_timed else LONG if form == "long" else (int(form) // 6, int(form))
    checks.run(run, checks, folder, warm_up, measured, is_timed)
