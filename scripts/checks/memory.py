"""One series with millions of samples in one day and the smallest `memory` allowed: first in order, then in batches that
each span the whole day, so that the inputs of a merge overlap. The process must stay within 1.15 times its setting.

BAROGRAPH_MEMORY_SAMPLES  number of samples, default 2,000,000
"""

import json
import os

from harness import check_server, wait_for

SAMPLES = int(os.environ.get("BAROGRAPH_MEMORY_SAMPLES", "2000000"))
BATCH = 50_000
MEMORY = 64 << 20
DAY = 86_400_000_000_000
START = 1_704_067_200_000_000_000
OPTIONS = ["--memory", str(MEMORY), "--enable-admin", "--self-interval", "0", "--log", "warn"]


def load(server, numbers):
    """The samples with these numbers, of all that the day has."""
    step = DAY // SAMPLES
    for first in range(0, len(numbers), BATCH):
        batch = numbers[first:first + BATCH]
        server.write_patiently([f"load value={n % 977}.25 {START + n * step}" for n in batch])


def run(server, checks):
    half = SAMPLES // 2
    load(server, range(half))
    batches = SAMPLES // BATCH
    for first in range(batches):
        load(server, range(first, SAMPLES, batches))
    # A later sample closes the day's partition.
    server.write_patiently([f"later value=1 {START + 3 * DAY}"])
    server.flush()
    wait_for("the merge", lambda: server.metric("barograph_db_generations") <= 2)
    checks.equal("every sample is there once", server.metric("barograph_db_stored_samples"), float(SAMPLES + 1))
    peak, mib = server.resident("VmHWM"), 1 << 20
    checks.holds(f"{SAMPLES} samples of one series took {peak / mib:.0f} MiB of {MEMORY / mib:.0f}",
                 peak <= 1.15 * MEMORY, f"{peak} bytes at the peak")
    pieces = json.loads(server.request("GET", "/api/v1/status/memory")[1])["data"]["pieces"]
    for kind in ("flush", "merge"):
        held = pieces[f"{kind}SamplesPeak"]
        checks.holds(f"a {kind} held {held} samples at once", 0 < held <= 100_000, pieces)


check_server("memory", run, *OPTIONS)
