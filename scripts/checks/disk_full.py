"""Another file takes every block of the file system under a real server. Writes get 507 and no acknowledged sample is
lost; a server started on the full disk answers queries; a retention set then drops partitions; once there is space,
writes resume without a restart. A file system too small for the server's reserve is refused at startup.

    disk_full.py FOLDER SMALL    the mount points of two file systems, of 96 MiB and of 8 MiB
"""

import errno
import os
import sys

from harness import Server, checking, wait_for

HOUR = 3600
START = 1_700_000_000 // HOUR * HOUR
HOURS, SERIES = 12, 2000
FOLDER, SMALL = sys.argv[1:]


def fill(path):
    """Takes all free blocks, including the last ones."""
    with open(path, "ab") as file:
        for piece in (1 << 20, 4096, 1):
            try:
                while True:
                    os.write(file.fileno(), b"x" * piece)
            except OSError as full:
                if full.errno != errno.ENOSPC:
                    raise


def write_hour(server, hour):
    lines = [f"m,i={i} value={i + hour / 7} {START + hour * HOUR + second}" for i in range(SERIES) for second in (0, 600, 1200)]
    return server.write(lines, precision="s")[0]


def refusal(server, other):
    """Takes all blocks. The status of a write, if it is refused."""
    fill(other)
    status = write_hour(server, HOURS - 1)
    return status != 204 and status


def says_full(server):
    """Whether everything says that the disk is full, and nothing that the server is not well."""
    answers = [server.request("GET", path) for path in ("/-/healthy", "/-/ready")]
    return all(status == 200 and b"The disk is full" in body for status, body in answers) \
        and server.metric("barograph_db_disk_full") == 1


def logged(server):
    with open(server.log_path, errors="replace") as file:
        return file.read()


def hours(server):
    """The hours that have samples."""
    at = START + (HOURS + 1) * HOUR
    return [hour for hour in range(HOURS) if server.value(f"count(count_over_time(m[1h] @ {START + (hour + 1) * HOUR - 1}))", at)]


def main(checks, log):
    config = f"{log}.toml"
    with open(config, "w") as file:
        file.write('retention = "0"\n')
    server = Server(f"{FOLDER}/data", log, "--config", config, "--partition-width=1h", "--enable-admin",
                    "--self-interval=0s", "--memory=64MiB")
    other = f"{FOLDER}/other"
    with server.running():
        for hour in range(HOURS):
            checks.equal(f"hour {hour} is taken", write_hour(server, hour), 204)
            server.request("POST", "/api/v1/admin/tsdb/flush")
        refused = wait_for("a refusal", lambda: refusal(server, other))
        checks.equal("on a full disk a write is refused", refused, 507)
        checks.equal("and everything is answered", hours(server), list(range(HOURS)))
        # What the compactor frees meanwhile is taken again.
        checks.holds("health, readiness and a metric name it", wait_for("them", lambda: refusal(server, other) and says_full(server)))
        checks.contains("and the log", logged(server), "the disk is full: writes are refused")
        fill(other)
    with server.running():
        checks.equal("a start on the full disk answers", hours(server), list(range(HOURS)))
        # If the start has used up what was held back, nothing could be dropped on a disk without any block.
        if os.path.exists(f"{FOLDER}/data/reserve"):
            fill(other)
        with open(config, "w") as file:
            file.write('retention = "4h"\n')
        server.process.send_signal(1)
        wait_for("partitions to expire", lambda: server.metric("barograph_db_partitions_expired_total") > 0
                 or server.request("POST", "/api/v1/admin/tsdb/clean_tombstones") is None, 0.2)
        kept = hours(server)
        checks.holds("the retention drops partitions on a full disk", kept == list(range(HOURS - len(kept), HOURS))
                     and 4 <= len(kept) <= 5, kept)
        refused = wait_for("a refusal", lambda: refusal(server, other))
        checks.equal("it refuses writes too", refused, 507)
        os.truncate(other, 0)
        resumed = wait_for("writes to resume", lambda: (status := write_hour(server, HOURS - 1)) != 507 and status, 0.2)
        checks.equal("with space, writes resume without a restart", resumed, 204)
        # A failed flush is retried after a pause.
        healthy = (200, b"Barograph is healthy.\n")
        checks.equal("nothing is wrong any more",
                     wait_for("health", lambda: (found := server.request("GET", "/-/healthy")) == healthy and found), healthy)
        checks.equal("for the metric too", server.metric("barograph_db_disk_full"), 0)
        checks.contains("and the log", logged(server), "the disk has space again")
    with server.running():
        checks.equal("after a kill it is all there", hours(server), kept)


def too_small(checks, log):
    server = Server(f"{SMALL}/data", log, "--self-interval=0s")
    try:
        with server.running():
            checks.holds("a disk smaller than the reserve is refused", False, "it started")
    except RuntimeError as refused:
        checks.contains("a disk smaller than the reserve is refused", str(refused), "8388608", "held back")


with checking("disk_full") as (checks, folder):
    main(checks, f"{folder}/log")
    too_small(checks, f"{folder}/small.log")
