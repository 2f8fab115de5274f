"""Rows as request bodies: line protocol, and Prometheus' remote write (protobuf in a snappy block of literals).

A *group* is what one line of line protocol contains: a measurement, its tags, its fields. Its series are named
`measurement_field`, or just `measurement` if its only field is called `value`. A *row* is `(group, nanoseconds, value
texts)`; line protocol contains the texts unchanged.
"""

import struct

SPECIAL = str.maketrans({" ": "\\ ", ",": "\\,", "=": "\\="})


class Group:
    """One measurement with its tags and fields, and the connection (lane) that carries it."""

    def __init__(self, measurement, tags, fields, lane):
        self.measurement, self.tags, self.fields, self.lane = measurement, tags, fields, lane
        key = measurement.translate(SPECIAL)
        key += "".join(f",{name.translate(SPECIAL)}={value.translate(SPECIAL)}" for name, value in tags)
        columns = ",".join(f"{field.translate(SPECIAL)}=%s" for field in fields)
        self.template = key.replace("%", "%%") + " " + columns + " %d"

    def names(self):
        return [self.measurement if field == "value" else f"{self.measurement}_{field}" for field in self.fields]

    def encoded_labels(self):
        """For each field, its labels as protobuf, sorted by name."""
        out = []
        for name in self.names():
            pairs = sorted([("__name__", name), *self.tags])
            out.append(b"".join(message(1, message(1, k.encode()) + message(2, v.encode())) for k, v in pairs))
        return out


def lines(groups, rows):
    """The rows as line protocol."""
    return "\n".join([groups[g].template % (*values, at) for g, at, values in rows]).encode() + b"\n"


def remote_write(groups, rows, labels):
    """The rows as one WriteRequest, with the samples of a series together; `labels` keeps encoded label sets between
    calls."""
    samples = {}
    for g, at, values in rows:
        stamp = varint(at // 1_000_000)
        columns = samples.setdefault(g, [[] for _ in values])
        for column, text in zip(columns, values):
            column.append(b"\x12" + bytes((10 + len(stamp),)) + b"\x09" + struct.pack("<d", number(text)) + b"\x10" + stamp)
    parts = []
    for g, columns in samples.items():
        if g not in labels:
            labels[g] = groups[g].encoded_labels()
        parts.extend(message(1, head + b"".join(column)) for head, column in zip(labels[g], columns))
    return snappy_literals(b"".join(parts))


def number(text):
    return float(text[:-1] if text.endswith("i") else text)


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def message(field, body):
    """A length-delimited protobuf field."""
    return bytes((field << 3 | 2,)) + varint(len(body)) + body


def snappy_literals(data):
    """A valid snappy block that compresses nothing, so that the quality of our compressor affects no figure."""
    return varint(len(data)) + b"\xfc" + struct.pack("<I", len(data) - 1) + data
