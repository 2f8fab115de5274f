"""Damages one file of a copy of a database at a time and runs the server and every offline command over the copy: each
must fail, say what it leaves out, or print what it prints for the whole database. flips.py COUNT [SEED]
"""

import collections
import json
import pathlib
import random
import shutil
import subprocess
import sys

from harness import Server, checking

# Only a command that hangs takes this long.
PATIENCE = 120
EVERYTHING = '{__name__=~".+"}'
DAY = 86_400


def build(server):
    """A merged day, a day with a delete in the catalogue, and a log with samples, events and a delete."""
    def write(day, value):
        lines = [f"m,i={name} value={value},whole={value}i,text=\"v{value}\" {day * DAY + at}"
                 for name in "abc" for at in range(4)]
        status, text = server.write(lines, precision="s")
        if status != 204:
            raise RuntimeError(f"a write was refused: {status} {text}")

    def delete(name, day):
        server.request("POST", "/api/v1/admin/tsdb/delete_series", **{"match[]": f'{{i="{name}"}}',
                       "start": day * DAY, "end": day * DAY + 2})

    with server.running():
        for day in (1, 2, 9):
            write(day, day)
        server.flush()
        delete("b", 9)
        write(9, 19)
        server.flush()
    with server.running():
        write(10, 10)
        delete("c", 10)
    with server.running():
        write(10, 20)


def command(binary, *words):
    """Exit status, standard output and standard error; a hang has the status `hang`."""
    try:
        done = subprocess.run([binary, *words], capture_output=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return "hang", b"", b""
    return done.returncode, done.stdout, done.stderr


def commands(directory):
    """The commands that read a data directory."""
    at = ("--data-dir", str(directory))
    return {
        "query": ("query", f"{EVERYTHING}[12d]", "--time", str(12 * DAY), "--format", "json", *at),
        "export": ("export", "--match", EVERYTHING, *at),
        "inspect cardinality": ("inspect", "cardinality", *at),
    }


def damages(folder, count, chance):
    """Functions that damage a copy, by name: flips in every file, and files that end early or are missing."""
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]
    # Nothing reads these.
    files = [path for path in files if not path.name.startswith(("LOG", "OPTIONS-", "IDENTITY"))]
    for number in range(count):
        path = files[number % len(files)]
        size = (folder / path).stat().st_size
        kind = "flip" if number % 4 else chance.choice(["flip", "truncate", "remove"])
        at = chance.randrange(size)
        yield f"{kind} {path} at {at}", kind, path, at


def damage(target, kind, at, chance):
    content = bytearray(target.read_bytes())
    if kind == "flip":
        content[at] ^= 1 << chance.randrange(8)
        target.write_bytes(content)
    elif kind == "truncate":
        target.write_bytes(content[:at])
    else:
        target.unlink()


def series(answer):
    """The series of an answer to a query, sorted."""
    return sorted(json.loads(answer)["data"]["result"], key=lambda item: sorted(item["metric"].items()))


class Judge:
    """The output for the whole database, and the outcome of each damage."""

    def __init__(self, binary, whole):
        self.binary, self.outcomes, self.wrong = binary, collections.Counter(), []
        self.expected = {name: command(binary, *words) for name, words in commands(whole).items()}
        for name, (status, shown, said) in self.expected.items():
            if status != 0 or not shown:
                raise RuntimeError(f"{name} of the whole database: {status} {said!r}")

    def fault(self, what):
        self.wrong.append(what)

    def ran(self, name, status, said):
        """Whether a command ended properly: with 0, or with 1 and a reason."""
        if status == "hang":
            self.fault(f"{name}: hangs")
        elif status not in (0, 1):
            self.fault(f"{name}: ends with {status}: {said[-300:]!r}")
        elif status == 1 and not said:
            self.fault(f"{name}: fails without a word")
        return status in (0, 1)

    def offline(self, place, directory):
        """Whether all commands print the expected output."""
        at = ("--data-dir", str(directory))
        status, _, said = command(self.binary, "verify", *at)
        self.ran(f"{place}: verify", status, said)
        is_clean, is_right = status == 0, True
        for name, words in commands(directory).items():
            status, shown, said = command(self.binary, *words)
            if not self.ran(f"{place}: {name}", status, said):
                continue
            self.outcomes["right" if status == 0 else "refused"] += 1
            if status == 0 and shown != self.expected[name][1]:
                self.fault(f"{place}: {name} is silently wrong: {shown[-300:]!r}")
            if status != 0:
                is_right = False
                status, _, said = command(self.binary, *words, "--allow-damage")
                self.ran(f"{place}: {name} --allow-damage", status, said)
        if is_clean and not is_right:
            self.fault(f"{place}: verify finds nothing, and a command fails")
        for words in (("inspect", *at), ("repair", str(directory))):
            status, shown, said = command(self.binary, *words)
            self.ran(f"{place}: {words[0]}", status, shown + said)

    def serve(self, place, directory, log, *options):
        """Whether the server starts."""
        server = Server(str(directory), str(log), "--self-interval", "0", "--enable-admin", *options)
        try:
            with server.running():
                status, answer = server.request("GET", "/api/v1/query", query=f"{EVERYTHING}[12d]", time=12 * DAY)
                said = log.read_text(errors="replace")
                is_right = status == 200 and series(answer) == series(self.expected["query"][1])
                is_told = status != 200 or b'"warnings"' in answer or "damaged" in said or "unfinished" in said
                self.outcomes["served right" if is_right else "served with a report"] += 1
                if not is_right and not is_told:
                    self.fault(f"{place}: the server is silently wrong: {answer[-300:]!r}")
                return True
        except RuntimeError as error:
            self.outcomes["server refuses"] += 1
            if server.process.returncode != 1 or "panicked" in str(error):
                self.fault(f"{place}: the server ends with {server.process.returncode}: {error}")
            return False


def run(folder, count, seed, checks):
    chance, whole = random.Random(seed), folder / "whole"
    server = Server(str(whole), str(folder / "log"), "--self-interval", "0", "--enable-admin")
    build(server)
    judge = Judge(server.binary, whole)
    for number, (place, kind, path, at) in enumerate(damages(whole, count, chance)):
        copy, log = folder / "copy", folder / f"log{number}"
        shutil.copytree(whole, copy)
        damage(copy / path, kind, at, chance)
        judge.offline(place, copy)
        if not judge.serve(place, copy, log):
            judge.serve(f"{place}, recovering", copy, log, "--recover-damaged-wal")
        shutil.rmtree(copy)
    counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(judge.outcomes.items()))
    shown = "\n    ".join(judge.wrong[:10])
    checks.holds(f"{count} damages through the program: {counts}; 0 silent, 0 hangs, 0 crashes", not judge.wrong,
                 f"{len(judge.wrong)} wrong:\n    {shown}")


def main():
    count = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"  seed {seed}", flush=True)
    with checking("flips") as (checks, folder):
        checks.run(run, pathlib.Path(folder), count, seed, checks)


main()
