#!/usr/bin/env python3
"""Counts the instructions of each piece of work in benches/instructions.rs and prints the change against the baseline.

    benches/instructions.py [NAME...]        count, compare with benches/baseline.json
    benches/instructions.py --accept [NAME]  and make what was counted the baseline

Needs cargo and valgrind. The counts do not depend on other load. They depend a little on the compiler and on the
instructions that `memchr` finds in the processor, so the baseline records both. A higher count is not an error.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASELINE = ROOT / "benches" / "baseline.json"
NOTEWORTHY = 0.01


def build():
    """The path of the built bench."""
    command = [*os.environ.get("CARGO", "cargo").split(), "build", "--release", "--workspace", "--bench", "instructions",
               "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "instructions":
            return message["executable"]
    sys.exit("cargo built no `instructions`")


def count(program, name):
    """Instructions, units, the unit's name, and the searching kernel."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*instructions*counted*",
                   f"--callgrind-out-file={folder}/out", program, name]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found or int(found.group(1)) == 0:
        sys.exit(f"{name}: valgrind gave no count (exit {done.returncode}):\n{done.stderr[-2000:]}")
    _, units, unit, kernel = done.stdout.split()
    return int(found.group(1)), int(units), unit, kernel


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="pieces of work; all without one")
    parser.add_argument("--accept", action="store_true", help="write the counts into the baseline")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing: apt-get install -y valgrind")
    program = build()
    known = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    unknown = [name for name in options.names if name not in known]
    if unknown:
        sys.exit(f"no piece of work is called {', '.join(unknown)}; there are {', '.join(known)}")
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"pieces": {}}
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    if baseline["pieces"] and baseline["compiler"] != compiler:
        print(f"note: the baseline was counted with {baseline['compiler']}, this is {compiler}")
    print(f"{'piece of work':<22}{'instructions':>14}{'a unit':>10}  {'unit':<8}{'baseline':>10}{'change':>9}")
    counted = {}
    for name in options.names or known:
        instructions, units, unit, kernel = count(program, name)
        old = baseline["pieces"].get(name)
        each = instructions / units
        change = "new" if old is None else f"{100 * (each / old['each'] - 1):+.1f}%"
        mark = " *" if old and abs(each / old["each"] - 1) >= NOTEWORTHY else ""
        print(f"{name:<22}{instructions:>14}{each:>10.1f}  {unit:<8}{old['each'] if old else '-':>10}{change:>9}{mark}", flush=True)
        counted[name] = {"instructions": instructions, "units": units, "unit": unit, "each": round(each, 1)}
    print(f"callgrind; built for x86-64-v2, memchr searches with {kernel}; * marks a change of 1 % or more")
    if options.accept:
        pieces = {name: {**baseline["pieces"], **counted}.get(name) for name in known}
        accepted = {"compiler": compiler, "target_cpu": "x86-64-v2", "memchr": kernel,
                    "pieces": {name: piece for name, piece in pieces.items() if piece}}
        BASELINE.write_text(json.dumps(accepted, indent=2) + "\n")
        print(f"written to {BASELINE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
