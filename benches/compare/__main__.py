"""Compares Barograph with its peers: the same data, the same PromQL, one table.

    python3 benches/compare --barograph target/release/barograph --size quick
    python3 benches/compare --size full --recordings DIR --peers victoria-metrics,prometheus

Every server runs alone, on loopback, with a fresh folder and its documented best settings. Bodies are generated before
the measurement and sent uncompressed over kept-alive connections, so that almost no CPU is used outside the server. The
main figure is the CPU time of the server, which depends far less on other load than elapsed time. Needs only python3.
Missing peers are installed from Debian with --install, and otherwise listed as left out.

Exits with 1 if Barograph lost data that it had acknowledged, if one of its answers differs from Prometheus', or if
nothing could be measured.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys

import bodies
import measure
import queries
import recordings
import report
import servers
import sets

# Samples of cpu, of hist and of each recording; series of churn and of active.
SIZES = {"tiny": (400_000, 60_000, 60_000, 20_000), "quick": (1_008_000, 1_000_000, 1_000_000, 100_000),
         "middle": (4_032_000, 3_000_000, 4_000_000, 300_000), "full": (40_320_000, 6_000_000, 4_000_000, 1_000_000)}


def say(text):
    print(text, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--barograph", default=os.environ.get("BAROGRAPH"), help="the server's binary (or $BAROGRAPH)")
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument("--samples", type=int, help="samples of the cpu set, in place of the size's")
    parser.add_argument("--sets", default="cpu,hist,churn,year", help="made-up sets: %(default)s; active too")
    parser.add_argument("--recordings", metavar="DIR", help="a folder of recorded CSV; each folder in it is a set")
    parser.add_argument("--peers", default="victoria-metrics,prometheus,influxdb", help="%(default)s; or none")
    parser.add_argument("--program", action="append", default=[], metavar="PEER=PATH", help="a peer's program in place of Debian's")
    parser.add_argument("--work", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "compare"),
                        help="folder for bodies and databases: %(default)s")
    parser.add_argument("--out", metavar="FILE", help="also write the report here")
    parser.add_argument("--install", action="store_true", help="install missing peers with apt-get")
    parser.add_argument("--no-queries", action="store_true")
    parser.add_argument("--no-kill", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the databases in place")
    return parser.parse_args()


def install(peers):
    """Prevents Debian from starting services during the installation."""
    import shutil
    kinds = [servers.KINDS[peer] for peer in peers]
    missing = [kind.package for kind in kinds if kind.package and not shutil.which(kind.binary)]
    if not missing:
        return
    say(f"installing {' '.join(missing)}")
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    options = ["-qq", "-o", "DPkg::Lock::Timeout=300"]
    environment = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    for verb in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run([*prefix, *environment, "apt-get", *options, *verb], stdout=subprocess.DEVNULL)
        if done.returncode:
            say(f"apt-get {verb[0]} failed with {done.returncode}")


def chosen_sets(options):
    cpu, hist, recorded, series = SIZES[options.size]
    made = {"cpu": lambda: sets.Cpu(options.samples or cpu), "hist": lambda: sets.Hist(hist),
            "churn": lambda: sets.Churn(series), "active": lambda: sets.Active(series), "year": sets.Year}
    names = [name for name in options.sets.split(",") if name and name != "none"]
    unknown = [name for name in names if name not in made]
    if unknown:
        raise SystemExit(f"--sets: {', '.join(unknown)} is none of {', '.join(made)}")
    out = [made[name]() for name in names]
    return out + (recordings.sets_below(options.recordings, recorded) if options.recordings else [])


def available(options):
    """{title: program} of the servers to measure; prints which are missing."""
    peers = [name for name in options.peers.split(",") if name and name != "none"]
    programs = dict(entry.split("=", 1) for entry in options.program)
    unknown = [name for name in [*peers, *programs] if name not in servers.KINDS]
    if unknown:
        raise SystemExit(f"--peers, --program: {', '.join(unknown)} is none of {', '.join(servers.KINDS)}")
    if options.install:
        install([name for name in peers if name not in programs])
    found = {}
    if options.barograph:
        found["barograph"] = os.path.abspath(options.barograph)
    else:
        say("LEFT OUT: barograph; name its binary with --barograph")
    for name in peers:
        try:
            kind = servers.KINDS[name]
            found[name] = kind("", None, os.path.abspath(programs[name]) if name in programs else None).program
        except servers.Missing as missing:
            say(f"LEFT OUT: {missing}")
    return found


def measure_set(data, programs, options):
    """The part of the report about the set, and whether Barograph passed."""
    for title in [title for title in programs if servers.KINDS[title].protocol not in data.protocols]:
        say(f"LEFT OUT of {data.name}: {title} takes samples only in order of time")
    programs = {title: path for title, path in programs.items() if servers.KINDS[title].protocol in data.protocols}
    if not programs:
        return f"## {data.name}\n\nNo server to measure.\n", True
    protocols = sorted({servers.KINDS[title].protocol for title in programs})
    files, facts = bodies.prepare(data, protocols, options.work, say)
    vars(data).update(facts)
    data.kill_samples = data.samples if data.name in ("churn", "active") else 0
    results = []
    for title, program in programs.items():
        kind = servers.KINDS[title]
        server = kind(os.path.abspath(os.path.join(options.work, "databases", f"{data.key}-{title}")), data, program)
        subprocess.run(["rm", "-rf", server.folder], check=True)
        say(f"{data.name}: {title}")
        try:
            results.append(measure.run(server, files[kind.protocol], data, options, say))
        except (RuntimeError, OSError) as error:
            say(f"  FAILED: {error}")
    text = report.load_table(data, results) if results else f"## {data.name}\n\nNothing could be measured.\n"
    questions, differing = report.query_table(results, say)
    lost = sum(r.get("lost", 0) > 0 for r in results if r["title"] == "barograph")
    held = not differing and not lost and any(r["title"] == "barograph" for r in results) == ("barograph" in programs)
    return f"{text}\n{questions}\n", held and bool(results)


def main():
    options = arguments()
    # When terminated from outside, it still ends its server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    programs, data_sets = available(options), chosen_sets(options)
    if not programs:
        raise SystemExit("no server to measure")
    parts, held = [], True
    for data in data_sets:
        text, good = measure_set(data, programs, options)
        parts.append(text)
        held &= good
    versions = {title: servers.KINDS[title]("", None, program).version() for title, program in programs.items()}
    command = "python3 benches/compare " + shlex.join(sys.argv[1:])
    text = report.heading(command, versions, data_sets) + "\n" + "\n".join(parts)
    print(text)
    if options.out:
        with open(options.out, "w") as file:
            file.write(text)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
