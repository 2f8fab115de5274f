"""A client with a few connections that abandons its requests in every way a client can: it disconnects before the head
is complete, inside the body, right after the request, or inside the answer; it sends and reads slowly, sends many
requests at once, and closes its half of the connection."""

import contextlib
import socket
import struct
import time

from calls import CUT

PATIENCE = 600
# Ways to make a call, and their weights.
WAYS = {"whole": 60, "head": 4, "body": 5, "sent": 6, "part": 6, "slow": 5, "drip": 4, "pipeline": 6, "half": 2}


class Fault(Exception):
    """The server misbehaved."""


class Ended(Exception):
    """The server closed the connection."""


class Connection:
    """A connection and the bytes read from it so far."""

    def __init__(self, port, small=False):
        self.socket = socket.socket()
        if small:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.read = bytearray()
        # Called before each read; slow readers wait in it.
        self.pace = lambda: 65_536

    def close(self, reset=False):
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def more(self):
        try:
            data = self.socket.recv(self.pace())
        except ConnectionError as error:
            raise Ended(str(error)) from error
        if not data:
            raise Ended("closed")
        self.read += data

    def until(self, mark):
        while (at := self.read.find(mark)) < 0:
            self.more()
        found = bytes(self.read[:at])
        del self.read[:at + len(mark)]
        return found

    def exactly(self, count):
        while len(self.read) < count:
            self.more()
        found = bytes(self.read[:count])
        del self.read[:count]
        return found

    def head(self):
        """Status and header fields of the next answer."""
        while True:
            first, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            status = int(first.split(" ")[1])
            if status != 100:
                return status, {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}

    def body(self, method, status, fields):
        if method == "HEAD" or status in (204, 304):
            return b""
        if fields.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(self.until(b"\r\n").split(b";")[0], 16):
                parts.append(self.exactly(size))
                self.exactly(2)
            self.until(b"\r\n")
            return b"".join(parts)
        return self.exactly(int(fields.get("content-length", 0)))


def encoded(call, random):
    """Head and body of a call as sent; sometimes with a chunked body."""
    fields = {"Host": "localhost", **call.headers}
    if random.random() < 0.3:
        fields["Accept-Encoding"] = "gzip"
    body = call.body
    if body is not None:
        if body and random.random() < 0.3:
            fields["Transfer-Encoding"] = "chunked"
            size = random.choice([7, 500, 5_000, 100_000]) if len(body) < 50_000 else random.choice([5_000, 100_000])
            pieces = (body[at:at + size] for at in range(0, len(body), size))
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        else:
            fields["Content-Length"] = str(len(body))
        if body and random.random() < 0.1:
            fields["Expect"] = "100-continue"
    head = f"{call.method} {call.target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"\r\n", body or b""


