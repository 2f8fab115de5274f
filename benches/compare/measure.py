"""One server and one data set: load, settle, query, restart, merge, kill."""

import http.client
import shutil
import time

import answers
import process
import queries
from load import Load

RUNS_MIN, RUNS_MAX, SECONDS_MIN, SECONDS_MAX = 10, 60, 0.4, 4.0
RUNS_OF_SLOW = 3
KILL_SAMPLES = 1_000_000


def run(server, lanes, data, options, say):
    """All measurements of one server as a dictionary; the folder is removed at the end."""
    out = {"title": server.title, "protocol": server.protocol}
    try:
        fill(server, lanes, data, out, say)
        if server.asks_promql and not options.no_queries:
            out["queries"] = ask_all(server, data, say)
        restart(server, data, out)
        merge(server, data, out, say)
        if not options.no_kill:
            crash(server, lanes, data, out, say)
    finally:
        server.kill()
        if not options.keep:
            shutil.rmtree(server.folder, ignore_errors=True)
    return out


def fill(server, lanes, data, out, say):
    """Loads everything and brings the server to rest."""
    server.start()
    server.idle(1)
    out["empty_mb"] = server.stored_bytes() / 1e6
    others, before, client = process.Others(server.pid), process.cpu_seconds(server.pid), time.process_time()
    load = Load(server, server.protocol, lanes, data.span_s)
    seconds = load.run()
    cpu = process.cpu_seconds(server.pid) - before
    out["samples"], out["retries"] = sum(load.acknowledged), load.retries
    out["rate"], out["cpu_load"] = out["samples"] / seconds / 1e6, cpu / out["samples"] * 1e6
    out["client_cpu"] = (time.process_time() - client) / out["samples"] * 1e6
    say(f"  loaded {out['samples']} samples in {seconds:.1f} s, {cpu:.1f} s of CPU")
    out["how_settled"] = server.settle()
    out["cpu_settled"] = (process.cpu_seconds(server.pid) - before) / out["samples"] * 1e6
    out["disk_settled"], out["peak_mb"] = server.stored_bytes(), process.peak_mb(server.pid)
    out["others"] = others.cores()
    out["kept"] = server.count(data.first_ns // 10**9, data.last_ns // 10**9 + 1)
    say(f"  settled: {out['how_settled']}; {out['disk_settled'] / 1e6:.1f} MB, {out['kept']:.0f} samples found")


def restart(server, data, out):
    """A graceful stop, and the time until queries return data again."""
    server.stop()
    began = time.monotonic()
    server.start()
    server.first_answer(queries.probe(data), data.last_ns // 10**9)
    out["restart_s"], out["restart_cpu"] = time.monotonic() - began, process.cpu_seconds(server.pid)


def merge(server, data, out, say):
    """The merges that the server's own rules leave for later."""
    before = process.cpu_seconds(server.pid)
    out["how_merged"] = server.force()
    if out["how_merged"]:
        cpu = (process.cpu_seconds(server.pid) - before) / out["samples"] * 1e6
        out["cpu_merged"], out["disk_merged"] = out["cpu_settled"] + cpu, server.stored_bytes()
        say(f"  merged: {out['how_merged']}; {out['disk_merged'] / 1e6:.1f} MB")


def crash(server, lanes, data, out, say):
    """A fresh folder, SIGKILL right after an acknowledgement, a restart: the number of lost samples, and the time it
    takes."""
    server.kill()
    shutil.rmtree(server.folder, ignore_errors=True)
    server.start()
    load = Load(server, server.protocol, lanes, data.span_s, max(KILL_SAMPLES, data.kill_samples))
    load.run()
    server.kill()
    acknowledged = sum(load.acknowledged)
    began = time.monotonic()
    server.start()
    probe, last_s = queries.probe(data), data.last_ns // 10**9
    server.wait_for(lambda: not server.asks_promql or server.samples_of(probe, last_s) is not None or answers_at_all(server),
                    "answering")
    out["kill_restart_s"], out["kill_restart_cpu"] = time.monotonic() - began, process.cpu_seconds(server.pid)
    out["acknowledged"] = acknowledged
    out["lost"] = acknowledged - server.count(data.first_ns // 10**9, last_s + 1)
    say(f"  killed after {acknowledged} acknowledged samples: {out['lost']:.0f} lost, {out['kill_restart_s']:.2f} s to the first answer")


def answers_at_all(server):
    """A server that lost everything answers too, with an empty result."""
    return server.get("/api/v1/query?query=up")[0] == 200


def ask_all(server, data, say):
    """{lane: {query: figures}}; the answer of the first variant is kept for the comparison."""
    out = {}
    for suffix, parameters in server.lanes_of_queries:
        figures = {}
        for name, variants in queries.of(data):
            try:
                figures[name] = ask(server, variants, parameters)
            except (RuntimeError, OSError, http.client.HTTPException, ValueError) as error:
                figures[name] = {"error": str(error)[:300]}
                say(f"  {server.title}{suffix} {name}: {error}")
        out[server.title + suffix] = figures
    say(f"  asked {sum(len(figures) for figures in out.values())} queries")
    return out


def ask(server, variants, parameters):
    """Sends the variants in turn, often enough that CPU time counted in ticks is meaningful."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    try:
        read = [answers.read(text) for text in ask_variant(connection, server, variants[0], parameters)]
        times, before, began = [], process.cpu_seconds(server.pid), time.monotonic()
        while not enough(len(times), time.monotonic() - began):
            start = time.monotonic()
            ask_variant(connection, server, variants[len(times) % len(variants)], parameters)
            times.append(time.monotonic() - start)
        cpu = (process.cpu_seconds(server.pid) - before) / len(times)
    finally:
        connection.close()
    times.sort()
    return {"answers": read, "p50": times[len(times) // 2] * 1e3, "p95": times[min(len(times) - 1, int(len(times) * 0.95))] * 1e3,
            "cpu": cpu * 1e3, "runs": len(times)}


def enough(runs, seconds):
    if seconds > SECONDS_MAX:
        return runs >= RUNS_OF_SLOW
    return runs >= RUNS_MAX or (runs >= RUNS_MIN and seconds >= SECONDS_MIN)


def ask_variant(connection, server, asks, parameters):
    out = []
    for one in asks:
        text = one.text(**parameters)
        if one.path.startswith("label/"):
            connection.request("GET", f"/api/v1/{one.path}?{text}")
        else:
            connection.request("POST", f"/api/v1/{one.path}", text, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}: {body[:300].decode(errors='replace')}")
        out.append(body)
    return out
