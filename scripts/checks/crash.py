"""Crashes the real server again and again under a mixed load and compares what it kept with an oracle outside it.

    crash.py kill9 ROUNDS [SEED]    ends the process with SIGKILL
    crash.py power ROUNDS [SEED]    shuts down the file system under it, as a power loss would (root, loop mounts)

Writers own series of their own and send one request at a time: new samples, late ones, ones that overwrite, deletes.
An answer 204 makes a request *acknowledged*; a request in flight at the crash is *unknown*. After each crash every
sample must be what the acknowledged requests say, or what an unknown one would have made of it. Anything else is a
loss or an invention. Flushes and merges run all the while: the server gets short intervals and narrow partitions, and
tiers of buckets, which late samples and deletes change. Buckets must say what the samples say (`buckets.py`).

In the power mode an answer counts only when it came before the shutdown began: an fdatasync that races the ioctl may
return success on ext4 although nothing was committed (seen with a program of ten lines), which a real power loss could
not show to anybody.

A kill alone would pass without a single fsync, since the page cache outlives the process; that is what the power mode
is for. It proves its own sharpness: the same shutdown with durability `off` has to lose something.
"""

import contextlib
import http.client
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import buckets
from buckets import Buckets
from harness import PATIENCE, Checks, Server, wait_for
from mounts import LoopMount

WRITERS = 3
SERIES = 5
OPTIONS = ["--enable-admin", "--flush-interval=1s", "--partition-width=10m", "--self-interval=0s", "--memory=64MiB",
           "--wal-size=16MiB", *buckets.OPTIONS]
SAMPLES_MAX = 10_000
# Between two samples of a writer, milliseconds.
DISTANCE_MAX = 200
# The last series are counters by their name, whose buckets have other columns.
NAMES = ["crash", "crash", "crash", "crash_total", "crash_total"]
EVERYTHING = '{__name__=~"crash|crash_total"%s}'
WORK = ("flushes", "merges")
# In each of so many rounds, the store is verified, and all buckets are stored.
VERIFIED_EACH = 5


