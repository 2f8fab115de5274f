"""Series come, go silent and are replaced, three times; then their partitions expire. Memory, the number of series in
the index and the bytes on disk must return to where they were, and no write may wait long at a change of partitions.

BAROGRAPH_CHURN_SERIES  series of each round, 100,000 without it
"""

import contextlib
import json
import os
import tempfile
import threading
import time

from harness import Checks, Server, wait_for
from pods import BATCH, HOUR, START, body, disk

SERIES = int(os.environ.get("BAROGRAPH_CHURN_SERIES", "100000"))
ROUNDS = 3
MIB = 1 << 20
# How much more may be held at the end than at the beginning: less than a fifth of a million series.
SLACK = {"tables": 256 << 10, "disk": 66 * MIB, "rss": 64 * MIB}


class Pulse(threading.Thread):
    """Writes a sample of a series that stays, all the time, and keeps the longest wait."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.hour, self.longest, self.failed, self.running = server, 0, 0.0, 0, True
        self.written = 0

    def run(self):
        while self.running and self.server.process.poll() is None:
            began = time.monotonic()
            now = START + self.hour * HOUR + int(began * 10) % 3000
            try:
                status, _ = self.server.write([f"pulse value=1 {now}"], precision="s")
            except OSError:
                # The server is stopped at the end.
                status = 204 if not self.running else 0
            self.longest = max(self.longest, time.monotonic() - began)
            self.failed += status != 204
            self.written += 1
            time.sleep(0.01)

    def beat(self):
        """Returns when a sample that was not sent before this call has been written."""
        before = self.written
        wait_for("the pulse", lambda: self.written > before + 1, 0.01)

    def take(self):
        longest, self.longest = self.longest, 0.0
        return longest


class Churn:
    def __init__(self, server):
        self.server, self.checks, self.pulse = server, Checks(), Pulse(server)

    def flush(self):
        status, answer = self.server.request("POST", "/api/v1/admin/tsdb/flush")
        assert status in (200, 204), answer

    def settle(self):
        """Waits until everything past the retention is gone, and nothing is left to merge."""
        wait_for("partitions to expire", lambda: self.server.metric("barograph_db_partitions") <= 1)
        status, answer = self.server.request("POST", "/api/v1/admin/tsdb/clean_tombstones")
        assert status in (200, 204), answer

    def stored(self):
        _, report = self.server.request("GET", "/api/v1/status/tsdb", start=0, end=START + 10**6, limit=1)
        return json.loads(report)["data"]["headStats"]["numSeries"]

    def measure(self):
        metric = lambda key: self.server.metric(f"barograph_db_{key}")
        stored = self.stored()
        found = {"rss": self.server.resident(), "disk": disk(self.server.data_dir), "head": metric("head_series"),
                 "head_bytes": metric("head_series_bytes"), "stored": stored, "tables": metric("rocksdb_table_bytes"),
                 "partitions": metric("partitions"),
                 "cache": metric("rocksdb_cache_bytes") + metric("rocksdb_other_memory_bytes")}
        return found

    def look(self, name):
        found = self.measure()
        print(f"  {name:14} rss {found['rss'] / MIB:7.1f} MiB (cache {found['cache'] / MIB:5.1f}), {found['head']:9.0f} series in memory "
              f"({found['head_bytes'] / MIB:6.1f} MiB), {found['stored']:9} in all, {found['partitions']:2.0f} partitions, tables "
              f"{found['tables'] / MIB:6.1f} MiB, folder {found['disk'] / MIB:6.1f} MiB, longest wait {self.pulse.take():.2f} s",
              flush=True)
        return found

    def fill(self, hour):
        """A round of new series."""
        self.pulse.hour = hour
        for first in range(0, SERIES, BATCH):
            status, answer = self.server.write(body(hour, first, min(BATCH, SERIES - first)), precision="s")
            assert status == 204, (status, answer)

    def silence(self, hour, flushes):
        """Advances the time; only the pulse is written."""
        self.pulse.hour = hour
        for _ in range(flushes):
            self.pulse.beat()
            self.flush()

    def cycle(self, hour, rounds):
        """Series are replaced `rounds` times, then all partitions expire. Returns what was held at each peak."""
        peaks = []
        for n in range(rounds):
            self.fill(hour + n)
            if peaks:
                self.come_down(lambda found: found["rss"] <= most_of_a_round(peaks))
            peaks.append(self.look(f"round {n + 1}"))
            self.silence(hour + n, 3)
        self.silence(hour + 10, 4)
        self.settle()
        return peaks

    def come_down(self, is_down):
        """Threads return memory and remove files with a delay. If the wait was in vain, the comparison after it
        fails."""
        with contextlib.suppress(RuntimeError):
            wait_for("memory and files to be given back", lambda: is_down(self.measure()), 0.5)

    def run(self):
        # The first cycle warms up allocator and caches; the state after it is the reference.
        self.pulse.start()
        self.cycle(0, 2)
        before = self.look("before")
        peaks = self.cycle(20, ROUNDS)
        self.come_down(lambda found: all(found[key] <= before[key] + slack for key, slack in SLACK.items()))
        self.judge(before, peaks, self.look("after"))

    def judge(self, before, peaks, after):
        equal, holds = self.checks.equal, self.checks.holds
        equal("the head holds what it held", after["head"], before["head"])
        equal("so do its bytes", after["head_bytes"], before["head_bytes"])
        equal("no series is left in the index", after["stored"], before["stored"])
        for n, peak in enumerate(peaks):
            holds(f"round {n + 1} finds its series in memory alone", SERIES <= peak["head"] <= SERIES + 10, peak)
        for key, name in (("tables", "tables are as large as before"), ("disk", "so is the folder"),
                          ("rss", "the process holds what it held")):
            holds(name, after[key] <= before[key] + SLACK[key], f"{before[key]} before, {after[key]} after")
        holds("rounds do not add up", peaks[-1]["rss"] <= most_of_a_round(peaks),
              " ".join(f"{peak['rss'] / MIB:.0f}" for peak in peaks))
        equal("every write of the pulse was taken", self.pulse.failed, 0)
        self.pulse.running = False
        self.checks.finish("churn")


def most_of_a_round(peaks):
    """The limit of the process in a round, relative to the first."""
    return peaks[0]["rss"] * 1.2 + 32 * MIB


def main():
    with tempfile.TemporaryDirectory(prefix="barograph-churn-") as folder:
        options = ["--partition-width", "1h", "--retention", "4h", "--enable-admin", "--self-interval", "0", "--durability", "off",
                   "--memory", os.environ.get("BAROGRAPH_CHURN_MEMORY", "2GiB"), "--log", "warn"]
        server = Server(f"{folder}/data", f"{folder}/log", *options)
        with server.running():
            Churn(server).run()


main()
