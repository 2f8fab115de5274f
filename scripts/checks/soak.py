"""Runs the server under steady load for hours: its memory and files must not grow.

    soak.py quick|long|SECONDS [SAMPLES_PER_SECOND]

Time in the data passes faster than on the wall: each series gets a sample every 30 s of its own time, ten of them a
second, so two hours are 25 days and the retention of two days is reached in ten minutes. Writers send lines; one series
in ten is replaced at each hour of data, and the metric of an hour is deleted in the next. A dashboard asks range queries,
and one client reads label values and exports. The server flushes, merges, expires and scrubs meanwhile.

What must hold:
  - resident memory, files, descriptors, threads, bytes on the disk and bytes of the log are, in the last quarter of the
    run, at most 5 % (and a small constant) above the second quarter; the first is the warm-up;
  - every request is answered with success, but for refusals with `Retry-After`, which writers heed;
  - each minute the number and the sum of the last six hours of samples, and of older ones of one job, are exactly those
    acknowledged, and nothing that was deleted is there; the same after a kill and a restart at the end.

Figures are printed each minute. The quick form ends after a number of ticks and compares samples alone: growth shows only
with time.
"""

import http.client
import os
import pathlib
import sys
import threading
import time
import urllib.parse

from harness import PATIENCE, Server, checking, wait_for

FORM = sys.argv[1] if len(sys.argv) > 1 else "quick"
IS_QUICK = FORM == "quick"
SECONDS = {"quick": PATIENCE, "long": 7200}.get(FORM) or int(FORM)
RATE = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000 if IS_QUICK else 100_000
# Ticks of the quick form: an hour and a half of data.
TICKS_QUICK = 180
MIB = 1 << 20
# Seconds of data between two samples of a series, ticks in a second of the wall, writers.
STEP, TICKS, WRITERS = 30, 10, 2
HOUR, DAY = 3600, 86_400
SERIES = RATE // TICKS // WRITERS
JOBS = 14
# Seconds of data that are compared at once; more than pass in a minute of real time.
SPAN = 6 * HOUR
# Values repeat after this many ticks, so that bodies are made once; sums are exact in floating point.
VALUES = 16
# Of each ten series, the last is replaced in each hour of data.
REPLACED = 10
# The server's own metrics have real timestamps, which would advance the retention.
OPTIONS = ["--memory=256MiB", "--partition-width=6h", "--retention=2d", "--flush-interval=1m", "--scrub-interval=10m",
           "--enable-admin", "--self-interval=0s", "--log=warn", "--wal-size=64MiB"]
