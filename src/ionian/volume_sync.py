"""What was written to a volume, on its disk: asked for in a container that mounts it."""

from __future__ import annotations

import os

MOUNTS = "/proc/self/mountinfo"

COPY = "working-copy"
"""What a folder is called that is a machine's copy of a volume (worker/copies.py)."""


def mounted(volume_id: str) -> tuple[str, bool] | None:
    """Where this container mounts a volume, and whether that is a copy of this machine's: what is written to it others
    see when it is committed. None: it doesn't mount it."""
    with open(MOUNTS, encoding="utf-8") as file:
        for line in file:
            fields = line.split(" ")
            if f"/{volume_id}/" in f"{fields[3]}/":  # or a folder of it
                return _unescaped(fields[4]), f"/{COPY}/" in f"{fields[3]}/"
    return None


def _unescaped(path: str) -> str:
    return path.encode().decode("unicode_escape") if "\\" in path else path


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
