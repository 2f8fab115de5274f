"""Snapshots of a server under load: backup.py ROUNDS [SEED]

Writers send numbered batches, others delete some of them; flushes and merges run all the while. A snapshot is made,
restored, verified, and read. It must have every batch that was acknowledged before the call, none that was sent after
its answer, each batch whole, and each delete in the same way. And it must be one state: if it has a batch, it has all
that was acknowledged before that batch was sent.
"""

import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import threading
import time

from harness import Server, checking, wait_for

OPTIONS = ("--enable-admin", "--flush-interval=1s", "--partition-width=1m", "--self-interval=0s", "--memory=64MiB",
           "--wal-size=16MiB", "--retention=0")
WRITERS, SERIES = 3, 10
# A partition has few batches, so that some are merged in every round.
BATCH_SECONDS = 15
BASE = 1_700_000_040
LINE = re.compile(rb"backup,s=(\d+),w=(\d+) value=(\d+)(?:i)? (\d+)")


class Batch:
    """When it was sent and acknowledged, and when its delete was; None if that has not happened."""

    def __init__(self):
        self.sent = time.monotonic()
        self.acknowledged = self.delete_sent = self.deleted = None


class Load:
    """Writers and a deleter of a server, until `stop`."""

    def __init__(self, server, seed):
        self.server, self.refused = server, []
        self.batches = [[] for _ in range(WRITERS)]
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(writer,)) for writer in range(WRITERS)]
        self.threads.append(threading.Thread(target=self.delete, args=(random.Random(seed),)))
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def answer(self, what, status, text):
        if status != 204:
            self.refused.append(f"{what}: {status} {text}")
            self.stopped.set()
        return status == 204

    def write(self, writer):
        while not self.stopped.is_set():
            number = len(self.batches[writer])
            at = BASE + number * BATCH_SECONDS
            lines = [f"backup,s={series},w={writer} value={number * SERIES + series} {at}" for series in range(SERIES)]
            batch = Batch()
            self.batches[writer].append(batch)
            if self.answer("a write", *self.server.write(lines, precision="s")):
                batch.acknowledged = time.monotonic()
            self.stopped.wait(0.02)

    def delete(self, chance):
        while not self.stopped.wait(0.1):
            writer = chance.randrange(WRITERS)
            known = [number for number, batch in enumerate(self.batches[writer]) if batch.acknowledged and not batch.delete_sent]
            if len(known) < 5:
                continue
            # Recent ones are in memory, the others in the store.
            number = chance.choice(known[-3:] if chance.random() < 0.5 else known)
            batch, at = self.batches[writer][number], BASE + number * BATCH_SECONDS
            batch.delete_sent = time.monotonic()
            status, text = self.server.request("POST", "/api/v1/admin/tsdb/delete_series", **{
                "match[]": f'backup{{w="{writer}"}}', "start": at, "end": at})
            if self.answer("a delete", status, text):
                batch.deleted = time.monotonic()


def contents(binary, directory):
    """The contents of a directory: the values of each batch, by writer and number."""
    words = ("export", "--match", "backup", "--data-dir", directory)
    done = subprocess.run([binary, *words], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"export of a restored copy: {done.stderr.decode(errors='replace')}")
    found = {}
    for line in done.stdout.splitlines():
        if not line or line.startswith(b"#"):
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise RuntimeError(f"not a line that was written: {line[:200]!r}")
        series, writer, value, at = (int(text) for text in match.groups())
        number, rest = divmod(at // 1_000_000_000 - BASE, BATCH_SECONDS)
        if rest or value != number * SERIES + series:
            raise RuntimeError(f"not a sample that was written: {line[:200]!r}")
        found.setdefault((writer, number), set()).add(series)
    return found


def judge(batches, found, asked, answered):
    """The faults of a copy that was requested and completed at these times."""
    known = {(writer, number): batch for writer, of in enumerate(batches) for number, batch in enumerate(of)}
    for key in found.keys() - known.keys():
        yield f"batch {key} was not sent before it was read"
    # The copy is a state of the time after this one.
    state = max((known[key].sent for key in found if key in known), default=0)
    for key, batch in known.items():
        there = len(found.get(key, ()))
        if there not in (0, SERIES):
            yield f"batch {key} has {there} of {SERIES} samples"
        before, latest = max(asked, state), answered
        is_certain = batch.acknowledged is not None and batch.acknowledged < before
        is_deleted = batch.deleted is not None and batch.deleted < before
        may_be_deleted = batch.delete_sent is not None and batch.delete_sent < latest
        if there and batch.sent > latest:
            yield f"batch {key} was sent after the snapshot was complete"
        if there and is_deleted:
            yield f"batch {key} was deleted before the snapshot"
        if not there and is_certain and not may_be_deleted:
            yield f"batch {key} was acknowledged before the snapshot and is missing"


def snapshot(server, load, folder, chance):
    """Makes, restores, verifies and reads a copy. Returns its faults, and its batches."""
    time.sleep(chance.uniform(0.05, 0.6))
    asked = time.monotonic()
    status, answer = server.request("POST", "/api/v1/admin/tsdb/snapshot")
    answered = time.monotonic()
    if status != 200:
        return [f"the snapshot was refused: {status} {answer!r}"], 0
    made = pathlib.Path(server.data_dir, "snapshots", json.loads(answer)["data"]["name"])
    restored = f"{folder}/restored"
    try:
        for words in (("snapshot", "restore", str(made), "--data-dir", restored), ("verify", "--data-dir", restored)):
            done = subprocess.run([server.binary, *words], capture_output=True, check=False)
            if done.returncode:
                return [f"{words[0]}: {(done.stdout + done.stderr).decode(errors='replace')}"], 0
        found = contents(server.binary, restored)
        batches = [list(of) for of in load.batches]
        return list(judge(batches, found, asked, answered)), len(found)
    finally:
        shutil.rmtree(made)
        shutil.rmtree(restored, ignore_errors=True)


def run(folder, rounds, seed, checks):
    chance, server = random.Random(seed), Server(f"{folder}/data", f"{folder}/log", *OPTIONS)
    wrong, counts = [], []
    with server.running():
        load = Load(server, seed)
        try:
            wait_for("a merge", lambda: load.stopped.is_set() or server.metric("barograph_db_merges_total") > 0)
            while len(counts) < rounds and not wrong and not load.stopped.is_set():
                faults, count = snapshot(server, load, folder, chance)
                wrong += [f"snapshot {len(counts) + 1}: {fault}" for fault in faults]
                counts.append(count)
        finally:
            load.stop()
        wrong += load.refused
        done = {kind: int(server.metric(f"barograph_db_{kind}_total")) for kind in ("flushes", "merges", "deletes")}
    work = ", ".join(f"{count} {kind}" for kind, count in done.items())
    sent = sum(len(of) for of in load.batches)
    shown = "\n    ".join(wrong[:8])
    checks.holds(f"{len(counts)} snapshots under load, {sent} batches sent, {max(counts, default=0)} in the largest, {work}: "
                 "0 lost, 0 phantom, 0 torn, each verified", not wrong and len(counts) == rounds, f"{len(wrong)} wrong:\n    {shown}")
    checks.holds("there was work of every kind", all(done.values()) and sent > rounds, f"{done}")


def main():
    rounds = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"  seed {seed}", flush=True)
    with checking("backup") as (checks, folder):
        checks.run(run, folder, rounds, seed, checks)


main()
