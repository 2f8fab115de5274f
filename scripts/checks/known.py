"""Ten hours with new series in each hour, none of which expires. Memory must follow the active series, the others must
be found, and a restart must not read all of them.

BAROGRAPH_KNOWN_SERIES  new series in each hour, default 20,000
"""

import os
import time

from harness import check_server
from pods import BATCH, HOUR, START, body, disk

SERIES = int(os.environ.get("BAROGRAPH_KNOWN_SERIES", "20000"))
HOURS = 10
MEMORY = 1 << 30
OPTIONS = ["--partition-width", "1h", "--enable-admin", "--self-interval", "0", "--log", "warn", "--memory", str(MEMORY),
           "--query-max-series", str(HOURS * SERIES), "--query-timeout", "1h", "--query-memory", "8GiB", "--query-memory-total", "8GiB"]
# An instant in the sixth hour, and one after all samples.
MIDDLE, END = START + 5 * HOUR + 100, START + (HOURS - 1) * HOUR + 100


def fill(server, hour):
    """An hour of new series. Returns the duration of the longest write."""
    longest = 0.0
    for first in range(0, SERIES, BATCH):
        lines, began = body(hour, first, min(BATCH, SERIES - first)), time.monotonic()
        server.write_patiently(lines, precision="s")
        longest = max(longest, time.monotonic() - began)
    server.flush()
    return longest


def ask(server, checks, text, at, expected):
    began = time.monotonic()
    answer = server.api("query", query=text, time=at)["result"]
    took = 1000 * (time.monotonic() - began)
    checks.equal(f"{text}: {took:.1f} ms", [item["value"][1] for item in answer], expected)


def look(server, checks):
    n = SERIES // 2 // 500 * 500 + 7
    one = f'container_cpu_seconds{{pod="app-7-0005-{n:07x}"}}'
    node = f"container_cpu_seconds{{node=\"node-7\"}}[{HOURS}h]"
    ask(server, checks, one, MIDDLE, [f"{n}.5"])
    ask(server, checks, 'count(container_cpu_seconds{node="node-7"})', MIDDLE, [str(SERIES // 500)])
    ask(server, checks, f"count(last_over_time({node}))", END, [str(HOURS * SERIES // 500)])


def run(server, checks):
    for hour in range(HOURS):
        longest = fill(server, hour)
        mib = lambda size: f"{size / (1 << 20):.0f} MiB"
        print(f"  hour {hour}: {(hour + 1) * SERIES} series known, {server.metric('barograph_db_head_series'):.0f} in memory, rss "
              f"{mib(server.resident())}, peak {mib(server.resident('VmHWM'))}, folder {mib(disk(server.data_dir))}, longest "
              f"write {longest:.2f} s", flush=True)
    # A series leaves memory after two flushes without a sample, so those of the last two hours are still in it.
    alive = server.metric("barograph_db_head_series")
    checks.holds("idle series have left memory", SERIES <= alive <= 2 * SERIES + 10, f"{alive:.0f} are in it")
    peak = server.resident("VmHWM")
    checks.holds("the process stayed within the memory setting", peak <= MEMORY, f"{peak} bytes at the peak")
    look(server, checks)
    server.kill()
    began = time.monotonic()
    server.start()
    print(f"  restart after kill -9: {time.monotonic() - began:.2f} s")
    look(server, checks)
    ask(server, checks, f"count(last_over_time(container_cpu_seconds[{HOURS}h]))", END, [str(HOURS * SERIES)])


check_server("known", run, *OPTIONS)