class Writer:
    """One client with series of its own: its requests, and the samples that the database must contain after them."""

    def __init__(self, number, seed):
        self.number, self.random = number, random.Random(seed * 1000 + number)
        self.kept = [{} for _ in range(SERIES)]
        self.unknown = None
        self.refused = None
        self.acknowledged = 0
        now = int(time.time()) * 1000
        self.oldest, self.newest = now - 30 * 3_600_000, now - 24 * 3_600_000
        self.counter = 0

    def run(self, port, stopped):
        """Sends requests until `stopped` is set or the server is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        with contextlib.closing(connection):
            while not stopped.is_set():
                change, path, body = self.next_request()
                try:
                    connection.request("POST", path, body)
                    response = connection.getresponse()
                    text = response.read()
                except (OSError, http.client.HTTPException):
                    self.unknown = change
                    return
                if stopped.is_set():
                    self.unknown = change
                    return
                if response.status != 204:
                    self.unknown = change
                    self.refused = f"{response.status} {text[:200]!r}"
                    return
                self.apply(change)
                self.acknowledged += 1

    def next_request(self):
        """A change (series, timestamp) -> value, None where it deletes, and the request that makes it."""
        kind = self.random.random()
        if self.samples() > SAMPLES_MAX:
            return self.delete(width_ms=20 * 3_600_000)
        if kind < 0.05 and any(self.kept):
            return self.delete(width_ms=600_000)
        change = {}
        for series in range(SERIES):
            for _ in range(self.random.randint(1, 8)):
                self.counter += 1
                change[series, self.timestamp(series, kind)] = self.number * 1e9 + self.counter
        lines = [f"{NAMES[series]},writer={self.number},series={series} value={value!r} {at}"
                 for (series, at), value in change.items()]
        return change, "/write?precision=ms", "\n".join(lines).encode()

    def timestamp(self, series, kind):
        if kind < 0.2:
            return self.random.randrange(self.oldest, self.newest)
        if kind < 0.3 and self.kept[series]:
            return self.random.choice(list(self.kept[series]))
        self.newest += self.random.randint(1, DISTANCE_MAX)
        return self.newest

    def delete(self, width_ms):
        series = self.random.choice([series for series in range(SERIES) if self.kept[series]])
        first = self.random.choice(list(self.kept[series]))
        last = first + self.random.randint(0, width_ms)
        change = {(series, at): None for at in self.kept[series] if first <= at <= last}
        selector = f'{NAMES[series]}{{writer="{self.number}",series="{series}"}}'
        parameters = urllib.parse.urlencode({"match[]": selector, "start": f"{first / 1000:.3f}", "end": f"{last / 1000:.3f}"})
        return change, f"/api/v1/admin/tsdb/delete_series?{parameters}", b""

    def apply(self, change):
        for (series, at), value in change.items():
            if value is None:
                self.kept[series].pop(at, None)
            else:
                self.kept[series][at] = value

    def compare(self, found):
        """The differences between the samples found and those allowed; then continues with the samples found."""
        wrong, unknown = [], self.unknown or {}
        for series in range(SERIES):
            kept, there = self.kept[series], found.get(str(series), {})
            for at in kept.keys() | there.keys():
                allowed = [kept.get(at)]
                if (series, at) in unknown:
                    allowed.append(unknown[series, at])
                if there.get(at) not in allowed:
                    fate = "lost" if at not in there else "changed" if at in kept else "invented"
                    wrong.append(f"{fate}: writer {self.number} series {series} at {at} is {there.get(at)}, allowed {allowed}")
        self.kept = [dict(found.get(str(series), {})) for series in range(SERIES)]
        self.unknown = None
        return wrong

    def samples(self):
        return sum(len(kept) for kept in self.kept)


class Work:
    """What the server has done in all rounds together."""

    def __init__(self, tiers=None):
        self.done, self.tiers = dict.fromkeys(WORK, 0), tiers

    def note(self, server):
        """Adds what was done since the start, before the server ends."""
        for kind, count in done_by(server).items():
            self.done[kind] += count
        if self.tiers:
            self.tiers.note(server)

    def is_enough(self, server, log_path):
        """Whether all kinds of work have been done, those of this server included."""
        done = done_by(server)
        return (all(self.done[kind] + done[kind] > 0 for kind in WORK)
                and (not self.tiers or (self.tiers.are_built(server) and self.tiers.repaired(log_path) > 0)))

    def faults(self, server, writers, settles):
        """What the buckets say that the samples do not; with `settles`, also after all of them are stored."""
        if not self.tiers:
            return []
        span = min(w.oldest for w in writers) // 1000, max(w.newest for w in writers) // 1000
        wrong = self.tiers.faults(server, *span)
        if settles and not wrong:
            buckets.settle(server)
            wrong = self.tiers.faults(server, *span)
        return wrong


def verify(server, writers):
    """Reads every sample and compares it. Returns a list of faults."""
    wrong = []
    for writer in writers:
        everything = EVERYTHING % f',writer="{writer.number}"' + "[1000d]"
        answer = server.api("query", query=everything, time=writer.newest // 1000 + 1)
        found = {item["metric"]["series"]: {round(at * 1000): float(value) for at, value in item["values"]}
                 for item in answer["result"]}
        wrong += writer.compare(found)
    return wrong


def load(server, writers, pause, strike, work, trust_late_answers):
    """Runs the writers until `pause` returns, then `strike`, and returns when all have noticed. Adds to `work` what was
    done.

    Answers that come while `strike` runs are acknowledgements too where they can be trusted."""
    stopped = threading.Event()
    threads = [threading.Thread(target=writer.run, args=(server.port, stopped)) for writer in writers]
    for thread in threads:
        thread.start()
    pause()
    work.note(server)
    if not trust_late_answers:
        stopped.set()
    strike()
    stopped.set()
    for thread in threads:
        thread.join()


def done_by(server):
    return {kind: int(server.metric(f"barograph_db_{kind}_total")) for kind in WORK}


def any_time(chance):
    """A random moment: the server is idle, or flushes, or merges."""
    return lambda: time.sleep(chance.uniform(0.02, 1.6))


def until_it_says_something(server, writers, rounds, work):
    """Together, all rounds have flushed, merged and acknowledged enough, however long that takes."""
    def is_enough():
        return acknowledged_by(writers) > rounds and work.is_enough(server, server.log_path)
    return lambda: wait_for("flushes, merges, buckets and answers", is_enough, 0.2)


def until_answers_come(writers):
    before = acknowledged_by(writers)
    return lambda: wait_for("answers", lambda: acknowledged_by(writers) >= before + 10, 0.01)


def acknowledged_by(writers):
    return sum(writer.acknowledged for writer in writers)


def upkeep(server, chance):
    """Sometimes requests work that an administrator can start, which must not lose anything either."""
    if chance.random() < 0.3:
        server.request("POST", "/api/v1/admin/tsdb/clean_tombstones")


def kill_rounds(rounds, seed, checks):
    with work_folder("barograph-kill9-") as folder:
        server = Server(f"{folder}/data", f"{folder}/log", *OPTIONS)
        try:
            kill_rounds_of(server, rounds, seed, checks, folder)
        finally:
            # Also after a failure: flushes and merges that continue would change the state to examine.
            server.kill()


def kill_rounds_of(server, rounds, seed, checks, folder):
    chance = random.Random(seed)
    work = Work(Buckets(EVERYTHING % "", random.Random(seed)))
    writers = [Writer(number, seed) for number in range(WRITERS)]
    for number in range(1, rounds + 1):
        if chance.random() < 0.3:
            interrupt_start(server, chance)
        wrong = buckets.damage(server) if number % VERIFIED_EACH == 0 else []
        server.start()
        wrong += verify(server, writers)
        wrong = wrong or work.faults(server, writers, number % VERIFIED_EACH == 0)
        if wrong:
            return report(checks, number, wrong, folder)
        strike = server.stop if chance.random() < 0.1 else server.kill
        threading.Thread(target=tolerant(upkeep), args=(server, chance)).start()
        pause = until_it_says_something(server, writers, rounds, work) if number == rounds else any_time(chance)
        load(server, writers, pause, strike, work, True)
        refused = [writer.refused for writer in writers if writer.refused]
        if refused and strike != server.stop:
            return report(checks, number, refused, folder)
        forget_refusals(writers)
    server.start()
    wrong = verify(server, writers) or work.faults(server, writers, True)
    if wrong:
        return report(checks, rounds, wrong, folder)
    checks.equal("the last end is graceful", server.stop(), 0)
    checks.equal("verify finds nothing", buckets.damage(server), [])
    summary(checks, rounds, writers, work, server.log_path)


def interrupt_start(server, chance):
    """Kills the server while it opens, because recovery must be repeatable."""
    command = [server.binary, "serve", "--data-dir", server.data_dir, "--listen", f"127.0.0.1:{server.port}", *OPTIONS]
    with open(server.log_path, "ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    time.sleep(chance.uniform(0, 0.15))
    process.kill()
    process.wait()


def power_rounds(rounds, seed, checks):
    chance = random.Random(seed)
    work = Work(Buckets(EVERYTHING % "", random.Random(seed)))
    with work_folder("barograph-power-") as folder:
        try:
            disk = LoopMount(folder)
            with disk.mounted():
                disk.shut_down()
        except (OSError, RuntimeError) as error:
            skip(f"this machine forbids loop mounts of ext4: {error}")
        writers = [Writer(number, seed) for number in range(WRITERS)]
        for number in range(1, rounds + 1):
            server = Server(f"{disk.folder}/data", f"{folder}/log", *OPTIONS)
            pause = until_it_says_something(server, writers, rounds, work) if number == rounds else any_time(chance)
            wrong = power_round(disk, server, writers, pause, work, number in (rounds // 2, rounds))
            if wrong:
                return report(checks, number, wrong, folder)
        summary(checks, rounds, writers, work, server.log_path)
        unsynced = [Writer(number, seed + 1) for number in range(WRITERS)]
        disk = LoopMount(tempfile.mkdtemp(dir=folder))
        lossy = Server(f"{disk.folder}/data", f"{folder}/log", *OPTIONS, "--durability=off")
        lost = any(power_round(disk, lossy, unsynced, until_answers_come(unsynced), Work(), False) for _ in range(3))
        checks.holds("without fsync the same shutdown loses samples", lost, "the test is blunt")


def power_round(disk, server, writers, pause, work, settles):
    """One load interrupted by the shutdown of the file system, then a restart. Returns the faults found after it."""
    with disk.mounted():
        with server.running():
            load(server, writers, pause, disk.shut_down, work, False)
            forget_refusals(writers)
    with disk.mounted():
        wrong = buckets.damage(server) if work.tiers else []
        with server.running():
            return wrong + verify(server, writers) or work.faults(server, writers, settles)


def forget_refusals(writers):
    for writer in writers:
        writer.refused = None


def tolerant(function):
    """A call to a server that may be dead."""
    def call(*arguments):
        with contextlib.suppress(OSError, http.client.HTTPException):
            function(*arguments)
    return call


@contextlib.contextmanager
def work_folder(prefix):
    """A temporary folder that is kept if something failed in it."""
    folder = tempfile.mkdtemp(prefix=prefix)
    yield folder
    if not os.path.exists(f"{folder}/keep"):
        shutil.rmtree(folder)


def report(checks, number, wrong, folder):
    open(f"{folder}/keep", "w").close()
    shown = "\n    ".join(wrong[:8])
    checks.holds(f"round {number}", False, f"{len(wrong)} wrong, everything is in {folder}:\n    {shown}")


def summary(checks, rounds, writers, work, log_path):
    acknowledged, samples = acknowledged_by(writers), sum(w.samples() for w in writers)
    done = ", ".join(f"{count} {kind}" for kind, count in work.done.items())
    tiers, repaired = work.tiers, work.tiers.repaired(log_path)
    compared = sum(tiers.compared.values())
    checks.holds(f"{rounds} rounds, {acknowledged} acknowledged requests, {done}, {samples} samples at the end: none lost, none invented",
                 acknowledged > rounds and all(work.done.values()), "the load was too small to say anything")
    checks.holds(f"{tiers.built} buckets at the end, {repaired} built again, {compared} values from buckets compared with samples: none differ",
                 repaired and all(tiers.compared.values()), f"too few to say anything: {tiers.compared}")


def skip(why):
    print(f"power loss: SKIPPED ({why})")
    sys.exit(77)


def main():
    mode, rounds = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f"  seed {seed}", flush=True)
    checks = Checks()
    {"kill9": kill_rounds, "power": power_rounds}[mode](rounds, seed, checks)
    checks.finish({"kill9": "kill -9", "power": "power loss"}[mode])


main()
