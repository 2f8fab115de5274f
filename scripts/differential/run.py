#!/usr/bin/env python3
"""Asks Prometheus 2.42 and Barograph the same queries over the same data.

    run.py [DATA_DIR] [--barograph PATH] [--only-prometheus] [--match TEXT] [--keep DIR]

DATA_DIR holds recordings as wide CSV (`*/*.csv.gz`): the first column is `timestamp_ms`, every
other one is a series named as in the exposition format, an empty cell is no sample. Without it the
data is made up (made.py). The data is shaped so that the known differences of 2.42 do not show:

- all recordings begin at the same time and carry the label `job`, their folder's name;
- no sample is on a whole second, so that it does not matter whether windows are closed or
  open on the left; evaluation times are whole seconds, 3 more than a multiple of 5, and
  subqueries step by multiples of 5 s, so that no inner step meets a window's edge;
- windows begin after the first sample of the recording, and all end before the last;
- what line protocol cannot carry (NaN, Inf) is left out on both sides.

Prometheus gets blocks made by `promtool tsdb create-blocks-from openmetrics`, Barograph gets
line protocol. Each query is asked as a range query and as an instant query. Label sets and times
must be equal, values within 1e-9 of each other; where one refuses a query, the other must too.

Needs python3 alone, and `prometheus` and `promtool` (Debian: `apt-get install prometheus`).
Prints a table by group and, as its last line, `differential: N of M agree`.
"""

import argparse
import csv
import gzip
import itertools
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import made

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
BEGIN_MS = 1795465333_250  # every recording is moved here
START, END, STEP = 1795465673, 1795466063, 15  # seconds, each 3 more than a multiple of 5
TOLERANCE = 1e-9
LINES_PER_WRITE = 5000
PATIENCE = 600  # only what hangs takes so long


# --- data -------------------------------------------------------------------------------------

LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)",?')


def parse_series(text):
    """`name{a="b"}` as the name and a list of label pairs, escapes resolved."""
    name, _, rest = text.partition("{")
    unescape = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
    pairs = [
        (label, re.sub(r'\\[\\"n]', lambda m: unescape[m.group()], value))
        for label, value in LABEL.findall(rest)
    ]
    return name, [(label, value) for label, value in pairs if value != ""]


def recordings(data_dir):
    """Yields name, labels and [(milliseconds, value text)] of each series of each recording."""
    found = False
    for folder in sorted(os.listdir(data_dir)):
        path = os.path.join(data_dir, folder)
        if not os.path.isfile(os.path.join(path, "types.csv")):
            continue
        for file in sorted(f for f in os.listdir(path) if f.endswith(".csv.gz")):
            found = True
            with gzip.open(os.path.join(path, file), "rt", newline="") as stream:
                yield from series_of(csv.reader(stream), folder)
    if not found:
        sys.exit(f"{data_dir}: no folder with types.csv and *.csv.gz")


def series_of(rows, job):
    header = next(rows)
    columns = [[] for _ in header]
    shift, last = None, None
    for row in rows:
        at = int(row[0])
        shift = BEGIN_MS - at if shift is None else shift
        at += shift
        if at % 1000 == 0:
            at += 1
        if last is not None and at <= last:
            sys.exit(f"{job}: {at} ms does not come after {last} ms")
        last = at
        for i, cell in enumerate(row[1:], 1):
            if cell != "" and math.isfinite(float(cell)):
                columns[i].append((at, cell))
    for text, samples in zip(header[1:], columns[1:]):
        name, labels = parse_series(text)
        if samples:
            yield name, [(n, v) for n, v in labels if n != "job"] + [("job", job)], samples


def write_open_metrics(series, path):
    quote = lambda value: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    with open(path, "w") as out:
        for name, labels, samples in series:
            text = ",".join(f'{label}="{quote(value)}"' for label, value in labels)
            for at, value in samples:
                out.write(f"{name}{{{text}}} {value} {at // 1000}.{at % 1000:03d}\n")
        out.write("# EOF\n")


def lines(series):
    """Line protocol, nanoseconds."""
    escape = lambda text, of: re.sub(f"([{of}])", r"\\\1", text)
    for name, labels, samples in series:
        head = escape(name, ", ") + "".join(
            f",{escape(label, ',= ')}={escape(value, ',= ')}" for label, value in labels
        )
        for at, value in samples:
            yield f"{head} value={float(value)!r} {at}000000\n"


