"""The resources of a process, read from /proc: CPU seconds, memory, and the size of its folder."""

import os
import time

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of the process, including its ended threads."""
    with open(f"/proc/{pid}/stat") as text:
        fields = text.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def peak_mb(pid):
    """Maximum resident memory of the process, in MB of 10^6 bytes."""
    with open(f"/proc/{pid}/status") as text:
        return next(int(line.split()[1]) for line in text if line.startswith("VmHWM:")) * 1024 / 1e6


def disk_bytes(folder):
    """Blocks of the folder's files, without those held back for a full disk; a file with two names counts once."""
    seen, total = set(), 0
    for root, _, files in os.walk(folder):
        for name in files:
            if name == "reserve":
                continue
            try:
                entry = os.lstat(os.path.join(root, name))
            except FileNotFoundError:
                continue  # a merge has just removed it
            if entry.st_ino not in seen:
                seen.add(entry.st_ino)
                total += entry.st_blocks * 512
    return total


def machine_seconds():
    """CPU seconds of the whole machine."""
    with open("/proc/stat") as text:
        user, nice, system, _, _, irq, softirq, steal = map(int, text.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def wait_idle(pid, quiet_s, limit_s):
    """Waits until the process has used almost no CPU for `quiet_s`; returns False if that does not happen within
    `limit_s`."""
    deadline, since, before = time.monotonic() + limit_s, time.monotonic(), cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(0.25)
        now = cpu_seconds(pid)
        if now - before > 0.02:  # of 250 ms: a tick of a timer does not count as work
            since = time.monotonic()
        before = now
        if time.monotonic() - since >= quiet_s:
            return True
    return False


class Others:
    """CPU used by neither the server nor this program, in cores."""

    def __init__(self, pid):
        self.pid, self.began = pid, time.monotonic()
        self.start = self.read()

    def read(self):
        own = os.times()
        return machine_seconds() - cpu_seconds(self.pid) - own.user - own.system

    def cores(self):
        return max(0.0, (self.read() - self.start) / max(0.01, time.monotonic() - self.began))
