#!/usr/bin/env python3
"""Decomposes published series with statsmodels: the golden files of query/analytics.

    python3 -m venv venv && venv/bin/pip install -r scripts/golden/requirements.txt
    venv/bin/python scripts/golden/decompose.py query/analytics/tests/golden

Writes one file for each series and its seasons: `NAME.PERIODS.txt`. Its lines are `every N` (of how many steps one line
follows; the made series is long), then the value, the trend, each season, and the trend and each season of the robust
decomposition. A value of the made series is left out: the test makes the same one.
"""

import sys
from pathlib import Path

import numpy as np
from statsmodels import datasets
from statsmodels.tsa.seasonal import MSTL, STL


def made(n=8064):
    """A metric with one value every 5 minutes: a day, a week, a slope, and noise from a counter's bits."""
    i = np.arange(n)
    bits = (i.astype(np.uint64) * 2654435761) % 4294967296
    noise = bits / 4294967296.0 - 0.5
    saw = np.abs((i % 288) / 288.0 - 0.5)
    week = np.where((i // 288) % 7 >= 5, -3.0, 0.0)
    spikes = np.where(i % 997 == 500, 25.0, 0.0)
    return 50.0 + i / 2000.0 + 20.0 * saw + week + 4.0 * noise + spikes


def series():
    co2 = datasets.co2.load_pandas().data["co2"].interpolate()
    yield "co2_weekly", co2.to_numpy(), [52], 1
    yield "co2_monthly", co2.resample("MS").mean().to_numpy(), [12], 1
    yield "sunspots", datasets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(), [11], 1
    yield "realgdp", datasets.macrodata.load_pandas().data["realgdp"].to_numpy(), [4], 1
    elnino = datasets.elnino.load_pandas().data.drop(columns="YEAR").to_numpy().ravel()
    yield "elnino", elnino, [12], 1
    yield "elnino", elnino, [6, 12], 1
    yield "made", made(), [288], 16
    yield "made", made(), [288, 2016], 16


def parts(values, periods, robust):
    inner, outer = (2, 15) if robust else (5, 0)
    if len(periods) == 1:
        fit = STL(values, period=periods[0], seasonal=7, robust=robust).fit(inner, outer)
        return [fit.trend, fit.seasonal]
    fit = MSTL(
        values, periods=periods, stl_kwargs={"robust": robust, "inner_iter": inner, "outer_iter": outer}
    ).fit()
    return [fit.trend, *np.asarray(fit.seasonal).T]


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, values, periods, every in series():
        columns = [] if name == "made" else [values]
        columns += parts(values, periods, False)
        # With four weeks, the weights of the robust weekly season amplify rounding: after a change of the made series
        # by 1e-13 of its values, the results of statsmodels differ by up to 2.3, and the week has a range of 32.
        columns += [] if periods[-1] > 1000 else parts(values, periods, True)
        lines = [f"every {every}"]
        lines += [" ".join(f"{x:.12g}" for x in row) for row in zip(*(c[::every] for c in columns))]
        text = "\n".join(lines) + "\n"
        (folder / f"{name}.{'_'.join(map(str, periods))}.txt").write_text(text)


main()
