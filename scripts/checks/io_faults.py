"""One system call fails while a real server writes and flushes: an fsync, write, open or rename of the log, of RocksDB's
tables or of its MANIFEST, with EIO or ENOSPC. Then the process is killed.

After any failure the server answers as long as it runs, and /-/healthy says when it must be restarted. The database
opens again without a flag, holds every acknowledged sample and nothing that was never sent, and `verify` finds no
problem. The failure may end a start, but must leave a database that opens.

    io_faults.py [EVERY]    every EVERY-th call of a kind fails in a separate run; default: a few of each kind
"""

import os
import shutil
import subprocess
import sys

from harness import Server, checking

EIO, ENOSPC = 5, 28
# The call, a part of the path, the error, and how many of the calls fail in turn without EVERY.
KINDS = [
    ("fsync", "/MANIFEST", EIO, 8),
    ("fsync", "/MANIFEST", ENOSPC, 4),
    ("fsync", "/store", EIO, 6),
    ("fsync", "/wal", EIO, 4),
    ("write", "/MANIFEST", EIO, 4),
    ("write", "/store", ENOSPC, 5),
    ("write", "/wal", ENOSPC, 3),
    ("open", "/staging", ENOSPC, 3),
    ("rename", "/store", EIO, 3),
]
BATCHES = 4
START = 1_700_000_000


def work(server):
    """Writes and flushes. Returns the acknowledged values, the other values that were sent, and the status of /-/healthy."""
    acknowledged, unknown = {}, {}
    for number in range(BATCHES):
        lines = [f"m,i={series} value={number * 10 + series} {START + number}" for series in range(3)]
        batch = {(str(series), START + number): number * 10 + series for series in range(3)}
        status = server.write(lines, precision="s")[0]
        (acknowledged if status == 204 else unknown).update(batch)
        server.request("POST", "/api/v1/admin/tsdb/flush")
    return acknowledged, unknown, server.request("GET", "/-/healthy")[0]


def stored(server):
    found = server.api("query", query="m[1h]", time=START + 60)["result"]
    return {(item["metric"]["i"], int(at)): float(value) for item in found for at, value in item["values"]}


def run(folder, call, part, error, at):
    """One run. Returns a list of faults, the number of calls of this kind, and the status of /-/healthy."""
    shutil.rmtree(f"{folder}/data", ignore_errors=True)
    count = f"{folder}/count"
    if os.path.exists(count):
        os.unlink(count)
    server = Server(f"{folder}/data", f"{folder}/log", "--enable-admin", "--self-interval=0s", "--memory=64MiB")
    server.environment = {"LD_PRELOAD": os.environ["IO_FAULTS"], "IO_CALL": call, "IO_PATH": part, "IO_AT": str(at),
                          "IO_ERRNO": str(error), "IO_COUNT": count}
    wrong, acknowledged, unknown, healthy = [], {}, {}, 200
    try:
        server.start()
        acknowledged, unknown, healthy = work(server)
        poisoned = server.metric("barograph_db_store_poisoned") + server.metric("barograph_db_wal_poisoned") > 0
        if poisoned != (healthy == 503):
            wrong.append(f"/-/healthy says {healthy}, poisoned is {poisoned}")
    except RuntimeError as ended:
        if at == 0:
            raise
        if not any(word in str(ended) for word in ("Input/output error", "No space left", "no space left")):
            wrong.append(f"the start ended without the reason: {ended}")
    finally:
        server.kill()
    seen = int(open(count).read() or 0) if os.path.exists(count) else 0
    server.environment = {}
    try:
        with server.running():
            found = stored(server)
        lost = [key for key, value in acknowledged.items() if found.get(key) != value]
        invented = [key for key, value in found.items() if value not in (acknowledged.get(key), unknown.get(key))]
        if lost or invented:
            wrong.append(f"lost {lost}, invented {invented}")
        verify = subprocess.run([server.binary, "verify", "--data-dir", server.data_dir], capture_output=True, text=True)
        if verify.returncode != 0:
            wrong.append(f"verify: {verify.stdout}{verify.stderr}")
    except RuntimeError as refused:
        wrong.append(f"it does not open again: {refused}")
    return wrong, seen, healthy


def chosen(total, every, few):
    if every:
        return range(1, total + 1, every)
    step = max(total / few, 1)
    return sorted({min(total, 1 + int(step * number)) for number in range(few)})


def check_kind(folder, checks, kind, every):
    call, part, error, few = kind
    name = f"{call} {part} {'EIO' if error == EIO else 'ENOSPC'}"
    wrong, total, _ = run(folder, call, part, error, 0)
    checks.holds(f"{name}: no fault in a run without a failure, of {total} calls", not wrong and total > 0, wrong)
    faults, runs, hit, poisoned = [], 0, 0, 0
    for at in chosen(total, every, few):
        wrong, seen, healthy = run(folder, call, part, error, at)
        # Background work may make fewer calls than the run that counted them.
        runs, hit, poisoned = runs + 1, hit + (seen >= at), poisoned + (healthy == 503)
        faults += [f"call {at}: {what}" for what in wrong]
    checks.holds(f"{name}: {runs} runs, {hit} with a failed call, {poisoned} that need a restart", hit and not faults,
                 "\n".join(faults) or "no call failed")


every = int(sys.argv[1]) if len(sys.argv) > 1 else 0
with checking("io_faults") as (checks, folder):
    for kind in KINDS:
        check_kind(folder, checks, kind, every)
