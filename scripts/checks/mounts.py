"""A file system of its own, whose power can be cut."""

import contextlib
import fcntl
import os
import struct
import subprocess

IMAGE_BYTES = 1 << 30

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2


class LoopMount:
    """An ext4 file system in a file, mounted on a folder."""

    def __init__(self, folder):
        self.image, self.folder = f"{folder}/image", f"{folder}/mount"
        os.mkdir(self.folder)
        with open(self.image, "wb") as image:
            image.truncate(IMAGE_BYTES)
        run("mkfs.ext4", "-q", "-F", self.image)

    @contextlib.contextmanager
    def mounted(self):
        run("mount", "-o", "loop", self.image, self.folder)
        try:
            yield
        finally:
            run("umount", self.folder)

    def shut_down(self):
        """From this moment, everything that has not reached the disk is lost, and every later write fails."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr.strip()}")
