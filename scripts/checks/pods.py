"""Generated series that live for an hour each, and the memory and disk space that a server needs for them."""

import pathlib

HOUR = 3600
# Partitions of an hour in the past, so that samples alone decide what is past the retention.
START = 1_700_000_000 // HOUR * HOUR
BATCH = 10_000


def body(hour, first, count):
    """Each pod is there for this hour alone; two samples each."""
    lines = []
    for n in range(first, first + count):
        tags = f"container_cpu,app=app-{n % 50},namespace=ns-{n % 200},node=node-{n % 500},pod=app-{n % 50}-{hour:04x}-{n:07x}"
        lines += [f"{tags} seconds={n}.5 {START + hour * HOUR + second}" for second in (5, 65)]
    return lines


def disk(folder):
    """Bytes of all files; those that are removed meanwhile do not count."""
    total = 0
    for path in pathlib.Path(folder).rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            pass
    return total