class Client:
    """Makes calls on its connections. `seen(call, status, fields, body)` checks each answer that was read completely."""

    def __init__(self, port, random, seen):
        self.port, self.random, self.seen = port, random, seen
        self.idle, self.left_open = [], []
        self.counts = {}

    def close(self):
        for connection in self.idle + self.left_open:
            connection.close()
        self.idle, self.left_open = [], []

    def fresh(self, small=False):
        """A connection; if the server is at its limit it closes it at once, which the caller notices."""
        return Connection(self.port, small)

    def make(self, call, more=()):
        """Makes the call in a random way; `more` are calls to send after it if several are sent at once."""
        way = self.random.choices(list(WAYS), WAYS.values())[0]
        if more:
            way = "pipeline"
        self.counts[way] = self.counts.get(way, 0) + 1
        try:
            getattr(self, way)(call, *([more] if way == "pipeline" else []))
        except (Ended, ConnectionError):
            # A connection may end: the server was at its limit, or it had closed an idle one.
            self.counts["ended"] = self.counts.get("ended", 0) + 1
            call.settle(None)
            for other in more:
                other.settle(None)

    def answer(self, connection, call):
        """Reads the whole answer."""
        status, fields = connection.head()
        try:
            body = connection.body(call.method, status, fields)
        except Ended as ended:
            if call.path not in ("/api/v1/export", "/api/v1/read", "/federate"):
                raise Fault(f"the answer to {call} was cut off: {status} {fields} {ended}") from ended
            call.settle(None)
            raise
        call.settle(status)
        self.seen(call, status, fields, body)
        return fields.get("connection", "").lower() != "close"

    def finish(self, connection, call):
        """Reads the answer and keeps the connection for other calls."""
        keeps = self.answer(connection, call)
        connection.pace = lambda: 65_536
        if keeps and len(self.idle) < 4:
            self.idle.append(connection)
        else:
            connection.close()

    def whole(self, call):
        reused = self.idle.pop(self.random.randrange(len(self.idle))) if self.idle and self.random.random() < 0.8 else None
        connection = reused or self.fresh()
        head, body = encoded(call, self.random)
        with contextlib.suppress(ConnectionError):
            # A client refused before its body is read may not be able to send all of it.
            connection.socket.sendall(head + body)
        self.finish(connection, call)

    def leave(self, connection):
        """Disconnects: at once, with a reset, or later."""
        match self.random.randrange(3):
            case 0:
                connection.close()
            case 1:
                connection.close(reset=True)
            case _:
                self.left_open.append(connection)
                if len(self.left_open) > 6:
                    self.left_open.pop(0).close(reset=self.random.random() < 0.5)

    def cut(self, call, data):
        """Sends some bytes of a request and disconnects."""
        connection = self.fresh()
        with contextlib.suppress(ConnectionError):
            connection.socket.sendall(data)
        call.settle(CUT)
        self.leave(connection)

    def head(self, call):
        head, _ = encoded(call, self.random)
        self.cut(call, head[:self.random.randrange(len(head))])

    def body(self, call):
        head, body = encoded(call, self.random)
        if not body:
            return self.sent(call)
        return self.cut(call, head + body[:self.random.randrange(len(body))])

    def sent(self, call):
        connection = self.fresh(small=self.random.random() < 0.5)
        with contextlib.suppress(ConnectionError):
            connection.socket.sendall(b"".join(encoded(call, self.random)))
        call.settle(None)
        self.leave(connection)

    def part(self, call):
        """Reads some of the answer."""
        connection = self.fresh(small=self.random.random() < 0.5)
        with contextlib.suppress(ConnectionError):
            connection.socket.sendall(b"".join(encoded(call, self.random)))
        with contextlib.suppress(Ended, ConnectionError, BlockingIOError):
            # The first read waits; the others take the bytes that have arrived.
            connection.more()
            connection.socket.setblocking(False)
            for _ in range(self.random.randint(0, 3)):
                connection.more()
        call.settle(None)
        self.leave(connection)

    def half(self, call):
        """Closes its half. The server may treat that as a disconnect."""
        connection = self.fresh()
        with contextlib.suppress(OSError):
            connection.socket.sendall(b"".join(encoded(call, self.random)))
            connection.socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(Ended, ConnectionError):
            while True:
                connection.more()
        call.settle(None)
        connection.close()

    def slow(self, call):
        """Reads slowly for a while."""
        connection, left = self.fresh(small=True), [self.random.randint(5, 40)]

        def pace():
            left[0] -= 1
            if left[0] > 0:
                time.sleep(self.random.random() * 0.01)
            return self.random.randint(1, 2_000) if left[0] > 0 else 65_536

        connection.pace = pace
        with contextlib.suppress(ConnectionError):
            connection.socket.sendall(b"".join(encoded(call, self.random)))
        self.finish(connection, call)

    def drip(self, call):
        """Sends slowly for a while."""
        connection = self.fresh()
        data = b"".join(encoded(call, self.random))
        with contextlib.suppress(ConnectionError):
            for _ in range(self.random.randint(2, 12)):
                count = self.random.randint(1, 3_000)
                connection.socket.sendall(data[:count])
                data = data[count:]
                time.sleep(self.random.random() * 0.01)
            connection.socket.sendall(data)
        self.finish(connection, call)

    def pipeline(self, call, more=()):
        """Sends several requests at once, and reads all of the answers or some."""
        calls = [call, *more]
        connection = self.fresh()
        with contextlib.suppress(ConnectionError):
            connection.socket.sendall(b"".join(b"".join(encoded(one, self.random)) for one in calls))
        read = self.random.choice([len(calls), self.random.randint(0, len(calls))])
        keeps = True
        for at, one in enumerate(calls):
            if at < read and keeps:
                keeps = self.answer(connection, one)
            else:
                one.settle(None)
        if read == len(calls) and keeps and len(self.idle) < 4:
            self.idle.append(connection)
        else:
            self.leave(connection)