# --- servers ----------------------------------------------------------------------------------


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_ready(url, process, log):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    with open(log) as text:
        sys.exit(f"{url} does not answer; the server printed:\n{text.read()[-2000:]}")


def start_prometheus(series, work):
    for tool in ("prometheus", "promtool"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: apt-get install -y --no-install-recommends prometheus")
    metrics, blocks = os.path.join(work, "data.om"), os.path.join(work, "blocks")
    write_open_metrics(series, metrics)
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", metrics, blocks]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    config, log = os.path.join(work, "prometheus.yml"), os.path.join(work, "prometheus.log")
    open(config, "w").close()
    url = f"http://127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={blocks}",
               "--storage.tsdb.retention.time=100y", f"--query.timeout={PATIENCE}s", f"--web.listen-address={url[7:]}"]
    process = subprocess.Popen(command, stdout=open(log, "w"), stderr=subprocess.STDOUT, cwd=work)
    wait_ready(url + "/-/ready", process, log)
    return url, process


def start_barograph(series, work, binary):
    log = os.path.join(work, "barograph.log")
    url = f"http://127.0.0.1:{free_port()}"
    command = [binary, "serve", "--data-dir", os.path.join(work, "barograph"), "--listen", url[7:],
               "--query-timeout", f"{PATIENCE}s"]
    process = subprocess.Popen(command, stdout=open(log, "w"), stderr=subprocess.STDOUT, cwd=work)
    wait_ready(url + "/-/ready", process, log)
    source = lines(series)
    while batch := list(itertools.islice(source, LINES_PER_WRITE)):
        body = "".join(batch).encode()
        request = urllib.request.Request(url + "/write", data=body, method="POST")
        try:
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        except urllib.error.HTTPError as error:
            process.terminate()
            sys.exit(f"write: {error.code} {error.read()[:500]!r}")
    return url, process


def find_barograph():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(REPOSITORY, "target"))
    places = [os.path.join(target, "release", "barograph"),
              os.path.expanduser("~/.cache/barograph/target/release/barograph")]
    for place in places:
        if os.access(place, os.X_OK):
            return place
    sys.exit("no built barograph found (make build first, or --barograph PATH): " + ", ".join(places))


# --- queries ----------------------------------------------------------------------------------


def templates(path):
    """Yields (group, query) once for each expansion."""
    variables, group, seen = {}, "", set()
    for line in open(path):
        line = line.rstrip("\n")
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("let "):
            name, _, alternatives = line[4:].partition("=")
            variables[name.strip()] = [a.strip() for a in alternatives.split(" ; ")]
        elif line.startswith("== "):
            group = line[3:].strip()
        else:
            names = [n for n in re.findall(r"\$([a-z]+)", line) if n in variables]
            for choice in itertools.product(*(variables[n] for n in names)):
                query = line
                for name, text in zip(names, choice):
                    query = query.replace("$" + name, text, 1)
                if query not in seen:
                    seen.add(query)
                    yield group, query


def ask(url, path, parameters):
    """The data of the response, or the kind of error."""
    body = urllib.parse.urlencode(parameters).encode()
    request = urllib.request.Request(f"{url}/api/v1/{path}", data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)["data"], None
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        try:
            answer = json.loads(text)
            return None, f"{answer['errorType']}: {answer['error']}"
        except (ValueError, KeyError):
            return None, f"status {error.code}: {text[:200]}"


def table(data):
    """Results of any type as {labels: {time: value text}}."""
    kind, result = data["resultType"], data["result"]
    if kind in ("scalar", "string"):
        return {(): {result[0]: result[1]}}
    out = {}
    for element in result:
        points = element["values"] if kind == "matrix" else [element["value"]]
        labels = tuple(sorted(element["metric"].items()))
        if labels in out:
            raise ValueError(f"{labels} occurs twice")
        out[labels] = {at: value for at, value in points}
    return out


def values_equal(a, b):
    try:
        a, b = float(a), float(b)
    except ValueError:
        return a == b
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= TOLERANCE * max(abs(a), abs(b))


