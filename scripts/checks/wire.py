"""Protocol buffers, snappy blocks and XOR chunks by hand: enough to speak remote write and read without a library, and
an independent reader of what the server sends."""

import struct


def varint(number):
    out = bytearray()
    number &= (1 << 64) - 1
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def integer(field, number):
    return varint(field << 3) + varint(number)


def zigzag(field, number):
    return integer(field, number << 1 if number >= 0 else (-number << 1) - 1)


def double(field, number):
    return varint(field << 3 | 1) + struct.pack("<d", number)


def message(field, *parts):
    body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def packed_zigzag(field, numbers):
    return message(field, *(varint(n << 1 if n >= 0 else (-n << 1) - 1) for n in numbers))


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


def fields(data):
    """(number, value) of each field; bytes, an int or a float."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = read_varint(data, at)
        elif kind == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        else:
            length, at = read_varint(data, at)
            value, at = data[at:at + length], at + length
        yield tag >> 3, value


def snappy(data):
    """A snappy block of literals alone, which every reader takes."""
    out = bytearray(varint(len(data)))
    for start in range(0, len(data), 60):
        piece = data[start:start + 60]
        out.append((len(piece) - 1) << 2)
        out += piece
    return bytes(out)


def unsnappy(data):
    length, at = read_varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            size = tag >> 2
            if size >= 60:
                width = size - 59
                size = int.from_bytes(data[at:at + width], "little")
                at += width
            out += data[at:at + size + 1]
            at += size + 1
            continue
        if tag & 3 == 1:
            size, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at]
            at += 1
        else:
            width = 2 if tag & 3 == 2 else 4
            size, offset = (tag >> 2) + 1, int.from_bytes(data[at:at + width], "little")
            at += width
        for _ in range(size):
            out.append(out[-offset])
    if len(out) != length:
        raise ValueError(f"{len(out)} bytes in a snappy block of {length}")
    return bytes(out)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frames(data):
    """The messages of a streamed answer, checksums checked."""
    at = 0
    while at < len(data):
        length, at = read_varint(data, at)
        crc, body = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 4 + length]
        if crc32c(body) != crc:
            raise ValueError(f"checksum of the frame at byte {at}")
        yield body
        at += 4 + length


def label_pairs(data, field=1):
    """The labels of a series message, as a sorted tuple."""
    pairs = []
    for number, value in fields(data):
        if number == field:
            pair = dict(fields(value))
            pairs.append((pair.get(1, b"").decode(), pair.get(2, b"").decode()))
    return tuple(sorted(pairs))


class Bits:
    def __init__(self, data):
        self.bits = int.from_bytes(data, "big")
        self.left = len(data) * 8

    def take(self, width):
        self.left -= width
        return self.bits >> self.left & (1 << width) - 1

    def varint(self):
        number = shift = 0
        while True:
            byte = self.take(8)
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number


def xor_chunk(data):
    """(milliseconds, bits of the value) of each sample of an XOR chunk."""
    bits, found = Bits(data[2:]), []
    time = delta = value = width = trailing = 0
    for index in range(int.from_bytes(data[:2], "big")):
        if index == 0:
            raw = bits.varint()
            time, value = raw >> 1 ^ -(raw & 1), bits.take(64)
        else:
            if index == 1:
                delta = bits.varint()
            else:
                ones = 0
                while ones < 4 and bits.take(1):
                    ones += 1
                size = (0, 14, 17, 20, 64)[ones]
                step = bits.take(size) if size else 0
                delta += step - (1 << size) if size and step > 1 << size - 1 else step
            time += delta
            if bits.take(1):
                if bits.take(1):
                    leading, width = bits.take(5), bits.take(6) or 64
                    trailing = 64 - leading - width
                value ^= bits.take(width) << trailing
        found.append((time, value))
    return found
