#!/usr/bin/env python3
"""Turns recorded CSV files into line protocol with nanosecond timestamps, on standard output.

    lines.py PATH...        PATH is a .csv or .csv.gz file, or a folder that is searched for them

Two shapes are understood. *Wide*: the first column is `timestamp_ms`, every other column is one series named as in the
exposition format, `name{label="value",...}`; an empty cell is no sample. *Tall*: a time and a value (more columns, such
as a hand-set label, become fields of their own); the series is named after the folder and carries the file's name as
the tag `file`. NaN and infinities, which line protocol has no way to say, are left out and counted on standard error.
"""

import csv
import datetime
import gzip
import math
import pathlib
import re
import sys

LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def escape(text, special):
    """`text` with a backslash before each special character; line protocol has no other way to hold a newline."""
    return re.sub(f"([{special}])", r"\\\1", text.replace("\n", " "))


def series_key(column):
    """`name{a="b"}` as `name,a=b`."""
    name, _, labels = column.partition("{")
    key = escape(name, ", ")
    for label, value in sorted(LABEL.findall(labels)):
        value = re.sub(r'\\[\\"n]', lambda match: UNESCAPED[match[0]], value)
        if value:
            key += f",{escape(label, ',= ')}={escape(value, ',= ')}"
    return key


def is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def wide(header, rows, emit):
    keys = [series_key(column) for column in header]
    for row in rows:
        nanos = int(row[0]) * 1_000_000
        for key, cell in zip(keys[1:], row[1:]):
            if cell:
                emit(key, "value", cell, nanos)


def tall(path, header, rows, emit):
    measurement = re.sub(r"[^A-Za-z0-9_]", "_", path.parent.name)
    key = f"{measurement},file={escape(path.name.split('.')[0], ',= ')}"
    fields = ["value" if name.lower() == "value" else name.lower() for name in header[1:]]
    for row in rows:
        moment = datetime.datetime.fromisoformat(row[0].replace("Z", "")).replace(tzinfo=datetime.timezone.utc)
        nanos = int(moment.timestamp()) * 1_000_000_000
        for field, cell in zip(fields, row[1:]):
            if cell:
                emit(key, field, cell, nanos)


def csv_files(paths):
    for path in map(pathlib.Path, paths):
        inside = sorted(path.rglob("*.csv*")) if path.is_dir() else [path]
        yield from (file for file in inside if re.search(r"\.csv(\.gz)?$", file.name) and not file.name.startswith("types."))


def main():
    out = sys.stdout
    skipped = 0

    def emit(key, field, cell, nanos):
        nonlocal skipped
        if is_number(cell):
            out.write(f"{key} {field}={cell} {nanos}\n")
        else:
            skipped += 1

    for path in csv_files(sys.argv[1:]):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = next(rows)
            if header[0] == "timestamp_ms":
                wide(header, rows, emit)
            else:
                tall(path, header, rows, emit)
    if skipped:
        print(f"{skipped} cells that are no finite number were left out", file=sys.stderr)


main()
