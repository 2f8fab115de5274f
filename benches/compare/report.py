"""Results as Markdown."""

import datetime
import os
import platform

import answers


def heading(command, versions, data_sets):
    model = "unknown processor"
    with open("/proc/cpuinfo") as text:
        model = next((line.split(":")[1].strip() for line in text if line.startswith("model name")), model)
    lines = [f"Measured {datetime.date.today()} on {os.cpu_count()} cores ({model}), Linux {platform.release()}, with", "",
             f"    {command}", "", "Servers:", ""]
    lines += [f"- {title}: {version}" for title, version in versions.items()]
    lines += ["", "Data sets:", ""]
    lines += [f"- {data.name}: {data.samples} samples, {data.series} series; {data.describe()}" for data in data_sets]
    return "\n".join(lines) + "\n"


def number(value, digits=3):
    return "-" if value is None else f"{value:.{digits}f}"


def load_table(data, results):
    head = ["target", "proto", "M samples/s", "CPU-s/M load", "CPU-s/M settled", "CPU-s/M merged", "peak MB", "B/sample settled",
            "B/sample merged", "empty MB", "restart s (CPU s)", "after kill -9 s (CPU s)", "lost of acknowledged", "kept",
            "client CPU-s/M", "others' cores"]
    rows = []
    for r in results:
        net = {key: (r[key] - r["empty_mb"] * 1e6) / r["samples"] if key in r else None for key in ("disk_settled", "disk_merged")}
        kill = "-" if "lost" not in r else f"{r['kill_restart_s']:.2f} ({r['kill_restart_cpu']:.2f})"
        lost = "-" if "lost" not in r else f"{r['lost']:.0f} of {r['acknowledged']}"
        rows.append([r["title"], r["protocol"], number(r["rate"]), number(r["cpu_load"]), number(r["cpu_settled"]),
                     number(r.get("cpu_merged")), number(r["peak_mb"], 0), number(net["disk_settled"]), number(net["disk_merged"]),
                     number(r["empty_mb"], 1), f"{r['restart_s']:.2f} ({r['restart_cpu']:.2f})", kill, lost,
                     f"{100 * r['kept'] / r['samples']:.2f}%", number(r["client_cpu"], 2), number(r["others"], 2)])
    text = table(head, rows)
    for r in results:
        merged = f"; merged: {r['how_merged']}" if r["how_merged"] else ""
        retries = f"; {r['retries']} bodies sent again after 429 or 503" if r["retries"] else ""
        text += f"\n{r['title']} settled: {r['how_settled']}{merged}{retries}."
    return f"## {data.name}\n\n{text}\n"


def query_table(results, say):
    """The table, and the number of Barograph's answers that differ from the reference's."""
    lanes = {name: figures for r in results for name, figures in r.get("queries", {}).items()}
    if not lanes:
        return "", 0
    reference = next((name for name in ("prometheus", "victoria-metrics") if name in lanes), next(iter(lanes)))
    differing, notes, rows = 0, [], []
    for name in next(iter(lanes.values())):
        row = [name]
        for lane, figures in lanes.items():
            one = figures[name]
            if "error" in one:
                row.append("error")
                differing += lane == "barograph"
                continue
            mark, found = judge(one, lanes[reference][name], lane == reference)
            if found:
                notes.append(f"{name}, {lane}: {found}")
                differing += lane == "barograph" and reference == "prometheus"
            row.append(f"{one['p50']:.1f} / {one['p95']:.1f} ({one['cpu']:.1f}) {mark}".rstrip())
        rows.append([*row, *(ratio(lanes, name, cached) for cached in (False, True))])
    text = table(["query", *lanes, "best peer / barograph, p50 (CPU)", "the same with caches"], rows)
    ours = sum(", barograph:" in note for note in notes)
    say(f"  answers that differ from {reference}: {len(notes)}, of them barograph's: {ours}")
    legend = (f"\np50 / p95 ms (server CPU ms a query). `=` equal to {reference}, `~` equal but for `__name__`, `!` not "
              "(VictoriaMetrics' `rate`, `increase` and look-back are its own). victoria-metrics asks with `nocache=1`, "
              "victoria-metrics+cache without; each of five variants is asked in turn, again and again.\n")
    if notes:
        legend += "\n<details><summary>What differs</summary>\n\n" + "".join(f"- {note}\n" for note in notes) + "\n</details>\n"
    return text + legend, differing


def ratio(lanes, name, cached):
    """How many times longer than Barograph the quickest peer takes; result caches count only if `cached`."""
    peers = [figures[name] for lane, figures in lanes.items()
             if lane != "barograph" and (cached or not lane.endswith("+cache")) and "p50" in figures[name]]
    ours = lanes.get("barograph", {}).get(name, {})
    if not peers or "p50" not in ours:
        return "-"
    best = min(peers, key=lambda one: one["p50"])
    return f"{best['p50'] / ours['p50']:.1f} ({best['cpu'] / max(ours['cpu'], 0.05):.1f})"


def judge(one, reference, is_reference):
    """The mark of a query, for which every part is compared, and the first difference."""
    if is_reference or "error" in reference:
        return "", None
    verdicts = [answers.compare(a, b) for a, b in zip(one["answers"], reference["answers"], strict=True)]
    worst = max(verdicts, key=lambda verdict: "=~!".index(verdict[0]))
    return worst


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"
