"""Tests of the parts of the comparison: encoders, bodies, comparison of answers. `python3 benches/compare/tests.py`."""

import json
import pathlib
import struct
import tempfile
import unittest

import answers
import bodies
import load
import recordings
import sets
import wire

SECOND = 1_000_000_000


def fields(data):
    """Parses protobuf, independently of the encoder: (number, value) pairs."""
    at, out = 0, []

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            out.append((tag >> 3, number()))
        elif tag & 7 == 1:
            out.append((tag >> 3, struct.unpack("<d", data[at:at + 8])[0]))
            at += 8
        else:
            length = number()
            out.append((tag >> 3, data[at:at + length]))
            at += length
    return out


def unsnap(block):
    """The contents of a snappy block with one literal."""
    start = next(i for i, byte in enumerate(block) if byte < 128) + 1
    assert block[start] == 0xFC
    length = struct.unpack("<I", block[start + 1:start + 5])[0] + 1
    assert len(block) == start + 5 + length
    return block[start + 5:]


class Wire(unittest.TestCase):
    groups = [wire.Group("cpu", [("host", "a b"), ("dc", "x,y=50%")], ["user", "value"], 0),
              wire.Group("up", [], ["value"], 0)]

    def test_line_protocol_escapes_and_names_the_fields(self):
        text = wire.lines(self.groups, [(0, 5, ["1i", "2.5"]), (1, 6, ["1"])])
        self.assertEqual(text, b"cpu,host=a\\ b,dc=x\\,y\\=50% user=1i,value=2.5 5\nup value=1 6\n")

    def test_remote_write_joins_the_samples_of_a_series(self):
        rows = [(0, 5 * SECOND, ["1i", "2.5"]), (1, 5 * SECOND, ["1"]), (0, 6 * SECOND, ["3i", "4"])]
        request = fields(unsnap(wire.remote_write(self.groups, rows, {})))
        series = []
        for tag, body in request:
            self.assertEqual(tag, 1)
            parts = fields(body)
            labels = {k.decode(): v.decode() for k, v in ([f[1] for f in fields(b)] for t, b in parts if t == 1)}
            series.append((labels, [tuple(f[1] for f in fields(b)) for t, b in parts if t == 2]))
        self.assertEqual(series, [
            ({"__name__": "cpu_user", "dc": "x,y=50%", "host": "a b"}, [(1.0, 5000), (3.0, 6000)]),
            ({"__name__": "cpu", "dc": "x,y=50%", "host": "a b"}, [(2.5, 5000), (4.0, 6000)]),
            ({"__name__": "up"}, [(1.0, 5000)])])


class Bodies(unittest.TestCase):
    def test_every_sample_is_in_one_body_and_a_lane_is_in_order(self):
        data = sets.Churn(20_000)
        with tempfile.TemporaryDirectory() as work:
            files, facts = bodies.prepare(data, ["lp", "rw"], work, lambda _: None)
            self.assertEqual((facts["samples"], facts["series"]), (120_000, 20_000))
            for lanes in files.values():
                self.assertEqual(sum(b.samples for lane in lanes for b in lane.bodies), 120_000)
                for lane in lanes:
                    self.assertTrue(all(b.samples <= bodies.SAMPLES_PER_BODY for b in lane.bodies))
                    self.assertEqual(sum(b.length for b in lane.bodies), pathlib.Path(lane.path).stat().st_size)
            text = b"".join(pathlib.Path(lane.path).read_bytes() for lane in files["lp"])
            self.assertEqual(text.count(b"\n"), 120_000)
            again, _ = bodies.prepare(data, ["lp"], work, self.fail)
            self.assertEqual([lane.bodies for lane in again["lp"]], [lane.bodies for lane in files["lp"]])

    def test_a_remote_write_body_spans_little_time(self):
        with tempfile.TemporaryDirectory() as work:
            writer = bodies.Writer(pathlib.Path(work) / "0", [wire.Group("up", [], ["value"], 0)], "rw", 60)
            for step in range(100):
                writer.add((0, step * 10 * SECOND, ["1"]))
            spans = [(b.first_s, b.last_s, b.samples) for b in writer.close()]
            self.assertEqual(spans[0], (0, 50, 6))
            self.assertEqual(sum(samples for _, _, samples in spans), 100)

    def test_generators_repeat(self):
        for make in (lambda: sets.Cpu(1), lambda: sets.Hist(1)):
            first, second = (make().generate() for _ in range(2))
            self.assertEqual([next(first[1]) for _ in range(500)], [next(second[1]) for _ in range(500)])

    def test_buckets_are_cumulative_and_end_in_the_count(self):
        data = sets.Hist(1)
        _, rows = data.generate()
        for _ in range(20 * data.services):
            service = [next(rows)[2][0] for _ in range(14)]
            counts = [wire.number(text) for text in service[:12]]
            self.assertEqual(counts, sorted(counts))
            self.assertEqual(counts[-1], wire.number(service[13]))


