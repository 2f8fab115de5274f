"""Bursts of line protocol over UDP, as fast as a sender can send. Every datagram is either stored or counted as lost;
none is lost if the kernel grants the receive buffer that the server requests. Also: a burst just before the server
stops, many senders at once, and the unit of timestamps.
"""

import contextlib
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import time

from harness import PATIENCE, Server, checking, free_port

# 2025-11-26T00:00:00Z
START = 1764115200
# Without a buffer that holds a whole burst, how many datagrams are kept depends on the machine.
BUFFER, REMEDY = 32 << 20, "sysctl -w net.core.rmem_max=33554432"
BURSTS = {"2000 datagrams of one line": (2000, 1), "3000 datagrams of 20 lines": (3000, 20)}


def burst(name, datagrams, lines):
    """Datagrams of `lines` lines each, every line a sample of its own."""
    return ["".join(f"{name},host=h{line:03},region=eu-central usage={number}.5,idle={line}i {START + number}000000000\n"
                    for line in range(lines)).encode() for number in range(datagrams)]


def send(address, datagrams):
    """Sends them without a pause; the seconds that took."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        started = time.perf_counter()
        for datagram in datagrams:
            sender.send(datagram)
        return time.perf_counter() - started


def counters(server):
    """What became of datagrams up to now."""
    found = {}
    for line in server.request("GET", "/metrics")[1].decode().splitlines():
        if line.startswith("barograph_udp_"):
            name, value = line.rsplit(" ", 1)
            found[name.removeprefix("barograph_udp_")] = int(float(value))
    lost = {reason: found[f'datagrams_dropped_total{{reason="{reason}"}}'] for reason in ("kernel", "queue", "storage")}
    return found["datagrams_total"], found["datagrams_stored_total"], lost, found["buffer_bytes"]


def wait_for_all(server, sent):
    """The counters once each of `sent` datagrams was stored or lost, or after PATIENCE; the condition of the caller
    then fails."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        received, stored, lost, _ = counters(server)
        if received + lost["kernel"] >= sent and stored + lost["queue"] + lost["storage"] >= received:
            break
        time.sleep(0.01)
    return counters(server)


def samples(server, metric):
    """Stored samples of a metric."""
    return int(server.value(f"sum(count_over_time({metric}[2h]))", START + 3600) or 0)


def server_with(folder, name, *options):
    server = Server(f"{folder}/{name}", f"{folder}/{name}.log", "--self-interval", "0", *options)
    server.udp = free_port()
    server.options += ("--udp-listen", f"127.0.0.1:{server.udp}")
    return server


@contextlib.contextmanager
def paused(server, really):
    """Pauses the server inside the block: datagrams that arrive meanwhile must fit into the kernel's buffer."""
    if really:
        server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def all_are_kept(checks, what, granted, kept, sent):
    if granted >= BUFFER:
        checks.equal(f"{what}: all are kept", kept, sent)
    else:
        checks.skip(f"{what}: all are kept", REMEDY)


def check_bursts(folder, checks, name, *options):
    """Both bursts, three times each, against a server with these options; in the second the server is paused."""
    server = server_with(folder, name, *options)
    sent_before = stored_before = lost_before = 0
    with server.running():
        for what, (datagrams, lines) in BURSTS.items():
            for attempt in range(3):
                metric = f"m{lines}_{attempt}"
                with paused(server, attempt == 1):
                    seconds = send(("127.0.0.1", server.udp), burst(metric, datagrams, lines))
                _, stored, lost, granted = wait_for_all(server, sent_before + datagrams)
                kept, gone = stored - stored_before, sum(lost.values()) - lost_before
                what_happened = f"{what} in {seconds * 1e3:.0f} ms{', server paused' if attempt == 1 else ''}"
                print(f"        {name}: {what_happened}: {100 * kept / datagrams:.1f} % kept")
                checks.equal(f"{name}: sent = stored + lost", kept + gone, datagrams)
                checks.equal(f"{name}: as many samples as were stored", samples(server, f"{metric}_usage"), kept * lines)
                if name == "default":
                    all_are_kept(checks, what, granted, kept, datagrams)
                sent_before, stored_before, lost_before = sent_before + datagrams, stored, sum(lost.values())
        if name == "tiny":
            checks.holds("tiny: the kernel dropped some", lost["kernel"] > 0, f"{lost}")


