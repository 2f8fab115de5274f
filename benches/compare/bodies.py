"""Request bodies generated before the measurement: files of concatenated bodies, one per lane, each with an index file.

They are kept below the work folder under a name derived from the parameters of the data set, so that a second run
reuses them. A body ends at 10,000 samples. A remote-write body also ends after a span of time, since Prometheus refuses
samples that are much older than its newest one.
"""

import collections
import json
import os
import pathlib
import shutil

import wire

SAMPLES_PER_BODY = 10_000
FORMAT = 2  # part of the folder's name; increment it when generators or encoders change

Body = collections.namedtuple("Body", "offset length samples first_s last_s")


class Writer:
    """Collects a lane's rows and writes a body when it is full."""

    def __init__(self, path, groups, protocol, span_s):
        self.file, self.groups, self.protocol, self.span_ns = open(path, "wb"), groups, protocol, span_s * 1_000_000_000
        self.rows, self.samples, self.first, self.bodies, self.labels = [], 0, None, [], {}

    def add(self, row):
        if self.protocol == "rw" and self.rows and row[1] - self.first >= self.span_ns:
            self.flush()
        if not self.rows:
            self.first = row[1]
        self.rows.append(row)
        self.samples += len(row[2])
        if self.samples >= SAMPLES_PER_BODY:
            self.flush()

    def flush(self):
        if not self.rows:
            return
        if self.protocol == "lp":
            data = wire.lines(self.groups, self.rows)
        else:
            data = wire.remote_write(self.groups, self.rows, self.labels)
        times = [row[1] for row in self.rows]
        offset = self.file.tell()
        self.file.write(data)
        seconds = (min(times) // 1_000_000_000, -(-max(times) // 1_000_000_000))
        self.bodies.append(Body(offset, len(data), self.samples, *seconds))
        self.rows, self.samples = [], 0

    def close(self):
        self.flush()
        self.file.close()
        return self.bodies


class Bodies:
    """The bodies of a lane, read back."""

    def __init__(self, path, index):
        self.path, self.bodies = path, [Body(*entry) for entry in index]

    def open(self):
        return os.open(self.path, os.O_RDONLY)


def prepare(data, protocols, work, say):
    """Generates missing bodies; returns {protocol: [Bodies of each lane]} and the facts about the data set."""
    folder = pathlib.Path(work) / "bodies" / f"{data.key}-v{FORMAT}"
    missing = [p for p in protocols if not (folder / f"{p}.json").exists()]
    if missing:
        say(f"making bodies of {data.name} ({', '.join(missing)}) in {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        generate(data, missing, folder)
    facts, out = {}, {}
    for protocol in protocols:
        facts = json.loads((folder / f"{protocol}.json").read_text())
        out[protocol] = [Bodies(folder / f"{protocol}.{i}", index) for i, index in enumerate(facts.pop("lanes"))]
    return out, facts


def generate(data, protocols, folder):
    groups, rows = data.generate()
    writers = {p: [Writer(folder / f"{p}.{i}", groups, p, data.span_s) for i in range(data.lanes)] for p in protocols}
    lanes_of = [group.lane for group in groups]
    samples, first, last = 0, None, None
    per_protocol = list(writers.values())
    for row in rows:
        for lanes in per_protocol:
            lanes[lanes_of[row[0]]].add(row)
        samples += len(row[2])
        if first is None or row[1] < first:
            first = row[1]
        if last is None or row[1] > last:
            last = row[1]
    if not samples:
        shutil.rmtree(folder)
        raise SystemExit(f"{data.name}: no samples")
    series = sum(len(group.fields) for group in groups)
    facts = {"samples": samples, "series": series, "first_ns": first, "last_ns": last,
             "metrics": sorted({name for group in groups for name in group.names()})[:20_000]}
    for protocol, lanes in writers.items():
        indexes = [lane.close() for lane in lanes]
        # Written last and atomically: its presence shows that the bodies are complete.
        temporary = folder / f"{protocol}.json.tmp"
        temporary.write_text(json.dumps({**facts, "lanes": indexes}))
        temporary.rename(folder / f"{protocol}.json")
