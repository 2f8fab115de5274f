"""Real recordings as data sets: every folder of CSV below the given one becomes a set.

`scripts/recordings/to_lines.py` documents the known CSV files; its functions read them here. A small recording is
repeated until it has the requested number of samples, each copy with its own label `instance` and a clock 37 ms later
than that of the previous copy, so that the fixed cost of an empty database does not affect the bytes per sample. Copies
of a series are never neighbours, because a database that compresses neighbours together would then store only one of
them. A scrape is sent as a whole, copy after copy; recordings without scrapes are sent as a whole too, which Prometheus
does not accept.
"""

import csv
import heapq
import itertools
import math
import pathlib
import sys

from sets import SECOND, START_S, Set
from wire import Group

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "recordings"))
import to_lines  # noqa: E402  (found through the line above)

DAY_NS = 86_400 * SECOND
SHIFT_NS = 37_000_000
OFF_THE_SECOND_NS = 1_000_000  # for the same reason as START_S


def sets_below(folder, samples):
    """A data set for each folder that directly holds, or has below it, known CSV files."""
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise SystemExit(f"{root} is not a directory")
    tops = {}
    for path in sorted(root.rglob("*.csv*")):
        if path.name.endswith((".csv", ".csv.gz")) and kind(path):
            parts = path.relative_to(root).parts
            tops.setdefault(parts[0] if len(parts) > 1 else root.resolve().name, []).append(path)
    if not tops:
        raise SystemExit(f"{root}: no recordings (CSV files that scripts/recordings/to_lines.py knows)")
    return [Recording(name, paths, samples) for name, paths in tops.items()]


def kind(path):
    with to_lines.opened(path, "rt") as text:
        header = next(csv.reader(text), [])
    if header[:1] == ["timestamp_ms"]:
        return "wide"
    return "narrow" if header in (["timestamp", "value"], ["TimeStamp", "Value", "Label"]) else None


class Recording(Set):
    """The files of one folder, repeated."""

    def __init__(self, name, paths, samples):
        self.name, self.paths = name.replace("-", "_"), paths
        self.recorded = [one for path in paths for one in read(path, self.name)]
        own = sum(len(samples) for _, _, samples in self.recorded)
        self.copies = max(1, -(-samples // own))
        last = max(samples[-1][0] for _, _, samples in self.recorded)
        # Whole days back, to before the start of the generated sets, so that no peer refuses or expires anything,
        # whatever today's date.
        self.back_ns = max(0, -(-(last - START_S * SECOND) // DAY_NS)) * DAY_NS
        self.in_scrapes = all(kind(path) == "wide" for path in paths)
        if not self.in_scrapes:
            self.protocols = ("lp",)
        self.key = f"{self.name}-{own}x{self.copies}-apart2"
        self.own = own

    def describe(self):
        return f"{len(self.recorded)} recorded series, {self.own} samples, {self.copies} copies"

    def generate(self):
        groups = []
        for copy in range(self.copies):
            for name, pairs, _ in self.recorded:
                labels = {**dict(pairs), "instance": f"host-{copy}:9100"}
                tags = sorted((label, value) for label, value in labels.items() if value)
                groups.append(Group(name, tags, ["value"], copy % self.lanes))
        return groups, self.rows()

    def rows(self):
        """Scrape by scrape, or all at once; in each, the copies one after the other."""
        streams = [[(at, i, text) for at, text in samples] for i, (_, _, samples) in enumerate(self.recorded)]
        merged = heapq.merge(*streams)
        scrapes = itertools.groupby(merged, lambda row: row[0]) if self.in_scrapes else [(0, merged)]
        for _, rows in scrapes:
            rows = list(rows)
            for copy in range(self.copies):
                first, shift = copy * len(self.recorded), copy * SHIFT_NS - self.back_ns
                for at, i, text in rows:
                    yield first + i, at + shift, [text]


def read(path, folder):
    """The file's series: name, label pairs, [(nanoseconds, value text)] in order of time, finite values only."""
    with to_lines.opened(path, "rt") as text:
        rows = csv.reader(text)
        header = next(rows)
        columns = [[] for _ in header[1:]]
        wide = header[0] == "timestamp_ms"
        for row in rows:
            at = int(row[0]) * 1_000_000 if wide else to_lines.nanoseconds(row[0])
            at += OFF_THE_SECOND_NS if at % SECOND == 0 else 0
            for column, cell in zip(columns, row[1:], strict=True):
                if cell and math.isfinite(float(cell)):
                    column.append((at, cell))
    for name, column in zip(header[1:], columns, strict=True):
        if not column:
            continue
        column = sorted(dict(column).items())  # of two values at one time, the later one wins, as in a database
        if wide:
            yield (*to_lines.parse_series(name), column)
        else:
            suffix = "" if name.lower() == "value" else f"_{name.lower()}"
            yield folder + suffix, [("file", f"{path.parent.name}/{to_lines.stem(path)}")], column
