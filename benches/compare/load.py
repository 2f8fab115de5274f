"""Sends prepared bodies: one kept-alive connection per lane, one body after the other, each answered before the
next."""

import http.client
import os
import threading
import time

RETRIED = (429, 503)
RETRY_S, PATIENCE_S = 0.2, 600


class Refused(RuntimeError):
    """The server did not accept a body, and a retry would not help."""


class Clocks:
    """How far each lane is in data time, so that none gets more than `span_s` ahead of another."""

    def __init__(self, lanes, span_s):
        self.next_s, self.span_s, self.moved = [None] * lanes, span_s, threading.Condition()

    def wait(self, lane, body):
        with self.moved:
            self.next_s[lane] = body.first_s
            self.moved.notify_all()
            self.moved.wait_for(lambda: None not in self.next_s and body.last_s <= min(self.next_s) + 2 * self.span_s)

    def finish(self, lane):
        with self.moved:
            self.next_s[lane] = float("inf")
            self.moved.notify_all()


class Load:
    """Sends a data set, or its first `samples_max` samples, to a server."""

    def __init__(self, server, protocol, lanes, span_s, samples_max=None):
        self.server, self.protocol, self.lanes = server, protocol, lanes
        self.limit = samples_max or float("inf")
        self.clocks = Clocks(len(lanes), span_s) if protocol == "rw" else None
        self.acknowledged, self.retries, self.failure = [0] * len(lanes), 0, None

    def run(self):
        """Returns the seconds that it took; `acknowledged` is the number of samples."""
        threads = [threading.Thread(target=self.guarded, args=(lane,), daemon=True) for lane in range(len(self.lanes))]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failure:
            raise Refused(self.failure)
        return time.monotonic() - began

    def guarded(self, lane):
        try:
            self.send_lane(lane)
        except (OSError, http.client.HTTPException, Refused) as error:
            self.failure = self.failure or f"{self.server.title}, lane {lane}: {error}"
        finally:
            if self.clocks:
                self.clocks.finish(lane)

    def send_lane(self, lane):
        path, headers = self.server.write_request(self.protocol)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE_S)
        file = self.lanes[lane].open()
        try:
            for body in self.lanes[lane].bodies:
                if self.failure or sum(self.acknowledged) >= self.limit:
                    return
                if self.clocks:
                    self.clocks.wait(lane, body)
                self.send(connection, path, headers, os.pread(file, body.length, body.offset))
                self.acknowledged[lane] += body.samples
        finally:
            os.close(file)
            connection.close()

    def send(self, connection, path, headers, data):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            connection.request("POST", path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status < 300:
                return
            if answer.status not in RETRIED or time.monotonic() > deadline:
                raise Refused(f"status {answer.status}: {text[:300]!r}")
            self.retries += 1
            time.sleep(RETRY_S)