def check_many_senders(folder, checks):
    """Eight processes at once."""
    server = server_with(folder, "senders")
    with server.running():
        work = [(("127.0.0.1", server.udp), burst(f"s{number}", 1000, 5)) for number in range(8)]
        with multiprocessing.Pool(8) as pool:
            pool.starmap(send, work)
        _, stored, lost, granted = wait_for_all(server, 8000)
        print(f"        8 senders of 1000 datagrams: {100 * stored / 8000:.1f} % kept")
        checks.equal("eight senders: sent = stored + lost", stored + sum(lost.values()), 8000)
        found = sum(samples(server, f"s{number}_usage") for number in range(8))
        checks.equal("eight senders: as many samples as were stored", found, stored * 5)
        all_are_kept(checks, "eight senders", granted, stored, 8000)


def check_stop(folder, checks):
    """Datagrams sent before the server was asked to stop are present after a restart."""
    server = server_with(folder, "stop")
    with server.running():
        granted = counters(server)[3]
        send(("127.0.0.1", server.udp), burst("last", 2000, 1))
        checks.equal("it stops", server.stop(), 0)
    with server.running():
        found = samples(server, "last_usage")
        all_are_kept(checks, "a burst just before the stop", granted, found, 2000)


def check_precision(folder, checks):
    """Milliseconds: stored in 1970 with a warning, and correctly with the setting."""
    line = f"precise,host=a value=1 {START}123"
    for name, options, year in (("nanoseconds", (), 1970), ("milliseconds", ("--line-precision", "ms"), 2025)):
        server = server_with(folder, name, *options)
        with server.running():
            send(("127.0.0.1", server.udp), [line.encode()])
            wait_for_all(server, 1)
            exported = server.request("GET", "/api/v1/export?match%5B%5D=precise")[1].decode()
            found = time.gmtime(int(exported.split(" ")[-1]) / 1e9).tm_year
            checks.equal(f"{START}123 read with {name} is in", found, year)
            far = server.request("GET", "/metrics")[1].decode()
            expected = 1 if year == 1970 else 0
            checks.contains(f"{name}: the counter", far, f'barograph_ingest_lines_far_total{{origin="udp"}} {expected}')
            log = pathlib.Path(server.log_path).read_text()
            shown = "set line_precision to ms" in log
            checks.equal(f"{name}: a warning that names the setting", shown, year == 1970)


def check_collectd(folder, checks):
    """Debian's collectd against a server configured for it: its samples have the current time."""
    if "COLLECTD" not in os.environ:
        return checks.skip("collectd", "sudo apt-get install collectd-core")
    server = server_with(folder, "collectd", "--line-precision", "ms")
    plugins = os.environ["COLLECTD"]
    configuration = pathlib.Path(folder, "collectd.conf")
    configuration.write_text(
        f'Hostname "checked"\nFQDNLookup false\nBaseDir "{folder}"\nPIDFile "{folder}/collectd.pid"\nInterval 1\n'
        f'PluginDir "{plugins}/lib/collectd"\nTypesDB "{plugins}/share/collectd/types.db"\nLoadPlugin load\n'
        f'LoadPlugin write_influxdb_udp\n<Plugin write_influxdb_udp>\nServer "127.0.0.1" "{server.udp}"\n</Plugin>\n')
    with server.running():
        with open(f"{folder}/collectd.log", "wb") as log:
            sender = subprocess.Popen(["collectd", "-f", "-C", configuration], stdout=log, stderr=log)
        try:
            wait_for_all(server, 2)
        finally:
            sender.terminate()
            sender.wait(PATIENCE)
        found = server.api("query", query='load_midterm{host="checked"}', time=time.time())["result"]
        log = pathlib.Path(folder, "collectd.log").read_text()
        checks.equal("collectd: one series with samples of now", len(found), 1)
        metrics = server.request("GET", "/metrics")[1].decode()
        checks.contains("collectd: no line is bad or far from the clock", metrics,
                        'barograph_ingest_lines_bad_total{origin="udp"} 0', 'barograph_ingest_lines_far_total{origin="udp"} 0')
        checks.holds("collectd ran", "write_influxdb_udp" in log, log)


def main():
    with checking("udp") as (checks, folder):
        check_bursts(folder, checks, "default")
        check_bursts(folder, checks, "system", "--udp-buffer", "208KiB")
        check_bursts(folder, checks, "tiny", "--udp-buffer", "4KiB", "--udp-queue", "128KiB")
        check_many_senders(folder, checks)
        check_stop(folder, checks)
        check_precision(folder, checks)
        check_collectd(folder, checks)


if __name__ == "__main__":
    main()
