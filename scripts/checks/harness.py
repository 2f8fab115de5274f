"""Shared by the check scripts: a server in a separate process, HTTP without a library, and counted checks."""

import contextlib
import gzip
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse

# Only a server that hangs takes this long; the slowest machine needs less.
PATIENCE = 600


def wait_for(what, ready, pause=0.05):
    """Returns the value of `ready` as soon as it is true; fails if that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not (found := ready()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {PATIENCE} s in vain for {what}")
        time.sleep(pause)
    return found


def free_port():
    """A loopback port that was free when it was checked."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`barograph serve` over one data directory; starts with `start`, ends with `stop` or `kill`."""

    def __init__(self, data_dir, log_path, *options):
        self.binary = os.environ.get("BAROGRAPH") or sys.exit("BAROGRAPH must name the server's binary")
        self.data_dir, self.log_path, self.options = data_dir, log_path, options
        self.port = free_port()
        self.process = None
        self.environment = {}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        """Starts the process, and returns when it prints that it is ready."""
        command = [self.binary, "serve", "--data-dir", self.data_dir, "--listen", f"127.0.0.1:{self.port}", *self.options]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **self.environment})
        wait_for("the server", self.is_ready, 0.005)
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.log_tail()}")
        try:
            return self.request("GET", "/-/ready")[0] == 200
        except OSError:
            return False

    @contextlib.contextmanager
    def running(self):
        """Starts the server for the block, and kills it at the end in any case."""
        try:
            yield self.start()
        finally:
            self.kill()

    def stop(self):
        """Requests a graceful stop, and returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self):
        """Ends the process without giving it a chance to write anything."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def log_tail(self):
        with open(self.log_path, errors="replace") as log:
            return "".join(log.readlines()[-20:])

    def resident(self, key="VmRSS"):
        """Resident bytes of the process; with `VmHWM`, the maximum since the start or `reset_peak`. 0 if it has
        ended."""
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), 0)

    def reset_peak(self):
        """Resets `VmHWM` to what is resident now."""
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def request(self, method, path, body=None, headers=None, timeout=PATIENCE, **parameters):
        """Status, body as bytes. `parameters` become the query string; a list gives its key many times."""
        if parameters:
            path += "?" + urllib.parse.urlencode(parameters, doseq=True)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def write(self, lines, gzipped=False, **parameters):
        """POST /write; status and text."""
        body = "\n".join(lines).encode() if not isinstance(lines, bytes) else lines
        headers = {"Content-Encoding": "gzip"} if gzipped else {}
        status, answer = self.request("POST", "/write", gzip.compress(body) if gzipped else body, headers, **parameters)
        return status, answer.decode(errors="replace")

    def write_patiently(self, lines, **parameters):
        """Like `write`, but retries while the server answers that its memory is full, as clients do."""
        def answer():
            status, text = self.write(lines, **parameters)
            return status not in (429, 503) and (status, text)

        status, text = wait_for("a write", answer, 0.2)
        if status != 204:
            raise RuntimeError(f"a write was refused: {status} {text}")

    def flush(self):
        """Flushes samples from memory to the store; needs --enable-admin."""
        status, answer = self.request("POST", "/api/v1/admin/tsdb/flush")
        if status not in (200, 204):
            raise RuntimeError(f"a flush failed: {status} {answer!r}")

    def api(self, path, **parameters):
        """`data` of a successful answer of the Prometheus API."""
        status, answer = self.request("POST", f"/api/v1/{path}", urllib.parse.urlencode(parameters, doseq=True),
                                      {"Content-Type": "application/x-www-form-urlencoded"})
        if status != 200:
            raise RuntimeError(f"{path} {parameters}: {status} {answer[:500]!r}")
        return json.loads(answer)["data"]

    def metric(self, name):
        """The value of one of the server's own metrics without labels."""
        lines = self.request("GET", "/metrics")[1].decode().splitlines()
        return next(float(line.split(" ")[1]) for line in lines if line.startswith(name + " "))

    def query(self, text, at):
        """An instant query: a list of (labels, value)."""
        return [(item["metric"], float(item["value"][1])) for item in self.api("query", query=text, time=at)["result"]]

    def value(self, text, at):
        """The value of a query with one series, otherwise None."""
        answer = self.query(text, at)
        return answer[0][1] if len(answer) == 1 else None


class Checks:
    """Counts successful and failed conditions, one line each."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def equal(self, name, got, want):
        self.holds(name, got == want, f"got {got!r}, expected {want!r}")

    def contains(self, name, text, *parts):
        lacking = [part for part in parts if part not in text]
        self.holds(name, not lacking, f"{lacking} not in {text!r}")

    def holds(self, name, truth, otherwise=""):
        if truth:
            self.passed += 1
            print(f"  ok    {name}")
        else:
            self.failed += 1
            print(f"  FAIL  {name}: {otherwise}")
        sys.stdout.flush()

    def skip(self, name, remedy):
        """A part that this machine does not permit; `remedy` says what to install or allow."""
        self.skipped += 1
        print(f"  SKIPPED {name} ({remedy})")
        sys.stdout.flush()

    def run(self, part, *arguments):
        """Runs a part; an exception fails it, and the other parts continue."""
        try:
            part(*arguments)
        except Exception:
            self.holds(part.__name__, False, traceback.format_exc())

    def run_where_there_is(self, parts, arguments):
        """Runs each part whose environment variable names the program it needs, and skips the others with a remedy.
        `parts` maps a part to (variable, remedy); `arguments(part)` returns the arguments of a part. Returns whether
        any part ran."""
        ran = False
        for part, (needed, remedy) in parts.items():
            if os.environ.get(needed):
                self.run(part, *arguments(part))
                ran = True
            else:
                self.skip(part.__name__, remedy)
        return ran

    def finish(self, title):
        """Prints the summary and ends the process: with 0 only if all conditions held, with 77 if there was nothing to
        check."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        print(f"{title}: {self.passed} passed, {self.failed} failed{skipped}")
        sys.exit(1 if self.failed else 0 if self.passed else 77 if self.skipped else 1)


@contextlib.contextmanager
def checking(title):
    """Checks with a temporary folder; at the end of the block, prints the summary and ends the process."""
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix=f"barograph-{title}-") as folder:
        yield checks, folder
    checks.finish(title)


def check_server(title, run, *options):
    """A whole check: `run(server, checks)` against one server with these options."""
    with checking(title) as (checks, folder):
        server = Server(f"{folder}/data", f"{folder}/log", *options)
        with server.running():
            run(server, checks)
