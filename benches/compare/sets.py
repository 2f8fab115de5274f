"""The generated data sets. Each is seeded: the same parameters give the same bytes on every machine.

A data set has `name`, `key` (its parameters, for the cache of bodies), `lanes` (connections; all samples of a series
use the same one, so they arrive in order), `span_s` (longest span of a remote-write body), `head_block` (Prometheus'
block length, longer than its default only if the data spans months), `protocols` (in which it can be sent) and
`generate() -> (groups, rows)`, with the rows in order of time.
"""

import random

from wire import Group

# 2026-01-01T00:00:03Z: three seconds away from the steps of the queries, so that no window begins exactly at a sample
# (before version 3, Prometheus counted that sample).
START_S = 1_767_225_603
SECOND = 1_000_000_000

CPU_FIELDS = ["usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq", "usage_softirq",
              "usage_steal", "usage_guest", "usage_guest_nice"]
REGIONS = ["us-east-1", "us-west-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1", "ap-southeast-2",
           "ap-northeast-1", "sa-east-1"]


class Set:
    """What the generated sets have in common."""

    lanes, span_s, head_block, protocols = 4, 900, None, ("lp", "rw")


class Cpu(Set):
    """Like TSBS cpu-only: a host has 10 tags and 10 integer fields that walk between 0 and 100, every 10 s for 28 h."""

    STEPS = 10_080

    def __init__(self, samples):
        self.name, self.hosts = "cpu", max(4, samples // (self.STEPS * len(CPU_FIELDS)))
        self.key = f"cpu-{self.hosts}x{self.STEPS}"

    def describe(self):
        return f"{self.hosts} hosts, 10 tags, 10 integer fields, every 10 s for 28 h"

    def generate(self):
        chance = random.Random(20260101)
        groups = [Group("cpu", host_tags(chance, host), CPU_FIELDS, host % self.lanes) for host in range(self.hosts)]
        return groups, self.rows(chance)

    def rows(self, chance):
        normal, texts = chance.gauss, [f"{value}i" for value in range(101)]
        state = [[chance.random() * 100 for _ in CPU_FIELDS] for _ in range(self.hosts)]
        for step in range(self.STEPS):
            at = (START_S + step * 10) * SECOND
            for host in range(self.hosts):
                values = [value + normal(0.0, 1.0) for value in state[host]]
                values = [0.0 if value < 0.0 else 100.0 if value > 100.0 else value for value in values]
                state[host] = values
                yield host, at, [texts[int(value)] for value in values]


def host_tags(chance, host):
    region = chance.choice(REGIONS)
    return [("hostname", f"host_{host}"), ("region", region), ("datacenter", region + chance.choice("abc")),
            ("rack", str(chance.randrange(100))), ("os", chance.choice(["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"])),
            ("arch", chance.choice(["x64", "x86"])), ("team", chance.choice(["SF", "NYC", "LON", "CHI"])),
            ("service", str(chance.randrange(20))), ("service_version", str(chance.randrange(2))),
            ("service_environment", chance.choice(["production", "staging", "test"]))]


class Churn(Set):
    """Pods that live for a minute: each series has six samples, 10 s apart, and 10,000 series are alive at a time."""

    ALIVE, CODES = 10_000, ["200", "404", "500", "503"]

    def __init__(self, series):
        self.name, self.generations = "churn", max(2, series // self.ALIVE)
        self.key = f"churn-{self.generations}x{self.ALIVE}"

    def describe(self):
        return f"{self.generations * self.ALIVE} series of six samples, {self.ALIVE} of them alive at a time"

    def generate(self):
        chance, groups = random.Random(20260102), []
        for deployment, generation, pod in self.pods():
            namespace = deployment % 50
            name = f"d-{deployment}-{chance.getrandbits(32):08x}-{generation:x}"
            for code in self.CODES:
                tags = [("namespace", f"ns-{namespace}"), ("deployment", f"d-{deployment}"), ("pod", name),
                        ("code", code), ("job", "kubernetes-pods"), ("cluster", "c-1")]
                groups.append(Group("http_requests_total", tags, ["value"], pod % self.lanes))
        return groups, self.rows(chance)

    def pods(self):
        """Deployment, generation and number of each pod, in the order of its series."""
        for generation in range(self.generations):
            for pod in range(self.ALIVE // len(self.CODES)):
                yield pod % 1000, generation, pod

    def rows(self, chance):
        for generation in range(self.generations):
            first = generation * self.ALIVE
            totals = [chance.randrange(10_000, 100_000) for _ in range(self.ALIVE)]
            for step in range(6):
                at = (START_S + generation * 60 + step * 10) * SECOND
                for i in range(self.ALIVE):
                    yield first + i, at, [f"{totals[i]}i"]
                    totals[i] += chance.randrange(40)


class Active(Churn):
    """Pods that stay: all series have a sample every 10 s, six times."""

    def __init__(self, series):
        self.name, self.generations, self.series = "active", 1, series - series % len(self.CODES)
        self.key = f"active-{self.series}"

    def describe(self):
        return f"{self.series} series, all of them alive, six samples each"

    def pods(self):
        return ((pod % 1000, pod // 2500, pod) for pod in range(self.series // len(self.CODES)))

    def rows(self, chance):
        totals = [chance.randrange(10_000, 100_000) for _ in range(self.series)]
        for step in range(6):
            at = (START_S + step * 10) * SECOND
            for i in range(self.series):
                yield i, at, [f"{totals[i]}i"]
                totals[i] += chance.randrange(40)


class Hist(Set):
    """Classic histograms: twelve cumulative `le` buckets, a sum and a count for each service, every 10 s."""

    BOUNDS = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
    WEIGHTS = [0.05, 0.1, 0.2, 0.2, 0.18, 0.12, 0.07, 0.04, 0.02, 0.01, 0.006, 0.004]
    STEPS = 2_160

    def __init__(self, samples):
        self.name, self.services = "hist", max(4, samples // (self.STEPS * 14))
        self.key = f"hist-{self.services}x{self.STEPS}"

    def describe(self):
        return f"{self.services} services, 12 `le` buckets with sum and count, every 10 s for 6 h"

    def generate(self):
        chance, groups = random.Random(20260103), []
        name = "http_request_duration_seconds"
        for service in range(self.services):
            tags = [("service", f"s-{service}"), ("instance", f"10.0.{service // 250}.{service % 250}:8080"),
                    ("region", REGIONS[service % len(REGIONS)]), ("job", "api")]
            lane = service % self.lanes
            groups += [Group(f"{name}_bucket", [*tags, ("le", bound)], ["value"], lane) for bound in self.BOUNDS]
            groups += [Group(f"{name}_sum", tags, ["value"], lane), Group(f"{name}_count", tags, ["value"], lane)]
        return groups, self.rows(chance)

    def rows(self, chance):
        buckets = [[0] * 12 for _ in range(self.services)]
        sums = [0.0] * self.services
        rates = [chance.uniform(5, 800) for _ in range(self.services)]
        middles = [0.002, *[float(bound) * 0.7 for bound in self.BOUNDS[1:-1]], 15.0]
        for step in range(self.STEPS):
            at = (START_S + step * 10) * SECOND
            for service in range(self.services):
                events = rates[service] * (0.8 + 0.4 * chance.random())
                own, total = buckets[service], 0
                for i, weight in enumerate(self.WEIGHTS):
                    new = int(events * weight * (0.5 + chance.random()) + chance.random())
                    own[i] += new
                    sums[service] += new * middles[i] * (0.8 + 0.4 * chance.random())
                    total += own[i]
                    yield service * 14 + i, at, [f"{total}i"]
                yield service * 14 + 12, at, [f"{sums[service]:.6f}"]
                yield service * 14 + 13, at, [f"{total}i"]


class Year(Set):
    """Twenty sensors, a decimal every five minutes for a year."""

    lanes, span_s, head_block = 1, 86_400, "31d"
    STEPS, SENSORS = 105_120, 20

    def __init__(self):
        self.name, self.key = "year", f"year-{self.SENSORS}x{self.STEPS}"

    def describe(self):
        return "20 sensors, two decimals, every 5 minutes for a year"

    def generate(self):
        tags = [[("sensor", f"s-{i}"), ("site", f"site-{i % 4}")] for i in range(self.SENSORS)]
        return [Group("temperature", pairs, ["value"], 0) for pairs in tags], self.rows()

    def rows(self):
        chance = random.Random(20260104)
        state = [chance.uniform(5, 25) for _ in range(self.SENSORS)]
        for step in range(self.STEPS):
            at = (START_S - 365 * 86_400 + step * 300) * SECOND
            for sensor in range(self.SENSORS):
                state[sensor] += chance.gauss(0.0, 0.1) - (state[sensor] - 15) * 0.001
                yield sensor, at, [f"{state[sensor]:.2f}"]
