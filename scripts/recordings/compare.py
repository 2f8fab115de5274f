#!/usr/bin/env python3
"""Asks a server for count, minimum, maximum and sum of every series of a folder of recordings, and compares them with
those computed here from the files. Shares no code with lines.py, so that a slip there is seen here.

    compare.py URL FOLDER
"""

import csv
import gzip
import json
import math
import os
import sys
import urllib.parse
import urllib.request


def read_folder(folder):
    """(metric, labels as a frozenset) -> {time in milliseconds: value}"""
    series = {}
    for root, _, names in os.walk(folder):
        for name in names:
            if name.endswith((".csv", ".csv.gz")) and name != "types.csv":
                path = os.path.join(root, name)
                opened = gzip.open(path, "rt", encoding="utf-8-sig") if name.endswith(".gz") else open(path, encoding="utf-8-sig")
                with opened as file:
                    table = list(csv.DictReader(file))
                read = read_wide if "timestamp_ms" in table[0] else read_tall
                read(series, table, os.path.basename(root), name)
    return series


def read_wide(series, table, _folder, _name):
    for column in table[0]:
        if column == "timestamp_ms":
            continue
        key = parse_column(column)
        for row in table:
            add(series, key, int(row["timestamp_ms"]), row[column])


def read_tall(series, table, folder, name):
    metric = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in folder)
    time_column, *value_columns = table[0]
    for row in table:
        date, clock = row[time_column].rstrip("Z").replace("T", " ").split(" ")
        for column in value_columns:
            suffix = "" if column.lower() == "value" else f"_{column.lower()}"
            add(series, (metric + suffix, frozenset({("file", name.split(".")[0])})), milliseconds(date, clock), row[column])


def add(series, key, at, cell):
    if cell and math.isfinite(float(cell)):
        series.setdefault(key, {})[at] = float(cell)


def milliseconds(date, clock):
    """Civil date to Unix time by counting days, with no calendar library."""
    year, month, day = map(int, date.split("-"))
    hour, minute, second = map(int, clock.split(":"))
    shifted = year - (month <= 2)
    era_day = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + era_day - 719468
    return ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000


def parse_column(column):
    """The name and labels of a column, read letter by letter."""
    if "{" not in column:
        return column, frozenset()
    name, rest = column.split("{", 1)
    labels, at = set(), 0
    while rest[at] != "}":
        label, at = rest[at:rest.index("=", at)], rest.index("=", at) + 2
        value = ""
        while rest[at] != '"':
            if rest[at] == "\\":
                at += 1
                value += {"n": " "}.get(rest[at], rest[at])
            else:
                value += rest[at]
            at += 1
        at += 1
        if value:
            labels.add((label.strip(", "), value))
        if rest[at] == ",":
            at += 1
    return name, frozenset(labels)


def ask(url, query, at):
    body = urllib.parse.urlencode({"query": query, "time": at}).encode()
    with urllib.request.urlopen(f"{url}/api/v1/query", body) as response:
        return json.load(response)["data"]["result"]


def main():
    url, folder = sys.argv[1:]
    series = read_folder(folder)
    metrics = sorted({metric for metric, _ in series})
    first = min(min(samples) for samples in series.values()) // 1000
    last = max(max(samples) for samples in series.values()) // 1000 + 1
    expected = {
        "count": lambda values: len(values),
        "min": min,
        "max": max,
        "sum": math.fsum,
    }
    wrong, compared = [], 0
    for metric in metrics:
        for name, compute in expected.items():
            query = f'{name}_over_time({{__name__="{metric}"}}[{last - first + 1}s])'
            found = {frozenset(item["metric"].items()) - {("__name__", metric)}: float(item["value"][1]) for item in ask(url, query, last)}
            for key in [key for key in series if key[0] == metric]:
                want = float(compute(series[key].values()))
                got = found.pop(key[1], None)
                compared += 1
                near = got is not None and (got == want or name == "sum" and math.isclose(got, want, rel_tol=1e-14))
                if not near:
                    wrong.append(f"{name} of {metric} {dict(key[1])}: {got}, the files say {want}")
            wrong += [f"{name} of {metric} {dict(labels)}: {value}, not in the files" for labels, value in found.items()]
    samples = sum(map(len, series.values()))
    print(f"{len(series)} series, {samples} samples: {compared} figures compared, {len(wrong)} wrong")
    for line in wrong[:10]:
        print("  " + line)
    sys.exit(1 if wrong else 0)


main()
