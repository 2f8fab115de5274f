"""One series of very many samples in one day, in the least memory there may be: in order, then over the same day again, so
that what a merge reads lies over each other. The process must stay within 1.15 times its setting.

BAROGRAPH_MEMORY_SAMPLES  samples, 2,000,000 without it
"""

import json
import os
import tempfile
import time

from harness import Checks, Server, wait_for
from pods import resident

SAMPLES = int(os.environ.get("BAROGRAPH_MEMORY_SAMPLES", "2000000"))
BATCH = 50_000
MEMORY = 64 << 20
DAY = 86_400_000_000_000
START = 1_704_067_200_000_000_000
OPTIONS = ["--memory", str(MEMORY), "--enable-admin", "--self-interval", "0", "--log", "warn"]


def write(server, lines):
    # A client waits and comes again when memory is taken.
    while (answer := server.write(lines))[0] in (429, 503):
        time.sleep(0.2)
    assert answer[0] == 204, answer


def load(server, numbers):
    """The samples with these numbers, of all that the day has."""
    step = DAY // SAMPLES
    for first in range(0, len(numbers), BATCH):
        batch = numbers[first:first + BATCH]
        write(server, [f"load value={n % 977}.25 {START + n * step}" for n in batch])


def run(server, checks):
    half = SAMPLES // 2
    load(server, range(half))
    batches = SAMPLES // BATCH
    for first in range(batches):
        load(server, range(first, SAMPLES, batches))
    # The day is over.
    write(server, [f"later value=1 {START + 3 * DAY}"])
    status, answer = server.request("POST", "/api/v1/admin/tsdb/flush")
    assert status in (200, 204), answer
    wait_for("the merge", lambda: server.metric("barograph_db_generations") <= 2)
    checks.equal("every sample is there once", server.metric("barograph_db_stored_samples"), float(SAMPLES + 1))
    peak, mib = resident(server, "VmHWM"), 1 << 20
    checks.holds(f"{SAMPLES} samples of one series took {peak / mib:.0f} MiB of {MEMORY / mib:.0f}",
                 peak <= 1.15 * MEMORY, f"{peak} bytes at the peak")
    pieces = json.loads(server.request("GET", "/api/v1/status/memory")[1])["data"]["pieces"]
    for kind in ("flush", "merge"):
        held = pieces[f"{kind}SamplesPeak"]
        checks.holds(f"a {kind} held {held} samples at once", held <= 100_000, pieces)


def main():
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="barograph-memory-") as folder:
        server = Server(f"{folder}/data", f"{folder}/log", *OPTIONS)
        with server.running():
            run(server, checks)
    checks.finish("memory")


main()