START = (int(time.time()) // DAY - 60) * DAY
# How much the last quarter may exceed the second: a share, and a constant for small counts.
GROWTH = {"rss": (1.05, 4 * MIB), "files": (1.05, 8), "descriptors": (1.05, 8), "threads": (1.0, 2), "disk": (1.05, 8 * MIB),
          "log": (1.05, 8 * MIB)}


def value(series, tick):
    return (series * 7 + tick % VALUES * 3) % 1000


class Writer(threading.Thread):
    """Sends the ticks of its series in order, each until it is acknowledged."""

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.server, self.number = server, number
        self.acknowledged = 0
        self.refused, self.failed = 0, None
        self.running = True
        self.bodies, self.hour = [], None

    def body(self, tick):
        """The lines of one tick. They are generated for each hour, and only the time is filled in for each tick."""
        hour = tick * STEP // HOUR
        if hour != self.hour:
            self.hour = hour
            self.bodies = [self.lines(hour, n) for n in range(VALUES)]
        return self.bodies[tick % VALUES].replace(b"TIME", b"%d" % (START + tick * STEP))

    def lines(self, hour, tick):
        first = self.number * SERIES
        lines = []
        for n in range(first, first + SERIES):
            pod = f"{n}-{hour}" if n % REPLACED == 0 else str(n)
            lines.append(f"soak,job=j{n % JOBS},pod=p{pod} value={value(n, tick)} TIME")
        lines += [f"doomed,hour=h{hour},n=n{self.number}-{n} value=1 TIME" for n in range(5)]
        return "\n".join(lines).encode()

    def run(self):
        began, tick = time.monotonic(), 0
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        try:
            while self.running:
                time.sleep(max(0, began + tick / TICKS - time.monotonic()))
                connection.request("POST", "/write?precision=s", self.body(tick))
                response = connection.getresponse()
                text = response.read()
                if response.status == 204:
                    tick += 1
                    self.acknowledged = tick
                elif response.headers.get("Retry-After"):
                    self.refused += 1
                    time.sleep(float(response.headers["Retry-After"]))
                else:
                    raise RuntimeError(f"{response.status} {text[:300]!r}")
        except (OSError, RuntimeError, http.client.HTTPException) as e:
            if self.running:
                self.failed = repr(e)
        finally:
            connection.close()


class Reader(threading.Thread):
    """Sends one query after the other, with a pause."""

    def __init__(self, server, ticks, paths, pause):
        super().__init__(daemon=True)
        self.server, self.ticks, self.paths, self.pause = server, ticks, paths, pause
        self.asked, self.refused, self.failed, self.running = 0, 0, None, True

    def run(self):
        while self.running:
            end = START + self.ticks() * STEP
            path, more = self.paths[self.asked % len(self.paths)](end)
            try:
                status, answer = self.server.request("GET", f"{path}?{urllib.parse.urlencode(more)}")
            except OSError as e:
                status, answer = 0, repr(e).encode()
            if status in (429, 503):
                self.refused += 1
            elif status != 200 and self.running:
                self.failed = f"{path} {more}: {status} {answer[:300]!r}"
            self.asked += 1
            time.sleep(self.pause)


def panel(text, span, step):
    return lambda end: ("/api/v1/query_range", {"query": text, "start": end - span, "end": end, "step": step})


PANELS = [
    panel("sum by (job) (rate(soak[5m]))", HOUR, 60),
    panel('quantile(0.9, soak{job="j3"})', HOUR, 60),
    panel('topk(5, avg_over_time(soak{job="j1"}[1h]))', DAY, 3600),
    panel("count(soak)", HOUR, 300),
]
LOOKS = [
    lambda end: ("/api/v1/label/pod/values", {"match[]": 'soak{job="j2"}', "start": end - HOUR, "end": end}),
    lambda end: ("/api/v1/series", {"match[]": 'doomed', "start": end - HOUR, "end": end}),
    lambda end: ("/api/v1/export", {"match[]": 'soak{pod="p11"}', "start": end - DAY, "end": end}),
    lambda end: ("/api/v1/status/tsdb", {}),
]


def tree(folder):
    """Number and bytes of the files below a folder; files may disappear meanwhile."""
    number = size = 0
    for path in pathlib.Path(folder).rglob("*"):
        try:
            if path.is_file():
                number, size = number + 1, size + path.stat().st_size
        except FileNotFoundError:
            pass
    return number, size


class Soak:
    def __init__(self, server, checks):
        self.server, self.checks = server, checks
        self.writers = [Writer(server, number) for number in range(WRITERS)]
        self.readers = [Reader(server, self.ticks, PANELS, 1.0), Reader(server, self.ticks, LOOKS, 5.0)]
        self.looks, self.wrong, self.deleted, self.sums = [], [], 0, {}

    def ticks(self):
        """Ticks that were acknowledged to every writer."""
        return min(writer.acknowledged for writer in self.writers)

    def holds(self):
        process = self.server.process.pid
        files, disk = tree(self.server.data_dir)
        return {"rss": self.server.resident(), "files": files, "disk": disk,
                "descriptors": len(os.listdir(f"/proc/{process}/fd")), "threads": len(os.listdir(f"/proc/{process}/task")),
                "log": tree(f"{self.server.data_dir}/wal")[1]}

    def forget(self, until):
        """Deletes the metric of each hour that has ended, like a clean-up job."""
        while (self.deleted + 1) * HOUR <= until * STEP - HOUR:
            status, answer = self.server.request(
                "POST", "/api/v1/admin/tsdb/delete_series", **{"match[]": f'doomed{{hour="h{self.deleted}"}}'})
            if status != 204:
                self.wrong.append(f"delete: {status} {answer[:200]!r}")
                return
            self.deleted += 1

    def expected(self, job, first, last):
        """Number and sum of the samples of a job in the ticks from `first` to `last`."""
        if job not in self.sums:
            series = [n for n in range(SERIES * WRITERS) if n % JOBS == job]
            self.sums[job] = len(series), [sum(value(n, tick) for n in series) for tick in range(VALUES)]
        number, of_tick = self.sums[job]
        return number * (last - first + 1), sum(of_tick[tick % VALUES] for tick in range(first, last + 1))

    def compare_job(self, job, last):
        """Six hours of a job up to a tick."""
        first = max(0, last - SPAN // STEP + 1)
        at, selector = START + last * STEP, f'soak{{job="j{job}"}}[{(last - first + 1) * STEP}s]'
        found = tuple(self.server.value(f"sum({name}_over_time({selector}))", at) for name in ("count", "sum"))
        want = self.expected(job, first, last)
        if found != want:
            self.wrong.append(f"job {job}, ticks {first} to {last}: {found}, acknowledged are {want}")

    def compare(self, ticks):
        """The samples of all jobs in the last six hours, and those of one job in six hours just within the retention."""
        if ticks == 0:
            return
        for job in range(JOBS):
            self.compare_job(job, ticks - 1)
        if ticks * STEP > 40 * HOUR:
            self.compare_job(ticks % JOBS, ticks - 34 * HOUR // STEP)
        gone = self.server.value(f"count(count_over_time(doomed[{2 * DAY}s]))", START + (self.deleted * HOUR - 1))
        if gone:
            self.wrong.append(f"{gone} deleted series are there, {self.deleted} hours are deleted")

    def run(self):
        threads = self.writers + self.readers
        [thread.start() for thread in threads]
        began, minute = time.monotonic(), 0
        while (passed := time.monotonic() - began) < SECONDS and not any(thread.failed for thread in threads):
            if IS_QUICK and self.ticks() >= TICKS_QUICK:
                self.forget(self.ticks())
                self.compare(self.ticks())
                break
            found = self.holds()
            self.looks.append((passed, found))
            if passed >= minute * 60:
                minute += 1
                self.forget(self.ticks())
                self.compare(self.ticks())
                self.show(passed, found)
            time.sleep(0.1 if IS_QUICK else 5)
        for thread in threads:
            thread.running = False
        [thread.join() for thread in threads]
        self.judge(time.monotonic() - began)

    def show(self, passed, found):
        held = ", ".join(f"{key} {number / MIB:.1f} MiB" if key in ("rss", "disk", "log") else f"{key} {number}"
                         for key, number in found.items())
        written = self.ticks() * SERIES * WRITERS
        print(f"  {passed / 60:5.0f} min  {written / 1e6:7.1f} M samples ({written / max(passed, 1):.0f}/s), "
              f"{sum(reader.asked for reader in self.readers)} questions, {held}", flush=True)

    def judge(self, seconds):
        checks, server = self.checks, self.server
        for thread in self.writers + self.readers:
            checks.equal(f"{type(thread).__name__} has no failure", thread.failed, None)
        refused = sum(thread.refused for thread in self.writers + self.readers)
        print(f"  {refused} requests were refused with Retry-After")
        checks.equal("number and sum are those acknowledged, each minute", self.wrong, [])
        if not IS_QUICK:
            self.judge_growth(seconds)
        server.kill()
        server.start()
        self.compare(self.ticks())
        checks.equal("so they are after a kill", self.wrong, [])
        checks.equal("the end is graceful", server.stop(), 0)

    def judge_growth(self, seconds):
        second = [found for at, found in self.looks if seconds / 4 <= at < seconds / 2]
        last = [found for at, found in self.looks if at >= seconds * 3 / 4]
        for key, (factor, constant) in GROWTH.items():
            before, after = (max(found[key] for found in quarter) for quarter in (second, last))
            self.checks.holds(f"{key} stays: {before} at most in the second quarter, {after} in the last",
                              after <= before * factor + constant, "it grows")


with checking("soak") as (checks, folder):
    server = Server(f"{folder}/data", f"{folder}/log", *OPTIONS)
    with server.running():
        Soak(server, checks).run()
