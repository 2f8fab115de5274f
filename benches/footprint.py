#!/usr/bin/env python3
"""The fixed costs of a database, compared with redb and SQLite: prints the table of docs/embedding.md.

    footprint.py PROGRAM [SECONDS]    the built example `footprint`; how long the idle rows last, 30 s by default

SQLite is that of Python's module sqlite3, in WAL mode with synchronous=FULL. As root, the cost of a commit is counted
at a device, an ext4 file system in a file; otherwise by the process, and by strace if it is installed.
"""

import contextlib
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time

MANY, COMMITS, TIMES = 200, 500, 15


def disk(folder):
    return sum(os.stat(os.path.join(place, name)).st_blocks * 512 for place, _, names in os.walk(folder) for name in names)


def figure(path, name):
    with open(path) as file:
        return next((float(line.split()[1]) for line in file if line.startswith(name)), 0.0)


def taken():
    # The thread that measures belongs to the program.
    tasks = [task for task in os.listdir("/proc/self/task") if task != str(threading.get_native_id())]
    switches = sum(figure(f"/proc/self/task/{task}/status", name) for task in tasks
                   for name in ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"))
    return {"kb": figure("/proc/self/status", "VmRSS"), "threads": len(tasks), "switches": switches,
            "descriptors": len(os.listdir("/proc/self/fd")), "written": figure("/proc/self/io", "write_bytes") / 1024}


class Sqlite:
    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.connection = sqlite3.connect(f"{folder}/samples.db")
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("CREATE TABLE IF NOT EXISTS samples (series INTEGER, time INTEGER, value REAL, "
                                "PRIMARY KEY (series, time)) WITHOUT ROWID")

    def append(self, samples):
        with self.connection:
            self.connection.executemany("INSERT INTO samples VALUES (?, ?, ?)", [(s, t, t / 7) for s, t in samples])

    def close(self):
        self.connection.close()


def timed(action):
    start = time.perf_counter()
    result = action()
    return (time.perf_counter() - start) * 1e3, result


def sqlite(work, folder, number):
    """The same pieces of work as in the program."""
    if work == "empty":
        create, reopen, sizes = [], [], []
        for turn in range(number):
            place = f"{folder}/{turn}"
            for times in (create, reopen):
                took, store = timed(lambda: Sqlite(place))
                times.append(took)
                sizes.append(disk(place))
                store.close()
        return {"empty_mb": max(sizes) / 1e6, "create_ms": statistics.median(create), "reopen_ms": statistics.median(reopen)}
    if work == "many":
        stores = [Sqlite(f"{folder}/first")]
        stores[0].append([(0, 0)])
        before = taken()
        for turn in range(number):
            stores.append(Sqlite(f"{folder}/{turn}"))
            stores[-1].append([(0, 0)])
        after = taken()
        return {f"each_{name}": (after[name] - before[name]) / number for name in ("kb", "threads", "descriptors")}
    store = Sqlite(folder)
    if work == "little":
        for second in range(60):
            store.append([(series, second) for series in range(100)])
        store.close()
        return {"little_mb": disk(folder) / 1e6}
    store.append([(0, -1)])
    before = taken()
    if work == "commits":
        for second in range(number):
            store.append([(0, second)])
        return {"commit_kb": (taken()["written"] - before["written"]) / max(number, 1)}
    time.sleep(number)
    after = taken()
    return {"idle_mb_a_day": (after["written"] - before["written"]) * 86400 / 1024 / number,
            "idle_switches": (after["switches"] - before["switches"]) / number}


def lines(text):
    return {name: float(number) for name, number in (line.split() for line in text.splitlines())}


def command(program, store, work, folder, number):
    own = [sys.executable, os.path.abspath(__file__), "--sqlite"] if store == "sqlite" else [program, store]
    return [*own, work, folder, str(number)]


def measured(program, place, store, work, number):
    with tempfile.TemporaryDirectory(dir=place) as folder:
        run = subprocess.run(command(program, store, work, folder, number), check=True, capture_output=True, text=True)
        return lines(run.stdout)


def idle(program, place, seconds):
    """All stores at once; each figure comes from its own process."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        runs = {store: subprocess.Popen(command(program, store, "idle", f"{folder}/{store}", seconds), text=True,
                                        stdout=subprocess.PIPE) for store, _ in COLUMNS}
        found = {store: lines(run.communicate()[0]) for store, run in runs.items()}
        for store, run in runs.items():
            if run.returncode:
                sys.exit(f"{store} failed while idle")
        return found


def of_device(program, place, device, store):
    """The cost of a commit to the device: a run with many commits, minus one with one commit."""
    def run(commits):
        os.sync()
        before = counts()
        measured(program, place, store, "commits", commits)
        os.sync()
        return [after - before for before, after in zip(before, counts())]

    def counts():
        with open(f"/sys/block/{device}/stat") as file:
            fields = [int(field) for field in file.read().split()]
        return fields[6] / 2, fields[15]
    many, one = run(COMMITS + 1), run(1)
    return {"commit_kb": (many[0] - one[0]) / COMMITS, "commit_flushes": (many[1] - one[1]) / COMMITS}


def of_calls(program, place, store):
    """The same without a device: the number of calls that request a flush."""
    def count(commits):
        with tempfile.TemporaryDirectory(dir=place) as folder, tempfile.NamedTemporaryFile("r") as trace:
            subprocess.run(["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-e", "signal=none",
                            "-o", trace.name, *command(program, store, "commits", folder, commits)],
                           check=True, capture_output=True)
            return sum("sync" in line and "resumed" not in line for line in trace)
    if not shutil.which("strace"):
        return {"commit_flushes": float("nan")}
    return {"commit_flushes": (count(COMMITS + 1) - count(1)) / COMMITS}


@contextlib.contextmanager
def disk_of_our_own():
    """A folder on an ext4 file system in a file, and its device, so that other programs' writes do not count. Needs
    root."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        image, place = f"{folder}/image", f"{folder}/place"
        os.mkdir(place)
        with open(image, "wb") as file:
            file.truncate(2 << 30)
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], **quiet)
            subprocess.run(["mount", "-o", "loop", image, place], **quiet)
        except (OSError, subprocess.CalledProcessError):
            yield folder, None
            return
        try:
            number = os.stat(place).st_dev
            name = os.path.basename(os.readlink(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}"))
            yield place, name
        finally:
            subprocess.run(["umount", place], **quiet)


ROWS = [
    ("disk when empty, MB", "{empty_mb:.2f}"),
    ("100 series of 60 samples, closed, MB", "{little_mb:.2f}"),
    ("create; reopen, ms", "{create_ms:.1f}; {reopen_ms:.1f}"),
    (f"each of {MANY} open databases: kB, threads, descriptors", "{each_kb:.0f}, {each_threads:.2f}, {each_descriptors:.1f}"),
    ("kB and flushes for each synced commit", "{commit_kb:.1f}, {commit_flushes:.2f}"),
    ("idle: MB written a day, switches a second", "{idle_mb_a_day:.1f}, {idle_switches:.2f}"),
]
COLUMNS = [("default", "default"), ("small", "`Options::small()`"), ("redb", "redb"), ("sqlite", "SQLite WAL")]


def main(program, seconds):
    found = idle(program, ".", seconds)
    for store, _ in COLUMNS:
        for work, number in (("empty", TIMES), ("little", 0), ("many", MANY), ("commits", COMMITS)):
            found[store] |= measured(program, ".", store, work, number)
    with disk_of_our_own() as (place, device):
        for store, _ in COLUMNS:
            found[store] |= of_device(program, place, device, store) if device else of_calls(program, place, store)
    print("| | " + " | ".join(title for _, title in COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for title, form in ROWS:
        print(f"| {title} | " + " | ".join(form.format(**found[store]) for store, _ in COLUMNS) + " |")
    print("\nkB and flushes are " + ("those of a device of its own, with ext4." if device else
                                    "what the process wrote and the flushes it asked for: counting a device's needs root."))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sqlite"]:
        for name, number in sqlite(sys.argv[2], sys.argv[3], int(sys.argv[4])).items():
            print(name, number)
    elif len(sys.argv) in (2, 3):
        main(os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 30)
    else:
        sys.exit(__doc__)
