"""Valid calls of every route of the server, with random parameters. The routes are read from the server's own table, so
a new route without a call here fails the check."""

import base64
import gzip
import json
import pathlib
import re
import struct
import urllib.parse
import zlib

import wire
from ledger import FACTOR, GONE, STORED, TICK_NS, UNCERTAIN

ROUTES = pathlib.Path(__file__).parents[2] / "server/src/api/routes.rs"
METHODS = {"GET": ["GET", "HEAD"], "POST": ["POST"], "BOTH": ["GET", "POST", "HEAD"], "CHANGE": ["POST", "PUT"]}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
VERSION_2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
# Series of a worker by write path: version 3 of the line protocol adds a label to its series.
PLAIN, V3, EVENT = [f"s{slot}" for slot in range(6)], ["s6", "s7"], "ev_msg"
# Replaces the status of a request that was cut off before it was complete.
CUT = "cut"
QUERIES = [
    "{a}", "sum({a})", "rate({a}[5m])", "sum by (w) (rate({{__name__=~\"s[0-9]+\"}}[10m]))", "topk(3, {{__name__=~\"s.\"}})",
    "quantile_over_time(0.9, {a}[30m])", "{a} * on (w) {b}", "{a} > bool {b}", "count_values(\"v\", {a})", "absent(nothing)",
    "histogram_quantile(0.9, hist)", "histogram_count(rate(hist[10m]))", "max_over_time({a}[1h:1m])", "{a} offset 5m",
    "label_replace({a}, \"x\", \"$1\", \"w\", \"(.*)\")", "sort_desc({{w=~\".+\"}})", "avg_over_time({a}[1h] @ end())",
    "predict_linear({a}[1h], 60)", "stddev_over_time({b}[20m]) / 2", "{{__name__=~\"(s0|s1|nothing)\"}}", "vector(time())",
    "WITH (of = {{w=~\"1|2|3\"}}) {a}{{of}}", "label_join({a}, \"y\", \"-\", \"w\", \"__name__\")", "quantile(0.5, {b})",
]


def routes():
    """Path and methods of each route of the server's table."""
    table = re.findall(r'^ +"(/[^"]*)" +(GET|POST|BOTH|CHANGE) ', ROUTES.read_text(), re.MULTILINE)
    return {path: METHODS[methods] for path, methods in table}


class Call:
    """One request. `settle` receives its status, `CUT`, or None if the status was not read."""

    def __init__(self, method, target, headers=None, body=None, settle=None):
        self.method, self.target, self.headers, self.body = method, target, headers or {}, body
        self.settle = settle or (lambda status: None)
        self.path, self.is_valid_with = None, set()

    def __str__(self):
        return f"{self.method} {self.target[:200]} ({len(self.body or b'')} bytes)"


def escaped(parameters):
    return urllib.parse.urlencode(parameters, doseq=True)


