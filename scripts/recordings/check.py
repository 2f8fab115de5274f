#!/usr/bin/env python3
"""Checks a server's answers against the recordings they were imported from.

    check.py DATA_DIR URL [--ignore-label LABEL]... [--tolerance 1e-12]

Reads the csv files of DATA_DIR by itself (nothing is shared with to_lines.py, whose
header says how files become series), computes count, minimum, maximum and sum of every
series, and asks URL/api/v1/query for count_over_time, min_over_time, max_over_time and
sum_over_time over exactly the series' time range. Count, minimum and maximum must be
equal, sums within the tolerance, and the server must know no further series under those
names. --ignore-label takes a label off the answers, such as the `db` a write was made
with.

Prints each difference (20 at most) and one line of summary. Exits with 1 on any
difference, 2 where a file or the server cannot be read.
"""

import argparse
import collections
import csv
import gzip
import json
import math
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timezone

SHOWN = 20
LABEL = re.compile(r'([^=,{]+)="((?:[^"\\]|\\.)*)"')


class Series:
    """Samples by time in milliseconds; a later row replaces an earlier one."""

    def __init__(self):
        self.samples = {}

    def expected(self):
        values = list(self.samples.values())
        return {"count": len(values), "min": min(values), "max": max(values), "sum": math.fsum(values)}


def identity(column):
    """Name and label set of a column named as in the exposition format."""
    name, _, inside = column.partition("{")
    unquoted = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
    labels = {
        label: re.sub(r"\\[\\\"n]", lambda found: unquoted[found[0]], text) for label, text in LABEL.findall(inside)
    }
    return name, frozenset((label, text) for label, text in labels.items() if text)


def milliseconds(text):
    """A UTC time, with blank or T, with or without Z."""
    text = text.rstrip("Z").replace("T", " ")
    form = "%Y-%m-%d %H:%M:%S.%f" if "." in text else "%Y-%m-%d %H:%M:%S"
    moment = datetime.strptime(text, form).replace(tzinfo=timezone.utc)
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def read(data_dir):
    """All series of all files, as metric name -> label set -> Series, and what was left out."""
    found = collections.defaultdict(lambda: collections.defaultdict(Series))
    notes = collections.Counter()
    for folder, folders, files in os.walk(data_dir):
        folders.sort()
        for name in sorted(files):
            if name.endswith((".csv", ".csv.gz")):
                read_file(data_dir, os.path.join(folder, name), found, notes)
    return found, notes


def read_file(data_dir, path, found, notes):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", newline="") as text:
        rows = list(csv.reader(text))
    header = rows[0] if rows else []
    if header and header[0] == "timestamp_ms":
        targets = [found[name][labels] for name, labels in map(identity, header[1:])]
        clock = int
    elif header in (["timestamp", "value"], ["TimeStamp", "Value", "Label"]):
        targets = narrow_targets(data_dir, path, header, found)
        clock = milliseconds
    else:
        return
    notes["files"] += 1
    for row in rows[1:]:
        time = clock(row[0])
        for series, cell in zip(targets, row[1:]):
            value = float(cell) if cell else math.nan
            if not math.isfinite(value):
                notes["absent" if not cell else "not finite"] += 1
                continue
            if time in series.samples:
                notes["replaced"] += 1
            series.samples[time] = value


def narrow_targets(data_dir, path, header, found):
    """The series of a file with one or two columns of values, named by its path."""
    *folders, file_name = os.path.relpath(path, data_dir).split(os.sep)
    folders = folders or [os.path.basename(os.path.realpath(data_dir))]
    name = folders[0].replace("-", "_")
    pairs = {"group": "/".join(folders[1:]), "file": re.sub(r"\.csv(\.gz)?$", "", file_name)}
    labels = frozenset((label, text) for label, text in pairs.items() if text)
    names = [name] + [f"{name}_{column.lower()}" for column in header[2:]]
    return [found[metric][labels] for metric in names]


def ask(url, query, time_ms):
    """The vector that an instant query returns, as label set -> value text."""
    body = urllib.parse.urlencode({"query": query, "time": f"{time_ms / 1000:.3f}"}).encode()
    request = urllib.request.Request(url.rstrip("/") + "/api/v1/query", data=body)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise OSError(f"{query}: {error.code} {error.read(500).decode(errors='replace')}") from error
    if answer.get("status") != "success" or answer["data"]["resultType"] != "vector":
        raise OSError(f"{query}: {json.dumps(answer)[:500]}")
    return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]


def answers(url, name, expected, ignored):
    """The server's values for all series of one name: label set -> function -> value."""
    first = min(min(series.samples) for series in expected.values())
    last = max(max(series.samples) for series in expected.values())
    selector = "{__name__=" + json.dumps(name, ensure_ascii=False) + "}"
    said = collections.defaultdict(dict)
    for function in ("count", "min", "max", "sum"):
        # The range is open on the left: one millisecond more takes in the first sample.
        query = f"{function}_over_time({selector}[{last - first + 1}ms])"
        for metric, value in ask(url, query, last):
            labels = frozenset((k, v) for k, v in metric.items() if k not in ignored and k != "__name__")
            if function in said[labels]:
                raise OSError(f"{query}: two series with {dict(labels)}; they differ in an ignored label")
            said[labels][function] = value
    return said


def differences(name, expected, said, tolerance):
    """Describes each answer that differs from the expected one."""
    for labels in said.keys() - expected.keys():
        yield f"{name}{dict(sorted(labels))}: not in the recordings, the server has {said[labels]}"
    for labels, series in expected.items():
        where = f"{name}{dict(sorted(labels))}"
        if labels not in said:
            yield f"{where}: the server does not have it"
            continue
        for function, value in series.expected().items():
            given = said[labels].get(function)
            close = given == value
            if function == "sum" and given is not None and not close:
                close = abs(given - value) <= tolerance * abs(value)
            if not close:
                yield f"{where}: {function} is {value!r}, the server says {given!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir")
    parser.add_argument("url")
    parser.add_argument("--ignore-label", action="append", default=[])
    parser.add_argument("--tolerance", type=float, default=1e-12)
    options = parser.parse_args()
    try:
        found, notes = read(options.data_dir)
        metrics = {}
        for name, by_labels in sorted(found.items()):
            kept = {labels: series for labels, series in by_labels.items() if series.samples}
            if kept:
                metrics[name] = kept
        if not metrics:
            raise OSError(f"{options.data_dir}: no recordings")
        wrong = []
        for name, expected in metrics.items():
            said = answers(options.url, name, expected, set(options.ignore_label))
            wrong.extend(differences(name, expected, said, options.tolerance))
    except (OSError, ValueError) as error:
        print(f"check: {error}", file=sys.stderr)
        return 2
    for line in wrong[:SHOWN]:
        print(line)
    series = sum(map(len, metrics.values()))
    samples = sum(len(s.samples) for by_labels in metrics.values() for s in by_labels.values())
    left_out = ", ".join(f"{number} {what}" for what, number in sorted(notes.items()) if what != "files")
    print(
        f"{notes['files']} files, {len(metrics)} names, {series} series, {samples} samples ({left_out}): "
        + (f"{len(wrong)} differences" if wrong else "all counts, minima, maxima and sums agree")
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
