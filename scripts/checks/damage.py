"""A byte of the log flips on disk, or the last segment is missing. The server and the offline commands must refuse. With
recover_damaged_wal the server starts, moves the damaged part aside, and logs the file, its new place and how many samples
were lost.
"""

import pathlib
import subprocess

from harness import Server, checking

# After the header of the segment and of its first record.
PAYLOAD_AT = 48 + 25


def flip(path):
    content = bytearray(path.read_bytes())
    content[PAYLOAD_AT] ^= 1
    path.write_bytes(content)


def refused(server):
    """The output of a server that does not start; empty if it starts."""
    try:
        with server.running():
            return ""
    except RuntimeError as error:
        return str(error)


def command(server, *words):
    """Exit status, standard output and standard error of a command."""
    done = subprocess.run([server.binary, *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def offline(server, segment, checks):
    """Commands that read the directory refuse as the server does, and say what they leave out where that is allowed."""
    target = ("--data-dir", server.data_dir)
    commands = {
        "query": ("query", "m", "--time", "3", *target),
        "export": ("export", "--match", "m", *target),
        "inspect": ("inspect", *target),
        "inspect cardinality": ("inspect", "cardinality", *target),
    }
    for name, words in commands.items():
        status, shown, said = command(server, *words)
        checks.holds(f"{name} refuses a damaged log", status == 1 and segment.name in said and "--allow-damage" in said, said)
        checks.equal(f"{name} then shows nothing", shown, "")
        status, shown, said = command(server, *words, "--allow-damage")
        checks.holds(f"{name} --allow-damage shows the rest and fails", status == 1 and shown and segment.name in said, said)
    status, _, said = command(server, "verify", *target)
    checks.holds("verify names it", status == 1 and segment.name in said, said)


def missing(folder, checks):
    """The last segment of the log is missing: the rest must not pass for the whole log."""
    server = Server(f"{folder}/missing", f"{folder}/log", "--self-interval", "0")
    for line in ("m,i=a value=1 1", "m,i=b value=2 2"):
        with server.running():
            checks.equal(f"{line} is taken", server.write([line], precision="s")[0], 204)
    segments = sorted(pathlib.Path(server.data_dir, "wal").glob("*.wal"))
    segments[-1].unlink()
    for words in (("query", "m", "--time", "3"), ("verify",)):
        status, shown, said = command(server, *words, "--data-dir", server.data_dir)
        checks.holds(f"{words[0]} says that the log is incomplete", status == 1 and said, shown)
    checks.holds("and the server does not start", refused(server), "it started")


def copy(folder, checks):
    """The offline command copies a directory that no server uses, including its log."""
    server = Server(f"{folder}/idle", f"{folder}/log", "--self-interval", "0")
    with server.running():
        checks.equal("a line is taken", server.write(["m,i=a value=1 1"], precision="s")[0], 204)
    status, _, said = command(server, "snapshot", "create", f"{folder}/copy", "--data-dir", server.data_dir)
    checks.equal("snapshot create of an idle directory", (status, said), (0, ""))
    status, _, said = command(server, "snapshot", "restore", f"{folder}/copy", "--data-dir", f"{folder}/restored")
    checks.equal("snapshot restore", (status, said), (0, ""))
    status, shown, said = command(server, "query", "m", "--time", "3", "--format", "csv", "--data-dir", f"{folder}/restored")
    checks.holds("the copy has the line", status == 0 and "1" in shown.splitlines()[-1], shown + said)


def run(folder, checks):
    server = Server(f"{folder}/data", f"{folder}/log", "--self-interval", "0")
    with server.running():
        # The first record contains the definition of its series; the other two samples belong to known series.
        for line in ("m,i=a value=1 1", "m,i=b value=2 2", "m,i=a value=3 3"):
            checks.equal(f"{line} is taken", server.write([line], precision="s")[0], 204)
    segment = pathlib.Path(server.data_dir, "wal", "00000001.wal")
    flip(segment)
    offline(server, segment, checks)
    why = refused(server)
    checks.holds("it does not start over damage", segment.name in why and "recover_damaged_wal" in why, why)
    server.options += ("--recover-damaged-wal",)
    with server.running():
        said = server.log_tail()
        aside = [str(path) for path in pathlib.Path(server.data_dir).rglob("*") if str(path) in said and path.is_file()]
        checks.holds("with recover_damaged_wal, it names the damage", "the log was damaged" in said and segment.name in said, said)
        checks.holds("and where that was put", any(path != str(segment) for path in aside), said)
        checks.holds("and how many samples were lost", "samples of the log were dropped" in said and "samples=1" in said, said)
        kept = {item["metric"]["i"]: item["value"][1] for item in server.api("query", query="m", time=3)["result"]}
        checks.equal("the rest is there", kept, {"b": "2"})


with checking("damage") as (checks, folder):
    run(folder, checks)
    missing(folder, checks)
    copy(folder, checks)