class Caller:
    """Makes the calls of one worker."""

    def __init__(self, ledger):
        self.ledger, self.worker = ledger, ledger.worker
        # Ids that the server listed as active requests.
        self.active = []

    def make(self, random, path):
        """A call of the route; an error of the check if there is none."""
        make = self.CALLS.get(path)
        if make is None:
            raise KeyError(f"no call for {path}: calls.py needs one")
        call = make(self, random, path, routes_once()[path])
        call.path = path
        return call

    # Used by most calls.

    def ask(self, random, path, methods, parameters=()):
        """A read: its parameters in the address or in a form."""
        method, text = random.choice(methods), escaped(list(parameters))
        if method == "POST" and random.random() < 0.7:
            body = text.encode()
            if random.random() < 0.2:
                return Call(method, path, {**FORM, "Content-Encoding": "gzip"}, gzip.compress(body, 1))
            return Call(method, path, FORM, body)
        return Call(method, path + ("?" + text if text else ""), body=b"" if method in ("POST", "PUT") else None)

    def span(self, random):
        """A random range of times, seconds."""
        first = random.randrange(self.ledger.latest() + 1)
        length = random.choice([10, 600, 6_000, 36_000, 360_000])
        return self.ledger.time(first) / 1e9, self.ledger.time(first + length) / 1e9

    def selector(self, random):
        mine, slot = f'w="{self.worker}"', random.choice(PLAIN + V3)
        return random.choice([
            slot, f"{slot}{{{mine}}}", '{__name__=~"s[0-9]"}', f'{{__name__=~"s.+",{mine}}}', '{__name__=~"s1|s2|ev_msg"}',
            f"{{__name__!~\"s[0-3]\",{mine}}}", 'ev_msg{w=~"1.*"}',
        ])

    def selectors(self, random, most=3):
        return [("match[]", self.selector(random)) for _ in range(random.randint(1, most))]

    def times(self, random):
        start, end = self.span(random)
        return random.choice([[], [("start", start)], [("start", start), ("end", end)]])

    def query(self, random):
        a, b = random.sample(PLAIN + V3, 2)
        return random.choice(QUERIES).format(a=a, b=b)

    def options(self, random):
        some = [("timeout", "10s"), ("limit", random.randint(0, 20)), ("stats", "all"), ("explain", "true"),
                ("lookback_delta", "2m")]
        return [option for option in some if random.random() < 0.15]

    # Writes.

    def take(self, random, names, is_large=False):
        """Blocks to write and their lengths; `settle` records their outcome."""
        length = random.randint(500, 4_000) if is_large else random.choice([1, 1, 2, 10, 60, 200])
        chosen = names if is_large else random.sample(names, random.randint(1, min(3, len(names))))
        return [(name, self.ledger.series[name].take(random, length)) for name in chosen]

    @staticmethod
    def settled(blocks):
        def settle(status):
            for _, block in blocks:
                if block.state == UNCERTAIN and status in (200, 204, CUT):
                    block.state = GONE if status == CUT else STORED

        return settle

    def lines(self, random, blocks, unit_ns):
        """Lines of the blocks, in random order of the series."""
        texts = []
        for name, block in blocks:
            texts.append([])
            for tick in range(block.first, block.end):
                time = self.ledger.time(tick) // unit_ns
                if name == EVENT:
                    fields = f'ev,w={self.worker} msg="{tick}-{"x" * random.choice([3, 30, 300, 3000])}"'
                else:
                    fields = f'{name},w={self.worker} value={tick * FACTOR + int(name[1:])}{"i" if name in ("s2", "s6") else ""}'
                texts[-1].append(f"{fields} {time}\n")
        if random.random() < 0.5:
            return "".join("".join(text) for text in texts).encode()
        # In the order of scrapers: all series of a time, then the next time.
        longest = max(len(text) for text in texts)
        return "".join(text[at] for at in range(longest) for text in texts if at < len(text)).encode()

    def line_call(self, random, path, parameters, names, units):
        is_large = random.random() < 0.08
        precision, unit_ns = random.choice(units)
        blocks = self.take(random, names, is_large)
        body = self.lines(random, blocks, unit_ns)
        headers = {}
        if random.random() < 0.4:
            headers, body = {"Content-Encoding": "gzip"}, gzip.compress(body, 1)
        target = f"{path}?{escaped([*parameters, *([('precision', precision)] if precision else [])])}"
        return Call("POST", target, headers, body, self.settled(blocks))

    def call_write1(self, random, path, _):
        units = [("ns", 1), ("ms", 1_000_000), ("u", 1_000), ("auto", 1_000_000), (None, 1)]
        names = [EVENT] if random.random() < 0.15 else PLAIN
        return self.line_call(random, path, [], names, units)

    def call_write2(self, random, path, _):
        return self.line_call(random, path, [("org", "o")], PLAIN, [("ns", 1), ("us", 1_000), ("ms", 1_000_000)])

    def call_write3(self, random, path, _):
        extra = [("db", "v3")] + random.choice([[], [("accept_partial", "false")], [("no_sync", "true")]])
        return self.line_call(random, path, extra, V3, [("auto", 1), ("millisecond", 1_000_000), (None, 1_000)])

    def call_remote_write(self, random, path, _):
        blocks = self.take(random, PLAIN, random.random() < 0.05)
        is_second = random.random() < 0.5
        with_histogram = random.random() < 0.3
        make = self.remote_2 if is_second else self.remote_1
        headers = {"Content-Encoding": "snappy", "Content-Type": VERSION_2 if is_second else "application/x-protobuf"}
        self.ledger.histograms_sent += with_histogram
        settle = self.settled(blocks)

        def settle_all(status):
            settle(status)
            self.ledger.histograms_stored += with_histogram and status in (200, 204)

        body = wire.snappy(make(random, blocks, with_histogram))
        return Call("POST", path, headers, body, settle_all)

    def samples(self, name, block, field):
        for tick in range(block.first, block.end):
            value = wire.double(1, float(tick * FACTOR + int(name[1:])))
            yield wire.message(field, value, wire.integer(2, self.ledger.time(tick) // 1_000_000))

    def histogram(self, field, time_field):
        count = self.ledger.histograms_sent
        time = self.ledger.time(count) // 1_000_000
        spans = wire.message(11, wire.zigzag(1, 0), wire.integer(2, 2))
        return wire.message(field, wire.integer(1, 2 * count), wire.double(3, 2.5 * count), wire.zigzag(4, 1),
                            wire.double(5, 0.001), wire.integer(6, 0), spans, wire.packed_zigzag(12, [count, 0]),
                            wire.integer(time_field, time))

    def remote_1(self, random, blocks, with_histogram):
        def labels(**pairs):
            return [wire.message(1, wire.message(1, name), wire.message(2, value)) for name, value in sorted(pairs.items())]

        parts = []
        for name, block in blocks:
            exemplar = wire.message(3, wire.message(1, wire.message(1, "trace_id"), wire.message(2, f"t{block.first}")),
                                    wire.double(2, 1.0), wire.integer(3, self.ledger.time(block.first) // 1_000_000))
            exemplars = [exemplar] if random.random() < 0.3 else []
            parts.append(wire.message(1, *labels(__name__=name, w=str(self.worker)), *self.samples(name, block, 2), *exemplars))
        if with_histogram:
            parts.append(wire.message(1, *labels(__name__="hist", w=str(self.worker)), self.histogram(4, 15)))
        if random.random() < 0.2:
            parts.append(wire.message(3, wire.integer(1, 2), wire.message(2, "s0"), wire.message(4, "Samples of the check.")))
        return b"".join(parts)

    def remote_2(self, random, blocks, with_histogram):
        symbols = ["", "__name__", "w", str(self.worker), "hist", "help of it", "trace_id", "t1"]
        parts = []
        for name, block in blocks:
            symbols.append(name)
            references = wire.message(1, *(wire.varint(n) for n in (1, len(symbols) - 1, 2, 3)))
            exemplar = wire.message(4, wire.message(1, wire.varint(6), wire.varint(7)), wire.double(2, 1.0),
                                    wire.integer(3, self.ledger.time(block.first) // 1_000_000))
            exemplars = [exemplar] if random.random() < 0.3 else []
            metadata = wire.message(5, wire.integer(1, 2), wire.integer(3, 5))
            parts.append(wire.message(5, references, *self.samples(name, block, 2), *exemplars, metadata))
        if with_histogram:
            references = wire.message(1, *(wire.varint(n) for n in (1, 4, 2, 3)))
            parts.append(wire.message(5, references, self.histogram(3, 15)))
        return b"".join(wire.message(4, symbol) for symbol in symbols) + b"".join(parts)

    # Reads.

    def call_query(self, random, path, methods):
        at = [("time", self.span(random)[1])] if random.random() < 0.9 else []
        return self.ask(random, path, methods, [("query", self.query(random)), *at, *self.options(random)])

    def call_query_range(self, random, path, methods):
        start, end = self.span(random)
        step = max((end - start) / random.choice([1, 10, 100, 1000]), 0.001)
        asked = [("query", self.query(random)), ("start", start), ("end", end), ("step", step)]
        return self.ask(random, path, methods, asked + self.options(random))

    def call_series(self, random, path, methods):
        limit = random.choice([[], [("limit", 3)]])
        return self.ask(random, path, methods, self.selectors(random) + self.times(random) + limit)

    def call_labels(self, random, path, methods):
        some = random.choice([[], self.selectors(random)])
        return self.ask(random, path, methods, some + self.times(random))

    def call_label_values(self, random, path, methods):
        name = random.choice(["w", "__name__", "db", "U__w"])
        some = random.choice([[], self.selectors(random)])
        return self.ask(random, path.replace("{name}", name), methods, some + self.times(random))

    def call_metadata(self, random, path, methods):
        return self.ask(random, path, methods, random.choice([[], [("limit", 5)], [("metric", "s0")]]))

    def call_format_query(self, random, path, methods):
        return self.ask(random, path, methods, [("query", self.query(random))])

    def call_query_exemplars(self, random, path, methods):
        return self.ask(random, path, methods, [("query", self.query(random)), *self.times(random)])

    def call_events(self, random, path, methods):
        limit = random.choice([[], [("limit", 3)], [("limit", 5_000)]])
        return self.ask(random, path, methods, random.choice([[], self.selectors(random)]) + self.times(random) + limit)

    def call_export(self, random, path, methods):
        return self.ask(random, path, methods, self.selectors(random) + self.times(random))

    def call_export_hdr(self, random, path, methods):
        start, end = self.span(random)
        some = f"histogram_over_time({random.choice(PLAIN)}{{w=\"{self.worker}\"}}[10m])"
        times = random.choice([[("time", end)], [("start", start), ("end", end), ("step", max((end - start) / 10, 0.001))]])
        return self.ask(random, path, methods, [("query", some), ("unit", random.choice([1, 0.001])), *times])

    def call_import_hdr(self, random, path, _):
        log = f"#[BaseTime: {self.ledger.time(0) / 1e9} (seconds since epoch)]\n"
        for at in range(random.randint(0, 20)):
            # Counts of 0, 1, 2 …: zigzag, below 64.
            counts = bytes(2 * random.randint(0, 30) for _ in range(random.randint(0, 100)))
            plain = struct.pack(">IIIIQQd", 0x1C849313, len(counts), 0, 3, 1, 1 << 40, 1.0) + counts
            packed = zlib.compress(plain)
            packed = struct.pack(">II", 0x1C849314, len(packed)) + packed
            payload = base64.b64encode(random.choice([plain, packed])).decode()
            log += f"{random.choice(['', 'Tag=A,', f'Tag=w={self.worker},'])}{at},1,7,{payload}\n"
        return Call("POST", path + "?metric=hdr", body=log.encode())

    def call_federate(self, random, path, methods):
        return self.ask(random, path, methods, self.selectors(random))

    def call_remote_read(self, random, path, _):
        queries = []
        for _ in range(random.randint(1, 3)):
            start, end = self.span(random)
            matcher = wire.message(3, wire.integer(1, 2), wire.message(2, "__name__"), wire.message(3, "s[0-5]"))
            queries.append(wire.message(1, wire.integer(1, int(start * 1000)), wire.integer(2, int(end * 1000)), matcher))
        streamed = [wire.integer(2, 1)] if random.random() < 0.5 else []
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        return Call("POST", path, headers, wire.snappy(b"".join(queries + streamed)))

    # The server itself.

    def call_tsdb(self, random, path, methods):
        return self.ask(random, path, methods, [("limit", random.randint(1, 50)), *self.times(random)])

    def call_rules(self, random, path, methods):
        return self.ask(random, path, methods, random.choice([[], [("type", "alert")]]))

    def plain(self, random, path, methods):
        return self.ask(random, path, methods)

    def call_cancel_query(self, random, path, _):
        wanted = self.active.pop() if self.active else random.randint(1, 1_000_000)
        call = Call("POST", path.replace("{name}", str(wanted)), body=b"")
        call.is_valid_with = {404}
        return call

    # Databases, and calls that change everything.

    def call_query1(self, random, path, methods):
        name = f"d{self.worker}_{random.randint(0, 3)}"
        q = random.choice(["SHOW DATABASES", f"CREATE DATABASE {name}", f"DROP DATABASE {name}", "SHOW RETENTION POLICIES ON v3"])
        return self.ask(random, path, ["POST"] if q[0] in "CD" else methods, [("q", q)])

    def call_buckets(self, random, path, methods):
        if random.random() < 0.3:
            body = json.dumps({"name": f"b{self.worker}_{random.randint(0, 3)}"}).encode()
            call = Call("POST", path, {"Content-Type": "application/json"}, body)
            call.is_valid_with = {422}
            return call
        return self.ask(random, path, ["GET"], random.choice([[], [("limit", 3)], [("name", "v3")]]))

    def call_drop_tier(self, random, path, methods):
        call = self.ask(random, path, methods, [("tier", random.choice(["5m", "1h", "6h", "1d"]))])
        # It is kept, or there is none.
        call.is_valid_with = {400}
        return call

    def call_ladders(self, random, path, methods):
        # Everything is kept, in any case.
        ladders = random.choice(["", '{__name__="nothing"} -> raw 30d', '{w="none"} -> raw 9d; up -> raw'])
        change = [("ladders", ladders), ("dry_run", random.choice(["true", "false"]))]
        call = self.ask(random, path, methods, change if random.random() < 0.7 else [])
        # There is nothing to change, or the settings say what is kept.
        call.is_valid_with = {400, 409}
        return call

    def call_delete_series(self, random, path, methods):
        name = random.choice([*PLAIN, *V3, EVENT])
        series = self.ledger.series[name]
        end = random.randrange(series.next + 1)
        first = max(end - random.choice([1, 10, 100, 1000]), 0)

        def settle(status):
            series.deleted(first, end, status == 204)

        start, stop = ((self.ledger.time(tick) - TICK_NS // 2) / 1e9 for tick in (first, end))
        times = [("start", start), ("end", stop)]
        asked = [("match[]", f'{name}{{w="{self.worker}"}}'), *times]
        if first == end:
            asked, settle = [("match[]", 'nothing{w="none"}')], None
        call = self.ask(random, path, methods, asked)
        call.settle = settle or call.settle
        return call

    # Each route and its call.

    CALLS = {
        "/write": call_write1,
        "/api/v2/write": call_write2,
        "/api/v3/write_lp": call_write3,
        "/api/v1/write": call_remote_write,
        "/api/v1/query": call_query,
        "/api/v1/query_range": call_query_range,
        "/api/v1/series": call_series,
        "/api/v1/labels": call_labels,
        "/api/v1/label/{name}/values": call_label_values,
        "/api/v1/metadata": call_metadata,
        "/api/v1/format_query": call_format_query,
        "/api/v1/parse_query": call_format_query,
        "/api/v1/query_exemplars": call_query_exemplars,
        "/api/v1/events": call_events,
        "/api/v1/export": call_export,
        "/api/v1/export/hdr": call_export_hdr,
        "/api/v1/import/hdr": call_import_hdr,
        "/federate": call_federate,
        "/api/v1/read": call_remote_read,
        "/api/v1/status/tsdb": call_tsdb,
        "/api/v1/rules": call_rules,
        "/api/v1/status/active_queries/{name}/cancel": call_cancel_query,
        "/query": call_query1,
        "/api/v2/buckets": call_buckets,
        "/api/v1/admin/tsdb/delete_series": call_delete_series,
        "/api/v1/admin/tsdb/drop_tier": call_drop_tier,
        "/api/v1/admin/ladders": call_ladders,
        **dict.fromkeys(
            (
                "/api/v1/status/buildinfo", "/api/v1/status/runtimeinfo", "/api/v1/status/flags", "/api/v1/status/config",
                "/api/v1/status/walreplay", "/api/v1/status/memory", "/api/v1/status/compaction", "/api/v1/status/active_queries", "/api/v1/features", "/api/v1/alerts",
                "/api/v1/targets", "/api/v1/targets/metadata", "/api/v1/scrape_pools", "/api/v1/alertmanagers",
                "/api/v1/admin/tsdb/clean_tombstones", "/api/v1/admin/tsdb/snapshot", "/api/v1/admin/tsdb/flush", "/ping", "/health", "/ready",
                "/api/v2/orgs", "/settings", "/", "/-/healthy", "/-/ready", "/metrics",
            ),
            plain,
        ),
    }


TABLE = {}


def routes_once():
    """As `routes`, read once."""
    if not TABLE:
        TABLE.update(routes())
    return TABLE
