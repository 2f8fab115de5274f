"""The wall clock of a real server is set while clients write, with a retention of 15 days: to 40 days and ten years
ahead, to 2100, back by ten years and to 1970. After each jump the server samples its own metrics, accepts lines without
a timestamp and lines with the true time, flushes, and runs passes of retention; then it is restarted under the wrong
clock, and again under the right one.

No sample that is younger than the retention, counted from the newest true time, may be missing at any moment; the
samples of the wrong time may stay or expire. The gauge barograph_db_clock_ahead_seconds shows a clock that is ahead.
"""

import os
import struct
import time

from harness import Server, checking, wait_for

DAY = 86_400
RETENTION = 15
# Set at the end, to show that passes do expire old samples.
SHORT = 5
# Days whose samples must stay: the oldest must not be in the partition that expires while the check runs.
DAYS = RETENTION - 1
SERIES = 20
PASSES = 4
YEAR = 365 * DAY
JUMPS = {
    "40 days ahead": lambda now: 40 * DAY,
    "ten years ahead": lambda now: 10 * YEAR,
    "to 2100": lambda now: 4_102_444_800 - now,
    "back by ten years": lambda now: -10 * YEAR,
    "to 1970": lambda now: 60 - now,
}


class Clock:
    """The server's wall clock: the machine's plus a number of seconds."""

    def __init__(self, path):
        self.path = path
        self.set(0)

    def set(self, seconds):
        # Written in place: the server has the file mapped.
        mode = "r+b" if os.path.exists(self.path) else "wb"
        with open(self.path, mode) as file:
            file.write(struct.pack("=q", seconds))


def history(now):
    """One sample of each series a day."""
    return [f"m,i={i} value={day} {now - day * DAY}" for i in range(SERIES) for day in range(DAYS)]


def kept(server, now):
    """The number of samples of the history that are present."""
    return server.value(f"sum(count_over_time(m{{i!=\"now\"}}[{RETENTION + 5}d] @ {now + 1}))", now)


def expire(server):
    """Flushes, and runs passes of retention."""
    server.flush()
    for _ in range(PASSES):
        status, answer = server.request("POST", "/api/v1/admin/tsdb/clean_tombstones")
        if status != 204:
            raise RuntimeError(f"a pass failed: {status} {answer!r}")


def written(server, now):
    """Writes with the true time and without a time; returns the statuses."""
    true, _ = server.write([f"m,i=now value=1 {now}"], precision="s")
    stamped, _ = server.write(["stamped value=1"])
    return true, stamped


def jump(checks, folder, name, seconds):
    now = int(time.time())
    all_of_it = SERIES * DAYS
    clock = Clock(f"{folder}/shift")
    server = Server(f"{folder}/data", f"{folder}/log", f"--retention={RETENTION}d", "--enable-admin", "--self-interval=1s",
                    "--memory=64MiB")
    server.environment = {"LD_PRELOAD": os.environ["CLOCK"], "CLOCK_SHIFT": clock.path}

    def look(when):
        expire(server)
        checks.equal(f"{name}: {when} nothing of the history is missing", kept(server, now), all_of_it)

    with server.running():
        checks.equal(f"{name}: the history is accepted", server.write(history(now), precision="s")[0], 204)
        server.flush()
        clock.set(seconds)
        checks.equal(f"{name}: writes succeed", written(server, now), (204, 204))
        own = wait_for("the server to sample itself under that clock",
                       lambda: server.value("count(barograph_db_samples_total offset 0s)", int(time.time()) + seconds + 2))
        checks.equal(f"{name}: the server's own samples have the wrong time", own, 1)
        look("under the wrong clock")
        ahead = server.metric("barograph_db_clock_ahead_seconds")
        checks.holds(f"{name}: the gauge shows it", (ahead > DAY) if seconds > 0 else ahead == 0, ahead)
        server.stop()
    with server.running():
        checks.equal(f"{name}: writes succeed after a start under the wrong clock", written(server, now), (204, 204))
        look("after a start under the wrong clock")
    clock.set(0)
    with server.running():
        checks.equal(f"{name}: writes succeed under the right clock", written(server, now), (204, 204))
        look("under the right clock again")
        server.stop()
    server.options = tuple(f"--retention={SHORT}d" if "retention" in option else option for option in server.options)
    with server.running():
        expire(server)
        left = kept(server, now)
        checks.holds(f"{name}: a shorter retention expires", SHORT * SERIES <= left <= (SHORT + 1) * SERIES, left)
    with open(server.log_path, errors="replace") as log:
        checks.holds(f"{name}: no panic", "panicked" not in log.read())


def main():
    with checking("clock") as (checks, folder):
        for number, (name, seconds) in enumerate(JUMPS.items()):
            place = f"{folder}/{number}"
            os.mkdir(place)
            checks.run(jump, checks, place, name, seconds(int(time.time())))


main()
