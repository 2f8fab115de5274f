"""A byte of the log flips on the disk. The server must not start over it in silence; told to recover, it starts, sets
the damaged part aside, and its log names the file, the place where that was put, and how many samples were lost.
"""

import pathlib
import tempfile

from harness import Checks, Server

# Behind the header of the segment and of its first record.
PAYLOAD_AT = 48 + 25


def flip(path):
    content = bytearray(path.read_bytes())
    content[PAYLOAD_AT] ^= 1
    path.write_bytes(content)


def refused(server):
    try:
        server.start()
    except RuntimeError as error:
        return str(error)
    return ""


def run(folder, checks):
    server = Server(f"{folder}/data", f"{folder}/log", "--self-interval", "0")
    with server.running():
        # The definition of a series goes with the first record; the other two samples are of series that are known.
        for line in ("m,i=a value=1 1", "m,i=b value=2 2", "m,i=a value=3 3"):
            checks.equal(f"{line} is taken", server.write([line], precision="s")[0], 204)
    segment = pathlib.Path(server.data_dir, "wal", "00000001.wal")
    flip(segment)
    why = refused(server)
    checks.holds("it does not start over damage", segment.name in why and "recover_damaged_wal" in why, why)
    server.options += ("--recover-damaged-wal",)
    with server.running():
        said = server.log_tail()
        aside = [str(path) for path in pathlib.Path(server.data_dir).rglob("*") if str(path) in said and path.is_file()]
        checks.holds("told to, it says what is damaged", "the log was damaged" in said and segment.name in said, said)
        checks.holds("and where that was put", any(path != str(segment) for path in aside), said)
        checks.holds("and how many samples nobody can name", "samples of the log were dropped" in said and "samples=1" in said, said)
        kept = {item["metric"]["i"]: item["value"][1] for item in server.api("query", query="m", time=3)["result"]}
        checks.equal("the rest is there", kept, {"b": "2"})


checks = Checks()
with tempfile.TemporaryDirectory(prefix="barograph-damage-") as folder:
    run(folder, checks)
checks.finish("damage")
