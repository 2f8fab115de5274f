"""The queries. Each has a name and a few seeded variants (other hosts, other windows), which are sent in turn.

A variant is a list of `Ask`. They are sent one after the other, like a dashboard with that number of lines, and timed
together. Starts and ends are multiples of the step, so that no server's rounding changes the answer.
"""

import random
import urllib.parse

VARIANTS = 5
HOUR = 3600
FIELDS = ["usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq", "usage_softirq",
          "usage_steal", "usage_guest", "usage_guest_nice"]


class Ask:
    """One request to Prometheus' HTTP API."""

    def __init__(self, path, **parameters):
        self.path, self.parameters = path, parameters

    def text(self, **more):
        return urllib.parse.urlencode({**self.parameters, **more})


class Questions:
    """Builds the variants for a data set that ends at `last_s`."""

    def __init__(self, data):
        self.data, self.chance, self.all = data, random.Random(11), []
        self.first, self.last = data.first_ns // 1_000_000_000, data.last_ns // 1_000_000_000

    def add(self, name, make, variants=VARIANTS):
        """`make(self)` returns a variant."""
        self.all.append((name, [make() for _ in range(variants)]))

    def window(self, span, step):
        """A window of the given length at a random place, or the whole range if that is shorter."""
        span = min(span, (self.last - self.first) // step * step)
        latest = (self.last - span) // step
        start = self.chance.randint(-(-self.first // step), max(-(-self.first // step), latest)) * step
        return {"start": start, "end": start + span, "step": step}

    def range(self, span, step, *expressions):
        window = self.window(span, step)
        return [Ask("query_range", query=expression, **window) for expression in expressions]

    def instant(self, expression, at=None):
        return [Ask("query", query=expression, time=at or self.last)]


def of(data):
    """[(name, variants)] for the data set; `data.probe` is the query that detects the first answer."""
    questions = Questions(data)
    {"cpu": cpu, "churn": churn, "active": churn, "hist": hist, "year": year}.get(data.name, recording)(questions)
    return questions.all


def probe(data):
    """A cheap query with an answer for the last moment of the data."""
    one = {"cpu": 'cpu_usage_user{hostname="host_1"}', "churn": 'http_requests_total{deployment="d-1",code="200"}',
           "active": 'http_requests_total{deployment="d-1",code="200"}', "year": 'temperature{sensor="s-1"}', "hist": 'http_request_duration_seconds_count{service="s-1"}'}
    return f"count(last_over_time({one.get(data.name, data.metrics[0])}[3h]))"


def cpu(q):
    hosts = q.data.hosts

    def some(count):
        names = sorted(f"host_{host}" for host in q.chance.sample(range(hosts), min(count, hosts)))
        return f'hostname="{names[0]}"' if len(names) == 1 else f'hostname=~"{"|".join(names)}"'

    def single(fields, count, hours):
        of_hosts = some(count)
        return q.range(hours * HOUR, 60, *(f"max_over_time(cpu_{f}{{{of_hosts}}}[1m])" for f in FIELDS[:fields]))

    for fields, count, hours in [(1, 1, 1), (1, 1, 12), (1, 8, 1), (5, 1, 1), (5, 1, 12), (5, 8, 1)]:
        q.add(f"single-groupby-{fields}-{count}-{hours}", lambda: single(fields, count, hours))
    for count in (1, 8):
        q.add(f"cpu-max-all-{count}", lambda: (lambda of_hosts: q.range(
            8 * HOUR, HOUR, *(f"max_over_time(cpu_{f}{{{of_hosts}}}[1h])" for f in FIELDS)))(some(count)))
    for name, fields in (("1", 1), ("5", 5), ("all", 10)):
        q.add(f"double-groupby-{name}", lambda: q.range(
            12 * HOUR, HOUR, *(f"avg by (hostname) (avg_over_time(cpu_{f}[1h]))" for f in FIELDS[:fields])))
    q.add("high-cpu-1", lambda: q.range(12 * HOUR, 60, f"max_over_time(cpu_usage_user{{{some(1)}}}[1m]) > 90"))
    q.add("high-cpu-all", lambda: q.range(12 * HOUR, 60, "max_over_time(cpu_usage_user[1m]) > 90"))
    q.add("lastpoint", lambda: q.instant('last_over_time({__name__=~"cpu_.+"}[5m])'))
    q.add("groupby-orderby-limit", lambda: q.range(300, 60, "max(max_over_time(cpu_usage_user[1m]))"))
    q.add("x-avg-by-service-12h", lambda: q.range(12 * HOUR, 300, "avg by (service) (avg_over_time(cpu_usage_user[5m]))"))
    q.add("x-rate-by-region-4h", lambda: q.range(4 * HOUR, 60, "sum by (region) (rate(cpu_usage_system[5m]))"))
    q.add("x-quantile-over-time", lambda: q.range(6 * HOUR, 600, "quantile_over_time(0.95, cpu_usage_user[10m])"))
    q.add("x-topk-2h", lambda: q.range(2 * HOUR, 60, "topk(5, avg_over_time(cpu_usage_user[5m]))"))
    q.add("x-regex-3h", lambda: q.range(3 * HOUR, 60, 'max by (rack) (max_over_time(cpu_usage_user{hostname=~"host_.*7"}[1m]))'))
    q.add("x-binop-2h", lambda: q.range(2 * HOUR, 60, "cpu_usage_user + cpu_usage_system"))
    q.add("x-subquery-2h", lambda: q.range(2 * HOUR, 300, "max_over_time(avg by (region) (cpu_usage_user)[10m30s:1m])"))
    q.add("x-quantile-agg-6h", lambda: q.range(6 * HOUR, 300, "quantile by (region) (0.9, avg_over_time(cpu_usage_user[5m]))"))
    q.add("x-count-hosts", lambda: q.instant("count(count by (hostname) (cpu_usage_user))"))
    q.add("x-scan-all", lambda: q.range(28 * HOUR, HOUR, "sum(sum_over_time(cpu_usage_user[1h]))"))
    q.add("x-label-values", lambda: [Ask("label/hostname/values", start=q.first, end=q.last)])


def churn(q):
    def one_series():
        generation = q.chance.randrange(q.data.generations)
        at = -(-q.first // 60) * 60 + generation * 60
        deployment = q.chance.randrange(1000)
        return [Ask("query_range", query=f'sum(sum_over_time(http_requests_total{{deployment="d-{deployment}",code="200"}}[30s]))',
                    start=at, end=at + 60, step=10)]

    q.add("c-one-minute", one_series)
    q.add("c-one-deployment", lambda: q.range(HOUR, 60, "sum by (code) (sum_over_time(http_requests_total"
                                              f'{{deployment="d-{q.chance.randrange(1000)}"}}[1m]))'))
    q.add("c-active-count", lambda: q.range(HOUR, 60, "count(count_over_time(http_requests_total[1m]))"), 2)
    q.add("c-increase-by-ns", lambda: q.range(HOUR, 60, "sum by (namespace) (increase(http_requests_total[5m]))"), 2)
    q.add("c-regex-pod", lambda: q.range(HOUR, 60, "count by (namespace) (count_over_time(http_requests_total"
                                         f'{{pod=~"d-.*-{q.chance.randrange(16):x}.*"}}[1m]))'), 2)
    q.add("c-topk-deployment", lambda: q.range(
        HOUR, 60, 'topk(5, sum by (deployment) (sum_over_time(http_requests_total{code="500"}[5m])))'), 2)
    span = q.last - q.first + 1
    q.add("c-all-series-by-code", lambda: q.instant(f"sum by (code) (sum_over_time(http_requests_total[{span}s]))"), 2)
    q.add("c-label-values-ns", lambda: [Ask("label/namespace/values", start=q.first, end=q.last)])


def hist(q):
    name = "http_request_duration_seconds"
    q.add("h-p99-by-service-1h", lambda: q.range(
        HOUR, 60, f"histogram_quantile(0.99, sum by (service, le) (rate({name}_bucket[5m])))"))
    q.add("h-p99-all-6h", lambda: q.range(6 * HOUR, 300, f"histogram_quantile(0.99, sum by (le) (rate({name}_bucket[5m])))"))
    q.add("h-slow-ratio-3h", lambda: q.range(3 * HOUR, 60, f'1 - sum by (region) (rate({name}_bucket{{le="0.5"}}[5m]))'
                                             f" / sum by (region) (rate({name}_count[5m]))"))
    # Two seconds after the last sample: otherwise its window of an hour would begin exactly at a sample (`START_S` in
    # sets.py).
    q.add("h-increase-topk", lambda: q.instant(f"topk(10, increase({name}_count[1h]))", at=q.last + 2))
    q.add("h-one-service", lambda: q.range(HOUR, 60, f'rate({name}_count{{service="s-{q.chance.randrange(q.data.services)}"}}[5m])'))
    q.add("h-mean-latency", lambda: q.range(
        6 * HOUR, 300, f"sum by (service) (rate({name}_sum[5m])) / sum by (service) (rate({name}_count[5m]))"))


def year(q):
    def sensor():
        return f'temperature{{sensor="s-{q.chance.randrange(q.data.SENSORS)}"}}'

    whole = 365 * 24 * HOUR
    q.add("y-one-series-daily-max", lambda: q.range(whole, 24 * HOUR, f"max_over_time({sensor()}[1d])"))
    q.add("y-one-series-hourly-avg", lambda: q.range(whole, HOUR, f"avg_over_time({sensor()}[1h])"))
    q.add("y-by-site-weekly-quantile", lambda: q.range(
        whole, 24 * HOUR, "max by (site) (quantile_over_time(0.99, temperature[7d]))"))


def recording(q):
    everything = '{__name__=~".+"}'
    if "node_cpu_seconds_total" in q.data.metrics:
        node(q)
    metric = q.data.metrics[len(q.data.metrics) // 2]
    q.add("r-count-all", lambda: q.range(600, 15, f"count({everything})"))
    q.add("r-all-metrics", lambda: q.range(600, 60, f"count by (__name__) ({everything})"))
    q.add("r-one-metric-avg", lambda: q.range(HOUR, 60, f"avg by (instance) (avg_over_time({metric}[5m]))"))
    q.add("r-label-values", lambda: [Ask("label/instance/values", start=q.first, end=q.last)])


def node(q):
    q.add("n-cpu-by-mode", lambda: q.range(600, 15, "sum by (mode) (rate(node_cpu_seconds_total[1m]))"))
    q.add("n-cpu-busy", lambda: q.range(600, 15, '1 - avg(rate(node_cpu_seconds_total{mode="idle"}[1m]))'))
    q.add("n-mem-ratio", lambda: q.range(600, 15, "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"))
    q.add("n-disk-topk", lambda: q.range(600, 15, "topk(3, rate(node_disk_written_bytes_total[1m]))"))
    q.add("n-ctx-rate", lambda: q.range(600, 15, "rate(node_context_switches_total[1m])"))
    q.add("n-avg-load", lambda: q.range(600, 15, "avg_over_time(node_load1[5m])"))
