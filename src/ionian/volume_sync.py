"""What was written to a volume, on its disk: asked for in a container that mounts it."""

from __future__ import annotations

import os

MOUNTS = "/proc/self/mountinfo"


def mount_point_of(volume_id: str) -> str | None:
    """Where this container mounts a volume; None: it doesn't."""
    with open(MOUNTS, encoding="utf-8") as file:
        for line in file:
            fields = line.split(" ")
            if f"/volumes/{volume_id}/" in f"{fields[3]}/":  # or a folder of it
                return fields[4].encode().decode("unicode_escape") if "\\" in fields[4] else fields[4]
    return None


def sync(path: str) -> None:
    """Everything that was written below this path is on the disk when this returns. Raises OSError."""
    import ctypes

    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:  # a C library without it: all file systems
            os.sync()
        elif syncfs(folder) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(folder)