class Recordings(unittest.TestCase):
    def test_copies_differ_in_instance_and_clock_and_lie_in_the_past(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "own").mkdir()
            (pathlib.Path(folder) / "own" / "a.csv").write_text(
                'timestamp_ms,up,"cpu{mode=""idle"",instance=""x"",model=""""}"\n1800000000000,1,2.5\n1800000001004,1,\n')
            (pathlib.Path(folder) / "own" / "types.csv").write_text("family,type\nup,gauge\n")
            (data,) = recordings.sets_below(folder, 6)
            groups, rows = data.generate()
            rows = list(rows)
            _, facts = bodies.prepare(data, ["lp"], folder, lambda _: None)
        vars(data).update(facts)
        self.assertEqual(data.describe(), "2 recorded series, 3 samples, 2 copies")
        self.assertEqual((data.name, data.copies, len(groups), len(rows)), ("own", 2, 4, 6))
        self.assertEqual(groups[3].tags, [("instance", "host-1:9100"), ("mode", "idle")])
        self.assertEqual([group for group, _, _ in rows], [0, 1, 2, 3, 0, 2])
        self.assertEqual(rows[2][1] - rows[0][1], recordings.SHIFT_NS)
        self.assertLess(max(at for _, at, _ in rows), sets.START_S * SECOND + SECOND)
        self.assertNotEqual(rows[0][1] % SECOND, 0)


class Clocks(unittest.TestCase):
    def test_a_lane_that_finished_holds_nobody_up(self):
        clocks = load.Clocks(2, 60)
        clocks.finish(1)
        clocks.wait(0, bodies.Body(0, 0, 0, 10_000, 10_060))


class Answers(unittest.TestCase):
    @staticmethod
    def matrix(name, *values):
        metric = {"host": "a", **({"__name__": name} if name else {})}
        points = [[60 * i, value] for i, value in enumerate(values)]
        return answers.read(json.dumps({"data": {"resultType": "matrix", "result": [{"metric": metric, "values": points}]}}))

    def verdict(self, ours, reference):
        return answers.compare(ours, reference)[0]

    def test_equal_within_the_tolerance(self):
        self.assertEqual(self.verdict(self.matrix("", "1", "NaN"), self.matrix("", "1.0000000001", "NaN")), "=")
        self.assertEqual(self.verdict(self.matrix("", "1"), self.matrix("", "1.00000001")), "!")

    def test_only_the_name(self):
        self.assertEqual(self.verdict(self.matrix("cpu", "1"), self.matrix("", "1")), "~")
        self.assertEqual(self.verdict(self.matrix("cpu", "2"), self.matrix("", "1")), "!")

    def test_times_count(self):
        self.assertEqual(self.verdict(self.matrix("", "1", "1"), self.matrix("", "1")), "!")

    def test_lists(self):
        self.assertEqual(answers.compare(answers.read('{"data":["a"]}'), answers.read('{"data":["a"]}'))[0], "=")
        self.assertEqual(answers.compare(answers.read('{"data":["a"]}'), answers.read('{"data":["b"]}'))[0], "!")


if __name__ == "__main__":
    unittest.main()
