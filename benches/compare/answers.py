"""Compares two answers: labels exactly, times exactly, values within 1e-9 of each other."""

import json
import math

TOLERANCE = 1e-9


def read(text):
    """An answer as {labels: {time: value text}}; a list of label values as {value: {}}."""
    data = json.loads(text)["data"]
    if isinstance(data, list):
        return {value: {} for value in data}
    out = {}
    for element in data["result"]:
        points = element["values"] if "values" in element else [element["value"]]
        out[tuple(sorted(element["metric"].items()))] = {float(at): value for at, value in points}
    return out


def without_name(answer):
    return {tuple(pair for pair in labels if pair[0] != "__name__"): points for labels, points in answer.items()}


def compare(ours, reference):
    """`=` if they are equal, `~` if they differ only in the metric name, otherwise `!` and the first difference."""
    found = difference(ours, reference)
    if found is None:
        return "=", None
    if all(isinstance(labels, tuple) for labels in [*ours, *reference]):
        bare, bare_reference = without_name(ours), without_name(reference)
        if len(bare) == len(ours) and len(bare_reference) == len(reference) and difference(bare, bare_reference) is None:
            return "~", None
    return "!", found


def difference(ours, reference):
    """The first difference in words, or None."""
    if ours.keys() != reference.keys():
        odd = sorted(map(str, ours.keys() ^ reference.keys()))
        return f"{len(ours)} series against {len(reference)}; only in one: {odd[0]}"
    for labels, points in reference.items():
        own = ours[labels]
        if own.keys() != points.keys():
            odd = sorted(own.keys() ^ points.keys())
            return f"{describe(labels)}: {len(odd)} of {len(own.keys() | points.keys())} times in one only, first {odd[0]:.0f}"
        for at, value in points.items():
            if not near(float(own[at]), float(value)):
                return f"{describe(labels)} at {at:.0f}: {own[at]} against {value}"
    return None


def near(a, b):
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= TOLERANCE * max(abs(a), abs(b))


def describe(labels):
    return "{" + ", ".join(f"{name}={value}" for name, value in labels) + "}" if isinstance(labels, tuple) else labels
