"""One I/O call fails while a real server or command works on a small database: any call on any file of it, of the log, of
RocksDB and of the directory itself, those that read among them. One run for each call and kind of failure (KINDS).

While it runs, every answer is true: a write that gets 204 is stored, one that gets an error is not, a query shows exactly
what is stored or is an error (or carries a warning that names what is missing), and where writes are refused,
/-/healthy says so. Then the server is killed or stopped. The database opens again without a flag,
holds every acknowledged sample and no other, takes writes and flushes, and `verify` finds no problem. A failure may end a
start or a command, with the reason, and must leave a database that opens.

    io_faults.py [EVERY [KIND]]    every EVERY-th call fails in a separate run; default: a few of each kind
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading

import harness
from harness import Server, checking

# Detects calls that hang, not slow ones.
harness.PATIENCE = 120
EIO, ENOSPC, EINTR = 5, 28, 4
EVER = 1 << 40
STATE_BYTES, FIRST_BYTES = 1 << 16, 1000
NAMES = ("fsync", "write", "open", "allocate", "truncate", "rename", "link", "unlink", "mkdir", "close",
         "read", "openr", "stat", "list", "map")
# The calls for which a disk needs space.
GROW = ("fsync", "write", "open", "allocate", "truncate", "rename", "link", "mkdir", "close")

# A kind of failure: its name, the calls that it affects, the error, how many calls fail, and whether the cause is
# removed before the last write.
Kind = collections.namedtuple("Kind", "name calls error count removed")
KINDS = (
    Kind("EIO once", NAMES, EIO, 1, False),
    Kind("EIO for ever", NAMES, EIO, EVER, False),
    Kind("ENOSPC once", GROW, ENOSPC, 1, False),
    Kind("ENOSPC until there is space", GROW, ENOSPC, EVER, True),
    Kind("short transfer", ("read", "write"), "short", 1, False),
    Kind("EINTR", ("read", "write", "open", "openr", "fsync", "truncate", "allocate"), EINTR, 1, False),
    Kind("fsync EIO", ("fsync",), EIO, 1, False),
)
# Without EVERY, the number of calls of each kind that fail in each piece of work.
FEW = {"old": 14, "new": 5, "export": 3, "restore": 4}
WORKERS = 2
SHOWN = 8

HOUR = 3600
START = 1_700_000_000 // HOUR * HOUR
OPTIONS = ("--enable-admin", "--self-interval=0s", "--memory=64MiB", "--partition-width=1h", "--scrub-interval=0")
ALL = '{__name__=~"m|late"}'


class Faults:
    """The library that makes calls fail: which call fails, and what it did."""

    def __init__(self, path, part, kind, at):
        self.path, self.part, self.kind, self.at = path, part, kind, at
        pathlib.Path(path).write_bytes(bytes(STATE_BYTES))

    def environment(self):
        return {"LD_PRELOAD": os.environ["IO_FAULTS"], "IO_PATH": self.part, "IO_CALLS": ",".join(self.kind.calls),
                "IO_FROM": str(self.at), "IO_LAST": str(self.at + self.kind.count - 1), "IO_ERROR": str(self.kind.error),
                "IO_STATE": self.path}

    def read(self):
        content = pathlib.Path(self.path).read_bytes()
        self.seen, self.failed, _ = struct.unpack_from("3q", content)
        self.first = content[24:24 + FIRST_BYTES].split(b"\0")[0].decode(errors="replace")
        self.order = content[24 + FIRST_BYTES:][:self.seen]
        return self

    def mend(self):
        with open(self.path, "r+b") as file:
            file.seek(16)
            file.write(struct.pack("q", 1))


class Oracle:
    """The expected contents of the database: (metric, series, second) -> value."""

    def __init__(self, kept=()):
        self.kept, self.unknown, self.undone, self.wrong = dict(kept), [], [], []
        self.errors = self.warned = 0

    def note(self, change, status):
        """A change, with the value None for a delete, and its response; None if there was none."""
        if status is None:
            self.unknown.append(change)
        elif status == 503:
            # The log failed. If its record could not be removed either, a restart finds it.
            self.undone.append(change)
        elif 200 <= status < 300:
            for key, value in change.items():
                self.kept.pop(key, None)
                if value is not None:
                    self.kept[key] = value

    def compare(self, when, found):
        for key in sorted(self.kept.keys() | found.keys()):
            allowed = [self.kept.get(key)] + [change[key] for change in self.unknown if key in change]
            if found.get(key) not in allowed:
                what = "lost" if key not in found else "phantom" if key not in self.kept else "changed"
                self.wrong.append(f"{what}: {when}, {key} is {found.get(key)}, allowed {allowed}")


def samples_of(result):
    return {(item["metric"]["__name__"], item["metric"]["i"], int(at)): float(value)
            for item in result for at, value in item["values"]}


class Run:
    """One run: a folder, a server in it, the library, and the oracle."""

    def __init__(self, folder, port, kind, at):
        self.folder, self.kind, self.at = folder, kind, at
        for entry in os.scandir(folder):
            shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)
        # Not below the path whose calls fail.
        beside = f"{os.path.dirname(folder)}-{os.path.basename(folder)}"
        self.server = Server(f"{folder}/data", f"{beside}.log", *OPTIONS)
        self.server.port = port
        pathlib.Path(self.server.log_path).write_bytes(b"")
        self.faults = Faults(f"{beside}.state", f"{os.path.dirname(folder)}/", kind, at)
        self.oracle = Oracle()
        self.outcome = ""

    def wrong(self, what):
        self.oracle.wrong.append(what)

    def ask(self, method, path, body=None, **parameters):
        """Status and body; no status if the server has ended."""
        try:
            return self.server.request(method, path, body, timeout=harness.PATIENCE, **parameters)
        except TimeoutError:
            self.wrong(f"hang: {path}")
        except OSError as gone:
            if self.server.process.poll() is None:
                self.wrong(f"no answer: {path}: {gone}")
        return None, b""

    def write(self, samples):
        lines = [f"{metric},i={i} value={value} {at}" for (metric, i, at), value in samples.items()]
        status, _ = self.ask("POST", "/write", "\n".join(lines).encode(), precision="s")
        self.oracle.note(samples, status)
        return status

    def delete(self, i, start, end):
        gone = {key: None for key in self.oracle.kept if key[1] == i and start <= key[2] <= end}
        parameters = {"match[]": f'{{i="{i}"}}', "start": start, "end": end}
        self.oracle.note(gone, self.ask("POST", "/api/v1/admin/tsdb/delete_series", **parameters)[0])

    def admin(self, name):
        return self.ask("POST", f"/api/v1/admin/tsdb/{name}")

    def query(self, when, must=False):
        """Reads everything. With `must`, an error or a warning is a fault."""
        status, body = self.ask("GET", "/api/v1/query", query=f"{ALL}[10h]", time=START + 9 * HOUR)
        if status is None:
            return
        answer = json.loads(body) if body else {}
        if must and (status != 200 or answer.get("warnings")):
            self.wrong(f"silent: {when}: {status} {body[:500]!r}")
        elif status != 200:
            self.oracle.errors += 1
        elif any("damaged" in warning for warning in answer.get("warnings", ())):
            self.oracle.warned += 1
        else:
            self.oracle.compare(when, samples_of(answer["data"]["result"]))

    def is_poisoned(self):
        return self.server.metric("barograph_db_store_poisoned") + self.server.metric("barograph_db_wal_poisoned") > 0

    def check_health(self, last):
        """`last` is the status of the last write."""
        before = self.is_poisoned()
        status, body = self.ask("GET", "/-/healthy")
        # Background work continues meanwhile.
        if (status == 503) not in (before, self.is_poisoned()):
            self.wrong(f"silent: /-/healthy says {status}, poisoned was {before}")
        text = body.decode(errors="replace")
        if last != 204 and status == 200 and "disk is full" not in text and "Writes fail" not in text:
            self.wrong(f"silent: writes get {last}, and /-/healthy says {text!r}")
        self.outcome = "needs a restart" if status == 503 else "refuses writes" if last != 204 else ""

    def start(self):
        """Whether it starts."""
        self.server.environment = self.faults.environment()
        try:
            self.server.start()
            return True
        except RuntimeError as ended:
            self.outcome = "does not start"
            self.check_reason(str(ended))
            return False

    def check_reason(self, said):
        """A start or command that ends must give the reason."""
        reason = {EIO: "error|corrupt|cannot be read", ENOSPC: "no space|disk is full", EINTR: "interrupted", "short": "never"}[self.kind.error]
        if "panicked" in said or not re.search(reason, said, re.IGNORECASE):
            self.wrong(f"silent: it ended without the reason: {said}")

    def end(self):
        """Kills the server, or stops it."""
        code = self.server.process.poll()
        if code is not None:
            self.wrong(f"crash: the server ended with {code}: {self.server.log_tail()}")
        elif self.at % 2 or self.faults.read().seen >= self.at > 0:
            self.server.kill()
        else:
            self.server.stop()
        if "panicked" in pathlib.Path(self.server.log_path).read_text(errors="replace"):
            self.wrong(f"crash: {self.server.log_tail()}")

    def reopen(self, data_dir=None):
        """Opens the database without failures and without a flag, and compares everything."""
        server = self.server
        if self.kind.count > 1:
            # Later ones were refused before they were written.
            self.oracle.unknown += self.oracle.undone[:1]
        server.environment = {}
        server.data_dir = data_dir or server.data_dir
        try:
            with server.running():
                self.query("after a restart", must=True)
                if self.write({("m", "9", START + 5 * HOUR): 9.0}) != 204 or self.admin("flush")[0] != 204:
                    self.wrong("lost: after a restart it does not take and flush writes")
                self.query("after a restart and a flush", must=True)
        except RuntimeError as refused:
            self.wrong(f"lost: it does not open again: {refused}")
        self.verify(server.data_dir)
        snapshots = pathlib.Path(server.data_dir, "snapshots")
        unfinished = [copy.name for copy in snapshots.iterdir() if not (copy / "SNAPSHOT").exists()] if snapshots.exists() else []
        if unfinished:
            self.wrong(f"damage: unfinished snapshots stay: {unfinished}")

    def verify(self, data_dir):
        done = self.command("verify", "--data-dir", data_dir)
        if done.returncode != 0:
            self.wrong(f"damage: verify {data_dir}: {done.stdout}{done.stderr}")

    def command(self, *words, failing=False):
        environment = {**os.environ, **(self.faults.environment() if failing else {})}
        try:
            return subprocess.run([self.server.binary, *words], capture_output=True, text=True, env=environment,
                                  timeout=harness.PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            self.wrong(f"hang: {words}")
            return subprocess.CompletedProcess(words, 1, "", "")


def batch(metric, hour, number, seconds=(0, 30, 60)):
    return {(metric, str(i), START + hour * HOUR + second): float(number * 100 + i * 10 + second % 7)
            for i in range(3) for second in seconds}


def copy_of(template, data):
    """Without the reserves: the server makes them again."""
    shutil.copytree(template, data, ignore=shutil.ignore_patterns("reserve", "LOG", "LOG.old.*"))


def fill(run):
    """The contents of the template: flushed, merged and deleted samples, and a log with samples and a delete."""
    for hour, number in ((0, 1), (0, 2), (1, 3), (2, 4)):
        run.write(batch("m", hour, number))
        run.write({("late", "0", START + hour * HOUR + number): 1.0})
        run.admin("flush")
    run.delete("1", START + HOUR, START + HOUR + 30)
    run.admin("clean_tombstones")
    run.write(batch("m", 3, 5))
    run.admin("flush")
    run.write(batch("m", 3, 6, (90, 120)))
    run.delete("2", START, START + 30)


def serve(run):
    """All file operations of a server."""
    run.query("at first")
    run.write({**batch("m", 3, 7, (120, 150)), ("late", "new", START): 1.0})
    run.admin("flush")
    run.query("after a flush")
    run.write({**batch("m", 2, 8), **batch("late", 0, 8)})
    run.delete("0", START + HOUR, START + 2 * HOUR)
    run.admin("clean_tombstones")
    run.query("after a merge")
    status, body = run.admin("snapshot")
    copied = f"{run.server.data_dir}/snapshots/{json.loads(body)['data']['name']}" if status == 200 else ""
    run.write(batch("m", 4, 9))
    if run.kind.removed:
        run.faults.mend()
    run.query("before the end")
    run.check_health(run.write(batch("m", 4, 10, (90,))))
    return copied


def work_old(run, template, oracle):
    """A server over a database with all kinds of data."""
    copy_of(template, run.server.data_dir)
    run.oracle.kept = dict(oracle)
    copied = ""
    if run.start():
        copied = serve(run)
        run.end()
    run.faults.read()
    if copied:
        run.verify(copied)
    run.reopen()


def work_new(run, template, oracle):
    """A server over an empty directory."""
    if run.start():
        run.write(batch("m", 0, 1))
        run.admin("flush")
        run.query("after a flush")
        run.write(batch("m", 0, 2))
        if run.kind.removed:
            run.faults.mend()
        run.check_health(run.write(batch("m", 1, 3)))
        run.end()
    run.faults.read()
    run.reopen()


def work_export(run, template, oracle):
    """Offline commands that only read."""
    copy_of(template, run.server.data_dir)
    run.oracle.kept = dict(oracle)
    done = run.command("export", "--match", ALL, "--data-dir", run.server.data_dir, failing=True)
    run.faults.read()
    if done.returncode == 0:
        found = {}
        for line in done.stdout.splitlines():
            name, value, at = re.match(r"(\S+) value=(\S+) (\d+)$", line).groups()
            found[name.split(",")[0], name.split("i=")[1], int(at) // 10**9] = float(value)
        run.oracle.compare("export", found)
    else:
        run.outcome = "ends with an error"
        run.check_reason(done.stderr)
    run.verify(run.server.data_dir)
    if run.at % 8 == 0:
        run.reopen()


def work_restore(run, template, oracle):
    """A snapshot becomes a data directory, completely or not at all."""
    run.oracle.kept = dict(oracle)
    data = run.server.data_dir
    done = run.command("snapshot", "restore", f"{template}-snapshot", "--data-dir", data, failing=True)
    run.faults.read()
    if done.returncode != 0:
        run.outcome = "ends with an error"
        run.check_reason(done.stderr)
        if os.path.exists(f"{data}/FORMAT"):
            # The failure came after the last step, so the directory must be complete.
            run.verify(data)
        shutil.rmtree(data, ignore_errors=True)
        done = run.command("snapshot", "restore", f"{template}-snapshot", "--data-dir", data)
        if done.returncode != 0:
            run.wrong(f"lost: a second restore: {done.stderr}")
    run.reopen()


WORKS = {"old": work_old, "new": work_new, "export": work_export, "restore": work_restore}


class Workers:
    """Runs in parallel, each with a folder and a port."""

    def __init__(self, folder):
        os.mkdir(folder)
        self.folder, self.own = folder, threading.local()
        self.pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
        self.template, self.oracle = f"{folder}/template", {}

    def make_template(self):
        run = self.new_run(KINDS[0], 0)
        with run.server.running():
            fill(run)
            run.query("in the template", must=True)
            status, body = run.admin("snapshot")
        if status != 200 or run.oracle.wrong:
            raise RuntimeError(f"the template: {status} {run.oracle.wrong}")
        snapshots = f"{run.server.data_dir}/snapshots"
        shutil.move(f"{snapshots}/{json.loads(body)['data']['name']}", f"{self.template}-snapshot")
        shutil.rmtree(snapshots)
        shutil.move(run.server.data_dir, self.template)
        self.oracle = run.oracle.kept

    def new_run(self, kind, at):
        if not hasattr(self.own, "folder"):
            self.own.folder = f"{self.folder}/{threading.get_native_id()}"
            os.mkdir(self.own.folder)
            self.own.port = harness.free_port()
        return Run(self.own.folder, self.own.port, kind, at)

    def one(self, work, kind, at):
        run = self.new_run(kind, at)
        try:
            WORKS[work](run, self.template, self.oracle)
        except Exception as broken:
            run.wrong(f"broken: {broken!r}")
        finally:
            run.server.kill()
        run.faults.read()
        return run

    def all(self, work, kind, numbers):
        return self.pool.map(lambda at: self.one(work, kind, at), numbers)


def chosen(total, every, few):
    """The calls that fail."""
    if every:
        return range(1, total + 1, every)
    return sorted({1 + int((number + 0.5) * total / few) for number in range(min(few, total))})


def check_kind(workers, checks, totals, kind, work, order, every):
    total = sum(NAMES[call] in kind.calls for call in order)
    if not total:
        return
    # Without a failure, background work may make a few more calls.
    runs = list(workers.all(work, kind, chosen(total, every, FEW[work])))
    faults = [f"call {run.at} ({run.faults.first or 'none failed'}): {what}" for run in runs for what in run.oracle.wrong]
    outcomes = collections.Counter(run.outcome for run in runs if run.outcome)
    hit = sum(run.faults.failed > 0 for run in runs)
    errors, warned = sum(run.oracle.errors for run in runs), sum(run.oracle.warned for run in runs)
    said = "".join(f", {count} {outcome}" for outcome, count in sorted(outcomes.items()))
    checks.holds(f"{work}, {kind.name}: {total} calls, {len(runs)} runs, {hit} with a failed call{said}, "
                 f"{errors} queries refused, {warned} with a warning", hit and not faults, "\n".join(faults[:SHOWN]) or "no call failed")
    totals[kind.name] += hit
    for what in faults:
        totals[re.search(r"\): (\w+)", what).group(1)] += 1


def main(checks, folder, every, only):
    workers, totals = Workers(f"{folder}/files"), collections.Counter()
    workers.make_template()
    for work in WORKS:
        sound = workers.one(work, KINDS[0], 0)
        counts = collections.Counter(NAMES[call] for call in sound.faults.order)
        shown = ", ".join(f"{count} {name}" for name, count in counts.most_common())
        checks.holds(f"{work}: nothing is wrong where nothing fails, of {shown}", not sound.oracle.wrong and len(counts) > 3,
                     "\n".join(sound.oracle.wrong))
        for kind in KINDS:
            if only in kind.name:
                check_kind(workers, checks, totals, kind, work, sound.faults.order, every)
    first = workers.one("new", KINDS[-1], 1)
    checks.equal("the first fsync of a new database is that of its parent, and without it none starts",
                 (first.faults.first, first.outcome, first.oracle.wrong), (f"fsync {first.folder}", "does not start", []))
    kinds = ", ".join(f"{totals[kind.name]} {kind.name}" for kind in KINDS if only in kind.name)
    bad = ", ".join(f"{totals[what]} {what}" for what in ("lost", "phantom", "changed", "silent", "damage", "crash", "hang"))
    print(f"io_faults: {sum(totals[kind.name] for kind in KINDS)} failures ({kinds}): {bad}")


every = int(sys.argv[1]) if len(sys.argv) > 1 else 0
only = sys.argv[2] if len(sys.argv) > 2 else ""
# Without a disk an fsync costs nothing, and only its result matters here.
if os.access("/dev/shm", os.W_OK):
    tempfile.tempdir = "/dev/shm"
with checking("io_faults") as (checks, folder):
    main(checks, folder, every, only)
