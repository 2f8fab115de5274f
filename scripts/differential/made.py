"""Series like those of the recordings, generated from a fixed seed, for a comparison without recordings."""

import random

SECONDS = 800
MODES = ("idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user")
COLLECTORS = [f"collector_{letter}" for letter in "abcdefghijkl"] + ["cpu"]
DURATION_BOUNDS = ("0.1", "0.2", "0.4", "1", "3", "8", "20", "60", "120", "+Inf")
SIZE_BOUNDS = ("100", "1000", "10000", "100000", "1e+06", "+Inf")


def gauge(rng, low, high, digits):
    """A random walk between two bounds."""
    value = rng.uniform(low, high)
    for _ in range(SECONDS):
        value = min(high, max(low, value + rng.gauss(0, (high - low) / 40)))
        yield round(value, digits)


def counter(rng, per_second, digits, resets=False):
    """A counter that starts far above zero; with resets, it falls to zero twice."""
    value = per_second * 5000
    for second in range(SECONDS):
        value += max(0.0, rng.gauss(per_second, per_second / 2))
        if resets and second in (430, 610):
            value = 0.0
        yield round(value, digits)


def constant(value):
    return (value for _ in range(SECONDS))


def histogram(rng, name, bounds, labels):
    """A classic histogram: `_bucket`, `_sum`, `_count`."""
    counts, total, columns = [5 * i for i in range(1, len(bounds) + 1)], 100.0, []
    for _ in range(SECONDS):
        for _ in range(rng.randrange(4)):
            first = min(int(rng.expovariate(0.5)), len(bounds) - 1)
            counts = [count + (i >= first) for i, count in enumerate(counts)]
            total += rng.uniform(0, first + 1)
        columns.append((list(counts), round(total, 6)))
    for i, bound in enumerate(bounds):
        yield f"{name}_bucket", labels + [("le", bound)], [c[0][i] for c in columns]
    yield f"{name}_sum", labels, [c[1] for c in columns]
    yield f"{name}_count", labels, [c[0][-1] for c in columns]


def node(rng):
    for cpu in ("0", "1"):
        for i, mode in enumerate(MODES):
            yield "node_cpu_seconds_total", [("cpu", cpu), ("mode", mode)], counter(rng, 0.9 / (i + 1), 2)
        yield "node_softnet_processed_total", [("cpu", cpu)], counter(rng, 90, 0)
    for device in ("eth0", "eth1", "lo"):
        labels = [("device", device)]
        yield "node_network_up", labels, constant(int(device != "eth1"))
        for name in ("receive_bytes", "transmit_bytes", "receive_packets"):
            yield f"node_network_{name}_total", labels, counter(rng, 4000, 0, resets=device == "lo")
    for name, high, digits in (("node_load1", 9, 2), ("node_load5", 6, 2), ("node_load15", 4, 2),
                               ("node_memory_MemFree_bytes", 8e9, 0), ("node_procs_running", 9, 0),
                               ("node_netstat_Tcp_CurrEstab", 40, 0), ("node_disk_io_now", 5, 0),
                               ("node_sockstat_TCP_inuse", 30, 0), ("node_sockstat_UDP_inuse", 20, 0)):
        labels = [("device", "vda")] if "disk" in name else []
        yield name, labels, gauge(rng, 0, high, digits)
    for collector in COLLECTORS:
        labels = [("collector", collector)]
        yield "node_scrape_collector_duration_seconds", labels, gauge(rng, 1e-5, 0.3, 9)
        yield "node_scrape_collector_success", labels, constant(int(collector != "collector_b"))
    yield "node_context_switches_total", [], counter(rng, 1500, 0)
    yield "node_intr_total", [], counter(rng, 700, 0)
    yield "node_memory_MemTotal_bytes", [], constant(8_323_457_024)
    yield "node_boot_time_seconds", [], constant(1795461234)
    yield "node_time_seconds", [], (1795465333.25 + second for second in range(SECONDS))
    yield "node_exporter_build_info", [("version", "1.5.0"), ("branch", "debian/sid")], constant(1)
    yield "node_disk_info", [("device", "vda"), ("major", "254"), ("minor", "0")], constant(1)


def server(rng):
    yield "prometheus_tsdb_head_samples_appended_total", [("type", "float")], counter(rng, 800, 0)
    labels = [("handler", "/metrics")]
    yield from histogram(rng, "prometheus_http_request_duration_seconds", DURATION_BOUNDS, labels)
    yield from histogram(rng, "prometheus_http_response_size_bytes", SIZE_BOUNDS, labels)
    yield from histogram(rng, "prometheus_tsdb_compaction_duration_seconds", DURATION_BOUNDS, [])


def series(begin_ms):
    """Yields name, labels, [(milliseconds, value text)], about one sample a second."""
    rng = random.Random(7)
    for job, source in (("node_exporter", node), ("prometheus_self", server)):
        times, at = [], begin_ms
        for _ in range(SECONDS):
            times.append(at if at % 1000 else at + 1)
            at += rng.randint(960, 1040)
        both = [("go_goroutines", [], gauge(rng, 5, 60, 0)), ("process_cpu_seconds_total", [], counter(rng, 0.2, 2))]
        for name, labels, values in [*source(rng), *both]:
            samples = [(t, repr(float(v))) for t, v in zip(times, values)]
            yield name, labels + [("job", job)], samples
