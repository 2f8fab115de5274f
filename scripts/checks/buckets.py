"""Compares what the buckets of tiers say with what the samples say, while and after a server builds them.

The samples themselves are compared with an oracle elsewhere, so an answer of theirs (`tier=raw`) is what the same answer
from buckets must be. Windows are aligned to the width of a tier, so a bucket that is lost, counted twice, half built or
not built again after a late sample or a delete makes a difference.
"""

import json
import re
import subprocess

# Samples never expire here, but a tier that is kept longer also has distributions and bounds.
OPTIONS = ["--tiers=1m,5m", "--retention=3650d"]
FUNCTIONS = ["count_over_time", "sum_over_time", "min_over_time", "max_over_time", "first_over_time", "last_over_time",
             "rate", "resets", "changes", "stdvar_over_time"]
# The variance of samples far from zero loses digits.
ROUNDED = {"stdvar_over_time": 1e-4}
# Seconds by the name of a tier.
WIDTHS = {"1m": 60, "5m": 300}
STEPS_MAX = 400
DAY = 86_400
REPAIRED = re.compile(r"computed buckets of changed samples again.*?buckets=(\d+)")


class Buckets:
    """What is known about the tiers of one database, over all restarts of its server."""

    def __init__(self, selector, chance):
        self.selector, self.chance = selector, chance
        self.complete, self.built = {}, 0
        # Values that were compared where a tier is complete, by its name.
        self.compared = dict.fromkeys(WIDTHS, 0)

    def note(self, server):
        """Remembers what is complete now, before the server is killed."""
        for tier in tiers_of(server):
            if tier["completeThrough"] is not None:
                self.complete[tier["resolution"]] = tier["completeFrom"], tier["completeThrough"]

    def faults(self, server, oldest, newest):
        """What is wrong with the tiers, for samples in these seconds. Each call compares some of the functions, in some
        part of the time."""
        wrong = []
        tiers = {tier["resolution"]: tier for tier in tiers_of(server)}
        for name, (begin, end) in self.complete.items():
            now = tiers[name]["completeFrom"], tiers[name]["completeThrough"]
            if now[1] is None or now[0] > begin or now[1] < end:
                wrong.append(f"the tier {name} was complete from {begin} to {end}, and is from {now[0]} to {now[1]}")
        self.built = sum(tier["buckets"] for tier in tiers.values())
        for name, width in WIDTHS.items():
            first, last = oldest // width * width, (newest // width + 1) * width
            if last - first > STEPS_MAX * width:
                first += self.chance.randrange((last - first) // width - STEPS_MAX) * width
                last = first + STEPS_MAX * width
            for function in [FUNCTIONS[0], *self.chance.sample(FUNCTIONS[1:], 2)]:
                window = width * self.chance.choice([1, 1, 3])
                query = f"{function}({self.selector}[{window}s])"
                wrong += self.compare(server, query, ROUNDED.get(function, 0), (first, last, width), tiers[name])
        return wrong

    def compare(self, server, query, tolerance, steps, tier):
        """The differences of one query's answers."""
        start, end, step = steps
        parameters = {"query": query, "start": start, "end": end, "step": step}
        chosen = server.api("query_range", **parameters)
        accuracy = chosen.get("accuracy")
        by_samples, by_buckets = table(server.api("query_range", **parameters, tier="raw")), table(chosen)
        if accuracy and not accuracy["exact"]:
            return [f"{query}: no estimate is needed where there are samples: {accuracy}"]
        if accuracy and tier["completeThrough"] is not None and accuracy["tierSeconds"] == step:
            covered = [at for _, at in by_samples if tier["completeFrom"] < at <= tier["completeThrough"]]
            self.compared[tier["resolution"]] += len(covered)
        differences = [
            f"{query} of {labels} at {at}: {by_buckets.get((labels, at))} from buckets, {by_samples.get((labels, at))} "
            f"from samples; the tier is {tier}"
            for labels, at in sorted(by_samples.keys() | by_buckets.keys())
            if not is_same(by_buckets.get((labels, at)), by_samples.get((labels, at)), tolerance)]
        return differences

    def are_built(self, server):
        return all(tier["buckets"] for tier in tiers_of(server))

    def repaired(self, log_path):
        """How many buckets were computed again, by the server's log."""
        with open(log_path, errors="replace") as log:
            return sum(int(found[1]) for line in log if (found := REPAIRED.search(line)))


def tiers_of(server):
    status, answer = server.request("GET", "/api/v1/status/compaction")
    if status != 200:
        raise RuntimeError(f"no state of the tiers: {status} {answer!r}")
    return json.loads(answer)["data"]["tiers"]


def settle(server):
    """Makes the server store all buckets of what is closed, so that no answer computes them."""
    server.flush()
    status, answer = server.request("POST", "/api/v1/admin/tsdb/clean_tombstones")
    if status != 204:
        raise RuntimeError(f"cleaning failed: {status} {answer!r}")


def damage(server):
    """What `barograph verify` says of the directory of a server that does not run."""
    command = [server.binary, "verify", "--data-dir", server.data_dir]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    return [] if verified.returncode == 0 else [f"verify: {verified.stdout} {verified.stderr}"]


def table(answer):
    """The values of a matrix by labels and time."""
    return {(str(sorted(series["metric"].items())), at): value
            for series in answer["result"] for at, value in series["values"]}


def is_same(found, wanted, tolerance):
    if found == wanted or found is None or wanted is None:
        return found == wanted
    return abs(float(found) - float(wanted)) <= tolerance * abs(float(wanted))