def difference(theirs, ours):
    """The first difference, or None."""
    if theirs["resultType"] != ours["resultType"]:
        return f"type: {theirs['resultType']} there, {ours['resultType']} here"
    theirs, ours = table(theirs), table(ours)
    for labels in theirs.keys() - ours.keys():
        return f"{dict(labels)} is missing here ({len(theirs)} series there, {len(ours)} here)"
    for labels in ours.keys() - theirs.keys():
        return f"{dict(labels)} is only here ({len(theirs)} series there, {len(ours)} here)"
    for labels, points in theirs.items():
        if points.keys() != ours[labels].keys():
            odd = sorted(points.keys() ^ ours[labels].keys())
            return f"{dict(labels)}: {len(odd)} times on one side only, first {odd[0]}"
        for at, value in points.items():
            if not values_equal(value, ours[labels][at]):
                return f"{dict(labels)} at {at}: {value} there, {ours[labels][at]} here"
    return None


def ordered(query):
    return query.startswith(("sort(", "sort_desc(", "topk(", "bottomk("))


def compare(query, prometheus, barograph):
    """Why the two do not agree, or None."""
    old = query.replace("double_exponential_smoothing", "holt_winters")
    ways = [("query_range", {"start": START, "end": END, "step": STEP}), ("query", {"time": END - 5 * STEP})]
    for path, times in ways:
        theirs, their_error = ask(prometheus, path, {"query": old, **times})
        ours, our_error = ask(barograph, path, {"query": query, **times})
        if their_error or our_error:
            if bool(their_error) != bool(our_error):
                return f"{path}: there {their_error or 'an answer'}, here {our_error or 'an answer'}"
            if their_error.partition(":")[0] != our_error.partition(":")[0]:
                return f"{path}: there {their_error}, here {our_error}"
            continue
        if found := difference(theirs, ours):
            return f"{path}: {found}"
        if path == "query" and ordered(query):
            order = lambda data: [element["metric"] for element in data["result"]]
            if order(theirs) != order(ours):
                return f"{path}: the order differs"
    return None


def check_prometheus(queries, url):
    """Queries only Prometheus, and reports the templates that it refuses or that have an empty result."""
    empty = refused = 0
    for group, query in queries:
        query = query.replace("double_exponential_smoothing", "holt_winters")
        data, error = ask(url, "query_range", {"query": query, "start": START, "end": END, "step": STEP})
        if error:
            refused += 1
            print(f"refused  {group}: {query}\n         {error}")
        elif not data["result"]:
            empty += 1
            print(f"empty    {group}: {query}")
    print(f"{len(queries)} queries: {refused} refused, {empty} empty")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", nargs="?", help="recordings; without it, made-up data")
    parser.add_argument("--barograph", help="the server's binary; without it, the built one")
    parser.add_argument("--only-prometheus", action="store_true", help="check the templates, ask no Barograph")
    parser.add_argument("--match", default="", help="only queries that contain this text")
    parser.add_argument("--keep", help="work in this directory and leave it")
    arguments = parser.parse_args()

    queries = [(g, q) for g, q in templates(os.path.join(HERE, "templates.txt")) if arguments.match in q]
    binary = None if arguments.only_prometheus else arguments.barograph or find_barograph()
    series = list(recordings(arguments.data_dir) if arguments.data_dir else made.series(BEGIN_MS))
    print(f"{len(series)} series, {sum(len(s) for _, _, s in series)} samples, {len(queries)} queries", flush=True)
    work = arguments.keep or tempfile.mkdtemp(prefix="differential-")
    os.makedirs(work, exist_ok=True)
    processes = []
    try:
        prometheus, process = start_prometheus(series, work)
        processes.append(process)
        if arguments.only_prometheus:
            return check_prometheus(queries, prometheus)
        barograph, process = start_barograph(series, work, os.path.abspath(binary))
        processes.append(process)
        return report(queries, prometheus, barograph)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
        if not arguments.keep:
            shutil.rmtree(work, ignore_errors=True)


def report(queries, prometheus, barograph):
    groups, failures = {}, []
    for group, query in queries:
        count = groups.setdefault(group, [0, 0])
        count[1] += 1
        try:
            reason = compare(query, prometheus, barograph)
        except (OSError, ValueError, KeyError) as error:
            reason = f"{type(error).__name__}: {error}"
        if reason is None:
            count[0] += 1
        else:
            failures.append((group, query, reason))
    for group, query, reason in failures:
        print(f"{group}: {query}\n    {reason}")
    print(f"{'group':<16}{'agree':>7}{'of':>7}")
    for group, (agree, total) in groups.items():
        print(f"{group:<16}{agree:>7}{total:>7}")
    agree, total = (sum(count[i] for count in groups.values()) for i in (0, 1))
    print(f"differential: {agree} of {total} agree")
    return 0 if agree == total else 1


if __name__ == "__main__":
    sys.exit(main())
