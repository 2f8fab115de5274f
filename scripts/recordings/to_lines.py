#!/usr/bin/env python3
"""Turns recordings into line protocol with nanosecond timestamps.

    to_lines.py DATA_DIR OUT_DIR [--gzip]

DATA_DIR is searched for *.csv and *.csv.gz; each file's header says what it is:

  timestamp_ms,NAME,...   wide: one column a series, named as in the exposition format.
                          Becomes `NAME,labels value=CELL`, so the series keeps its name
                          and labels. An empty cell means the series was absent.
  timestamp,value         one series, UTC times. Becomes
                          `FOLDER,group=SUBFOLDER,file=NAME value=...`
  TimeStamp,Value,Label   the same with a second field: `value=...,label=...`

where FOLDER is the first folder below DATA_DIR (DATA_DIR itself for files directly in it
directly), `-` written as `_`. Line protocol has no NaN and no infinities: such cells are
left out and counted. Each input becomes one file of OUT_DIR. Where two inputs hold the
same series, import them in the order of their names: the later one wins where timestamps
are equal.

Prints one line an input. Exits with 1 if a label cannot be written, 2 on bad input.
"""

import argparse
import csv
import datetime
import gzip
import math
import pathlib
import sys

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Unwritable(ValueError):
    """A name or value that line protocol cannot express."""


def escape(text, specials):
    """Escapes a name; refuses one that cannot be escaped."""
    if "\n" in text or "\r" in text or "\0" in text or text.endswith("\\"):
        raise Unwritable(f"{text!r} holds a line break or NUL, or ends in a backslash")
    return "".join("\\" + c if c in specials else c for c in text)


def parse_series(text):
    """Splits `name{label="value",...}` into the name and a list of pairs."""
    if "{" not in text:
        return text, []
    name, rest = text.split("{", 1)
    pairs = []
    at = 0
    while rest[at] != "}":
        equals = rest.index("=", at)
        label = rest[at:equals]
        if rest[equals + 1] != '"':
            raise ValueError(f"{text}: label {label} is not quoted")
        value = []
        at = equals + 2
        while rest[at] != '"':
            if rest[at] == "\\":
                at += 1
                value.append({"n": "\n"}.get(rest[at], rest[at]))
            else:
                value.append(rest[at])
            at += 1
        pairs.append((label, "".join(value)))
        at += 1
        if rest[at] == ",":
            at += 1
    return name, pairs


def key(name, pairs):
    """Measurement and tags; a label without a value is no label."""
    tags = "".join(f",{escape(k, ', =')}={escape(v, ', =')}" for k, v in sorted(pairs) if v)
    return escape(name, ", ") + tags


def nanoseconds(text):
    """A UTC time as nanoseconds since the epoch, exact."""
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    since = moment - EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def wide(rows, header, out, counts):
    """One line a cell."""
    keys = [key(*parse_series(column)) for column in header[1:]]
    counts["series"] = len(keys)
    for row in rows:
        stamp = f"{row[0]}000000"
        for series, cell in zip(keys, row[1:], strict=True):
            if not cell:
                counts["absent"] += 1
            elif not math.isfinite(float(cell)):
                counts["not finite"] += 1
            else:
                out.write(f"{series} value={cell} {stamp}\n")
                counts["values"] += 1


def narrow(rows, fields, folders, path, out, counts):
    """One line a row, the columns as fields."""
    measurement = folders[0].replace("-", "_")
    series = key(measurement, [("group", "/".join(folders[1:])), ("file", stem(path))])
    counts["series"] = len(fields)
    for row in rows:
        cells = []
        for field, cell in zip(fields, row[1:], strict=True):
            if not cell:
                counts["absent"] += 1
            elif not math.isfinite(float(cell)):
                counts["not finite"] += 1
            else:
                cells.append(f"{field}={cell}")
        if cells:
            out.write(f"{series} {','.join(cells)} {nanoseconds(row[0])}\n")
            counts["values"] += len(cells)


def stem(path):
    return path.name.removesuffix(".gz").removesuffix(".csv")


def opened(path, mode):
    return gzip.open(path, mode, newline="") if path.suffix == ".gz" else open(path, mode, newline="")


def convert(path, folders, target):
    """Converts one file; returns None if its header is of no known kind."""
    with opened(path, "rt") as text:
        rows = csv.reader(text)
        header = next(rows, [])
        if header[:1] != ["timestamp_ms"] and header not in (["timestamp", "value"], ["TimeStamp", "Value", "Label"]):
            return None
        counts = {"series": 0, "values": 0, "absent": 0, "not finite": 0}
        with opened(target, "wt") as out:
            if header[0] == "timestamp_ms":
                wide(rows, header, out, counts)
            else:
                narrow(rows, [name.lower() for name in header[1:]], folders, path, out, counts)
        return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=pathlib.Path)
    parser.add_argument("out_dir", type=pathlib.Path)
    parser.add_argument("--gzip", action="store_true", help="write .lp.gz")
    options = parser.parse_args()
    if not options.data_dir.is_dir():
        parser.error(f"{options.data_dir} is not a directory")
    options.out_dir.mkdir(parents=True, exist_ok=True)
    totals = {}
    failed = False
    paths = [p for p in sorted(options.data_dir.rglob("*.csv*")) if p.name.endswith((".csv", ".csv.gz"))]
    for path in paths:
        relative = path.relative_to(options.data_dir)
        name = "__".join([*relative.parts[:-1], stem(path)]) + (".lp.gz" if options.gzip else ".lp")
        try:
            folders = relative.parts[:-1] or (options.data_dir.resolve().name,)
            counts = convert(path, folders, options.out_dir / name)
        except Unwritable as error:
            print(f"{relative}: cannot be written: {error}", file=sys.stderr)
            failed = True
            continue
        except (ValueError, IndexError) as error:
            print(f"{relative}: {error}", file=sys.stderr)
            return 2
        if counts is None:
            print(f"{relative}: not a recording, left out")
            continue
        print(f"{relative}: " + ", ".join(f"{number} {what}" for what, number in counts.items() if number))
        for what, number in counts.items():
            totals[what] = totals.get(what, 0) + number
    print("all: " + ", ".join(f"{number} {what}" for what, number in totals.items()))
    return 1 if failed or not totals else 0


if __name__ == "__main__":
    sys.exit(main())
