"""The writes of a client, by series: blocks of ticks, each with the server's response. The value of a sample follows
from its series and its tick, and no tick is written twice with different values, so the ledger can judge each sample
that it finds."""

import re

# The time between two ticks, and the factor between a tick and its value.
TICK_NS, FACTOR = 100_000_000, 16
# Acknowledged; possibly stored; certainly not stored, because an acknowledged delete covered it or because its request
# was cut off before it was complete.
STORED, UNCERTAIN, GONE = "stored", "uncertain", "gone"
LINE = re.compile(rb"([a-z_]+)(\d*)((?:,[^, ]+=[^, ]+)*) value=(?:\"(\d+)-[^\"]*\"|(\d+)i?) (\d+)$")


class Block:
    """Ticks from `first` up to `end`."""

    def __init__(self, first, end, state=UNCERTAIN):
        self.first, self.end, self.state = first, end, state


class Series:
    """The blocks of one series. They do not overlap."""

    def __init__(self):
        self.blocks, self.holes, self.next = [], [], 0

    def take(self, random, length):
        """Ticks to write now: the next ones, or skipped ones, which are late."""
        if self.holes and random.random() < 0.5:
            first, end = self.holes.pop(random.randrange(len(self.holes)))
        else:
            if random.random() < 0.2:
                self.holes.append((self.next, self.next + length))
                self.next += length
            first, end = self.next, self.next + length
            self.next = end
        block = Block(first, end)
        is_late = bool(self.blocks) and first < self.blocks[-1].first
        self.blocks.append(block)
        if is_late:
            self.blocks.sort(key=lambda other: other.first)
        return block

    def part(self, first, end):
        """The blocks inside these ticks, cut at the ends."""
        parted = []
        for block in self.blocks:
            cuts = [cut for cut in (first, end) if block.first < cut < block.end]
            edges = [block.first, *cuts, block.end]
            parted += [block] if not cuts else [Block(a, b, block.state) for a, b in zip(edges, edges[1:])]
        self.blocks = parted
        return [block for block in parted if first <= block.first and block.end <= end]

    def deleted(self, first, end, is_certain):
        """A delete of these ticks was acknowledged, or its outcome is unknown."""
        for block in self.part(first, end):
            if block.state == STORED:
                block.state = GONE if is_certain else UNCERTAIN
        if not is_certain:
            # It may still be carried out: later writes in its range may be deleted.
            self.holes = [hole for hole in self.holes if hole[1] <= first or end <= hole[0]]

    def judge(self, found):
        """The faults of the ticks found, one byte per tick."""
        known = bytearray(self.next)
        for block in self.blocks:
            known[block.first:block.end] = b"\1" * (block.end - block.first)
            count = found[block.first:block.end].count(1)
            if block.state == STORED and count < block.end - block.first:
                yield f"{block.end - block.first - count} acknowledged samples of ticks {block.first}-{block.end} are missing"
            elif block.state == GONE and count:
                yield f"{count} deleted or refused samples of ticks {block.first}-{block.end} are present"
        unknown = sum(1 for tick, is_found in enumerate(found) if is_found and not known[tick])
        if unknown:
            yield f"{unknown} samples that were never sent"

    def count(self, state):
        return sum(block.end - block.first for block in self.blocks if block.state == state)


class Ledger:
    """The writes of one worker. `base` is the time of tick 0, nanoseconds."""

    def __init__(self, worker, base, names):
        self.worker, self.base = worker, base
        self.series = {name: Series() for name in names}
        self.histograms_sent = self.histograms_stored = 0

    def time(self, tick):
        return self.base + tick * TICK_NS

    def latest(self):
        """A tick that no series has passed."""
        return max(series.next for series in self.series.values())

    def judge(self, lines):
        """The faults of exported lines: a list of texts."""
        faults, found = [], {name: bytearray(series.next) for name, series in self.series.items()}
        for line in lines:
            if line.startswith(b"#"):
                continue
            match = LINE.match(line)
            if not match:
                faults.append(f"not a line that was written: {line[:200]!r}")
                continue
            metric, slot, _, event, value, time = match.groups()
            name, at = (metric + slot).decode(), int(time) - self.base
            tick, rest = divmod(at, TICK_NS)
            wanted = tick if event else tick * FACTOR + int(slot or 0)
            if rest or name not in found or not 0 <= tick < len(found[name]) or int(event or value) != wanted:
                faults.append(f"not a sample that was written: {line[:200]!r}")
            elif found[name][tick]:
                faults.append(f"a sample appears twice: {line[:200]!r}")
            else:
                found[name][tick] = 1
        for name, series in self.series.items():
            faults += [f"{name}{{w=\"{self.worker}\"}}: {fault}" for fault in series.judge(found[name])]
        return faults
